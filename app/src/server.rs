//! [`Server`]: a process that serves, with all roles or one. What the command starts is what tests start.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use detector::rules::RuleSet;
use domain::{Activity, LogType, Role, SharedClock};
use store::{NewUser, Store};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::commands::admin;
use crate::config::{Config, Database, Secret, secret};
use crate::data::{self, DataLock};
use crate::failure::{Failure, Outcome};
use crate::lifecycle::{Stage, Tasks};
use crate::roles::ProcessRole;
use crate::{distributed, hooks, roles, upkeep};

/// The name of the first user.
pub const FIRST_ADMIN: &str = "admin";

/// How long the database may take to close.
const CLOSING: Duration = Duration::from_secs(2);

/// A server whose data directory, database and secrets are ready.
pub struct Server {
    config: Arc<Config>,
    role: ProcessRole,
    clock: SharedClock,
    store: Store,
    rules: Arc<RuleSet>,
    token_secret: Secret,
    zone: Tz,
    made_password: Option<Secret>,
    // Last, so that the directory is free only when the database is closed.
    _lock: Option<DataLock>,
}

impl Server {
    /// Takes the data directory, brings the database to this version, and makes what is made at first start.
    ///
    /// # Errors
    /// The configuration does not go together, or something that it names cannot be had.
    pub async fn prepare(config: Config, clock: SharedClock, role: ProcessRole) -> Outcome<Self> {
        config.check()?;
        let embedded = config.database == Database::Sqlite;
        if embedded && role != ProcessRole::All {
            return Err(Failure::usage(
                "a role of its own works over Kafka and a database that several processes share: set \
                 DATABASE_URL=mysql://... and KAFKA_BROKERS=..., or run `security-analytics` without a command",
            ));
        }
        // Before anything is made: a mistake in a rule should leave no trace.
        let rules = Arc::new(hooks::rules_of(&config)?);
        let lock = match embedded {
            true => {
                data::make_directory(&config)?;
                Some(data::lock(&config).await?)
            }
            false => None,
        };
        let token_secret = data::token_secret(&config)?;
        let store = match embedded {
            true => data::open(&config, clock.clone()).await?,
            false => distributed::patiently("the database", || data::open(&config, clock.clone())).await?,
        };
        store.limit_journal(config.journal_limit);
        let zone = data::keep_zone(&config, &store).await?;
        let made_password = if role.serves() { first_admin(&config, &store, &clock).await? } else { None };
        let config = Arc::new(config);
        Ok(Self { config, role, clock, store, rules, token_secret, zone, made_password, _lock: lock })
    }

    /// The password of the first user, where one was made just now. It also stands in
    /// [`password_file`](data::password_file) until that file is removed.
    #[must_use]
    pub fn made_password(&self) -> Option<&Secret> {
        self.made_password.as_ref()
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The database, for whoever looks behind the API.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Serves on `listener` until `shutdown` is cancelled and everything has ended.
    ///
    /// # Errors
    /// A role could not start, or ended by itself.
    pub async fn run(self, listener: TcpListener, shutdown: CancellationToken) -> Outcome {
        let mut tasks = Tasks::new(shutdown);
        let parts = roles::Parts {
            config: self.config.clone(),
            clock: self.clock.clone(),
            store: self.store.clone(),
            rules: self.rules.clone(),
            token_secret: self.token_secret.clone(),
            zone: self.zone,
            relay: Arc::default(),
            fleet: Arc::default(),
        };
        let started = roles::start(parts, self.role, listener, &mut tasks).await;
        if started.is_ok() {
            let (store, config, clock) = (self.store.clone(), self.config.clone(), self.clock.clone());
            let role = self.role;
            tasks.spawn("upkeep", Stage::Back, move |stop| upkeep::run(store, config, role, clock, stop));
        }
        let outcome = match started {
            Ok(()) => tasks.run().await,
            Err(failure) => Err(failure),
        };
        if tokio::time::timeout(CLOSING, self.store.close()).await.is_err() {
            // Whatever was committed is in its log and is recovered at the next start.
            tracing::warn!("the database took too long to close");
        }
        outcome
    }
}

/// Makes the first user where there is none. The password is in its file before the account exists: a crash between
/// leaves nobody locked out.
async fn first_admin(config: &Config, store: &Store, clock: &SharedClock) -> Outcome<Option<Secret>> {
    let failed = |error: store::Error| data::database_failed(config, &error);
    if store.count_users().await.map_err(failed)? > 0 {
        return Ok(None);
    }
    let (password, made) = match &config.admin_password {
        Some(password) => (password.clone(), false),
        None if config.database != Database::Sqlite => {
            tracing::warn!(
                "there is no user yet, and on a shared database none is made: set ADMIN_PASSWORD, or run \
                 `security-analytics admin create-user`"
            );
            return Ok(None);
        }
        None => (Secret::new(secret::make(admin::MADE_PASSWORD)), true),
    };
    if made {
        let file = data::password_file(config);
        secret::write_private(&file, password.reveal())
            .map_err(|error| Failure::unavailable(format!("{}: {error}", file.display())))?;
    }
    let user = NewUser {
        username: FIRST_ADMIN.to_owned(),
        password_hash: admin::hash(config.bcrypt_cost, &password).await?,
        email: None,
        full_name: None,
        role: Role::Admin,
    };
    let now = clock.now();
    let mut activity = Activity::new(domain::ids::event_id(now), "Create", now);
    // Not what a rule about new Admins is for.
    activity.log_type = Some(LogType::System);
    activity.attributes.insert("by".to_owned(), "first start".into());
    match store.create_user(user, move |row| admin::created(activity, row)).await {
        // Another process that starts at the same time was quicker.
        Err(store::Error::Duplicate) if config.database != Database::Sqlite => Ok(None),
        other => other.map_err(failed).map(|_| made.then_some(password)),
    }
}

/// Removes the file with the first password, once somebody has seen it.
///
/// # Errors
/// It cannot be removed.
pub(crate) fn forget_made_password(config: &Config) -> io::Result<()> {
    match fs::remove_file(data::password_file(config)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Prepares and runs a server: the whole product behind one call.
///
/// # Errors
/// As [`Server::prepare`] and [`Server::run`].
pub async fn run(config: Config, clock: SharedClock, listener: TcpListener, shutdown: CancellationToken) -> Outcome {
    Server::prepare(config, clock, ProcessRole::All).await?.run(listener, shutdown).await
}
