//! One leader at a time among many processes: a named lock of the database server, held by a connection of its own.

use std::time::Duration;

use domain::ids;
use sqlx::{Connection, MySqlConnection, MySqlPool};

use crate::db::Db;
use crate::{Error, Result, Store};

const TAKE: &str = "SELECT CAST(GET_LOCK(?, ?) AS SIGNED)";
const HELD: &str = "SELECT CAST(COALESCE(IS_USED_LOCK(?) = CONNECTION_ID(), 0) AS SIGNED)";
const DATABASE: &str = "SELECT DATABASE()";

/// Leadership; it ends when this is dropped, or when its connection or the server goes.
#[derive(Debug)]
pub struct Lease(Held);

#[derive(Debug)]
enum Held {
    /// On SQLite the data directory's lock has settled it: there is one process.
    Always,
    /// A server's lock goes with its connection.
    Lock { connection: Box<MySqlConnection>, name: String },
}

impl Store {
    /// Takes the lead under `name`, if nobody has it. Released by dropping the lease.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn try_lead(&self, name: &str) -> Result<Option<Lease>> {
        let Db::MySql { pool, .. } = self.db() else { return Ok(Some(Lease(Held::Always))) };
        let taken = take(pool, name, Duration::ZERO).await?;
        Ok(taken.map(|(connection, name)| Lease(Held::Lock { connection: Box::new(connection), name })))
    }
}

/// Takes a named lock on a connection of its own, with which it goes; none where another holds it for so long.
pub(crate) async fn take(
    pool: &MySqlPool,
    name: &str,
    patience: Duration,
) -> Result<Option<(MySqlConnection, String)>> {
    let mut connection = pool.acquire().await?.detach();
    let database: String = sqlx::query_scalar(DATABASE).fetch_one(&mut connection).await?;
    let (name, seconds) = (full(&database, name), i64::try_from(patience.as_secs()).unwrap_or(i64::MAX));
    let query = sqlx::query_scalar(TAKE).bind(name.as_str()).bind(seconds);
    // NULL, with a warning that nobody reads, is how a server says that it did not understand or was interrupted.
    let taken: Option<i64> = query.fetch_one(&mut connection).await?;
    match taken {
        Some(1) => return Ok(Some((connection, name))),
        Some(_) => connection.close().await?,
        None => return Err(Error::fault("the database server gives no lock (GET_LOCK)")),
    }
    Ok(None)
}

/// The server has one set of lock names for all its databases, and 64 characters for each.
pub(crate) fn full(database: &str, name: &str) -> String {
    format!("sa.{}", ids::derived(&[b"lease", database.as_bytes(), name.as_bytes()]))
}

impl Lease {
    /// Whether the lead is still held, asked of the server. Ask before each step that only a leader may take; an error
    /// means that it is lost.
    ///
    /// # Errors
    /// The connection, and the lead with it, is lost.
    pub async fn is_held(&mut self) -> Result<bool> {
        match &mut self.0 {
            Held::Always => Ok(true),
            Held::Lock { connection, name } => {
                let held: i64 = sqlx::query_scalar(HELD).bind(name.as_str()).fetch_one(&mut **connection).await?;
                Ok(held == 1)
            }
        }
    }

    /// Gives the lead up at once.
    ///
    /// # Errors
    /// The connection was lost before, and the lead with it.
    pub async fn release(self) -> Result<()> {
        match self.0 {
            Held::Always => Ok(()),
            Held::Lock { connection, .. } => connection.close().await.map_err(Error::from),
        }
    }
}
