//! The one error type of the API and the only place that knows how an error looks over HTTP.
//!
//! A handler returns a [`Problem`]; the outermost layer ([`crate::shell`]) renders it, because only there the
//! request id is known, and logs the cause of a 5xx once. The client never sees a cause.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::gate::Recorded;

/// What is wrong with one member of a request.
#[derive(Debug, Clone, Serialize, PartialEq, Eq, utoipa::ToSchema)]
#[schema(example = json!({ "field": "quantity", "message": "quantity must be an integer" }))]
pub(crate) struct FieldError {
    /// The member, as the client spelled it.
    pub(crate) field: String,
    /// What to do about it.
    pub(crate) message: String,
}

/// The type of an error's body (RFC 9457).
pub(crate) const PROBLEM: &str = "application/problem+json";

/// The members that every error has.
#[derive(utoipa::ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "about:blank", "title": "Bad Request", "status": 400, "detail": "quantity must be an integer",
    "error": "quantity must be an integer", "request_id": "019ca8a4-7a4c-7c31-8b4e-5d2f9a6c1e08",
    "errors": [{ "field": "quantity", "message": "quantity must be an integer" }]
}))]
#[expect(dead_code, reason = "describes what `Problem::body` writes")]
pub(crate) struct Body {
    r#type: String,
    title: String,
    status: u16,
    detail: String,
    /// One sentence that a person can read.
    error: String,
    /// The same as in the log and in the activity.
    request_id: String,
    errors: Vec<FieldError>,
}

/// An answer that is not a success: one sentence for people, the rest for programs.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// One sentence that names the field and what to do: old clients show it raw.
    pub(crate) error: String,
    pub(crate) errors: Vec<FieldError>,
    /// Goes into the activity that records the refusal; never to the client.
    pub(crate) reason: Option<&'static str>,
    pub(crate) retry_after_s: Option<u64>,
    /// Members beside the standard ones.
    pub(crate) extra: Option<Box<serde_json::Map<String, serde_json::Value>>>,
    cause: Option<Arc<str>>,
    /// Its activity is in the journal already.
    recorded: bool,
}

impl Problem {
    /// Any status with its sentence.
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
            errors: Vec::new(),
            reason: None,
            retry_after_s: None,
            extra: None,
            cause: None,
            recorded: false,
        }
    }

    /// 400 for the member `field`; `error` is the whole sentence.
    pub(crate) fn field(field: &str, error: impl Into<String>) -> Self {
        let error = error.into();
        let errors = vec![FieldError { field: field.to_owned(), message: error.clone() }];
        Self { errors, ..Self::new(StatusCode::BAD_REQUEST, error) }
    }

    /// 401: logging in again helps.
    pub(crate) fn unauthorized(error: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error)
    }

    /// 403: the right is missing; logging in again does not help.
    pub(crate) fn forbidden(error: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, error)
    }

    /// 404.
    pub(crate) fn not_found(error: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    /// 409.
    pub(crate) fn conflict(error: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, error)
    }

    /// 429 with the wait in words and in `Retry-After`.
    pub(crate) fn throttled(seconds: u64) -> Self {
        let wait = if seconds <= 90 {
            format!("{} seconds", seconds.max(1))
        } else {
            format!("{} minutes", seconds.div_ceil(60))
        };
        Self::new(StatusCode::TOO_MANY_REQUESTS, format!("Too many attempts. Try again in {wait}."))
            .retry_after(seconds.max(1))
    }

    /// 503: nothing was done, and the same request may work in a moment.
    pub(crate) fn overloaded(error: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error).retry_after(1)
    }

    /// 500 with a cause for the log.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side.").because(cause)
    }

    /// The cause, for the log only.
    pub(crate) fn because(mut self, cause: impl std::fmt::Display) -> Self {
        self.cause = Some(cause.to_string().into());
        self
    }

    /// The reason that the activity of the refusal carries.
    pub(crate) fn with_reason(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// When to come back.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Says that the handler recorded the refusal itself.
    pub(crate) fn recorded(mut self) -> Self {
        self.recorded = true;
        self
    }

    /// Members beside the standard ones.
    pub(crate) fn with_extra(mut self, extra: serde_json::Map<String, serde_json::Value>) -> Self {
        self.extra = Some(Box::new(extra));
        self
    }

    /// What went wrong inside, if it is ours.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The body of the answer.
    pub(crate) fn body(&self, request_id: &str) -> String {
        let mut body = self.extra.as_deref().cloned().unwrap_or_default();
        let title = self.status.canonical_reason().unwrap_or("Error");
        body.insert("type".into(), "about:blank".into());
        body.insert("title".into(), title.into());
        body.insert("status".into(), self.status.as_u16().into());
        body.insert("detail".into(), self.error.clone().into());
        body.insert("error".into(), self.error.clone().into());
        body.insert("request_id".into(), request_id.into());
        body.insert("errors".into(), serde_json::to_value(&self.errors).unwrap_or_default());
        serde_json::Value::Object(body).to_string()
    }

    /// The finished answer.
    pub(crate) fn render(&self, request_id: &str) -> Response {
        let body = self.body(request_id);
        let kind = (header::CONTENT_TYPE, PROBLEM);
        let mut response = (self.status, [kind], body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl IntoResponse for Problem {
    /// An empty answer that carries the problem to the layer that renders it.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if self.recorded {
            response.extensions_mut().insert(Recorded);
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// What handlers return.
pub(crate) type Outcome<T> = Result<T, Problem>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_words() {
        assert_eq!(Problem::throttled(300).error, "Too many attempts. Try again in 5 minutes.");
        assert_eq!(Problem::throttled(60).error, "Too many attempts. Try again in 60 seconds.");
    }
}
