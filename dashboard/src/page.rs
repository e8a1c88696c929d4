//! The routes: the page, its files, and a page for addresses at which there is nothing.

use std::borrow::Cow;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::assets::{ASSETS, File};

/// No script, style, frame or form but our own; nothing inline. Activities hold attackers' text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// A page is asked for again each time, and answered in a few bytes where it has not changed.
const AGAIN: &str = "no-cache";
/// The address names the content, so it never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// The dashboard laid over the API: `/` and `/assets/` are its own; everything else is the API's, whose refusals of
/// unknown addresses outside `/api` browsers get as a page.
pub fn over(api: Router) -> Router {
    let pages = Router::new().route("/", get(index)).route("/assets/{version}/{*name}", get(asset));
    api.merge(pages).layer(from_fn(unknown_as_page))
}

async fn index(headers: HeaderMap) -> Response {
    answer(&headers, StatusCode::OK, &ASSETS.index, AGAIN)
}

async fn asset(headers: HeaderMap, Path((version, name)): Path<(String, String)>) -> Response {
    match ASSETS.files.get(name.as_str()) {
        // A page from before an update asks for files that are gone: it has to be loaded again, not half of it.
        Some(file) if version == ASSETS.version => answer(&headers, StatusCode::OK, file, FOR_EVER),
        _ => not_found(&headers),
    }
}

fn not_found(headers: &HeaderMap) -> Response {
    answer(headers, StatusCode::NOT_FOUND, &ASSETS.not_found, "no-store")
}

async fn unknown_as_page(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let ours = path == "/api" || path.starts_with("/api/");
    if ours || !matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let headers = request.headers().clone();
    let response = next.run(request).await;
    let wanted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if response.status() == StatusCode::NOT_FOUND && wanted.is_some_and(|accept| accept.contains("text/html")) {
        return not_found(&headers);
    }
    response
}

fn answer(asked: &HeaderMap, status: StatusCode, file: &'static File, caching: &'static str) -> Response {
    let fixed = |value: &'static str| HeaderValue::from_static(value);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_SECURITY_POLICY, fixed(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, fixed("DENY"));
    headers.insert(header::REFERRER_POLICY, fixed("no-referrer"));
    headers.insert("cross-origin-opener-policy", fixed("same-origin"));
    headers.insert("cross-origin-resource-policy", fixed("same-origin"));
    headers.insert("permissions-policy", fixed("camera=(), geolocation=(), microphone=()"));
    headers.insert(header::CACHE_CONTROL, fixed(caching));
    headers.insert(header::VARY, fixed("accept-encoding"));
    let gzip = file.gzip.as_deref().filter(|_| accepts_gzip(asked));
    // The compressed form is other bytes, so another tag.
    let etag = match gzip {
        Some(_) => Cow::Owned(format!("{}-gz\"", file.etag.trim_end_matches('"'))),
        None => Cow::Borrowed(file.etag.as_str()),
    };
    if let Ok(value) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, value);
    }
    if status == StatusCode::OK && has_it(asked, &etag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    headers.insert(header::CONTENT_TYPE, fixed(file.kind));
    if gzip.is_some() {
        headers.insert(header::CONTENT_ENCODING, fixed("gzip"));
    }
    (status, headers, Body::from(gzip.unwrap_or(&file.plain))).into_response()
}

fn accepts_gzip(asked: &HeaderMap) -> bool {
    let value = asked.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"))
            && !parts.any(|part| matches!(part.replace(' ', "").as_str(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

fn has_it(asked: &HeaderMap, etag: &str) -> bool {
    let value = asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(',').any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn get_with(path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
        let api = Router::new()
            .route("/api/health", get(async || "healthy"))
            .fallback(async || (StatusCode::NOT_FOUND, "nothing here"));
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = over(api).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
    }

    #[tokio::test]
    async fn the_page_is_checked_again_and_its_files_stay() {
        let (status, headers, body) = get_with("/", &[]).await;
        assert_eq!((status, headers["cache-control"].to_str().unwrap()), (StatusCode::OK, "no-cache"));
        assert_eq!(headers["content-security-policy"], POLICY);
        let page = String::from_utf8(body).unwrap();
        let script = page.split('"').find(|part| part.ends_with("/app.js")).unwrap();
        let etag = headers["etag"].to_str().unwrap().to_owned();
        let (status, _, body) = get_with("/", &[("if-none-match", &etag)]).await;
        assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0));
        let (status, headers, _) = get_with(script, &[]).await;
        assert_eq!((status, headers["cache-control"].to_str().unwrap()), (StatusCode::OK, FOR_EVER));
        assert_eq!(headers["content-type"], "text/javascript; charset=utf-8");
        let (status, _, _) = get_with("/assets/0000000000000000/app.js", &[]).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn who_takes_gzip_gets_it_under_a_tag_of_its_own() {
        let (_, headers, body) = get_with("/", &[("accept-encoding", "br, gzip;q=0.8")]).await;
        assert_eq!(headers["content-encoding"], "gzip");
        assert_eq!(&body[..2], [0x1f, 0x8b]);
        assert!(headers["etag"].to_str().unwrap().ends_with("-gz\""));
        let (_, headers, _) = get_with("/", &[("accept-encoding", "gzip;q=0")]).await;
        assert!(headers.get("content-encoding").is_none());
    }

    #[tokio::test]
    async fn an_unknown_address_is_a_page_for_browsers_and_an_error_for_programs() {
        let browser = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
        let (status, headers, body) = get_with("/nothing", &browser).await;
        assert_eq!((status, headers["cache-control"].to_str().unwrap()), (StatusCode::NOT_FOUND, "no-store"));
        assert!(String::from_utf8(body).unwrap().contains("<h1"));
        for (path, headers) in [("/nothing", &[][..]), ("/api/nothing", &browser[..])] {
            let (status, _, body) = get_with(path, headers).await;
            assert_eq!((status, body), (StatusCode::NOT_FOUND, b"nothing here".to_vec()), "{path}");
        }
        assert_eq!(get_with("/api/health", &browser).await.2, b"healthy");
    }
}
