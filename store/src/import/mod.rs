//! Rows of an existing installation, taken over: each once, however often an import is run.
//!
//! | file | what |
//! |---|---|
//! | `mod` | where they go: [`Store`]'s side |
//! | `legacy` | where they come from: [`Legacy`], the database of the Flask backend, read only |
//!
//! An id is kept where it is free here; which row became which is remembered in `imported`, in the transaction that writes
//! the row.

mod legacy;

use std::collections::HashMap;
use std::sync::Arc;

use domain::{Activity, Partition, Role, Timestamp, ids, username_key};

use crate::db::{Tx, changed, in_tx};
use crate::ingest::{IngestRecord, Ingested, store as store_activities};
use crate::query::clipped;
use crate::sql::statements;
use crate::{NewItem, NewUser, Result, Store, items, orders, users};

pub use legacy::{Legacy, LegacyItem, LegacyLog, LegacyOrder, LegacySession, LegacyUser};

statements! {
    TARGET = "SELECT target_id FROM imported WHERE source = ? AND kind = ? AND source_id = ?";
    REMEMBER = "INSERT INTO imported (source, kind, source_id, target_id) VALUES (?, ?, ?, ?)";
    ALL = "SELECT source_id, target_id FROM imported WHERE source = ? AND kind = ?";
    USER_OF_NAME = "SELECT user_id FROM users WHERE username_key = ?";
    USER_IS_THERE = "SELECT COUNT(*) FROM users WHERE user_id = ?";
    ITEM_IS_THERE = "SELECT COUNT(*) FROM items WHERE item_id = ?";
    ORDER_IS_THERE = "SELECT COUNT(*) FROM orders WHERE order_id = ?";
    SESSION_IS_THERE = "SELECT COUNT(*) FROM sessions WHERE session_id = ?";
    SESSION = "INSERT INTO sessions (session_id, user_id, username, username_key, start_time, end_time, last_seen, ip, \
               user_agent, activity_count) VALUES (?, ?, ?, ?, ?, ?, ?, '', NULL, 0)";
    SESSION_TIMES = "UPDATE sessions SET start_time = CASE WHEN start_time > ? THEN ? ELSE start_time END, \
                     end_time = ? WHERE session_id = ?";
    NAMES = "SELECT user_id, username, role_id FROM users";
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is here now, under its own id.
    Kept,
    /// It is here now, under this id, because its own is another's.
    As(i64),
    /// It had been taken before.
    Before,
    /// A user of that name is here already: what the other did is this one's.
    SameName(i64),
}

/// A user to be taken over. The hash of the password is bcrypt, as it is.
#[derive(Debug, Clone)]
pub struct ImportedUser {
    /// Its id there.
    pub id: i64,
    /// What it is made of.
    pub user: NewUser,
    /// Whether the user may log in.
    pub is_active: bool,
    /// When the account was made.
    pub created_at: Timestamp,
}

/// An item to be taken over.
#[derive(Debug, Clone)]
pub struct ImportedItem {
    /// Its id there.
    pub id: i64,
    /// What it is made of.
    pub item: NewItem,
    /// When it was last changed.
    pub last_updated: Timestamp,
}

/// An order to be taken over; user and item by their ids here. The stock is not touched: it was when the order was made.
#[derive(Debug, Clone, Copy)]
pub struct ImportedOrder {
    /// Its id there.
    pub id: i64,
    /// Who ordered.
    pub user_id: i64,
    /// What.
    pub item_id: i64,
    /// How many.
    pub quantity: i64,
    /// When.
    pub order_time: Timestamp,
}

/// A session to be taken over, as the log has it: nobody is logged in by it.
#[derive(Debug, Clone)]
pub struct ImportedSession {
    /// Its id.
    pub session_id: String,
    /// Whose it was, by the id here.
    pub user_id: Option<i64>,
    /// Whose it was.
    pub username: Option<String>,
    /// When it began.
    pub start_time: Timestamp,
    /// When it ended.
    pub end_time: Option<Timestamp>,
}

