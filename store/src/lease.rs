//! One leader at a time among many processes: a named lock of the database server, held by a connection of its own.

use domain::ids;
use sqlx::{Connection, MySqlConnection};

use crate::db::Db;
use crate::{Error, Result, Store};

const TAKE: &str = "SELECT CAST(COALESCE(GET_LOCK(?, 0), 0) AS SIGNED)";
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
        let mut connection = pool.acquire().await?.detach();
        // The server has one set of lock names for all its databases, and 64 characters for each.
        let database: String = sqlx::query_scalar(DATABASE).fetch_one(&mut connection).await?;
        let name = format!("sa.{}", ids::derived(&[b"lease", database.as_bytes(), name.as_bytes()]));
        let taken: i64 = sqlx::query_scalar(TAKE).bind(name.as_str()).fetch_one(&mut connection).await?;
        if taken == 1 {
            return Ok(Some(Lease(Held::Lock { connection: Box::new(connection), name })));
        }
        connection.close().await?;
        Ok(None)
    }
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
