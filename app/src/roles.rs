//! The roles of one process: the API in front, ingest and the detector behind it, with the journal between them.

use std::sync::Arc;

use api::{AppState, Hooks};
use chrono_tz::Tz;
use detector::rules::RuleSet;
use domain::{SharedClock, Timestamp};
use store::Store;
use tokio::net::TcpListener;

use crate::config::{Config, Secret};
use crate::failure::{Failure, Outcome};
use crate::hooks;
use crate::lifecycle::{Stage, Tasks};

/// What the roles are made of.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) config: Arc<Config>,
    pub(crate) clock: SharedClock,
    pub(crate) store: Store,
    pub(crate) rules: Arc<RuleSet>,
    pub(crate) token_secret: Secret,
    pub(crate) zone: Tz,
}

/// Starts all roles.
///
/// # Errors
/// One of them cannot start.
pub(crate) async fn start(parts: Parts, listener: TcpListener, tasks: &mut Tasks) -> Outcome {
    let state = api_state(&parts)?;
    tasks.spawn("the API", Stage::Front, |stop| async move {
        api::serve(listener, api::router(state), stop)
            .await
            .map_err(|error| Failure::unavailable(format!("connections cannot be accepted: {error}")))
    });
    Ok(())
}

fn api_state(parts: &Parts) -> Outcome<AppState> {
    let config = &parts.config;
    let settings = api::Config {
        jwt_secrets: vec![parts.token_secret.reveal().as_bytes().to_vec()],
        cors_origins: config.cors_origins.clone(),
        trusted_proxies: config.trusted_proxies.clone(),
        rate_limit: config.rate_limit,
        self_registration: config.self_registration,
        session_ttl: config.session_ttl,
        lateness: config.lateness,
        bcrypt_cost: config.bcrypt_cost,
        ..api::Config::default()
    };
    let trial = parts.clone();
    let hooks = Hooks {
        rules: Arc::new(hooks::shown(&parts.rules)),
        dry_run: Some(Arc::new(move |text: String, from: Timestamp, to: Timestamp| {
            let parts = trial.clone();
            Box::pin(async move { hooks::dry_run(&parts.config, &parts.store, parts.zone, text, (from, to)).await })
        })),
        ..Hooks::default()
    };
    AppState::new(settings, parts.store.clone(), parts.clock.clone(), hooks)
        .map_err(|error| Failure::usage(error.to_string()))
}
