//! The server that is measured: the real one, in this process, in a temporary folder.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::Method;
use domain::SystemClock;
use serde_json::Value;

use super::super::client::Client;
use super::super::own_server::{self, OwnServer, Temporary};
use super::blocking;
use super::load::{Load, Measured};
use crate::config::Config;
use crate::failure::{Failure, Outcome};
use crate::server::FIRST_ADMIN;

pub(super) const PASSWORD: &str = "measured once a day";

/// A server that runs, and an Admin who is logged in.
pub(super) struct Measurable {
    pub(super) address: SocketAddr,
    pub(super) token: String,
    server: OwnServer,
}

impl Measurable {
    /// With everything as it is by default, but for the limits that would only measure themselves.
    pub(super) async fn start() -> Outcome<Self> {
        let folder = Temporary::new()?;
        let config = Config { rate_limit: false, ..own_server::config(&folder, PASSWORD)? };
        Self::of(config, folder).await
    }

    /// With all roles on the servers of a configuration.
    pub(super) async fn over(config: Config) -> Outcome<Self> {
        Self::of(config, Temporary::new()?).await
    }

    async fn of(config: Config, folder: Temporary) -> Outcome<Self> {
        let server = OwnServer::start(config, Arc::new(SystemClock), folder).await?;
        let address = server.address;
        let (_, token) = Client::log_in(address, FIRST_ADMIN, PASSWORD).await.map_err(Failure::internal)?;
        Ok(Self { address, token, server })
    }

    /// A request, once.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Value) -> Outcome<Value> {
        let mut client = Client::connect(self.address, Some(self.token.clone())).await.map_err(Failure::internal)?;
        client.ask(&method, path, &body.to_string()).await.map_err(Failure::internal)
    }

    /// GETs of one path, to be adjusted.
    pub(super) fn get(&self, path: &str, connections: u64, seconds: u64) -> Load {
        Load {
            server: self.address,
            token: Some(self.token.clone()),
            method: Method::GET,
            path: path.to_owned(),
            bodies: Arc::new([]),
            connections: usize::try_from(connections).unwrap_or(1),
            seconds,
            rate: None,
        }
    }

    /// Ends it and waits for its end.
    pub(super) async fn stop(self) -> Outcome {
        self.server.stop().await
    }
}

/// Runs a load, and refuses one that failed in part: it would be fast for the wrong reason.
pub(super) async fn run(load: Load) -> Outcome<Measured> {
    let path = load.path.clone();
    let measured = blocking(move || load.run().map_err(Failure::internal)).await?;
    if measured.failed > 0 {
        return Err(Failure::internal(format!("{path}: {} requests failed under load", measured.failed)));
    }
    Ok(measured)
}
