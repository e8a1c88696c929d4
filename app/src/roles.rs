//! The roles of one process: the API in front, ingest and the detector behind it, with the journal between them.

use std::sync::Arc;

use api::{AppState, Hooks};
use chrono_tz::Tz;
use detector::rules::RuleSet;
use detector::worker::{self, WorkerError};
use domain::{Partition, SharedClock, Timestamp};
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
    let settings = hooks::engine_settings(&parts.config, parts.zone, &parts.store).await?;
    let detector = worker::Parts {
        store: parts.store.clone(),
        rules: parts.rules.clone(),
        settings,
        lateness: parts.config.lateness,
        passed: worker::passed_by(parts.clock.clone()),
        status: Arc::default(),
        partition: Partition::JOURNAL,
    };
    let state = api_state(&parts, &detector)?;
    let store = parts.store.clone();
    tasks.spawn("ingest", Stage::Back, |stop| async move {
        ingest::run(store, stop).await.map_err(|error| Failure::unavailable(error.to_string()))
    });
    tasks.spawn("the detector", Stage::Back, |stop| async move {
        worker::run(detector, stop).await.map_err(detector_failed)
    });
    tasks.spawn("the API", Stage::Front, |stop| async move {
        api::serve(listener, dashboard::over(api::router(state)), stop)
            .await
            .map_err(|error| Failure::unavailable(format!("connections cannot be accepted: {error}")))
    });
    Ok(())
}

fn detector_failed(error: WorkerError) -> Failure {
    match &error {
        WorkerError::Store(_) | WorkerError::Journal(_) => Failure::unavailable(error.to_string()),
        WorkerError::NotOurs | WorkerError::Engine(_) => Failure::internal(error.to_string()),
    }
}

fn api_state(parts: &Parts, detector: &worker::Parts) -> Outcome<AppState> {
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
        rule_files: Arc::new(hooks::rule_files(&parts.config, &parts.rules)?),
        dry_run: Some(Arc::new(move |text: String, from: Timestamp, to: Timestamp| {
            let parts = trial.clone();
            Box::pin(async move { hooks::dry_run(&parts.config, &parts.store, parts.zone, text, (from, to)).await })
        })),
        reprocess: Some(hooks::reprocess(detector.clone())),
        readiness: Some(hooks::readiness(detector.status.clone())),
    };
    AppState::new(settings, parts.store.clone(), parts.clock.clone(), hooks)
        .map_err(|error| Failure::usage(error.to_string()))
}
