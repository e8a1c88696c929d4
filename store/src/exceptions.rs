//! What is known and wanted: alerts that are stored, but neither shown nor counted for anybody, while an exception stands.
//!
//! It is asked when an alert is new, and again when the episode of one that was kept out goes on. So an exception hides
//! nothing that stood in the queue before it, and nothing that outlives it; an episode that ended while it stood stays
//! where it is.

use std::collections::BTreeMap;

use domain::{Activity, Alert, Timestamp, username_key};

use crate::alerts::{AlertRow, Change, Subjects, is_void, key_digest};
use crate::db::{Once, Tx, in_tx};
use crate::query::{Query, clipped, rows_in_db, rows_in_tx, run_in_tx};
use crate::sql::statements;
use crate::{Error, Result, Store};

statements! {
    INSERT = "INSERT INTO exceptions (rule_id, key_json, until, reason, by_user, created_at) VALUES (?, ?, ?, ?, ?, ?)";
    NEWEST = "SELECT MAX(exception_id) FROM exceptions WHERE rule_id = ? AND by_user = ?";
    END = "UPDATE exceptions SET ended_at = ? WHERE exception_id = ? AND until > ? AND ended_at IS NULL";
    JUDGED = "SELECT COUNT(*) FROM alerts WHERE key_digest = ? AND verdict_at <= ? AND verdict_at > ?";
}

const SELECT: &str = "SELECT e.exception_id, e.rule_id, e.key_json, e.until, e.reason, e.by_user, e.created_at, \
    e.ended_at, (SELECT COUNT(*) FROM alerts a WHERE a.rule_id = e.rule_id AND a.exception_id = e.exception_id) \
    FROM exceptions e";
/// The same without the count.
const PLAIN: &str =
    "SELECT exception_id, rule_id, key_json, until, reason, by_user, created_at, ended_at, 0 FROM exceptions";

/// An exception to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewException {
    /// Whose alerts it covers.
    pub rule_id: String,
    /// Those whose key has these fields with these values; with none all of the rule's.
    pub key: BTreeMap<String, String>,
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// Who made it.
    pub by_user: String,
}

/// An exception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExceptionRow {
    /// Its id.
    pub exception_id: i64,
    /// What it says.
    pub exception: NewException,
    /// When it was made.
    pub created_at: Timestamp,
    /// When somebody ended it before its time.
    pub ended_at: Option<Timestamp>,
    /// How many alerts it has kept out of the queue.
    pub suppressed: i64,
}

type Columns = (i64, String, String, i64, String, String, i64, Option<i64>, i64);

fn row(columns: Columns) -> Result<ExceptionRow> {
    let (exception_id, rule_id, key, until, reason, by_user, created, ended, suppressed) = columns;
    let key = serde_json::from_str(&key).map_err(|error| Error::Fault(Box::new(error)))?;
    let exception = NewException { rule_id, key, until: Timestamp::from_micros(until), reason, by_user };
    let (created_at, ended_at) = (Timestamp::from_micros(created), ended.map(Timestamp::from_micros));
    Ok(ExceptionRow { exception_id, exception, created_at, ended_at, suppressed })
}

/// The exceptions that stand, read once a transaction and only when one may matter.
#[derive(Default)]
pub(crate) struct Standing(Option<Vec<ExceptionRow>>);

impl Standing {
    async fn read(&mut self, tx: &mut Tx) -> Result<&[ExceptionRow]> {
        if self.0.is_none() {
            let query = Query::new(PLAIN)
                .and("until > ? AND ended_at IS NULL", [tx.now.into()])
                .then(" ORDER BY exception_id", []);
            let rows: Vec<Columns> = rows_in_tx!(tx, query);
            self.0 = Some(rows.into_iter().map(row).collect::<Result<_>>()?);
        }
        Ok(self.0.as_deref().unwrap_or_default())
    }

    /// The exception that covers an alert: `had`, if it still does, else the oldest. None covers whoever made it,
    /// whatever its key says: an address may become the maker's later.
    async fn covering(&mut self, tx: &mut Tx, alert: &Alert, who: &Subjects, had: Option<i64>) -> Result<Option<i64>> {
        let covers = |row: &&ExceptionRow| {
            let NewException { rule_id, key, by_user, .. } = &row.exception;
            *rule_id == alert.rule_id
                && key.iter().all(|(field, value)| alert.key.get(field) == Some(value))
                && !who.contains_key(&clipped(&username_key(by_user), 255))
        };
        let covering = self.read(tx).await?.iter().filter(covers).map(|row| row.exception_id);
        let covering: Vec<i64> = covering.collect();
        Ok(had.filter(|had| covering.contains(had)).or(covering.first().copied()))
    }
}

