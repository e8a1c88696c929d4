//! `/api/webhooks/{webhook_id}/deliveries`: what was told, what waits, what was given up.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use domain::Timestamp;
use serde::Serialize;
use serde_json::Value;
use store::{DeliveryRow, DeliveryState};
use uuid::Uuid;

use super::{act, missing};
use crate::answer::{self, Done, Form};
use crate::auth::rights::{Administer, Allowed};
use crate::extract::{Fields, FromFields, PathId, PathIds, Query};
use crate::paging::{self, Page};
use crate::problem::{Outcome, Problem};
use crate::state::AppState;
use crate::words::DeliveryState as DeliveryWord;

/// A message to a webhook, and what became of it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = WebhookDelivery, example = json!({
    "delivery_id": 9, "message_id": "019ca8a4-7a4c-7c31-8b4e-5d2f9a6c1e07", "event": "alert.opened",
    "alert_id": "7d1f8a52-90c1-5c56-9f0e-2f8f3a6d5b11", "revision": 1, "state": "pending", "attempts": 1,
    "next_at": "2026-03-01T08:15:05.000000Z", "attempted_at": "2026-03-01T08:15:00.000000Z", "last_status": 503,
    "last_error": "answered 503 Service Unavailable", "created_at": "2026-03-01T08:15:00.000000Z"
}))]
struct View {
    delivery_id: i64,
    /// The header `webhook-id`: the same with each attempt.
    message_id: Uuid,
    event: String,
    alert_id: Uuid,
    /// The revision of the alert that is told.
    revision: i64,
    #[schema(value_type = DeliveryWord)]
    state: &'static str,
    attempts: i64,
    /// When it is tried next, while it is pending.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    next_at: Option<Timestamp>,
    #[schema(required, value_type = Option<String>, format = DateTime)]
    attempted_at: Option<Timestamp>,
    /// What was answered to the last attempt.
    #[schema(required)]
    last_status: Option<i64>,
    /// Why the last attempt failed, if it did.
    #[schema(required)]
    last_error: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<DeliveryRow> for View {
    fn from(row: DeliveryRow) -> Self {
        Self {
            delivery_id: row.delivery_id,
            message_id: row.message_id,
            event: row.event,
            alert_id: row.alert_id,
            revision: row.revision,
            state: row.state.as_str(),
            attempts: row.attempts,
            next_at: row.next_at,
            attempted_at: row.attempted_at,
            last_status: row.last_status,
            last_error: row.last_error,
            created_at: row.created_at,
        }
    }
}

const COLUMNS: [&str; 12] = [
    "delivery_id",
    "message_id",
    "event",
    "alert_id",
    "revision",
    "state",
    "attempts",
    "next_at",
    "attempted_at",
    "last_status",
    "last_error",
    "created_at",
];

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only messages in this state.
    #[param(inline, value_type = Option<DeliveryWord>)]
    state: Option<DeliveryState>,
    #[param(ignore)]
    page: Page,
    #[param(ignore)]
    form: Form,
}

impl FromFields for Filter {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        let state = match fields.words("state", 20)? {
            None => None,
            Some(word) => Some(
                DeliveryState::from_name(&word.to_ascii_lowercase())
                    .ok_or_else(|| Problem::field("state", "state must be pending, delivered or dead"))?,
            ),
        };
        Ok(Self { state, page: Page::from_fields(fields)?, form: Form::from_fields(fields)? })
    }
}

/// The messages to a webhook, the newest first. Delivered ones are kept for a week, dead ones for 30 days.
#[utoipa::path(
    get, path = "/api/webhooks/{webhook_id}/deliveries", tag = "webhooks",
    params(("webhook_id" = i32, Path, description = "The webhook"), Filter, Page, Form),
    responses((status = 200, body = [View]), Allowed<Administer>)
)]
pub(super) async fn list(
    _: Allowed<Administer>,
    State(app): State<AppState>,
    PathId(id): PathId,
    uri: Uri,
    Query(Filter { state, page, form }): Query<Filter>,
) -> Outcome<Response> {
    let before = page.numbered()?.map(|cursor| cursor.id);
    app.store.webhook(id).await?.ok_or_else(missing)?;
    let mut rows = app.store.webhook_deliveries(id, state, before, page.ask()).await?;
    let next = page.cut(&mut rows, |row| (row.created_at, row.delivery_id.to_string()));
    let rows: Vec<View> = rows.into_iter().map(View::from).collect();
    let resource = format!("webhooks/{id}/deliveries");
    Ok(paging::link(answer::list(form, &resource, &COLUMNS, &rows), &uri, next.as_deref()))
}

/// Has a message that was given up tried again, for as long as a new one.
#[utoipa::path(
    post, path = "/api/webhooks/{webhook_id}/deliveries/{delivery_id}/retry", tag = "webhooks",
    params(
        ("webhook_id" = i32, Path, description = "The webhook"),
        ("delivery_id" = i32, Path, description = "The delivery")
    ),
    responses(
        (status = 200, body = Done),
        (status = 409, description = "It was not given up."),
        Allowed<Administer>
    )
)]
pub(super) async fn retry(
    Allowed(caller, _): Allowed<Administer>,
    State(app): State<AppState>,
    PathIds([webhook_id, delivery_id]): PathIds<2>,
) -> Outcome<Response> {
    let mut activity = act(&caller, webhook_id, format!("Sent delivery {delivery_id} of webhook {webhook_id} again"));
    activity.resource = Some(format!("webhooks/{webhook_id}/deliveries/{delivery_id}"));
    app.store.retry_delivery(webhook_id, delivery_id, activity).await.map_err(|error| match error {
        store::Error::NotFound => Problem::not_found("Delivery not found").with_reason("not_found"),
        store::Error::Conflict(sentence) => Problem::conflict(sentence),
        other => other.into(),
    })?;
    Ok(answer::changed(StatusCode::OK, "Delivery will be sent again", "delivery", &Value::Null))
}
