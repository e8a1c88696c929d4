//! `GET /api/alerts/stream`: changes of alerts as server-sent events.

use std::collections::{HashMap, VecDeque};

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use domain::{SECOND, Timestamp};
use uuid::Uuid;

use super::Evidence;
use crate::auth::rights::{Allowed, SeeAnalytics};
use crate::extract::Query;
use crate::follow::{self, Source};
use crate::openapi::LastEventId;
use crate::problem::Outcome;
use crate::serve::Closing;
use crate::state::AppState;

/// A change may be committed after one that is dated later; so far back is looked again.
const OVERLAP: i64 = 5 * SECOND;

struct Changes {
    /// The date of the newest change that was sent.
    newest: Timestamp,
    /// What was sent within [`OVERLAP`].
    sent: HashMap<Uuid, Timestamp>,
    evidence: Evidence,
}

/// Changes of alerts as server-sent events.
#[utoipa::path(
    get, path = "/api/alerts/stream", tag = "alerts",
    params(Evidence, LastEventId),
    responses((status = 200, content_type = "text/event-stream", body = String), Allowed<SeeAnalytics>)
)]
pub(super) async fn stream(
    Allowed(caller, _): Allowed<SeeAnalytics>,
    State(app): State<AppState>,
    Query(evidence): Query<Evidence>,
    closing: Option<Extension<Closing>>,
    headers: HeaderMap,
) -> Outcome<Response> {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let last = last
        .and_then(|text| text.split_once('.'))
        .and_then(|(at, id)| Some((Timestamp::from_micros(at.parse().ok()?), id.parse::<Uuid>().ok()?)));
    let changes = match last {
        Some((at, id)) => Changes { newest: at, sent: HashMap::from([(id, at)]), evidence },
        None => {
            let mut changes = Changes { newest: app.clock.now(), sent: HashMap::new(), evidence };
            // Without a last event the stream begins now: what is older than that counts as sent.
            changes.look(&app).await?;
            changes
        }
    };
    Ok(follow::answer(app, &caller, closing, changes))
}

impl Source for Changes {
    const NAME: &'static str = "alerts";

    /// Makes events of the changes that were not sent.
    async fn look(&mut self, app: &AppState) -> Result<VecDeque<Event>, store::Error> {
        let mut ready = VecDeque::new();
        let since = self.newest.plus(-OVERLAP);
        let mut place = (since, Uuid::nil());
        loop {
            let rows = app.store.alerts_changed(place, 500).await?;
            let full = rows.len() == 500;
            for row in rows {
                let (id, at) = (row.alert.alert_id, row.updated_at);
                place = (at, id);
                self.newest = self.newest.max(at);
                if self.sent.get(&id) == Some(&at) {
                    continue;
                }
                self.sent.insert(id, at);
                let event = Event::default().event("alert").id(format!("{}.{id}", at.micros()));
                match event.json_data(self.evidence.view(row)) {
                    Ok(event) => ready.push_back(event),
                    Err(error) => tracing::error!(%error, "an alert cannot be written as JSON"),
                }
            }
            if !full {
                break;
            }
        }
        let kept = self.newest.plus(-OVERLAP);
        self.sent.retain(|_, at| *at >= kept);
        Ok(ready)
    }
}
