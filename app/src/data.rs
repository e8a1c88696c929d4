//! The data directory: who may use it, what is kept in it beside the database, and how the database is opened.
//!
//! | file | what |
//! |---|---|
//! | `lock` | held by the one process that serves; commands beside it do without |
//! | `analytics.db` | the embedded database |
//! | `jwt-secret` | signs access tokens, where no JWT_SECRET_KEY is set |
//! | `initial-admin-password` | until the first administrator has read it |

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrono_tz::Tz;
use domain::SharedClock;
use store::Store;

use crate::config::{Config, Database, Secret, secret};
use crate::failure::{Failure, Outcome};

/// How long a server waits for the directory: a command that migrates holds it for a moment.
const PATIENCE: Duration = Duration::from_secs(5);

/// The setting in the database that keeps the zone.
pub(crate) const TIME_ZONE: &str = "time_zone";

/// The right to serve from a data directory; given back when dropped, and by the system when the process dies.
#[derive(Debug)]
pub(crate) struct DataLock {
    _file: File,
}

/// Makes the directory where it is missing, for its owner alone.
///
/// # Errors
/// It cannot be made.
pub(crate) fn make_directory(config: &Config) -> Outcome {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir);
    made.map_err(|error| failed(config, &format!("the data directory cannot be made: {error}")))
}

/// Takes the directory for this process.
///
/// # Errors
/// Another process has it and keeps it.
pub(crate) async fn lock(config: &Config) -> Outcome<DataLock> {
    let begun = Instant::now();
    loop {
        match try_lock(config)? {
            Some(lock) => return Ok(lock),
            None if begun.elapsed() < PATIENCE => tokio::time::sleep(PATIENCE / 50).await,
            None => {
                return Err(failed(
                    config,
                    "another process serves from this data directory; stop it, or name another with --data-dir",
                ));
            }
        }
    }
}

fn try_lock(config: &Config) -> Outcome<Option<DataLock>> {
    let wrong = |error: io::Error| failed(config, &format!("its lock cannot be taken: {error}"));
    let path = config.data_dir.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(wrong)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(DataLock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(wrong(error)),
    }
}

fn failed(config: &Config, what: &str) -> Failure {
    Failure::unavailable(format!("{}: {what}", config.data_dir.display()))
}

/// Opens the configured database and brings it to this version, or checks that it has it where `AUTO_MIGRATE` is off.
/// Whoever calls holds the lock.
///
/// # Errors
/// The database cannot be reached, or its schema and this program do not go together.
pub(crate) async fn open(config: &Config, clock: SharedClock) -> Outcome<Store> {
    let store = connect(config, clock).await?;
    let ready = if config.auto_migrate {
        store.migrate().await
    } else {
        match store.schema_version().await {
            Ok(state) => state.usable(),
            Err(error) => Err(error),
        }
    };
    ready.map_err(|error| database_failed(config, &error))?;
    Ok(store)
}

/// Opens the configured database for a command. Beside a live server it is taken as it is; where none runs, it is made
/// or brought to this version as a server would.
///
/// # Errors
/// As [`open`].
pub(crate) async fn open_beside(config: &Config, clock: SharedClock) -> Outcome<Store> {
    let lock = if config.database == Database::Sqlite {
        make_directory(config)?;
        try_lock(config)?
    } else {
        None
    };
    match lock {
        // Held until the schema is there; then a server may start beside the command.
        Some(_lock) => open(config, clock).await,
        None => open(&Config { auto_migrate: false, ..config.clone() }, clock).await,
    }
}

/// Connects to the configured database, whatever its schema.
///
/// # Errors
/// It cannot be reached.
pub(crate) async fn connect(config: &Config, clock: SharedClock) -> Outcome<Store> {
    let connected = match &config.database {
        Database::Sqlite => Store::open_sqlite(&config.database_file(), clock).await,
        Database::MySql(url) => Store::connect_mysql(url.reveal(), clock).await,
    };
    connected.map_err(|error| database_failed(config, &error))
}

