//! The worker around the engine: reads the journal, feeds the engine, and stores what it finds together with the offset.
//!
//! The engine is ahead of the database by what it was fed since the last transaction, and by nothing else: if the
//! process dies, the next one feeds it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bus::{Backoff, Batch, Reader};
use domain::{JournalRead, MINUTE, Partition, SharedClock, Timestamp, metric};
use store::Store;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, Settings};
use crate::recovery::{self, Recovered};
use crate::rules::RuleSet;
use crate::sink::Sink;
use crate::snapshots::Snapshots;

/// Records that are fed between two transactions.
const BATCH: usize = 1_000;
/// While nothing comes, the watermark follows the clock this often.
const IDLE: Duration = Duration::from_secs(1);
/// How often it is said what the engine takes; a sixtieth as often with many keys.
const WEIGHED: Duration = Duration::from_secs(10);
const MANY_KEYS: usize = 100_000;
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
    /// Kafka failed at the start.
    #[error(transparent)]
    Kafka(#[from] bus::kafka::KafkaError),
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
    /// What the watermark follows while nothing comes.
    pub passed: Passed,
    /// Where the worker says how far it is.
    pub status: Arc<Status>,
    /// What the worker works on.
    pub partition: Partition,
}

/// Says up to which time of receipt everything is in the log that the worker reads, and can be read there.
pub type Passed = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// For the embedded journal: an activity is in it when it is received.
#[must_use]
pub fn passed_by(clock: SharedClock) -> Passed {
    Arc::new(move || clock.now())
}

/// How far a detector is, for whoever asks.
#[derive(Debug, Default)]
pub struct Status {
    /// Microseconds; 0 until the worker is ready.
    watermark: AtomicI64,
    late: AtomicU64,
    behind: AtomicU64,
    position: AtomicI64,
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

    /// The position up to which the log has been read.
    #[must_use]
    pub fn position(&self) -> i64 {
        self.position.load(Ordering::Relaxed)
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
    recovery::supersede(&parts.store, &parts.rules).await?;
    let Some(recovered) = stop.run_until_cancelled(recovery::recover(&parts)).await else { return Ok(()) };
    let recovered = recovered?;
    tracing::info!(
        rules = parts.rules.rules.len(),
        events = recovered.events,
        took_ms = started.elapsed().as_millis(),
        "the detector is ready"
    );
    let log = parts.store.clone();
    work(parts, log, recovered, stop).await
}

/// Goes on from where the one before was, until it is asked to stop.
pub(crate) async fn work<L: JournalRead>(
    parts: Parts,
    log: L,
    recovered: Recovered,
    stop: CancellationToken,
) -> Result<(), WorkerError> {
    let Recovered { engine, stored, position, watermark, gaps, .. } = recovered;
    let mut worker = Worker {
        reader: Reader::new(log, position),
        sink: Sink::new(parts.store.clone(), parts.partition, parts.rules.clone(), stored).with(gaps),
        snapshots: Snapshots::new(parts.store.clone(), parts.partition, &engine),
        watermark,
        weighed: None,
        engine,
        parts,
    };
    worker.sink.take(&mut worker.engine);
    let _shown = Shown(worker.parts.partition);
    let mut whole = true;
    while whole && stop.run_until_cancelled(worker.ready()).await.is_some() {
        whole = worker.step(&stop).await?;
    }
    // Past a find that could not be stored the offset must not move: the next process finds it again.
    if whole && worker.sink.is_behind(worker.reader.position()) {
        whole = worker.write(&stop).await?;
    }
    if whole {
        worker.snapshots.stop(&mut worker.engine, worker.reader.position()).await?;
    }
    Ok(())
}

struct Worker<L> {
    parts: Parts,
    engine: Engine,
    reader: Reader<L>,
    sink: Sink,
    snapshots: Snapshots,
    /// Up to here the engine has decided.
    watermark: Timestamp,
    /// When it was last said what the engine takes.
    weighed: Option<Instant>,
}

impl<L: JournalRead> Worker<L> {
    /// Returns when there is something to read, and from time to time while there is not.
    async fn ready(&mut self) {
        // A timeout says the same as a record: look.
        let _ = tokio::time::timeout(IDLE, self.reader.ready(Duration::ZERO)).await;
    }

