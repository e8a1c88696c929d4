//! Liveness, for people, the old frontend and orchestrators. No identity, no activity, no limit.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::state::AppState;

pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/health", get(healthy))
        .route("/api/health/", get(healthy))
        .route("/api/health/live", get(healthy))
        .route("/api/health/live/", get(healthy))
}

async fn healthy() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], r#"{"status":"healthy","message":"Backend is running"}"#)
}
