//! Large answers, gzipped for those who take it: a list shrinks to a tenth.
//!
//! Only the whole body of a read. What streams must go out as it comes, and what answers a change may hold a secret, of
//! which the size of a compressed body would tell something.

use std::io::Write;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Bytes below which it does not pay: they fit into a few packets as they are.
const LARGE: u64 = 4 * 1024;
/// Bytes from which on it is done beside those that answer requests: a tenth of a megabyte takes about a millisecond.
const HEAVY: usize = 128 * 1024;

/// Compresses what is large.
pub(crate) async fn large(request: Request, next: Next) -> Response {
    let takes = *request.method() == Method::GET && takes_gzip(request.headers());
    let mut response = next.run(request).await;
    if !is_worth_it(&response) {
        return response;
    }
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if !takes {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // It is in memory as a whole, or its length would not be known.
    let Ok(plain) = axum::body::to_bytes(body, usize::MAX).await else {
        return Response::from_parts(parts, Body::empty());
    };
    let Some(small) = compressed(plain.clone()).await else { return Response::from_parts(parts, Body::from(plain)) };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Response::from_parts(parts, Body::from(small))
}

/// Whether an answer is text of ours, whole, and large.
fn is_worth_it(response: &Response) -> bool {
    let Some(length) = response.body().size_hint().exact() else { return false };
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    length >= LARGE
        && (kind.starts_with(b"application/json") || kind.starts_with(b"text/csv"))
        && !response.headers().contains_key(header::CONTENT_ENCODING)
}

async fn compressed(plain: Bytes) -> Option<Vec<u8>> {
    if plain.len() < HEAVY { gzip(&plain) } else { tokio::task::spawn_blocking(move || gzip(&plain)).await.ok()? }
}

fn gzip(plain: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok()
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let value = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused = |part: &str| part.strip_prefix("q=").is_some_and(|q| q.trim().parse() == Ok(0.0_f32));
        named && !parts.any(refused)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use axum::Router;
    use axum::middleware::from_fn;
    use axum::response::IntoResponse;
    use axum::routing::get;
    use flate2::read::GzDecoder;
    use tower::ServiceExt;

    use super::*;

    async fn asked(kind: &'static str, size: usize, method: Method, accept: &str) -> (HeaderMap, Bytes) {
        let answer =
            move || async move { ([(header::CONTENT_TYPE, kind)], "[1,2,3]".repeat(size / 7)).into_response() };
        let streamed = || async {
            let pieces = (0..9_000).map(|_| Ok::<_, std::convert::Infallible>("data: 1\n\n"));
            let body = Body::from_stream(futures_util::stream::iter(pieces));
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        };
        let router = Router::new().route("/", get(answer).post(answer)).route("/stream", get(streamed));
        let path = if size == 0 { "/stream" } else { "/" };
        let request = Request::builder().method(method).uri(path).header("accept-encoding", accept);
        let response = router.layer(from_fn(large)).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.headers, axum::body::to_bytes(body, usize::MAX).await.unwrap())
    }

    #[tokio::test]
    async fn what_is_large_is_sent_small_and_reads_back() {
        for size in [7 * 600, 70_000, 700_000] {
            for kind in ["application/json", "text/csv; charset=utf-8"] {
                let (headers, body) = asked(kind, size, Method::GET, "br, gzip;q=0.8").await;
                assert_eq!(
                    (&headers["content-encoding"], &headers["vary"]),
                    (&"gzip".parse().unwrap(), &"accept-encoding".parse().unwrap())
                );
                let mut plain = String::new();
                GzDecoder::new(&*body).read_to_string(&mut plain).unwrap();
                assert!(plain == "[1,2,3]".repeat(size / 7) && body.len() < size / 20, "{size}: {}", body.len());
            }
        }
    }

    #[tokio::test]
    async fn the_rest_is_sent_as_it_is() {
        let json = "application/json";
        for (kind, size, method, accept) in [
            (json, 4_000, Method::GET, "gzip"),
            (json, 70_000, Method::POST, "gzip"),
            (json, 70_000, Method::GET, "br"),
            (json, 70_000, Method::GET, "gzip; q=0.0, identity"),
            ("application/octet-stream", 70_000, Method::GET, "gzip"),
            (json, 0, Method::GET, "gzip"),
        ] {
            let place = format!("{kind} {size} {method} {accept}");
            let (headers, body) = asked(kind, size, method, accept).await;
            assert!(!headers.contains_key("content-encoding") && body.len() >= 3_990, "{place}");
        }
    }
}
