//! Storing what the log holds: each activity once, its session and its counts with it, and what cannot be read.
//!
//! | file | what |
//! |---|---|
//! | `mod` | [`Store::apply_ingest`]: one batch, one transaction |
//! | `row` | the columns of `user_logs`, and the insert of many |
//! | `tally` | sessions and counts, summed up over the batch before they are written |

mod row;
mod tally;

use std::collections::HashSet;
use std::sync::Arc;

use domain::{Activity, Partition};
use uuid::Uuid;

use crate::by_id::stored_payloads;
use crate::db::{Tx, in_tx};
use crate::offsets::{INGEST, Move, move_offset};
use crate::query::{clipped, id, run_in_tx};
use crate::sql::{chunks, id_bytes, lists, statements};
use crate::{ApplyError, Error, Result, Store};

use tally::Tally;

statements! {
    DEAD = "INSERT INTO dead_letters (topic, part, record_offset, reason, payload, at) VALUES (?, ?, ?, ?, ?, ?)";
}

lists! {
    STORED = "SELECT event_id FROM user_logs WHERE event_id IN (", "?", ")";
}

/// Characters of a reason: it may hold a part of what could not be read.
const REASON: usize = 4_000;

/// One record of the log.
#[derive(Debug, Clone)]
pub enum IngestRecord {
    /// An activity.
    Activity {
        /// Its position.
        seq: i64,
        /// What it says.
        activity: Box<Activity>,
        /// The text it was read from, kept as it is.
        payload: String,
    },
    /// Something that is none.
    Bad {
        /// Its position.
        seq: i64,
        /// The text.
        payload: String,
        /// Why, in a sentence.
        reason: String,
    },
}

impl IngestRecord {
    /// Position in the log.
    #[must_use]
    pub fn seq(&self) -> i64 {
        match self {
            Self::Activity { seq, .. } | Self::Bad { seq, .. } => *seq,
        }
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ingested {
    /// Activities that are stored now and were not before.
    pub stored: usize,
    /// Activities that were stored already.
    pub known: usize,
    /// Records that went to the dead letters.
    pub dead: usize,
    /// Of those stored: later than the lateness allows.
    pub late: usize,
}

impl Store {
    /// Stores a batch and moves ingest's offset, in one transaction. Activities that are stored already change nothing.
    ///
    /// # Errors
    /// [`ApplyError`]; nothing was done.
    pub async fn apply_ingest(
        &self,
        step: Move,
        records: Arc<[IngestRecord]>,
    ) -> std::result::Result<Ingested, ApplyError> {
        Ok(self
            .write(move |tx| {
                let records = Arc::clone(&records);
                Box::pin(async move {
                    move_offset(tx, INGEST, step).await?;
                    store(tx, step.partition, &records).await
                })
            })
            .await?)
    }
}

/// Stores a batch; no offset is moved.
pub(crate) async fn store(tx: &mut Tx, partition: Partition, records: &[IngestRecord]) -> Result<Ingested> {
    let mut done = Ingested::default();
    let mut activities: Vec<Positioned<'_>> = Vec::with_capacity(records.len());
    for record in records {
        match record {
            IngestRecord::Activity { seq, activity, payload } => activities.push((*seq, activity, payload)),
            IngestRecord::Bad { seq, payload, reason } => {
                dead_letter(tx, partition, *seq, reason, payload).await?;
                done.dead += 1;
            }
        }
    }
    // In the order of ids, of several with one id the first: two who insert the same ones do not wait for each other
    // in a circle.
    activities.sort_by_key(|(seq, activity, _)| (activity.event_id, *seq));
    let mut again = Vec::new();
    activities.dedup_by(|later, first| {
        let same = later.1.event_id == first.1.event_id;
        if same {
            again.push(*later);
        }
        same
    });
    let stored = stored(tx, &activities).await?;
    if !stored.is_empty() {
        again.extend(activities.extract_if(.., |(_, activity, _)| stored.contains(&activity.event_id)));
    }
    row::insert(tx, &activities).await?;
    // Whoever appends to the journal looks there and in the logs for an id; between the two it is in Kafka alone, and
    // another activity may have been acknowledged under it.
    if partition != Partition::JOURNAL {
        let conflicts = conflicts(tx, &again).await?;
        for (seq, activity, payload) in &conflicts {
            let reason = format!("another activity has the id {} and stands", activity.event_id);
            dead_letter(tx, partition, *seq, &reason, payload).await?;
        }
        done.dead += conflicts.len();
        done.known = again.len() - conflicts.len();
    } else {
        done.known = again.len();
    }
    let mut tally = Tally::default();
    for (_, activity, _) in &activities {
        tally.add(activity);
    }
    tally.write(tx, i64::from(partition.number)).await?;
    done.stored = activities.len();
    done.late = activities.iter().filter(|(_, activity, _)| activity.late).count();
    Ok(done)
}

/// Puts a record aside. Positions of Kafka are one more than the record's offset there, so that they say what is done.
pub(crate) async fn dead_letter(
    tx: &mut Tx,
    partition: Partition,
    seq: i64,
    reason: &str,
    payload: &str,
) -> Result<()> {
    // In the journal activities stand beside alerts; a dead letter is one of the activities.
    let (topic, offset) = match partition {
        Partition::JOURNAL => (domain::Topic::Activity.as_str(), seq),
        other => (other.topic, seq - 1),
    };
    let (part, reason, now) = (i64::from(partition.number), clipped(reason, REASON), tx.now.micros());
    run_in_tx!(tx, DEAD, topic, part, offset, reason, payload, now);
    Ok(())
}

/// Position, activity and the text that it was read from.
type Positioned<'a> = (i64, &'a Activity, &'a str);

/// Which of the activities say something else than what is stored under their ids.
async fn conflicts<'a>(tx: &mut Tx, again: &[Positioned<'a>]) -> Result<Vec<Positioned<'a>>> {
    let ids: Vec<Uuid> = again.iter().map(|(_, activity, _)| activity.event_id).collect();
    let standing = stored_payloads(tx, &ids).await?;
    let mut found = Vec::new();
    for one @ (_, activity, _) in again {
        let Some(payload) = standing.get(&activity.event_id) else { continue };
        let stands = Activity::from_json(payload).map_err(|error| Error::Fault(error.into()))?;
        if !activity.same_content(&stands) {
            found.push(*one);
        }
    }
    Ok(found)
}

/// Which of the activities are stored.
async fn stored(tx: &mut Tx, activities: &[Positioned<'_>]) -> Result<HashSet<Uuid>> {
    let mut found = HashSet::new();
    for piece in chunks(activities) {
        let rows: Vec<(Vec<u8>,)> = in_tx!(tx, c => {
            let mut query = sqlx::query_as(STORED.of(piece.len()));
            for (_, activity, _) in piece {
                query = query.bind(id_bytes(activity.event_id));
            }
            query.fetch_all(c).await?
        });
        for (bytes,) in rows {
            found.insert(id(&bytes)?);
        }
    }
    Ok(found)
}
