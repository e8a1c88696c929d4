//! `/api/webhooks`: where alerts are told over HTTP. Address and secret are written, and never read again.

mod deliveries;
mod members;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::{LogType, Severity, Timestamp};
use serde::Serialize;
use serde_json::Value;
use store::{NewWebhook, WebhookChange, WebhookRow};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::members::{Changes, Members};
use super::both;
use crate::answer::{self, Done, Form};
use crate::auth::caller::Caller;
use crate::auth::rights::{Administer, Allowed};
use crate::extract::{Body, PathId, Query};
use crate::gate::Note;
use crate::hooks::Webhooks;
use crate::openapi::changed;
use crate::problem::{Outcome, Problem};
use crate::state::AppState;
use crate::words::{QueueSeverity, WebhookFormat};

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    let router = both(OpenApiRouter::new(), routes!(list, create));
    let router = both(router, routes!(one, update, remove));
    let router = both(router, routes!(rotate));
    let router = both(router, routes!(test));
    let router = both(router, routes!(deliveries::list));
    both(router, routes!(deliveries::retry))
}

/// A webhook, without its secret and without what may be secret of its address.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Webhook, example = json!({
    "webhook_id": 1, "name": "on-call", "url": "https://hooks.slack.com/…", "format": "slack", "minimum_severity": "High",
    "enabled": true, "disabled_reason": null, "created_by": "admin", "created_at": "2026-03-01T08:15:00.000000Z",
    "failing_since": "2026-03-01T09:00:00.000000Z", "last_error": "answered 503 Service Unavailable",
    "last_success_at": "2026-03-01T08:45:00.000000Z", "pending": 1, "dead": 0
}))]
struct View {
    webhook_id: i64,
    name: String,
    /// As far as people may see it: path and query of many receivers are their secret.
    url: String,
    #[schema(value_type = WebhookFormat)]
    format: &'static str,
    /// Alerts below it are not told.
    #[schema(value_type = QueueSeverity)]
    minimum_severity: Severity,
    enabled: bool,
    /// Why it is not enabled.
    #[schema(required)]
    disabled_reason: Option<String>,
    created_by: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Since when no attempt has succeeded.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    failing_since: Option<Timestamp>,
    /// Why the last attempt failed, if it did.
    #[schema(required)]
    last_error: Option<String>,
    #[schema(required, value_type = Option<String>, format = DateTime)]
    last_success_at: Option<Timestamp>,
    /// Messages that wait to be delivered.
    pending: i64,
    /// Messages that were given up.
    dead: i64,
}

const COLUMNS: [&str; 14] = [
    "webhook_id",
    "name",
    "url",
    "format",
    "minimum_severity",
    "enabled",
    "disabled_reason",
    "created_by",
    "created_at",
    "failing_since",
    "last_error",
    "last_success_at",
    "pending",
    "dead",
];

impl From<WebhookRow> for View {
    fn from(row: WebhookRow) -> Self {
        let WebhookRow { webhook_id, name, shown_url, format, minimum_severity, enabled, disabled_reason, .. } = row;
        Self {
            webhook_id,
            name,
            url: shown_url,
            format: format.as_str(),
            minimum_severity,
            enabled,
            disabled_reason,
            created_by: row.created_by,
            created_at: row.created_at,
            failing_since: row.failing_since,
            last_error: row.last_error,
            last_success_at: row.last_success_at,
            pending: row.pending,
            dead: row.dead,
        }
    }
}

changed!(WebhookChanged { webhook: View });

/// A webhook with its secret, which is shown once.
#[derive(Serialize, utoipa::ToSchema)]
struct WebhookSecret {
    message: &'static str,
    /// Signs the messages, as Standard Webhooks has it.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: String,
    webhook: View,
}

/// What came of a test.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = WebhookTested)]
struct Tested {
    /// Whether the receiver took the message: it answered 2xx.
    #[schema(example = true)]
    delivered: bool,
    /// What it answered, if it did.
    #[schema(required, example = 204)]
    status: Option<u16>,
    /// Why that is no success, such as `no answer within 15 s`.
    #[schema(required, example = json!(null))]
    error: Option<String>,
    #[schema(example = 84)]
    took_ms: u64,
}

fn missing() -> Problem {
    Problem::not_found("Webhook not found").with_reason("not_found")
}

fn refused(error: store::Error) -> Problem {
    match error {
        store::Error::NotFound => missing(),
        store::Error::Duplicate => Problem::conflict("A webhook of this name exists already"),
        store::Error::Conflict(sentence) => Problem::conflict(sentence),
        other => other.into(),
    }
}

