//! The roles of one process: the API in front, ingest and the detector behind it, with the journal between them.

use std::sync::Arc;

use chrono_tz::Tz;
use domain::SharedClock;
use store::Store;
use tokio::net::TcpListener;

use crate::config::{Config, Secret};
use crate::failure::{Failure, Outcome};
use crate::lifecycle::{Stage, Tasks};

/// What the roles are made of.
pub(crate) struct Parts {
    pub(crate) config: Arc<Config>,
    pub(crate) clock: SharedClock,
    pub(crate) store: Store,
    pub(crate) token_secret: Secret,
    pub(crate) zone: Tz,
}

/// Starts all roles.
///
/// # Errors
/// One of them cannot start.
pub(crate) async fn start(parts: Parts, listener: TcpListener, tasks: &mut Tasks) -> Outcome {
    Ok(())
}
