//! `GET /api/users/{id}/risk`: the score at a time, and every contribution to it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::{Timestamp, risk_level};
use serde::Serialize;

use super::view::{Share, rounded};
use crate::answer;
use crate::auth::rights::{Allowed, SeeAnalytics};
use crate::extract::{Fields, FromFields, PathId, Query};
use crate::problem::{Outcome, Problem};
use crate::state::AppState;
use crate::words::RiskLevel;

pub(super) struct Moment(Option<Timestamp>);

impl FromFields for Moment {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        fields.time_end("as_of").map(Self)
    }
}

/// A user's risk score at a time, with every contribution.
#[derive(Serialize, utoipa::ToSchema)]
struct RiskAtTime {
    #[schema(example = 6)]
    user_id: i64,
    #[schema(example = "ann")]
    username: String,
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// 0 to 100, with two decimals.
    #[schema(example = 61.5)]
    risk_score: f64,
    #[schema(value_type = RiskLevel)]
    risk_level: &'static str,
    contributions: Vec<Share>,
}

/// A user's risk score at a time, with every contribution.
#[utoipa::path(
    get, path = "/api/users/{user_id}/risk", tag = "users",
    params(
        ("user_id" = i32, Path, description = "The user"),
        ("as_of" = Option<String>, Query, format = DateTime, description = "A time (now)")
    ),
    responses((status = 200, body = RiskAtTime), Allowed<SeeAnalytics>)
)]
pub(super) async fn of_user(
    _: Allowed<SeeAnalytics>,
    State(app): State<AppState>,
    PathId(user_id): PathId,
    Query(Moment(as_of)): Query<Moment>,
) -> Outcome<Response> {
    let user = app.store.user(user_id).await?;
    let user = user.ok_or_else(|| Problem::not_found("User not found").with_reason("not_found"))?;
    let risk = app.store.user_risk(&user.username_key, as_of.unwrap_or_else(|| app.clock.now())).await?;
    let risk = RiskAtTime {
        user_id,
        username: user.username,
        as_of: risk.as_of,
        risk_score: rounded(risk.score),
        risk_level: risk_level(risk.score),
        contributions: risk.findings.into_iter().map(Share::from).collect(),
    };
    Ok(answer::ordered(StatusCode::OK, &risk))
}
