//! Ingest beyond one machine: each partition of topic `activity` that falls to this process is worked on by itself.

use bus::kafka::{ACTIVITY, Ended, KafkaError, PartitionLog, Settings, drive};
use store::{INGEST, NewGap, Store};
use tokio_util::sync::CancellationToken;

use crate::worker::{Stand, run_partition};

/// The group that shares the topic.
const GROUP: &str = "security-analytics.ingest";
/// Records of one transaction: a database server takes many at once without holding up others.
const BATCH: usize = 1_024;

/// Works on the partitions that fall to this process, until it is asked to stop. `instance` is a name of the process that
/// stays over restarts.
///
/// # Errors
/// The group cannot be a member's, or the topic is not the one that was read before.
pub async fn run_group(
    store: Store,
    kafka: Settings,
    instance: Option<String>,
    stop: CancellationToken,
) -> Result<(), KafkaError> {
    drive(&kafka, GROUP, ACTIVITY, instance.as_deref(), stop, move |log, stop| one(store.clone(), log, stop)).await
}

async fn one(store: Store, log: PartitionLog, stop: CancellationToken) -> Ended {
    let partition = log.partition();
    let position = match store.position(INGEST, partition).await {
        Ok(position) => position.unwrap_or_default(),
        Err(error) => return Ended::Again(error.to_string()),
    };
    let begun = match log.begin(position.next, position.last_event).await {
        Ok(begun) => begun,
        Err(error) => return error.into(),
    };
    if let Some(offsets) = begun.gap
        && let Err(error) = store.record_gaps(vec![NewGap::removed(partition, offsets, store.now(), "ingest")]).await
    {
        return Ended::Again(error.to_string());
    }
    let stand = Stand { partition, stored: position.next, position: begun.position };
    let told = log.clone();
    match run_partition(store, log, stand, BATCH, move |stored| told.commit(stored), stop).await {
        Ok(()) => Ended::Asked,
        Err(error) => Ended::Again(error.to_string()),
    }
}
