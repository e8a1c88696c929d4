//! The gate: every route behind it has an identity, and every request through it leaves exactly one activity, durable
//! before the answer.
//!
//! A handler that changes something journals its activity in the transaction of the change and says so with
//! [`Recorded`]. For everything else the gate writes it: what was seen (with the [`Note`] of the handler), what was
//! refused, what did not exist. A 429 and a 5xx leave none: nothing was done. A 401 leaves none either, for nobody is
//! known who acted, except where a live session is named that is not the token's.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::trace::{TRACEPARENT, is_traceparent};
use domain::{Activity, Outcome as Ending};
use tracing::Instrument;

use crate::attempt::Attempt;
use crate::auth::caller::{Identity, Origin, bearer, identify};
use crate::config::Peer;
use crate::problem::Problem;
use crate::shell::{RequestId, Who};
use crate::state::AppState;
use crate::{idempotency, net, trace};

/// Says that the activity of this request is already in the journal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recorded;

/// What a handler knows about its own activity; the rest follows from method and path.
#[derive(Debug, Clone, Default)]
pub(crate) struct Note {
    pub(crate) action: Option<&'static str>,
    pub(crate) resource: Option<String>,
    pub(crate) records: Option<usize>,
    pub(crate) log_type: Option<domain::LogType>,
    pub(crate) detail: Option<String>,
}

/// Where the request came from; behind this, [`Origin`] is in its extensions.
pub(crate) async fn locate(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().map_or(std::net::IpAddr::from([127, 0, 0, 1]), |peer| peer.0);
    let headers = request.headers();
    let origin = Origin {
        request: request.extensions().get::<RequestId>().cloned().unwrap_or_default(),
        ip: net::client(peer, headers, &app.config.trusted_proxies),
        user_agent: headers.get(header::USER_AGENT).map(agent),
        trace: trace_of(headers),
        now: app.clock.now(),
    };
    request.extensions_mut().insert(Arc::new(origin));
    // Log-in answers carry tokens, so this holds before the gate as well as behind it.
    let mut response = detached(request, next).await;
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Under what the activities of this request continue its trace: the span of the request, or, where nobody exports it,
/// the caller's.
fn trace_of(headers: &HeaderMap) -> Option<Arc<str>> {
    let ours = || domain::trace::current().map(Arc::from);
    let theirs = || {
        let text = headers.get(TRACEPARENT)?.to_str().ok()?;
        is_traceparent(text).then(|| text.into())
    };
    ours().or_else(theirs)
}

/// The client program as sent, up to 255 characters.
fn agent(value: &HeaderValue) -> Arc<str> {
    match value.to_str() {
        Ok(text) if text.len() <= 255 => text.into(),
        _ => String::from_utf8_lossy(value.as_bytes())
            .chars()
            .filter(|c| *c != '\0')
            .take(255)
            .collect::<String>()
            .into(),
    }
}

/// A change runs in a task of its own: a client that goes away must not stop it half-way.
async fn detached(request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    match tokio::spawn(next.run(request).in_current_span()).await {
        Ok(response) => response,
        Err(error) => Problem::internal(error).into_response(),
    }
}

/// Identity in, activity out.
pub(crate) async fn pass(State(app): State<AppState>, request: Request, next: Next) -> Response {
    enter(app, request, next, true).await
}

/// The same where a token may be missing. A bad token is never "without a token".
pub(crate) async fn pass_anybody(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let must = bearer(request.headers()).is_some();
    enter(app, request, next, must).await
}

async fn enter(app: AppState, mut request: Request, next: Next, identified: bool) -> Response {
    let Some(origin) = request.extensions().get::<Arc<Origin>>().cloned() else {
        return Problem::internal("no origin").into_response();
    };
    let attempt = Attempt::of(&request);
    let identity = if identified {
        match identify(&app, request.headers(), &origin).await {
            Ok(identity) => Some(identity),
            Err(problem) => return problem.into_response(),
        }
    } else {
        if let Err(problem) = app.limits.anonymous(net::source(origin.ip)) {
            return problem.into_response();
        }
        None
    };
    let template = Template { identity: identity.clone(), origin };
    if names_another_session(request.headers(), identity.as_ref()) {
        let activity = attempt.mismatched(&template);
        return record(&app, &template, activity, || {
            Problem::unauthorized("The session does not belong to this log-in. Log in again.").into_response()
        })
        .await;
    }
    if let Some(identity) = identity {
        match &identity {
            Identity::User(caller) => {
                trace::asked_by(caller.user.user_id);
                template.origin.request.asked_by(Who::User(caller.user.user_id));
            }
            Identity::Key(key) => template.origin.request.asked_by(Who::Key(key.clone())),
        }
        request.extensions_mut().insert(identity);
    }
    let response = match idempotency::key(&request) {
        None => next.run(request).await,
        Some(key) => idempotency::once(&app, &template, key, request, next).await,
    };
    match attempt.ended(&template, &response) {
        None => response,
        Some(activity) => record(&app, &template, activity, || response).await,
    }
}

/// The answer once the activity is durable; without that there is none.
async fn record(app: &AppState, who: &Template, activity: Activity, answer: impl FnOnce() -> Response) -> Response {
    let event_id = activity.event_id;
    match app.store.append(activity).await {
        Ok(()) => {
            who.origin.request.left(event_id);
            answer()
        }
        Err(error) => Problem::from(error).into_response(),
    }
}

/// `X-Session-Id` is a name and never a credential: where it is sent it must be the token's.
fn names_another_session(headers: &HeaderMap, identity: Option<&Identity>) -> bool {
    let (Some(named), Some(Identity::User(caller))) = (headers.get("x-session-id"), identity) else { return false };
    !named.is_empty() && named.as_bytes() != caller.session_id.as_bytes()
}

/// Who acts in this request, for its activity.
pub(crate) struct Template {
    pub(crate) identity: Option<Identity>,
    pub(crate) origin: Arc<Origin>,
}

impl Template {
    /// An activity of this request.
    pub(crate) fn activity(&self, action: &str, resource: &str, log_type: domain::LogType) -> Activity {
        match &self.identity {
            Some(Identity::User(caller)) => caller.activity(action, resource, log_type),
            Some(Identity::Key(key)) => {
                let mut activity = self.origin.activity(action, resource, log_type);
                activity.attributes.insert("key".into(), key.name.clone().into());
                activity
            }
            None => self.origin.activity(action, resource, log_type),
        }
    }
}

/// Whether an answer's request was recorded by whoever answered it, or has to leave nothing.
pub(crate) fn is_quiet(response: &Response) -> bool {
    let status = response.status();
    status.is_server_error()
        || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS)
        || response.extensions().get::<Recorded>().is_some()
}

/// How an answer that is no success ended.
pub(crate) fn ending(status: StatusCode) -> Ending {
    if status == StatusCode::FORBIDDEN { Ending::Denied } else { Ending::Failure }
}
