//! Topic `activity.in` → the journal.
//!
//! Other systems write activities there in the wire schema, as they would post them. What obeys it is appended to the
//! journal by its id, under `origin: ingest:kafka`; what does not goes to the dead letters with the reason, and the next
//! one gets its turn.

use std::sync::Arc;
use std::time::Duration;

use bus::kafka::{ACTIVITY_IN, Ended, KafkaError, PartitionLog, Settings, drive};
use bus::{Backoff, RawBatch, Reader};
use domain::wire::{self, Incoming, late};
use domain::{Activity, JournalRecord, Partition, Role, SharedClock, Timestamp, ids};
use store::{ApplyError, DeadLetterRow, INTAKE, Move, NewGap, Readable, Store};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The group that shares the topic.
const GROUP: &str = "security-analytics.intake";
/// What such activities are marked with.
const ORIGIN: &str = "ingest:kafka";
/// Records of one transaction.
const BATCH: usize = 500;
/// At the end of the log, how long others may join the record that has just come.
const LINGER: Duration = Duration::from_millis(20);
/// The longest record, in bytes, as of a posted line.
const MOST_RECORD: usize = 64 * 1024;

/// What taking in needs.
#[derive(Clone)]
pub struct Intake {
    /// Where the journal is.
    pub store: Store,
    /// Where the topic is.
    pub kafka: Settings,
    /// Nothing is received later than now.
    pub clock: SharedClock,
    /// How late an activity may be, in microseconds.
    pub lateness: i64,
    /// The name of this process that stays over restarts, where it has one.
    pub instance: Option<String>,
}

/// Takes in what others write, on the partitions that fall to this process, until it is asked to stop.
///
/// # Errors
/// The group cannot be a member's, or the topic is not the one that was read before.
pub async fn take_in(intake: Intake, stop: CancellationToken) -> Result<(), KafkaError> {
    let settings = intake.kafka.clone();
    let instance = intake.instance.clone();
    let intake = Arc::new(intake);
    drive(&settings, GROUP, ACTIVITY_IN, instance.as_deref(), stop, move |log, stop| {
        let intake = Arc::clone(&intake);
        async move { partition(&intake, log, stop).await }
    })
    .await
}

async fn partition(intake: &Intake, log: PartitionLog, stop: CancellationToken) -> Ended {
    let partition = log.partition();
    let position = match intake.store.position(INTAKE, partition).await {
        Ok(position) => position.unwrap_or_default(),
        Err(error) => return Ended::Again(error.to_string()),
    };
    let begun = match log.begin(position.next, position.last_event).await {
        Ok(begun) => begun,
        Err(error) => return error.into(),
    };
    if let Some(offsets) = begun.gap
        && let Err(error) =
            intake.store.record_gaps(vec![NewGap::removed(partition, offsets, intake.store.now(), "the intake")]).await
    {
        return Ended::Again(error.to_string());
    }
    let mut stored = position.next;
    let mut reader = Reader::new(log.clone(), begun.position);
    let mut backoff = Backoff::default();
    while stop.run_until_cancelled(reader.ready(LINGER)).await.is_some() {
        let fault = match step(intake, partition, &mut reader, &mut stored).await {
            Ok(()) => {
                backoff.succeeded();
                log.commit(stored);
                continue;
            }
            Err(ApplyError::NotOurs) => return Ended::Again("somebody else has moved the offset".to_owned()),
            Err(fault) => fault,
        };
        let pause = backoff.failed();
        tracing::warn!(%partition, %fault, again_in_ms = pause.as_millis(), "what others wrote could not be taken in");
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            break;
        }
    }
    Ended::Asked
}

async fn step(
    intake: &Intake,
    partition: Partition,
    reader: &mut Reader<PartitionLog>,
    stored: &mut i64,
) -> Result<(), ApplyError> {
    let fault = |error: domain::JournalError| ApplyError::Transient(store::Error::Fault(Box::new(error)));
    let RawBatch { to, records, .. } = reader.read_raw(BATCH).await.map_err(fault)?;
    if records.is_empty() {
        return Ok(());
    }
    let mut read = store::Intake::default();
    let mut readable = Vec::with_capacity(records.len());
    let mut last_event = None;
    let now = intake.clock.now();
    for JournalRecord { seq, payload, appended_at, .. } in records {
        match parsed(&payload) {
            Ok(incoming) => {
                last_event = incoming.event_id;
                // The broker's time: while nobody was here to read, nothing has become late.
                let default_id = made_id(partition.topic, partition.number.into(), seq);
                let said = Said { default_id, received_at: appended_at.min(now), incoming };
                readable.push(((seq, payload), said));
            }
            Err(reason) => {
                last_event = None;
                read.bad.push((seq, reason, payload));
            }
        }
    }
    let (places, said): (Vec<(i64, String)>, Vec<Said>) = readable.into_iter().unzip();
    let activities = activities(&intake.store, said, intake.lateness).await?;
    let good = places.into_iter().zip(activities);
    read.good = good.map(|((seq, payload), activity)| Readable { seq, payload, activity }).collect();
    let step = Move { partition, expected: *stored, next: to, last_event };
    let done = intake.store.take_in(step, read).await?;
    tracing::debug!(%partition, ?done, "taken in");
    *stored = to;
    reader.done(to);
    Ok(())
}

/// The activity of a record that was put aside and can be read by now, as if it came now.
///
/// # Errors
/// [`Again::Unreadable`] with the reason; else the database cannot be read.
pub async fn read_again(
    store: &Store,
    letter: &DeadLetterRow,
    now: Timestamp,
    lateness: i64,
) -> Result<Activity, Again> {
    let incoming = parsed(&letter.payload).map_err(Again::Unreadable)?;
    // A reader's position is the one behind the record.
    let default_id = made_id(&letter.topic, letter.partition, letter.offset + 1);
    let said = Said { default_id, received_at: now, incoming };
    let activity = activities(store, vec![said], lateness).await?.pop();
    activity.ok_or_else(|| Again::Unreadable("says nothing".to_owned()))
}

/// Why a record is not taken in again.
#[derive(Debug, thiserror::Error)]
pub enum Again {
    /// It still cannot be read, and why.
    #[error("{0}")]
    Unreadable(String),
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What a record says.
struct Said {
    /// Its id where it brings none.
    default_id: Uuid,
    received_at: Timestamp,
    incoming: Incoming,
}

async fn activities(store: &Store, mut said: Vec<Said>, lateness: i64) -> store::Result<Vec<Activity>> {
    let meant = store.users_meant(said.iter_mut().map(|said| &mut said.incoming).collect()).await?;
    let one = |(said, meant): (Said, Option<(i64, Role)>)| {
        let Said { default_id, received_at, incoming } = said;
        let mut activity = incoming.into_reported(received_at, default_id, ORIGIN, meant);
        activity.late = late(activity.occurred_at, received_at, lateness);
        activity
    };
    Ok(said.into_iter().zip(meant).map(one).collect())
}

fn parsed(payload: &str) -> Result<Incoming, String> {
    if payload.len() > MOST_RECORD {
        return Err(format!("is longer than {MOST_RECORD} bytes"));
    }
    wire::parse(payload.as_bytes()).map_err(|error| error.to_string())
}

/// The id of a record that brings none: read again, it has the same.
fn made_id(topic: &str, partition: i64, seq: i64) -> Uuid {
    ids::derived(&[b"kafka", topic.as_bytes(), partition.to_string().as_bytes(), seq.to_string().as_bytes()])
}
