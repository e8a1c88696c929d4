//! `bench`: this build on this machine, as a table. The load generator shares the machine with what it measures, so the
//! ratios within one run say more than the figures.

mod engine;
mod events;
mod http;
mod kafka;
mod latency;
mod load;
mod login;
mod server;
mod table;

use super::Context;
use crate::cli;
use crate::failure::{Failure, Outcome};
use crate::output;
use table::Table;

const NAMES: [&str; 4] = ["engine", "http", "latency", "login"];

/// The one that needs servers, and so is measured only when it is asked for.
const OVER_KAFKA: &str = "kafka";

pub(crate) async fn run(args: cli::Bench, context: &Context) -> Outcome {
    let wanted = |name: &&&str| args.names.is_empty() || args.names.iter().any(|given| given == **name);
    let mut table = Table::default();
    for name in NAMES.iter().filter(wanted) {
        output::note(format!("measuring: {name}"));
        table.append(match *name {
            "engine" => {
                let files = args.events.clone();
                blocking(move || engine::run(&files)).await?
            }
            "http" => http::run(&args).await?,
            "latency" => latency::run(&args).await?,
            _ => login::run(&args).await?,
        });
    }
    if args.names.iter().any(|given| given == OVER_KAFKA) {
        output::note("measuring: kafka");
        table.append(kafka::run(&args, context).await?);
    }
    output::print(table.to_string().trim_end())
}

/// Work that keeps a core busy, beside the runtime's own threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Outcome<T> + Send + 'static) -> Outcome<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::internal(format!("a measurement fell over: {error}")))?
}
