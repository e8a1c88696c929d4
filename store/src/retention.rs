//! Forgetting what is too old, a little at a time: a long delete would hold up everybody who writes.

use domain::Timestamp;

use crate::db::{Tx, in_tx};
use crate::query::run_in_tx;
use crate::sql::statements;
use crate::{Result, Store};

statements! {
    OLDEST = "SELECT MIN(occurred_at) FROM user_logs";
    // The edge of the chunk first: both engines then delete by range, and neither needs LIMIT in a DELETE.
    EDGE = "SELECT MAX(t.log_id), MAX(t.occurred_at) FROM (SELECT log_id, occurred_at FROM user_logs \
            WHERE occurred_at < ? ORDER BY occurred_at, log_id LIMIT ?) t";
    LOGS = "DELETE FROM user_logs WHERE occurred_at < ?";
    LOGS_AT = "DELETE FROM user_logs WHERE occurred_at = ? AND log_id <= ?";
    DAYS = "DELETE FROM activity_by_user WHERE day < ?";
    HOURS = "DELETE FROM activity_by_hour WHERE hour < ?";
    SESSIONS = "DELETE FROM sessions WHERE last_seen < ? AND start_time < ?";
    LETTERS = "DELETE FROM dead_letters WHERE at < ?";
}

impl Store {
    /// When the oldest stored activity happened.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn oldest_log(&self) -> Result<Option<Timestamp>> {
        let (at,): (Option<i64>,) = crate::db::in_db!(self.db(), db => sqlx::query_as(OLDEST).fetch_one(db).await?);
        Ok(at.map(Timestamp::from_micros))
    }

    /// Deletes up to about `chunk` activities that happened before a moment; how many. With 0 all are gone, and then
    /// their counts, sessions and the dead letters of that time are gone too.
    ///
    /// # Errors
    /// The database failed; nothing was deleted.
    pub async fn purge_logs(&self, older_than: Timestamp, chunk: i64) -> Result<u64> {
        self.write(move |tx| Box::pin(purge(tx, older_than.micros(), chunk))).await
    }
}

async fn purge(tx: &mut Tx, before: i64, chunk: i64) -> Result<u64> {
    let edge: (Option<i64>, Option<i64>) =
        in_tx!(tx, c => sqlx::query_as(EDGE).bind(before).bind(chunk).fetch_one(c).await?);
    if let (Some(id), Some(at)) = edge {
        let older = run_in_tx!(tx, LOGS, at);
        return Ok(older + run_in_tx!(tx, LOGS_AT, at, id));
    }
    run_in_tx!(tx, DAYS, before - domain::DAY);
    run_in_tx!(tx, HOURS, before - domain::HOUR);
    run_in_tx!(tx, SESSIONS, before, before);
    run_in_tx!(tx, LETTERS, before);
    Ok(0)
}
