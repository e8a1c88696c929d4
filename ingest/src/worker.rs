//! The worker: reads, stores, and moves on.

use std::sync::Arc;
use std::time::Duration;

use bus::{Backoff, Reader, Record};
use domain::{JournalRead, Partition, metric};
use store::{ApplyError, INGEST, IngestRecord, Ingested, Move, Store};
use tokio_util::sync::CancellationToken;
use tracing::Span;
use uuid::Uuid;

use crate::halving::apply_parts;

/// At the end of the log, how long others may join the record that has just come: one transaction for all of them.
const LINGER: Duration = Duration::from_millis(100);
/// Records of one batch. While they are stored, requests wait for the one writer: with 1,000 a GET that is journaled
/// went a third slower.
const BATCH: usize = 256;

/// Why ingest cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The database failed at the start.
    #[error("ingest cannot read its offset: {0}")]
    Offset(#[source] store::Error),
}

/// Works on the embedded journal until it is asked to stop; what it has begun it finishes.
///
/// # Errors
/// Where the work begins cannot be read.
pub async fn run(store: Store, stop: CancellationToken) -> Result<(), IngestError> {
    let stored = store.offset(INGEST).await.map_err(IngestError::Offset)?;
    let from = Stand { partition: Partition::JOURNAL, stored, position: stored };
    run_partition(store.clone(), store, from, BATCH, |_| (), stop).await
}

/// Where the work on a partition begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stand {
    /// The partition.
    pub(crate) partition: Partition,
    /// The offset as the database has it.
    pub(crate) stored: i64,
    /// Where reading begins: later, where the log has lost what lies between.
    pub(crate) position: i64,
}

/// Works on one partition of a log, up to `batch` records at once, until it is asked to stop; what it has begun it
/// finishes. `stored` is told after each commit how far it is.
///
/// # Errors
/// None that is not tried again.
pub(crate) async fn run_partition<L: JournalRead>(
    store: Store,
    log: L,
    from: Stand,
    batch: usize,
    stored: impl Fn(i64) + Send,
    stop: CancellationToken,
) -> Result<(), IngestError> {
    stored(from.stored);
    let mut worker = Worker {
        store,
        partition: from.partition,
        stored: from.stored,
        reader: Reader::new(log, from.position),
        batch,
    };
    let mut backoff = Backoff::default();
    while stop.run_until_cancelled(worker.reader.ready(LINGER)).await.is_some() {
        let pause = match worker.step().await {
            Ok(()) => {
                backoff.succeeded();
                stored(worker.stored);
                continue;
            }
            Err(fault) => {
                let pause = backoff.failed();
                tracing::warn!(%fault, again_in_ms = pause.as_millis(), "ingest could not store a batch; it tries again");
                pause
            }
        };
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            break;
        }
    }
    Ok(())
}

struct Worker<L> {
    store: Store,
    partition: Partition,
    /// The offset as the database has it.
    stored: i64,
    reader: Reader<L>,
    batch: usize,
}

impl<L: JournalRead> Worker<L> {
    /// One batch, or as much of it as could be stored.
    async fn step(&mut self) -> Result<(), ApplyError> {
        let batch = self.reader.read(self.batch).await;
        let batch = batch.map_err(|error| ApplyError::Transient(store::Error::Fault(Box::new(error))))?;
        if batch.is_empty() {
            return Ok(());
        }
        // Until they are stored, or are to be tried again.
        let spans = batch.records.iter().map(|record| bus::trace::worked_on("ingest", self.partition, record));
        let spans: Vec<Span> = spans.filter(|span| !span.is_none()).collect();
        let records: Arc<[IngestRecord]> = batch.records.into_iter().map(ingestible).collect();
        let (store, partition, mut stored) = (&self.store, self.partition, self.stored);
        let outcome = apply_parts(&mut stored, (batch.to, records), |expected, next, records| async move {
            let last_event = last_event(partition, &records);
            let step = Move { partition, expected, next, last_event };
            let Ingested { stored, known, dead, late } = store.apply_ingest(step, records).await?;
            for (outcome, records) in [("stored", stored), ("known", known), ("dead", dead)] {
                metrics::counter!(metric::INGESTED, "outcome" => outcome).increment(records as u64);
            }
            metrics::counter!(metric::INGESTED_LATE).increment(late as u64);
            tracing::debug!(%partition, next, stored, known, dead, late, "ingested");
            Ok(())
        });
        let outcome = outcome.await;
        if outcome.is_err() {
            spans.iter().for_each(bus::trace::failed);
        }
        drop(spans);
        if stored != self.stored {
            self.stored = stored;
            self.reader.done(stored);
        }
        match outcome {
            Err(ApplyError::NotOurs) => {
                let position = self.store.position(INGEST, partition).await.map_err(ApplyError::Transient)?;
                self.stored = position.unwrap_or_default().next;
                tracing::warn!(%partition, position = self.stored, "somebody else has moved ingest's offset; going on from there");
                self.reader.done(self.stored);
                Ok(())
            }
            other => other,
        }
    }
}

/// The event in the last of some records; the journal needs none.
fn last_event(partition: Partition, records: &[IngestRecord]) -> Option<Uuid> {
    match records.last() {
        Some(IngestRecord::Activity { activity, .. }) if partition != Partition::JOURNAL => Some(activity.event_id),
        _ => None,
    }
}

fn ingestible(record: Record) -> IngestRecord {
    let Record { seq, payload, activity, .. } = record;
    match activity {
        Ok(activity) => IngestRecord::Activity { seq, activity, payload },
        Err(poison) => IngestRecord::Bad { seq, payload, reason: poison.reason },
    }
}
