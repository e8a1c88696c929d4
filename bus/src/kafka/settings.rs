//! [`Settings`], and what every client is made with.

use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;

/// Activities, split by user; the relay alone writes it.
pub const ACTIVITY: &str = "activity";
/// The same activities, those that have an address, split by that; the relay alone writes it.
pub const BY_SOURCE: &str = "activity.by-source";
/// What other systems write.
pub const ACTIVITY_IN: &str = "activity.in";
/// Changes of alerts, by alert; the relay alone writes it.
pub const ALERTS: &str = "alerts";

/// Settings of librdkafka that are not to be set from outside, because what reads and writes here depends on them.
const OURS: [&str; 10] = [
    "bootstrap.servers",
    "group.id",
    "group.protocol",
    "group.instance.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "enable.idempotence",
    "auto.offset.reset",
    "partitioner",
];

/// Where Kafka is, and how it is used.
#[derive(Clone)]
pub struct Settings {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// Stands before the names of topics and groups; may be empty.
    pub prefix: String,
    /// Partitions of a topic that is made.
    pub partitions: i32,
    /// Replicas of a topic that is made; none: three, or as many as there are brokers.
    pub replication: Option<i32>,
    /// How long a topic that is made keeps activities: so long a reader may be away.
    pub retention: Duration,
    /// After so long without a word from it, a member's partitions go to others.
    pub session_timeout: Duration,
    /// Settings of librdkafka beside [ours](Self::is_ours): TLS, SASL. The values may be secrets.
    pub extra: Vec<(String, String)>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { brokers, prefix, partitions, replication, retention, session_timeout, extra } = self;
        let extra: Vec<&str> = extra.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Settings")
            .field("brokers", brokers)
            .field("prefix", prefix)
            .field("partitions", partitions)
            .field("replication", replication)
            .field("retention", retention)
            .field("session_timeout", session_timeout)
            .field("extra", &extra)
            .finish()
    }
}

impl Settings {
    /// Settings for some brokers, with the usual values.
    #[must_use]
    pub fn of(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            prefix: String::new(),
            partitions: 12,
            replication: None,
            retention: Duration::from_secs(7 * 24 * 60 * 60),
            session_timeout: Duration::from_secs(10),
            extra: Vec::new(),
        }
    }

    /// Whether a setting of librdkafka is ours to set, and not one for [`extra`](Self::extra).
    #[must_use]
    pub fn is_ours(name: &str) -> bool {
        OURS.contains(&name)
    }

    /// The whole name of a topic or a group.
    #[must_use]
    pub fn name(&self, short: &str) -> String {
        format!("{}{short}", self.prefix)
    }

    /// Our name of a topic, from its whole name.
    pub(super) fn short(&self, name: &str) -> Option<&'static str> {
        let short = name.strip_prefix(self.prefix.as_str())?;
        [ACTIVITY, BY_SOURCE, ACTIVITY_IN, ALERTS].into_iter().find(|known| *known == short)
    }

    /// What every client has in common.
    pub(super) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "security-analytics")
            // Lost brokers are looked for again soon, and not all at once.
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "2000")
            // The whole structure would be logged.
            .set("statistics.interval.ms", "0")
            .set_log_level(rdkafka::config::RDKafkaLogLevel::Warning);
        for (name, value) in &self.extra {
            client.set(name, value);
        }
        client
    }

    /// What every consumer has in common. An offset that is not there is an error: by default the client would skip
    /// what retention took away, or begin anew, without a word.
    pub(super) fn consumer(&self) -> ClientConfig {
        let mut client = self.client();
        client
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.error.backoff.ms", "100")
            .set("queued.max.messages.kbytes", "16384");
        client
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_client_depends_on_is_ours_to_set() {
        let client = Settings::of("a:1").consumer();
        for name in ["bootstrap.servers", "enable.auto.commit", "auto.offset.reset", "enable.partition.eof"] {
            assert!(Settings::is_ours(name) && client.get(name).is_some(), "{name}");
        }
        assert!(!Settings::is_ours("security.protocol"));
    }

    #[test]
    fn names_have_the_prefix_and_secrets_are_not_shown() {
        let mut settings = Settings::of("a:1");
        settings.prefix = "eu.".to_owned();
        settings.extra.push(("sasl.password".to_owned(), "hush".to_owned()));
        assert_eq!(settings.name(BY_SOURCE), "eu.activity.by-source");
        assert_eq!(settings.short("eu.activity.by-source"), Some(BY_SOURCE));
        assert_eq!((settings.short("activity"), settings.short("eu.other")), (None, None));
        assert!(!format!("{settings:?}").contains("hush"));
    }
}