    /// Feeds one batch and stores what is found. Says whether all is well: it is not only where the database failed until
    /// the end came, and something that was found is not stored.
    async fn step(&mut self, stop: &CancellationToken) -> Result<bool, WorkerError> {
        let Some(batch) = self.read(stop).await else { return Ok(true) };
        let mut newest = Timestamp::MIN;
        // Until what is found of them is stored.
        let spans = self.sink.spans(&batch.records);
        for record in &batch.records {
            let Ok(activity) = &record.activity else {
                // What is no activity is ingest's to bury.
                self.sink.saw_other();
                continue;
            };
            newest = newest.max(activity.received_at);
            self.sink.saw(activity);
            if activity.late {
                self.parts.status.late.fetch_add(1, Ordering::Relaxed);
            } else {
                self.engine.observe(activity);
            }
        }
        self.snapshots.observed(batch.records.len());
        metrics::counter!(metric::OBSERVED).increment(batch.records.len() as u64);
        self.weigh();
        if batch.is_empty() && self.reader.caught_up() {
            newest = (self.parts.passed)();
        }
        self.watermark = self.watermark.max(newest.plus(-self.parts.lateness - GRACE));
        self.engine.advance(self.watermark);
        self.reader.done(batch.to);
        self.parts.status.position.store(batch.to, Ordering::Relaxed);
        self.sink.take(&mut self.engine);
        let whole = !self.sink.is_due(batch.to) || self.write(stop).await?;
        drop(spans);
        let status = &self.parts.status;
        status.behind.store(self.engine.behind(), Ordering::Relaxed);
        if whole && self.watermark > Timestamp::MIN {
            status.watermark.store(self.watermark.micros(), Ordering::Relaxed);
        }
        if whole && self.snapshots.is_due() && !self.sink.is_behind(batch.to) {
            self.snapshots.take(&mut self.engine, batch.to).await?;
        }
        Ok(whole)
    }

    /// Tells now and then what the engine takes: to look takes the longer, the more it holds.
    fn weigh(&mut self) {
        let every = if self.engine.keys() > MANY_KEYS { WEIGHED * 60 } else { WEIGHED };
        if self.weighed.is_some_and(|at| at.elapsed() < every) {
            return;
        }
        self.weighed = Some(Instant::now());
        let footprint = self.engine.footprint();
        show(self.parts.partition, footprint.bytes, footprint.keys);
    }

    /// The next records; none where the process is to stop before the log can be read.
    async fn read(&mut self, stop: &CancellationToken) -> Option<Batch> {
        let mut backoff = Backoff::default();
        loop {
            match self.reader.read(BATCH).await {
                Ok(batch) => return Some(batch),
                Err(fault) => {
                    let pause = backoff.failed();
                    tracing::warn!(%fault, again_in_ms = pause.as_millis(), "the detector could not read");
                    stop.run_until_cancelled(tokio::time::sleep(pause)).await?;
                }
            }
        }
    }

    async fn write(&mut self, stop: &CancellationToken) -> Result<bool, WorkerError> {
        self.sink.write(self.reader.position(), self.watermark, stop).await
    }
}

/// What an engine takes, as long as it is there: a partition that has gone elsewhere takes nothing here.
struct Shown(Partition);

impl Drop for Shown {
    fn drop(&mut self) {
        show(self.0, 0, 0);
    }
}

fn show(partition: Partition, bytes: usize, keys: usize) {
    let partition = partition.to_string();
    #[expect(clippy::cast_precision_loss, reason = "bytes and keys")]
    let (bytes, keys) = (bytes as f64, keys as f64);
    metrics::gauge!(metric::ENGINE_BYTES, "partition" => partition.clone()).set(bytes);
    metrics::gauge!(metric::ENGINE_KEYS, "partition" => partition).set(keys);
}
