//! How long the detector takes to come back, from a snapshot and without one, and how long taking one holds it up. The
//! built-in rules over a day in which every user does a few things; in a folder of its own in the working directory.
//!
//! `cargo run --release -p detector --example restart_rate -- [USERS] [EVENTS OF EACH]`

#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use detector::engine::{Engine, Settings};
use detector::rules::{RuleSet, RuleSource, load};
use detector::worker::{Parts, Status, passed_by, run};
use domain::Partition;
use domain::{Activity, Clock, DAY, LogType, MINUTE, Outcome, SystemClock, Timestamp};
use store::{DetectionBatch, INGEST, IngestRecord, Move, Store};
use tokio_util::sync::CancellationToken;

type Done = Result<(), Box<dyn std::error::Error>>;

const BATCH: i64 = 1_000;
const LATENESS: i64 = 5 * MINUTE;

/// What the rules look at most: views, log-ins, changes, some of them refused.
fn activity(n: i64, users: i64, at: Timestamp) -> Activity {
    let user = n % users;
    let (action, log_type) = match n / users % 4 {
        0 => ("Login", LogType::Auth),
        1 => ("View", LogType::DataAccess),
        2 => ("Update", LogType::DataAccess),
        _ => ("Delete", LogType::DataAccess),
    };
    let mut activity = Activity::new(domain::ids::event_id(at), action, at);
    activity.received_at = at;
    activity.user = Some(format!("user-{user}"));
    activity.user_id = Some(user);
    activity.session_id = Some(format!("session-{user}"));
    activity.role = Some("Employee".into());
    activity.resource = Some(format!("inventory/{}", n % 500));
    activity.records = Some(1 + n % 9);
    activity.source_ip = format!("10.{}.{}.{}", user / 65_536 % 256, user / 256 % 256, user % 256).parse().ok();
    activity.outcome = if n % 97 == 0 { Outcome::Denied } else { Outcome::Success };
    activity.log_type = Some(log_type);
    activity.known_user = true;
    activity
}

fn parts(store: &Store, rules: &Arc<RuleSet>) -> Parts {
    let (store, rules, clock) = (store.clone(), Arc::clone(rules), Arc::new(SystemClock));
    Parts {
        store,
        rules,
        settings: Settings::default(),
        lateness: LATENESS,
        passed: passed_by(clock),
        status: Arc::new(Status::default()),
        partition: Partition::JOURNAL,
    }
}

/// Starts the worker and stops it again; how long until it was ready.
async fn restart(parts: Parts) -> Result<Duration, Box<dyn std::error::Error>> {
    let (status, stop, begun) = (parts.status.clone(), CancellationToken::new(), Instant::now());
    let running = tokio::spawn(run(parts, stop.clone()));
    while status.watermark().is_none() && !running.is_finished() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = begun.elapsed();
    stop.cancel();
    running.await??;
    Ok(took)
}

/// Stores a day and has an engine see it.
async fn history(store: &Store, engine: &mut Engine, users: i64, count: i64, start: Timestamp) -> Done {
    let step = DAY / count.max(1);
    for first in (0..count).step_by(1_000) {
        let batch: Vec<Activity> =
            (first..count.min(first + BATCH)).map(|n| activity(n, users, start.plus(n * step))).collect();
        let record = |(n, activity): (i64, &Activity)| IngestRecord::Activity {
            seq: first + n + 1,
            activity: Box::new(activity.clone()),
            payload: activity.to_json(),
        };
        let records: Arc<[IngestRecord]> = (0..).zip(&batch).map(record).collect();
        store.apply_ingest(Move::journal(first, first + i64::try_from(batch.len())?), records).await?;
        batch.iter().for_each(|activity| engine.observe(activity));
        if let Some(last) = batch.last() {
            engine.advance(last.received_at.plus(-LATENESS - MINUTE));
        }
        engine.drain();
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Done {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<i64>());
    let users = arguments.next().transpose()?.unwrap_or(1_000_000);
    let count = users * arguments.next().transpose()?.unwrap_or(3);
    let folder = tempfile::tempdir_in(".")?;
    let store = Store::open_sqlite(&folder.path().join("rate.db"), Arc::new(SystemClock)).await?;
    store.migrate().await?;
    let rules = Arc::new(load(&[RuleSource::built_in()]).map_err(|findings| format!("{findings:?}"))?.rules);
    let mut engine = Engine::new(Arc::clone(&rules), Settings::default());
    history(&store, &mut engine, users, count, SystemClock.now().plus(-DAY)).await?;
    let offset = store.offset(INGEST).await?;
    let watermark = engine.watermark();
    store
        .apply_detection(DetectionBatch { step: Move::journal(0, offset), watermark, ..DetectionBatch::default() })
        .await?;
    let footprint = engine.footprint();
    println!("{count} activities of {users} users: {footprint:?}");
    let each = |took: Duration| took.as_secs_f64() * 1e3 / (footprint.keys.max(1) as f64 / 1e5);

    println!("ready without a snapshot after {:.2} s", restart(parts(&store, &rules)).await?.as_secs_f64());

    let (begun, mut chunks) = (Instant::now(), Vec::new());
    engine.save(&mut |chunk| chunks.push(chunk))?;
    let (took, bytes) = (begun.elapsed(), chunks.iter().map(Vec::len).sum::<usize>());
    println!("copied in {took:.1?} to {bytes} bytes: {:.0} ms per 100,000 keys", each(took));
    let begun = Instant::now();
    let id = store.begin_snapshot(Partition::JOURNAL, offset, engine.fingerprint()).await?;
    for (number, chunk) in (0..).zip(&chunks) {
        store.add_snapshot_chunk(id, number, chunk.clone()).await?;
    }
    store.complete_snapshot(id, i64::try_from(chunks.len())?).await?;
    println!("stored in {:.1?}, {} chunks", begun.elapsed(), chunks.len());
    let begun = Instant::now();
    Engine::load(Arc::clone(&rules), Settings::default(), chunks)?;
    println!("made an engine again in {:.1?}: {:.0} ms per 100,000 keys", begun.elapsed(), each(begun.elapsed()));
    drop(engine);

    println!("ready from the snapshot after {:.2} s", restart(parts(&store, &rules)).await?.as_secs_f64());
    Ok(())
}
