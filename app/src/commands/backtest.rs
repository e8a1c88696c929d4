//! `backtest`: which alerts would these events have raised?

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use detector::backtest::{Backtest, Summary};
use detector::engine::Settings;
use detector::rules::RuleSet;
use domain::{Alert, DAY, HOUR, MINUTE, SECOND, Timestamp};
use store::{Store, StoredRange};

use super::Context;
use super::rules::only;
use crate::cli;
use crate::config::read;
use crate::data;
use crate::failure::{Failure, Outcome};
use crate::hooks;
use crate::output;
use crate::progress::{Bar, mebibytes};

/// Rows of one page of stored activities: enough that the way to the database does not count, and a few MiB.
const PAGE: i64 = 5_000;

pub(crate) async fn run(args: cli::Backtest, context: &Context) -> Outcome {
    let lateness = match &args.lateness {
        Some(text) => read::duration_within(text, "0s", "7d")
            .map_err(|error| Failure::usage(format!("--lateness {text}: {error}")))?,
        None => context.config.lateness,
    };
    let span = span(args.from.as_deref(), args.to.as_deref())?;
    let rules = Arc::new(chosen_rules(context)?);
    // Before the work, so that a folder that is not there does not cost an hour.
    let mut alerts_to = Sink::open(&args.alerts)?;
    let begun = Instant::now();
    let (alerts, summary) = if args.stored {
        stored(span, context, rules, lateness).await?
    } else {
        let settings = engine_settings(context, None).await?;
        from_files(&args, Bar::new(context), settings, rules, lateness)?
    };
    let took = begun.elapsed();
    alerts_to.write(&alerts)?;
    tell(&summary, took);
    Ok(())
}

/// `--rules`: these only; else what a server with this configuration would run.
fn chosen_rules(context: &Context) -> Outcome<RuleSet> {
    if context.flags.rules.is_empty() { hooks::rules_of(&context.config) } else { only(&context.flags.rules) }
}

fn from_files(
    args: &cli::Backtest,
    mut bar: Bar,
    settings: Settings,
    rules: Arc<RuleSet>,
    lateness: i64,
) -> Outcome<(Vec<Alert>, Summary)> {
    let mut backtest = Backtest::new(rules, settings, lateness);
    // What comes from a pipe has no length.
    let length = |path: &PathBuf| fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|file| file.len());
    let total: Option<u64> = args.events.iter().map(length).sum();
    let mut read = 0;
    for path in &args.events {
        let read = if path.as_os_str() == "-" {
            backtest.read(Watched { reader: io::stdin().lock(), read: &mut read, total, bar: &mut bar })
        } else {
            File::open(path).and_then(|reader| backtest.read(Watched { reader, read: &mut read, total, bar: &mut bar }))
        };
        read.map_err(|error| Failure::usage(format!("--events {}: {error}", path.display())))?;
    }
    Ok(backtest.finish())
}

/// A reader that says how much of everything was read.
struct Watched<'a, R> {
    reader: R,
    read: &'a mut u64,
    total: Option<u64>,
    bar: &'a mut Bar,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.reader.read(into)?;
        *self.read += bytes as u64;
        let (read, total) = (*self.read, self.total);
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = total.map(|total| read as f64 / total.max(1) as f64);
        self.bar.show(share, || match total {
            Some(total) => format!("{} of {}", mebibytes(read), mebibytes(total)),
            None => format!("{} read", mebibytes(read)),
        });
        Ok(bytes)
    }
}

