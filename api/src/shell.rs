//! The outermost layer of our own: request ids, security headers, and the one place where errors are rendered and
//! the causes of 5xx are logged.

use std::panic::AssertUnwindSafe;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use domain::SharedClock;
use futures_util::FutureExt;
use tracing::Instrument;

use crate::problem::Problem;
use crate::trace;

/// The id of this request, in its activity, its answer and our log.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) std::sync::Arc<str>);

/// Says that an error's body is finished already.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rendered;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Runs one request inside the shell.
pub(crate) async fn wrap(State(clock): State<SharedClock>, mut request: Request, next: Next) -> Response {
    let id = domain::ids::event_id(clock.now()).to_string();
    request.extensions_mut().insert(RequestId(id.as_str().into()));
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let line = trace::named(&id);
    let span = line.in_scope(|| trace::server(&request, &id));
    let run = AssertUnwindSafe(next.run(request)).catch_unwind();
    let done = run.instrument(span.clone()).instrument(line.clone()).await;
    let mut response = match done {
        Ok(response) => finish(response, &id),
        Err(_) => Problem::internal("the handler panicked").render(&id),
    };
    trace::answered(&span, response.status());
    if response.status().is_server_error() {
        let cause = response.extensions().get::<Problem>().and_then(Problem::cause).unwrap_or("none told");
        let _within = line.enter();
        tracing::error!(request_id = %id, %method, path, status = response.status().as_u16(), cause, "request failed");
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::try_from(id) {
        headers.insert(X_REQUEST_ID, value);
    }
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    headers.entry(header::X_FRAME_OPTIONS).or_insert(HeaderValue::from_static("DENY"));
    response
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
