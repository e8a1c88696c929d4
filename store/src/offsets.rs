//! How far each reader of a log has come. The position is stored with the effects of what was read, in one transaction.

use domain::Timestamp;

use crate::db::{Tx, in_db};
use crate::query::run_in_tx;
use crate::sql::statements;
use crate::{BoxedCause, Error, Result, Store};

statements! {
    NEXT = "SELECT next_offset, watermark FROM offsets WHERE grp = ? AND topic = ? AND part = ?";
    MOVE = "UPDATE offsets SET next_offset = ? WHERE grp = ? AND topic = ? AND part = ? AND next_offset = ?";
    BEGIN = "INSERT INTO offsets (grp, topic, part, next_offset) VALUES (?, ?, ?, ?)";
    DECIDED = "UPDATE offsets SET watermark = ? WHERE grp = ? AND topic = ? AND part = ?";
}

/// The reader that stores activities.
pub const INGEST: &str = "ingest";
/// The reader that looks for what rules describe.
pub const DETECTOR: &str = "detector";

/// The log that is read: the journal has one partition.
const TOPIC: &str = "journal";
const PART: i64 = 0;

/// Why the effects of a batch were not stored. Nothing was.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Somebody else has moved the offset: the batch is theirs.
    #[error("another reader has moved the offset")]
    NotOurs,
    /// Something in the batch cannot be stored, however often it is tried.
    #[error("a record cannot be stored: {0}")]
    Poison(#[source] BoxedCause),
    /// Worth another try.
    #[error(transparent)]
    Transient(Error),
}

impl From<Error> for ApplyError {
    fn from(error: Error) -> Self {
        match error {
            Error::Conflict(_) => Self::NotOurs,
            Error::Fault(cause) if is_about_data(&cause) => Self::Poison(cause),
            other => Self::Transient(other),
        }
    }
}

/// Whether the engine refused a value, and not the statement, the lock or the connection.
fn is_about_data(cause: &BoxedCause) -> bool {
    let Some(sqlx::Error::Database(error)) = cause.downcast_ref::<sqlx::Error>() else {
        return matches!(cause.downcast_ref::<sqlx::Error>(), Some(sqlx::Error::Encode(_)));
    };
    if let Some(mysql) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        // Data too long, wrong string, out of range, null, packet too large, wrong value.
        return matches!(mysql.number(), 1406 | 1366 | 1264 | 1048 | 1153 | 1292 | 3988);
    }
    // SQLITE_TOOBIG, SQLITE_CONSTRAINT (a unique one never comes here), SQLITE_MISMATCH.
    let code = error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(0);
    matches!(code & 0xff, 18..=20)
}

/// Moves the offset of a reader from `expected` to `next`, in the transaction of the effects.
///
/// # Errors
/// `Conflict` when it does not stand at `expected`.
pub(crate) async fn move_offset(tx: &mut Tx, group: &'static str, expected: i64, next: i64) -> Result<()> {
    if run_in_tx!(tx, MOVE, next, group, TOPIC, PART, expected) == 1 {
        return Ok(());
    }
    let taken = || Error::Conflict(format!("the offset of {group} does not stand at {expected}"));
    if expected != 0 {
        return Err(taken());
    }
    let begun = async { Ok::<_, Error>(run_in_tx!(tx, BEGIN, group, TOPIC, PART, next)) }.await;
    match begun {
        Err(Error::Duplicate) => Err(taken()),
        other => other.map(|_| ()),
    }
}

/// Notes up to which moment a reader has decided, in the transaction that moves its offset.
pub(crate) async fn decided(tx: &mut Tx, group: &'static str, watermark: Timestamp) -> Result<()> {
    run_in_tx!(tx, DECIDED, watermark.micros(), group, TOPIC, PART);
    Ok(())
}

impl Store {
    /// Position of the last record whose effects a reader has stored; 0 at first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn offset(&self, group: &str) -> Result<i64> {
        Ok(self.position(group).await?.map_or(0, |(next, _)| next))
    }

    /// Where the detector stands: its offset, and up to which moment it had decided when that was stored.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn detector_position(&self) -> Result<(i64, Option<Timestamp>)> {
        let (next, watermark) = self.position(DETECTOR).await?.unwrap_or_default();
        Ok((next, watermark.map(Timestamp::from_micros)))
    }

    async fn position(&self, group: &str) -> Result<Option<(i64, Option<i64>)>> {
        Ok(in_db!(self.db(), db => {
            sqlx::query_as(NEXT).bind(group).bind(TOPIC).bind(PART).fetch_optional(db).await?
        }))
    }
}
