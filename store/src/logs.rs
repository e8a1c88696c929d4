//! Reading `user_logs`: lists for people, pages in event time for the engine, and counts.

use std::collections::BTreeMap;

use domain::{Activity, DAY, HOUR, LogType, Timestamp, username_key};
use sqlx::Row;
use uuid::Uuid;

use crate::db::in_db;
use crate::query::{Cursor, Query, bound, clipped, id, rows_in_db};
use crate::sql::{chunks, statements};
use crate::{Result, Store};

statements! {
    COUNT = "SELECT COUNT(*) FROM user_logs WHERE occurred_at >= ? AND occurred_at <= ?";
}

/// The columns of a [`LogRow`], in its order. Hidden flags are those of alerts that no longer hold or are suppressed.
pub(crate) const SELECT: &str = "SELECT l.log_id, l.event_id, l.user_id, l.username, l.session_id, l.action, l.detail, l.page_url, \
    l.ip, l.user_agent, l.country, l.log_type, l.outcome, \
    EXISTS (SELECT 1 FROM flagged_activity f WHERE f.event_id = l.event_id AND f.hidden = 0), \
    l.occurred_at, l.received_at, l.resource, l.origin, l.late, l.request_id, l.records, l.reason FROM user_logs l";

/// Which activities. Newest first.
#[derive(Debug, Clone, Default)]
pub struct LogFilter {
    /// Of this user.
    pub user_id: Option<i64>,
    /// Of the user of this name, in any spelling, whether or not there is such an account.
    pub user: Option<String>,
    /// With this action.
    pub action: Option<String>,
    /// Of this kind.
    pub log_type: Option<LogType>,
    /// With neither action nor kind, rows of the kind `system` and reads of logs are left out, unless this says all.
    pub all: bool,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Not after.
    pub to: Option<Timestamp>,
    /// At most so many.
    pub limit: i64,
    /// After this row.
    pub cursor: Option<Cursor>,
}

/// An activity, as it is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRow {
    /// Id of the row.
    pub log_id: i64,
    /// Identity of the activity.
    pub event_id: Uuid,
    /// Whose, where the user is ours.
    pub user_id: Option<i64>,
    /// The name as given; also of deleted users.
    pub username: Option<String>,
    /// In which session.
    pub session_id: Option<String>,
    /// What was done.
    pub action: String,
    /// In words.
    pub detail: String,
    /// On which page.
    pub page_url: Option<String>,
    /// From where; empty where that is unknown.
    pub ip: String,
    /// The client program.
    pub user_agent: Option<String>,
    /// Country of the address.
    pub country: Option<String>,
    /// `ui_event`, `system`, `auth` or `data_access`.
    pub log_type: String,
    /// `success`, `failure` or `denied`.
    pub outcome: String,
    /// Whether an alert crossed its threshold here.
    pub is_flagged: bool,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When we had it.
    pub received_at: Timestamp,
    /// What was touched.
    pub resource: Option<String>,
    /// Who told us.
    pub origin: String,
    /// Whether it came later than the lateness allows.
    pub late: bool,
    /// The request in which it was done.
    pub request_id: Option<String>,
    /// Rows read, exported or changed.
    pub records: Option<i64>,
    /// Why it failed or was refused.
    pub reason: Option<String>,
}

/// Stored activities of a span of event time, for those who run the engine over them.
#[derive(Debug, Clone, Copy)]
pub struct StoredRange {
    /// Not before.
    pub from: Timestamp,
    /// Not after.
    pub to: Timestamp,
    /// Only those at or before this position of the journal.
    pub up_to_seq: Option<i64>,
    /// Whether those that came late are wanted too.
    pub late: bool,
}

/// A stored activity and where it stands.
#[derive(Debug, Clone)]
pub struct StoredActivity {
    /// Id of the row.
    pub log_id: i64,
    /// Position in the journal.
    pub seq: i64,
    /// What it says.
    pub activity: Activity,
}

impl StoredActivity {
    /// Where the next page begins.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { at: self.activity.occurred_at, id: self.log_id }
    }
}

