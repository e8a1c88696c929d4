//! The worker: reads, stores, and moves on.

use std::sync::Arc;
use std::time::Duration;

use bus::{Backoff, Reader, Record};
use store::{ApplyError, INGEST, IngestRecord, Ingested, Store};
use tokio_util::sync::CancellationToken;

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
    let records: Arc<[IngestRecord]> = batch.records.into_iter().map(ingestible).collect();
    let mut position = reader.position();
    let outcome = apply_parts(&mut position, (batch.to, records), |expected, next, records| async move {
        let Ingested { stored, known, dead, late } = store.apply_ingest(expected, next, records).await?;
        tracing::debug!(next, stored, known, dead, late, "ingested");
        Ok(())
    });
    let outcome = outcome.await;
    reader.done(position);
    match outcome {
        Err(ApplyError::NotOurs) => {
            let position = store.offset(INGEST).await.map_err(ApplyError::Transient)?;
            tracing::warn!(position, "somebody else has moved ingest's offset; going on from there");
            reader.done(position);
            Ok(())
        }
        other => other,
    }
}

fn ingestible(record: Record) -> IngestRecord {
    let Record { seq, payload, activity, .. } = record;
    match activity {
        Ok(activity) => IngestRecord::Activity { seq, activity, payload },
        Err(poison) => IngestRecord::Bad { seq, payload, reason: poison.reason },
    }
}
