//! The span of a request: what log lines written on the way say of it, and, where spans are exported, the server's span of
//! its trace, in the words of OpenTelemetry's conventions for HTTP.

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use domain::trace;
use tracing::Span;
use tracing::field::Empty;

/// What every line of the log within a request says where it is kept from debug on. A span that is there at every level
/// would cost a request to `/api/health` a fifth of its time, and the one line that is written when a request fails says
/// the id itself.
pub(crate) fn named(request_id: &str) -> Span {
    tracing::debug_span!("request", request_id)
}

/// The server's span, a child of the one that the caller names in `traceparent`; none where nobody exports spans. It
/// tells the route and, where that is one of ours, the path; never the query, which may hold anything.
pub(crate) fn server(request: &Request, request_id: &str) -> Span {
    if !trace::is_exported() {
        return Span::none();
    }
    let method = known(request.method());
    let route = route(request);
    let route = route.as_ref().map(pattern);
    let name = route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
    let span = tracing::debug_span!(
        "server",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        url.path = route.map(|_| request.uri().path()),
        url.scheme = "http",
        "error.type" = Empty,
        user.id = Empty,
        request_id,
    );
    if let Some(parent) = request.headers().get(trace::TRACEPARENT).and_then(|value| value.to_str().ok()) {
        trace::continues(&span, parent);
    }
    span
}

/// What the request was answered with. Only what failed on our side is an error of the server's.
pub(crate) fn answered(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", status.as_str());
    }
}

/// Who asks, by the number and not by the name.
pub(crate) fn asked_by(user_id: i64) {
    if trace::is_exported() {
        Span::current().record("user.id", user_id.to_string());
    }
}

/// The route of a request, where it has one.
pub(crate) fn route(request: &Request) -> Option<MatchedPath> {
    request.extensions().get::<MatchedPath>().cloned()
}

/// The same for both spellings.
pub(crate) fn pattern(route: &MatchedPath) -> &str {
    route.as_str().trim_end_matches('/')
}

/// Methods beyond the known ones are made up by clients.
pub(crate) fn known(method: &Method) -> &str {
    let known = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD, Method::OPTIONS];
    if known.contains(method) { method.as_str() } else { "_OTHER" }
}
