//! `/api/exceptions`: what is known and accepted for a while. The engine goes on counting.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use domain::wire::{MAX_DETAIL, MAX_RESOURCE};
use domain::{Activity, DAY, LogType, Timestamp, network};
use serde::Serialize;
use serde_json::{Map, Value};
use store::{ExceptionRow, NewException};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::both;
use crate::answer::{self, Done, Form};
use crate::auth::caller::Caller;
use crate::auth::rights::{Administer, Allowed};
use crate::extract::{Body, Fields, FromFields, PathId, Query};
use crate::hooks::{KeyPart, Named, NoKey};
use crate::openapi::changed;
use crate::paging::{self, Page};
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
    "created_at": "2026-03-01T08:15:00.000000Z", "ended_at": null, "suppressed": 2
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
    /// When somebody ended it before its time; `null` where nobody did.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
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
            ended_at: row.ended_at,
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
    /// Of whom: a user, a session or an address, and none of the caller's. Parts of the rule's key, under any name of the
    /// schema; an IPv6 address stands for its /64. Alerts are covered whose key has all of them.
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
            reason: fields
                .said("reason", 2_000)?
                .ok_or_else(|| Problem::field("reason", "reason is required: whoever reads this later asks why"))?,
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
        Value::String(text) if text.chars().count() > MAX_RESOURCE => {
            let name = format!("key.{name}");
            Err(Problem::field(&name, format!("{name} must be at most {MAX_RESOURCE} characters long")))
        }
        Value::String(text) if !text.is_empty() && !text.contains('\0') => Ok((name.clone(), text.clone())),
        Value::Number(number) => Ok((name.clone(), number.to_string())),
        _ => Err(bad()),
    });
    texts.collect()
}

/// The key as alerts of the rule have it.
fn key_of_alerts(app: &AppState, rule_id: &str, given: &BTreeMap<String, String>) -> Outcome<Vec<KeyPart>> {
    (app.hooks.alert_key)(rule_id, given).map_err(|fault| match fault {
        NoKey::NoRule => Problem::field("rule_id", "rule_id must be the id of an active rule; see /api/rules"),
        NoKey::NoAlerts => Problem::field(
            "rule_id",
            "rule_id is a building block, which has no alerts of its own; name the rule that is built on it",
        ),
        NoKey::Part(name, why) => {
            let name = format!("key.{name}");
            Problem::field(&name, format!("{name} {why}"))
        }
    })
}

changed!(ExceptionChanged { exception: View });

/// Whether alerts about the caller would be kept out: nobody switches off the watch on themselves, not from another
/// session or address either. Whoever comes to an address later than this is not covered there: the store sees to that.
async fn covers(app: &AppState, caller: &Caller, key: &[KeyPart]) -> Outcome<bool> {
    let value = |names: Named| key.iter().find(|part| part.names == names).map(|part| part.value.as_str());
    let user = &*caller.user;
    if let Some(name) = value(Named::User) {
        return Ok(name == user.username_key);
    }
    if let Some(id) = value(Named::UserId) {
        return Ok(id == user.user_id.to_string());
    }
    if let Some(session) = value(Named::Session) {
        return Ok(*session == *caller.session_id || app.store.is_session_of(session, user).await?);
    }
    let Some(source) = value(Named::Source) else { return Ok(true) };
    let mut own = app.store.live_sources(user.user_id, app.clock.now()).await?;
    own.push(caller.origin.ip);
    Ok(own.into_iter().any(|ip| network(ip) == source))
}

/// The act of making or ending an exception, with all that it says: it can be gone when somebody asks.
fn activity(caller: &Caller, row: &ExceptionRow, did: &str) -> Activity {
    let mut activity = caller.activity("Admin", &format!("exceptions/{}", row.exception_id), LogType::System);
    let NewException { rule_id, key, until, reason, by_user } = &row.exception;
    let whom: Vec<String> = key.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let detail = format!("{did} of rule {rule_id} for {} until {until}: {reason}", whom.join(", "));
    activity.detail = Some(detail.chars().take(MAX_DETAIL).collect());
    let key: Map<String, Value> = key.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let told: [(&str, Value); 5] = [
        ("rule_id", rule_id.clone().into()),
        ("key", key.into()),
        ("until", until.to_string().into()),
        ("reason", reason.clone().into()),
        ("created_by", by_user.clone().into()),
    ];
    activity.attributes.extend(told.map(|(name, value)| (name.to_owned(), value)));
    activity
}

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Those that have ended or expired as well (false).
    #[param(value_type = Option<bool>)]
    all: bool,
    #[param(ignore)]
    page: Page,
    #[param(ignore)]
    form: Form,
}

impl FromFields for Filter {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self {
            all: fields.flag("all")?.unwrap_or(false),
            page: Page::from_fields(fields)?,
            form: Form::from_fields(fields)?,
        })
    }
}

const COLUMNS: [&str; 9] =
    ["exception_id", "rule_id", "key", "until", "reason", "created_by", "created_at", "ended_at", "suppressed"];

/// The exceptions that hold, or all that were ever made; the newest first.
#[utoipa::path(
    get, path = "/api/exceptions", tag = "exceptions",
    params(Filter, Page, Form),
    responses((status = 200, body = [View]), Allowed<Administer>)
)]
async fn list(
    _: Allowed<Administer>,
    State(app): State<AppState>,
    uri: Uri,
    Query(query): Query<Filter>,
) -> Outcome<Response> {
    let standing_at = (!query.all).then(|| app.clock.now());
    let rows = app.store.exceptions(standing_at).await?;
    let (rows, next) = query.page.of_whole(&rows, |row| row.exception_id)?;
    let rows: Vec<View> = rows.iter().cloned().map(View::from).collect();
    Ok(paging::link(answer::list(query.form, "exceptions", &COLUMNS, &rows), &uri, next.as_deref()))
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
    let key = key_of_alerts(&app, &members.rule_id, &members.key)?;
    if covers(&app, &caller, &key).await? {
        let refusal = "An exception must name a user, a session or an address, and none of yours.";
        return Err(Problem::forbidden(refusal).with_reason("own_exception"));
    }
    let Members { rule_id, until, reason, .. } = members;
    let key = key.into_iter().map(|part| (part.name, part.value)).collect();
    let new = NewException { rule_id, key, until, reason, by_user: caller.user.username.clone() };
    let keep = answer::Keep::new();
    let journal = move |row: &ExceptionRow| {
        keep.changed(StatusCode::CREATED, "Exception created successfully", "exception", &View::from(row.clone()));
        activity(&caller, row, "Made an exception")
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
    ended(&app, caller, id).await
}

struct Which(i64);

/// Which exception.
#[derive(utoipa::ToSchema)]
#[schema(example = json!({ "exception_id": 4 }))]
#[expect(dead_code, reason = "describes what `Which` reads")]
struct ExceptionNamed {
    exception_id: i32,
}

impl FromFields for Which {
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
    Body(Which(id)): Body<Which>,
) -> Outcome<Response> {
    ended(&app, caller, id).await
}

async fn ended(app: &AppState, caller: Arc<Caller>, id: i64) -> Outcome<Response> {
    let journal = move |row: &ExceptionRow| activity(&caller, row, "Ended the exception");
    app.store.end_exception(id, journal).await.map_err(|error| match error {
        store::Error::NotFound => Problem::not_found("Exception not found").with_reason("not_found"),
        other => other.into(),
    })?;
    Ok(answer::changed(StatusCode::OK, "Exception ended successfully", "exception", &Value::Null))
}