/// Reads pages, one after the other, each a short read: a live server beside it does not notice.
async fn stored(
    (from, to): (Timestamp, Timestamp),
    context: &Context,
    rules: Arc<RuleSet>,
    lateness: i64,
) -> Outcome<(Vec<Alert>, Summary)> {
    let store = context.store_as_it_is().await?;
    let unreadable = context.failed();
    let mut backtest = Backtest::new(rules, engine_settings(context, Some(&store)).await?, lateness);
    let range = StoredRange { from, to, up_to_seq: None, late: true };
    let (mut after, mut events, mut bar) = (None, 0, Bar::new(context));
    let total = if bar.is_shown() { store.count_stored(from, to).await.map_err(unreadable)? } else { 0 };
    loop {
        let page = store.stored_activities(&range, after, PAGE).await.map_err(unreadable)?;
        for row in &page {
            backtest.stored(&row.activity);
        }
        events += page.len() as u64;
        match page.last() {
            Some(row) if page.len() == usize::try_from(PAGE).unwrap_or(usize::MAX) => {
                let at = row.activity.occurred_at;
                bar.show_count(events, total, || format!("{events} activities, up to {at}"));
                after = Some(row.cursor());
            }
            _ => break,
        }
    }
    store.close().await;
    Ok(backtest.finish())
}

/// From when on, and the last moment that counts.
fn span(from: Option<&str>, to: Option<&str>) -> Outcome<(Timestamp, Timestamp)> {
    let first = time("--from", from)?.unwrap_or(Timestamp::MIN);
    let last = time("--to", to)?.map_or(Timestamp::MAX, |to| to.plus(-1));
    if last < first {
        let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
        return Err(Failure::usage(format!(
            "--to {to} is not after --from {from}: there is nothing between them, as --to is left out"
        )));
    }
    Ok((first, last))
}

/// A moment of the command line.
pub(super) fn time(flag: &str, text: Option<&str>) -> Outcome<Option<Timestamp>> {
    text.map(|text| {
        Timestamp::parse_lenient(text).ok_or_else(|| {
            Failure::usage(format!("{flag} {text} is no time; write 2026-01-31 or 2026-01-31T12:00:00Z"))
        })
    })
    .transpose()
}

/// The engine as a server with this configuration would set it. Of a database the kept zone and the users' own are read;
/// without one the zone is the configured one, else the machine's.
pub(super) async fn engine_settings(context: &Context, store: Option<&Store>) -> Outcome<Settings> {
    let config = &context.config;
    let Some(store) = store else {
        let zone = config.time_zone.unwrap_or_else(data::machine_zone);
        return hooks::settings(config, zone, HashMap::new());
    };
    // Not kept from here on: this changes nothing.
    let kept = store.setting(data::TIME_ZONE).await.map_err(|error| data::database_failed(config, &error))?;
    let kept = kept.and_then(|name| name.parse().ok());
    let zone = config.time_zone.or(kept).unwrap_or_else(data::machine_zone);
    hooks::engine_settings(config, zone, store).await
}

/// Where alerts go.
enum Sink {
    Standard,
    File(File, String),
}

impl Sink {
    fn open(path: &Path) -> Outcome<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self::Standard);
        }
        let name = path.display().to_string();
        File::create(path)
            .map(|file| Self::File(file, name.clone()))
            .map_err(|error| Failure::usage(format!("--alerts {name}: {error}")))
    }

    fn write(&mut self, alerts: &[Alert]) -> Outcome {
        match self {
            Self::Standard => output::wrote(lines(io::stdout().lock(), alerts)).map(drop),
            Self::File(file, name) => lines(file, alerts)
                .map_err(|error| Failure::unavailable(format!("--alerts {name} cannot be written: {error}"))),
        }
    }
}

fn lines(to: impl Write, alerts: &[Alert]) -> io::Result<()> {
    let mut to = BufWriter::new(to);
    for alert in alerts {
        serde_json::to_writer(&mut to, alert)?;
        to.write_all(b"\n")?;
    }
    to.flush()
}

