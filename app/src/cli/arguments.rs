//! What each command takes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `demo`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  security-analytics demo

It runs in a temporary directory and on a port of its own, touches nothing of ./data, and goes on until Ctrl-C, \
which removes it all. It prints the dashboard's address and password, and each attack when it is caught, with the \
rule and a link to the alert. With --no-wait: exit code 1 if an attack was not caught.")]
pub struct Demo {
    /// How many people are at work
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub users: u16,
    /// Days of history
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=90))]
    pub days: u16,
    /// How long the attacks take, such as 30s
    #[arg(long = "for", value_name = "DURATION", default_value = "25s")]
    pub length: String,
    /// End with the last attack, without waiting for Ctrl-C
    #[arg(long)]
    pub no_wait: bool,
}

/// `backtest`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  security-analytics backtest --events auth.ndjson --alerts alerts.ndjson
  zcat old.ndjson.gz | security-analytics backtest --events - --rules my-rules/
  security-analytics backtest --stored --from 2026-01-01 --to 2026-02-01

Alerts go to standard output unless --alerts names a file, one JSON object a line; the summary (events, late, \
rejected, alerts by rule) goes to standard error. Lines that are no activity are counted and named there, and stop \
nothing: the exit code is 0 whether or not there are alerts.")]
pub struct Backtest {
    /// NDJSON files in the order given, `-` for standard input; may be repeated
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "stored", conflicts_with = "stored")]
    pub events: Vec<PathBuf>,
    /// The activities in the configured database, in event time
    #[arg(long)]
    pub stored: bool,
    /// With --stored: from this time on (RFC 3339 or a day)
    #[arg(long, value_name = "TIME", requires = "stored", conflicts_with = "events")]
    pub from: Option<String>,
    /// With --stored: up to this time, which is left out
    #[arg(long, value_name = "TIME", requires = "stored", conflicts_with = "events")]
    pub to: Option<String>,
    /// Where the alerts go, `-` for standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub alerts: PathBuf,
    /// With --events: how late one may be and still count, such as 30s, 5m, 1h [default: that of the configuration, 5m].
    /// What is stored was late or not when it came
    #[arg(long, value_name = "DURATION", conflicts_with = "stored")]
    pub lateness: Option<String>,
}

/// `reprocess`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  security-analytics reprocess --from 2026-01-01 --to 2026-01-08

It prints how many activities were looked at, how many alerts were missing and how many rose, then each of these: an \
alert that is over rises where what came late made it worse; one that goes on is left to the server. It may run \
beside the server. Running it again stores nothing twice.")]
pub struct Reprocess {
    /// From this time on (RFC 3339 or a day)
    #[arg(long, value_name = "TIME")]
    pub from: String,
    /// Up to this time, which is left out [default: now]
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
}

/// `rules ...`.
#[derive(Debug, Subcommand)]
pub enum Rules {
    /// Validate rules: errors with file, line and hint; exit code 1 if there are any
    #[command(after_help = "\
Examples:
  security-analytics rules check my-rules/ more.yml
  security-analytics rules check --rules my-rules/

It prints one line where all are valid; else a line for each error, with file, line and what to change. Without \
paths: the rules that a server with this configuration would run, RULES included.")]
    Check {
        /// Rule files or folders [default: the configured rules]
        paths: Vec<PathBuf>,
    },
    /// The active rules: id, title, level, techniques, window, key, memory per key, what they give, and whether they
    /// decide at once or when the watermark has passed
    #[command(after_help = "\
Examples:
  security-analytics rules list | grep T1110
  security-analytics rules list my-rules/

One line a rule, a title above the columns.")]
    List {
        /// Rule files or folders that replace or add to the built-in set
        paths: Vec<PathBuf>,
    },
    /// Run the scenario folders that stand beside the rules; exit code 1 if one differs
    #[command(after_help = "\
Examples:
  security-analytics rules test my-rules/
  security-analytics rules test --rules my-rules/

A scenario is my-rules/tests/<name of the rule>/<case>/ with events.ndjson and expected.ndjson: the alerts of that \
rule, each line any of its members; an empty file says that there is none. A case in which a file is missing \
differs. It prints what differs, and how many passed.")]
    Test {
        /// Folders to search for scenarios [default: those of the configured rules, else ./rules]
        paths: Vec<PathBuf>,
    },
}

