//! Users. A deleted one is hidden and stays: its name remains taken and its deeds keep their author.

use std::collections::HashMap;
use std::sync::Arc;

use domain::wire::Incoming;
use domain::{Activity, Role, Timestamp, username_key};

use crate::cache::Touched;
use crate::db::{Once, Tx, changed, in_db, in_tx, inserted};
use crate::sql::{chunks, lists, row_locks, statements};
use crate::{Error, Result, Store, sessions_auth};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT user_id, username, username_key, password_hash, email, full_name, role_id, is_active, created_at, ",
            "zone FROM users WHERE deleted_at IS NULL",
            $rest
        )
    };
}

statements! {
    BY_ID = select!(" AND user_id = ?");
    BY_KEY = select!(" AND username_key = ?");
    ALL = select!(" ORDER BY user_id LIMIT 10000");
    COUNT = "SELECT COUNT(*) FROM users WHERE deleted_at IS NULL";
    TAKEN = "SELECT user_id FROM users WHERE username_key = ?";
    INSERT = "INSERT INTO users (user_id, username, username_key, password_hash, email, full_name, role_id, is_active, \
              created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    UPDATE = "UPDATE users SET password_hash = ?, email = ?, full_name = ?, role_id = ?, is_active = ? WHERE user_id = ?";
    HIDE = "UPDATE users SET deleted_at = ?, is_active = 0 WHERE user_id = ?";
    OTHER_ADMINS = "SELECT COUNT(*) FROM users WHERE role_id = ? AND is_active = 1 AND deleted_at IS NULL AND user_id <> ?";
}
row_locks! {
    /// Row locks, on MySQL only.
    LOCK = "SELECT user_id FROM users WHERE user_id = ? FOR UPDATE";
    LOCK_ROLE = "SELECT user_id FROM users WHERE role_id = ? ORDER BY user_id FOR UPDATE";
}

lists! {
    KNOWN = "SELECT username_key, user_id, role_id FROM users WHERE deleted_at IS NULL AND username_key IN (", "?", ")";
}

/// The longest compared form of a name, in characters: what the column and its index hold.
const LONGEST_KEY: usize = 255;

/// A user who has not been deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// Identity, never used twice.
    pub user_id: i64,
    /// The name as it was chosen.
    pub username: String,
    /// The name as it is compared ([`domain::username_key`]).
    pub username_key: String,
    /// bcrypt.
    pub password_hash: String,
    /// Mail address.
    pub email: Option<String>,
    /// Name of the person.
    pub full_name: Option<String>,
    /// What the user may do.
    pub role: Role,
    /// Whether the user may log in.
    pub is_active: bool,
    /// When the account was made.
    pub created_at: Timestamp,
    /// IANA time zone, where it is not the product's.
    pub zone: Option<String>,
}

pub(crate) type Columns = (i64, String, String, String, Option<String>, Option<String>, i64, i64, i64, Option<String>);

impl UserRow {
    pub(crate) fn read(row: Columns) -> Result<Self> {
        let (user_id, username, username_key, password_hash, email, full_name, role, active, created_at, zone) = row;
        Ok(Self {
            user_id,
            username,
            username_key,
            password_hash,
            email,
            full_name,
            role: role_of(role)?,
            is_active: active != 0,
            created_at: Timestamp::from_micros(created_at),
            zone,
        })
    }
}

/// Adds a row, under this id or the next; its id.
pub(crate) async fn insert(
    tx: &mut Tx,
    id: Option<i64>,
    user: &NewUser,
    key: &str,
    is_active: bool,
    created_at: Timestamp,
) -> Result<i64> {
    let made = inserted!(
        tx,
        sqlx::query(INSERT)
            .bind(id)
            .bind(user.username.as_str())
            .bind(key)
            .bind(user.password_hash.as_str())
            .bind(user.email.as_deref())
            .bind(user.full_name.as_deref())
            .bind(user.role.id())
            .bind(i64::from(is_active))
            .bind(created_at.micros())
    );
    Ok(id.unwrap_or(made))
}

fn role_of(id: i64) -> Result<Role> {
    Role::from_id(id).ok_or_else(|| Error::fault(format!("there is no role {id}")))
}

/// An account to be made; it is active at once.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The name as it was chosen.
    pub username: String,
    /// bcrypt.
    pub password_hash: String,
    /// Mail address.
    pub email: Option<String>,
    /// Name of the person.
    pub full_name: Option<String>,
    /// What the user may do.
    pub role: Role,
}