fn sender(app: &AppState) -> Outcome<&Webhooks> {
    let missing = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Webhooks are not available on this server.");
    app.hooks.webhooks.as_ref().ok_or_else(missing)
}

/// An answer that holds a secret: it is written down nowhere.
fn told_once(status: StatusCode, message: &'static str, secret: String, row: WebhookRow) -> Response {
    let body = WebhookSecret { message, secret, webhook: View::from(row) };
    answer::recorded(answer::ordered(status, &body))
}

fn act(caller: &Caller, webhook_id: i64, detail: String) -> domain::Activity {
    let mut activity = caller.activity("Admin", &format!("webhooks/{webhook_id}"), LogType::System);
    activity.detail = Some(detail);
    activity
}

/// The webhooks, without their secrets.
#[utoipa::path(
    get, path = "/api/webhooks", tag = "webhooks",
    params(Form),
    responses((status = 200, body = [View]), Allowed<Administer>)
)]
async fn list(_: Allowed<Administer>, State(app): State<AppState>, Query(form): Query<Form>) -> Outcome<Response> {
    let rows: Vec<View> = app.store.webhooks().await?.into_iter().map(View::from).collect();
    Ok(answer::list(form, "webhooks", &COLUMNS, &rows))
}

/// Makes a webhook; its secret is shown only now.
#[utoipa::path(
    post, path = "/api/webhooks", tag = "webhooks",
    request_body = Members,
    responses(
        (status = 201, body = WebhookSecret),
        (status = 409, description = "The name is taken, or there are as many as there may be."),
        Allowed<Administer>
    )
)]
async fn create(
    Allowed(caller, _): Allowed<Administer>,
    State(app): State<AppState>,
    Body(members): Body<Members>,
) -> Outcome<Response> {
    let hooks = sender(&app)?;
    let (url, shown_url) = (hooks.check)(&members.url).map_err(|sentence| Problem::field("url", sentence))?;
    let secret = (hooks.new_secret)();
    let Members { name, format, minimum_severity, .. } = members;
    let new = NewWebhook {
        name,
        url,
        shown_url,
        format,
        secret: secret.clone(),
        minimum_severity,
        created_by: caller.user.username.clone(),
    };
    let journal = move |row: &WebhookRow| {
        let WebhookRow { webhook_id, name, shown_url, format, minimum_severity, .. } = row;
        let format = format.as_str();
        let to = format!("to {shown_url} ({format}), alerts from {minimum_severity} on");
        act(&caller, *webhook_id, format!("Created webhook {name} {to}"))
    };
    let row = app.store.create_webhook(new, journal).await.map_err(refused)?;
    Ok(told_once(StatusCode::CREATED, "Webhook created successfully; its secret is shown only now", secret, row))
}

/// One webhook.
#[utoipa::path(
    get, path = "/api/webhooks/{webhook_id}", tag = "webhooks",
    params(("webhook_id" = i32, Path, description = "The webhook")),
    responses((status = 200, body = View), Allowed<Administer>)
)]
async fn one(_: Allowed<Administer>, State(app): State<AppState>, PathId(id): PathId) -> Outcome<Response> {
    let row = app.store.webhook(id).await?.ok_or_else(missing)?;
    Ok(answer::seen(&View::from(row)))
}

/// Changes a webhook. One that is enabled again goes on with the messages that have waited.
#[utoipa::path(
    patch, path = "/api/webhooks/{webhook_id}", tag = "webhooks",
    params(("webhook_id" = i32, Path, description = "The webhook")),
    request_body = Changes,
    responses(
        (status = 200, body = WebhookChanged),
        (status = 409, description = "The name is taken."),
        Allowed<Administer>
    )
)]
async fn update(
    Allowed(caller, _): Allowed<Administer>,
    State(app): State<AppState>,
    PathId(id): PathId,
    Body(changes): Body<Changes>,
) -> Outcome<Response> {
    let old = app.store.webhook(id).await?.ok_or_else(missing)?;
    if changes.format.is_some_and(|format| format != old.format) {
        let error = "format cannot be changed; make another webhook for it";
        return Err(Problem::field("format", error));
    }
    let url = match &changes.url {
        Some(url) => Some((sender(&app)?.check)(url).map_err(|sentence| Problem::field("url", sentence))?),
        None => None,
    };
    let by = format!("by {}", caller.user.username);
    let change = WebhookChange {
        name: changes.name.filter(|name| *name != old.name),
        url,
        minimum_severity: changes.minimum_severity.filter(|minimum| *minimum != old.minimum_severity),
        enabled: changes.enabled.filter(|on| *on != old.enabled).map(|on| if on { Ok(()) } else { Err(by) }),
    };
    let activity = described(&caller, &old, &change);
    let row = app.store.update_webhook(id, change, activity).await.map_err(refused)?;
    Ok(answer::changed(StatusCode::OK, "Webhook updated successfully", "webhook", &View::from(row)))
}