/// `key ...`.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make a key; it is shown once and stored as a digest
    #[command(after_help = "\
Examples:
  security-analytics key create firewall
  security-analytics key create pipeline --expires 2027-01-01

The key alone goes to standard output, so that it can be kept: key=$(security-analytics key create NAME). It is \
sent as `Authorization: Bearer <key>` with POST /api/logs/. A running server takes it at once.")]
    Create {
        /// The system that will use it; becomes the origin of what it posts
        name: String,
        /// What the key may do
        #[arg(long, default_value = "ingest", value_parser = ["ingest"])]
        scope: String,
        /// When it stops working (RFC 3339 or a day) [default: never]
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// All keys, without their secrets: name, id, scope, when made, state
    #[command(after_help = "Example:\n  security-analytics key list")]
    List,
    /// End a key: a running server refuses it within a second; exit code 1 if there is none of that name
    #[command(after_help = "Example:\n  security-analytics key revoke firewall")]
    Revoke {
        /// Its name
        name: String,
    },
}

/// `admin ...`.
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Give a user a new password and end its sessions
    #[command(after_help = "\
Examples:
  security-analytics admin reset-password ann
  security-analytics admin reset-password ann --password-stdin < password.txt

A password that is made goes to standard output, once. A running server notices within a second. Exit code 1: there \
is no such user.")]
    ResetPassword {
        /// The user's name
        user: String,
        /// Read the new password from standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// Make a user
    #[command(after_help = "\
Examples:
  security-analytics admin create-user ann --role supervisor
  security-analytics admin create-user ben --role employee --password-stdin < password.txt

A password that is made goes to standard output, once. Exit code 1: there is a user of that name.")]
    CreateUser {
        /// The user's name
        user: String,
        /// admin, supervisor, employee or contractor
        #[arg(long, default_value = "admin", value_parser = ["admin", "supervisor", "employee", "contractor"])]
        role: String,
        /// Address for mail
        #[arg(long)]
        email: Option<String>,
        /// Full name
        #[arg(long)]
        full_name: Option<String>,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
    },
}

/// `import`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  security-analytics import --from mysql://reader:secret@old-host/inventory
  security-analytics import --from mysql://reader:secret@old-host/inventory --zone +02:00

It only reads there. With the embedded database the server must not run meanwhile. It prints how many rows of each \
table were taken, and why others were not; IMPORT_FROM in place of --from keeps the password out of the list of \
processes. Run it again as often as you like: what is here already stays as it is. Users keep their passwords. Logs \
are history: nothing of them is alerted live; `backtest --stored` shows what the rules say of them, and `reprocess` \
stores it. Where nobody was an Admin, nobody is one now: it says so, and `admin create-user` makes one.")]
pub struct Import {
    /// Its database
    #[arg(long, value_name = "URL", env = "IMPORT_FROM", hide_env_values = true)]
    pub from: String,
    /// The zone of its times, where they name none
    #[arg(long, value_name = "OFFSET", default_value = "+00:00")]
    pub zone: String,
}

/// `dlq ...`.
#[derive(Debug, Subcommand)]
pub enum Dlq {
    /// The newest, with the reason of each
    #[command(after_help = "\
Example:
  security-analytics dlq list --limit 10

Two lines a record: its number, when, from which topic, partition and offset, why; and how its text begins.")]
    List {
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=100_000))]
        limit: i64,
    },
    /// One, whole: the reason on standard error, its text on standard output
    #[command(after_help = "\
Example:
  security-analytics dlq show 17 > record.json

Exit code 1: there is none of that number.")]
    Show {
        /// Its number
        id: i64,
    },
    /// Try some again: what can be read now becomes an activity, once; exit code 1 if any is left
    #[command(after_help = "\
Examples:
  security-analytics dlq replay 17 18
  security-analytics dlq replay --all

Those that stay are named with the reason, on standard error.")]
    Replay {
        /// Their numbers
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<i64>,
        /// All of them
        #[arg(long)]
        all: bool,
    },
}