/// Whether an alert is kept out of the queue, and by which exception; without one by a verdict. One that was kept out
/// stays so until there is more of its episode while neither holds any longer: an episode that goes on for days is not
/// quiet.
pub(crate) async fn kept_out(
    tx: &mut Tx,
    change: &Change,
    before: Option<&AlertRow>,
    who: &Subjects,
    standing: &mut Standing,
) -> Result<(bool, Option<i64>)> {
    let (had, at) = match before {
        // What stands in the queue stays there.
        Some(row) if !row.alert.suppressed || !goes_on(&row.alert, &change.alert) => {
            return Ok((row.alert.suppressed, row.exception_id));
        }
        Some(row) => (row.exception_id, change.alert.last_event_at),
        None => (None, change.alert.at),
    };
    let exception = standing.covering(tx, &change.alert, who, had).await?;
    Ok((exception.is_some() || is_muted(tx, change, at).await?, exception))
}

/// Whether there is more of an episode than was known. That it has ended, or was taken back, is not more.
fn goes_on(before: &Alert, after: &Alert) -> bool {
    !is_void(after.state)
        && (is_void(before.state)
            || after.event_count > before.event_count
            || after.last_event_at > before.last_event_at
            || after.severity > before.severity
            || after.escalations.len() > before.escalations.len())
}

/// Whether `at` lies so soon after a verdict on an alert of the same rule and key that its rule wants quiet.
async fn is_muted(tx: &mut Tx, change: &Change, at: Timestamp) -> Result<bool> {
    if change.mute_after_close <= 0 {
        return Ok(false);
    }
    let digest = key_digest(&change.alert).as_bytes().to_vec();
    let at = at.micros();
    let quiet = at.saturating_sub(change.mute_after_close);
    let (judged,): (i64,) =
        in_tx!(tx, c => sqlx::query_as(JUDGED).bind(digest).bind(at).bind(quiet).fetch_one(c).await?);
    Ok(judged > 0)
}

impl Store {
    /// The exceptions that stand at a time, or all that were ever made; newest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn exceptions(&self, standing_at: Option<Timestamp>) -> Result<Vec<ExceptionRow>> {
        let query = Query::new(SELECT).and_some("e.until > ?", standing_at);
        let query = query.and_if(standing_at.is_some(), "e.ended_at IS NULL").then(" ORDER BY e.exception_id DESC", []);
        let rows: Vec<Columns> = rows_in_db!(self, query);
        rows.into_iter().map(row).collect()
    }

    /// Makes an exception and records the activity, in one transaction. Alerts that are there already stay as they are,
    /// also where their episodes go on.
    ///
    /// # Errors
    /// The database failed; nothing was done.
    pub async fn create_exception(
        &self,
        new: NewException,
        activity: impl FnOnce(&ExceptionRow) -> Activity + Send + 'static,
    ) -> Result<ExceptionRow> {
        let activity = Once::new(activity);
        self.write(move |tx| {
            let (new, activity) = (new.clone(), activity.clone());
            Box::pin(async move {
                let key = serde_json::to_string(&new.key).map_err(|error| Error::Fault(Box::new(error)))?;
                let (rule, by, now) = (clipped(&new.rule_id, 255), clipped(&new.by_user, 255), tx.now);
                run_in_tx!(tx, INSERT, &rule, &key, new.until.micros(), &new.reason, &by, now.micros());
                let (exception_id,): (i64,) =
                    in_tx!(tx, c => sqlx::query_as(NEWEST).bind(&rule).bind(&by).fetch_one(c).await?);
                let row = ExceptionRow { exception_id, exception: new, created_at: now, ended_at: None, suppressed: 0 };
                tx.append(&activity.take()?(&row)).await?;
                Ok(row)
            })
        })
        .await
    }

    /// Ends an exception and records the activity, in one transaction.
    ///
    /// # Errors
    /// `NotFound` where none of that id stands.
    pub async fn end_exception(
        &self,
        exception_id: i64,
        activity: impl FnOnce(&ExceptionRow) -> Activity + Send + 'static,
    ) -> Result<()> {
        let activity = Once::new(activity);
        self.write(move |tx| {
            let activity = activity.clone();
            Box::pin(async move {
                let now = tx.now.micros();
                if run_in_tx!(tx, END, now, exception_id, now) == 0 {
                    return Err(Error::NotFound);
                }
                let query = Query::new(PLAIN).and("exception_id = ?", [exception_id.into()]);
                let rows: Vec<Columns> = rows_in_tx!(tx, query);
                let ended = rows.into_iter().next().map(row).transpose()?.ok_or(Error::NotFound)?;
                tx.append(&activity.take()?(&ended)).await
            })
        })
        .await
    }
}
