//! [`OwnServer`]: the real server, in this process, on a folder and a port of its own: what `demo` shows and `bench`
//! measures.

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use domain::SharedClock;
use store::Store;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cli::Settings;
use crate::config::layers::{Layers, Surroundings};
use crate::config::{Config, Secret};
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::roles::ProcessRole;
use crate::server::Server;

/// A server that runs.
pub(super) struct OwnServer {
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// Its database.
    pub(super) store: Store,
    shutdown: CancellationToken,
    running: JoinHandle<Outcome>,
    _folder: Temporary,
}

/// Everything as it is by default: nothing that is configured for a real server.
pub(super) fn config(folder: &Temporary, password: &str) -> Outcome<Config> {
    let layers = Layers::collect(&Settings::default(), &Surroundings::default())?;
    Ok(Config {
        data_dir: folder.path().to_owned(),
        admin_password: Some(Secret::new(password)),
        ..Config::read(&layers)?
    })
}

impl OwnServer {
    /// Starts all roles.
    pub(super) async fn start(config: Config, clock: SharedClock, folder: Temporary) -> Outcome<Self> {
        let server = Server::prepare(config, clock, ProcessRole::All).await?;
        let (listener, address) = loopback().await?;
        let (store, shutdown) = (server.store().clone(), CancellationToken::new());
        let running = tokio::spawn(server.run(listener, shutdown.clone()));
        Ok(Self { address, store, shutdown, running, _folder: folder })
    }

    /// Ends it and waits for its end.
    pub(super) async fn stop(self) -> Outcome {
        self.shutdown.cancel();
        self.running.await.map_err(|error| Failure::internal(format!("the server fell over: {error}")))?
    }
}

/// A port of its own.
pub(super) async fn loopback() -> Outcome<(TcpListener, SocketAddr)> {
    let failed = |error: std::io::Error| Failure::unavailable(format!("no port on 127.0.0.1: {error}"));
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// A folder that is removed when this goes away.
pub(super) struct Temporary(PathBuf);

impl Temporary {
    /// In the system's place for such, which is everybody's: the folder is its owner's alone.
    pub(super) fn new() -> Outcome<Self> {
        let name = format!("security-analytics-{}", uuid::Uuid::new_v4().simple());
        let path = std::env::temp_dir().join(name);
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| Failure::unavailable(format!("{}: {error}", path.display())))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            output::note(format!("{} could not be removed: {error}", self.0.display()));
        }
    }
}
