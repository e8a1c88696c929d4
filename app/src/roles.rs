//! The roles of a process: the API in front, ingest and the detector behind it, with the journal between them, or, over
//! Kafka, each where it is wanted.

use std::sync::Arc;

use api::{AppState, Hooks};
use chrono_tz::Tz;
use detector::distributed::Fleet;
use detector::rules::RuleSet;
use detector::worker::{self, WorkerError};
use domain::{Partition, SharedClock, Timestamp};
use store::Store;
use tokio::net::TcpListener;

use crate::config::{Config, Secret};
use crate::distributed;
use crate::failure::{Failure, Outcome};
use crate::lifecycle::{Stage, Tasks};
use crate::{hooks, metrics, readiness, webhooks};

/// What the roles are made of.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) config: Arc<Config>,
    pub(crate) clock: SharedClock,
    pub(crate) store: Store,
    pub(crate) rules: Arc<RuleSet>,
    pub(crate) token_secret: Secret,
    pub(crate) zone: Tz,
    /// How far the relay and the detector's workers of this process are, over Kafka.
    pub(crate) relay: Arc<relay::Status>,
    pub(crate) fleet: Arc<Fleet>,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessRole {
    /// Everything.
    All,
    /// Requests, and messages to webhooks.
    Api,
    /// The log → the database, and the journal → the log.
    Ingest,
    /// Rules.
    Detector,
}

impl ProcessRole {
    pub(crate) fn serves(self) -> bool {
        matches!(self, Self::All | Self::Api)
    }

    pub(crate) fn ingests(self) -> bool {
        matches!(self, Self::All | Self::Ingest)
    }

    pub(crate) fn detects(self) -> bool {
        matches!(self, Self::All | Self::Detector)
    }
}

/// Starts what belongs to a role.
///
/// # Errors
/// A part of it cannot start.
pub(crate) async fn start(parts: Parts, role: ProcessRole, listener: TcpListener, tasks: &mut Tasks) -> Outcome {
    // Before anything counts: what is counted without a recorder is lost.
    let prometheus = parts.config.metrics.then(|| metrics::Recorder::of(&parts.config)).flatten();
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
    let ready = match distributed::kafka(&parts.config) {
        Some(kafka) => {
            distributed::start(&parts, &kafka, role, tasks).await?;
            readiness::over_kafka(parts.store.clone(), kafka, parts.relay.clone(), parts.fleet.clone())
        }
        None => {
            embedded(&parts, &detector, tasks);
            readiness::embedded(parts.store.clone(), detector.status.clone())
        }
    };
    // Where requests are answered, so that one role alone speaks to the outside.
    let webhooks = match role.serves() {
        true => {
            let sender = webhooks::sender(&parts.config)?;
            webhooks::start(&parts.store, &sender, tasks);
            Some(webhooks::hooks(parts.store.clone(), sender))
        }
        false => None,
    };
    let metrics = prometheus.map(|recorder| recorder.hook(parts.store.clone(), ready.clone()));
    let state = api_state(&parts, &detector, ready, (webhooks, metrics))?;
    let router = if role.serves() { dashboard::over(api::router(state)) } else { api::health_alone(state) };
    tasks.spawn("the API", Stage::Front, |stop| async move {
        api::serve(listener, router, stop)
            .await
            .map_err(|error| Failure::unavailable(format!("connections cannot be accepted: {error}")))
    });
    Ok(())
}

/// Both workers on the journal itself.
fn embedded(parts: &Parts, detector: &worker::Parts, tasks: &mut Tasks) {
    let (store, detector) = (parts.store.clone(), detector.clone());
    tasks.spawn("ingest", Stage::Back, |stop| async move {
        ingest::run(store, stop).await.map_err(|error| Failure::unavailable(error.to_string()))
    });
    tasks.spawn("the detector", Stage::Back, |stop| async move {
        worker::run(detector, stop).await.map_err(detector_failed)
    });
}

pub(crate) fn detector_failed(error: WorkerError) -> Failure {
    match error {
        WorkerError::Kafka(error) => distributed::failed(error),
        WorkerError::Store(_) | WorkerError::Journal(_) => Failure::unavailable(error.to_string()),
        WorkerError::NotOurs | WorkerError::Engine(_) => Failure::internal(error.to_string()),
    }
}

fn api_state(
    parts: &Parts,
    detector: &worker::Parts,
    readiness: api::Readiness,
    (webhooks, metrics): (Option<api::Webhooks>, Option<api::Metrics>),
) -> Outcome<AppState> {
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
        alert_key: hooks::alert_key(parts.rules.clone()),
        rule_files: Arc::new(hooks::rule_files(&parts.config, &parts.rules)?),
        dry_run: Some(Arc::new(move |text: String, from: Timestamp, to: Timestamp| {
            let parts = trial.clone();
            Box::pin(async move { hooks::dry_run(&parts.config, &parts.store, parts.zone, text, (from, to)).await })
        })),
        reprocess: Some(hooks::reprocess(detector.clone())),
        webhooks,
        metrics,
        readiness,
    };
    AppState::new(settings, parts.store.clone(), parts.clock.clone(), hooks)
        .map_err(|error| Failure::usage(error.to_string()))
}
