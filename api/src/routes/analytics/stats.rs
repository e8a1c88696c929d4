//! Figures for the first page of the old frontend.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::Days;
use super::view::Score;
use crate::answer;
use crate::auth::rights::{Allowed, SeeAnalytics};
use crate::extract::{Fields, FromFields, Query};
use crate::problem::Outcome;
use crate::state::AppState;

pub(super) struct Week(Days);

impl FromFields for Week {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Days::read(fields, 7).map(Self)
    }
}

/// Figures of the last days.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct DashboardStats {
    #[schema(example = 7)]
    period_days: i64,
    #[schema(example = 12873)]
    total_activities: i64,
    #[schema(example = 4)]
    high_risk_alerts: i64,
    #[schema(example = 1)]
    flagged_critical: i64,
    #[schema(example = 3)]
    flagged_high: i64,
    /// The newest ten.
    recent_anomaly_scores: Vec<Score>,
}

/// Figures of the last days.
#[utoipa::path(
    get, path = "/api/analytics/dashboard-stats", tag = "analytics",
    params(("days" = Option<i32>, Query, minimum = 1, maximum = 36_500, description = "How far back (7)")),
    responses((status = 200, body = DashboardStats), Allowed<SeeAnalytics>)
)]
pub(super) async fn dashboard(
    _: Allowed<SeeAnalytics>,
    State(app): State<AppState>,
    Query(Week(days)): Query<Week>,
) -> Outcome<Response> {
    let stats = app.store.dashboard_stats(days.since(&app)).await?;
    let stats = DashboardStats {
        period_days: days.0,
        total_activities: stats.total_activities,
        high_risk_alerts: stats.high_risk_alerts,
        flagged_critical: stats.flagged_critical,
        flagged_high: stats.flagged_high,
        recent_anomaly_scores: stats.recent.into_iter().take(10).map(Score::from).collect(),
    };
    Ok(answer::ordered(StatusCode::OK, &stats))
}