/// What is to change of a user; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// What the user may do.
    pub role: Option<Role>,
    /// bcrypt.
    pub password_hash: Option<String>,
    /// Mail address; `Some(None)` removes it.
    pub email: Option<Option<String>>,
    /// Name of the person; `Some(None)` removes it.
    pub full_name: Option<Option<String>>,
    /// Whether the user may log in.
    pub is_active: Option<bool>,
    /// The session that goes on when the change ends the user's sessions.
    pub keep_session: Option<String>,
}

impl Store {
    /// The user with this id.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn user(&self, id: i64) -> Result<Option<UserRow>> {
        Ok(self.cached_user(id).await?.map(|user| (*user).clone()))
    }

    pub(crate) async fn cached_user(&self, id: i64) -> Result<Option<Arc<UserRow>>> {
        let cache = &self.caches().users;
        if let Some(user) = cache.get(&id) {
            return Ok(Some(user));
        }
        let generation = cache.generation();
        let row: Option<Columns> = in_db!(self.db(), db => sqlx::query_as(BY_ID).bind(id).fetch_optional(db).await?);
        let Some(row) = row else { return Ok(None) };
        let user = Arc::new(UserRow::read(row)?);
        cache.put(id, Arc::clone(&user), generation);
        Ok(Some(user))
    }

    /// The user with this compared name.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn user_by_key(&self, key: &str) -> Result<Option<UserRow>> {
        let row: Option<Columns> = in_db!(self.db(), db => sqlx::query_as(BY_KEY).bind(key).fetch_optional(db).await?);
        row.map(UserRow::read).transpose()
    }

    /// All users by id, up to 10,000.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn users(&self) -> Result<Vec<UserRow>> {
        let rows: Vec<Columns> = in_db!(self.db(), db => sqlx::query_as(ALL).fetch_all(db).await?);
        rows.into_iter().map(UserRow::read).collect()
    }

    /// How many users there are.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn count_users(&self) -> Result<i64> {
        Ok(in_db!(self.db(), db => sqlx::query_scalar(COUNT).fetch_one(db).await?))
    }

    /// How many Admins can log in.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn count_admins(&self) -> Result<i64> {
        // No user has that id.
        let nobody = 0;
        Ok(in_db!(self.db(), db => {
            sqlx::query_scalar(OTHER_ADMINS).bind(Role::Admin.id()).bind(nobody).fetch_one(db).await?
        }))
    }

    /// Which of these compared names are users, with id and role.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn known_users(&self, keys: &[String]) -> Result<HashMap<String, (i64, Role)>> {
        let mut known = HashMap::new();
        for piece in chunks(keys) {
            let rows: Vec<(String, i64, i64)> = in_db!(self.db(), db => {
                let query = sqlx::query_as(KNOWN.of(piece.len()));
                piece.iter().fold(query, |query, key| query.bind(key.as_str())).fetch_all(db).await?
            });
            for (key, id, role) in rows {
                known.insert(key, (id, role_of(role)?));
            }
        }
        Ok(known)
    }

    /// The account of a compared name, also of one that is deleted: names are not given twice.
    pub(crate) async fn account_of(&self, key: &str) -> Result<Option<i64>> {
        Ok(in_db!(self.db(), db => sqlx::query_scalar(TAKEN).bind(key).fetch_optional(db).await?))
    }

    /// Which of our users each record of another system speaks of, with id and role, in the order of the records: by its
    /// name, else by its number, and then the record gets the name.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn users_meant(&self, records: Vec<&mut Incoming>) -> Result<Vec<Option<(i64, Role)>>> {
        let key_of = |record: &Incoming| record.user.as_deref().map(username_key);
        let keys: Vec<String> = records.iter().filter_map(|record| key_of(record)).collect();
        let known = self.known_users(&keys).await?;
        let mut meant = Vec::with_capacity(records.len());
        for record in records {
            meant.push(match (key_of(record), record.user_id) {
                (Some(key), _) => known.get(&key).copied(),
                (None, Some(id)) => self.user(id).await?.map(|user| {
                    record.user = Some(user.username);
                    (user.user_id, user.role)
                }),
                (None, None) => None,
            });
        }
        Ok(meant)
    }

    /// Makes an account; `journal` makes its activity, stored in the same transaction.
    ///
    /// # Errors
    /// `Duplicate` where the name is taken, also by a deleted user.
    pub async fn create_user(
        &self,
        user: NewUser,
        journal: impl FnOnce(&UserRow) -> Activity + Send + 'static,
    ) -> Result<UserRow> {
        let key = username_key(&user.username);
        if key.is_empty() || key.chars().count() > LONGEST_KEY {
            return Err(Error::Conflict("This user name cannot be used; choose a shorter one.".into()));
        }
        let (new, journal) = (Arc::new((user, key)), Once::new(journal));
        self.write(move |tx| {
            let (new, journal) = (Arc::clone(&new), journal.clone());
            Box::pin(async move {
                let (user, key) = &*new;
                let taken: Option<i64> =
                    in_tx!(tx, c => sqlx::query_scalar(TAKEN).bind(key.as_str()).fetch_optional(c).await?);
                if taken.is_some() {
                    return Err(Error::Duplicate);
                }
                let now = tx.now;
                let user_id = insert(tx, None, user, key, true, now).await?;
                let row = read(tx, user_id).await?.ok_or(Error::NotFound)?;
                tx.touch(Touched::User(user_id));
                tx.append(&journal.take()?(&row)).await?;
                Ok(row)
            })
        })
        .await
    }

    /// Changes a user. A change of password, role or `is_active` ends the user's sessions, except `keep_session`.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where no active Admin would be left.
    pub async fn update_user(&self, id: i64, change: UserChange, activity: Activity) -> Result<UserRow> {
        let given = Arc::new((change, activity));
        self.write(move |tx| {
            let given = Arc::clone(&given);
            Box::pin(async move {
                let (change, activity) = &*given;
                if change.role.is_some() || change.is_active.is_some() {
                    tx.lock(LOCK_ROLE, Role::Admin.id()).await?;
                }
                tx.lock(LOCK, id).await?;
                let old = read(tx, id).await?.ok_or(Error::NotFound)?;
                let mut new = old.clone();
                new.role = change.role.unwrap_or(old.role);
                new.is_active = change.is_active.unwrap_or(old.is_active);
                new.email = change.email.clone().unwrap_or(new.email);
                new.full_name = change.full_name.clone().unwrap_or(new.full_name);
                new.password_hash = change.password_hash.clone().unwrap_or(new.password_hash);
                if is_admin(&old) && !is_admin(&new) {
                    keep_an_admin(tx, id).await?;
                }
                changed!(
                    tx,
                    sqlx::query(UPDATE)
                        .bind(new.password_hash.as_str())
                        .bind(new.email.as_deref())
                        .bind(new.full_name.as_deref())
                        .bind(new.role.id())
                        .bind(i64::from(new.is_active))
                        .bind(id)
                );
                if change.password_hash.is_some() || new.role != old.role || new.is_active != old.is_active {
                    sessions_auth::end_all(tx, id, change.keep_session.as_deref()).await?;
                }
                tx.touch(Touched::User(id));
                tx.append(activity).await?;
                Ok(new)
            })
        })
        .await
    }

    /// Hides a user and ends all its sessions.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where no active Admin would be left.
    pub async fn delete_user(&self, id: i64, activity: Activity) -> Result<()> {
        let activity = Arc::new(activity);
        self.write(move |tx| {
            let activity = Arc::clone(&activity);
            Box::pin(async move {
                tx.lock(LOCK_ROLE, Role::Admin.id()).await?;
                tx.lock(LOCK, id).await?;
                let user = read(tx, id).await?.ok_or(Error::NotFound)?;
                if is_admin(&user) {
                    keep_an_admin(tx, id).await?;
                }
                let now = tx.now;
                changed!(tx, sqlx::query(HIDE).bind(now.micros()).bind(id));
                sessions_auth::end_all(tx, id, None).await?;
                tx.touch(Touched::User(id));
                tx.append(&activity).await
            })
        })
        .await
    }
}

async fn read(tx: &mut Tx, id: i64) -> Result<Option<UserRow>> {
    let row: Option<Columns> = in_tx!(tx, c => sqlx::query_as(BY_ID).bind(id).fetch_optional(&mut *c).await?);
    row.map(UserRow::read).transpose()
}

fn is_admin(user: &UserRow) -> bool {
    user.role == Role::Admin && user.is_active
}

/// Refuses where nobody but `id` is an active Admin. The Admins' rows are locked, so two cannot go at once.
async fn keep_an_admin(tx: &mut Tx, id: i64) -> Result<()> {
    let others: i64 =
        in_tx!(tx, c => sqlx::query_scalar(OTHER_ADMINS).bind(Role::Admin.id()).bind(id).fetch_one(c).await?);
    if others == 0 {
        return Err(Error::Conflict("This is the last Admin; make another one first.".into()));
    }
    Ok(())
}
