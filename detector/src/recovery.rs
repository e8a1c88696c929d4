//! Coming back: the engine is fed what its windows reach, decides up to where the one before it had decided, drops what
//! it finds by that, and takes over the ids of the alerts that are stored. From there it goes on as if nothing had been.
//!
//! Where there is a snapshot of the engine, it is fed only what has come since. All of that which counts happened after
//! the watermark of the snapshot, so that is where reading begins.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bus::Reader;
use domain::{Activity, Partition, Timestamp};
use store::{DETECTOR, INGEST, NewGap, Position, Store, StoredActivity, StoredRange};
use tokio::time::Instant;
use uuid::Uuid;

use crate::engine::Engine;
use crate::rules::RuleSet;
use crate::snapshots;
use crate::worker::{Parts, WorkerError};

/// Activities of one page.
pub(crate) const PAGE: i64 = 5_000;
/// Records of the journal that are read at once.
const BATCH: usize = 1_000;
/// How often it is said how far coming back is.
const TELL: Duration = Duration::from_secs(5);

/// An engine that knows what the one before it knew.
pub(crate) struct Recovered {
    pub(crate) engine: Engine,
    /// The offset as the database has it.
    pub(crate) stored: i64,
    /// Up to here in the log it has been fed: further, where the log has lost what lies between.
    pub(crate) position: i64,
    /// Up to here it has decided.
    pub(crate) watermark: Timestamp,
    /// What the log has lost before it was read.
    pub(crate) gaps: Vec<NewGap>,
    /// How many activities that took.
    pub(crate) events: usize,
}

/// Says now and then how far the engine is with what it needs to know of the past: that can take minutes.
pub(crate) struct Pace {
    partition: Partition,
    told: Instant,
}

impl Pace {
    /// Of a partition's engine, from now on.
    pub(crate) fn new(partition: Partition) -> Self {
        Self { partition, told: Instant::now() }
    }

    /// The engine has been fed so many activities, up to this time.
    pub(crate) fn fed(&mut self, events: usize, up_to: Timestamp) {
        if self.told.elapsed() >= TELL {
            self.told = Instant::now();
            tracing::info!(partition = %self.partition, events, %up_to, "the detector reads what its rules need of the past");
        }
    }
}

/// Closes open alerts of rules that are gone or have changed since a detector last ran.
pub(crate) async fn supersede(store: &Store, rules: &RuleSet) -> Result<(), WorkerError> {
    let loaded = rules.rules.iter().map(|rule| (rule.id.clone(), rule.revision.clone())).collect();
    let superseded = store.supersede_rules(loaded).await?;
    if superseded > 0 {
        tracing::info!(superseded, "open alerts of rules that are gone or changed were closed");
    }
    Ok(())
}

/// Makes the engine and brings it to where the stored offset and watermark say that the one before it was.
pub(crate) async fn recover(parts: &Parts) -> Result<Recovered, WorkerError> {
    let store = &parts.store;
    let Position { next: offset, watermark, .. } = store.position(DETECTOR, parts.partition).await?.unwrap_or_default();
    let watermark = watermark.unwrap_or(Timestamp::MIN);
    let mut engine = Engine::new(parts.rules.clone(), parts.settings.clone());
    let reach = watermark.plus(-engine.horizon().saturating_add(parts.lateness));
    let (mut known, mut from) = (0, reach);
    if let Some((loaded, at)) = snapshots::newest(parts, engine.fingerprint(), offset).await? {
        (known, from) = (at, loaded.watermark().plus(1));
        engine = loaded;
    }
    // At a stop the engine may have decided further than its last transaction says.
    let watermark = watermark.max(engine.watermark());
    // The journal first: what it forgets from here on, ingest has stored, and then it is found there.
    let mut tail = Tail::read(parts, known, offset).await?;
    tail.activities.retain(|activity| activity.occurred_at > engine.watermark());
    let range = StoredRange { from, to: Timestamp::MAX, up_to_seq: Some(offset), late: false };
    let (mut events, mut after, mut pace) = (0, None, Pace::new(parts.partition));
    // A detector that has never stored anything has seen nothing.
    let mut page = if offset > known { store.stored_activities(&range, after, PAGE).await? } else { Vec::new() };
    while let Some(last) = page.last() {
        after = Some(last.cursor());
        let until = last.activity.occurred_at;
        let unstored = tail.until(until);
        page.retain(|row| row.seq > known);
        events += page.len() + unstored.len();
        engine = feed(engine, unstored, page, tail.ids.clone(), until.plus(-1).min(watermark)).await?;
        pace.fed(events, until);
        page = store.stored_activities(&range, after, PAGE).await?;
    }
    let unstored = tail.until(Timestamp::MAX);
    events += unstored.len();
    engine = feed(engine, unstored, Vec::new(), tail.ids.clone(), watermark).await?;
    drop(engine.drain());
    drop(engine.gaps());
    engine.adopt(&store.adoptable_alerts(parts.partition, reach).await?);
    Ok(Recovered { engine, stored: offset, position: offset, watermark, gaps: Vec::new(), events })
}

/// What the detector has seen since what is known, and ingest had not stored when it was asked.
struct Tail {
    /// In event time, the last first.
    activities: Vec<Activity>,
    /// Ingest may have stored them since.
    ids: Arc<HashSet<Uuid>>,
}

impl Tail {
    async fn read(parts: &Parts, known: i64, offset: i64) -> Result<Self, WorkerError> {
        let mut reader = Reader::new(parts.store.clone(), parts.store.offset(INGEST).await?.max(known));
        let mut activities = Vec::new();
        while reader.position() < offset {
            let batch = reader.read(BATCH).await?;
            if batch.is_empty() {
                break;
            }
            reader.done(batch.to);
            let seen = batch.records.into_iter().filter(|record| record.seq <= offset);
            let seen = seen.filter_map(|record| record.activity.ok()).filter(|activity| !activity.late);
            activities.extend(seen.map(|activity| *activity));
        }
        let ids = activities.iter().map(|activity| activity.event_id).collect();
        activities.sort_by_key(|activity| std::cmp::Reverse((activity.occurred_at, activity.event_id)));
        Ok(Self { activities, ids: Arc::new(ids) })
    }

    /// Takes out those that happened up to a moment.
    fn until(&mut self, moment: Timestamp) -> Vec<Activity> {
        let keep = self.activities.partition_point(|activity| activity.occurred_at > moment);
        self.activities.split_off(keep)
    }
}

/// Feeds a stretch of event time, of which `unstored` is known from the journal and the rest from the page.
async fn feed(
    mut engine: Engine,
    unstored: Vec<Activity>,
    page: Vec<StoredActivity>,
    known: Arc<HashSet<Uuid>>,
    watermark: Timestamp,
) -> Result<Engine, WorkerError> {
    let fed = tokio::task::spawn_blocking(move || {
        unstored.iter().for_each(|activity| engine.observe(activity));
        for row in page.iter().filter(|row| !known.contains(&row.activity.event_id)) {
            engine.observe(&row.activity);
        }
        engine.advance(watermark);
        engine
    });
    fed.await.map_err(|error| WorkerError::Engine(error.to_string()))
}
