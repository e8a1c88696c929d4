//! Liveness and readiness, for people, the old frontend and orchestrators. No identity, no activity, no limit.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Map, Value};

use super::both;
use crate::answer;
use crate::state::AppState;

pub(crate) fn routes() -> Router<AppState> {
    let router = both(Router::new(), "/api/health", get(healthy));
    let router = both(router, "/api/health/live", get(healthy));
    both(router, "/api/health/ready", get(ready))
}

async fn healthy() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], r#"{"status":"healthy","message":"Backend is running"}"#)
}

/// How far the workers are behind; zeros mean that everything acknowledged is visible.
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
