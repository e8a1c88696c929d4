//! `/api/exceptions`: what is known and accepted for a while. The engine goes on counting.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::{DAY, LogType, Timestamp, username_key};
use serde::Serialize;
use serde_json::Value;
use store::{ExceptionRow, NewException};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::both;
use crate::answer::{self, Done, Form};
use crate::auth::caller::Caller;
use crate::auth::rights::{Administer, Allowed};
use crate::extract::{Body, Fields, FromFields, PathId, Query};
use crate::net;
use crate::openapi::changed;
use crate::problem::{Outcome, Problem};
use crate::state::AppState;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    let router = both(OpenApiRouter::new(), routes!(list, create, end_named));
    both(router, routes!(end))
}

/// How long an exception may hold.
const LONGEST: i64 = 365 * DAY;

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Exception, example = json!({
    "exception_id": 4, "rule_id": "5f0c1f9e-3c55-4a5e-9d2c-9f5f3c1d0a02", "key": { "user": "ann" },
    "until": "2026-03-31T22:00:00.000000Z", "reason": "The yearly stocktaking.", "created_by": "admin",
    "created_at": "2026-03-01T08:15:00.000000Z", "suppressed": 2
}))]
struct View {
    exception_id: i64,
    rule_id: String,
    key: BTreeMap<String, String>,
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
    reason: String,
    created_by: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// How many alerts it has kept out of the queue.
    suppressed: i64,
}

impl From<ExceptionRow> for View {
    fn from(row: ExceptionRow) -> Self {
        let NewException { rule_id, key, until, reason, by_user } = row.exception;
        Self {
            exception_id: row.exception_id,
            rule_id,
            key,
            until,
            reason,
            created_by: by_user,
            created_at: row.created_at,
            suppressed: row.suppressed,
        }
    }
}

#[derive(utoipa::ToSchema)]
#[schema(as = ExceptionMembers, example = json!({
    "rule_id": "5f0c1f9e-3c55-4a5e-9d2c-9f5f3c1d0a02", "key": { "user": "ann" }, "until": "2026-03-31T22:00:00Z",
    "reason": "The yearly stocktaking."
}))]
struct Members {
    #[schema(min_length = 1, max_length = 100)]
    rule_id: String,
    /// Of whom: a user, a session or an address, and none of the caller's.
    key: BTreeMap<String, String>,
    /// Ahead, at most 365 days.
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
    #[schema(min_length = 1, max_length = 2_000)]
    reason: String,
}

impl FromFields for Members {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self {
            rule_id: fields.required("rule_id", 100)?,
            key: key(fields.raw("key"))?,
            until: fields.time("until")?.ok_or_else(|| Problem::field("until", "until is required"))?,
            reason: fields.required("reason", 2_000)?,
        })
    }
}

fn key(value: Option<&Value>) -> Outcome<BTreeMap<String, String>> {
    let bad = || Problem::field("key", r#"key must be an object of texts, such as {"user": "mallory"}"#);
    let Some(Value::Object(members)) = value else { return Err(bad()) };
    if members.is_empty() || members.len() > 10 {
        return Err(bad());
    }
    let texts = members.iter().map(|(name, value)| match value {
        Value::String(text) if !text.is_empty() && !text.contains('\0') => Ok((name.clone(), text.clone())),
        Value::Number(number) => Ok((name.clone(), number.to_string())),
        _ => Err(bad()),
    });
    texts.collect()
}

changed!(ExceptionChanged { exception: View });

/// Whether alerts about the caller would be kept out: nobody switches off the watch on themselves.
fn covers(caller: &Caller, key: &BTreeMap<String, String>) -> bool {
    let value = |names: &[&str]| names.iter().find_map(|name| key.get(*name));
    if let Some(user) = value(&["user", "username"]) {
        return username_key(user) == caller.user.username_key;
    }
    if let Some(session) = value(&["session_id", "session"]) {
        return **session == *caller.session_id;
    }
    match value(&["source_ip", "ip"]) {
        Some(ip) => ip.parse().is_ok_and(|ip| net::source(ip) == net::source(caller.origin.ip)),
        None => true,
    }
}

/// The exceptions that hold.
#[utoipa::path(
    get, path = "/api/exceptions", tag = "exceptions",
    params(Form),
    responses((status = 200, body = [View]), Allowed<Administer>)
)]
async fn list(_: Allowed<Administer>, State(app): State<AppState>, Query(form): Query<Form>) -> Outcome<Response> {
    let rows = app.store.exceptions(app.clock.now()).await?;
    let rows: Vec<View> = rows.into_iter().map(View::from).collect();
    let columns = ["exception_id", "rule_id", "key", "until", "reason", "created_by", "created_at", "suppressed"];
    Ok(answer::list(form, "exceptions", &columns, &rows))
}

