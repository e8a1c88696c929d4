//! The table of settings: each key's names, its default and whether it is a secret. What is not in this table
//! cannot be configured, and `config show` prints exactly this table.

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// Its name in the file.
    pub name: &'static str,
    /// Its name in the environment.
    pub env: &'static str,
    /// Its flag, where it has one.
    pub flag: Option<&'static str>,
    /// The value when nobody says anything; `None` where there is none or it depends on the machine.
    pub default: Option<&'static str>,
    /// What `config show` says in place of a missing value.
    pub unset: &'static str,
    /// Secrets are masked wherever they are shown, and may come from the file that `<ENV>_FILE` names.
    pub secret: bool,
}

const fn key(name: &'static str, env: &'static str, default: Option<&'static str>) -> Key {
    Key { name, env, flag: None, default, unset: "none", secret: false }
}

impl Key {
    const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    const fn unset(mut self, words: &'static str) -> Self {
        self.unset = words;
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

/// Every setting, in the order in which they are shown.
pub const KEYS: &[Key] = &[
    key("listen", "LISTEN", Some("127.0.0.1:5000")).flag("--listen"),
    key("data_dir", "DATA_DIR", Some("./data")).flag("--data-dir"),
    // A secret because a password may stand in it; shown with that part masked.
    key("database_url", "DATABASE_URL", None).flag("--database-url").unset("SQLite in the data directory").secret(),
    key("auto_migrate", "AUTO_MIGRATE", Some("true")),
    key("kafka_brokers", "KAFKA_BROKERS", None).flag("--kafka-brokers"),
    key("kafka_partitions", "KAFKA_PARTITIONS", Some("12")),
    key("kafka_replication", "KAFKA_REPLICATION", None).unset("three, or as many as there are brokers"),
    key("kafka_retention", "KAFKA_RETENTION", Some("7d")),
    key("kafka_topic_prefix", "KAFKA_TOPIC_PREFIX", None),
    key("kafka_session_timeout", "KAFKA_SESSION_TIMEOUT", Some("10s")),
    key("kafka_instance", "KAFKA_INSTANCE", None).unset("none: a process that restarts is a new one to Kafka"),
    // A secret because passwords may stand in it.
    key("kafka_settings", "KAFKA_SETTINGS", None).unset("none: plain text, no log-in").secret(),
    key("journal_limit", "JOURNAL_LIMIT", Some("5000000")),
    key("metrics", "METRICS", None).unset("on while `listen` is a loopback address"),
    key("rules", "RULES", None).flag("--rules").unset("the set in the binary"),
    key("jwt_secret_key", "JWT_SECRET_KEY", None).unset("made at first start, kept in the data directory").secret(),
    key("admin_password", "ADMIN_PASSWORD", None).unset("made at first start").secret(),
    key("cors_origins", "CORS_ORIGINS", Some("http://localhost:5173,http://127.0.0.1:5173")).flag("--cors-origins"),
    key("trusted_proxies", "TRUSTED_PROXIES", None).unset("none: X-Forwarded-For is ignored"),
    key("public_url", "PUBLIC_URL", None).unset("none: messages to people hold no link"),
    key("webhook_allowed_networks", "WEBHOOK_ALLOWED_NETWORKS", None)
        .unset("none: webhooks reach public addresses, over https"),
    key("rate_limit", "RATE_LIMIT", Some("on")),
    key("self_registration", "SELF_REGISTRATION", None).unset("on while `listen` is a loopback address"),
    key("time_zone", "TIME_ZONE", None).unset("the machine's zone at first start, then kept"),
    key("working_hours", "WORKING_HOURS", Some("Mon-Fri 06:00-22:00")),
    key("lateness", "LATENESS", Some("5m")),
    key("session_ttl", "SESSION_TTL", Some("12h")),
    key("retention", "RETENTION", Some("400d")),
    key("log", "RUST_LOG", Some("info")).flag("--log"),
    key("log_format", "LOG_FORMAT", None).flag("--log-format").unset("text on a terminal, json elsewhere"),
];

/// The setting of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The known name that `wrong` was probably meant to be.
#[must_use]
pub fn nearest(wrong: &str) -> Option<&'static str> {
    let wrong = wrong.to_lowercase().replace('-', "_");
    KEYS.iter()
        .map(|key| (distance(&wrong, key.name), key.name))
        .min()
        .filter(|(distance, name)| *distance <= name.len() / 2)
        .map(|(_, name)| name)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_the_key() {
        assert_eq!(nearest("liste"), Some("listen"));
        assert_eq!(nearest("data-dir"), Some("data_dir"));
        assert_eq!(nearest("jwt_secret"), Some("jwt_secret_key"));
        assert_eq!(nearest("colour_of_the_sky"), None);
    }

    #[test]
    fn names_are_unique() {
        for (at, key) in KEYS.iter().enumerate() {
            assert!(KEYS[at + 1..].iter().all(|other| other.name != key.name && other.env != key.env));
        }
    }
}
