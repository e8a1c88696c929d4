//! The command line: what there is to type, and the help that says so. Nothing here acts.
//!
//! | file | what |
//! |---|---|
//! | `mod` | the commands, and the flags that all of them have |
//! | `arguments` | what each command takes |
//! | `wrong` | what was typed is none of it: one line |

mod arguments;
pub(crate) mod wrong;

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

`security-analytics COMMAND --help` has examples of each, and says what it prints. Settings without a flag, such as \
RETENTION or TRUSTED_PROXIES, come from the environment, `.env` or the file: `security-analytics config show` lists \
all.

Answers go to standard output; notes, progress (on a terminal) and errors to standard error. NO_COLOR is honoured.
Exit codes: 0 done, 1 the answer is no, 2 usage or configuration, 3 a dependency is unavailable, 70 a fault of ours.";

const SERVE: &str = "\
Examples:
  security-analytics serve
  security-analytics serve --listen 0.0.0.0:8080 --data-dir /var/lib/security-analytics

On a terminal it prints the addresses and, at the first start, the Admin's password; the log goes to standard \
error. Ctrl-C or SIGTERM finishes what is under way; it ends within ten seconds with exit code 0, a second one ends \
it at once.";

const API: &str = "\
Example:
  security-analytics api --listen 0.0.0.0:5000

It needs DATABASE_URL, KAFKA_BROKERS and JWT_SECRET_KEY, the same in every process. Start as many as you like. \
Requests are taken while Kafka is away; they wait in the journal.";

const INGEST: &str = "\
Example:
  security-analytics ingest --listen 127.0.0.1:5001

It stores what stands in Kafka, and one of its kind publishes the journal there. It needs DATABASE_URL, \
KAFKA_BROKERS and JWT_SECRET_KEY, the same in every process; start up to KAFKA_PARTITIONS of them. /api/health and \
/metrics answer on LISTEN.";

const DETECTOR: &str = "\
Example:
  security-analytics detector --listen 127.0.0.1:5002 --rules my-rules/

It runs the rules over what stands in Kafka. It needs DATABASE_URL, KAFKA_BROKERS and JWT_SECRET_KEY, the same in \
every process; start up to KAFKA_PARTITIONS of them. /api/health and /metrics answer on LISTEN.";

const COMPLETIONS: &str = "\
Examples:
  security-analytics completions bash | sudo tee /etc/bash_completion.d/security-analytics
  security-analytics completions zsh > ~/.zfunc/_security-analytics
  security-analytics completions fish > ~/.config/fish/completions/security-analytics.fish
  security-analytics completions powershell >> $PROFILE

The script goes to standard output. For one user, bash looks in ~/.local/share/bash-completion/completions. zsh \
looks in ~/.zfunc where .zshrc has `fpath+=~/.zfunc` before `compinit`.";

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
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address of the REST API [env: LISTEN] [default: 127.0.0.1:5000]
    #[arg(long, global = true, hide_short_help = true, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Where the embedded database and the made secrets live [env: DATA_DIR] [default: ./data]
    #[arg(long, global = true, hide_short_help = true, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// mysql://user:password@host/database instead of the embedded SQLite file [env: DATABASE_URL]
    #[arg(long, global = true, hide_short_help = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// Kafka brokers, required with MySQL [env: KAFKA_BROKERS]
    #[arg(long, global = true, hide_short_help = true, value_name = "HOST:PORT,...")]
    pub kafka_brokers: Option<String>,
    /// Rule file or folder: replaces rules with the same id, adds others; `backtest`: these rules only;
    /// may be repeated [env: RULES]
    #[arg(long, global = true, hide_short_help = true, value_name = "PATH")]
    pub rules: Vec<PathBuf>,
    /// Origins that a browser may call from [env: CORS_ORIGINS]
    #[arg(long, global = true, hide_short_help = true, value_name = "ORIGIN,...")]
    pub cors_origins: Option<String>,
    /// What to log: error, warn, info, debug, or a filter such as info,api=debug [env: RUST_LOG]
    #[arg(long, global = true, hide_short_help = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// No progress on standard error, which is for terminals only anyway
    #[arg(long, short, global = true, help_heading = "Options")]
    pub quiet: bool,
    /// How the log is written [env: LOG_FORMAT] [default: text on a terminal, json elsewhere]
    #[arg(long, global = true, hide_short_help = true, value_name = "FORMAT", value_parser = ["text", "json"],
          ignore_case = true)]
    pub log_format: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the API, ingest and the detector in one process (what no command does, too)
    #[command(after_help = SERVE)]
    Serve,
    /// Run the API alone, over Kafka and MariaDB
    #[command(after_help = API)]
    Api,
    /// Run ingest alone, over Kafka and MariaDB
    #[command(after_help = INGEST)]
    Ingest,
    /// Run the detector alone, over Kafka and MariaDB
    #[command(after_help = DETECTOR)]
    Detector,
    /// Bring the database to this version and exit
    #[command(after_help = "\
Example:
  security-analytics migrate

It prints the version that the schema has then. Servers do the same when they start, unless AUTO_MIGRATE=false. \
Migrate before you start new servers beside old ones: the old ones go on working.")]
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
    #[command(after_help = "\
Example:
  security-analytics backup /backup/analytics.db --data-dir /var/lib/security-analytics

The copy is consistent, and holds password hashes: keep it as the database is kept. To restore, put it into an \
empty data directory as analytics.db.")]
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
    #[command(after_help = COMPLETIONS)]
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

    /// Each command without commands of its own, with the words that one types.
    fn each(command: &clap::Command, words: &str, look: &mut impl FnMut(&str, &clap::Command)) {
        let mut leaf = true;
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            leaf = false;
            each(sub, &format!("{words} {}", sub.get_name()), look);
        }
        if leaf {
            look(words, command);
        }
    }

    #[test]
    fn every_command_says_what_it_is_for_and_gives_an_example_of_itself() {
        let mut seen = 0;
        each(&Cli::command(), "security-analytics", &mut |words, command| {
            seen += 1;
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(about.len() > 10, "{words}: {about}");
            let more = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let mut typed = more.lines().filter(|line| line.starts_with("  "));
            assert!(more.contains("Example") && typed.clone().any(|line| line.contains(words)), "{words}: {more}");
            // Wider than clap makes it, a line would be broken where nobody meant it; prose it may break.
            assert!(typed.all(|line| line.chars().count() <= 100), "{words}: {more}");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{words}: {argument}");
            }
        });
        assert!(seen > 25, "only {seen} commands");
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
        assert!(parse(&["backtest", "--events", "a", "--lateness", "1h"]).is_ok());
        assert!(parse(&["backtest", "--stored", "--lateness", "1h"]).is_err());
    }

    #[test]
    fn wrong_usage_is_exit_code_two() {
        assert_eq!(parse(&["rules", "chek"]).unwrap_err().exit_code(), 2);
        assert_eq!(parse(&["key", "create", "x", "--scope", "root"]).unwrap_err().exit_code(), 2);
        assert_eq!(parse(&["--help"]).unwrap_err().exit_code(), 0);
    }
}
