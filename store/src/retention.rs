//! Forgetting what is too old, a little at a time: a long delete would hold up everybody who writes.

use domain::Timestamp;

use crate::db::{Tx, in_tx};
use crate::query::run_in_tx;
use crate::sql::statements;
use crate::{Result, Store};

statements! {
    OLDEST = "SELECT MIN(occurred_at) FROM user_logs";
    // Ids rise with the time of receipt, so what is old stands in front. The edge of the chunk first: both engines then
    // delete by range, and neither needs LIMIT in a DELETE.
    EDGE = "SELECT MAX(t.log_id) FROM (SELECT log_id, received_at FROM user_logs ORDER BY log_id LIMIT ?) t \
            WHERE t.received_at < ?";
    LOGS = "DELETE FROM user_logs WHERE log_id <= ? AND received_at < ?";
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

    /// Deletes up to `chunk` activities that were received before a moment; how many. With 0 all are gone, and then the
    /// counts and sessions that nothing stored is behind any more are gone too, and the dead letters of that time.
    ///
    /// What counts is when we had it, not when it happened: a history that was posted today is kept as long as what
    /// happened today.
    ///
    /// # Errors
    /// The database failed; nothing was deleted.
    pub async fn purge_logs(&self, older_than: Timestamp, chunk: i64) -> Result<u64> {
        self.write(move |tx| Box::pin(purge(tx, older_than.micros(), chunk))).await
    }
}

async fn purge(tx: &mut Tx, before: i64, chunk: i64) -> Result<u64> {
    let (edge,): (Option<i64>,) = in_tx!(tx, c => sqlx::query_as(EDGE).bind(chunk).bind(before).fetch_one(c).await?);
    if let Some(id) = edge {
        return Ok(run_in_tx!(tx, LOGS, id, before));
    }
    let (oldest,): (Option<i64>,) = in_tx!(tx, c => sqlx::query_as(OLDEST).fetch_one(c).await?);
    let oldest = oldest.map_or(before, |oldest| oldest.min(before));
    run_in_tx!(tx, DAYS, oldest - domain::DAY);
    run_in_tx!(tx, HOURS, oldest - domain::HOUR);
    run_in_tx!(tx, SESSIONS, oldest, oldest);
    run_in_tx!(tx, LETTERS, before);
    Ok(0)
}
