//! `GET /api/analytics/top-users`, who is at risk now, and `GET /api/analytics/user-risk`, one of them over time. By name:
//! alerts are also about names that no account here has.

use std::collections::HashSet;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::{DAY, Role, Timestamp, risk_level, username_key};
use serde::Serialize;
use store::UserRow;

use super::Days;
use super::view::{Share, rounded};
use crate::answer;
use crate::auth::rights::{Allowed, SeeAnalytics};
use crate::extract::{Fields, FromFields, Query};
use crate::problem::{Outcome, Problem};
use crate::state::AppState;
use crate::words::{RiskLevel, RoleName};

/// Contributions that are told of each of many.
const REASONS: usize = 3;

pub(super) struct Highest(usize);

impl FromFields for Highest {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        let top = fields.integer_in("top", 1, 100)?.unwrap_or(10);
        Ok(Self(usize::try_from(top).unwrap_or_default()))
    }
}

/// A name, the account that has it (else its members are `null`), and its risk.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "user_id": 6, "username": "ann", "full_name": "Ann Archer", "role_name": "Employee", "is_active": true,
    "risk_score": 61.5, "risk_level": "High Alert"
}))]
struct Person {
    #[schema(required)]
    user_id: Option<i64>,
    username: String,
    #[schema(required)]
    full_name: Option<String>,
    #[schema(required, value_type = Option<RoleName>)]
    role_name: Option<&'static str>,
    #[schema(required)]
    is_active: Option<bool>,
    /// 0 to 100, with two decimals.
    risk_score: f64,
    #[schema(value_type = RiskLevel)]
    risk_level: &'static str,
}

impl Person {
    fn new(name: &str, account: Option<UserRow>, score: f64) -> Self {
        let (risk_score, risk_level) = (rounded(score), risk_level(score));
        match account {
            Some(account) => Self {
                user_id: Some(account.user_id),
                username: account.username,
                full_name: account.full_name,
                role_name: Some(Role::name(account.role)),
                is_active: Some(account.is_active),
                risk_score,
                risk_level,
            },
            None => Self {
                user_id: None,
                username: name.to_owned(),
                full_name: None,
                role_name: None,
                is_active: None,
                risk_score,
                risk_level,
            },
        }
    }
}

/// A user with a risk.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "user_id": 6, "username": "ann", "full_name": "Ann Archer", "role_name": "Employee", "is_active": true,
    "risk_score": 47.0, "risk_level": "Medium Alert", "reasons": [Share::example()], "contributions_total": 1,
    "changed_at": "2026-03-01T08:15:00.000000Z"
}))]
struct RiskyUser {
    #[serde(flatten)]
    person: Person,
    /// What adds most.
    reasons: Vec<Share>,
    contributions_total: usize,
    /// When the risk changed last.
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
}

/// The users whose risk is highest at the moment, with what adds most to it.
#[utoipa::path(
    get, path = "/api/analytics/top-users", tag = "analytics",
    params(("top" = Option<i32>, Query, minimum = 1, maximum = 100, description = "Users, at most 100 (10)")),
    responses((status = 200, body = [RiskyUser]), Allowed<SeeAnalytics>)
)]
pub(super) async fn top(
    _: Allowed<SeeAnalytics>,
    State(app): State<AppState>,
    Query(Highest(top)): Query<Highest>,
) -> Outcome<Response> {
    let now = app.clock.now();
    let mut users = Vec::new();
    for user in app.store.risky_users(now, top).await? {
        let account = app.store.user_by_key(&user.user_key).await?;
        let risk = app.store.user_risk(&user.user_key, now).await?;
        let count = risk.findings.len();
        let mut reasons: Vec<Share> = risk.findings.into_iter().map(Share::from).collect();
        reasons.sort_by(|a, b| b.weight().total_cmp(&a.weight()));
        // The same rule again tells nothing new here.
        let mut told = HashSet::new();
        reasons.retain(|reason| told.insert(reason.rule().to_owned()));
        reasons.truncate(REASONS);
        let person = Person::new(&user.username, account, risk.score);
        users.push((risk.score, RiskyUser { person, reasons, contributions_total: count, changed_at: user.at }));
    }
    users.sort_by(|a, b| b.0.total_cmp(&a.0));
    Ok(answer::ordered(StatusCode::OK, &users.into_iter().map(|(_, user)| user).collect::<Vec<_>>()))
}

pub(super) struct Whose {
    user: String,
    days: Days,
}

impl FromFields for Whose {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self { user: fields.required("user", 255)?, days: Days::read_up_to(fields, 30, 400)? })
    }
}

/// One user's risk: now, every contribution to it, and over time.
#[derive(Serialize, utoipa::ToSchema)]
struct UserRisk {
    #[serde(flatten)]
    person: Person,
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    #[schema(example = 30)]
    period_days: i64,
    contributions: Vec<Share>,
    history: Vec<Point>,
}

/// A risk at a time.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = RiskThen, example = json!({ "at": "2026-03-02T09:15:00.000000Z", "risk_score": 61.5 }))]
struct Point {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    risk_score: f64,
}

/// One user's risk: now, every contribution to it, and over time.
#[utoipa::path(
    get, path = "/api/analytics/user-risk", tag = "analytics",
    params(
        ("user" = String, Query, min_length = 1, max_length = 255, description = "A name, also one that no account has"),
        ("days" = Option<i32>, Query, minimum = 1, maximum = 400, description = "How far back the course goes (30; at most 400)")
    ),
    responses(
        (status = 200, body = UserRisk),
        (status = 404, description = "No account has this name, and no alert is about it."),
        Allowed<SeeAnalytics>
    )
)]
pub(super) async fn one(
    _: Allowed<SeeAnalytics>,
    State(app): State<AppState>,
    Query(Whose { user, days }): Query<Whose>,
) -> Outcome<Response> {
    let now = app.clock.now();
    let key = username_key(&user);
    let account = app.store.user_by_key(&key).await?;
    let risk = app.store.user_risk(&key, now).await?;
    let history = app.store.user_risk_history(&key, now.plus(-days.0 * DAY), now).await?;
    if account.is_none() && risk.findings.is_empty() && history.iter().all(|(_, score)| *score == 0.0) {
        return Err(
            Problem::not_found("There is no user of this name, and no alert about one").with_reason("not_found")
        );
    }
    let risk = UserRisk {
        person: Person::new(&user, account, risk.score),
        as_of: risk.as_of,
        period_days: days.0,
        contributions: risk.findings.into_iter().map(Share::from).collect(),
        history: history.into_iter().map(|(at, score)| Point { at, risk_score: rounded(score) }).collect(),
    };
    Ok(answer::ordered(StatusCode::OK, &risk))
}
