//! `/api/logs`: what happened, and reports of what happened elsewhere.

mod event;
mod lines;
mod post;
mod provenance;
mod sessions;
mod stream;
mod tally;

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use domain::{DAY, LogType, Role, Timestamp, username_key};
use serde::Serialize;
use serde_json::{Value, json};
use store::{LogFilter, LogRow};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::both;
use crate::answer::{self, Form};
use crate::auth::caller::Caller;
use crate::auth::rights::{Allowed, LoggedIn};
use crate::extract::{Fields, FromFields, Query};
use crate::paging::{self, Page};
use crate::problem::{Outcome, Problem};
use crate::state::AppState;
use crate::words;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    let router = both(OpenApiRouter::new(), routes!(list, post::post));
    let router = both(router, routes!(stream::stream));
    let router = both(router, routes!(sessions::list));
    both(router, routes!(summary))
}

/// A row of the log as clients see it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(example = Log::example)]
pub(crate) struct Log {
    log_id: i64,
    event_id: Uuid,
    #[schema(required)]
    user_id: Option<i64>,
    #[schema(required)]
    username: Option<String>,
    #[schema(required)]
    session_id: Option<String>,
    action_type: String,
    action_detail: String,
    #[schema(required)]
    page_url: Option<String>,
    ip_address: String,
    #[schema(required)]
    user_agent: Option<String>,
    #[schema(required)]
    geo_location: Option<String>,
    #[schema(value_type = words::LogType)]
    log_type: String,
    #[schema(value_type = words::Outcome)]
    outcome: String,
    is_flagged: bool,
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
    #[schema(required)]
    resource: Option<String>,
    #[schema(required)]
    records: Option<i64>,
    #[schema(required)]
    reason: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    occurred_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
    origin: String,
    late: bool,
    #[schema(required)]
    request_id: Option<String>,
}

impl Log {
    /// A row, for the OpenAPI document.
    fn example() -> Value {
        json!({
            "log_id": 1042, "event_id": "019ca8a4-7a4c-7c31-8b4e-5d2f9a6c1e07", "user_id": 6, "username": "ann",
            "session_id": "bm90IGEgc2Vzc2lvbg", "action_type": "Delete", "action_detail": "Deleted order 3: 2 × Claw hammer",
            "page_url": null, "ip_address": "192.0.2.17", "user_agent": "Mozilla/5.0", "geo_location": null,
            "log_type": "data_access", "outcome": "success", "is_flagged": false,
            "timestamp": "2026-03-01T08:15:00.000000Z", "resource": "orders/3", "records": null, "reason": null,
            "occurred_at": "2026-03-01T08:15:00.000000Z", "received_at": "2026-03-01T08:15:00.000000Z", "origin": "api",
            "late": false, "request_id": "019ca8a4-7a4c-7c31-8b4e-5d2f9a6c1e08"
        })
    }
}

impl From<LogRow> for Log {
    fn from(row: LogRow) -> Self {
        Self {
            log_id: row.log_id,
            event_id: row.event_id,
            user_id: row.user_id,
            username: row.username,
            session_id: row.session_id,
            action_type: row.action,
            action_detail: row.detail,
            page_url: row.page_url,
            ip_address: row.ip,
            user_agent: row.user_agent,
            geo_location: row.country,
            log_type: row.log_type,
            outcome: row.outcome,
            is_flagged: row.is_flagged,
            timestamp: row.occurred_at,
            resource: row.resource,
            records: row.records,
            reason: row.reason,
            occurred_at: row.occurred_at,
            received_at: row.received_at,
            origin: row.origin,
            late: row.late,
            request_id: row.request_id,
        }
    }
}

const COLUMNS: [&str; 17] = [
    "log_id",
    "timestamp",
    "user_id",
    "username",
    "session_id",
    "action_type",
    "resource",
    "action_detail",
    "outcome",
    "log_type",
    "is_flagged",
    "ip_address",
    "user_agent",
    "geo_location",
    "page_url",
    "origin",
    "event_id",
];

/// Whose rows the caller may see, by id or by name: everybody's (of whom is asked for, if that is somebody), or their own.
fn whose(caller: &Caller, id: Option<i64>, name: Option<String>) -> Outcome<(Option<i64>, Option<String>)> {
    if id.is_some() && name.is_some() {
        return Err(Problem::field("user", "Send user or user_id, not both."));
    }
    if sees_all(caller) {
        return Ok((id, name));
    }
    let is_own =
        id.is_none_or(|id| caller.is(id)) && name.is_none_or(|name| username_key(&name) == caller.user.username_key);
    if !is_own {
        return Err(Problem::forbidden("You may only see your own activity.").with_reason("not_own"));
    }
    Ok((Some(caller.user.user_id), None))
}

