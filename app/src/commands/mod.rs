//! One file for each command, and what they share.

pub(crate) mod admin;
pub(crate) mod backtest;
mod backup;
pub(crate) mod bench;
mod client;
pub(crate) mod config;
mod context;
mod demo;
mod dlq;
mod import;
mod key;
pub(crate) mod migrate;
mod offsets;
mod own_server;
pub(crate) mod reprocess;
pub(crate) mod rules;
pub(crate) mod serve;
mod simulate;
mod tail;

use std::io::{self, Write};
use std::sync::Arc;

use clap::CommandFactory;
use domain::{Activity, LogType, SystemClock};

use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::config::layers::{Layers, Surroundings};
use crate::failure::{Failure, Outcome};
use crate::logging;
use crate::output;
use crate::roles::ProcessRole;
use crate::telemetry::Telemetry;
pub(crate) use context::Context;

/// The program's.
const NAME: &str = "security-analytics";

/// Reads the configuration, starts the log and the async runtime, and runs the command.
pub(crate) fn dispatch(cli: Cli) -> Outcome {
    let command = cli.command.unwrap_or(Command::Serve);
    if let Command::Completions { shell } = &command {
        return completions(*shell);
    }
    let layers = Layers::collect(&cli.settings, &Surroundings::of_this_process()?)?;
    if let Command::Config(args) = &command {
        // Works on what was given, valid or not.
        return config::run(args, &layers);
    }
    let config = Config::read(&layers)?;
    let serves = matches!(command, Command::Serve | Command::Api | Command::Ingest | Command::Detector);
    // Beside its answer a command logs only what somebody has to see.
    let level = if serves { "info" } else { "warn" };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unavailable(format!("no threads can be started: {error}")))?;
    let env = |name: &str| std::env::var(name).ok();
    let telemetry = if serves { Telemetry::start(env, runtime.handle())? } else { None };
    logging::start(&config, level, telemetry.as_ref())?;
    if serves {
        Telemetry::say(telemetry.as_ref(), env);
    }
    let context = Context { flags: cli.settings, config, clock: Arc::new(SystemClock) };
    let outcome = runtime.block_on(async {
        match command {
            Command::Serve => serve::run(context, ProcessRole::All).await,
            Command::Api => serve::run(context, ProcessRole::Api).await,
            Command::Ingest => serve::run(context, ProcessRole::Ingest).await,
            Command::Detector => serve::run(context, ProcessRole::Detector).await,
            Command::Migrate => migrate::run(&context).await,
            Command::Backtest(args) => backtest::run(args, &context).await,
            Command::Reprocess(args) => reprocess::run(args, &context).await,
            Command::Rules(args) => rules::run(args, &context).await,
            Command::Key(args) => key::run(args, &context).await,
            Command::Admin(args) => admin::run(args, &context).await,
            Command::Backup { file } => backup::run(&file, &context).await,
            Command::Import(args) => import::run(args, &context).await,
            Command::Dlq(args) => dlq::run(args, &context).await,
            Command::Offsets(args) => offsets::run(args, &context).await,
            Command::Demo(args) => demo::run(args, &context).await,
            Command::Bench(args) => bench::run(args, &context).await,
            Command::Simulate(args) => simulate::run(args, &context).await,
            Command::Tail(args) => tail::run(args, &context).await,
            Command::Config(_) | Command::Completions { .. } => Ok(()),
        }
    });
    if let Some(telemetry) = telemetry {
        telemetry.end();
    }
    // Nothing that matters is left by now; a blocking call that hangs must not keep the process.
    runtime.shutdown_background();
    outcome
}

fn completions(shell: clap_complete::Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if shell == clap_complete::Shell::Bash {
        // clap_complete (4.6.12) writes the hyphen in the program's name in one way where the script says where it is, and
        // in another where it looks what comes there, so below the first command it would offer nothing.
        script = script.replace(&NAME.replace('-', "__subcmd__"), &NAME.replace('-', "__"));
    }
    output::wrote(io::stdout().lock().write_all(script.as_bytes())).map(drop)
}

/// An activity of whoever may run commands on this machine: nobody that the `users` table knows.
fn on_the_command_line(context: &Context, action: &str, resource: &str, log_type: LogType, detail: String) -> Activity {
    let now = context.clock.now();
    let mut activity = Activity::new(domain::ids::event_id(now), action, now);
    activity.resource = Some(resource.to_owned());
    activity.log_type = Some(log_type);
    activity.detail = Some(detail);
    activity.attributes.insert("by".to_owned(), "command line".into());
    activity
}
