//! `migrate`: brings the database to this version.

use super::Context;
use crate::config::{Config, Database};
use crate::data;
use crate::failure::Outcome;
use crate::output;

pub(crate) async fn run(context: &Context) -> Outcome {
    // Asked for by name, so it is done whatever the roles may do by themselves.
    let config = Config { auto_migrate: true, ..context.config.clone() };
    let _lock = match config.database {
        Database::Sqlite => {
            data::make_directory(&config)?;
            Some(data::lock(&config).await?)
        }
        Database::MySql(_) => None,
    };
    let store = data::open(&config, context.clock.clone()).await?;
    let state = store.schema_version().await;
    store.close().await;
    let state = state.map_err(|error| data::database_failed(&config, &error))?;
    output::print(format!("The database's schema has version {}.", state.current))
}
