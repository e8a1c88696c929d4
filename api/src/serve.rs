//! Serving a router on a listener, with a shutdown in two stages.

use std::future::{Future, IntoFuture};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Peer;

/// How long requests under way may take once the shutdown has begun.
const GRACE: Duration = Duration::from_secs(8);

/// Serves until `shutdown` is cancelled. Then: first no new connections, while requests under way are finished; after
/// [`GRACE`] what is left is dropped.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> std::io::Result<()> {
    let service = router.layer(middleware::from_fn(peer)).into_make_service_with_connect_info::<SocketAddr>();
    let graceful = axum::serve(listener, service).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    tokio::select! {
        result = graceful.into_future() => result,
        () = patience(shutdown.cancelled()) => {
            tracing::warn!("some requests were still under way at the end of the grace period; they are dropped");
            Ok(())
        }
    }
}

async fn patience(begun: impl Future<Output = ()>) {
    begun.await;
    tokio::time::sleep(GRACE).await;
}

async fn peer(ConnectInfo(address): ConnectInfo<SocketAddr>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Peer(address.ip()));
    next.run(request).await
}