impl Store {
    /// Which row here each row of a kind (`user`, `item`, `order`) of a source has become.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn imported(&self, source: &str, kind: &'static str) -> Result<HashMap<i64, i64>> {
        let rows: Vec<(i64, i64)> = crate::db::in_db!(self.db(), db => {
            sqlx::query_as(ALL).bind(source).bind(kind).fetch_all(db).await?
        });
        Ok(rows.into_iter().collect())
    }

    /// Names and roles of all users, deleted ones included, by id.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn names_of_users(&self) -> Result<HashMap<i64, (String, Option<Role>)>> {
        let rows: Vec<(i64, String, i64)> =
            crate::db::in_db!(self.db(), db => sqlx::query_as(NAMES).fetch_all(db).await?);
        Ok(rows.into_iter().map(|(id, name, role)| (id, (name, Role::from_id(role)))).collect())
    }

    /// Takes a user over. One of the same name that is here stays as it is.
    ///
    /// # Errors
    /// Nothing was done.
    pub async fn import_user(&self, source: &str, user: ImportedUser) -> Result<Taken> {
        let given = Arc::new((source.to_owned(), user));
        self.write(move |tx| {
            let given = Arc::clone(&given);
            Box::pin(async move {
                let (source, ImportedUser { id, user, is_active, created_at }) = &*given;
                if target(tx, source, "user", *id).await?.is_some() {
                    return Ok(Taken::Before);
                }
                let key = clipped(&username_key(&user.username), 255);
                let same: Option<(i64,)> =
                    in_tx!(tx, c => sqlx::query_as(USER_OF_NAME).bind(&key).fetch_optional(c).await?);
                if let Some((same,)) = same {
                    remember(tx, source, "user", *id, same).await?;
                    return Ok(Taken::SameName(same));
                }
                let own = free(tx, USER_IS_THERE, *id).await?;
                let made = users::insert(tx, own, user, &key, *is_active, *created_at).await?;
                taken(tx, source, "user", *id, made).await
            })
        })
        .await
    }

    /// Takes an item over.
    ///
    /// # Errors
    /// Nothing was done.
    pub async fn import_item(&self, source: &str, item: ImportedItem) -> Result<Taken> {
        let given = Arc::new((source.to_owned(), item));
        self.write(move |tx| {
            let given = Arc::clone(&given);
            Box::pin(async move {
                let (source, ImportedItem { id, item, last_updated }) = &*given;
                if target(tx, source, "item", *id).await?.is_some() {
                    return Ok(Taken::Before);
                }
                let own = free(tx, ITEM_IS_THERE, *id).await?;
                let made = items::insert(tx, own, item, *last_updated).await?;
                taken(tx, source, "item", *id, made).await
            })
        })
        .await
    }

    /// Takes an order over.
    ///
    /// # Errors
    /// Nothing was done.
    pub async fn import_order(&self, source: &str, order: ImportedOrder) -> Result<Taken> {
        let source = Arc::new(source.to_owned());
        self.write(move |tx| {
            let source = Arc::clone(&source);
            Box::pin(async move {
                let ImportedOrder { id, user_id, item_id, quantity, order_time } = order;
                if target(tx, &source, "order", id).await?.is_some() {
                    return Ok(Taken::Before);
                }
                let own = free(tx, ORDER_IS_THERE, id).await?;
                let made = orders::insert(tx, own, (user_id, item_id), quantity, order_time).await?;
                taken(tx, &source, "order", id, made).await
            })
        })
        .await
    }

    /// Takes activities over, each once by its id, straight into the logs: what they say is history, and nothing is
    /// alerted live.
    ///
    /// # Errors
    /// Nothing was done.
    pub async fn import_activities(&self, activities: Vec<Activity>) -> Result<Ingested> {
        let records: Arc<[IngestRecord]> = activities
            .into_iter()
            .map(|activity| {
                let payload = activity.to_json();
                IngestRecord::Activity { seq: 0, activity: Box::new(activity), payload }
            })
            .collect();
        self.write(move |tx| {
            let records = Arc::clone(&records);
            Box::pin(async move { store_activities(tx, Partition::JOURNAL, &records).await })
        })
        .await
    }

    /// Takes a session over; what its activities said of it is brought in line with its own times.
    ///
    /// # Errors
    /// Nothing was done.
    pub async fn import_session(&self, source: &str, session: ImportedSession) -> Result<Taken> {
        let given = Arc::new((source.to_owned(), session));
        self.write(move |tx| {
            let given = Arc::clone(&given);
            Box::pin(async move {
                let (source, session) = &*given;
                // Its row may be there because its activities made it: that does not say that it was taken.
                let number = number(&session.session_id);
                let before = target(tx, source, "session", number).await?.is_some();
                let taken = if before {
                    Taken::Before
                } else {
                    remember(tx, source, "session", number, number).await?;
                    Taken::Kept
                };
                let (start, end) = (session.start_time.micros(), session.end_time.map(Timestamp::micros));
                let id = clipped(&session.session_id, 255);
                let (there,): (i64,) = in_tx!(tx, c => sqlx::query_as(SESSION_IS_THERE).bind(&id).fetch_one(c).await?);
                if there > 0 {
                    changed!(tx, sqlx::query(SESSION_TIMES).bind(start).bind(start).bind(end).bind(&id));
                    return Ok(taken);
                }
                changed!(
                    tx,
                    sqlx::query(SESSION)
                        .bind(&id)
                        .bind(session.user_id)
                        .bind(session.username.as_deref().map(|name| clipped(name, 255)))
                        .bind(session.username.as_deref().map(|name| clipped(&username_key(name), 255)))
                        .bind(start)
                        .bind(end)
                        .bind(end.unwrap_or(start))
                );
                Ok(taken)
            })
        })
        .await
    }
}

/// A session's id is a text, and `imported` has numbers.
fn number(session_id: &str) -> i64 {
    let [first @ .., _, _, _, _, _, _, _, _] = ids::derived(&[b"session", session_id.as_bytes()]).into_bytes();
    i64::from_be_bytes(first)
}

async fn target(tx: &mut Tx, source: &str, kind: &str, id: i64) -> Result<Option<i64>> {
    let row: Option<(i64,)> =
        in_tx!(tx, c => sqlx::query_as(TARGET).bind(source).bind(kind).bind(id).fetch_optional(c).await?);
    Ok(row.map(|(id,)| id))
}

async fn remember(tx: &mut Tx, source: &str, kind: &str, from: i64, to: i64) -> Result<()> {
    changed!(tx, sqlx::query(REMEMBER).bind(source).bind(kind).bind(from).bind(to));
    Ok(())
}

/// Remembers which id a row has got here.
async fn taken(tx: &mut Tx, source: &str, kind: &str, from: i64, to: i64) -> Result<Taken> {
    remember(tx, source, kind, from, to).await?;
    Ok(if from == to { Taken::Kept } else { Taken::As(to) })
}

/// The id itself where no row here has it.
async fn free(tx: &mut Tx, is_there: &'static str, id: i64) -> Result<Option<i64>> {
    if id <= 0 {
        return Ok(None);
    }
    let (there,): (i64,) = in_tx!(tx, c => sqlx::query_as(is_there).bind(id).fetch_one(c).await?);
    Ok((there == 0).then_some(id))
}
