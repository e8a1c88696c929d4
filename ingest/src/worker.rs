//! The worker: reads, stores, and moves on.

use std::sync::Arc;
use std::time::Duration;

use bus::{Backoff, Reader, Record};
use store::{ApplyError, INGEST, IngestRecord, Store};
use tokio_util::sync::CancellationToken;

/// At the end of the log, how long others may join the record that has just come: one transaction for all of them.
const LINGER: Duration = Duration::from_millis(100);
/// Records of one batch.
const BATCH: usize = 1_000;

/// Why ingest cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The database failed at the start.
    #[error("ingest cannot read its offset: {0}")]
    Offset(#[source] store::Error),
}

/// Runs until it is asked to stop; what it has begun it finishes.
///
/// # Errors
/// Where the work begins cannot be read.
pub async fn run(store: Store, stop: CancellationToken) -> Result<(), IngestError> {
    let mut reader = Reader::new(store.clone(), store.offset(INGEST).await.map_err(IngestError::Offset)?);
    let mut backoff = Backoff::default();
    while stop.run_until_cancelled(reader.ready(LINGER)).await.is_some() {
        let pause = match step(&store, &mut reader).await {
            Ok(()) => {
                backoff.succeeded();
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

/// One batch, or as much of it as could be stored.
async fn step(store: &Store, reader: &mut Reader<Store>) -> Result<(), ApplyError> {
    let batch =
        reader.read(BATCH).await.map_err(|error| ApplyError::Transient(store::Error::Fault(Box::new(error))))?;
    if batch.is_empty() {
        return Ok(());
    }
    let records: Vec<IngestRecord> = batch.records.into_iter().map(ingestible).collect();
    let mut parts = vec![(batch.to, Arc::<[IngestRecord]>::from(records))];
    while let Some((to, records)) = parts.pop() {
        match store.apply_ingest(reader.position(), to, records.clone()).await {
            Ok(done) => {
                reader.done(to);
                tracing::debug!(
                    to,
                    stored = done.stored,
                    known = done.known,
                    dead = done.dead,
                    late = done.late,
                    "ingested"
                );
            }
            Err(ApplyError::Poison(cause)) => match records.as_ref() {
                [record] => {
                    tracing::warn!(seq = record.seq(), %cause, "a record cannot be stored; it goes to the dead letters");
                    parts.push((to, Arc::from([dead(record, &cause.to_string())])));
                }
                // Nothing but the offset to move, and that was refused as data: it would be refused for ever.
                [] => return Err(ApplyError::Poison(cause)),
                _ => {
                    let (first, second) = records.split_at(records.len() / 2);
                    parts.push((to, Arc::from(second)));
                    parts.push((first[first.len() - 1].seq(), Arc::from(first)));
                }
            },
            Err(ApplyError::NotOurs) => {
                let position = store.offset(INGEST).await.map_err(ApplyError::Transient)?;
                tracing::warn!(position, "somebody else has moved ingest's offset; going on from there");
                reader.done(position);
                return Ok(());
            }
            Err(fault @ ApplyError::Transient(_)) => return Err(fault),
        }
    }
    Ok(())
}

fn ingestible(record: Record) -> IngestRecord {
    let Record { seq, payload, activity, .. } = record;
    match activity {
        Ok(activity) => IngestRecord::Activity { seq, activity, payload },
        Err(poison) => IngestRecord::Bad { seq, payload, reason: poison.reason },
    }
}

fn dead(record: &IngestRecord, reason: &str) -> IngestRecord {
    match record {
        IngestRecord::Activity { seq, payload, .. } => {
            IngestRecord::Bad { seq: *seq, payload: payload.clone(), reason: format!("cannot be stored: {reason}") }
        }
        // The dead letter itself is refused: without its text it fits.
        IngestRecord::Bad { seq, reason: first, .. } => {
            IngestRecord::Bad { seq: *seq, payload: String::new(), reason: format!("{first}; then: {reason}") }
        }
    }
}
