//! The detector beyond one machine: events are split by user and once more by source address, and each partition that
//! falls to this process has a worker with an engine of its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bus::kafka::{ACTIVITY, BY_SOURCE, Ended, KafkaError, PartitionLog, Settings as Kafka, drive};
use domain::{Partition, SharedClock, Timestamp};
use store::{DETECTOR, Store};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::Settings;
use crate::rebuild::rebuild;
use crate::recovery;
use crate::rules::{RuleSet, Share, undistributable};
use crate::worker::{Parts, Passed, Status, WorkerError, work};

/// The groups that share the two splits of the events.
const BY_USER_GROUP: &str = "security-analytics.detector";
const BY_SOURCE_GROUP: &str = "security-analytics.detector.by-source";
/// How often it is asked whether everything has left the journal.
const LOOK: Duration = Duration::from_secs(1);
/// How often Kafka's own tools are told how far the work is.
const TELL: Duration = Duration::from_secs(5);

/// What a distributed detector is made of.
#[derive(Clone)]
pub struct Distributed {
    /// Where alerts go.
    pub store: Store,
    /// The rules, all of them.
    pub rules: Arc<RuleSet>,
    /// Zones and calendars.
    pub settings: Settings,
    /// How late an activity may be, in microseconds.
    pub lateness: i64,
    /// The clock that the watermark follows while nothing comes.
    pub clock: SharedClock,
    /// Where activities come from.
    pub kafka: Kafka,
    /// The name of this process that stays over restarts, where it has one.
    pub instance: Option<String>,
    /// Where the workers say how far they are.
    pub fleet: Arc<Fleet>,
}

/// The workers of a process.
#[derive(Debug, Default)]
pub struct Fleet(Mutex<BTreeMap<Partition, Arc<Status>>>);

impl Fleet {
    fn workers(&self) -> MutexGuard<'_, BTreeMap<Partition, Arc<Status>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many partitions are worked on.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.workers().len()
    }

    /// Everything up to here is final in all of them; none while one of them is not ready, or there is none.
    #[must_use]
    pub fn watermark(&self) -> Option<Timestamp> {
        let workers = self.workers();
        let watermarks: Option<Vec<Timestamp>> = workers.values().map(|status| status.watermark()).collect();
        watermarks?.into_iter().min()
    }

    /// Activities that were late, and such that came on time and yet behind the watermark.
    #[must_use]
    pub fn late_and_behind(&self) -> (u64, u64) {
        let workers = self.workers();
        workers.values().fold((0, 0), |(late, behind), status| (late + status.late(), behind + status.behind()))
    }
}

/// Works on the partitions that fall to this process, until it is asked to stop.
///
/// # Errors
/// The group cannot be a member's, a topic is not the one that was read before, or an engine stopped.
pub async fn run(distributed: Distributed, stop: CancellationToken) -> Result<(), WorkerError> {
    for (at, reason) in undistributable(&distributed.rules) {
        let rule = &distributed.rules.rules[at];
        tracing::error!(rule = rule.title, file = rule.file, reason, "a rule does not run here");
    }
    recovery::supersede(&distributed.store, &distributed.rules).await?;
    let journal = Arc::new(AtomicI64::new(i64::MIN));
    let passed: Passed = {
        let journal = Arc::clone(&journal);
        Arc::new(move || Timestamp::from_micros(journal.load(Ordering::Relaxed)))
    };
    let share = |topic, group, share| {
        let parts = Parts {
            store: distributed.store.clone(),
            rules: Arc::new(distributed.rules.of_share(share)),
            settings: distributed.settings.clone(),
            lateness: distributed.lateness,
            passed: passed.clone(),
            status: Arc::default(),
            partition: Partition { topic, number: 0 },
        };
        let (kafka, fleet) = (distributed.kafka.clone(), Arc::clone(&distributed.fleet));
        let (settings, instance, stop) = (distributed.kafka.clone(), distributed.instance.clone(), stop.clone());
        async move {
            let each = move |log: PartitionLog, stop| {
                let partition = log.partition();
                let parts = Parts { partition, status: Arc::default(), ..parts.clone() };
                let (kafka, fleet) = (kafka.clone(), Arc::clone(&fleet));
                async move {
                    fleet.workers().insert(partition, Arc::clone(&parts.status));
                    let ended = one(parts, &kafka, log, stop).await;
                    fleet.workers().remove(&partition);
                    ended
                }
            };
            drive(&settings, group, topic, instance.as_deref(), stop, each).await
        }
    };
    let shares = async {
        tokio::try_join!(
            share(ACTIVITY, BY_USER_GROUP, Share::ByUser),
            share(BY_SOURCE, BY_SOURCE_GROUP, Share::BySource)
        )
    };
    let looking = follow(&distributed.store, &distributed.clock, &journal);
    let done: Result<_, KafkaError> = tokio::select! {
        done = shares => done,
        () = looking => Ok(((), ())),
    };
    done?;
    Ok(())
}

/// Keeps the moment up to which everything received has left the journal: what is in it yet has still to come. For ever.
async fn follow(store: &Store, clock: &SharedClock, passed: &AtomicI64) {
    loop {
        let now = clock.now();
        match store.journal_oldest().await {
            Ok(oldest) => passed.store(oldest.map_or(now, |oldest| oldest.min(now)).micros(), Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "the journal cannot be looked at; the watermark stands still"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Works on one partition.
async fn one(parts: Parts, kafka: &Kafka, log: PartitionLog, stop: CancellationToken) -> Ended {
    let (partition, started) = (parts.partition, Instant::now());
    let position = match parts.store.position(DETECTOR, partition).await {
        Ok(position) => position.unwrap_or_default(),
        Err(error) => return Ended::Again(error.to_string()),
    };
    let begun = match log.begin(position.next, position.last_event).await {
        Ok(begun) => begun,
        Err(error) => return error.into(),
    };
    let Some(recovered) = stop.run_until_cancelled(rebuild(&parts, kafka, position, begun)).await else {
        return Ended::Asked;
    };
    let recovered = match recovered {
        Ok(recovered) => recovered,
        Err(error) => return ended(error),
    };
    let (events, took_ms) = (recovered.events, started.elapsed().as_millis());
    tracing::info!(%partition, rules = parts.rules.rules.len(), events, took_ms, "the detector is ready");
    let (status, of_log) = (Arc::clone(&parts.status), log.clone());
    let telling = async {
        loop {
            tokio::time::sleep(TELL).await;
            of_log.commit(status.position());
        }
    };
    tokio::select! {
        done = work(parts, log, recovered, stop) => match done {
            Ok(()) => Ended::Asked,
            Err(error) => ended(error),
        },
        () = telling => Ended::Asked,
    }
}

fn ended(error: WorkerError) -> Ended {
    match error {
        WorkerError::Engine(_) => Ended::Failed(error.to_string()),
        other => Ended::Again(other.to_string()),
    }
}
