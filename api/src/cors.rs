//! Which pages of other origins may call the API from a browser.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// The layer for the configured origins. It stands outside of everything that can refuse, so that a browser shows
/// the sentence of each error to an allowed page, and it answers preflights itself.
pub(crate) fn layer(origins: &[String]) -> CorsLayer {
    let named = |name: &'static str| HeaderName::from_static(name);
    let origins: Vec<HeaderValue> = origins
        .iter()
        .map(|origin| origin.trim_end_matches('/'))
        .filter(|origin| !matches!(*origin, "*" | "null"))
        .filter_map(|origin| origin.parse().ok())
        .collect();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS])
        .allow_headers([
            header::CONTENT_TYPE,
            header::AUTHORIZATION,
            header::IF_MATCH,
            named("x-session-id"),
            named("idempotency-key"),
        ])
        .expose_headers([
            header::LINK,
            header::RETRY_AFTER,
            header::ETAG,
            named("x-total-count"),
            named("x-request-id"),
        ])
        .max_age(Duration::from_secs(600))
}
