//! Coming back: the engine is fed what its windows reach, its findings are dropped, and it takes over the ids of the
//! alerts that are stored.

use bus::{Reader, Record};
use domain::{Activity, JournalRead, Timestamp};
use store::{DETECTOR, INGEST, StoredActivity, StoredRange};

use crate::engine::Engine;
use crate::worker::{GRACE, Parts, WorkerError};

/// Activities of one page.
const PAGE: i64 = 5_000;

/// An engine that knows what the one before it knew.
pub(crate) struct Recovered {
    pub(crate) engine: Engine,
    /// Up to here in the journal it has been fed.
    pub(crate) offset: i64,
    /// How many activities that took.
    pub(crate) events: usize,
}

/// Makes the engine and brings it to the stored offset.
pub(crate) async fn recover(parts: &Parts) -> Result<Recovered, WorkerError> {
    let store = &parts.store;
    let loaded = parts.rules.rules.iter().map(|rule| (rule.id.clone(), rule.revision.clone())).collect();
    let superseded = store.supersede_rules(loaded).await?;
    if superseded > 0 {
        tracing::info!(superseded, "open alerts of rules that are gone or changed were closed");
    }
    let offset = store.offset(DETECTOR).await?;
    let ingested = store.offset(INGEST).await?;
    // Before anything else: the journal forgets these once ingest has them too.
    let unstored = tail(parts, ingested, offset).await?;
    let pending = store.read_after(offset.min(ingested), 1).await?;
    let next = pending.into_iter().map(Record::from).next();
    let received = next.map_or_else(
        || parts.clock.now(),
        |record| match record.activity {
            Ok(activity) => activity.received_at,
            Err(_) => record.appended_at,
        },
    );
    let watermark = received.plus(-parts.lateness - GRACE);
    let mut engine = Engine::new(parts.rules.clone(), parts.settings.clone());
    let from = watermark.plus(-engine.horizon().saturating_add(parts.lateness));
    let range = StoredRange { from, to: Timestamp::MAX, up_to_seq: Some(offset.min(ingested)), late: false };
    let mut events = unstored.len();
    let mut after = None;
    loop {
        let page = store.stored_activities(&range, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.cursor());
        events += page.len();
        engine = feed(engine, page, watermark).await?;
    }
    engine.advance(watermark);
    unstored.iter().for_each(|activity| engine.observe(activity));
    drop(engine.drain());
    drop(engine.gaps());
    engine.adopt(&store.adoptable_alerts(from).await?);
    Ok(Recovered { engine, offset, events })
}

/// What the detector has seen and ingest has not stored.
async fn tail(parts: &Parts, ingested: i64, offset: i64) -> Result<Vec<Activity>, WorkerError> {
    let mut reader = Reader::new(parts.store.clone(), ingested);
    let mut activities = Vec::new();
    while reader.position() < offset {
        let batch = reader.read(1_000).await?;
        if batch.is_empty() {
            break;
        }
        let seen = batch.records.into_iter().filter(|record| record.seq <= offset);
        activities.extend(seen.filter_map(|record| record.activity.ok()).filter(|activity| !activity.late).map(|a| *a));
        reader.done(batch.to);
    }
    Ok(activities)
}

/// Feeds a page that is in event time. The watermark follows as far as nothing on time can come behind it.
async fn feed(mut engine: Engine, page: Vec<StoredActivity>, watermark: Timestamp) -> Result<Engine, WorkerError> {
    let fed = tokio::task::spawn_blocking(move || {
        for row in &page {
            engine.observe(&row.activity);
        }
        if let Some(last) = page.last() {
            engine.advance(last.activity.occurred_at.plus(-1).min(watermark));
        }
        engine
    });
    fed.await.map_err(|error| WorkerError::Engine(error.to_string()))
}
