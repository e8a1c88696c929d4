//! `GET /api/alerts/stream`: changes of alerts as server-sent events.
//!
//! Read by `fetch`, which can send the `Authorization` header; no token ever goes into an address. The stream ends
//! with its session.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use domain::{SECOND, Timestamp};
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::View;
use crate::auth::rights::{Allowed, SeeAnalytics};
use crate::problem::Outcome;
use crate::serve::Closing;
use crate::state::AppState;

/// How often changes are looked for.
const POLL: Duration = Duration::from_millis(250);
/// How often the session is looked at.
const CHECK: i64 = 5 * SECOND;
/// A change may be committed after one that is dated later; so far back is looked again.
const OVERLAP: i64 = 5 * SECOND;

struct Following {
    app: AppState,
    session: String,
    checked: Timestamp,
    /// The date of the newest change that was sent.
    newest: Timestamp,
    /// What was sent within [`OVERLAP`].
    sent: HashMap<Uuid, Timestamp>,
    ready: VecDeque<Event>,
}

/// The handler.
pub(super) async fn stream(
    Allowed(caller, _): Allowed<SeeAnalytics>,
    State(app): State<AppState>,
    closing: Option<Extension<Closing>>,
    headers: HeaderMap,
) -> Outcome<Response> {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let last = last
        .and_then(|text| text.split_once('.'))
        .and_then(|(at, id)| Some((Timestamp::from_micros(at.parse().ok()?), id.parse::<Uuid>().ok()?)));
    let now = app.clock.now();
    let (newest, sent) = match last {
        Some((at, id)) => (at, HashMap::from([(id, at)])),
        None => (now, HashMap::new()),
    };
    // Without a last event the stream begins now: what is older than that counts as sent.
    let mut following =
        Following { app, session: caller.session_id.to_string(), checked: now, newest, sent, ready: VecDeque::new() };
    if last.is_none() {
        following.mark_old().await?;
    }
    let closing = closing.map_or_else(CancellationToken::new, |Extension(Closing(token))| token);
    let events = stream::unfold(following, |mut following| async move {
        let event = following.next().await?;
        Some((Ok::<Event, Infallible>(event), following))
    });
    let events = events.take_until(closing.cancelled_owned());
    let alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(events).keep_alive(alive).into_response())
}

impl Following {
    /// The next event; `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let now = self.app.clock.now();
            if now.since(self.checked) >= CHECK {
                let live = self.app.store.live_session(&self.session, now).await;
                match live {
                    Ok(Some(_)) => self.checked = now,
                    Ok(None) => return None,
                    Err(error) => {
                        // The client comes back with its last event id, so nothing is missed.
                        tracing::warn!(%error, "an alert stream ends: its session cannot be checked");
                        return None;
                    }
                }
            }
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "an alert stream ends: the alerts cannot be read");
                return None;
            }
            if self.ready.is_empty() {
                tokio::time::sleep(POLL).await;
            }
        }
    }

    async fn mark_old(&mut self) -> Outcome<()> {
        self.look().await?;
        self.ready.clear();
        Ok(())
    }

    /// Makes events of the changes that were not sent.
    async fn look(&mut self) -> Result<(), store::Error> {
        let since = self.newest.plus(-OVERLAP);
        let mut place = (since, Uuid::nil());
        loop {
            let rows = self.app.store.alerts_changed(place, 500).await?;
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
                match event.json_data(View::from(row)) {
                    Ok(event) => self.ready.push_back(event),
                    Err(error) => tracing::error!(%error, "an alert cannot be written as JSON"),
                }
            }
            if !full {
                break;
            }
        }
        let kept = self.newest.plus(-OVERLAP);
        self.sent.retain(|_, at| *at >= kept);
        Ok(())
    }
}