/// Makes an exception of a rule.
#[utoipa::path(
    post, path = "/api/exceptions", tag = "exceptions",
    request_body = Members,
    responses((status = 201, body = ExceptionChanged), Allowed<Administer>)
)]
async fn create(
    Allowed(caller, _): Allowed<Administer>,
    State(app): State<AppState>,
    Body(members): Body<Members>,
) -> Outcome<Response> {
    let now = app.clock.now();
    if members.until <= now || members.until.since(now) > LONGEST {
        return Err(Problem::field("until", "until must lie ahead, at most 365 days"));
    }
    let known = app.hooks.rules.as_array().is_none_or(|rules| rules.iter().any(|rule| rule["id"] == members.rule_id));
    if !known {
        return Err(Problem::field("rule_id", "rule_id must be the id of an active rule; see /api/rules"));
    }
    if covers(&caller, &members.key) {
        let refusal = "An exception must name a user, a session or an address, and none of yours.";
        return Err(Problem::forbidden(refusal).with_reason("own_exception"));
    }
    let Members { rule_id, key, until, reason } = members;
    let new = NewException { rule_id, key, until, reason, by_user: caller.user.username.clone() };
    let keep = answer::Keep::new();
    let journal = move |row: &ExceptionRow| {
        keep.changed(StatusCode::CREATED, "Exception created successfully", "exception", &View::from(row.clone()));
        let resource = format!("exceptions/{}", row.exception_id);
        let mut activity = caller.activity("Admin", &resource, LogType::System);
        let NewException { rule_id, until, reason, .. } = &row.exception;
        activity.detail = Some(format!("Made an exception of rule {rule_id} until {until}: {reason}"));
        activity.attributes.insert("rule_id".into(), rule_id.clone().into());
        activity
    };
    let row = app.store.create_exception(new, journal).await?;
    Ok(answer::changed(StatusCode::CREATED, "Exception created successfully", "exception", &View::from(row)))
}

/// Ends an exception.
#[utoipa::path(
    delete, path = "/api/exceptions/{exception_id}", tag = "exceptions",
    params(("exception_id" = i32, Path, description = "The exception")),
    responses((status = 200, body = Done), Allowed<Administer>)
)]
async fn end(
    Allowed(caller, _): Allowed<Administer>,
    State(app): State<AppState>,
    PathId(id): PathId,
) -> Outcome<Response> {
    ended(&app, &caller, id).await
}

struct Named(i64);

/// Which exception.
#[derive(utoipa::ToSchema)]
#[schema(example = json!({ "exception_id": 4 }))]
#[expect(dead_code, reason = "describes what `Named` reads")]
struct ExceptionNamed {
    exception_id: i32,
}

impl FromFields for Named {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        let id = fields.integer("exception_id")?;
        id.map(Self).ok_or_else(|| Problem::field("exception_id", "exception_id is required"))
    }
}

/// Ends the exception that the body names.
#[utoipa::path(
    delete, path = "/api/exceptions", tag = "exceptions",
    request_body = ExceptionNamed,
    responses(
        (status = 200, body = Done),
        (status = 404, description = "There is no such exception."),
        Allowed<Administer>
    )
)]
async fn end_named(
    Allowed(caller, _): Allowed<Administer>,
    State(app): State<AppState>,
    Body(Named(id)): Body<Named>,
) -> Outcome<Response> {
    ended(&app, &caller, id).await
}

async fn ended(app: &AppState, caller: &Caller, id: i64) -> Outcome<Response> {
    let mut activity = caller.activity("Admin", &format!("exceptions/{id}"), LogType::System);
    activity.detail = Some(format!("Ended exception {id}"));
    app.store.end_exception(id, activity).await.map_err(|error| match error {
        store::Error::NotFound => Problem::not_found("Exception not found").with_reason("not_found"),
        other => other.into(),
    })?;
    Ok(answer::changed(StatusCode::OK, "Exception ended successfully", "exception", &Value::Null))
}
