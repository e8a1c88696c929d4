//! The engine of a partition that falls to this process: as the one before it left it.
//!
//! It is made from the newest snapshot and what stands in the partition behind that. Without a snapshot it reads what its
//! windows reach: from the partition, and, where the brokers no longer have that, from the stored activities.

use bus::Record;
use bus::kafka::{ACTIVITY, Begun, Replay, Settings, partition_of};
use domain::{Activity, Partition, Timestamp, source_key, user_key};
use store::{NewGap, Position, StoredRange};

use crate::engine::Engine;
use crate::recovery::{PAGE, Pace, Recovered};
use crate::snapshots;
use crate::worker::{GRACE, Parts, WorkerError};

/// Makes the engine that belongs to a position, and takes over the alerts of the partition.
pub(crate) async fn rebuild(
    parts: &Parts,
    kafka: &Settings,
    position: Position,
    begun: Begun,
) -> Result<Recovered, WorkerError> {
    let (stored, partition) = (position.next, parts.partition);
    let watermark = position.watermark.unwrap_or(Timestamp::MIN);
    let mut engine = Engine::new(parts.rules.clone(), parts.settings.clone());
    let reach = watermark.plus(-engine.horizon().saturating_add(parts.lateness));
    let mut events = 0;
    if stored > 0 {
        let snapshot = snapshots::newest(parts, engine.fingerprint(), stored).await?;
        let known = snapshot.as_ref().map(|(_, at)| *at);
        let settings = kafka.clone();
        let replay = blocking(move || match known {
            Some(at) => Replay::after(&settings, partition, at, stored),
            None => Replay::since(&settings, partition, reach, stored),
        })
        .await??;
        match snapshot {
            Some((of_snapshot, _)) => engine = of_snapshot,
            // The partition's own beginning is gone: what stood there is stored by now.
            None if replay.from() > 0 => (engine, events) = stored_ones(parts, kafka, engine, reach, watermark).await?,
            None => {}
        }
        let (replayed, more) = blocking({
            let (lateness, pace) = (parts.lateness, Pace::new(partition));
            move || again(engine, replay, lateness, watermark, pace)
        })
        .await??;
        engine = replayed;
        events += more;
    }
    let watermark = watermark.max(engine.watermark());
    engine.advance(watermark);
    drop(engine.drain());
    drop(engine.gaps());
    engine.adopt(&parts.store.adoptable_alerts(partition, reach).await?);
    let gap = begun.gap.map(|offsets| NewGap::removed(partition, offsets, watermark, "the detector"));
    Ok(Recovered { engine, stored, position: begun.position, watermark, gaps: gap.into_iter().collect(), events })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, WorkerError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| WorkerError::Engine(error.to_string()))
}

/// Feeds what the partition still has, as the worker fed it.
fn again(
    mut engine: Engine,
    mut replay: Replay,
    lateness: i64,
    watermark: Timestamp,
    mut pace: Pace,
) -> Result<(Engine, usize), WorkerError> {
    let (mut events, mut newest) = (0, Timestamp::MIN);
    loop {
        let records = replay.read()?;
        if records.is_empty() {
            return Ok((engine, events));
        }
        for record in records {
            let Ok(activity) = Record::from(record).activity else { continue };
            newest = newest.max(activity.received_at);
            if !activity.late {
                engine.observe(&activity);
                events += 1;
            }
        }
        engine.advance(newest.plus(-lateness - GRACE).min(watermark));
        pace.fed(events, newest);
    }
}

/// Feeds the stored activities of the partition. Those that stand in the partition as well come once more, and are known
/// by their ids: so nothing is decided here beyond what the partition's own records decide.
async fn stored_ones(
    parts: &Parts,
    kafka: &Settings,
    mut engine: Engine,
    reach: Timestamp,
    watermark: Timestamp,
) -> Result<(Engine, usize), WorkerError> {
    let (partition, partitions) = (parts.partition, kafka.partitions);
    let range = StoredRange { from: reach, to: watermark, up_to_seq: None, late: false };
    let (mut events, mut after, mut pace) = (0, None, Pace::new(partition));
    loop {
        let page = parts.store.stored_activities(&range, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok((engine, events)) };
        after = Some(last.cursor());
        let until = last.activity.occurred_at;
        let decided = until.plus(-1).min(watermark.plus(-parts.lateness - GRACE));
        (engine, events) = blocking(move || {
            for row in page.iter().filter(|row| is_of(partition, partitions, &row.activity)) {
                engine.observe(&row.activity);
                events += 1;
            }
            engine.advance(decided);
            (engine, events)
        })
        .await?;
        pace.fed(events, until);
    }
}

fn is_of(partition: Partition, partitions: i32, activity: &Activity) -> bool {
    let key = if partition.topic == ACTIVITY { Some(user_key(activity)) } else { source_key(activity) };
    key.is_some_and(|key| partition_of(&key, partitions) == partition.number)
}
