//! Topic `activity.in` → the journal.
//!
//! Other systems write activities there in the wire schema, as they would post them. What obeys it is appended to the
//! journal by its id, under `origin: ingest:kafka`; what does not goes to the dead letters with the reason, and the next
//! one gets its turn.

use std::sync::Arc;
use std::time::Duration;

use bus::kafka::{ACTIVITY_IN, Ended, KafkaError, PartitionLog, Settings, drive};
use bus::{Backoff, RawBatch, Reader};
use domain::wire::{self, late};
use domain::{Activity, JournalRecord, Partition, SharedClock, ids, username_key};
use store::{ApplyError, INTAKE, Move, Store};
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
    if let Some((from, to)) = begun.gap {
        tracing::warn!(%partition, from, to, "records were removed from the topic before they were read");
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
    let mut incoming = Vec::with_capacity(records.len());
    let mut last_event = None;
    for record in records {
        match parsed(&record) {
            Ok(one) => {
                last_event = one.event_id;
                incoming.push((record, one));
            }
            Err(reason) => {
                last_event = None;
                read.bad.push((record.seq, reason, record.payload));
            }
        }
    }
    let names: Vec<String> = incoming.iter().filter_map(|(_, one)| one.user.as_deref().map(username_key)).collect();
    let known = if names.is_empty() { Default::default() } else { intake.store.known_users(&names).await? };
    let now = intake.clock.now();
    for (record, mut one) in incoming {
        let ours = match (&one.user, one.user_id) {
            (Some(name), _) => known.get(&username_key(name)).copied(),
            (None, Some(id)) => intake.store.user(id).await?.map(|user| {
                one.user = Some(user.username.clone());
                (user.user_id, user.role)
            }),
            (None, None) => None,
        };
        // The broker's time: while nobody was here to read, nothing has become late.
        let received_at = record.appended_at.min(now);
        let mut activity: Activity = one.into_reported(received_at, made_id(partition, record.seq), ORIGIN, ours);
        activity.late = late(activity.occurred_at, received_at, intake.lateness);
        read.activities.push(activity);
    }
    let step = Move { partition, expected: *stored, next: to, last_event };
    let done = intake.store.take_in(step, read).await?;
    tracing::debug!(%partition, ?done, "taken in");
    *stored = to;
    reader.done(to);
    Ok(())
}

fn parsed(record: &JournalRecord) -> Result<wire::Incoming, String> {
    if record.payload.len() > MOST_RECORD {
        return Err(format!("is longer than {MOST_RECORD} bytes"));
    }
    wire::parse(record.payload.as_bytes()).map_err(|error| error.to_string())
}

/// The id of a record that brings none: read again, it has the same.
fn made_id(partition: Partition, seq: i64) -> Uuid {
    ids::derived(&[
        b"kafka",
        partition.topic.as_bytes(),
        partition.number.to_string().as_bytes(),
        seq.to_string().as_bytes(),
    ])
}
