//! `/api/logs`: what happened, and reports of what happened elsewhere.

mod lines;
mod post;
mod provenance;
mod stream;
mod tally;

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::get;
use domain::{DAY, LogType, Role, Timestamp};
use serde::Serialize;
use serde_json::json;
use store::{LogFilter, LogRow, SessionFilter, SessionRow};
use uuid::Uuid;

use super::both;
use crate::answer::{self, Form};
use crate::auth::caller::Caller;
use crate::auth::rights::{Allowed, LoggedIn};
use crate::extract::{Fields, FromFields, Query};
use crate::paging::{self, Page};
use crate::problem::{Outcome, Problem};
use crate::state::AppState;

pub(crate) fn routes() -> Router<AppState> {
    let router = both(Router::new(), "/api/logs", get(list).post(post::post));
    let router = both(router, "/api/logs/stream", get(stream::stream));
    let router = both(router, "/api/logs/sessions", get(sessions));
    both(router, "/api/logs/activity-summary", get(summary))
}

/// A row of the log as clients see it.
#[derive(Serialize)]
pub(crate) struct Log {
    log_id: i64,
    event_id: Uuid,
    user_id: Option<i64>,
    username: Option<String>,
    session_id: Option<String>,
    action_type: String,
    action_detail: String,
    page_url: Option<String>,
    ip_address: String,
    user_agent: Option<String>,
    geo_location: Option<String>,
    log_type: String,
    outcome: String,
    is_flagged: bool,
    timestamp: Timestamp,
    resource: Option<String>,
    records: Option<i64>,
    reason: Option<String>,
    occurred_at: Timestamp,
    received_at: Timestamp,
    origin: String,
    late: bool,
    request_id: Option<String>,
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

/// Whose rows the caller may see: everybody's (of `asked`, if that is somebody), or their own.
fn whose(caller: &Caller, asked: Option<i64>) -> Outcome<Option<i64>> {
    if sees_all(caller) {
        return Ok(asked);
    }
    match asked {
        Some(other) if !caller.is(other) => {
            Err(Problem::forbidden("You may only see your own activity.").with_reason("not_own"))
        }
        _ => Ok(Some(caller.user.user_id)),
    }
}

fn sees_all(caller: &Caller) -> bool {
    matches!(caller.user.role, Role::Admin | Role::Supervisor)
}

struct Filter {
    user_id: Option<i64>,
    action: Option<String>,
    log_type: Option<LogType>,
    all: bool,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    page: Page,
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

async fn list(
    Allowed(caller, _): Allowed<LoggedIn>,
    State(app): State<AppState>,
    uri: Uri,
    Query(filter): Query<Filter>,
) -> Outcome<Response> {
    let page = filter.page;
    let mut rows = app
        .store
        .logs(LogFilter {
            user_id: whose(&caller, filter.user_id)?,
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

#[derive(Serialize)]
struct Session {
    session_id: String,
    user_id: Option<i64>,
    username: Option<String>,
    start_time: Timestamp,
    end_time: Option<Timestamp>,
    is_active: bool,
    ip_address: String,
    user_agent: Option<String>,
    activity_count: i64,
    last_seen: Timestamp,
}

impl From<SessionRow> for Session {
    fn from(row: SessionRow) -> Self {
        Self {
            session_id: row.session_id,
            user_id: row.user_id,
            username: row.username,
            start_time: row.start_time,
            end_time: row.end_time,
            is_active: row.is_active,
            ip_address: row.ip,
            user_agent: row.user_agent,
            activity_count: row.activity_count,
            last_seen: row.last_seen,
        }
    }
}

struct Sessions {
    user_id: Option<i64>,
    active_only: bool,
    page: Page,
    form: Form,
}

impl FromFields for Sessions {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self {
            user_id: fields.integer("user_id")?,
            active_only: fields.flag("active_only")?.unwrap_or(false),
            page: Page::from_fields(fields)?,
            form: Form::from_fields(fields)?,
        })
    }
}

async fn sessions(
    Allowed(caller, _): Allowed<LoggedIn>,
    State(app): State<AppState>,
    uri: Uri,
    Query(asked): Query<Sessions>,
) -> Outcome<Response> {
    let page = asked.page;
    let filter = SessionFilter {
        user_id: whose(&caller, asked.user_id)?,
        active_only: asked.active_only,
        limit: page.ask(),
        cursor: page.named()?,
    };
    let mut rows = app.store.log_sessions(filter, app.clock.now()).await?;
    let next = page.cut(&mut rows, |row| (row.start_time, row.session_id.clone()));
    let rows: Vec<Session> = rows.into_iter().map(Session::from).collect();
    let columns = [
        "session_id",
        "user_id",
        "username",
        "start_time",
        "end_time",
        "is_active",
        "ip_address",
        "user_agent",
        "activity_count",
        "last_seen",
    ];
    Ok(paging::link(answer::list(asked.form, "logs/sessions", &columns, &rows), &uri, next.as_deref()))
}

struct Summary {
    user_id: Option<i64>,
    days: i64,
}

impl FromFields for Summary {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self { user_id: fields.integer("user_id")?, days: fields.integer_in("days", 1, 36_500)?.unwrap_or(7) })
    }
}

async fn summary(
    Allowed(caller, _): Allowed<LoggedIn>,
    State(app): State<AppState>,
    Query(Summary { user_id, days }): Query<Summary>,
) -> Outcome<Response> {
    let since = app.clock.now().plus(-days * DAY);
    let counts = app.store.activity_summary(whose(&caller, user_id)?, since).await?;
    let total: i64 = counts.iter().map(|(_, count)| count).sum();
    let by_action_type: BTreeMap<String, i64> = counts.into_iter().collect();
    Ok(answer::seen(&json!({ "period_days": days, "total_activities": total, "by_action_type": by_action_type })))
}
