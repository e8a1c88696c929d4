//! `GET /api/logs/sessions`: sessions as the log saw them.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use domain::Timestamp;
use serde::Serialize;
use store::{SessionFilter, SessionRow};

use super::whose;
use crate::answer::{self, Form};
use crate::auth::rights::{Allowed, LoggedIn};
use crate::extract::{Fields, FromFields, Query};
use crate::paging::{self, Page};
use crate::problem::Outcome;
use crate::state::AppState;

/// A session as the log knows it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "session_id": "bm90IGEgc2Vzc2lvbg", "user_id": 6, "username": "ann", "start_time": "2026-03-01T08:00:00.000000Z",
    "end_time": null, "is_active": true, "ip_address": "192.0.2.17", "user_agent": "Mozilla/5.0", "activity_count": 42,
    "last_seen": "2026-03-01T08:15:00.000000Z"
}))]
struct Session {
    session_id: String,
    #[schema(required)]
    user_id: Option<i64>,
    #[schema(required)]
    username: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    start_time: Timestamp,
    #[schema(required, value_type = Option<String>, format = DateTime)]
    end_time: Option<Timestamp>,
    is_active: bool,
    ip_address: String,
    #[schema(required)]
    user_agent: Option<String>,
    activity_count: i64,
    #[schema(value_type = String, format = DateTime)]
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

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Sessions {
    /// Only this user's sessions, by the id of the account.
    #[param(value_type = Option<i32>)]
    user_id: Option<i64>,
    /// A name, also one that no account has.
    #[param(max_length = 255)]
    user: Option<String>,
    /// Only those that go on (false).
    #[param(value_type = Option<bool>)]
    active_only: bool,
    #[param(ignore)]
    page: Page,
    #[param(ignore)]
    form: Form,
}

impl FromFields for Sessions {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self {
            user_id: fields.integer("user_id")?,
            user: fields.words("user", 255)?,
            active_only: fields.flag("active_only")?.unwrap_or(false),
            page: Page::from_fields(fields)?,
            form: Form::from_fields(fields)?,
        })
    }
}

/// Sessions, the newest first.
#[utoipa::path(
    get, path = "/api/logs/sessions", tag = "logs",
    params(Sessions, Page, Form),
    responses((status = 200, body = [Session]), Allowed<LoggedIn>)
)]
pub(super) async fn list(
    Allowed(caller, _): Allowed<LoggedIn>,
    State(app): State<AppState>,
    uri: Uri,
    Query(asked): Query<Sessions>,
) -> Outcome<Response> {
    let page = asked.page;
    let (user_id, user) = whose(&caller, asked.user_id, asked.user)?;
    let filter =
        SessionFilter { user_id, user, active_only: asked.active_only, limit: page.ask(), cursor: page.named()? };
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
