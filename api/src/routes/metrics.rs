//! `GET /metrics` for Prometheus, where the configuration has it; and how long requests take.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use domain::metric::HTTP_SECONDS;

use crate::shell::Rendered;
use crate::state::AppState;

pub(crate) fn routes() -> Router<AppState> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(app): State<AppState>) -> Response {
    let Some(hook) = &app.hooks.metrics else {
        return crate::shell::unknown_route().await.into_response();
    };
    let mut response =
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4"), (header::CACHE_CONTROL, "no-store")], hook().await)
            .into_response();
    response.extensions_mut().insert(Rendered);
    response
}

/// Measures a request, by its route's pattern and never by its path: what clients make up must not become a label.
pub(crate) async fn measure(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = method(request.method());
    let response = next.run(request).await;
    if let Some(route) = route {
        let labels = [
            ("method", metrics::SharedString::const_str(method)),
            ("route", route.as_str().trim_end_matches('/').to_owned().into()),
            ("status", status(response.status()).into()),
        ];
        metrics::histogram!(HTTP_SECONDS, &labels).record(begun.elapsed());
    }
    response
}

fn method(method: &Method) -> &'static str {
    ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"].into_iter().find(|known| method == *known).unwrap_or("other")
}

fn status(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "1xx",
    }
}
