//! Who is logged in. These rows are the authority: an ended session is refused at once, whatever its token says.

use std::net::IpAddr;
use std::sync::Arc;

use domain::{Activity, Timestamp, username_key};

use crate::cache::{CachedSession, Touched};
use crate::db::{Db, Tx, changed, in_db, in_tx};
use crate::sql::{row_locks, statements};
use crate::users::UserRow;
use crate::{Error, Result, Store};

statements! {
    ACTIVE = "SELECT password_hash FROM users WHERE user_id = ? AND deleted_at IS NULL AND is_active = 1";
    INSERT = "INSERT INTO auth_sessions (session_id, user_id, started_at, expires_at, ip, user_agent) VALUES (?, ?, ?, ?, ?, ?)";
    END = "UPDATE auth_sessions SET ended_at = ? WHERE session_id = ? AND ended_at IS NULL";
    END_ALL = "UPDATE auth_sessions SET ended_at = ? WHERE user_id = ? AND ended_at IS NULL AND session_id <> ?";
    LIVE = "SELECT user_id, started_at, expires_at FROM auth_sessions WHERE session_id = ? AND ended_at IS NULL";
    LIVE_WITH_USER = "SELECT s.started_at, s.expires_at, u.user_id, u.username, u.username_key, u.password_hash, u.email, \
                      u.full_name, u.role_id, u.is_active, u.created_at, u.zone \
                      FROM auth_sessions s JOIN users u ON u.user_id = s.user_id \
                      WHERE s.session_id = ? AND s.ended_at IS NULL AND u.deleted_at IS NULL";
    FORGET = "DELETE FROM auth_sessions WHERE expires_at < ?";
    OWNED = "SELECT COUNT(*) FROM auth_sessions WHERE session_id = ? AND user_id = ?";
    LOGGED = "SELECT user_id, username FROM sessions WHERE session_id = ?";
    SOURCES = "SELECT ip FROM auth_sessions WHERE user_id = ? AND expires_at > ? AND ended_at IS NULL";
}
row_locks! {
    /// Row lock, on MySQL only: a log-in and a change that ends sessions go one after the other.
    LOCK_USER = "SELECT user_id FROM users WHERE user_id = ? FOR UPDATE";
}

/// A session that may be used, with its user as of now.
#[derive(Debug, Clone)]
pub struct LiveSession {
    /// Its name.
    pub session_id: String,
    /// When the user logged in.
    pub started_at: Timestamp,
    /// The user, active and not deleted.
    pub user: UserRow,
}

impl Store {
    /// Starts a session, with its activity in the same transaction. `user` is the row whose password was checked.
    ///
    /// # Errors
    /// `NotFound` where the user has been deleted or deactivated meanwhile, or has another password now: that change
    /// has ended all sessions, and one that began a moment later with the old password must not outlive it.
    /// `Duplicate` where the name is taken.
    #[expect(clippy::too_many_arguments, reason = "one row of a table, each member of its own type")]
    pub async fn start_session(
        &self,
        id: &str,
        user: &UserRow,
        now: Timestamp,
        expires: Timestamp,
        ip: IpAddr,
        agent: Option<String>,
        activity: Activity,
    ) -> Result<()> {
        let user_id = user.user_id;
        let given = Arc::new((id.to_owned(), ip.to_string(), agent, activity, user.password_hash.clone()));
        self.write(move |tx| {
            let given = Arc::clone(&given);
            Box::pin(async move {
                let (id, ip, agent, activity, password) = &*given;
                tx.lock(LOCK_USER, user_id).await?;
                let held: Option<String> =
                    in_tx!(tx, c => sqlx::query_scalar(ACTIVE).bind(user_id).fetch_optional(c).await?);
                if held.as_ref() != Some(password) {
                    return Err(Error::NotFound);
                }
                changed!(
                    tx,
                    sqlx::query(INSERT)
                        .bind(id.as_str())
                        .bind(user_id)
                        .bind(now.micros())
                        .bind(expires.micros())
                        .bind(ip.as_str())
                        .bind(agent.as_deref())
                );
                tx.append(activity).await
            })
        })
        .await
    }

