//! [`Body`]: a JSON object read into a type, with the name of what is wrong where it cannot be.

use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};

use super::{Fields, FromFields};
use crate::problem::{Outcome, Problem};

/// The largest JSON body, except for streams.
pub(crate) const MOST_JSON: usize = 1024 * 1024;

/// How long a body, or the next piece of a stream, may be on its way.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// 408: whoever sends a byte now and then must not hold anything for long.
pub(crate) fn too_slow() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "The request body did not arrive in time; send it again.")
}

/// A JSON object as the body. An absent body is an object without members: some clients post nothing.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: FromFields, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read_limited(body, MOST_JSON).await?;
        if !bytes.is_empty() {
            json_type(&parts.headers)?;
        }
        T::from_fields(&Fields::new(object(&bytes)?)).map(Self)
    }
}

/// Refuses what does not call itself JSON; plain text passes, for forms that cannot say more.
pub(crate) fn json_type(headers: &HeaderMap) -> Outcome<()> {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let kind = kind.to_str().unwrap_or_default().to_ascii_lowercase();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind == "application/json" || kind.ends_with("+json") || kind == "text/plain" {
        return Ok(());
    }
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json"))
}

/// The whole body, or 413.
pub(crate) async fn read_limited(body: axum::body::Body, most: usize) -> Outcome<axum::body::Bytes> {
    let Ok(read) = tokio::time::timeout(PATIENCE, to_bytes(body, most)).await else { return Err(too_slow()) };
    read.map_err(|error| {
        use std::error::Error;
        let mut source: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(inner) = source {
            if inner.to_string().contains("length limit") {
                return Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    format!("The request body is larger than {most} bytes"),
                );
            }
            source = inner.source();
        }
        Problem::field("body", "The request body could not be read to its end")
    })
}

/// The members of a JSON object; the parser bounds its own depth, so nesting cannot exhaust the stack.
fn object(bytes: &[u8]) -> Outcome<Map<String, Value>> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    if let Err(error) = std::str::from_utf8(bytes) {
        let at = error.valid_up_to();
        return Err(Problem::field("body", format!("The body is not UTF-8 at byte {at}")));
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(Problem::field("body", "The body must be a JSON object")),
        Err(error) => Err(Problem::field("body", format!("The body is not valid JSON: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_but_an_object_names_the_body() {
        let deep = "[".repeat(10_000);
        for bytes in [b"{".as_slice(), b"[]", b"\"x\"", b"{\"a\":\xff}", deep.as_bytes(), b"nul"] {
            let problem = object(bytes).unwrap_err();
            assert_eq!(problem.status, StatusCode::BAD_REQUEST);
            assert_eq!(problem.errors[0].field, "body");
        }
        assert!(object(b" ").unwrap().is_empty());
        assert!(object(b"{\"a\":1e999999}").is_ok(), "kept as text, judged by whoever reads the member");
    }
}
