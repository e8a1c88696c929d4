//! Activities that others post: each id once, whatever comes again.

use std::collections::HashMap;
use std::sync::Arc;

use domain::Activity;
use uuid::Uuid;

use crate::by_id::payloads;
use crate::db::Tx;
use crate::ingest::dead_letter;
use crate::journal::{Entry, insert_entries};
use crate::offsets::{ApplyError, INTAKE, Move, move_offset};
use crate::query::run_in_tx;
use crate::sql::statements;
use crate::{Error, Result, Store};

statements! {
    BURIED = "DELETE FROM dead_letters WHERE id = ?";
}

/// Look-ups and inserts of one call before it is told that the database is busy: more than one takes another caller
/// with the same ids at the same time.
const ATTEMPTS: u32 = 5;

/// What became of a posted activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is in the journal now.
    New,
    /// It had come before, with the same content.
    Duplicate,
    /// Another one with its id had come before and stands.
    Conflict,
}

/// What was read from a log that others write: what is appended, and what is put aside.
#[derive(Debug, Clone, Default)]
pub struct Intake {
    /// What is an activity.
    pub good: Vec<Readable>,
    /// Position, reason and text of what is none.
    pub bad: Vec<(i64, String, String)>,
}

/// A record of it that is an activity.
#[derive(Debug, Clone)]
pub struct Readable {
    /// Its position.
    pub seq: i64,
    /// The text, as it was.
    pub payload: String,
    /// What it says.
    pub activity: Activity,
}

/// What became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TakenIn {
    /// Appended to the journal.
    pub new: usize,
    /// Had come before.
    pub duplicates: usize,
    /// Came with the id of another and were put aside.
    pub conflicts: usize,
    /// Put aside.
    pub dead: usize,
}

impl Store {
    /// Appends what was read from a log that others write, puts the rest into the dead letters and moves the offset, in
    /// one transaction.
    ///
    /// # Errors
    /// [`ApplyError`]; nothing was done.
    pub async fn take_in(&self, step: Move, read: Intake) -> std::result::Result<TakenIn, ApplyError> {
        self.shared().room_in_journal()?;
        let read = Arc::new(read);
        Ok(self
            .write(move |tx| {
                let read = Arc::clone(&read);
                Box::pin(async move {
                    move_offset(tx, INTAKE, step).await?;
                    let activities: Vec<&Activity> = read.good.iter().map(|good| &good.activity).collect();
                    let answers = append_new(tx, &activities).await;
                    // Another transaction brought one of the ids between the look-up and the insert: it is looked up
                    // again.
                    let again = |error| match error {
                        Error::Duplicate => Error::fault("an activity came twice at the same time"),
                        other => other,
                    };
                    let mut done = TakenIn::default();
                    for (answer, Readable { seq, payload, activity }) in
                        answers.map_err(again)?.into_iter().zip(&read.good)
                    {
                        match answer {
                            Appended::New => done.new += 1,
                            Appended::Duplicate => done.duplicates += 1,
                            Appended::Conflict => {
                                done.conflicts += 1;
                                let reason = format!("another activity has the id {} and stands", activity.event_id);
                                dead_letter(tx, step.partition, *seq, &reason, payload).await?;
                            }
                        }
                    }
                    for (seq, reason, payload) in &read.bad {
                        dead_letter(tx, step.partition, *seq, reason, payload).await?;
                        done.dead += 1;
                    }
                    Ok(done)
                })
            })
            .await?)
    }

    /// Appends what a dead letter has become, once, and removes the letter, in one transaction. A conflict leaves it.
    ///
    /// # Errors
    /// Nothing was done.
    pub async fn replay_dead_letter(&self, id: i64, activity: Activity) -> Result<Appended> {
        self.shared().room_in_journal()?;
        let activity = Arc::new(activity);
        self.write(move |tx| {
            let activity = Arc::clone(&activity);
            Box::pin(async move {
                let answers = append_new(tx, &[&*activity]).await?;
                let answer = answers.first().copied().unwrap_or(Appended::Conflict);
                if answer != Appended::Conflict {
                    run_in_tx!(tx, BURIED, id);
                }
                Ok(answer)
            })
        })
        .await
    }

    /// Appends activities that others posted: each id once, also if it was posted before or comes twice in the list.
    /// One transaction for all. The answers stand in the order of the list.
    ///
    /// # Errors
    /// Nothing of the list was appended.
    pub async fn append_posted(&self, activities: Vec<Activity>) -> Result<Vec<Appended>> {
        self.shared().room_in_journal()?;
        let activities = Arc::new(activities);
        for _ in 0..ATTEMPTS {
            let posted = Arc::clone(&activities);
            let answer = self
                .write(move |tx| {
                    let posted = Arc::clone(&posted);
                    Box::pin(async move { append_new(tx, &posted.iter().collect::<Vec<_>>()).await })
                })
                .await;
            match answer {
                // Another transaction brought one of the ids between the look-up and the insert: look again.
                Err(Error::Duplicate) => {}
                other => return other,
            }
        }
        Err(Error::Overloaded)
    }
}

/// Looks up which ids are known, appends the others.
async fn append_new(tx: &mut Tx, posted: &[&Activity]) -> Result<Vec<Appended>> {
    let ids: Vec<Uuid> = posted.iter().map(|activity| activity.event_id).collect();
    let found = payloads(tx, &ids).await?.into_iter();
    let mut known: HashMap<Uuid, Known> = found.map(|(id, payload)| (id, Known::Stored(payload))).collect();
    let (mut answers, mut entries) = (Vec::with_capacity(posted.len()), Vec::new());
    for (at, activity) in posted.iter().enumerate() {
        let same = match known.get(&activity.event_id) {
            None => {
                known.insert(activity.event_id, Known::Here(at));
                entries.push(Entry::activity(activity));
                answers.push(Appended::New);
                continue;
            }
            Some(Known::Here(first)) => activity.same_content(posted[*first]),
            Some(Known::Stored(payload)) => {
                let stored = Activity::from_json(payload).map_err(|error| Error::Fault(error.into()))?;
                activity.same_content(&stored)
            }
        };
        answers.push(if same { Appended::Duplicate } else { Appended::Conflict });
    }
    insert_entries(tx, &entries).await?;
    Ok(answers)
}

enum Known {
    /// Payload of the row that was there.
    Stored(String),
    /// Position in the list of the one that came first.
    Here(usize),
}
