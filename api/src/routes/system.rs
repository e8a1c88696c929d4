//! `GET /api/system`: how the server is doing, for those who watch.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::{DAY, MINUTE, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::both;
use super::health::Workers;
use crate::answer;
use crate::auth::rights::{Allowed, SeeAnalytics};
use crate::problem::Outcome;
use crate::state::AppState;
use crate::words::Severity;

/// Gaps that are shown, of the last week.
const GAPS: i64 = 50;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    both(OpenApiRouter::new(), routes!(system))
}

/// How the server is doing.
#[derive(Serialize, utoipa::ToSchema)]
struct System {
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The server's time.
    #[schema(value_type = String, format = DateTime)]
    now: Timestamp,
    #[schema(value_type = Workers)]
    workers: Map<String, Value>,
    #[schema(example = 37)]
    activities_last_minute: i64,
    /// Of the last day; hours without any are left out.
    activities_by_hour: Vec<Hour>,
    open_alerts: Vec<Open>,
    #[schema(example = 5)]
    live_sessions: i64,
    #[schema(example = 0)]
    dead_letters: i64,
    /// Of the last week.
    coverage_gaps: Vec<Gap>,
}

/// The activities of one hour.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ActivitiesOfHour, example = json!({ "hour": "2026-03-02T09:00:00.000000Z", "activities": 1843 }))]
struct Hour {
    #[schema(value_type = String, format = DateTime)]
    hour: Timestamp,
    activities: i64,
}

/// The open alerts of one severity.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = OpenAlerts, example = json!({ "severity": "High", "alerts": 3 }))]
struct Open {
    #[schema(value_type = Severity)]
    severity: domain::Severity,
    alerts: i64,
}

/// What could not be looked at in full.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = CoverageGap, example = json!({
    "gap_id": 7, "rule_id": "", "key": "192.0.2.7", "from": "2026-03-02T09:10:00.000000Z",
    "to": "2026-03-02T09:12:30.000000Z", "lost": 4096, "reason": "a key had more than 65536 events",
    "recorded_at": "2026-03-02T09:12:31.250000Z"
}))]
struct Gap {
    gap_id: i64,
    rule_id: String,
    key: String,
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    /// How many activities are missing.
    lost: i64,
    reason: String,
    #[schema(value_type = String, format = DateTime)]
    recorded_at: Timestamp,
}

impl From<store::GapRow> for Gap {
    fn from(row: store::GapRow) -> Self {
        let store::GapRow { gap_id, gap, recorded_at } = row;
        let store::NewGap { rule_id, key, from, to, lost, reason } = gap;
        Self { gap_id, rule_id, key, from, to, lost, reason, recorded_at }
    }
}

/// How the server is doing.
#[utoipa::path(
    get, path = "/api/system", tag = "system",
    responses((status = 200, body = System), Allowed<SeeAnalytics>)
)]
async fn system(_: Allowed<SeeAnalytics>, State(app): State<AppState>) -> Outcome<Response> {
    let (store, now) = (&app.store, app.clock.now());
    let workers = (app.hooks.readiness)().await?;
    let hours = store.activity_by_hour(now.plus(-DAY)).await?.into_iter();
    let open = store.open_alerts().await?.into_iter();
    let system = System {
        version: env!("CARGO_PKG_VERSION"),
        now,
        workers,
        activities_last_minute: store.count_logs_since(now.plus(-MINUTE)).await?,
        activities_by_hour: hours.map(|(hour, activities)| Hour { hour, activities }).collect(),
        open_alerts: open.map(|(severity, alerts)| Open { severity, alerts }).collect(),
        live_sessions: store.count_live_sessions(now).await?,
        dead_letters: store.count_dead_letters().await?,
        coverage_gaps: store.coverage_gaps(now.plus(-7 * DAY), GAPS).await?.into_iter().map(Gap::from).collect(),
    };
    Ok(answer::ordered(StatusCode::OK, &system))
}
