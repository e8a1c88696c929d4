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
    let mut members = match lags(&app).await {
        Ok(members) => members,
        Err(error) => {
            tracing::warn!(%error, "not ready: the database does not answer");
            let members = Map::from_iter([("error".to_owned(), Value::from("The database does not answer."))]);
            return finished(StatusCode::SERVICE_UNAVAILABLE, "unavailable", members);
        }
    };
    if let Some(hook) = &app.hooks.readiness {
        members.extend(hook().await);
    }
    finished(StatusCode::OK, "ready", members)
}

fn finished(status: StatusCode, word: &str, mut members: Map<String, Value>) -> Response {
    members.insert("status".into(), word.into());
    let mut response = answer::json_with(status, &Value::Object(members));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(crate::shell::Rendered);
    response
}

/// The positions of the embedded readers of the journal. Where Kafka stands between, the hook knows better and
/// overrides these.
pub(super) async fn lags(app: &AppState) -> Result<Map<String, Value>, store::Error> {
    let journal = app.store.journal_status().await?;
    let ingest = journal.last_seq - app.store.offset("ingest").await?;
    let detector = journal.last_seq - app.store.offset("detector").await?;
    let lag = |lag: i64| Value::from(lag.max(0));
    Ok(Map::from_iter([
        ("journal_pending".to_owned(), lag(ingest.max(detector))),
        ("ingest_lag".to_owned(), lag(ingest)),
        ("detector_lag".to_owned(), lag(detector)),
        ("watermark".to_owned(), Value::Null),
    ]))
}
