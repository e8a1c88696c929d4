//! `reprocess`: the alerts that lateness kept out, found in what is stored.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use detector::reprocess::{Progress, reprocess};
use detector::worker;
use domain::{Partition, Timestamp};

use super::Context;
use super::backtest::{engine_settings, time};
use crate::cli;
use crate::failure::{Failure, Outcome};
use crate::hooks;
use crate::output;

/// Characters of the bar.
const BAR: usize = 30;

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
    let mut bar = Bar::new(from, to);
    let done = reprocess(&parts, from, to, |progress| bar.show(progress)).await;
    bar.end();
    let done = done.map_err(|error| match error {
        worker::WorkerError::Store(error) => context.failed()(error),
        other => Failure::internal(other.to_string()),
    })?;
    store.close().await;
    output::print(format!(
        "{} activities, {} of them late; {} alerts and signals found, {} of them new, {} known before",
        done.events, done.late, done.found, done.new, done.known
    ))?;
    for alert in &done.alerts {
        output::print(format!("  {}  {:8}  {}  {:?}", alert.at, alert.severity, alert.rule, alert.key))?;
    }
    Ok(())
}

/// How far it is, on a terminal; elsewhere nothing, since a log of percentages tells nobody anything.
struct Bar {
    from: Timestamp,
    to: Timestamp,
    first: Option<Timestamp>,
    shown: bool,
}

impl Bar {
    fn new(from: Timestamp, to: Timestamp) -> Self {
        Self { from, to, first: None, shown: io::stderr().is_terminal() }
    }

    fn show(&mut self, progress: Progress) {
        // What is asked for may begin long before there was anything.
        let first = *self.first.get_or_insert(progress.at.max(self.from));
        if self.shown {
            let line = line(first, self.to, progress);
            // Nobody is there to see it if that fails.
            drop(write!(io::stderr().lock(), "\r{line}"));
        }
    }

    fn end(&self) {
        if self.shown {
            output::note("");
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share between 0 and 1"
)]
fn line(first: Timestamp, to: Timestamp, progress: Progress) -> String {
    let share = (progress.at.since(first) as f64 / to.since(first).max(1) as f64).clamp(0.0, 1.0);
    let full = (share * BAR as f64) as usize;
    format!(
        "[{}{}] {:3.0} %  {} activities, up to {}",
        "#".repeat(full),
        " ".repeat(BAR - full),
        share * 100.0,
        progress.events,
        progress.at
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_with_time() {
        let at = |micros| Timestamp::from_micros(micros);
        let half = line(at(0), at(1_000), Progress { events: 7, at: at(500) });
        assert!(half.starts_with(&format!("[{}{}]  50 %  7 activities", "#".repeat(15), " ".repeat(15))), "{half}");
        assert!(line(at(5), at(5), Progress { events: 0, at: at(5) }).contains("  0 %"));
        assert!(line(at(0), at(10), Progress { events: 0, at: at(99) }).contains("100 %"));
    }
}
