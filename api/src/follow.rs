//! Streams of server-sent events: read by `fetch`, which can send the `Authorization` header; no token ever goes into an
//! address. A stream ends with its session, and when the server does.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use axum::Extension;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use domain::{SECOND, Timestamp};
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::auth::caller::Caller;
use crate::serve::Closing;
use crate::state::AppState;

/// How often something new is looked for.
const POLL: Duration = Duration::from_millis(250);
/// How often the session is looked at.
const CHECK: i64 = 5 * SECOND;

/// Where the events of a stream come from.
pub(crate) trait Source: Send + 'static {
    /// What it streams, for the log.
    const NAME: &'static str;

    /// The events since the last look, oldest first.
    fn look(&mut self, app: &AppState) -> impl Future<Output = Result<VecDeque<Event>, store::Error>> + Send;
}

struct Following<S> {
    app: AppState,
    session: String,
    checked: Timestamp,
    ready: VecDeque<Event>,
    source: S,
}

/// The answer that streams what a source has, from now on.
pub(crate) fn answer<S: Source>(
    app: AppState,
    caller: &Caller,
    closing: Option<Extension<Closing>>,
    source: S,
) -> Response {
    let (session, checked) = (caller.session_id.to_string(), app.clock.now());
    let following = Following { app, session, checked, ready: VecDeque::new(), source };
    let closing = closing.map_or_else(CancellationToken::new, |Extension(Closing(token))| token);
    let events = stream::unfold(following, |mut following| async move {
        let event = following.next().await?;
        Some((Ok::<Event, Infallible>(event), following))
    });
    let events = events.take_until(closing.cancelled_owned());
    let alive = KeepAlive::new().interval(Duration::from_secs(15));
    Sse::new(events).keep_alive(alive).into_response()
}

impl<S: Source> Following<S> {
    /// The next event; `None` ends the stream. The client comes back with its last event id, so nothing is missed.
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
                        tracing::warn!(%error, stream = S::NAME, "a stream ends: its session cannot be checked");
                        return None;
                    }
                }
            }
            match self.source.look(&self.app).await {
                Ok(events) => self.ready = events,
                Err(error) => {
                    tracing::warn!(%error, stream = S::NAME, "a stream ends: the database cannot be read");
                    return None;
                }
            }
            if self.ready.is_empty() {
                tokio::time::sleep(POLL).await;
            }
        }
    }
}
