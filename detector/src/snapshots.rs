//! Snapshots: now and then the worker copies the engine's state, and a restart begins from there instead of with all
//! that its windows and histories reach.
//!
//! The copy is taken between two batches, when everything that was found up to the reader's position is stored: so it
//! is the state of exactly that offset. Only the copying holds up detection; the bytes are stored behind its back, a
//! chunk at a time, never two snapshots at once.
//!
//! What it costs, measured on two busy cores with the built-in rules and a million users who do three things in a day
//! (2.1 million keys, 4.8 million events in rings): the copy holds up detection for 1.1 to 1.6 s for a million keys, and
//! takes 250 bytes a key until it is stored. Back after 10 s from the snapshot, 88 s without one, which grows with the
//! days that are stored. `examples/restart_rate.rs` measures it.

use std::time::Duration;

use domain::Partition;
use store::{SnapshotRow, Store};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::engine::{Engine, Settings, SnapshotError};
use crate::worker::{Parts, WorkerError};

/// The next snapshot is taken when so much time has passed since the last one, and so many activities.
const EVERY: Duration = Duration::from_secs(15 * 60);
const AT_LEAST: usize = 10_000;
/// At a stop the state is stored too, where the engine holds no more than so much (to look takes long with many keys),
const SMALL: usize = 32 << 20;
const FEW_KEYS: usize = 100_000;
/// and for no longer than this.
const AT_STOP: Duration = Duration::from_millis(500);
/// Chunks that wait between the database and the engine that is made of them.
const AHEAD: usize = 8;

/// The snapshots of one run of the worker.
pub(crate) struct Snapshots {
    store: Store,
    partition: Partition,
    fingerprint: [u8; 32],
    every: Duration,
    since: Instant,
    /// Activities since then.
    observed: usize,
    /// The last one, on its way into the database.
    writing: Option<JoinHandle<()>>,
}

impl Snapshots {
    /// None is due yet.
    pub(crate) fn new(store: Store, partition: Partition, engine: &Engine) -> Self {
        let fingerprint = engine.fingerprint();
        Self { store, partition, fingerprint, every: EVERY, since: Instant::now(), observed: 0, writing: None }
    }

    /// The engine was fed so many activities.
    pub(crate) fn observed(&mut self, activities: usize) {
        self.observed += activities;
    }

    /// Whether a snapshot is to be taken.
    pub(crate) fn is_due(&self) -> bool {
        self.observed >= AT_LEAST
            && self.since.elapsed() >= self.every
            && self.writing.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Copies the state of the engine, which stands at `offset`, and has it stored.
    pub(crate) async fn take(&mut self, engine: &mut Engine, offset: i64) -> Result<(), WorkerError> {
        let started = Instant::now();
        let chunks = copy(engine).await?;
        (self.since, self.observed) = (Instant::now(), 0);
        match chunks {
            Ok(chunks) => {
                let bytes: usize = chunks.iter().map(Vec::len).sum();
                tracing::info!(offset, bytes, took_ms = started.elapsed().as_millis(), "the engine's state was copied");
                let (store, partition, fingerprint) = (self.store.clone(), self.partition, self.fingerprint);
                self.writing =
                    Some(tokio::spawn(async move { write(&store, partition, fingerprint, offset, chunks).await }));
            }
            Err(error) => tracing::warn!(%error, "the engine's state could not be copied"),
        }
        Ok(())
    }

    /// The worker stops: stores the state of a small engine, if that is quickly done. One that is still on its way is
    /// given up; the one before it is still there.
    pub(crate) async fn stop(self, engine: &mut Engine, offset: i64) -> Result<(), WorkerError> {
        if let Some(writing) = self.writing {
            writing.abort();
        }
        if self.observed == 0 || engine.keys() > FEW_KEYS || engine.footprint().bytes > SMALL {
            return Ok(());
        }
        if let Ok(chunks) = copy(engine).await? {
            let write = write(&self.store, self.partition, self.fingerprint, offset, chunks);
            if tokio::time::timeout(AT_STOP, write).await.is_err() {
                tracing::info!("the engine's state is not kept: storing it took too long");
            }
        }
        Ok(())
    }
}

/// Copies the state, on a thread that may be busy for a while.
async fn copy(engine: &mut Engine) -> Result<Result<Vec<Vec<u8>>, SnapshotError>, WorkerError> {
    let nothing = Engine::new(engine.rules().clone(), Settings::default());
    let whole = std::mem::replace(engine, nothing);
    let copied = tokio::task::spawn_blocking(move || {
        let mut chunks = Vec::new();
        let saved = whole.save(&mut |chunk| chunks.push(chunk));
        (whole, saved.map(|()| chunks))
    });
    let (whole, chunks) = copied.await.map_err(|error| WorkerError::Engine(error.to_string()))?;
    *engine = whole;
    Ok(chunks)
}

/// Stores a snapshot and removes those before it. A failure costs the next start some time, and nothing else.
async fn write(store: &Store, partition: Partition, fingerprint: [u8; 32], offset: i64, chunks: Vec<Vec<u8>>) {
    let stored = async {
        let id = store.begin_snapshot(partition, offset, fingerprint).await?;
        let mut number = 0;
        for chunk in chunks {
            store.add_snapshot_chunk(id, number, chunk).await?;
            number += 1;
        }
        store.complete_snapshot(id, number).await?;
        store.forget_snapshots_but(partition, Some(id)).await
    };
    if let Err(error) = stored.await {
        tracing::warn!(%error, offset, "a snapshot of the engine could not be stored");
    }
}

/// The engine as the newest snapshot at or before `up_to` has it, and the offset at which that was taken. All others
/// are removed, those of other rules too: when their rules come back, what was found in between is not theirs.
pub(crate) async fn newest(
    parts: &Parts,
    fingerprint: [u8; 32],
    up_to: i64,
) -> Result<Option<(Engine, i64)>, WorkerError> {
    let row = parts.store.newest_snapshot(parts.partition, fingerprint, up_to).await?;
    let loaded = match row {
        Some(row) => read(parts, row).await?,
        None => None,
    };
    let kept = row.filter(|_| loaded.is_some()).map(|row| row.snapshot_id);
    if let Err(error) = parts.store.forget_snapshots_but(parts.partition, kept).await {
        tracing::warn!(%error, "old snapshots of the engine could not be removed");
    }
    Ok(loaded)
}

/// Makes the engine while its chunks are read; none where they are not what was written.
async fn read(parts: &Parts, row: SnapshotRow) -> Result<Option<(Engine, i64)>, WorkerError> {
    let (to, mut from) = tokio::sync::mpsc::channel(AHEAD);
    let (rules, settings) = (parts.rules.clone(), parts.settings.clone());
    let loading = tokio::task::spawn_blocking(move || {
        Engine::load(rules, settings, std::iter::from_fn(|| from.blocking_recv())).map_err(|error| error.to_string())
    });
    for number in 0..row.chunks {
        let Some(bytes) = parts.store.snapshot_chunk(row.snapshot_id, number).await? else { break };
        if to.send(bytes).await.is_err() {
            break;
        }
    }
    drop(to);
    match loading.await.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(engine) => {
            tracing::info!(offset = row.offset, made_at = %row.made_at, "the engine's state comes from a snapshot");
            Ok(Some((engine, row.offset)))
        }
        Err(error) => {
            tracing::warn!(error, "a snapshot of the engine cannot be used; activities are read again instead");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::{Activity, ManualClock, Partition, SECOND, Timestamp};
    use uuid::Uuid;

    use super::*;
    use crate::rules::{RuleSource, load};
    use crate::worker::{Status, passed_by};

    async fn parts(folder: &std::path::Path) -> Parts {
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(0)));
        let store = Store::open_sqlite(&folder.join("a.db"), clock.clone()).await.expect("store");
        store.migrate().await.expect("schema");
        let rules = Arc::new(load(&[RuleSource::built_in()]).expect("valid").rules);
        Parts {
            store,
            rules,
            settings: Settings::default(),
            lateness: 0,
            passed: passed_by(clock),
            status: Arc::new(Status::default()),
            partition: Partition::JOURNAL,
        }
    }

