//! Whether the database takes changes, and how far the workers are: what `GET /api/health/ready` tells, the dashboard's
//! page of the system and Prometheus.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bus::kafka::{self, ACTIVITY, BY_SOURCE, KafkaError, Lags};
use detector::distributed::Fleet;
use detector::worker;
use domain::SECOND;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use serde_json::{Map, Value, json};
use store::{DETECTOR, INGEST, JournalStatus, Store};
use tokio::time::{Instant, timeout};

/// For how long it holds that the database takes changes, or does not. Anybody may ask, and must not be able to make it
/// work.
const HOLDS: Duration = Duration::from_secs(1);
/// How long a change may take: half of what an orchestrator waits for the whole answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The members, while the database answers.
type Members = store::Result<Map<String, Value>>;

/// Of workers on the embedded journal.
pub(crate) fn embedded(store: Store, status: Arc<worker::Status>) -> api::Readiness {
    let probe = Arc::new(Probe::default());
    Arc::new(move || {
        let (store, status, probe) = (store.clone(), status.clone(), probe.clone());
        Box::pin(async move {
            let (mut members, JournalStatus { last_seq, .. }) = journal(&store, &probe).await?;
            let ingest = (last_seq - store.offset(INGEST).await?).max(0);
            let detector = (last_seq - store.offset(DETECTOR).await?).max(0);
            members.extend([
                ("journal_pending".to_owned(), ingest.max(detector).into()),
                ("ingest_lag".to_owned(), ingest.into()),
                ("detector_lag".to_owned(), detector.into()),
                ("watermark".to_owned(), json!(status.watermark())),
                ("late".to_owned(), status.late().into()),
                ("behind".to_owned(), status.behind().into()),
            ]);
            Members::Ok(members)
        })
    })
}

/// Of roles over Kafka: what of the log is not stored and not looked at yet, by the brokers' offsets and the database's,
/// so that every role tells the same.
pub(crate) fn over_kafka(
    store: Store,
    kafka: kafka::Settings,
    relay: Arc<relay::Status>,
    fleet: Arc<Fleet>,
) -> api::Readiness {
    let (lags, probe) = (Arc::new(Lags::new(kafka)), Arc::new(Probe::default()));
    Arc::new(move || {
        let (store, lags, relay, fleet) = (store.clone(), lags.clone(), relay.clone(), fleet.clone());
        let probe = probe.clone();
        Box::pin(async move {
            let (mut members, JournalStatus { rows, .. }) = journal(&store, &probe).await?;
            let (kafka, ingest, detector) = match still_to_do(&store, &lags).await? {
                Ok((ingest, detector)) => ("ready", Some(ingest), Some(detector)),
                Err(error) => {
                    // Requests are taken, and wait in the journal.
                    tracing::warn!(%error, "Kafka does not answer");
                    ("unavailable", None, None)
                }
            };
            let (late, behind) = fleet.late_and_behind();
            members.extend([
                ("journal_pending".to_owned(), rows.into()),
                ("kafka".to_owned(), kafka.into()),
                ("ingest_lag".to_owned(), ingest.into()),
                ("detector_lag".to_owned(), detector.into()),
                ("watermark".to_owned(), json!(fleet.watermark())),
                ("partitions".to_owned(), fleet.partitions().into()),
                ("late".to_owned(), late.into()),
                ("behind".to_owned(), behind.into()),
                ("relay".to_owned(), if relay.leads() { "leads" } else { "stands by" }.into()),
            ]);
            Members::Ok(members)
        })
    })
}

/// Whether the database takes changes, as it was found out last.
#[derive(Default)]
struct Probe(Mutex<Option<(Instant, Finding)>>);

type Finding = Shared<BoxFuture<'static, bool>>;

impl Probe {
    /// Asks it, or waits for whoever is asking already. In a task of its own: who asks and goes away leaves the finding
    /// to the others.
    fn find(&self, store: &Store) -> Finding {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, finding)) = &*last
            && (finding.peek().is_none() || at.elapsed() < HOLDS)
        {
            return finding.clone();
        }
        let task = tokio::spawn(takes_changes(store.clone()));
        let finding = task.map(|found| found.unwrap_or(false)).boxed().shared();
        *last = Some((Instant::now(), finding.clone()));
        finding
    }
}

async fn takes_changes(store: Store) -> bool {
    match timeout(PATIENCE, store.try_to_write()).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the database takes no changes");
            false
        }
        Err(_) => {
            tracing::warn!("not ready: the database has not taken a change in {} s", PATIENCE.as_secs());
            false
        }
    }
}

/// Whether the database takes changes, and what the journal holds.
async fn journal(store: &Store, probe: &Probe) -> store::Result<(Map<String, Value>, JournalStatus)> {
    let takes_changes = probe.find(store).await;
    let status = store.journal_status().await?;
    let oldest = store.journal_oldest().await?;
    let age = oldest.map_or(0, |oldest| store.now().since(oldest).max(0) / SECOND);
    let database = if takes_changes { "ready" } else { "unavailable" };
    let members = [
        ("database".to_owned(), database.into()),
        ("journal_rows".to_owned(), status.rows.into()),
        ("journal_age_s".to_owned(), age.into()),
    ];
    Ok((Map::from_iter(members), status))
}

/// How many records of the log ingest and the detector have still to work on, or that Kafka does not tell.
///
/// # Errors
/// The database cannot be read.
pub(crate) async fn still_to_do(store: &Store, lags: &Lags) -> store::Result<Result<(i64, i64), KafkaError>> {
    // First how far they are: what comes meanwhile is then still to be done.
    let (ingest, detector) = (store.offsets(INGEST).await?, store.offsets(DETECTOR).await?);
    let of = async |offsets: &[(String, i64, i64)], topic: &'static str| {
        let at =
            |number: i64| offsets.iter().find(|(of, part, _)| of == topic && *part == number).map_or(0, |row| row.2);
        let ends = lags.ends(topic).await?;
        Ok::<i64, KafkaError>(
            ends.iter().map(|(number, first, end)| (end - at(i64::from(*number)).max(*first)).max(0)).sum(),
        )
    };
    let all = async {
        let detector = of(&detector, ACTIVITY).await?.max(of(&detector, BY_SOURCE).await?);
        Ok((of(&ingest, ACTIVITY).await?, detector))
    };
    Ok(all.await)
}
