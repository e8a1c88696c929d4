//! `reprocess`: the alerts that lateness kept out, found in what is stored.

use std::sync::Arc;

use detector::reprocess::reprocess;
use detector::worker;
use domain::{Partition, Timestamp};

use super::Context;
use super::backtest::{engine_settings, time};
use crate::cli;
use crate::failure::{Failure, Outcome};
use crate::hooks;
use crate::output;
use crate::progress::Bar;

pub(crate) async fn run(args: cli::Reprocess, context: &Context) -> Outcome {
    let from = time("--from", Some(&args.from))?.unwrap_or(Timestamp::MIN);
    let to = time("--to", args.to.as_deref())?.map_or_else(|| context.clock.now(), |to| to.plus(-1));
    if to < from {
        return Err(Failure::usage("--to lies before --from; there is nothing between them"));
    }
    let rules = Arc::new(hooks::rules_of(&context.config)?);
    let store = context.store_to_fill().await?;
    let parts = worker::Parts {
        settings: engine_settings(context, Some(&store)).await?,
        store: store.clone(),
        rules,
        lateness: context.config.lateness,
        passed: worker::passed_by(context.clock.clone()),
        status: Arc::default(),
        partition: Partition::JOURNAL,
    };
    let mut bar = Bar::new(context);
    // Not by their times: between what was imported and what came since there may be years.
    let total = if bar.is_shown() { store.count_stored(from, to).await.map_err(context.failed())? } else { 0 };
    let done = reprocess(&parts, from, to, |progress| {
        bar.show_count(progress.events, total, || format!("{} activities, up to {}", progress.events, progress.at));
    })
    .await;
    drop(bar);
    let done = done.map_err(|error| match error {
        worker::WorkerError::Store(error) => context.failed()(error),
        other => Failure::internal(other.to_string()),
    })?;
    store.close().await;
    output::print(format!(
        "{} activities, {} of them late; {} alerts and signals found, {} of them new, {} known before, {} of which have risen",
        done.events, done.late, done.found, done.new, done.known, done.risen
    ))?;
    for alert in &done.alerts {
        output::print(format!("  {}  {:8}  {}  {:?}", alert.at, alert.severity, alert.rule, alert.key))?;
    }
    Ok(())
}
