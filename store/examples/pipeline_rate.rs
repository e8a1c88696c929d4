//! How fast the pipeline's side of the store is: rows stored by ingest, findings stored for the detector, and what is
//! read back. On a file of its own in the working directory.
//!
//! `cargo run --release -p store --example pipeline_rate -- [ROWS] [USERS]`

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{Activity, Alert, AlertState, Clock, Escalation, LogType, SECOND, Severity, SystemClock, Timestamp};
use store::{Change, DETECTOR, DetectionBatch, INGEST, IngestRecord, LogFilter, Move, Store, StoredRange};
use uuid::Uuid;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Records of one batch, as ingest has them.
const BATCH: usize = 1_000;

fn activity(n: i64, users: i64, at: Timestamp) -> Activity {
    let user = n % users;
    let mut activity = Activity::new(domain::ids::event_id(at), "View", at);
    activity.user = Some(format!("user-{user}"));
    activity.user_id = Some(user);
    activity.session_id = Some(format!("Zm9vYmFyZm9vYmFyZm9vYmFyZm9v{user}"));
    activity.role = Some("Employee".into());
    activity.resource = Some(format!("inventory/{}", n % 500));
    activity.source_ip = Some([192, 0, 2, 1].into());
    activity.user_agent = Some("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)".into());
    activity.log_type = Some(LogType::DataAccess);
    activity.detail = Some(format!("Viewed item {} (Pen)", n % 500));
    activity.known_user = true;
    activity
}

fn alert(activity: &Activity, n: i64) -> Alert {
    let user = activity.user.clone().unwrap_or_default();
    Alert {
        alert_id: domain::ids::derived(&[b"rate", &n.to_be_bytes()]),
        at: activity.occurred_at,
        rule: "Rapid actions".into(),
        rule_id: format!("rule-{}", n % 20),
        family: format!("family-{}", n % 20),
        severity: Severity::Medium,
        risk: 47,
        techniques: vec!["T1119".into()],
        key: [("user".to_owned(), user.clone())].into(),
        user: Some(user),
        ip: None,
        session: None,
        observed: 20.0,
        threshold: 20.0,
        window_s: 60,
        first_event_at: activity.occurred_at,
        last_event_at: activity.occurred_at,
        event_ids: vec![activity.event_id; 20],
        baseline: None,
        explanation: "20 events within 1 min, threshold 20".into(),
        escalations: Vec::new(),
        state: AlertState::Open,
        merged_into: None,
        event_count: 20,
        revision: 1,
        status: "open".into(),
        verdict: None,
        suppressed: false,
        found_by: "live".into(),
        crossing_event: activity.event_id,
    }
}

fn change(alert: Alert) -> Change {
    Change { alert, opened_as: Severity::Medium, opened_points: 47, mute_after_close: 0 }
}

#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn say(what: &str, n: usize, took: Duration) {
    let each = took.as_secs_f64() * 1e6 / n.max(1) as f64;
    println!("{what}: {n} in {:.3} s, {:.0}/s, {each:.0} µs each", took.as_secs_f64(), n as f64 / took.as_secs_f64());
}

async fn ingest(store: &Store, activities: &[Activity]) -> Outcome {
    let batches: Vec<Arc<[IngestRecord]>> = activities
        .chunks(BATCH)
        .enumerate()
        .map(|(batch, part)| {
            let records = part.iter().enumerate().map(|(n, activity)| IngestRecord::Activity {
                seq: i64::try_from(batch * BATCH + n + 1).unwrap_or(i64::MAX),
                activity: Box::new(activity.clone()),
                payload: activity.to_json(),
            });
            records.collect()
        })
        .collect();
    let begun = Instant::now();
    for records in batches {
        let from = store.offset(INGEST).await?;
        let to = from + i64::try_from(records.len())?;
        store.apply_ingest(Move::journal(from, to), records).await?;
    }
    say("rows stored by ingest", activities.len(), begun.elapsed());
    Ok(())
}

