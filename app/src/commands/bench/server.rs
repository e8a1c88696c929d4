//! The server that is measured: the real one, in this process, in a temporary folder.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::Method;
use domain::SystemClock;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::load::{Client, Load, Measured};
use super::{Temporary, blocking};
use crate::cli::Settings;
use crate::config::layers::{Layers, Surroundings};
use crate::config::{Config, Secret};
use crate::failure::{Failure, Outcome};
use crate::roles::ProcessRole;
use crate::server::{FIRST_ADMIN, Server};

pub(super) const PASSWORD: &str = "measured once a day";

/// A server that runs, and an Admin who is logged in.
pub(super) struct Measurable {
    pub(super) address: SocketAddr,
    pub(super) token: String,
    shutdown: CancellationToken,
    running: JoinHandle<Outcome>,
    _folder: Temporary,
}

impl Measurable {
    /// With everything as it is by default, but for the limits that would only measure themselves.
    pub(super) async fn start() -> Outcome<Self> {
        let folder = Temporary::new()?;
        let layers = Layers::collect(&Settings::default(), &Surroundings::default())?;
        let config = Config {
            data_dir: folder.path().to_owned(),
            admin_password: Some(Secret::new(PASSWORD)),
            rate_limit: false,
            ..Config::read(&layers)?
        };
        Self::of(config, folder).await
    }

    /// With all roles on the servers of a configuration.
    pub(super) async fn over(config: Config) -> Outcome<Self> {
        Self::of(config, Temporary::new()?).await
    }

    async fn of(config: Config, folder: Temporary) -> Outcome<Self> {
        let server = Server::prepare(config, Arc::new(SystemClock), ProcessRole::All).await?;
        let (listener, address) = loopback().await?;
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(server.run(listener, shutdown.clone()));
        let login = json!({"username": FIRST_ADMIN, "password": PASSWORD}).to_string();
        let mut client = Client::connect(address, None).await.map_err(Failure::internal)?;
        let answer = client.ask(&Method::POST, "/api/auth/login", &login).await.map_err(Failure::internal)?;
        let token = answer["token"].as_str().unwrap_or_default().to_owned();
        Ok(Self { address, token, shutdown, running, _folder: folder })
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
        self.shutdown.cancel();
        self.running.await.map_err(|error| Failure::internal(format!("the measured server fell over: {error}")))?
    }
}

/// A port of its own.
pub(crate) async fn loopback() -> Outcome<(TcpListener, SocketAddr)> {
    let failed = |error: std::io::Error| Failure::unavailable(format!("no port on 127.0.0.1: {error}"));
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
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
