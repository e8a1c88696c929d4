//! What Prometheus is told: counters where things happen, and what is looked up when it asks.

use std::sync::{Arc, OnceLock};

use domain::metric::{self, Kind, METRICS};
use domain::{DAY, SECOND};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde_json::{Map, Value};
use store::Store;

use crate::config::Config;

/// Bounds of times to answer, in seconds.
const BUCKETS: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];
/// Most gaps that are counted.
const GAPS: i64 = 10_000;

/// The recorder of this process; made once, whatever starts in it.
fn recorder() -> Option<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let times = Matcher::Full(metric::HTTP_SECONDS.to_owned());
            let builder = PrometheusBuilder::new().set_buckets_for_metric(times, &BUCKETS);
            let installed = builder
                .map_err(|error| error.to_string())
                .and_then(|builder| builder.install_recorder().map_err(|error| error.to_string()));
            match installed {
                Ok(handle) => {
                    describe();
                    Some(handle)
                }
                Err(error) => {
                    tracing::error!(error, "nothing can be told to Prometheus");
                    None
                }
            }
        })
        .as_ref()
}

fn describe() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, Unit::Seconds, metric.help),
        }
    }
    // A queue in which nobody has waited yet is empty, not unknown.
    gauge!(metric::BCRYPT_WAITING).set(0.0);
}

/// That there is a recorder, which everything that is counted from now on goes to.
#[derive(Clone, Copy)]
pub(crate) struct Recorder(&'static PrometheusHandle);

impl Recorder {
    /// Made before anything counts: what is counted without one is lost.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        let handle = recorder()?;
        #[expect(clippy::cast_precision_loss, reason = "a duration")]
        gauge!(metric::LATENESS).set(config.lateness as f64 / SECOND as f64);
        Some(Self(handle))
    }

    /// Answers `GET /metrics`.
    pub(crate) fn hook(self, store: Store, readiness: api::Readiness) -> api::Metrics {
        Arc::new(move || {
            let (store, readiness) = (store.clone(), readiness.clone());
            Box::pin(async move {
                match readiness().await {
                    Ok(ready) => look(&store, &ready).await,
                    Err(error) => {
                        gauge!(metric::DATABASE_READY).set(0.0);
                        tracing::warn!(%error, "Prometheus is told the last figures: the database does not answer");
                    }
                }
                process();
                gauge!(metric::BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
                self.0.run_upkeep();
                self.0.render()
            })
        })
    }
}

/// What is looked up. What cannot be, keeps its last value.
async fn look(store: &Store, ready: &Map<String, Value>) {
    let now = store.now();
    #[expect(clippy::cast_precision_loss, reason = "counts of rows")]
    let set = |name: &'static str, value: i64| gauge!(name).set(value as f64);
    let member = |name: &str| ready.get(name).and_then(Value::as_i64);
    for (name, member) in [
        (metric::JOURNAL_ROWS, member("journal_rows")),
        (metric::JOURNAL_AGE, member("journal_age_s")),
        (metric::INGEST_LAG, member("ingest_lag")),
        (metric::DETECTOR_LAG, member("detector_lag")),
        (metric::BEHIND, member("behind")),
        (metric::PARTITIONS, member("partitions")),
    ] {
        if let Some(value) = member {
            set(name, value);
        }
    }
    if let Some(database) = ready.get("database") {
        set(metric::DATABASE_READY, i64::from(database == "ready"));
    }
    if let Some(relay) = ready.get("relay") {
        set(metric::RELAY_LEADS, i64::from(relay == "leads"));
    }
    let watermark = ready.get("watermark").and_then(Value::as_str).and_then(domain::Timestamp::parse);
    if let Some(watermark) = watermark {
        set(metric::WATERMARK_AGE, now.since(watermark) / SECOND);
    }
    if let Ok(letters) = store.count_dead_letters().await {
        set(metric::DEAD_LETTERS, letters);
    }
    if let Ok(outbox) = store.outbox_status().await {
        set(metric::WEBHOOK_PENDING, outbox.pending);
        set(metric::WEBHOOK_AGE, outbox.oldest.map_or(0, |oldest| now.since(oldest).max(0) / SECOND));
        set(metric::WEBHOOK_DEAD, outbox.dead);
    }
    if let Ok(gaps) = store.coverage_gaps(now.plus(-7 * DAY), GAPS).await {
        set(metric::COVERAGE_GAPS, i64::try_from(gaps.len()).unwrap_or(i64::MAX));
    }
}

/// What the system says of this process (proc(5)); elsewhere than on Linux it says nothing.
fn process() {
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        #[expect(clippy::cast_precision_loss, reason = "a number of files")]
        gauge!(metric::FILES).set(files.count() as f64);
    }
    let read = |name: &str| std::fs::read_to_string(name).unwrap_or_default();
    if let Some(pages) = read("/proc/self/statm").split(' ').nth(1).and_then(|pages| pages.parse::<u32>().ok()) {
        gauge!(metric::MEMORY).set(f64::from(pages) * 4096.0);
    }
    // The name of the program, in brackets, may hold anything.
    let stat = read("/proc/self/stat");
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: Vec<u64> = after.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse().ok()).collect();
    if let [user, system] = ticks[..] {
        // Linux counts in hundredths wherever it runs.
        counter!(metric::CPU).absolute(user.saturating_add(system) / 100);
    }
}