/// What a failure of the database is to whoever started the command.
#[must_use]
pub(crate) fn database_failed(config: &Config, error: &store::Error) -> Failure {
    let place = match &config.database {
        Database::Sqlite => config.database_file().display().to_string(),
        Database::MySql(_) => "DATABASE_URL".to_owned(),
    };
    match error {
        store::Error::Conflict(sentence) => Failure::usage(format!("{place}: {sentence}")),
        other => Failure::unavailable(format!("{place}: {other}")),
    }
}

/// The secret that signs tokens: the configured one, else the one that is kept here, made at first start.
///
/// # Errors
/// It cannot be read or kept.
pub(crate) fn token_secret(config: &Config) -> Outcome<Secret> {
    match &config.jwt_secret_key {
        Some(secret) => Ok(secret.clone()),
        None => secret::kept(&config.data_dir.join("jwt-secret")),
    }
}

/// Where the first administrator finds the password.
#[must_use]
pub(crate) fn password_file(config: &Config) -> PathBuf {
    config.data_dir.join("initial-admin-password")
}

/// The zone of the working hours, kept in the database from the first start on: figures must not change because the
/// machine was moved. A configured one takes the place of what was kept.
///
/// # Errors
/// It cannot be read or kept, or what was kept is no zone.
pub(crate) async fn keep_zone(config: &Config, store: &Store) -> Outcome<Tz> {
    let failed = |error: store::Error| database_failed(config, &error);
    if let Some(zone) = config.time_zone {
        store.set_setting(TIME_ZONE, zone.name()).await.map_err(failed)?;
        return Ok(zone);
    }
    let kept = store.first_setting(TIME_ZONE, machine_zone().name()).await.map_err(failed)?;
    kept.parse().map_err(|_| {
        Failure::usage(format!(
            "the database has kept \"{kept}\" as its time zone; set TIME_ZONE, such as Europe/Berlin"
        ))
    })
}

/// A machine that does not know where it is counts in UTC.
/// The zone of this machine, as far as it says.
pub(crate) fn machine_zone() -> Tz {
    iana_time_zone::get_timezone().ok().and_then(|name| name.parse().ok()).unwrap_or(Tz::UTC)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use domain::SystemClock;

    use super::*;
    use crate::cli::Settings;
    use crate::config::layers::{Layers, Surroundings};

    fn config(folder: &tempfile::TempDir) -> Config {
        let flags = Settings { data_dir: Some(folder.path().join("d").display().to_string()), ..Settings::default() };
        let layers = Layers::collect(&flags, &Surroundings::default()).expect("readable");
        let config = Config::read(&layers).expect("valid");
        make_directory(&config).expect("made");
        config
    }

    #[test]
    fn the_directory_belongs_to_its_owner_and_to_one_process() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let config = config(&folder);
        assert_eq!(std::fs::metadata(&config.data_dir).expect("there").permissions().mode() & 0o777, 0o700);
        let lock = try_lock(&config).expect("locks").expect("free");
        assert!(try_lock(&config).expect("locks").is_none());
        drop(lock);
        assert!(try_lock(&config).expect("locks").is_some());
    }

    #[tokio::test]
    async fn the_zone_is_kept_until_another_is_set() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut config = config(&folder);
        let store = open(&config, Arc::new(SystemClock)).await.expect("made");
        assert_eq!(keep_zone(&config, &store).await.expect("the machine's"), machine_zone());
        config.time_zone = Some(Tz::Pacific__Chatham);
        keep_zone(&config, &store).await.expect("kept");
        config.time_zone = None;
        assert_eq!(keep_zone(&config, &store).await.expect("read"), Tz::Pacific__Chatham);
        store.set_setting(TIME_ZONE, "nowhere").await.expect("written");
        assert!(keep_zone(&config, &store).await.expect_err("damaged").message.contains("TIME_ZONE"));
        store.close().await;
    }
}