    /// Ends a session, with its activity in the same transaction. Ending it again changes nothing but is recorded.
    ///
    /// # Errors
    /// Nothing was done.
    pub async fn end_session(&self, id: &str, activity: Activity) -> Result<()> {
        let given = Arc::new((id.to_owned(), activity));
        self.write(move |tx| {
            let given = Arc::clone(&given);
            Box::pin(async move {
                let (id, activity) = &*given;
                let now = tx.now;
                changed!(tx, sqlx::query(END).bind(now.micros()).bind(id.as_str()));
                tx.touch(Touched::Session(id.clone()));
                tx.append(activity).await
            })
        })
        .await
    }

    /// The session, if it may be used at `now`: not ended, not expired, its user active and not deleted.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn live_session(&self, id: &str, now: Timestamp) -> Result<Option<LiveSession>> {
        match self.db() {
            Db::MySql { pool, .. } => {
                type Joined = (
                    i64,
                    i64,
                    i64,
                    String,
                    String,
                    String,
                    Option<String>,
                    Option<String>,
                    i64,
                    i64,
                    i64,
                    Option<String>,
                );
                let row: Option<Joined> = sqlx::query_as(LIVE_WITH_USER).bind(id).fetch_optional(pool).await?;
                let Some((started, expires, a, b, c, d, e, f, g, h, i, j)) = row else { return Ok(None) };
                let user = UserRow::read((a, b, c, d, e, f, g, h, i, j))?;
                let session_id = id.to_owned();
                let session = LiveSession { session_id, started_at: Timestamp::from_micros(started), user };
                Ok((now.micros() < expires && session.user.is_active).then_some(session))
            }
            Db::Sqlite { .. } => {
                let Some(session) = self.cached_session(id).await? else { return Ok(None) };
                if now >= session.expires_at {
                    return Ok(None);
                }
                let user = self.cached_user(session.user_id).await?;
                Ok(user.filter(|user| user.is_active).map(|user| LiveSession {
                    session_id: id.to_owned(),
                    started_at: session.started_at,
                    user: (*user).clone(),
                }))
            }
        }
    }

    /// Whether a session is or was one of a user's: one of ours, or one that another system told of.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn is_session_of(&self, id: &str, user: &UserRow) -> Result<bool> {
        let user_id = user.user_id;
        let owned: i64 = in_db!(self.db(), db => sqlx::query_scalar(OWNED).bind(id).bind(user_id).fetch_one(db).await?);
        if owned > 0 {
            return Ok(true);
        }
        let logged: Option<(Option<i64>, Option<String>)> =
            in_db!(self.db(), db => sqlx::query_as(LOGGED).bind(id).fetch_optional(db).await?);
        Ok(logged.is_some_and(|(of, name)| {
            of == Some(user_id) || name.is_some_and(|name| username_key(&name) == user.username_key)
        }))
    }

    /// The addresses from which a user's sessions that may be used at `now` were begun.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn live_sources(&self, user_id: i64, now: Timestamp) -> Result<Vec<IpAddr>> {
        let rows: Vec<(String,)> =
            in_db!(self.db(), db => sqlx::query_as(SOURCES).bind(user_id).bind(now.micros()).fetch_all(db).await?);
        Ok(rows.into_iter().filter_map(|(ip,)| ip.parse().ok()).collect())
    }

    async fn cached_session(&self, id: &str) -> Result<Option<Arc<CachedSession>>> {
        let cache = &self.caches().sessions;
        if let Some(session) = cache.get(id) {
            return Ok(Some(session));
        }
        let generation = cache.generation();
        let row: Option<(i64, i64, i64)> =
            in_db!(self.db(), db => sqlx::query_as(LIVE).bind(id).fetch_optional(db).await?);
        let Some((user_id, started, expires)) = row else { return Ok(None) };
        let (started_at, expires_at) = (Timestamp::from_micros(started), Timestamp::from_micros(expires));
        let session = Arc::new(CachedSession { user_id, started_at, expires_at });
        cache.put(id.to_owned(), Arc::clone(&session), generation);
        Ok(Some(session))
    }
}

/// Ends all sessions of a user but one.
pub(crate) async fn end_all(tx: &mut Tx, user_id: i64, except: Option<&str>) -> Result<()> {
    let now = tx.now;
    let except = except.unwrap_or_default();
    changed!(tx, sqlx::query(END_ALL).bind(now.micros()).bind(user_id).bind(except));
    tx.touch(Touched::SessionsOf(user_id));
    Ok(())
}

/// Removes sessions that expired before `before`.
pub(crate) async fn forget(tx: &mut Tx, before: Timestamp) -> Result<u64> {
    Ok(changed!(tx, sqlx::query(FORGET).bind(before.micros())))
}
