//! The schema: migrations that the binary carries, and whether database and binary go together.
//!
//! A migration only adds (expand); what it makes useless is removed by a later one (contract), which raises
//! `schema_compat.min_compatible` to the version from which programs no longer need it. So a program may meet a newer
//! schema and still work; it refuses one that says it is too old.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, MySqlConnection, MySqlPool};

use crate::db::{Db, in_db};
use crate::sql::statements;
use crate::{Error, Result, Store, lease};

static SQLITE: Migrator = sqlx::migrate!("../migrations/sqlite");
static MYSQL: Migrator = sqlx::migrate!("../migrations/mysql");

statements! {
    APPLIED = "SELECT CAST(COALESCE(MAX(version), 0) AS SIGNED) FROM _sqlx_migrations";
    DIRTY = "SELECT CAST(COALESCE(MIN(version), 0) AS SIGNED) FROM _sqlx_migrations WHERE success = 0";
    COMPATIBLE = "SELECT min_compatible FROM schema_compat WHERE id = 1";
}
/// Whether there is a schema at all.
const SQLITE_TABLE: &str = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'";
const MYSQL_TABLE: &str = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '_sqlx_migrations'";
/// Whether somebody migrates a database of MySQL at this moment.
const MYSQL_UNDER_WAY: &str = "SELECT CAST(COALESCE(IS_USED_LOCK(?), 0) AS SIGNED)";
const MYSQL_DATABASE: &str = "SELECT DATABASE()";

/// The lock of those who migrate a database of MySQL.
const LOCK: &str = "migrate";
/// How long they wait for each other.
const PATIENCE: Duration = Duration::from_secs(600);

/// How database and program stand to each other, by the numbers of migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaState {
    /// The last migration applied to the database, 0 for none.
    pub current: i64,
    /// The last migration that this program carries.
    pub wanted: i64,
    /// The lowest version of the program that the database still allows.
    pub min_compatible: i64,
    /// A migration that stopped half-way (MySQL), 0 for none.
    pub dirty: i64,
    /// Whether another process migrates it at this moment (MySQL): then `dirty` is the migration that it is at.
    pub under_way: bool,
}

impl SchemaState {
    /// Whether the program can work on the database as it is.
    ///
    /// # Errors
    /// `Conflict` with a sentence that says what to do.
    pub fn usable(self) -> Result<()> {
        if self.under_way {
            return Err(Error::Conflict(format!(
                "another process brings the database's schema to a new version at this moment (migration {}); try \
                 again when it is done",
                self.dirty
            )));
        }
        self.not_refused()?;
        if self.current < self.wanted {
            return Err(Error::Conflict(format!("{self}; run `security-analytics migrate`")));
        }
        Ok(())
    }

    /// Whether migrations may be applied to it.
    fn not_refused(self) -> Result<()> {
        if self.dirty != 0 {
            return Err(Error::Conflict(format!(
                "migration {} of the database stopped half-way; restore the backup, or finish it by hand and set its \
                 row in _sqlx_migrations to success = 1",
                self.dirty
            )));
        }
        if self.min_compatible > self.wanted {
            return Err(Error::Conflict(format!(
                "{self}, and it allows no program older than version {}; use a newer program",
                self.min_compatible
            )));
        }
        Ok(())
    }
}

impl fmt::Display for SchemaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the database's schema has version {}, this program {}", self.current, self.wanted)
    }
}

impl Store {
    /// How database and program stand to each other.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn schema_version(&self) -> Result<SchemaState> {
        let mut state = self.state().await?;
        if let (Db::MySql { pool, .. }, true) = (self.db(), state.dirty != 0) {
            let database: String = sqlx::query_scalar(MYSQL_DATABASE).fetch_one(pool).await?;
            let lock = sqlx::query_scalar(MYSQL_UNDER_WAY).bind(lease::full(&database, LOCK));
            state.under_way = lock.fetch_one(pool).await.map(|holder: i64| holder != 0)?;
            if !state.under_way {
                // It may have ended between the two questions.
                state = self.state().await?;
            }
        }
        Ok(state)
    }

    async fn state(&self) -> Result<SchemaState> {
        let (migrator, tables): (&Migrator, i64) = match self.db() {
            Db::Sqlite { readers, .. } => (&SQLITE, sqlx::query_scalar(SQLITE_TABLE).fetch_one(readers).await?),
            Db::MySql { pool, .. } => (&MYSQL, sqlx::query_scalar(MYSQL_TABLE).fetch_one(pool).await?),
        };
        let wanted = migrator.iter().map(|migration| migration.version).max().unwrap_or(0);
        let mut state = SchemaState { current: 0, wanted, min_compatible: 0, dirty: 0, under_way: false };
        if tables == 0 {
            return Ok(state);
        }
        in_db!(self.db(), db => {
            state.current = sqlx::query_scalar(APPLIED).fetch_one(db).await?;
            state.dirty = sqlx::query_scalar(DIRTY).fetch_one(db).await?;
            if state.current > 0 && state.dirty != 1 {
                state.min_compatible = sqlx::query_scalar(COMPATIBLE).fetch_one(db).await?;
            }
        });
        Ok(state)
    }

    /// Brings the schema up to date. A newer one that allows this program is left as it is. Where another process does
    /// the same, it is waited for.
    ///
    /// # Errors
    /// `Conflict` with a sentence where the schema is too new, stopped half-way, or not ours.
    pub async fn migrate(&self) -> Result<()> {
        match self.db() {
            Db::Sqlite { path, .. } => {
                self.state().await?.not_refused()?;
                migrate_sqlite(path).await.map_err(explained)
            }
            Db::MySql { pool, .. } => {
                let mut connection = alone(pool).await?;
                // Asked only now: what another process was at would look as if it had stopped half-way.
                let applied = match self.state().await.and_then(SchemaState::not_refused) {
                    Ok(()) => migrate_mysql(&mut connection).await.map_err(explained),
                    Err(error) => Err(error),
                };
                // The lock goes with it.
                connection.close().await?;
                applied
            }
        }
    }
}

