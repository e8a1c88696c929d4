//! [`Context`]: what every command is given, and the ways to the store.

use domain::SharedClock;
use store::Store;

use crate::cli::Settings;
use crate::config::{Config, Database};
use crate::data;
use crate::failure::{Failure, Outcome};

/// What every command is given.
pub(crate) struct Context {
    /// The flags as typed, `--rules` for one.
    pub(crate) flags: Settings,
    /// The effective configuration.
    pub(crate) config: Config,
    /// What time it is.
    pub(crate) clock: SharedClock,
}

impl Context {
    /// What a failure of the database is to whoever started the command.
    pub(crate) fn failed(&self) -> impl Fn(store::Error) -> Failure + Copy {
        |error| data::database_failed(&self.config, &error)
    }

    /// The configured database as it is, which has to be there and to have this version.
    pub(crate) async fn store_as_it_is(&self) -> Outcome<Store> {
        if self.config.database == Database::Sqlite && !self.config.database_file().exists() {
            return Err(Failure::usage(format!(
                "there is no database in {}; start the server once, or name its folder with --data-dir",
                self.config.data_dir.display()
            )));
        }
        data::open(&Config { auto_migrate: false, ..self.config.clone() }, self.clock.clone()).await
    }

    /// The configured database, for a command that may run beside a live server. Where none runs, a database that is
    /// missing is made and an older one is brought to this version.
    pub(crate) async fn store_to_fill(&self) -> Outcome<Store> {
        data::open_beside(&self.config, self.clock.clone()).await
    }
}