impl Store {
    /// Activities, newest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn logs(&self, filter: LogFilter) -> Result<Vec<LogRow>> {
        let Some(name) = &filter.user else { return self.newest_logs(&filter, Query::new(SELECT)).await };
        let key = clipped(&username_key(name), 255);
        // What is known by its account, and what only has the name: each has an index of its own.
        let account = self.account_of(&key).await?;
        let named = Query::new(SELECT).and("l.user_id IS NULL AND l.username_key = ?", [key.into()]);
        let mut rows = self.newest_logs(&filter, named).await?;
        if let Some(id) = account {
            rows.extend(self.newest_logs(&filter, Query::new(SELECT).and("l.user_id = ?", [id.into()])).await?);
            rows.sort_by_key(|row| std::cmp::Reverse((row.occurred_at, row.log_id)));
            rows.truncate(usize::try_from(filter.limit).unwrap_or(usize::MAX));
        }
        Ok(rows)
    }

    async fn newest_logs(&self, filter: &LogFilter, query: Query) -> Result<Vec<LogRow>> {
        let usual = !filter.all && filter.action.is_none() && filter.log_type.is_none();
        let query = query
            .and_some("l.user_id = ?", filter.user_id)
            .and_some("l.occurred_at >= ?", filter.from)
            .and_some("l.occurred_at <= ?", filter.to)
            .and_some("l.action = ?", filter.action.as_deref())
            .and_some("l.log_type = ?", filter.log_type.map(LogType::as_str))
            .and_if(usual, "l.log_type <> 'system'")
            .and_if(
                usual,
                "(l.action <> 'View' OR l.resource IS NULL OR (l.resource <> 'logs' AND l.resource NOT LIKE 'logs/%'))",
            );
        let query = older(query, filter.cursor);
        self.log_rows(query.then(" ORDER BY l.occurred_at DESC, l.log_id DESC LIMIT ?", [filter.limit.into()])).await
    }

    /// The stored rows of some activities, in the order of the ids given; those not stored yet are left out.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn logs_of(&self, event_ids: &[Uuid]) -> Result<Vec<LogRow>> {
        let mut rows = Vec::with_capacity(event_ids.len());
        for piece in chunks(event_ids) {
            rows.extend(self.log_rows(Query::new(SELECT).and_ids("l.event_id IN (", piece)).await?);
        }
        let place: BTreeMap<Uuid, usize> = event_ids.iter().enumerate().map(|(at, id)| (*id, at)).collect();
        rows.sort_by_key(|row: &LogRow| place.get(&row.event_id).copied());
        Ok(rows)
    }

    pub(crate) async fn log_rows(&self, query: Query) -> Result<Vec<LogRow>> {
        // Two and twenty columns: more than tuples have.
        in_db!(self.db(), db => {
            let rows = bound!(sqlx::query(sqlx::AssertSqlSafe(query.text)), query.args).fetch_all(db).await?;
            rows.into_iter().map(|row| Ok(LogRow {
                log_id: row.try_get(0)?,
                event_id: id(row.try_get(1)?)?,
                user_id: row.try_get(2)?,
                username: row.try_get(3)?,
                session_id: row.try_get(4)?,
                action: row.try_get(5)?,
                detail: row.try_get(6)?,
                page_url: row.try_get(7)?,
                ip: row.try_get(8)?,
                user_agent: row.try_get(9)?,
                country: row.try_get(10)?,
                log_type: row.try_get(11)?,
                outcome: row.try_get(12)?,
                is_flagged: row.try_get::<i64, _>(13)? != 0,
                occurred_at: Timestamp::from_micros(row.try_get(14)?),
                received_at: Timestamp::from_micros(row.try_get(15)?),
                resource: row.try_get(16)?,
                origin: row.try_get(17)?,
                late: row.try_get::<i64, _>(18)? != 0,
                request_id: row.try_get(19)?,
                records: row.try_get(20)?,
                reason: row.try_get(21)?,
            })).collect()
        })
    }

    /// How many activities are stored of what happened from a moment to another, both included. All of them are counted:
    /// a second or so for ten millions.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn count_stored(&self, from: Timestamp, to: Timestamp) -> Result<u64> {
        let count: i64 = in_db!(self.db(), db => {
            sqlx::query_scalar(COUNT).bind(from.micros()).bind(to.micros()).fetch_one(db).await?
        });
        Ok(count.unsigned_abs())
    }

    /// A page of stored activities in event time, oldest first.
    ///
    /// # Errors
    /// The database cannot be read, or a row is damaged.
    pub async fn stored_activities(
        &self,
        range: &StoredRange,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Vec<StoredActivity>> {
        let from = after.map_or(range.from, |cursor| range.from.max(cursor.at));
        let mut query = Query::new("SELECT log_id, seq, payload FROM user_logs")
            .and("occurred_at >= ?", [from.into()])
            .and("occurred_at <= ?", [range.to.into()])
            .and_some("seq <= ?", range.up_to_seq)
            .and_if(!range.late, "late = 0");
        if let Some(cursor) = after {
            query = query.and("(occurred_at > ? OR log_id > ?)", [cursor.at.into(), cursor.id.into()]);
        }
        let query = query.then(" ORDER BY occurred_at, log_id LIMIT ?", [limit.into()]);
        let rows: Vec<(i64, i64, String)> = rows_in_db!(self, query);
        let read = |(log_id, seq, payload): (i64, i64, String)| {
            let activity = Activity::from_json(&payload).map_err(|error| crate::Error::Fault(Box::new(error)))?;
            Ok(StoredActivity { log_id, seq, activity })
        };
        rows.into_iter().map(read).collect()
    }

    /// How many activities of each kind since a moment, of one user or of everybody. Whole days (hours, for everybody)
    /// come from the counts that ingest keeps; what is before the first whole one is counted.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn activity_summary(&self, user_id: Option<i64>, since: Timestamp) -> Result<Vec<(String, i64)>> {
        let unit = if user_id.is_some() { DAY } else { HOUR };
        let whole = since.micros().saturating_add(unit - 1).div_euclid(unit) * unit;
        let part = Query::new("SELECT action, COUNT(*) FROM user_logs")
            .and_some("user_id = ?", user_id)
            .and("occurred_at >= ? AND occurred_at < ?", [since.into(), whole.into()])
            .then(" GROUP BY action", []);
        let counts = match user_id {
            Some(user) => Query::new("SELECT action, CAST(SUM(n) AS SIGNED) FROM activity_by_user")
                .and("user_id = ? AND day >= ?", [user.into(), whole.into()]),
            None => Query::new("SELECT action, CAST(SUM(n) AS SIGNED) FROM activity_by_hour")
                .and("hour >= ?", [whole.into()]),
        };
        let mut sum: BTreeMap<String, i64> = BTreeMap::new();
        for query in [part, counts.then(" GROUP BY action", [])] {
            let rows: Vec<(String, i64)> = rows_in_db!(self, query);
            for (action, n) in rows {
                *sum.entry(action).or_default() += n;
            }
        }
        Ok(sum.into_iter().collect())
    }
}

/// Rows before the cursor in a list that is ordered newest first.
fn older(query: Query, cursor: Option<Cursor>) -> Query {
    match cursor {
        Some(Cursor { at, id }) => {
            query.and("l.occurred_at <= ? AND (l.occurred_at < ? OR l.log_id < ?)", [at.into(), at.into(), id.into()])
        }
        None => query,
    }
}
