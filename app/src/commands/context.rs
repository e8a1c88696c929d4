//! [`Context`]: what every command is given, and the ways to the store.

use domain::SharedClock;
use store::Store;

use crate::cli::Settings;
use crate::config::Config;
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
    /// The configured database, which has to be there, for a command that reads beside a live server.
    pub(crate) async fn store_to_read(&self) -> Outcome<Store> {
        if !self.config.database_file().exists() {
            return Err(Failure::usage(format!(
                "there is no database in {}; start the server once, or name its folder with --data-dir",
                self.config.data_dir.display()
            )));
        }
        self.store_to_write().await
    }

    /// The configured database, for a command that may run beside a live server. Where none runs, a database that is
    /// missing is made and an older one is brought to this version.
    pub(crate) async fn store_to_write(&self) -> Outcome<Store> {
        data::open_beside(&self.config, self.clock.clone()).await
    }
}
