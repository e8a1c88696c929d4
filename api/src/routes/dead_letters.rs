//! `/api/dead-letters`: records that could not be taken, with the reason.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use domain::Timestamp;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::both;
use crate::answer::{self, Form};
use crate::auth::rights::{Administer, Allowed};
use crate::extract::{Fields, FromFields, Query};
use crate::paging::{self, Page};
use crate::problem::Outcome;
use crate::state::AppState;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    both(OpenApiRouter::new(), routes!(list))
}

/// A record that could not be taken.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "id": 2, "topic": "activity.in", "partition": 0, "offset": 1041, "reason": "action: is missing",
    "payload": "{\"user\":\"ann\"}", "at": "2026-03-01T08:15:00.000000Z"
}))]
struct DeadLetter {
    id: i64,
    topic: String,
    partition: i64,
    offset: i64,
    reason: String,
    payload: String,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

struct Filter {
    page: Page,
    form: Form,
}

impl FromFields for Filter {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self { page: Page::from_fields(fields)?, form: Form::from_fields(fields)? })
    }
}

/// Records that could not be taken, and why.
#[utoipa::path(
    get, path = "/api/dead-letters", tag = "system",
    params(Page, Form),
    responses((status = 200, body = [DeadLetter]), Allowed<Administer>)
)]
async fn list(
    _: Allowed<Administer>,
    State(app): State<AppState>,
    uri: Uri,
    Query(Filter { page, form }): Query<Filter>,
) -> Outcome<Response> {
    let before = page.numbered()?.map(|cursor| cursor.id);
    let mut rows = app.store.dead_letters(before, page.ask()).await?;
    let next = page.cut(&mut rows, |row| (row.at, row.id.to_string()));
    let rows: Vec<DeadLetter> = rows
        .into_iter()
        .map(|row| DeadLetter {
            id: row.id,
            topic: row.topic,
            partition: row.partition,
            offset: row.offset,
            reason: row.reason,
            payload: row.payload,
            at: row.at,
        })
        .collect();
    let columns = ["id", "topic", "partition", "offset", "reason", "payload", "at"];
    Ok(paging::link(answer::list(form, "dead-letters", &columns, &rows), &uri, next.as_deref()))
}
