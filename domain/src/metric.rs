//! The figures that the program keeps of itself, by the names under which Prometheus gets them. What is not in this table
//! is not exported; where each is counted, its name is taken from here.

/// What a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counted by size.
    Histogram,
}

/// A figure.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, with its unit at the end.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it says, in a sentence.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = concat!("security_analytics_", $name);)*
        /// All of them.
        pub const METRICS: &[Metric] = &[$(Metric { name: $constant, kind: Kind::$kind, help: $help }),*];
    };
}

metrics! {
    BUILD = Gauge "build_info" "1, with the version as a label.";
    HTTP_SECONDS = Histogram "http_request_duration_seconds" "Time to answer a request, by method, route and status.";
    DATABASE_READY = Gauge "database_ready" "1 where the database takes changes, 0 where it does not.";
    JOURNAL_ROWS = Gauge "journal_rows" "Activities and alerts that wait in the journal.";
    JOURNAL_AGE = Gauge "journal_age_seconds" "Age of about the oldest activity or alert that waits in the journal.";
    RELAY_PUBLISHED = Counter "relay_published_total" "Rows of the journal that Kafka has confirmed.";
    RELAY_FAILED = Counter "relay_failed_total" "Rows of the journal that Kafka has not confirmed and that are sent again.";
    RELAY_LEADS = Gauge "relay_leads" "1 where this process publishes the journal.";
    INGESTED = Counter "ingested_total" "Records of the log, by what became of them: stored, known, dead.";
    INGESTED_LATE = Counter "ingested_late_total" "Activities stored that came later than the lateness allows.";
    INGEST_LAG = Gauge "ingest_lag_records" "Records of the log that are not stored yet.";
    DETECTOR_LAG = Gauge "detector_lag_records" "Records of the log that the rules have not seen yet.";
    OBSERVED = Counter "detector_observed_total" "Records of the log that the rules have seen.";
    WATERMARK_AGE = Gauge "watermark_age_seconds" "How far behind the clock the watermark is, up to which everything is decided: lateness and a minute, while all is well.";
    LATENESS = Gauge "lateness_seconds" "How late an activity may come and still be looked at live (LATENESS).";
    BEHIND = Gauge "behind_watermark" "Activities since the start that came on time and yet behind the watermark.";
    PARTITIONS = Gauge "detector_partitions" "Partitions that this process's detector works on.";
    ALERTS = Counter "alerts_total" "Alerts that the live detector brought into the queue or found risen there, by rule and the severity that they came to; without what an exception or a verdict keeps out.";
    ENGINE_BYTES = Gauge "engine_memory_bytes" "What the engine's windows take, by partition, when they were last looked at.";
    ENGINE_KEYS = Gauge "engine_keys" "Users, sessions and addresses that the engine keeps something of, by partition.";
    DEAD_LETTERS = Gauge "dead_letters" "Records that could not be read or stored and stand among the dead letters.";
    COVERAGE_GAPS = Gauge "coverage_gaps" "Gaps in what the rules have seen, of the last week.";
    WEBHOOK_DELIVERIES = Counter "webhook_deliveries_total" "Attempts to tell a webhook, by what became of them: delivered, failed (tried again), dead.";
    WEBHOOK_PENDING = Gauge "webhook_pending" "Messages that wait to be delivered to webhooks.";
    WEBHOOK_AGE = Gauge "webhook_oldest_seconds" "Age of the oldest message that waits to be delivered to a webhook.";
    WEBHOOK_DEAD = Gauge "webhook_dead" "Messages to webhooks that were given up and not sent again.";
    BCRYPT_WAITING = Gauge "bcrypt_waiting" "Log-ins that wait for a core.";
    SPANS_LOST = Counter "trace_spans_lost_total" "Spans that the collector of traces did not take.";
    MEMORY = Gauge "process_resident_memory_bytes" "Memory of the process.";
    CPU = Counter "process_cpu_seconds_total" "CPU time of the process since its start, in whole seconds.";
    FILES = Gauge "process_open_files" "Open files and sockets of the process.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_counters_say_so() {
        for (at, metric) in METRICS.iter().enumerate() {
            assert!(METRICS[at + 1..].iter().all(|other| other.name != metric.name), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            assert!(metric.help.ends_with('.'));
            // Families come in no order: each says by itself what it is about.
            assert!(!metric.help.ends_with(" of them."), "{}", metric.name);
        }
    }
}
