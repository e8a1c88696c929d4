//! Activities that others post: each id once, whatever comes again.

use std::collections::HashMap;
use std::sync::Arc;

use domain::Activity;
use uuid::Uuid;

use crate::db::{Tx, in_tx};
use crate::journal::{Entry, insert_entries};
use crate::sql::{chunks, id_bytes, lists};
use crate::{Error, Result, Store};

lists! {
    IN_JOURNAL = "SELECT event_id, payload FROM journal WHERE event_id IN (", "?", ")";
    IN_LOGS = "SELECT event_id, payload FROM user_logs WHERE event_id IN (", "?", ")";
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

impl Store {
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
                    Box::pin(async move { append_new(tx, &posted).await })
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
async fn append_new(tx: &mut Tx, posted: &[Activity]) -> Result<Vec<Appended>> {
    let mut known = HashMap::new();
    let ids: Vec<Vec<u8>> = posted.iter().map(|activity| id_bytes(activity.event_id)).collect();
    for piece in chunks(&ids) {
        // The journal first: what ingest moves meanwhile is then found in the logs.
        for texts in [&IN_JOURNAL, &IN_LOGS] {
            let rows: Vec<(Vec<u8>, String)> = in_tx!(tx, c => {
                let query = sqlx::query_as(texts.of(piece.len()));
                piece.iter().fold(query, |query, id| query.bind(&**id)).fetch_all(&mut *c).await?
            });
            for (id, payload) in rows {
                let id = Uuid::from_slice(&id).map_err(|error| Error::Fault(error.into()))?;
                known.entry(id).or_insert(Known::Stored(payload));
            }
        }
    }
    let (mut answers, mut entries) = (Vec::with_capacity(posted.len()), Vec::new());
    for (at, activity) in posted.iter().enumerate() {
        let same = match known.get(&activity.event_id) {
            None => {
                known.insert(activity.event_id, Known::Here(at));
                entries.push(Entry::activity(activity));
                answers.push(Appended::New);
                continue;
            }
            Some(Known::Here(first)) => activity.same_content(&posted[*first]),
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
