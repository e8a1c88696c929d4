//! The log's view of sessions. Whether one is alive is for `auth_sessions` to say; where it knows nothing of a session
//! (another system's), the log's own log-out decides.

use domain::{Timestamp, username_key};

use crate::query::{Query, clipped, rows_in_db};
use crate::{Result, Store};

const SELECT: &str = "SELECT s.session_id, s.user_id, s.username, s.start_time, \
    COALESCE(s.end_time, a.ended_at, CASE WHEN a.expires_at <= ? THEN a.expires_at END), s.ip, s.user_agent, \
    s.activity_count, s.last_seen FROM sessions s LEFT JOIN auth_sessions a ON a.session_id = s.session_id";

/// Which sessions. Newest first.
#[derive(Debug, Clone, Default)]
pub struct SessionFilter {
    /// Of this user.
    pub user_id: Option<i64>,
    /// Of the user of this name, in any spelling, whether or not there is such an account.
    pub user: Option<String>,
    /// Only those that have not ended.
    pub active_only: bool,
    /// At most so many.
    pub limit: i64,
    /// After the session that started then and has this id.
    pub cursor: Option<(Timestamp, String)>,
}

/// A session, as the log saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Its id.
    pub session_id: String,
    /// Whose.
    pub user_id: Option<i64>,
    /// The name as given.
    pub username: Option<String>,
    /// First activity.
    pub start_time: Timestamp,
    /// Log-out, revocation or expiry.
    pub end_time: Option<Timestamp>,
    /// Whether it has not ended.
    pub is_active: bool,
    /// From where it began; empty where that is unknown.
    pub ip: String,
    /// The client program.
    pub user_agent: Option<String>,
    /// Number of its activities that are stored.
    pub activity_count: i64,
    /// Last activity.
    pub last_seen: Timestamp,
}

type Columns = (String, Option<i64>, Option<String>, i64, Option<i64>, String, Option<String>, i64, i64);

impl Store {
    /// Sessions, newest first, as they stand at `now`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn log_sessions(&self, filter: SessionFilter, now: Timestamp) -> Result<Vec<SessionRow>> {
        let all = Query::with(SELECT, [now.into()]);
        let Some(name) = &filter.user else { return self.newest_sessions(&filter, all, now).await };
        let key = clipped(&username_key(name), 255);
        let account = self.account_of(&key).await?;
        let named = all.clone().and("s.user_id IS NULL AND s.username_key = ?", [key.into()]);
        let mut rows = self.newest_sessions(&filter, named, now).await?;
        if let Some(id) = account {
            rows.extend(self.newest_sessions(&filter, all.and("s.user_id = ?", [id.into()]), now).await?);
            rows.sort_by(|a, b| (b.start_time, &b.session_id).cmp(&(a.start_time, &a.session_id)));
            rows.truncate(usize::try_from(filter.limit).unwrap_or(usize::MAX));
        }
        Ok(rows)
    }

    async fn newest_sessions(&self, filter: &SessionFilter, query: Query, now: Timestamp) -> Result<Vec<SessionRow>> {
        let mut query = query.and_some("s.user_id = ?", filter.user_id);
        if filter.active_only {
            query = query
                .and("s.end_time IS NULL AND a.ended_at IS NULL", [])
                .and("(a.expires_at IS NULL OR a.expires_at > ?)", [now.into()]);
        }
        if let Some((at, id)) = &filter.cursor {
            let place = [(*at).into(), (*at).into(), id.as_str().into()];
            query = query.and("s.start_time <= ? AND (s.start_time < ? OR s.session_id < ?)", place);
        }
        let query = query.then(" ORDER BY s.start_time DESC, s.session_id DESC LIMIT ?", [filter.limit.into()]);
        let rows: Vec<Columns> = rows_in_db!(self, query);
        Ok(rows.into_iter().map(row).collect())
    }
}

fn row((session_id, user_id, username, start, end, ip, user_agent, activity_count, last_seen): Columns) -> SessionRow {
    SessionRow {
        session_id,
        user_id,
        username,
        start_time: Timestamp::from_micros(start),
        end_time: end.map(Timestamp::from_micros),
        is_active: end.is_none(),
        ip,
        user_agent,
        activity_count,
        last_seen: Timestamp::from_micros(last_seen),
    }
}
