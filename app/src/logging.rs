//! The log: to standard error, as text on a terminal and as JSON elsewhere.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Config, LogFormat};
use crate::failure::{Failure, Outcome};
use crate::output;

/// Starts the log of this process. `level` is what holds where the configuration names no filter.
///
/// # Errors
/// A filter that cannot be read.
pub(crate) fn start(config: &Config, level: &str) -> Outcome {
    let directives = config.log.as_deref().unwrap_or(level);
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        Failure::usage(format!("log \"{directives}\": {error}; write it like info or info,api=debug"))
    })?;
    let terminal = io::stderr().is_terminal();
    let format = config.log_format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let started = match format {
        LogFormat::Text => registry.with(layer.with_ansi(output::is_coloured(&io::stderr()))).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    // Fails only where the process has a log already, as in tests that run commands side by side.
    drop(started);
    Ok(())
}