fn described(caller: &Caller, old: &WebhookRow, change: &WebhookChange) -> domain::Activity {
    let mut changed = Vec::new();
    if let Some(name) = &change.name {
        changed.push(format!("name {name}"));
    }
    if let Some((_, shown)) = &change.url {
        changed.push(format!("url {shown}"));
    }
    if let Some(minimum) = change.minimum_severity {
        changed.push(format!("alerts from {minimum} on"));
    }
    match change.enabled {
        Some(Ok(())) => changed.push("enabled".to_owned()),
        Some(Err(_)) => changed.push("disabled".to_owned()),
        None => {}
    }
    let what = if changed.is_empty() { "nothing".to_owned() } else { changed.join(", ") };
    act(caller, old.webhook_id, format!("Updated webhook {}: {what}", old.name))
}

/// Gives a webhook another secret, shown only now. For a day the old one signs as well.
#[utoipa::path(
    post, path = "/api/webhooks/{webhook_id}/rotate-secret", tag = "webhooks",
    params(("webhook_id" = i32, Path, description = "The webhook")),
    responses(
        (status = 200, body = WebhookSecret),
        (status = 409, description = "It was changed within a day: the one before it still signs."),
        Allowed<Administer>
    )
)]
async fn rotate(
    Allowed(caller, _): Allowed<Administer>,
    State(app): State<AppState>,
    PathId(id): PathId,
) -> Outcome<Response> {
    let old = app.store.webhook(id).await?.ok_or_else(missing)?;
    let secret = (sender(&app)?.new_secret)();
    let activity = act(&caller, id, format!("Gave webhook {} another secret", old.name));
    let row = app.store.rotate_webhook_secret(id, secret.clone(), activity).await.map_err(refused)?;
    Ok(told_once(StatusCode::OK, "Secret changed successfully; it is shown only now", secret, row))
}

/// Sends one message now, and says what came back. A webhook that is not enabled can be tested as well.
#[utoipa::path(
    post, path = "/api/webhooks/{webhook_id}/test", tag = "webhooks",
    params(("webhook_id" = i32, Path, description = "The webhook")),
    responses((status = 200, body = Tested), Allowed<Administer>)
)]
async fn test(_: Allowed<Administer>, State(app): State<AppState>, PathId(id): PathId) -> Outcome<Response> {
    let hooks = sender(&app)?;
    let row = app.store.webhook(id).await?.ok_or_else(missing)?;
    let target = app.store.webhook_target(id).await?.ok_or_else(missing)?;
    let Some(tested) = (hooks.test)(target, row.name.clone()).await else {
        return Err(Problem::overloaded("Several webhooks are being tested already; try again in a moment."));
    };
    let told = match (&tested.error, tested.status) {
        (None, Some(status)) => format!("answered {status}"),
        (error, _) => error.clone().unwrap_or_default(),
    };
    let took_ms = u64::try_from(tested.took.as_millis()).unwrap_or(u64::MAX);
    let view = Tested { delivered: tested.error.is_none(), status: tested.status, error: tested.error, took_ms };
    let mut response = answer::seen(&view);
    let detail = Some(format!("Tested webhook {}: {told}", row.name));
    response.extensions_mut().insert(Note { detail, ..Note::default() });
    Ok(response)
}

/// Removes a webhook with its deliveries.
#[utoipa::path(
    delete, path = "/api/webhooks/{webhook_id}", tag = "webhooks",
    params(("webhook_id" = i32, Path, description = "The webhook")),
    responses((status = 200, body = Done), Allowed<Administer>)
)]
async fn remove(
    Allowed(caller, _): Allowed<Administer>,
    State(app): State<AppState>,
    PathId(id): PathId,
) -> Outcome<Response> {
    let old = app.store.webhook(id).await?.ok_or_else(missing)?;
    let activity = act(&caller, id, format!("Deleted webhook {} to {}", old.name, old.shown_url));
    app.store.delete_webhook(id, activity).await.map_err(refused)?;
    Ok(answer::changed(StatusCode::OK, "Webhook deleted successfully", "webhook", &Value::Null))
}
