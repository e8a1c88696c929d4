//! The endpoints, one file a group, and how they stand together.

mod auth;
mod health;
mod inventory;
mod orders;
mod users;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;

use crate::state::AppState;
use crate::{cors, gate, shell};

/// The whole API. From the outside in: CORS, the shell, the place of origin, the gate, the handlers.
pub fn router(app: AppState) -> Router {
    let known = Router::new()
        .merge(auth::behind_the_gate())
        .merge(users::routes())
        .merge(inventory::routes())
        .merge(orders::routes())
        .route_layer(from_fn_with_state(app.clone(), gate::pass));
    let located = Router::new()
        .merge(known)
        .merge(auth::before_the_gate())
        .route_layer(from_fn_with_state(app.clone(), gate::locate));
    Router::new()
        .merge(located)
        .merge(health::routes())
        .fallback(shell::unknown_route)
        .method_not_allowed_fallback(shell::wrong_method)
        .layer(from_fn_with_state(app.clock.clone(), shell::wrap))
        .layer(cors::layer(&app.config.cors_origins))
        .with_state(app)
}

/// A route in both spellings: with and without a slash at its end.
fn both(router: Router<AppState>, path: &str, methods: MethodRouter<AppState>) -> Router<AppState> {
    router.route(path, methods.clone()).route(&format!("{path}/"), methods)
}
