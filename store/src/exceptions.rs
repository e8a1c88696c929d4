//! What is known and wanted: alerts that are stored, but neither shown nor counted for anybody.

use std::collections::BTreeMap;

use domain::{Activity, Alert, Timestamp};

use crate::alerts::Change;
use crate::alerts::key_digest;
use crate::db::{Once, Tx, in_tx};
use crate::query::{Query, clipped, rows_in_db, rows_in_tx, run_in_tx};
use crate::sql::statements;
use crate::{Error, Result, Store};

statements! {
    INSERT = "INSERT INTO exceptions (rule_id, key_json, until, reason, by_user, created_at) VALUES (?, ?, ?, ?, ?, ?)";
    NEWEST = "SELECT MAX(exception_id) FROM exceptions WHERE rule_id = ? AND by_user = ?";
    END = "UPDATE exceptions SET ended_at = ? WHERE exception_id = ? AND ended_at IS NULL";
    JUDGED = "SELECT COUNT(*) FROM alerts WHERE key_digest = ? AND verdict_at <= ? AND verdict_at > ?";
}

const SELECT: &str = "SELECT e.exception_id, e.rule_id, e.key_json, e.until, e.reason, e.by_user, e.created_at, \
    (SELECT COUNT(*) FROM alerts a WHERE a.rule_id = e.rule_id AND a.exception_id = e.exception_id) FROM exceptions e";

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
    /// How many alerts it has kept out of the queue.
    pub suppressed: i64,
}

type Columns = (i64, String, String, i64, String, String, i64, i64);

fn row((exception_id, rule_id, key, until, reason, by_user, created, suppressed): Columns) -> Result<ExceptionRow> {
    let key = serde_json::from_str(&key).map_err(|error| Error::Fault(Box::new(error)))?;
    let exception = NewException { rule_id, key, until: Timestamp::from_micros(until), reason, by_user };
    Ok(ExceptionRow { exception_id, exception, created_at: Timestamp::from_micros(created), suppressed })
}

/// The exceptions that stand, read once a transaction and only when there is a new alert.
#[derive(Default)]
pub(crate) struct Standing(Option<Vec<ExceptionRow>>);

impl Standing {
    /// The exception that covers an alert.
    pub(crate) async fn covering(&mut self, tx: &mut Tx, alert: &Alert) -> Result<Option<i64>> {
        if self.0.is_none() {
            let now = tx.now;
            let query = Query::new(
                "SELECT exception_id, rule_id, key_json, until, reason, by_user, created_at, 0 FROM exceptions",
            )
            .and("until > ? AND ended_at IS NULL", [now.into()])
            .then(" ORDER BY exception_id", []);
            let rows: Vec<Columns> = rows_in_tx!(tx, query);
            self.0 = Some(rows.into_iter().map(row).collect::<Result<_>>()?);
        }
        let covers = |row: &&ExceptionRow| {
            row.exception.rule_id == alert.rule_id
                && row.exception.key.iter().all(|(field, value)| alert.key.get(field) == Some(value))
        };
        Ok(self.0.iter().flatten().find(covers).map(|row| row.exception_id))
    }
}

/// Whether an episode began so soon after a verdict on an alert of the same rule and key that its rule wants quiet.
pub(crate) async fn is_muted(tx: &mut Tx, change: &Change) -> Result<bool> {
    if change.mute_after_close <= 0 {
        return Ok(false);
    }
    let digest = key_digest(&change.alert).as_bytes().to_vec();
    let at = change.alert.at.micros();
    let quiet = at.saturating_sub(change.mute_after_close);
    let (judged,): (i64,) =
        in_tx!(tx, c => sqlx::query_as(JUDGED).bind(digest).bind(at).bind(quiet).fetch_one(c).await?);
    Ok(judged > 0)
}

impl Store {
    /// The exceptions that stand at `now`, newest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn exceptions(&self, now: Timestamp) -> Result<Vec<ExceptionRow>> {
        let query = Query::new(SELECT)
            .and("e.until > ? AND e.ended_at IS NULL", [now.into()])
            .then(" ORDER BY e.exception_id DESC", []);
        let rows: Vec<Columns> = rows_in_db!(self, query);
        rows.into_iter().map(row).collect()
    }

    /// Makes an exception and records the activity, in one transaction. Alerts that are there already stay as they are.
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
                let row = ExceptionRow { exception_id, exception: new, created_at: now, suppressed: 0 };
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
    pub async fn end_exception(&self, exception_id: i64, activity: Activity) -> Result<()> {
        let activity = std::sync::Arc::new(activity);
        self.write(move |tx| {
            let activity = std::sync::Arc::clone(&activity);
            Box::pin(async move {
                if run_in_tx!(tx, END, tx.now.micros(), exception_id) == 0 {
                    return Err(Error::NotFound);
                }
                tx.append(&activity).await
            })
        })
        .await
    }
}
