//! The two engines, and how the rest of the crate speaks to both with one text.
//!
//! # A read
//! One statement on the readers: [`in_db!`] type-checks the body once for each engine.
//! ```text
//! pub async fn name(&self, id: i64) -> Result<Option<String>> {
//!     let row: Option<(String,)> = in_db!(self.db(), db => {
//!         sqlx::query_as(NAME).bind(id).fetch_optional(db).await?
//!     });
//!     Ok(row.map(|(name,)| name))
//! }
//! ```
//! Rows come as tuples of `i64`, `f64`, `String`, `Vec<u8>` and `Option`s of them (up to 16 members; beyond that
//! `sqlx::query(..)` and `row.try_get(n)` in the body). Flags are 0 and 1 in an `i64`; times `Timestamp::micros`; ids
//! [`sql::id_bytes`](crate::sql::id_bytes). Texts are declared with `statements!`, lists with `lists!` (bound in the
//! pieces of `sql::chunks`), row locks with `row_locks!`: each also makes the test that prepares its texts.
//!
//! # A unit of work
//! Everything that writes is one call of [`Store::write`](crate::Store::write) with a closure over a [`Tx`]:
//! ```text
//! let name = Arc::new(name);
//! self.write(move |tx| {
//!     let name = Arc::clone(&name);                 // the unit may run again from its start
//!     Box::pin(async move {
//!         tx.lock(LOCK_ITEM, id).await?;            // a row lock on MySQL; SQLite has the whole database
//!         let old: Option<(String,)> = in_tx!(tx, c => sqlx::query_as(NAME).bind(id).fetch_optional(c).await?);
//!         let done = changed!(tx, sqlx::query(RENAME).bind(name.as_str()).bind(id));   // `inserted!`: the new id
//!         if done == 0 { return Err(Error::NotFound); }   // an error undoes all that the unit did
//!         tx.append(&activity).await?;              // journal, in the same transaction
//!         tx.touch(Touched::Item(id));              // caches: after the commit, before the answer
//!         Ok(())
//!     })
//! }).await
//! ```
//! Pass the closure straight to `write`: bound to a name first, with its argument annotated, it would not compile,
//! because only the parameter's type tells the compiler that the future borrows from the `Tx`.
//!
//! On SQLite the one writer runs it under a savepoint of its own inside a transaction that it shares with whatever else
//! waits. On MySQL it is a pooled READ COMMITTED transaction in a task of its own, run again after a deadlock: so the
//! closure is an `Fn`, and what can be used only once goes through [`Once`]. Either way a caller that goes away stops
//! nothing half-way. `rows_affected` counts matching rows on both engines, not changed ones.
//!
//! `tx.append` and `tx.append_alert` write journal rows; readers that wait (`JournalRead::wait`) are woken after the
//! commit. An error out of `?` keeps its meaning: a unique violation is [`Error::Duplicate`].

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use domain::{Timestamp, trace};
use sqlx::{MySql, MySqlPool, SqliteConnection, SqlitePool, Transaction};
use tracing::Span;

use crate::cache::Touched;
use crate::idempotency::KeyedRequest;
use crate::mysql::MySqlWriter;
use crate::writer::Writer;
use crate::{Error, Result};

/// The database behind the store.
pub(crate) enum Db {
    /// One file, one writer, read-only readers.
    Sqlite { writer: Writer, readers: SqlitePool, path: PathBuf },
    /// A pool for everything.
    MySql { pool: MySqlPool, writer: MySqlWriter },
}

impl Db {
    /// The span of a unit of work, from its wait for a turn to its commit, within the span of whoever asks for it; none
    /// where that has none, as with work that goes on for ever.
    pub(crate) fn commit_span(&self) -> Span {
        if !trace::is_exported() || Span::current().is_none() {
            return Span::none();
        }
        let (system, kind) = match self {
            Self::Sqlite { .. } => ("sqlite", "internal"),
            Self::MySql { .. } => ("mysql", "client"),
        };
        tracing::debug_span!("commit", otel.kind = kind, db.system.name = system, db.operation.name = "COMMIT")
    }
}

