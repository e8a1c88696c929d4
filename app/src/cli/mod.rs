//! The command line: what there is to type, and the help that says so. Nothing here acts.
//!
//! | file | what |
//! |---|---|
//! | `mod` | the commands, and the flags that all of them have |
//! | `arguments` | what each command takes |

mod arguments;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use arguments::{
    Admin, Backtest, Bench, ConfigCommand, Demo, Dlq, Import, Key, Offsets, Reprocess, Rules, Simulate, Tail,
};

const EXAMPLES: &str = "\
Examples:
  security-analytics                                   start everything on http://127.0.0.1:5000
  security-analytics --listen 0.0.0.0:8080 --data-dir /var/lib/security-analytics
  security-analytics backtest --events auth.ndjson     which alerts would these events have raised?
  security-analytics rules check my-rules/             are these rules valid?
  security-analytics key create firewall               a key for a system that posts events

Exit codes: 0 done, 1 the answer is no, 2 usage or configuration, 3 a dependency is unavailable.";

/// Turns what people do in a business application into explained risk scores, and keeps the evidence.
#[derive(Debug, Parser)]
#[command(name = "security-analytics", version, about, after_help = EXAMPLES)]
pub struct Cli {
    /// What every command may be told.
    #[command(flatten)]
    pub settings: Settings,
    /// The command; none is `serve`.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags that override the environment, which overrides the file, which overrides the defaults.
#[derive(Debug, Default, Clone, Args)]
#[command(next_help_heading = "Configuration (flag over environment over file over default)")]
pub struct Settings {
    /// Read settings from this TOML file [env: CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address of the REST API [env: LISTEN] [default: 127.0.0.1:5000]
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Where the embedded database and the made secrets live [env: DATA_DIR] [default: ./data]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// mysql://user:password@host/database instead of the embedded SQLite file [env: DATABASE_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// Kafka brokers, required with MySQL [env: KAFKA_BROKERS]
    #[arg(long, global = true, value_name = "HOST:PORT,...")]
    pub kafka_brokers: Option<String>,
    /// Rule file or folder: replaces rules with the same id, adds others; `backtest`: these rules only;
    /// may be repeated [env: RULES]
    #[arg(long, global = true, value_name = "PATH")]
    pub rules: Vec<PathBuf>,
    /// Origins that a browser may call from [env: CORS_ORIGINS]
    #[arg(long, global = true, value_name = "ORIGIN,...")]
    pub cors_origins: Option<String>,
    /// What to log: error, warn, info, debug, or a filter such as info,api=debug [env: RUST_LOG]
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// text or json [env: LOG_FORMAT] [default: text on a terminal, json elsewhere]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the API, ingest and the detector in one process (what no command does, too)
    Serve,
    /// Run the API alone, over Kafka and MariaDB
    Api,
    /// Run ingest alone, over Kafka and MariaDB
    Ingest,
    /// Run the detector alone, over Kafka and MariaDB
    Detector,
    /// Bring the database to this version and exit
    Migrate,
    /// Run the rules over events from a file or from the database; changes nothing
    Backtest(Backtest),
    /// Run the rules over stored activities, late ones included, and store the alerts that are missing
    Reprocess(Reprocess),
    /// Check, list and test rules
    #[command(subcommand)]
    Rules(Rules),
    /// API keys of other systems that post events
    #[command(subcommand)]
    Key(Key),
    /// When nobody can log in
    #[command(subcommand)]
    Admin(Admin),
    /// The effective configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Copy the embedded database to a new file, also beside a live server
    Backup {
        /// The copy; must not exist
        file: PathBuf,
    },
    /// Take over users, inventory, orders, sessions and logs of an existing installation (Flask and MySQL)
    Import(Import),
    /// Records that could not be read or stored
    #[command(subcommand)]
    Dlq(Dlq),
    /// How far the readers of the log are
    #[command(subcommand)]
    Offsets(Offsets),
    /// Completions for a shell, to be sourced or put where it looks for them
    Completions {
        /// bash, elvish, fish, powershell or zsh
        shell: clap_complete::Shell,
    },
    /// Measure this build on this machine: load, latency, log-ins, engine
    Bench(Bench),
    /// See it at work: a server of its own with a month of history, and attacks that are caught before your eyes
    Demo(Demo),
    /// Post the work of many people to a running server, with attacks hidden in it; says which were caught
    Simulate(Simulate),
    /// Follow the alerts of a running server, a line for each change, until Ctrl-C
    Tail(Tail),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("security-analytics").chain(words.iter().copied()))
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_is_serve_and_flags_stand_on_either_side() {
        let cli = parse(&["--listen", "[::1]:80"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.settings.listen.as_deref(), Some("[::1]:80"));
        let cli = parse(&["migrate", "--data-dir", "/x"]).unwrap();
        assert_eq!(cli.settings.data_dir.as_deref(), Some("/x"));
        let cli = parse(&["backtest", "--events", "a", "--rules", "r", "--rules", "s"]).unwrap();
        assert_eq!(cli.settings.rules, [PathBuf::from("r"), PathBuf::from("s")]);
    }

    #[test]
    fn backtest_needs_one_source_and_no_more() {
        assert!(parse(&["backtest"]).is_err());
        assert!(parse(&["backtest", "--events", "a", "--stored"]).is_err());
        assert!(parse(&["backtest", "--events", "a", "--from", "2026-01-01"]).is_err());
        let Some(Command::Backtest(backtest)) =
            parse(&["--rules", "r", "backtest", "--events", "a", "b"]).unwrap().command
        else {
            panic!("another command");
        };
        assert_eq!(backtest.events, [PathBuf::from("a"), PathBuf::from("b")]);
        assert_eq!(backtest.alerts, PathBuf::from("-"));
        assert!(parse(&["backtest", "--stored", "--from", "2026-01-01"]).is_ok());
    }

    #[test]
    fn wrong_usage_is_exit_code_two() {
        assert_eq!(parse(&["rules", "chek"]).unwrap_err().exit_code(), 2);
        assert_eq!(parse(&["key", "create", "x", "--scope", "root"]).unwrap_err().exit_code(), 2);
        assert_eq!(parse(&["--help"]).unwrap_err().exit_code(), 0);
    }
}
