//! What has to be done from time to time: the journal forgets what both workers have, or is measured where a relay empties
//! it; the logs forget what is too old.

use std::sync::Arc;
use std::time::Duration;

use domain::{DAY, SharedClock};
use store::{DeliveryState, Store};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::failure::Outcome;
use crate::roles::ProcessRole;

/// How often the journal is looked at. It is read in the meantime, so a few seconds more cost space and nothing else.
const JOURNAL: Duration = Duration::from_secs(10);
/// How many looks at the journal go by between two at the age of the logs.
const LOGS: u32 = 360;
/// How many activities one transaction forgets: a long one would hold up everybody who writes.
const CHUNK: i64 = 1_000;

/// For how long messages that webhooks have taken are kept, and those that were given up, in microseconds.
const DELIVERED: i64 = 7 * DAY;
const DEAD: i64 = 30 * DAY;

/// Runs until it is asked to stop. What fails is logged and tried again: nothing of it is urgent.
///
/// # Errors
/// None.
pub(crate) async fn run(
    store: Store,
    config: Arc<Config>,
    role: ProcessRole,
    clock: SharedClock,
    stop: CancellationToken,
) -> Outcome {
    let mut round: u32 = 0;
    while stop.run_until_cancelled(tokio::time::sleep(JOURNAL)).await.is_some() {
        if let Err(error) = trim(&store).await {
            tracing::warn!(%error, "the journal could not be trimmed; it is tried again");
        }
        // Who takes activities has to know when it is full.
        if let Err(error) = store.journal_status().await {
            tracing::warn!(%error, "the journal could not be measured; it is tried again");
        }
        // The logs are ingest's.
        if !role.ingests() {
            continue;
        }
        round = (round + 1) % LOGS;
        if round == 1
            && let Err(error) = forget(&store, &config, &clock, &stop).await
        {
            tracing::warn!(%error, "old rows could not be removed; it is tried again in an hour");
        }
    }
    Ok(())
}

/// Deletes what ingest and the detector have both worked on.
async fn trim(store: &Store) -> store::Result<()> {
    let done = store.offset("ingest").await?.min(store.offset("detector").await?);
    if done > 0 {
        store.trim_journal(done).await?;
    }
    Ok(())
}

/// Deletes activities that are older than the retention, and messages to webhooks that ended long ago.
async fn forget(store: &Store, config: &Config, clock: &SharedClock, stop: &CancellationToken) -> store::Result<()> {
    let before = clock.now().plus(-config.retention);
    let mut forgotten = 0;
    while !stop.is_cancelled() {
        match store.purge_logs(before, CHUNK).await? {
            0 => break,
            some => forgotten += some,
        }
    }
    for (state, kept) in [(DeliveryState::Delivered, DELIVERED), (DeliveryState::Dead, DEAD)] {
        let before = clock.now().plus(-kept);
        while !stop.is_cancelled() && store.purge_deliveries(state, before, CHUNK).await? > 0 {}
    }
    if forgotten > 0 {
        tracing::info!(forgotten, %before, "activities older than the retention are removed");
    }
    Ok(())
}
