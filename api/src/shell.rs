//! The outermost layer of our own: request ids, security headers, and the one place where errors are rendered and
//! requests are logged.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use domain::SharedClock;
use futures_util::FutureExt;
use store::ApiKey;
use tracing::Instrument;
use uuid::Uuid;

use crate::gate::Recorded;
use crate::problem::Problem;
use crate::trace;

/// The id of this request, in its activity, its answer and our log; and what the log says of it beside.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestId(Arc<Noted>);

#[derive(Debug, Default)]
struct Noted {
    id: String,
    who: OnceLock<Who>,
    /// The first activity that a handler made, stored or not.
    made: OnceLock<Uuid>,
    /// The activity that the gate has stored.
    left: OnceLock<Uuid>,
}

/// Who asks, as the log has it: a number, or the name of a key.
#[derive(Debug, Clone)]
pub(crate) enum Who {
    User(i64),
    Key(Arc<ApiKey>),
}

impl RequestId {
    pub(crate) fn id(&self) -> &str {
        &self.0.id
    }

    /// Who asks. Of each of these the first counts.
    pub(crate) fn asked_by(&self, who: Who) {
        let _ = self.0.who.set(who);
    }

    pub(crate) fn made(&self, event_id: Uuid) {
        let _ = self.0.made.set(event_id);
    }

    pub(crate) fn left(&self, event_id: Uuid) {
        let _ = self.0.left.set(event_id);
    }
}

/// Says that an error's body is finished already.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rendered;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Runs one request inside the shell.
pub(crate) async fn wrap(State(clock): State<SharedClock>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = RequestId(Arc::new(Noted { id: domain::ids::event_id(clock.now()).to_string(), ..Noted::default() }));
    request.extensions_mut().insert(id.clone());
    let asked =
        Asked { begun, method: request.method().clone(), uri: request.uri().clone(), route: trace::route(&request) };
    let line = trace::named(id.id());
    let span = line.in_scope(|| trace::server(&request, id.id()));
    let run = AssertUnwindSafe(next.run(request)).catch_unwind();
    let done = run.instrument(span.clone()).instrument(line.clone()).await;
    let mut response = match done {
        Ok(response) => finish(response, id.id()),
        Err(_) => Problem::internal("the handler panicked").render(id.id()),
    };
    trace::answered(&span, response.status());
    line.in_scope(|| asked.log(&id, &response));
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::try_from(id.id()) {
        headers.insert(X_REQUEST_ID, value);
    }
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    headers.entry(header::X_FRAME_OPTIONS).or_insert(HeaderValue::from_static("DENY"));
    response
}

/// Writes a [`Line`] at a level, and what belongs to that one alone.
macro_rules! written {
    ($level:ident, $line:expr, $message:literal $(, $more:ident)*) => {{
        let Line { request_id, method, route, status, user_id, key_name, event_id, took_ms } = $line;
        let event_id = event_id.map(tracing::field::display);
        tracing::$level!(request_id, method, route, status, user_id, key_name, event_id, took_ms, $($more,)* $message);
    }};
}

/// What the log says of a request.
struct Asked {
    begun: Instant,
    method: Method,
    uri: Uri,
    route: Option<MatchedPath>,
}

impl Asked {
    /// One line, at the level that its end deserves: error where it failed on our side; info where somebody who is known
    /// was refused; debug for the rest. Who is not known, or asks too often, must not be able to fill the log.
    fn log(&self, id: &RequestId, response: &Response) {
        let status = response.status();
        if status.is_server_error() {
            let cause = response.extensions().get::<Problem>().and_then(Problem::cause).unwrap_or("none told");
            let (line, path) = (Line { event_id: None, ..self.line(id, response) }, self.uri.path());
            written!(error, line, "request failed", path, cause);
        } else if status.is_client_error() && id.0.who.get().is_some() && status != StatusCode::TOO_MANY_REQUESTS {
            written!(info, self.line(id, response), "request refused");
        } else if tracing::enabled!(tracing::Level::DEBUG) {
            written!(debug, self.line(id, response), "request");
        }
    }

    fn line<'a>(&'a self, id: &'a RequestId, response: &Response) -> Line<'a> {
        let Noted { id, who, made, left } = id.0.as_ref();
        // What a handler made is stored where it says so.
        let is_stored = response.extensions().get::<Recorded>().is_some();
        let (user_id, key_name) = match who.get() {
            Some(Who::User(user_id)) => (Some(*user_id), None),
            Some(Who::Key(key)) => (None, Some(key.name.as_str())),
            None => (None, None),
        };
        Line {
            request_id: id,
            method: trace::known(&self.method),
            route: self.route.as_ref().map(trace::pattern),
            status: response.status().as_u16(),
            user_id,
            key_name,
            event_id: left.get().or_else(|| made.get().filter(|_| is_stored)).copied(),
            took_ms: u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// The members of a line. The route is its pattern: what stands in a path may be anything.
struct Line<'a> {
    request_id: &'a str,
    method: &'a str,
    route: Option<&'a str>,
    status: u16,
    user_id: Option<i64>,
    key_name: Option<&'a str>,
    event_id: Option<Uuid>,
    took_ms: u64,
}

/// Renders the problem that an answer carries; an error that somebody else made gets a sentence of ours.
fn finish(mut response: Response, id: &str) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || response.extensions().get::<Rendered>().is_some() {
        return response;
    }
    let problem = response.extensions_mut().remove::<Problem>().unwrap_or_else(|| foreign(status));
    let mut rendered = problem.render(id);
    for (name, value) in response.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            rendered.headers_mut().insert(name.clone(), value.clone());
        }
    }
    rendered.extensions_mut().insert(problem);
    rendered
}

fn foreign(status: StatusCode) -> Problem {
    let error = match status {
        StatusCode::METHOD_NOT_ALLOWED => "This address does not take that method; see the Allow header.",
        StatusCode::PAYLOAD_TOO_LARGE => "The request body is too large.",
        StatusCode::NOT_FOUND => "There is nothing at this address.",
        _ if status.is_client_error() => "The request cannot be answered as it was sent.",
        _ => "Something went wrong on our side.",
    };
    Problem::new(status, error)
}

/// What is not routed.
pub(crate) async fn unknown_route() -> Problem {
    Problem::not_found("There is nothing at this address.")
}

/// A route that does not take the method.
pub(crate) async fn wrong_method() -> Problem {
    foreign(StatusCode::METHOD_NOT_ALLOWED)
}
