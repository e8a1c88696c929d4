//! Liveness and readiness, for people, the old frontend and orchestrators. No identity, no activity, no limit.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::both;
use crate::answer;
use crate::state::AppState;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    let router = both(OpenApiRouter::new(), routes!(healthy));
    let router = both(router, routes!(live));
    both(router, routes!(ready))
}

/// Whether the server runs.
#[utoipa::path(get, path = "/api/health", tag = "health", security(()), responses((status = 200, body = Object)))]
async fn healthy() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], r#"{"status":"healthy","message":"Backend is running"}"#)
}

/// Whether the server runs, for orchestrators.
#[utoipa::path(
    get, path = "/api/health/live", tag = "health", security(()),
    responses((status = 200, body = Object))
)]
async fn live() -> impl IntoResponse {
    healthy().await
}

/// How far the workers are behind; zeros mean that everything acknowledged is visible.
#[utoipa::path(
    get, path = "/api/health/ready", tag = "health", security(()),
    responses(
        (status = 200, body = Object),
        (status = 503, body = Object, description = "The database does not answer.")
    )
)]
async fn ready(State(app): State<AppState>) -> Response {
    match (app.hooks.readiness)().await {
        Ok(members) => finished(StatusCode::OK, "ready", members),
        Err(error) => {
            tracing::warn!(%error, "not ready: the database does not answer");
            let members = Map::from_iter([("error".to_owned(), Value::from("The database does not answer."))]);
            finished(StatusCode::SERVICE_UNAVAILABLE, "unavailable", members)
        }
    }
}

fn finished(status: StatusCode, word: &str, mut members: Map<String, Value>) -> Response {
    members.insert("status".into(), word.into());
    let mut response = answer::json_with(status, &Value::Object(members));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(crate::shell::Rendered);
    response
}
