//! [`Config`]: every setting, read, typed and checked. Each error names the setting, where its value comes from, and
//! what to do.

pub mod keys;
pub mod layers;
pub mod read;
pub mod secret;

use std::net::SocketAddr;
use std::path::PathBuf;

use chrono_tz::Tz;
use ipnet::IpNet;

use crate::failure::{Failure, Outcome};
use keys::Key;
use layers::{Layers, Origin, Value};
pub use secret::Secret;

/// Where everything is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// A file in the data directory.
    Sqlite,
    /// A MariaDB or MySQL server; the URL has its password in it.
    MySql(Secret),
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line, for programs.
    Json,
}

/// The effective configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of the REST API.
    pub listen: SocketAddr,
    /// Where the embedded database and the made secrets live.
    pub data_dir: PathBuf,
    /// The database.
    pub database: Database,
    /// Whether a role brings the database to this version when it starts.
    pub auto_migrate: bool,
    /// Kafka brokers, separated by commas.
    pub kafka_brokers: Option<String>,
    /// Partitions of topics that are made; the same for every process.
    pub kafka_partitions: i32,
    /// Replicas of topics that are made; `None` is three, or as many as there are brokers.
    pub kafka_replication: Option<i32>,
    /// How long topics that are made keep activities, in microseconds.
    pub kafka_retention: i64,
    /// Stands before the names of topics and groups.
    pub kafka_topic_prefix: String,
    /// After so long without a word from a process others take over its work, in microseconds.
    pub kafka_session_timeout: i64,
    /// A name of this process that stays over restarts.
    pub kafka_instance: Option<String>,
    /// Settings of librdkafka: TLS, SASL.
    pub kafka_settings: Vec<(String, Secret)>,
    /// From so many activities on that wait in the journal, no more are taken.
    pub journal_limit: i64,
    /// Rules beside the set in the binary.
    pub rules: Vec<PathBuf>,
    /// Signs access tokens; `None` where it is made at first start.
    pub jwt_secret_key: Option<Secret>,
    /// Password of the first user; `None` where it is made at first start.
    pub admin_password: Option<Secret>,
    /// Origins that a browser may call from.
    pub cors_origins: Vec<String>,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where people find the dashboard, for links in messages; without a slash at its end.
    pub public_url: Option<String>,
    /// Networks that webhooks may reach beside the public ones.
    pub webhook_allowed_networks: Vec<IpNet>,
    /// Whether requests are limited.
    pub rate_limit: bool,
    /// Whether anybody may register as an Employee.
    pub self_registration: bool,
    /// Whether anybody who reaches the address may read `/metrics`.
    pub metrics: bool,
    /// Zone of the working hours; `None` is the one that was kept at first start.
    pub time_zone: Option<Tz>,
    /// What counts as working hours, in the words of the rules' calendar.
    pub working_hours: String,
    /// How late an activity may come and still be alerted live, in microseconds.
    pub lateness: i64,
    /// How long a session lives, in microseconds.
    pub session_ttl: i64,
    /// How long activities are kept, in microseconds.
    pub retention: i64,
    /// What is logged, as `tracing` filters are written; `None` where nobody said anything.
    pub log: Option<String>,
    /// How; `None` is text on a terminal and JSON elsewhere.
    pub log_format: Option<LogFormat>,
    /// Cost of new password hashes. Not a setting: tests lower it.
    pub bcrypt_cost: u32,
}