    fn fed(parts: &Parts) -> Engine {
        let mut engine = Engine::new(parts.rules.clone(), parts.settings.clone());
        for number in 0..20 {
            let at = Timestamp::from_micros(number * SECOND);
            let mut activity = Activity::new(Uuid::from_u128(number as u128), "LoginFailed", at);
            activity.user = Some("ann".to_owned());
            engine.observe(&activity);
        }
        engine.drain();
        engine
    }

    #[tokio::test]
    async fn one_is_due_after_time_and_activities_and_not_beside_another() {
        let folder = tempfile::tempdir().expect("folder");
        let parts = parts(folder.path()).await;
        let mut engine = fed(&parts);
        let mut snapshots = Snapshots::new(parts.store.clone(), parts.partition, &engine);
        snapshots.observed(AT_LEAST);
        assert!(!snapshots.is_due(), "too soon");
        snapshots.every = Duration::ZERO;
        assert!(snapshots.is_due());
        snapshots.take(&mut engine, 20).await.expect("copied");
        assert!(!snapshots.is_due(), "nothing has happened since");
        snapshots.observed(AT_LEAST);
        let writing = snapshots.writing.replace(tokio::spawn(std::future::pending()));
        assert!(!snapshots.is_due(), "one is on its way");
        writing.expect("the first").await.expect("stored");
        let found = newest(&parts, engine.fingerprint(), 20).await.expect("read");
        assert_eq!(found.expect("one").0.footprint().events, engine.footprint().events);
    }

    #[tokio::test]
    async fn what_is_damaged_is_not_used_and_removed() {
        let folder = tempfile::tempdir().expect("folder");
        let parts = parts(folder.path()).await;
        let engine = fed(&parts);
        let mut chunks = Vec::new();
        engine.save(&mut |chunk| chunks.push(chunk)).expect("saved");
        chunks[0][100] ^= 1;
        write(&parts.store, Partition::JOURNAL, engine.fingerprint(), 20, chunks).await;
        assert!(
            parts.store.newest_snapshot(Partition::JOURNAL, engine.fingerprint(), 20).await.expect("read").is_some()
        );
        assert!(newest(&parts, engine.fingerprint(), 20).await.expect("read").is_none());
        assert!(
            parts.store.newest_snapshot(Partition::JOURNAL, engine.fingerprint(), 20).await.expect("read").is_none()
        );
    }
}