/// Runs a body with the readers of whichever engine is there.
macro_rules! in_db {
    ($db:expr, $pool:ident => $body:expr) => {
        match $db {
            $crate::db::Db::Sqlite { readers: $pool, .. } => $body,
            $crate::db::Db::MySql { pool: $pool, .. } => $body,
        }
    };
}
pub(crate) use in_db;

/// Runs a body with the connection of a transaction (`c: &mut …Connection`; several statements: `&mut *c`).
macro_rules! in_tx {
    ($tx:expr, $c:ident => $body:expr) => {
        match &mut $tx.conn {
            $crate::db::Conn::Sqlite($c) => $body,
            $crate::db::Conn::MySql(transaction) => {
                let $c = &mut **transaction;
                $body
            }
        }
    };
}
pub(crate) use in_tx;

/// Executes a query in a transaction; gives how many rows it inserted, matched or deleted.
macro_rules! changed {
    ($tx:expr, $query:expr) => {
        $crate::db::in_tx!($tx, c => $query.execute(c).await?.rows_affected())
    };
}
pub(crate) use changed;

/// Executes an insert in a transaction; gives the id that the database made, as an `i64`.
macro_rules! inserted {
    ($tx:expr, $query:expr) => {
        match &mut $tx.conn {
            $crate::db::Conn::Sqlite(c) => $query.execute(c).await?.last_insert_rowid(),
            $crate::db::Conn::MySql(transaction) => {
                let id = $query.execute(&mut **transaction).await?.last_insert_id();
                i64::try_from(id).map_err(|error| $crate::Error::Fault(error.into()))?
            }
        }
    };
}
pub(crate) use inserted;

/// The connection of a transaction.
pub(crate) enum Conn {
    /// The writer's own.
    Sqlite(SqliteConnection),
    /// One of the pool's.
    MySql(Transaction<'static, MySql>),
}

/// What a unit of work is handed: the open transaction, and what is to happen after its commit.
pub(crate) struct Tx {
    pub(crate) conn: Conn,
    /// The time of this attempt, by the injected clock.
    pub(crate) now: Timestamp,
    pub(crate) effects: Effects,
    /// Whether the journal had no room for activities when the transaction began.
    pub(crate) journal_full: bool,
    /// The request with an `Idempotency-Key` that this is done for.
    pub(crate) request: Option<Arc<KeyedRequest>>,
}

/// What follows a commit.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Cache entries that no longer hold.
    pub(crate) touched: Vec<Touched>,
    /// Highest journal position written, 0 for none.
    pub(crate) last_seq: i64,
}

impl Effects {
    /// Adds what another unit of the same transaction left.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.touched.extend(other.touched);
        self.last_seq = self.last_seq.max(other.last_seq);
    }
}

impl Tx {
    /// A transaction on `conn`.
    pub(crate) fn new(conn: Conn, now: Timestamp) -> Self {
        Self { conn, now, effects: Effects::default(), journal_full: false, request: None }
    }

    /// Says that a row has changed which the caches may hold.
    pub(crate) fn touch(&mut self, what: Touched) {
        self.effects.touched.push(what);
    }

    /// Locks rows for the rest of the transaction: `text` is a `SELECT … FOR UPDATE` with one `?`, run on MySQL only.
    /// On SQLite a unit of work has the database to itself.
    ///
    /// # Errors
    /// The lock cannot be had.
    pub(crate) async fn lock(&mut self, text: &'static str, id: i64) -> Result<()> {
        if let Conn::MySql(transaction) = &mut self.conn {
            sqlx::query(text).bind(id).fetch_all(&mut **transaction).await?;
        }
        Ok(())
    }
}

/// Something that can be used once only, in a unit of work that may have to run again. A second run is answered with
/// [`Error::Overloaded`]: the first was rolled back, so nothing was done.
pub(crate) struct Once<F>(Arc<Mutex<Option<F>>>);

impl<F> Once<F> {
    /// Wraps `thing`.
    pub(crate) fn new(thing: F) -> Self {
        Self(Arc::new(Mutex::new(Some(thing))))
    }

    /// Takes it out.
    ///
    /// # Errors
    /// It has been taken.
    pub(crate) fn take(&self) -> Result<F> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or(Error::Overloaded)
    }
}

impl<F> Clone for Once<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