impl Config {
    /// Reads and checks every single value; what they mean together is [`check`](Self::check)'s.
    ///
    /// # Errors
    /// The first value that is wrong.
    pub fn read(layers: &Layers) -> Outcome<Self> {
        let listen = required(layers, "listen", read::address)?;
        Ok(Self {
            listen,
            data_dir: required(layers, "data_dir", read::path)?,
            database: optional(layers, "database_url", read::database)?.unwrap_or(Database::Sqlite),
            auto_migrate: required(layers, "auto_migrate", read::switch)?,
            kafka_brokers: optional(layers, "kafka_brokers", read::brokers)?,
            kafka_partitions: required(layers, "kafka_partitions", |text| read::number_within(text, 1, 1_000))?,
            kafka_replication: optional(layers, "kafka_replication", |text| read::number_within(text, 1, 100))?,
            kafka_retention: required(layers, "kafka_retention", |text| read::duration_within(text, "1h", "36500d"))?,
            kafka_topic_prefix: optional(layers, "kafka_topic_prefix", read::prefix)?.unwrap_or_default(),
            kafka_session_timeout: required(layers, "kafka_session_timeout", |text| {
                read::duration_within(text, "6s", "5m")
            })?,
            kafka_instance: optional(layers, "kafka_instance", read::prefix)?,
            kafka_settings: optional(layers, "kafka_settings", read::kafka_settings)?.unwrap_or_default(),
            journal_limit: required(layers, "journal_limit", |text| read::number_within(text, 1_000, 1_000_000_000))?,
            rules: optional(layers, "rules", read::paths)?.unwrap_or_default(),
            jwt_secret_key: optional(layers, "jwt_secret_key", secret::token_secret)?,
            admin_password: optional(layers, "admin_password", secret::password)?,
            cors_origins: required(layers, "cors_origins", read::origins)?,
            trusted_proxies: optional(layers, "trusted_proxies", read::networks)?.unwrap_or_default(),
            public_url: optional(layers, "public_url", read::public_url)?,
            webhook_allowed_networks: optional(layers, "webhook_allowed_networks", read::networks)?.unwrap_or_default(),
            rate_limit: required(layers, "rate_limit", read::switch)?,
            self_registration: optional(layers, "self_registration", read::switch)?
                .unwrap_or_else(|| listen.ip().is_loopback()),
            metrics: optional(layers, "metrics", read::switch)?.unwrap_or_else(|| listen.ip().is_loopback()),
            time_zone: optional(layers, "time_zone", read::zone)?,
            working_hours: required(layers, "working_hours", read::hours)?,
            lateness: required(layers, "lateness", |text| read::duration_within(text, "0s", "7d"))?,
            session_ttl: required(layers, "session_ttl", |text| read::duration_within(text, "1m", "90d"))?,
            retention: required(layers, "retention", |text| read::duration_within(text, "1d", "36500d"))?,
            log: given(layers, "log").map(|value| value.text),
            log_format: optional(layers, "log_format", read::log_format)?,
            bcrypt_cost: 12,
        })
    }

    /// Whether the values go together, for whatever serves.
    ///
    /// # Errors
    /// A combination that cannot work, with a sentence that says why and what to set.
    pub fn check(&self) -> Outcome {
        match (&self.database, &self.kafka_brokers) {
            (Database::MySql(_), None) => Err(Failure::usage(
                "DATABASE_URL names a MySQL server, but KAFKA_BROKERS is not set: with a database that several \
                 processes share, activities travel through Kafka. Set KAFKA_BROKERS, or remove DATABASE_URL to keep \
                 everything in one process on SQLite.",
            )),
            (Database::Sqlite, Some(_)) => Err(Failure::usage(
                "KAFKA_BROKERS is set, but the database is SQLite, a file that belongs to one process, where Kafka \
                 would connect nothing. Set DATABASE_URL=mysql://..., or remove KAFKA_BROKERS.",
            )),
            (Database::MySql(_), Some(_)) if self.jwt_secret_key.is_none() => Err(Failure::usage(
                "JWT_SECRET_KEY is not set, and with MySQL none is made: every process needs the same one. Set at \
                 least 32 random bytes, such as the output of `openssl rand -base64 48`.",
            )),
            _ => Ok(()),
        }
    }

    /// The embedded database's file.
    #[must_use]
    pub fn database_file(&self) -> PathBuf {
        self.data_dir.join("analytics.db")
    }
}

/// What somebody said, if anybody did.
fn given(layers: &Layers, name: &str) -> Option<Value> {
    let key = keys::find(name)?;
    layers.get(key).filter(|value| value.origin != Origin::Default)
}

fn required<T>(layers: &Layers, name: &str, read: impl Fn(&str) -> Result<T, String>) -> Outcome<T> {
    optional(layers, name, read)?.ok_or_else(|| Failure::internal(format!("the setting {name} has no default")))
}

fn optional<T>(layers: &Layers, name: &str, read: impl Fn(&str) -> Result<T, String>) -> Outcome<Option<T>> {
    let Some(key) = keys::find(name) else {
        return Err(Failure::internal(format!("{name} is not in the table of settings")));
    };
    let Some(value) = layers.get(key) else { return Ok(None) };
    read(&value.text).map(Some).map_err(|what| wrong(key, &value, &what))
}

/// The error about one value. What was given is repeated, unless it is a secret.
fn wrong(key: &Key, value: &Value, what: &str) -> Failure {
    let shown = if key.secret { String::new() } else { format!(" \"{}\"", value.text) };
    Failure::usage(format!("{} ({}){shown}: {what}", key.name, value.origin))
}

#[cfg(test)]
mod tests;
