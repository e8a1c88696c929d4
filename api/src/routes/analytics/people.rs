//! `GET /api/analytics/top-users`, who is at risk now, and `GET /api/analytics/user-risk`, one of them over time. By name:
//! alerts are also about names that no account here has.

use std::collections::HashSet;

use axum::extract::State;
use axum::response::Response;
use domain::{DAY, Role, risk_level, username_key};
use serde_json::{Value, json};
use store::UserRow;

use super::Days;
use super::view::{Share, rounded};
use crate::answer;
use crate::auth::rights::{Allowed, SeeAnalytics};
use crate::extract::{Fields, FromFields, Query};
use crate::problem::{Outcome, Problem};
use crate::state::AppState;

/// Contributions that are told of each of many.
const REASONS: usize = 3;

pub(super) struct Highest(usize);

impl FromFields for Highest {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        let top = fields.integer_in("top", 1, 100)?.unwrap_or(10);
        Ok(Self(usize::try_from(top).unwrap_or_default()))
    }
}

/// The users whose risk is highest at the moment, with what adds most to it.
#[utoipa::path(
    get, path = "/api/analytics/top-users", tag = "analytics",
    params(("top" = Option<i64>, Query, description = "Users, at most 100 (10)")),
    responses((status = 200, body = [Object]), Allowed<SeeAnalytics>)
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
        users.push((risk.score, about(&user.username, account.as_ref(), risk.score), reasons, count, user.at));
    }
    users.sort_by(|a, b| b.0.total_cmp(&a.0));
    let users = users.into_iter().map(|(_, mut user, reasons, count, changed_at)| {
        user["reasons"] = json!(reasons);
        user["contributions_total"] = json!(count);
        user["changed_at"] = json!(changed_at);
        user
    });
    Ok(answer::seen(&users.collect::<Vec<Value>>()))
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
#[utoipa::path(
    get, path = "/api/analytics/user-risk", tag = "analytics",
    params(
        ("user" = String, Query, description = "A name, also one that no account has"),
        ("days" = Option<i64>, Query, description = "How far back the course goes (30; at most 400)")
    ),
    responses((status = 200, body = Object), Allowed<SeeAnalytics>)
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
    let mut whole = about(&user, account.as_ref(), risk.score);
    whole["as_of"] = json!(risk.as_of);
    whole["period_days"] = json!(days.0);
    whole["contributions"] = json!(risk.findings.into_iter().map(Share::from).collect::<Vec<_>>());
    let line = history.into_iter().map(|(at, score)| json!({ "at": at, "risk_score": rounded(score) }));
    whole["history"] = line.collect();
    Ok(answer::seen(&whole))
}

/// A name, the account that has it, and its risk.
fn about(name: &str, account: Option<&UserRow>, score: f64) -> Value {
    json!({
        "user_id": account.map(|account| account.user_id),
        "username": account.map_or(name, |account| &account.username),
        "full_name": account.and_then(|account| account.full_name.as_deref()),
        "role_name": account.map(|account| Role::name(account.role)),
        "is_active": account.map(|account| account.is_active),
        "risk_score": rounded(score),
        "risk_level": risk_level(score),
    })
}
