//! The endpoints, one file a group, and how they stand together.

mod alerts;
mod analytics;
mod auth;
mod dead_letters;
mod exceptions;
mod health;
mod inventory;
mod keys;
mod logs;
mod metrics;
mod orders;
mod rules;
mod schema;
mod system;
mod users;
mod webhooks;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::{from_fn, from_fn_with_state};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::state::AppState;
use crate::{compress, cors, gate, openapi, shell};

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// The whole API. From the outside in: CORS, compression, the shell, the place of origin, the gate, the handlers.
pub fn router(app: AppState) -> Router {
    let known = OpenApiRouter::new()
        .merge(auth::behind_the_gate())
        .merge(users::routes())
        .merge(inventory::routes())
        .merge(orders::routes())
        .merge(logs::routes())
        .merge(analytics::routes())
        .merge(alerts::routes())
        .merge(exceptions::routes())
        .merge(rules::routes())
        .merge(system::routes())
        .merge(keys::routes())
        .merge(webhooks::routes())
        .merge(dead_letters::routes())
        .route_layer(from_fn_with_state(app.clone(), gate::pass));
    let mut located = OpenApiRouter::new()
        .merge(known)
        .merge(auth::for_anybody().route_layer(from_fn_with_state(app.clone(), gate::pass_anybody)))
        .merge(auth::before_the_gate())
        .route_layer(from_fn_with_state(app.clone(), gate::locate));
    openapi::refusals(located.get_openapi_mut());
    let (api, document) = OpenApiRouter::with_openapi(openapi::base())
        .merge(located)
        .merge(health::routes())
        .merge(schema::routes())
        .split_for_parts();
    api.merge(openapi::routes(&openapi::complete(document)))
        .route_layer(from_fn(metrics::measure))
        .merge(metrics::routes())
        .fallback(shell::unknown_route)
        .method_not_allowed_fallback(shell::wrong_method)
        .layer(from_fn_with_state(app.clock.clone(), shell::wrap))
        .layer(from_fn(compress::large))
        .layer(cors::layer(&app.config.cors_origins))
        // Outside of CORS, which answers preflights itself.
        .layer(SetResponseHeaderLayer::if_not_present(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF))
        .with_state(app)
}

/// Health alone: what a process without requests answers on its address.
pub fn health_alone(app: AppState) -> Router {
    Router::new()
        .merge(Router::from(health::routes()))
        .merge(metrics::routes())
        .fallback(shell::unknown_route)
        .method_not_allowed_fallback(shell::wrong_method)
        .layer(from_fn_with_state(app.clock.clone(), shell::wrap))
        .layer(SetResponseHeaderLayer::if_not_present(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF))
        .with_state(app)
}

/// A route in both spellings: with and without a slash at its end.
///
/// The only way to add one, so that there is none that the document does not have.
fn both(router: OpenApiRouter<AppState>, methods: UtoipaMethodRouter<AppState>) -> OpenApiRouter<AppState> {
    let slashed = methods.1.paths.keys().next().map(|path| format!("{path}/"));
    let handlers = methods.2.clone();
    let router = router.routes(methods);
    match slashed {
        Some(path) => router.route(&path, handlers),
        None => router,
    }
}
