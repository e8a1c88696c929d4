//! Serving a router on a listener: patience with clients is bounded, and the end comes in two stages.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::config::Peer;

/// How long requests under way may take once the shutdown has begun.
const GRACE: Duration = Duration::from_secs(8);
/// How long a client may take to send the head of its next request: whoever holds a connection and says nothing loses
/// it.
const HEAD: Duration = Duration::from_secs(60);
/// Connections at once. Further ones wait in the system's queue, so that there is a limit to what a flood can hold.
const CONNECTIONS: usize = 16_384;
/// After an accept that failed for want of file descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// Cancelled when the server wants to end: whatever streams without end has to end, too.
#[derive(Debug, Clone)]
pub(crate) struct Closing(pub(crate) CancellationToken);

/// Serves until `shutdown` is cancelled. Then: first no new connections, while requests under way are finished; after
/// [`GRACE`] what is left is dropped.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> std::io::Result<()> {
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    while let Some((stream, address)) = next(&listener, &room, &shutdown).await? {
        // The only one who takes permits is this loop, so there is one.
        let permit = room.clone().try_acquire_owned().ok();
        let connection = converse(stream, address, router.clone(), graceful.watcher(), shutdown.clone());
        tokio::spawn(async move {
            connection.await;
            drop(permit);
        });
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(GRACE) => {
            tracing::warn!("some requests were still under way at the end of the grace period; they are dropped");
        }
    }
    Ok(())
}

/// The next connection, once there is room for one; `None` when the end has begun.
async fn next(
    listener: &TcpListener,
    room: &Semaphore,
    shutdown: &CancellationToken,
) -> std::io::Result<Option<(TcpStream, SocketAddr)>> {
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            accepted = when_there_is_room(listener, room) => accepted,
        };
        match accepted {
            Ok(accepted) => return Ok(Some(accepted)),
            Err(error) if is_the_clients(&error) => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::InvalidInput) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn when_there_is_room(listener: &TcpListener, room: &Semaphore) -> std::io::Result<(TcpStream, SocketAddr)> {
    let permit = room.acquire().await.map_err(std::io::Error::other)?;
    drop(permit);
    listener.accept().await
}

fn is_the_clients(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}

/// One connection and all its requests.
async fn converse(
    stream: TcpStream,
    address: SocketAddr,
    router: Router,
    graceful: Watcher,
    shutdown: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(address.ip()));
        request.extensions_mut().insert(Closing(shutdown.clone()));
        router.clone().call(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    // A client that goes away or speaks something else is nobody's fault here.
    if let Err(error) = graceful.watch(connection).await {
        tracing::debug!(%error, "a connection ended");
    }
}
