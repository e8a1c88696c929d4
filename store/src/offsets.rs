//! How far each reader of a log has come. The position is stored with the effects of what was read, in one transaction.

use domain::{Partition, Timestamp};
use uuid::Uuid;

use crate::db::{Tx, in_db};
use crate::query::{id, run_in_tx};
use crate::sql::{id_bytes, statements};
use crate::{BoxedCause, Error, Result, Store};

statements! {
    NEXT = "SELECT next_offset, last_event, watermark FROM offsets WHERE grp = ? AND topic = ? AND part = ?";
    ALL = "SELECT topic, part, next_offset FROM offsets WHERE grp = ? ORDER BY topic, part";
    MOVE = "UPDATE offsets SET next_offset = ?, last_event = ? \
            WHERE grp = ? AND topic = ? AND part = ? AND next_offset = ?";
    BEGIN = "INSERT INTO offsets (grp, topic, part, next_offset, last_event) VALUES (?, ?, ?, ?, ?)";
    RESET = "DELETE FROM offsets WHERE grp = ? AND topic = ? AND part = ?";
    DECIDED = "UPDATE offsets SET watermark = ? WHERE grp = ? AND topic = ? AND part = ?";
}

/// The reader that stores activities.
pub const INGEST: &str = "ingest";
/// The reader that looks for what rules describe.
pub const DETECTOR: &str = "detector";

/// The reader that takes in what other systems write to Kafka.
pub const INTAKE: &str = "intake";

/// A step of a reader along a partition, taken only from where it is expected to stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Move {
    /// The partition.
    pub partition: Partition,
    /// Where the reader stands.
    pub expected: i64,
    /// Where it stands afterwards.
    pub next: i64,
    /// The event in the last record before `next`; on the journal, which nobody makes anew, none is kept.
    pub last_event: Option<Uuid>,
}

impl Move {
    /// A step along the journal.
    #[must_use]
    pub fn journal(expected: i64, next: i64) -> Self {
        Self { expected, next, ..Self::default() }
    }
}

/// Where a reader of a partition stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Position of the last record whose effects are stored: the offset of the next one.
    pub next: i64,
    /// The event in that last record.
    pub last_event: Option<Uuid>,
    /// Up to which moment the detector had decided.
    pub watermark: Option<Timestamp>,
}

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

/// Moves the offset of a reader, in the transaction of the effects.
///
/// # Errors
/// `Conflict` when it does not stand where it is expected.
pub(crate) async fn move_offset(tx: &mut Tx, group: &'static str, step: Move) -> Result<()> {
    let Move { partition, expected, next, last_event } = step;
    let (topic, part, event) = (partition.topic, i64::from(partition.number), last_event.map(id_bytes));
    if run_in_tx!(tx, MOVE, next, event.as_deref(), group, topic, part, expected) == 1 {
        return Ok(());
    }
    let taken = || Error::Conflict(format!("the offset of {group} in {partition} does not stand at {expected}"));
    if expected != 0 {
        return Err(taken());
    }
    let begun = async { Ok::<_, Error>(run_in_tx!(tx, BEGIN, group, topic, part, next, event.as_deref())) }.await;
    match begun {
        Err(Error::Duplicate) => Err(taken()),
        other => other.map(|_| ()),
    }
}

/// Notes up to which moment a reader has decided, in the transaction that moves its offset.
pub(crate) async fn decided(
    tx: &mut Tx,
    group: &'static str,
    partition: Partition,
    watermark: Timestamp,
) -> Result<()> {
    run_in_tx!(tx, DECIDED, watermark.micros(), group, partition.topic, i64::from(partition.number));
    Ok(())
}

impl Store {
    /// Position in the journal of the last record whose effects a reader has stored; 0 at first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn offset(&self, group: &str) -> Result<i64> {
        Ok(self.position(group, Partition::JOURNAL).await?.map_or(0, |position| position.next))
    }

    /// Where a reader stands in a partition; none where it has stored nothing of it.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn position(&self, group: &str, partition: Partition) -> Result<Option<Position>> {
        let part = i64::from(partition.number);
        let row: Option<(i64, Option<Vec<u8>>, Option<i64>)> = in_db!(self.db(), db => {
            sqlx::query_as(NEXT).bind(group).bind(partition.topic).bind(part).fetch_optional(db).await?
        });
        let Some((next, last_event, watermark)) = row else { return Ok(None) };
        let last_event = last_event.map(|bytes| id(&bytes)).transpose()?;
        Ok(Some(Position { next, last_event, watermark: watermark.map(Timestamp::from_micros) }))
    }

    /// Where a reader stands in every partition that it has stored something of: topic, number, offset.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn offsets(&self, group: &str) -> Result<Vec<(String, i64, i64)>> {
        Ok(in_db!(self.db(), db => sqlx::query_as(ALL).bind(group).fetch_all(db).await?))
    }

    /// Forgets where a reader stands in a partition: it begins anew. Effects that are stored stay, and records that come
    /// again are known by their events. Whether there was anything to forget.
    ///
    /// # Errors
    /// The database failed.
    pub async fn reset_offset(&self, group: &'static str, topic: String, part: i64) -> Result<bool> {
        self.write(move |tx| {
            let topic = topic.clone();
            Box::pin(async move { Ok(run_in_tx!(tx, RESET, group, topic, part) > 0) })
        })
        .await
    }
}
