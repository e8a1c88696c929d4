//! Sessions and counts of a batch, summed up in memory: a thousand activities of ten users are ten rows, not a thousand.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use domain::{Activity, DAY, HOUR, Timestamp, username_key};
use sqlx::AssertSqlSafe;

use crate::Result;
use crate::db::{Conn, Tx, in_tx};
use crate::ingest::row::ip;
use crate::query::clipped;
use crate::sql::{Repeated, chunks};

/// Start of the day (UTC) of a moment.
pub(crate) fn day(at: Timestamp) -> i64 {
    at.micros().div_euclid(DAY) * DAY
}

/// Start of the hour of a moment.
pub(crate) fn hour(at: Timestamp) -> i64 {
    at.micros().div_euclid(HOUR) * HOUR
}

/// A multi-row insert that adds to the rows that are there, in the words of each engine.
struct Upsert {
    sqlite: Repeated,
    mysql: Repeated,
}

impl Upsert {
    fn new(head: &str, row: &str, sqlite: &str, mysql: &str) -> Self {
        Self { sqlite: Repeated::new(head, row, sqlite), mysql: Repeated::new(head, row, mysql) }
    }

    fn text(&self, tx: &Tx, rows: usize) -> AssertSqlSafe<Arc<str>> {
        match tx.conn {
            Conn::Sqlite(_) => self.sqlite.of(rows),
            Conn::MySql(_) => self.mysql.of(rows),
        }
    }
}

static SESSIONS: LazyLock<Upsert> = LazyLock::new(|| {
    Upsert::new(
        "INSERT INTO sessions (session_id, user_id, username, username_key, start_time, end_time, last_seen, ip, \
         user_agent, activity_count) VALUES ",
        "(?,?,?,?,?,?,?,?,?,?)",
        " ON CONFLICT (session_id) DO UPDATE SET user_id = COALESCE(user_id, excluded.user_id), \
         username = COALESCE(username, excluded.username), username_key = COALESCE(username_key, excluded.username_key), \
         start_time = MIN(start_time, excluded.start_time), \
         end_time = COALESCE(excluded.end_time, end_time), last_seen = MAX(last_seen, excluded.last_seen), \
         user_agent = COALESCE(user_agent, excluded.user_agent), \
         activity_count = activity_count + excluded.activity_count",
        " ON DUPLICATE KEY UPDATE user_id = COALESCE(user_id, VALUES(user_id)), \
         username = COALESCE(username, VALUES(username)), username_key = COALESCE(username_key, VALUES(username_key)), \
         start_time = LEAST(start_time, VALUES(start_time)), \
         end_time = COALESCE(VALUES(end_time), end_time), last_seen = GREATEST(last_seen, VALUES(last_seen)), \
         user_agent = COALESCE(user_agent, VALUES(user_agent)), \
         activity_count = activity_count + VALUES(activity_count)",
    )
});
static BY_USER: LazyLock<Upsert> = LazyLock::new(|| {
    Upsert::new(
        "INSERT INTO activity_by_user (user_id, day, action, n) VALUES ",
        "(?,?,?,?)",
        " ON CONFLICT (user_id, day, action) DO UPDATE SET n = n + excluded.n",
        " ON DUPLICATE KEY UPDATE n = n + VALUES(n)",
    )
});
static BY_HOUR: LazyLock<Upsert> = LazyLock::new(|| {
    Upsert::new(
        "INSERT INTO activity_by_hour (hour, action, part, n) VALUES ",
        "(?,?,?,?)",
        " ON CONFLICT (hour, action, part) DO UPDATE SET n = n + excluded.n",
        " ON DUPLICATE KEY UPDATE n = n + VALUES(n)",
    )
});

/// What a batch says of one session.
#[derive(Debug)]
struct Session {
    user_id: Option<i64>,
    username: Option<String>,
    start: Timestamp,
    end: Option<Timestamp>,
    last_seen: Timestamp,
    ip: String,
    user_agent: Option<String>,
    count: i64,
}

/// Sums over a batch. Ordered maps: two who write the same rows take their locks in the same order.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    sessions: BTreeMap<String, Session>,
    by_user: BTreeMap<(i64, i64, String), i64>,
    by_hour: BTreeMap<(i64, String), i64>,
}

