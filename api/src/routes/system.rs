//! `GET /api/system`: how the server is doing, for those who watch.

use axum::extract::State;
use axum::response::Response;
use domain::{DAY, MINUTE};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::both;
use crate::answer;
use crate::auth::rights::{Allowed, SeeAnalytics};
use crate::problem::Outcome;
use crate::state::AppState;

/// Gaps that are shown, of the last week.
const GAPS: i64 = 50;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    both(OpenApiRouter::new(), routes!(system))
}

/// How the server is doing.
#[utoipa::path(
    get, path = "/api/system", tag = "system",
    responses((status = 200, body = Object), Allowed<SeeAnalytics>)
)]
async fn system(_: Allowed<SeeAnalytics>, State(app): State<AppState>) -> Outcome<Response> {
    let (store, now) = (&app.store, app.clock.now());
    let workers = (app.hooks.readiness)().await?;
    let gaps: Vec<Value> = store.coverage_gaps(now.plus(-7 * DAY), GAPS).await?.into_iter().map(gap).collect();
    let hours = store.activity_by_hour(now.plus(-DAY)).await?.into_iter();
    let hours: Vec<Value> = hours.map(|(hour, n)| json!({ "hour": hour, "activities": n })).collect();
    let open = store.open_alerts().await?.into_iter();
    let open: Vec<Value> = open.map(|(severity, n)| json!({ "severity": severity, "alerts": n })).collect();
    Ok(answer::seen(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "now": now,
        "workers": workers,
        "activities_last_minute": store.count_logs_since(now.plus(-MINUTE)).await?,
        "activities_by_hour": hours,
        "open_alerts": open,
        "live_sessions": store.count_live_sessions(now).await?,
        "dead_letters": store.count_dead_letters().await?,
        "coverage_gaps": gaps,
    })))
}

fn gap(row: store::GapRow) -> Value {
    json!({
        "gap_id": row.gap_id,
        "rule_id": row.gap.rule_id,
        "key": row.gap.key,
        "from": row.gap.from,
        "to": row.gap.to,
        "lost": row.gap.lost,
        "reason": row.gap.reason,
        "recorded_at": row.recorded_at,
    })
}