/// The summary, on standard error.
fn tell(summary: &Summary, took: Duration) {
    output::note(report(summary, took).trim_end());
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn report(summary: &Summary, took: Duration) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        text.push_str(&format!("{name:<14}{value}\n"));
    };
    line("events", summary.events.to_string());
    line("late", summary.late.to_string());
    line("rejected", summary.rejected.to_string());
    for (number, reason) in &summary.reasons {
        line("", format!("line {number}: {reason}"));
    }
    match summary.rejected.saturating_sub(summary.reasons.len() as u64) {
        more if more > 0 && !summary.reasons.is_empty() => line("", format!("and {more} more")),
        _ => {}
    }
    line("duplicates", summary.duplicates.to_string());
    if let Some((jump, number)) = summary.largest_jump {
        let place = if number > 0 { format!(", line {number}") } else { String::new() };
        line("largest jump", format!("{} forward{place}", duration(jump)));
    }
    line("alerts", summary.alerts.values().sum::<u64>().to_string());
    for (rule, alerts) in &summary.alerts {
        line("", format!("{alerts:>6}  {rule}"));
    }
    line("signals", summary.signals.to_string());
    for (reason, lost) in &summary.given_up {
        line("given up", format!("{lost}: {reason}"));
    }
    let seconds = took.as_secs_f64().max(1e-9);
    line("events/s", format!("{:.0}", summary.events as f64 / seconds));
    line("time", format!("{seconds:.3} s"));
    let users = summary.footprint.users;
    if let Some(bytes) = summary.footprint.bytes.checked_div(users) {
        line("memory", format!("{bytes} bytes per active user ({users} users, {} keys)", summary.footprint.keys));
    }
    text
}

/// `2d 3h`, `5m 1s`, `0.25s`: the two largest units.
fn duration(micros: i64) -> String {
    let units = [(DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")];
    let Some(at) = units.iter().position(|(unit, _)| micros >= *unit) else {
        return format!("{}s", format!("0.{micros:06}").trim_end_matches('0'));
    };
    let mut rest = micros;
    let mut words = Vec::new();
    for (unit, name) in units.iter().skip(at).take(2) {
        if rest >= *unit {
            words.push(format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        assert_eq!(duration(2 * DAY + 3 * HOUR + 5), "2d 3h");
        assert_eq!(duration(5 * MINUTE), "5m");
        assert_eq!(duration(61 * SECOND), "1m 1s");
        assert_eq!(duration(SECOND / 4), "0.25s");
    }

    #[test]
    fn the_summary_names_what_a_script_looks_for() {
        let mut summary = Summary { events: 10, late: 2, rejected: 1, ..Summary::default() };
        summary.reasons.push((3, "action: is missing".to_owned()));
        assert!(!report(&summary, Duration::from_millis(100)).contains("more"));
        summary.rejected = 7;
        summary.largest_jump = Some((HOUR, 4));
        summary.alerts.insert("Spraying".to_owned(), 2);
        let text = report(&summary, Duration::from_millis(100));
        for words in [
            "events        10",
            "line 3: action: is missing\n              and 6 more\n",
            "1h forward, line 4",
            "2  Spraying",
            "100",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn a_span_that_holds_nothing_is_refused_by_name() {
        let said = |from, to| span(Some(from), Some(to)).map_err(|failure| (failure.code(), failure.to_string()));
        let (code, text) = said("2027-01-01", "2026-01-01").unwrap_err();
        assert!(code == 2 && text.starts_with("--to 2026-01-01 is not after --from 2027-01-01"), "{text}");
        assert!(said("2026-01-01", "2026-01-01T00:00:00Z").is_err());
        let (from, to) = said("2026-01-01", "2026-01-01T00:00:00.000001Z").unwrap();
        assert_eq!(from, to);
        assert_eq!(span(None, None).unwrap(), (Timestamp::MIN, Timestamp::MAX));
    }

    #[test]
    fn a_wrong_time_says_what_to_write() {
        assert!(time("--from", None).unwrap().is_none());
        assert_eq!(time("--from", Some("2026-01-31")).unwrap(), Timestamp::parse("2026-01-31T00:00:00Z"));
        assert!(time("--to", Some("soon")).unwrap_err().to_string().starts_with("--to soon is no time; write"));
    }
}