impl Tally {
    /// Counts an activity that was not stored before.
    pub(crate) fn add(&mut self, activity: &Activity) {
        let at = activity.occurred_at;
        let action = clipped(&activity.action, 64);
        if let Some(user) = activity.user_id {
            *self.by_user.entry((user, day(at), action.clone())).or_default() += 1;
        }
        *self.by_hour.entry((hour(at), action)).or_default() += 1;
        let Some(session) = activity.session_id.as_deref().filter(|session| !session.is_empty()) else { return };
        let row = self.sessions.entry(clipped(session, 255)).or_insert_with(|| Session {
            user_id: None,
            username: None,
            start: at,
            end: None,
            last_seen: at,
            ip: ip(activity),
            user_agent: activity.user_agent.as_deref().map(|agent| clipped(agent, 255)),
            count: 0,
        });
        row.user_id = row.user_id.or(activity.user_id);
        row.username = row.username.take().or_else(|| activity.user.as_deref().map(|user| clipped(user, 255)));
        row.start = row.start.min(at);
        row.last_seen = row.last_seen.max(at);
        row.count += 1;
        if activity.action == "Logout" {
            row.end = row.end.max(Some(at));
        }
    }

    /// Adds the sums to what is stored.
    ///
    /// Sums of all users stand in a row for each `part`, so that those who work on different partitions do not wait for
    /// each other.
    pub(crate) async fn write(self, tx: &mut Tx, part: i64) -> Result<()> {
        let sessions: Vec<(String, Session)> = self.sessions.into_iter().collect();
        for piece in chunks(&sessions) {
            let text = SESSIONS.text(tx, piece.len());
            in_tx!(tx, c => {
                let mut query = sqlx::query(text);
                for (id, session) in piece {
                    query = query
                        .bind(id)
                        .bind(session.user_id)
                        .bind(&session.username)
                        .bind(session.username.as_deref().map(|name| clipped(&username_key(name), 255)))
                        .bind(session.start.micros())
                        .bind(session.end.map(Timestamp::micros))
                        .bind(session.last_seen.micros())
                        .bind(&session.ip)
                        .bind(&session.user_agent)
                        .bind(session.count);
                }
                query.execute(c).await?;
            });
        }
        let by_user: Vec<((i64, i64, String), i64)> = self.by_user.into_iter().collect();
        for piece in chunks(&by_user) {
            let text = BY_USER.text(tx, piece.len());
            in_tx!(tx, c => {
                let mut query = sqlx::query(text);
                for ((user, day, action), n) in piece {
                    query = query.bind(user).bind(day).bind(action).bind(n);
                }
                query.execute(c).await?;
            });
        }
        let by_hour: Vec<((i64, String), i64)> = self.by_hour.into_iter().collect();
        for piece in chunks(&by_hour) {
            let text = BY_HOUR.text(tx, piece.len());
            in_tx!(tx, c => {
                let mut query = sqlx::query(text);
                for ((hour, action), n) in piece {
                    query = query.bind(hour).bind(action).bind(part).bind(n);
                }
                query.execute(c).await?;
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::harness::Ground;

    async fn upserts_can_be_prepared(ground: Ground) {
        for upsert in [&SESSIONS, &BY_USER, &BY_HOUR] {
            let texts = if ground.mysql { &upsert.mysql } else { &upsert.sqlite };
            crate::sql::prepare(&ground, texts.all()).await;
        }
    }
    crate::on_both_engines!(upserts_can_be_prepared);

    #[test]
    fn a_session_ends_with_its_log_out_whatever_the_order() {
        let mut tally = Tally::default();
        for (minute, action) in [(3, "Logout"), (1, "Login"), (2, "View")] {
            let mut activity =
                Activity::new(Uuid::from_u128(minute), action, Timestamp::from_micros(minute as i64 * 60));
            activity.session_id = Some("s".into());
            activity.user_id = Some(7);
            tally.add(&activity);
        }
        let session = &tally.sessions["s"];
        assert_eq!((session.start.micros(), session.last_seen.micros(), session.count), (60, 180, 3));
        assert_eq!(session.end.map(Timestamp::micros), Some(180));
        assert_eq!(tally.by_user.len(), 3);
        assert_eq!(hour(Timestamp::from_micros(-1)), -HOUR);
    }
}