/// Applies changes, `size` at a time.
async fn detect(store: &Store, what: &str, changes: &[Change], size: usize) -> Outcome {
    let begun = Instant::now();
    for part in changes.chunks(size) {
        let expected = store.offset(DETECTOR).await?;
        let batch = DetectionBatch {
            step: Move::journal(expected, expected + 1),
            changes: part.to_vec(),
            ..DetectionBatch::default()
        };
        store.apply_detection(batch).await?;
    }
    say(&format!("{what}, {size} a batch"), changes.len(), begun.elapsed());
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<i64>());
    let rows = arguments.next().transpose()?.unwrap_or(200_000);
    let users = arguments.next().transpose()?.unwrap_or(1_000);
    let folder = tempfile::tempdir_in(".")?;
    let store = Store::open_sqlite(&folder.path().join("rate.db"), Arc::new(SystemClock)).await?;
    store.migrate().await?;
    let start = SystemClock.now().plus(-rows * SECOND);
    let activities: Vec<Activity> = (0..rows).map(|n| activity(n, users, start.plus(n * SECOND))).collect();
    ingest(&store, &activities).await?;

    let range = StoredRange { from: Timestamp::MIN, to: Timestamp::MAX, up_to_seq: None, late: false };
    let (begun, mut after, mut read) = (Instant::now(), None, 0);
    loop {
        let page = store.stored_activities(&range, after, 5_000).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.cursor());
        read += page.len();
    }
    say("stored activities read in event time", read, begun.elapsed());

    let found: Vec<Change> = (0..4_000_i64)
        // A step that is prime to the number of users: everybody gets some.
        .zip(activities.iter().step_by((activities.len() / 4_000).max(2) - 1))
        .map(|(n, activity)| change(alert(activity, n)))
        .collect();
    detect(&store, "new alerts", &found[..2_000], 1).await?;
    detect(&store, "new alerts", &found[2_000..], 100).await?;
    let grown: Vec<Change> = found.iter().map(|old| change(Alert { event_count: 21, ..old.alert.clone() })).collect();
    detect(&store, "alerts that go on", &grown[..1_000], 1).await?;
    detect(&store, "alerts that go on", &grown[..2_000], 100).await?;
    let risen: Vec<Change> = grown
        .iter()
        .map(|old| {
            let step = Escalation { at: old.alert.at, severity: Severity::High, observed: 40.0 };
            change(Alert { severity: Severity::High, risk: 73, escalations: vec![step], ..old.alert.clone() })
        })
        .collect();
    detect(&store, "alerts that rise", &risen[..1_000], 1).await?;
    // One user with a long history: what is computed anew is what comes after.
    let many: Vec<Change> = (0..600_i64)
        .map(|n| {
            let mut alert = alert(&activities[0], 10_000 + n);
            alert.at = start.plus(n * 60 * SECOND);
            (alert.first_event_at, alert.last_event_at) = (alert.at, alert.at);
            (alert.alert_id, alert.crossing_event) =
                (domain::ids::event_id(alert.at), Uuid::from_u128(n.unsigned_abs().into()));
            change(alert)
        })
        .collect();
    detect(&store, "alerts of one user, the first 200", &many[..200], 1).await?;
    detect(&store, "alerts of one user, 200 more", &many[200..400], 1).await?;
    detect(&store, "alerts of one user, 200 more", &many[400..], 1).await?;

    let begun = Instant::now();
    for _ in 0..200 {
        store.logs(LogFilter { limit: 100, ..LogFilter::default() }).await?;
    }
    say("lists of 100 log rows", 200, begun.elapsed());
    let begun = Instant::now();
    for _ in 0..50 {
        store.dashboard_stats(start).await?;
    }
    say("dashboards", 50, begun.elapsed());
    let begun = Instant::now();
    for _ in 0..10 {
        store.detections(start, 1_000, 0.0).await?;
    }
    say("the 1,000 highest detections", 10, begun.elapsed());
    store.close().await;
    Ok(())
}