fn sees_all(caller: &Caller) -> bool {
    matches!(caller.user.role, Role::Admin | Role::Supervisor)
}

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only what this user did, by the id of the account.
    #[param(value_type = Option<i32>)]
    user_id: Option<i64>,
    /// A name, also one that no account has.
    #[param(max_length = 255)]
    user: Option<String>,
    /// Only this action, such as `Delete`.
    #[param(rename = "action_type", max_length = 64)]
    action: Option<String>,
    /// Only activities of this kind.
    #[param(inline, value_type = Option<words::LogType>)]
    log_type: Option<LogType>,
    /// Look-ups and reads of logs too (false).
    #[param(value_type = Option<bool>)]
    all: bool,
    /// From this time on; a bare date is from its midnight on, in UTC.
    #[param(rename = "start_date", value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Up to this time; a bare date is that whole day.
    #[param(rename = "end_date", value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    #[param(ignore)]
    page: Page,
    #[param(ignore)]
    form: Form,
}

impl FromFields for Filter {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        let log_type = match fields.words("log_type", 20)? {
            None => None,
            Some(word) => Some(word.parse().map_err(|why| Problem::field("log_type", format!("log_type {why}")))?),
        };
        Ok(Self {
            user_id: fields.integer("user_id")?,
            user: fields.words("user", 255)?,
            action: fields.words("action_type", 64)?,
            log_type,
            all: fields.flag("all")?.unwrap_or(false),
            from: fields.time("start_date")?,
            to: fields.time_end("end_date")?,
            page: Page::from_fields(fields)?,
            form: Form::from_fields(fields)?,
        })
    }
}

/// Activities, the newest first: everybody's for Admins and Supervisors, otherwise one's own.
#[utoipa::path(
    get, path = "/api/logs", tag = "logs",
    params(Filter, Page, Form),
    responses((status = 200, body = [Log]), Allowed<LoggedIn>)
)]
async fn list(
    Allowed(caller, _): Allowed<LoggedIn>,
    State(app): State<AppState>,
    uri: Uri,
    Query(filter): Query<Filter>,
) -> Outcome<Response> {
    let page = filter.page;
    let (user_id, user) = whose(&caller, filter.user_id, filter.user)?;
    let mut rows = app
        .store
        .logs(LogFilter {
            user_id,
            user,
            action: filter.action,
            log_type: filter.log_type,
            all: filter.all,
            from: filter.from,
            to: filter.to,
            limit: page.ask(),
            cursor: page.numbered()?,
        })
        .await?;
    let next = page.cut(&mut rows, |row| (row.occurred_at, row.log_id.to_string()));
    let unseen = !sees_all(&caller);
    let rows: Vec<Log> = rows
        .into_iter()
        .map(Log::from)
        // Who is watched does not see what the watch sees.
        .map(|log| Log { is_flagged: log.is_flagged && !unseen, ..log })
        .collect();
    Ok(paging::link(answer::list(filter.form, "logs", &COLUMNS, &rows), &uri, next.as_deref()))
}

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Summary {
    /// Whose activities are counted: one's own unless told otherwise, everybody's for whoever may see them.
    #[param(value_type = Option<i32>)]
    user_id: Option<i64>,
    /// How far back (7).
    #[param(value_type = Option<i32>, minimum = 1, maximum = 36_500)]
    days: i64,
}

impl FromFields for Summary {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self { user_id: fields.integer("user_id")?, days: fields.integer_in("days", 1, 36_500)?.unwrap_or(7) })
    }
}

/// Activities counted by their action.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "by_action_type": { "Login": 1, "View": 40, "Delete": 1 }, "period_days": 7, "total_activities": 42
}))]
struct ActivitySummary {
    by_action_type: BTreeMap<String, i64>,
    period_days: i64,
    total_activities: i64,
}

/// Activities counted by their action.
#[utoipa::path(
    get, path = "/api/logs/activity-summary", tag = "logs",
    params(Summary),
    responses((status = 200, body = ActivitySummary), Allowed<LoggedIn>)
)]
async fn summary(
    Allowed(caller, _): Allowed<LoggedIn>,
    State(app): State<AppState>,
    Query(Summary { user_id, days }): Query<Summary>,
) -> Outcome<Response> {
    let since = app.clock.now().plus(-days * DAY);
    let counts = app.store.activity_summary(whose(&caller, user_id, None)?.0, since).await?;
    let total_activities = counts.iter().map(|(_, count)| count).sum();
    let by_action_type = counts.into_iter().collect();
    Ok(answer::seen(&ActivitySummary { by_action_type, period_days: days, total_activities }))
}
