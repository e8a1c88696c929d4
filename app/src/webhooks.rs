//! The sender of webhooks: the worker, and what the API asks of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::webhooks::{Networks, Sender, Settings};
use api::{WebhookTest, Webhooks};
use store::{Store, WebhookTarget};
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::failure::{Failure, Outcome};
use crate::lifecycle::{Stage, Tasks};

/// Tests that may be on their way at once: each may take as long as a receiver lets it wait.
const TESTS: usize = 4;

/// A sender by this configuration.
///
/// # Errors
/// TLS cannot be set up.
pub(crate) fn sender(config: &Config) -> Outcome<Sender> {
    let settings = Settings {
        networks: Networks::new(config.webhook_allowed_networks.clone()),
        public_url: config.public_url.clone(),
        ..Settings::default()
    };
    Sender::new(settings).map_err(|error| Failure::internal(format!("webhooks: {error}")))
}

/// Starts the worker.
pub(crate) fn start(store: &Store, sender: &Sender, tasks: &mut Tasks) {
    let (store, sender) = (store.clone(), sender.clone());
    tasks.spawn("webhooks", Stage::Back, |stop| async move {
        ::webhooks::run(store, sender, stop).await;
        Ok(())
    });
}

/// What the API asks of the sender.
pub(crate) fn hooks(store: Store, sender: Sender) -> Webhooks {
    let networks = sender.networks().clone();
    let turns = Arc::new(Semaphore::new(TESTS));
    Webhooks {
        check: Arc::new(move |text| {
            let checked = ::webhooks::check(text, &networks)?;
            Ok((checked.as_str().to_owned(), checked.shown()))
        }),
        new_secret: ::webhooks::new_secret,
        test: Arc::new(move |target, name| {
            let (store, sender, turns) = (store.clone(), sender.clone(), turns.clone());
            Box::pin(async move {
                let _turn = turns.try_acquire().ok()?;
                Some(test(&store, &sender, &target, &name).await)
            })
        }),
    }
}

async fn test(store: &Store, sender: &Sender, target: &WebhookTarget, name: &str) -> WebhookTest {
    let begun = Instant::now();
    let answer = sender.test(target, name, store.now()).await;
    let took: Duration = begun.elapsed();
    WebhookTest { status: answer.status, error: answer.error, took }
}
