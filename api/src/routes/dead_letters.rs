//! `/api/dead-letters`: records that could not be taken, with the reason.

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::get;
use domain::Timestamp;
use serde::Serialize;

use super::both;
use crate::answer::{self, Form};
use crate::auth::rights::{Administer, Allowed};
use crate::extract::{Fields, FromFields, Query};
use crate::paging::{self, Page};
use crate::problem::Outcome;
use crate::state::AppState;

pub(crate) fn routes() -> Router<AppState> {
    both(Router::new(), "/api/dead-letters", get(list))
}

#[derive(Serialize)]
struct DeadLetter {
    id: i64,
    topic: String,
    partition: i64,
    offset: i64,
    reason: String,
    payload: String,
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
