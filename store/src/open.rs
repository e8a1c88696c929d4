//! Opening and closing, what is checked at the start, and tidying up.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::{DAY, HOUR, SharedClock};
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Executor, MySqlPool};

use crate::cache::Caches;
use crate::db::Db;
use crate::mysql::MySqlWriter;
use crate::writer::Writer;
use crate::{Error, Inner, Result, Shared, Store, idempotency, login_attempts, sessions_auth, sql};

/// How long a connection is waited for; then the answer is 503, and not a client that has long gone.
const ACQUIRE: Duration = Duration::from_secs(4);
/// How long SQLite waits for another process.
const BUSY: Duration = Duration::from_secs(5);
/// Readers of the SQLite file; each is a thread.
const READERS: u32 = 4;
/// Connections to MySQL from one process.
const CONNECTIONS: u32 = 20;
/// Prepared statements kept by each connection: more than there are texts.
const STATEMENTS: usize = 512;
/// Pages in the write-ahead log before it is copied into the file: 16 MiB, a few thousand rows.
const CHECKPOINT_PAGES: &str = "4000";
/// For how long an expired session's row is kept.
const SESSIONS_KEPT: i64 = 30 * DAY;

impl Store {
    /// Opens, or makes, the SQLite file at `path`: write-ahead log, durable at each commit, readable by its owner
    /// alone. The schema is not touched: see [`migrate`](Self::migrate).
    ///
    /// # Errors
    /// The file cannot be made or opened.
    pub async fn open_sqlite(path: &Path, clock: SharedClock) -> Result<Self> {
        private(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .statement_cache_capacity(STATEMENTS)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("journal_size_limit", "67108864")
            .pragma("temp_store", "MEMORY")
            .disable_statement_logging();
        let shared = Shared::new(clock, Caches::new(true));
        let writer = Writer::start(options, path.to_owned(), Arc::clone(&shared)).await?;
        let reading = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .busy_timeout(BUSY)
            .statement_cache_capacity(STATEMENTS)
            .pragma("temp_store", "MEMORY")
            .disable_statement_logging();
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(ACQUIRE)
            .idle_timeout(None)
            .max_lifetime(None)
            // The file does not go away, and asking it costs as much as a read.
            .test_before_acquire(false)
            .connect_with(reading)
            .await?;
        let db = Db::Sqlite { writer, readers, path: path.to_owned() };
        Ok(Self::of(db, shared))
    }

    /// Connects to MariaDB or MySQL: `mysql://user:password@host[:port]/database`, also written `mysql+pymysql://`.
    /// The schema is not touched: see [`migrate`](Self::migrate).
    ///
    /// # Errors
    /// `Conflict` with a sentence where the URL or the server's settings will not do; else it cannot be reached.
    pub async fn connect_mysql(url: &str, clock: SharedClock) -> Result<Self> {
        let url = url.replacen("mysql+pymysql://", "mysql://", 1);
        // The parser's own message may quote the URL, and with it the password.
        let parsed = url.starts_with("mysql://").then(|| MySqlConnectOptions::from_str(&url).ok()).flatten();
        let options = parsed
            .ok_or_else(|| Error::Conflict("DATABASE_URL must be mysql://user:password@host[:port]/database".into()))?;
        if options.get_database().is_none_or(str::is_empty) {
            return Err(Error::Conflict(
                "DATABASE_URL must name a database: mysql://user:password@host/database".into(),
            ));
        }
        let options = options.charset("utf8mb4").statement_cache_capacity(STATEMENTS).disable_statement_logging();
        // The pool would try again and again and then say only that it took too long.
        let first = tokio::time::timeout(ACQUIRE, options.connect()).await;
        let first = first.map_err(|_| Error::fault("the database server does not answer"))??;
        sqlx::Connection::close(first).await?;
        let pool = MySqlPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    // Strict, whatever the server's default: a value that does not fit is an error.
                    connection.execute("SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'").await?;
                    connection.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
                    connection.execute("SET SESSION innodb_lock_wait_timeout = 5").await?;
                    Ok(())
                })
            })
            .connect_with(options)
            .await?;
        check_mysql(&pool).await?;
        let shared = Shared::new(clock, Caches::new(false));
        let writer = MySqlWriter::start(&pool, &shared);
        Ok(Self::of(Db::MySql { pool, writer }, shared))
    }

    fn of(db: Db, shared: Arc<Shared>) -> Self {
        let owner = sql::id_bytes(domain::ids::event_id(shared.clock.now()));
        Self(Arc::new(Inner { db, shared, tidied: AtomicI64::new(i64::MIN), owner }))
    }

    /// Finishes what is under way and closes all connections. Later calls fail.
    pub async fn close(&self) {
        match self.db() {
            Db::Sqlite { writer, readers, .. } => {
                readers.close().await;
                writer.close().await;
            }
            Db::MySql { pool, .. } => pool.close().await,
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<()> {
        crate::db::in_db!(self.db(), db => sqlx::query("SELECT 1").execute(db).await.map(drop)?);
        Ok(())
    }

    /// Removes what no longer counts: old log-in attempts, long expired sessions, old answers. Returns how many rows.
    /// Called by itself once an hour where such rows are made.
    ///
    /// # Errors
    /// Nothing was removed.
    pub async fn tidy(&self) -> Result<u64> {
        self.write(|tx| {
            Box::pin(async move {
                let before = tx.now.plus(-SESSIONS_KEPT);
                let sessions = sessions_auth::forget(tx, before).await?;
                Ok(login_attempts::forget(tx).await? + idempotency::forget(tx).await? + sessions)
            })
        })
        .await
    }

    /// Tidies up once an hour. If that fails, the next hour may do better: it is not the caller's concern.
    pub(crate) async fn tidy_if_due(&self) {
        let now = self.clock().now().micros();
        let last = self.0.tidied.load(Ordering::Relaxed);
        let due = now.saturating_sub(last) >= HOUR;
        if due && self.0.tidied.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            match self.tidy().await {
                Ok(rows) => tracing::debug!(rows, "tidied up"),
                Err(error) => tracing::warn!(%error, "tidying up"),
            }
        }
    }

    /// Writes a consistent copy of the SQLite file to `to`, which must not exist, while everything goes on.
    ///
    /// # Errors
    /// `Conflict` on MySQL, which has its own tools; else the copy could not be written.
    pub async fn backup(&self, to: &Path) -> Result<()> {
        let Db::Sqlite { readers, .. } = self.db() else {
            return Err(Error::Conflict(
                "backups of MySQL are made with its own tools (mariadb-dump, mysqldump)".into(),
            ));
        };
        if to.exists() {
            return Err(Error::Conflict(format!("{} exists already", to.display())));
        }
        let Some(name) = to.to_str() else {
            return Err(Error::Conflict(format!("{} is not a name in UTF-8", to.display())));
        };
        private(to)?;
        sqlx::query("VACUUM INTO ?").bind(name).execute(readers).await?;
        Ok(())
    }
}

/// Makes the file, if there is none, so that only its owner can read it: it holds password hashes. SQLite gives the
/// files beside it the same mode.
fn private(path: &Path) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| Error::fault(format!("{}: {error}", path.display())))?;
    Ok(())
}

/// Refuses a server on whose settings the promises do not hold.
async fn check_mysql(pool: &MySqlPool) -> Result<()> {
    let charset: String = sqlx::query_scalar("SELECT CAST(@@character_set_database AS CHAR)").fetch_one(pool).await?;
    if charset != "utf8mb4" {
        return Err(Error::Conflict(format!(
            "the database's character set is {charset}; run: ALTER DATABASE <name> CHARACTER SET utf8mb4"
        )));
    }
    let flush: i64 =
        sqlx::query_scalar("SELECT CAST(@@innodb_flush_log_at_trx_commit AS SIGNED)").fetch_one(pool).await?;
    if flush != 1 {
        return Err(Error::Conflict(format!(
            "innodb_flush_log_at_trx_commit is {flush}: commits would be lost with the power; set it to 1"
        )));
    }
    Ok(())
}
