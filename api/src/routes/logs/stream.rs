//! `GET /api/logs/stream`: new activities as server-sent events, for those who watch.
//!
//! A feed for eyes, not an export: of what comes faster than can be read, the newest are sent, and how many were left
//! out. Everything is in `GET /api/logs/`.

use std::collections::{BTreeSet, VecDeque};

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use serde_json::json;

use super::Log;
use crate::auth::rights::{Allowed, SeeAnalytics};
use crate::extract::{Fields, FromFields, Query};
use crate::follow::{self, Source};
use crate::openapi::LastEventId;
use crate::problem::Outcome;
use crate::serve::Closing;
use crate::state::AppState;

/// Rows of one look, four looks a second.
const MOST: i64 = 50;
/// Rows are committed out of the order of their ids where several write; so far below the highest is looked again.
const OVERLAP: i64 = 1_000;

/// Whether rows of the kind `system` and reads of logs are wanted too, as in the list.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Rows of the kind `system` and reads of logs too (false).
    #[param(value_type = Option<bool>)]
    all: bool,
}

impl FromFields for Wanted {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self { all: fields.flag("all")?.unwrap_or(false) })
    }
}

struct Tail {
    all: bool,
    /// Rows up to this one are done with.
    floor: i64,
    /// The highest that was seen.
    newest: i64,
    /// Rows above the floor that are done with.
    done: BTreeSet<i64>,
}

/// New activities as server-sent events.
#[utoipa::path(
    get, path = "/api/logs/stream", tag = "logs",
    params(Wanted, LastEventId),
    responses((status = 200, content_type = "text/event-stream", body = String), Allowed<SeeAnalytics>)
)]
pub(super) async fn stream(
    Allowed(caller, _): Allowed<SeeAnalytics>,
    State(app): State<AppState>,
    closing: Option<Extension<Closing>>,
    headers: HeaderMap,
    Query(Wanted { all }): Query<Wanted>,
) -> Outcome<Response> {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
    let newest = app.store.newest_log_id().await?;
    // An id that is not ours, or of a database before this one, begins now.
    let from = last.filter(|id| (0..=newest).contains(id)).unwrap_or(newest);
    let floor = (from - OVERLAP).max(0);
    // What stands below the place to go on from was sent, or lay before the stream.
    let done = (floor + 1..=from).collect();
    let tail = Tail { all, floor, newest: from, done };
    Ok(follow::answer(app, &caller, closing, tail))
}

impl Source for Tail {
    const NAME: &'static str = "logs";

    async fn look(&mut self, app: &AppState) -> Result<VecDeque<Event>, store::Error> {
        let limit = 2 * OVERLAP;
        let seen = app.store.log_ids_after(self.floor, limit).await?;
        let jump = seen.len() as i64 == limit;
        let mut fresh: Vec<i64> = seen.into_iter().filter(|id| !self.done.contains(id)).collect();
        let Some(highest) = fresh.last().copied() else { return Ok(VecDeque::new()) };
        let left_out = match (fresh.first(), jump) {
            // There were more than were looked at: those between are counted by their ids, which is near enough here.
            (Some(first), true) => (first - self.newest - 1).max(0),
            _ => 0,
        };
        self.done.extend(&fresh);
        self.newest = self.newest.max(highest);
        self.floor = self.floor.max(self.newest - OVERLAP);
        self.done = self.done.split_off(&(self.floor + 1));
        let surplus = fresh.len().saturating_sub(usize::try_from(MOST).unwrap_or_default());
        fresh.drain(..surplus);
        let left_out = left_out + i64::try_from(surplus).unwrap_or(i64::MAX);
        let mut ready = VecDeque::new();
        if left_out > 0 {
            push(&mut ready, Event::default().event("skipped"), &json!({ "left_out": left_out }));
        }
        for row in app.store.logs_by_ids(&fresh, self.all).await? {
            let event = Event::default().event("activity").id(row.log_id.to_string());
            push(&mut ready, event, &Log::from(row));
        }
        Ok(ready)
    }
}

fn push(ready: &mut VecDeque<Event>, event: Event, data: &impl serde::Serialize) {
    match event.json_data(data) {
        Ok(event) => ready.push_back(event),
        Err(error) => tracing::error!(%error, "an activity cannot be written as JSON"),
    }
}
