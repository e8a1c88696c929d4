//! The worker around the engine: reads the journal, feeds the engine, and stores what it finds together with the offset.
//!
//! The engine is ahead of the database by what it was fed since the last transaction, and by nothing else: if the
//! process dies, the next one feeds it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bus::{Backoff, Reader};
use domain::{Alert, MINUTE, SharedClock, Timestamp};
use store::{ApplyError, Change, DetectionBatch, NewGap, Store};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, Gap, Settings};
use crate::recovery;
use crate::rules::RuleSet;

/// Records that are fed between two transactions.
const BATCH: usize = 1_000;
/// While nothing is found, the offset alone is stored this often.
const OFFSET: Duration = Duration::from_secs(1);
/// While nothing comes, the watermark follows the clock this often.
const IDLE: Duration = Duration::from_secs(1);
/// How much later than the lateness allows a record may be committed and still find the watermark behind it.
pub(crate) const GRACE: i64 = MINUTE;

/// Why the detector cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The database failed at the start.
    #[error("the detector cannot read where it stands: {0}")]
    Store(#[from] store::Error),
    /// The journal could not be read at the start.
    #[error(transparent)]
    Journal(#[from] domain::JournalError),
    /// Another detector works on the same log.
    #[error("another detector has moved the offset; only one may work on a database")]
    NotOurs,
    /// The engine panicked.
    #[error("the engine stopped: {0}")]
    Engine(String),
}

/// What the worker is made of.
#[derive(Clone)]
pub struct Parts {
    /// Where everything is.
    pub store: Store,
    /// The rules.
    pub rules: Arc<RuleSet>,
    /// Zones and calendars.
    pub settings: Settings,
    /// How late an activity may be, in microseconds.
    pub lateness: i64,
    /// The clock that the watermark follows while nothing comes.
    pub clock: SharedClock,
    /// Where the worker says how far it is.
    pub status: Arc<Status>,
}

/// How far a detector is, for whoever asks.
#[derive(Debug, Default)]
pub struct Status {
    /// Microseconds; 0 until the worker is ready.
    watermark: AtomicI64,
    late: AtomicU64,
    behind: AtomicU64,
}

impl Status {
    /// Everything up to here is final; none until the worker has come back from its start.
    #[must_use]
    pub fn watermark(&self) -> Option<Timestamp> {
        Some(self.watermark.load(Ordering::Relaxed)).filter(|micros| *micros != 0).map(Timestamp::from_micros)
    }

    /// Activities since the start that were later than the lateness allows.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// Activities since the start that came on time and yet behind the watermark.
    #[must_use]
    pub fn behind(&self) -> u64 {
        self.behind.load(Ordering::Relaxed)
    }
}

/// Runs until it is asked to stop: first it feeds the engine what it needs to know of the past, then what comes.
///
/// # Errors
/// [`WorkerError`].
pub async fn run(parts: Parts, stop: CancellationToken) -> Result<(), WorkerError> {
    let started = Instant::now();
    let Some(recovered) = stop.run_until_cancelled(recovery::recover(&parts)).await else { return Ok(()) };
    let recovery::Recovered { engine, offset, events } = recovered?;
    tracing::info!(
        rules = parts.rules.rules.len(),
        events,
        took_ms = started.elapsed().as_millis(),
        "the detector is ready"
    );
    let mut worker = Worker {
        reader: Reader::new(parts.store.clone(), offset),
        stored: offset,
        stored_at: Instant::now(),
        engine,
        parts,
    };
    worker.store_changes(&stop).await?;
    while stop.run_until_cancelled(worker.ready()).await.is_some() {
        worker.step(&stop).await?;
    }
    worker.store_offset(&stop).await
}

struct Worker {
    parts: Parts,
    engine: Engine,
    reader: Reader<Store>,
    /// The offset as the database has it, and since when.
    stored: i64,
    stored_at: Instant,
}

impl Worker {
    /// Returns when there is something to read, and from time to time while there is not.
    async fn ready(&self) {
        // A timeout says the same as a record: look.
        let _ = tokio::time::timeout(IDLE, self.reader.ready(Duration::ZERO)).await;
    }

    async fn step(&mut self, stop: &CancellationToken) -> Result<(), WorkerError> {
        let mut backoff = Backoff::default();
        let batch = loop {
            match self.reader.read(BATCH).await {
                Ok(batch) => break batch,
                Err(fault) => {
                    let pause = backoff.failed();
                    tracing::warn!(%fault, again_in_ms = pause.as_millis(), "the detector could not read");
                    if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                        return Ok(());
                    }
                }
            }
        };
        let mut newest = Timestamp::MIN;
        for record in &batch.records {
            // What is no activity is ingest's to bury.
            let Ok(activity) = &record.activity else { continue };
            newest = newest.max(activity.received_at);
            if activity.late {
                self.parts.status.late.fetch_add(1, Ordering::Relaxed);
            } else {
                self.engine.observe(activity);
            }
        }
        if batch.is_empty() && self.reader.caught_up() {
            newest = self.parts.clock.now();
        }
        let watermark = newest.plus(-self.parts.lateness - GRACE);
        self.engine.advance(watermark);
        let status = &self.parts.status;
        status.watermark.fetch_max(watermark.micros(), Ordering::Relaxed);
        status.behind.store(self.engine.behind(), Ordering::Relaxed);
        self.reader.done(batch.to);
        self.store_changes(stop).await
    }

    /// Stores what the engine found. Without a find the offset is stored once a second.
    async fn store_changes(&mut self, stop: &CancellationToken) -> Result<(), WorkerError> {
        let changes: Vec<Change> =
            self.engine.drain().into_iter().filter_map(|alert| change(&self.parts.rules, alert)).collect();
        let gaps: Vec<NewGap> = self.engine.gaps().into_iter().flat_map(gap_rows).collect();
        if !changes.is_empty() || !gaps.is_empty() {
            return self.store(changes, gaps, stop).await;
        }
        if self.stored_at.elapsed() >= OFFSET {
            return self.store_offset(stop).await;
        }
        Ok(())
    }

    async fn store_offset(&mut self, stop: &CancellationToken) -> Result<(), WorkerError> {
        if self.reader.position() == self.stored {
            return Ok(());
        }
        self.store(Vec::new(), Vec::new(), stop).await
    }

    /// Stores changes with the offset, in one transaction; tries until it is done or the process is to stop. In that
    /// case nothing is lost: the next process finds the same.
    async fn store(
        &mut self,
        mut changes: Vec<Change>,
        gaps: Vec<NewGap>,
        stop: &CancellationToken,
    ) -> Result<(), WorkerError> {
        let mut backoff = Backoff::default();
        loop {
            let next = self.reader.position();
            let batch = DetectionBatch { expected: self.stored, next, changes: changes.clone(), gaps: gaps.clone() };
            match self.parts.store.apply_detection(batch).await {
                Ok(_) => {
                    self.stored = next;
                    self.stored_at = Instant::now();
                    return Ok(());
                }
                Err(ApplyError::NotOurs) => return Err(WorkerError::NotOurs),
                Err(ApplyError::Poison(cause)) if !changes.is_empty() => {
                    changes = self.storable(changes, &cause.to_string()).await;
                }
                Err(fault) => {
                    let pause = backoff.failed();
                    tracing::warn!(%fault, again_in_ms = pause.as_millis(), "alerts could not be stored; trying again");
                    if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// The changes that the database takes, tried one by one without moving the offset. One that it does not take must
    /// not keep the others out.
    async fn storable(&self, changes: Vec<Change>, cause: &str) -> Vec<Change> {
        let mut storable = Vec::new();
        for change in changes {
            let (expected, next) = (self.stored, self.stored);
            let batch = DetectionBatch { expected, next, changes: vec![change.clone()], gaps: Vec::new() };
            match self.parts.store.apply_detection(batch).await {
                Err(ApplyError::Poison(why)) => {
                    let (rule, alert) = (&change.alert.rule_id, change.alert.alert_id);
                    tracing::error!(%rule, %alert, %why, cause, "an alert cannot be stored and is given up");
                }
                _ => storable.push(change),
            }
        }
        storable
    }
}

/// An alert with what its rule says of its kind; none where the rule is not loaded.
pub(crate) fn change(rules: &RuleSet, alert: Alert) -> Option<Change> {
    let rule = rules.rules.iter().find(|rule| rule.id == alert.rule_id)?;
    Some(Change { opened_as: rule.level, opened_points: rule.risk, mute_after_close: rule.mute_after_close, alert })
}

fn gap_rows(gap: Gap) -> Vec<NewGap> {
    let rules = if gap.rules.is_empty() { vec![String::new()] } else { gap.rules };
    let row = |rule_id| NewGap {
        rule_id,
        key: gap.key.clone().unwrap_or_default(),
        from: gap.from,
        to: gap.to,
        lost: i64::try_from(gap.lost).unwrap_or(i64::MAX),
        reason: gap.reason.clone(),
    };
    rules.into_iter().map(row).collect()
}
