//! The program: command line, configuration, and the wiring of the roles into one process. The only place that
//! chooses backends.
//!
//! | file | what |
//! |---|---|
//! | [`cli`] | what there is to type |
//! | [`config`] | settings, where each comes from, and the secrets that are made at first start |
//! | [`commands`] | one file for each command; `serve` puts the roles together |
//! | [`server`](Server), `roles` | a server from its data directory to its end; what runs in it |
//! | `distributed` | the roles over Kafka and a shared database |
//! | `upkeep` | trimming the journal, forgetting old activities |
//! | `data` | the data directory: its lock, what is kept in it, opening the database |
//! | `webhooks` | the sender of webhooks: its worker, and what the API asks of it |
//! | `lifecycle` | signals, tasks, the two stages of the end |
//! | `readiness`, `metrics` | whether the database takes changes, how far the workers are; what Prometheus is told |
//! | `logging` | text on a terminal, JSON elsewhere |
//! | `telemetry`, `tls` | spans to a collector (feature `otel`) |
//! | [`failure`] | why a command did not do what was asked: one line and an exit code |
//! | `output` | standard output: the only place that writes to it |
//! | `progress` | how far long work is, on a terminal |
//!
//! # How to add a command
//! Its words in `cli`, its file in `commands` with `pub(crate) fn run(args, &Context) -> Outcome` (async where it
//! waits for something), its line in `commands::dispatch`.
//!
//! # How to add a setting
//! Its row in `config::keys`, its member in [`Config`](config::Config) with the line that reads it.

pub mod cli;
pub mod commands;
pub mod config;
mod data;
mod distributed;
pub mod failure;
mod hooks;
mod lifecycle;
mod logging;
mod metrics;
mod output;
mod progress;
mod readiness;
mod roles;
mod server;
#[cfg_attr(not(feature = "otel"), path = "telemetry_none.rs")]
mod telemetry;
#[cfg(feature = "otel")]
mod tls;
mod upkeep;
mod webhooks;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use failure::Failure;
pub use roles::ProcessRole;
pub use server::{FIRST_ADMIN, Server, run};

/// The whole program: reads the command line `args` (the program's name first), does what it says, and returns the
/// exit code. Errors are one line on standard error.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match cli::Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            let failure = Failure::usage(cli::wrong::sentence(&error, &args));
            output::complain(&failure);
            return failure.exit_code();
        }
        // Help and version are answers, too, and go to standard output by themselves.
        Err(error) => error.exit(),
    };
    match commands::dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                output::complain(&failure);
            }
            failure.exit_code()
        }
    }
}
