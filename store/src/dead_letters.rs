//! What could not be understood, with the reason.

use domain::Timestamp;

use crate::query::{Query, rows_in_db};
use crate::{Result, Store};

/// A record that was put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterRow {
    /// Rises with every one.
    pub id: i64,
    /// The stream it came from.
    pub topic: String,
    /// Its partition.
    pub partition: i64,
    /// Its position there.
    pub offset: i64,
    /// Why, in a sentence.
    pub reason: String,
    /// The text, as it was.
    pub payload: String,
    /// When it was put aside.
    pub at: Timestamp,
}

impl Store {
    /// Dead letters, newest first, before the one with this id.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn dead_letters(&self, before_id: Option<i64>, limit: i64) -> Result<Vec<DeadLetterRow>> {
        let query = Query::new("SELECT id, topic, part, record_offset, reason, payload, at FROM dead_letters")
            .and_some("id < ?", before_id)
            .then(" ORDER BY id DESC LIMIT ?", [limit.into()]);
        let rows: Vec<(i64, String, i64, i64, String, String, i64)> = rows_in_db!(self, query);
        let rows = rows.into_iter().map(|(id, topic, partition, offset, reason, payload, at)| DeadLetterRow {
            id,
            topic,
            partition,
            offset,
            reason,
            payload,
            at: Timestamp::from_micros(at),
        });
        Ok(rows.collect())
    }

    /// How many there are.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn count_dead_letters(&self) -> Result<i64> {
        let rows: Vec<(i64,)> = rows_in_db!(self, Query::new("SELECT COUNT(*) FROM dead_letters"));
        Ok(rows.first().map_or(0, |(n,)| *n))
    }
}