fn explained(error: MigrateError) -> Error {
    match error {
        MigrateError::VersionMismatch(version) => Error::Conflict(format!(
            "migration {version} was applied to the database in another form than this program has"
        )),
        MigrateError::Dirty(version) => {
            Error::Conflict(format!("migration {version} of the database stopped half-way"))
        }
        other => Error::Fault(other.into()),
    }
}

/// On a connection of its own: the writer finds out by itself that the file has changed.
async fn migrate_sqlite(path: &Path) -> std::result::Result<(), MigrateError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    let migrator = tolerant(&SQLITE);
    // `run_direct`, because the future of `run` cannot be spawned (its `Acquire` is not general enough).
    let mut applied = migrator.run_direct(None, &mut connection, false).await;
    if applied.is_err() {
        // Two processes that start at once: the second finds the tables there. Once more, after the first.
        applied = migrator.run_direct(None, &mut connection, false).await;
    }
    connection.close().await?;
    applied
}

/// The connection of the one process that migrates. sqlx's own lock is none on MariaDB: it waits for -1 seconds, which
/// MariaDB answers with NULL, and sqlx does not look at the answer.
async fn alone(pool: &MySqlPool) -> Result<MySqlConnection> {
    if let Some((connection, _)) = lease::take(pool, LOCK, Duration::ZERO).await? {
        return Ok(connection);
    }
    tracing::info!("another process migrates the database; waiting until it is done");
    let taken = lease::take(pool, LOCK, PATIENCE).await?;
    taken.map(|(connection, _)| connection).ok_or_else(|| {
        let minutes = PATIENCE.as_secs() / 60;
        Error::Conflict(format!(
            "another process has been migrating the database for {minutes} minutes; see what holds it up"
        ))
    })
}

async fn migrate_mysql(connection: &mut MySqlConnection) -> std::result::Result<(), MigrateError> {
    let mut migrator = tolerant(&MYSQL);
    migrator.set_locking(false);
    migrator.run_direct(None, connection, false).await
}

/// One that does not mind migrations which only a newer program knows.
fn tolerant(migrator: &'static Migrator) -> Migrator {
    let mut own = Migrator::with_migrations(migrator.iter().cloned().collect());
    own.set_ignore_missing(true);
    own
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::Ground;
    use crate::{journal, sql};

    async fn what_one_engine_is_asked_can_be_prepared(ground: Ground) {
        let texts = if ground.mysql {
            vec![MYSQL_TABLE, MYSQL_UNDER_WAY, MYSQL_DATABASE]
        } else {
            vec![SQLITE_TABLE, journal::LAST]
        };
        sql::prepare(&ground, texts.into_iter().map(str::to_owned)).await;
    }

    async fn what_is_under_way_is_waited_for_and_not_called_stopped(ground: Ground) {
        let Db::MySql { pool, .. } = ground.store.db() else { return };
        let (other, _) = lease::take(pool, LOCK, Duration::ZERO).await.expect("asked").expect("nobody has it");
        let set = |success: i64| {
            let text = "UPDATE _sqlx_migrations SET success = ? WHERE version = 2";
            sqlx::query(text).bind(success).execute(pool)
        };
        set(0).await.expect("half-way");
        let state = ground.store.schema_version().await.expect("state");
        let said = state.usable().expect_err("not yet").to_string();
        assert!(said.contains("another process") && !said.contains("restore"), "{said}");

        let store = ground.store.clone();
        let waits = tokio::spawn(async move { store.migrate().await });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!waits.is_finished(), "it waits for its turn");
        set(1).await.expect("done");
        other.close().await.expect("closed");
        waits.await.expect("no panic").expect("nothing is left to do");
        ground.store.schema_version().await.expect("state").usable().expect("usable");
    }
    crate::on_both_engines!(
        what_one_engine_is_asked_can_be_prepared,
        what_is_under_way_is_waited_for_and_not_called_stopped,
    );

    #[test]
    fn the_migrations_are_twins() {
        let named =
            |migrator: &Migrator| migrator.iter().map(|m| (m.version, m.description.to_string())).collect::<Vec<_>>();
        assert_eq!(named(&SQLITE), named(&MYSQL));
        assert!(SQLITE.iter().enumerate().all(|(at, m)| usize::try_from(m.version) == Ok(at + 1)), "without a gap");
    }
}