/// `offsets ...`.
#[derive(Debug, Subcommand)]
pub enum Offsets {
    /// The next offset of each reader in each partition
    #[command(after_help = "Example:\n  security-analytics offsets list")]
    List,
    /// Forget where a reader stands, after a topic was recreated: it begins at the beginning; stop its role first
    #[command(after_help = "\
Example:
  security-analytics offsets reset ingest --topic activity

What comes again is known by its ids and stored once. Exit code 1: nothing is stored of that reader and topic.")]
    Reset {
        /// ingest, detector or intake
        #[arg(value_parser = ["ingest", "detector", "intake"], hide_possible_values = true)]
        reader: String,
        /// Of this topic only
        #[arg(long)]
        topic: Option<String>,
        /// Of this partition only
        #[arg(long)]
        partition: Option<i64>,
    },
}

/// `config ...`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every setting, its value, and where that comes from; secrets are masked
    #[command(after_help = "\
Examples:
  security-analytics config show
  security-analytics config show --config analytics.toml | grep kafka

One line a setting, under its name in the file; in the environment the same name stands in capitals (`log` is \
RUST_LOG). It works on what was given, valid or not.")]
    Show,
    /// Is the configuration valid? Exit code 2 if not, with what to change
    #[command(after_help = "Example:\n  security-analytics config check --config analytics.toml")]
    Check,
}

/// `bench`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  security-analytics bench http latency
  security-analytics bench engine --events auth.ndjson

It prints a table: what was measured, the figure, and beside it the ratio to what the same machine does without us. \
kafka needs DATABASE_URL (an empty database) and KAFKA_BROKERS; everything else runs in a temporary data directory \
on a port of its own. The load generator shares the machine with the server: trust the ratios of one run more than \
its figures.")]
pub struct Bench {
    /// What to measure [default: all but kafka]
    #[arg(value_parser = ["http", "latency", "login", "engine", "kafka"])]
    pub names: Vec<String>,
    /// Seconds per measurement
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// Connections of the load generator
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub connections: u64,
    /// NDJSON files for `engine` besides the generated million events; may be repeated
    #[arg(long, value_name = "FILE")]
    pub events: Vec<PathBuf>,
}

/// `simulate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  security-analytics simulate
  security-analytics simulate --for 30s --attack guessing --attack exfiltration

It prints a line for each attack: whom it was about, and which rule caught it after how long. The Admin's password \
comes from ADMIN_PASSWORD or from initial-admin-password in the data directory. The key that is made for the run is \
revoked at its end. What is posted stays in the server's history: use one that may hold it. Exit code 1: an attack \
was not caught.")]
pub struct Simulate {
    /// The server
    #[arg(long, default_value = "http://127.0.0.1:5000")]
    pub url: String,
    /// The Admin who makes the key
    #[arg(long, default_value = "admin")]
    pub user: String,
    /// How many people are at work
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub users: u16,
    /// What they do, in events a second over all
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub rate: u16,
    /// For how long, such as 30s or 5m
    #[arg(long = "for", value_name = "DURATION", default_value = "30s")]
    pub length: String,
    /// An attack to hide, may be repeated [default: all; insider-at-night outside WORKING_HOURS only]
    #[arg(long = "attack", value_name = "NAME",
          value_parser = ["guessing", "spraying", "exfiltration", "stolen-session", "enumeration", "insider-at-night"])]
    pub attacks: Vec<String>,
    /// The same seed is the same people
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// `tail`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  security-analytics tail --severity high

The password comes from ADMIN_PASSWORD or from initial-admin-password in the data directory. A line is: when \
(its newest event), severity, rule, who, and why. A connection that breaks is made again, and nothing that happened meanwhile is left \
out. Colours are for terminals, and not where NO_COLOR is set.")]
pub struct Tail {
    /// The server
    #[arg(long, default_value = "http://127.0.0.1:5000")]
    pub url: String,
    /// Who looks: an Admin or a Supervisor
    #[arg(long, default_value = "admin")]
    pub user: String,
    /// At least this severe
    #[arg(long, default_value = "low", value_parser = ["informational", "low", "medium", "high", "critical"])]
    pub severity: String,
}
