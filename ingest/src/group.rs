//! Ingest beyond one machine: each partition of topic `activity` that falls to this process is worked on by itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bus::kafka::{ACTIVITY, Ended, KafkaError, PartitionLog, Settings, drive};
use domain::Partition;
use store::{INGEST, NewGap, Store};
use tokio_util::sync::CancellationToken;

use crate::worker::{Progress, Stand, run_partition};

/// The group that shares the topic.
const GROUP: &str = "security-analytics.ingest";
/// Records of one transaction: a database server takes many at once without holding up others.
const BATCH: usize = 1_024;

/// The partitions that a process works on.
#[derive(Debug, Default)]
pub struct Fleet(Mutex<BTreeMap<Partition, (Arc<Progress>, PartitionLog)>>);

impl Fleet {
    fn workers(&self) -> MutexGuard<'_, BTreeMap<Partition, (Arc<Progress>, PartitionLog)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many they are.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.workers().len()
    }

    /// Records that the brokers are known to have and that are not stored yet.
    #[must_use]
    pub fn lag(&self) -> i64 {
        self.workers().values().filter_map(|(progress, log)| log.lag(progress.stored())).sum()
    }
}

/// Works on the partitions that fall to this process, until it is asked to stop. `instance` is a name of the process that
/// stays over restarts.
///
/// # Errors
/// The group cannot be a member's, or the topic is not the one that was read before.
pub async fn run_group(
    store: Store,
    kafka: Settings,
    instance: Option<String>,
    fleet: Arc<Fleet>,
    stop: CancellationToken,
) -> Result<(), KafkaError> {
    drive(&kafka, GROUP, ACTIVITY, instance.as_deref(), stop, move |log, stop| {
        let (store, fleet) = (store.clone(), Arc::clone(&fleet));
        async move {
            let (partition, progress) = (log.partition(), Arc::<Progress>::default());
            fleet.workers().insert(partition, (Arc::clone(&progress), log.clone()));
            let ended = one(store, log, progress, stop).await;
            fleet.workers().remove(&partition);
            ended
        }
    })
    .await
}

async fn one(store: Store, log: PartitionLog, progress: Arc<Progress>, stop: CancellationToken) -> Ended {
    let partition = log.partition();
    let position = match store.position(INGEST, partition).await {
        Ok(position) => position.unwrap_or_default(),
        Err(error) => return Ended::Again(error.to_string()),
    };
    let begun = match log.begin(position.next, position.last_event).await {
        Ok(begun) => begun,
        Err(error) => return error.into(),
    };
    if let Some((from, to)) = begun.gap
        && let Err(error) = store.record_gaps(vec![lost(&store, partition, from, to)]).await
    {
        return Ended::Again(error.to_string());
    }
    let stand = Stand { partition, stored: position.next, position: begun.position };
    let telling = {
        let (log, progress) = (log.clone(), Arc::clone(&progress));
        move |stored| {
            progress.set(stored);
            log.commit(stored);
        }
    };
    match run_partition(store, log, stand, BATCH, telling, stop).await {
        Ok(()) => Ended::Asked,
        Err(error) => Ended::Again(error.to_string()),
    }
}

fn lost(store: &Store, partition: Partition, from: i64, to: i64) -> NewGap {
    tracing::error!(%partition, from, to, "records were removed from the topic before they were stored");
    let now = store.now();
    NewGap {
        rule_id: String::new(),
        key: partition.to_string(),
        from: now,
        to: now,
        lost: to - from,
        reason: format!("offsets {from} to {} were removed from the topic before they were stored", to - 1),
    }
}
