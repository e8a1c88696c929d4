//! Liveness and readiness, for people, the old frontend and orchestrators. No identity, no activity, no limit.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Timestamp;
use serde_json::{Map, Value};
use utoipa::openapi::{ObjectBuilder, Type};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::both;
use crate::answer;
use crate::state::AppState;

/// The word for what cannot be used.
const UNAVAILABLE: &str = "unavailable";

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    let router = both(OpenApiRouter::new(), routes!(healthy));
    let router = both(router, routes!(live));
    both(router, routes!(ready))
}

/// The server runs.
#[derive(utoipa::ToSchema)]
#[schema(example = json!({ "status": "healthy", "message": "Backend is running" }))]
#[expect(dead_code, reason = "describes what `healthy` writes")]
struct Alive {
    status: String,
    message: String,
}

/// How far the workers are. Lags are `null` while Kafka does not answer.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what the hook for readiness tells")]
pub(super) struct Workers {
    /// Whether the database takes changes.
    #[schema(schema_with = dependency)]
    database: String,
    /// Activities that wait in the journal.
    journal_rows: i64,
    /// How long the oldest of them has waited, in seconds.
    journal_age_s: i64,
    /// Activities that not all workers have seen.
    journal_pending: i64,
    /// Activities that are not in the log yet.
    #[schema(required)]
    ingest_lag: Option<i64>,
    /// Activities that no rule has looked at yet.
    #[schema(required)]
    detector_lag: Option<i64>,
    /// Up to here nothing that comes can change an alert.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    watermark: Option<Timestamp>,
    /// Activities that came too late to be alerted live, since the start.
    late: u64,
    /// Activities that came behind the watermark, since the start.
    behind: u64,
    /// Whether the brokers answer; where there are some.
    #[schema(schema_with = dependency)]
    kafka: Option<String>,
    /// The partitions that this process works on; where there are brokers.
    #[schema(nullable = false)]
    partitions: Option<i64>,
    /// Whether this process moves the journal to the brokers; where there are some.
    #[schema(schema_with = relay)]
    relay: Option<String>,
}

fn dependency() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["ready", UNAVAILABLE]))
}

fn relay() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["leads", "stands by"]))
}

/// The server is ready.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what `ready` writes")]
struct Ready {
    #[schema(example = "ready")]
    status: String,
    #[serde(flatten)]
    workers: Workers,
}

/// The server is not ready.
#[derive(utoipa::ToSchema)]
#[schema(example = json!({
    "status": "unavailable", "database": "unavailable", "error": "The database takes no changes."
}))]
#[expect(dead_code, reason = "describes what `ready` writes")]
struct NotReady {
    status: String,
    /// The database: `unavailable`.
    database: String,
    error: String,
}

/// Whether the server runs.
#[utoipa::path(get, path = "/api/health", tag = "health", security(()), responses((status = 200, body = Alive)))]
async fn healthy() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], r#"{"status":"healthy","message":"Backend is running"}"#)
}

/// Whether the server runs, for orchestrators.
#[utoipa::path(
    get, path = "/api/health/live", tag = "health", security(()),
    responses((status = 200, body = Alive))
)]
async fn live() -> impl IntoResponse {
    healthy().await
}

/// How far the workers are behind; zeros mean that everything acknowledged is visible.
#[utoipa::path(
    get, path = "/api/health/ready", tag = "health", security(()),
    responses(
        (status = 200, body = Ready),
        (status = 503, body = NotReady, description = "The database does not answer, or takes no changes.")
    )
)]
async fn ready(State(app): State<AppState>) -> Response {
    match (app.hooks.readiness)().await {
        Ok(members) if members.get("database").is_some_and(|word| word == UNAVAILABLE) => {
            unavailable("The database takes no changes.")
        }
        Ok(members) => finished(StatusCode::OK, "ready", members),
        Err(error) => {
            tracing::warn!(%error, "not ready: the database does not answer");
            unavailable("The database does not answer.")
        }
    }
}

fn unavailable(why: &str) -> Response {
    let members = [("database", UNAVAILABLE), ("error", why)];
    let members = members.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    finished(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE, members)
}

fn finished(status: StatusCode, word: &str, mut members: Map<String, Value>) -> Response {
    members.insert("status".into(), word.into());
    let mut response = answer::json_with(status, &Value::Object(members));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(crate::shell::Rendered);
    response
}
