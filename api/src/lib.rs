//! The REST API of rest-contract: axum over the store.
//!
//! # Map
//! - [`routes`]: one file per group of endpoints, and [`router`], which says in which order the layers stand.
//! - [`gate`]: who is asking, and the one activity that each request leaves ([`attempt`]); [`idempotency`] of `POST`.
//!   [`auth`]: tokens, passwords, rights.
//! - [`problem`], [`fault`], [`shell`]: the only places that know how an error looks.
//! - [`extract`]: bodies, queries and paths, refused with the member's name. [`answer`], [`paging`], [`csv`]: what goes out.
//! - [`follow`]: streams of server-sent events.
//! - [`openapi`]: the document, from the routes and from what holds for all of them; [`words`]: its lists of words.
//! - [`hooks`]: what only the detector, or the sender of webhooks, can do, handed in by the program.
//! - [`limit`], [`net`], [`cors`], [`compress`], [`serve`]: the edge. [`trace`]: the span of a request.
//!
//! # How to add an endpoint
//! Write the handler in its group's file, its `utoipa::path` above it. Its first argument is `Allowed<Right>`
//! ([`auth::rights`]), its input `Body<T>`, `Query<T>` or `PathId`. A read returns `answer::seen` or `answer::list`, and the gate journals it; a
//! change hands its activity to the store's transaction and returns `answer::changed`. What it says then, and the words of
//! its refusals, stand in the document's examples (`openapi::examples`).

mod answer;
mod attempt;
mod auth;
mod compress;
mod config;
mod cors;
mod csv;
mod extract;
mod fault;
mod follow;
mod gate;
mod hooks;
mod idempotency;
mod limit;
mod net;
mod openapi;
mod paging;
mod problem;
mod routes;
mod serve;
mod shell;
mod state;
mod trace;
mod user_view;
mod words;

pub use config::Config;
pub use hooks::{
    AlertKey, CheckUrl, DryRun, HookFuture, Hooks, KeyPart, Metrics, Named, NoKey, Readiness, Reprocess, Reprocessed,
    TestWebhook, WebhookTest, Webhooks,
};
pub use routes::{health_alone, router};
pub use serve::serve;
pub use state::{AppState, SetupError};
