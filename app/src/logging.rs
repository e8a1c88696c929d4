//! The log: to standard error, as text on a terminal and as JSON elsewhere.

use std::io::{self, IsTerminal};

use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt};

use crate::config::{Config, LogFormat};
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::telemetry::Telemetry;

/// Starts the log of this process. `level` is what holds where the configuration names no filter; `telemetry` gets the
/// spans, whatever that filter says.
///
/// # Errors
/// A filter that cannot be read.
pub(crate) fn start(config: &Config, level: &str, telemetry: Option<&Telemetry>) -> Outcome {
    let filter = filter(config, level)?;
    let terminal = io::stderr().is_terminal();
    let format = config.log_format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let layer = fmt::layer().with_writer(io::stderr);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => Box::new(layer.with_ansi(output::is_coloured(&io::stderr()))),
        // The innermost span is enough: it has the request's id.
        LogFormat::Json => Box::new(layer.json().flatten_event(true).with_span_list(false)),
    };
    let started = match telemetry {
        // A filter for all costs less than one for each.
        None => layer.with_subscriber(Registry::default()).with(filter).try_init(),
        Some(telemetry) => Registry::default().with(layer.with_filter(filter)).with(telemetry.layer()).try_init(),
    };
    // Fails only where the process has a log already, as in tests that run commands side by side.
    drop(started);
    Ok(())
}

/// What is logged, where the configuration has no filter of its own: `level`.
///
/// # Errors
/// A filter that cannot be read.
pub(crate) fn filter(config: &Config, level: &str) -> Outcome<EnvFilter> {
    let directives = config.log.as_deref().unwrap_or(level);
    EnvFilter::try_new(directives)
        .map_err(|error| Failure::usage(format!("log \"{directives}\": {error}; write it like info or info,api=debug")))
}
