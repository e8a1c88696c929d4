//! The engine alone: one core, no network, no database.
//!
//! Measured is the time that this thread was on a core, where the system tells it: what else goes on on the machine then
//! does not count.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use detector::backtest::{Backtest, Summary};
use detector::engine::{Engine, Footprint, Settings};
use detector::rules::{RuleSet, RuleSource, load};
use domain::{Activity, MINUTE, wire};

use super::super::own_server::Temporary;
use super::events::{Population, USERS, distinct};
use super::table::{Table, thousands};
use crate::failure::{Failure, Outcome};

const EVENTS: usize = 1_000_000;
/// As many events as make each user a typical active one: twenty in the hour that most rules look at.
const TYPICAL: usize = 20 * USERS as usize;
const LATENESS: i64 = 5 * MINUTE;

/// Four correlations over two detections, as in comparisons with other engines.
const FOUR: &str = include_str!("four.yml");
/// One correlation that holds 1,800 different values at any moment.
const DISTINCT: &str = include_str!("distinct.yml");

/// All measurements; `files` are further NDJSON files.
pub(super) fn run(files: &[PathBuf]) -> Outcome<Table> {
    let mut table = Table::default();
    let built_in = compiled(RuleSource::built_in())?;
    let four = rules(FOUR)?;

    let mut population = Population::new();
    let mut text = String::with_capacity(EVENTS * 320);
    (0..EVENTS).for_each(|_| population.line(&mut text));
    let parsing = rate(EVENTS, || text.lines().filter(|line| wire::parse(line.as_bytes()).is_ok()).count());
    table.row("reading NDJSON alone, events/s", thousands(parsing), "1", "");

    let activities = activities(&text);
    let (_folder, file) = spill(&text)?;
    drop(text);
    for (name, set) in [("built-in rules", &built_in), ("four correlations", &four)] {
        let memory = in_memory(set, &activities);
        let (from_file, summary) = from_file(set, &file)?;
        let goal = |number| if name.starts_with("four") { number } else { "" };
        let ratio = format!("{:.2} of reading alone", memory / parsing);
        table.row(format!("{name}, in memory, events/s"), thousands(memory), ratio, goal("1,000,000"));
        let ratio = format!("{:.2} of reading alone", from_file / parsing);
        table.row(format!("{name}, from the file, events/s"), thousands(from_file), ratio, "500,000");
        if !name.starts_with("four") {
            memory_per_user(&mut table, TYPICAL, held(set, &activities[..TYPICAL]), "1,024");
            memory_per_user(&mut table, EVENTS, summary.footprint, "");
        }
    }
    drop(activities);

    let text = distinct(200_000);
    let activities = self::activities(&text);
    let figure = in_memory(&rules(DISTINCT)?, &activities);
    table.row("1,800 live values in a distinct window, events/s", thousands(figure), "", "500,000");

    for path in files {
        let (figure, summary) = from_file(&built_in, path)?;
        let ratio = format!("{:.2} of reading alone", figure / parsing);
        let what = format!("{}, {} events, events/s", path.display(), thousands(count(summary.events)));
        table.row(what, thousands(figure), ratio, "500,000");
    }
    Ok(table)
}

fn memory_per_user(table: &mut Table, events: usize, footprint: Footprint, goal: &'static str) {
    let bytes = count(footprint.bytes as u64) / count(footprint.users.max(1) as u64);
    let (users, each) = (thousands(count(USERS)), events as u64 / USERS);
    let what = format!("memory per active user, {users} users, {each} events each, bytes");
    table.row(what, thousands(bytes), format!("{:.2} KiB", bytes / 1024.0), goal);
}

fn rules(text: &str) -> Outcome<Arc<RuleSet>> {
    compiled(RuleSource::text("bench.yml", text))
}

fn compiled(source: RuleSource) -> Outcome<Arc<RuleSet>> {
    match load(&[source]) {
        Ok(loaded) => Ok(Arc::new(loaded.rules)),
        Err(findings) => Err(Failure::internal(findings.first().map_or_else(String::new, ToString::to_string))),
    }
}

fn activities(text: &str) -> Vec<Activity> {
    let mut newest = None;
    let activity = |line: &str| {
        let incoming = wire::parse(line.as_bytes()).ok()?;
        newest = newest.max(incoming.occurred_at);
        incoming.into_backtest(newest?, uuid::Uuid::nil()).ok()
    };
    text.lines().filter_map(activity).collect()
}

fn in_memory(rules: &Arc<RuleSet>, activities: &[Activity]) -> f64 {
    rate(activities.len(), || {
        let (mut engine, alerts) = observed(rules, activities);
        engine.finish();
        alerts + engine.drain().len()
    })
}

/// What the engine holds after these.
fn held(rules: &Arc<RuleSet>, activities: &[Activity]) -> Footprint {
    observed(rules, activities).0.footprint()
}

/// An engine that has seen these, and how many alerts it had to tell on the way.
fn observed(rules: &Arc<RuleSet>, activities: &[Activity]) -> (Engine, usize) {
    let mut engine = Engine::new(Arc::clone(rules), Settings::default());
    let mut alerts = 0;
    for chunk in activities.chunks(4096) {
        for activity in chunk {
            engine.observe(activity);
        }
        if let Some(last) = chunk.last() {
            engine.advance(last.received_at.plus(-LATENESS - MINUTE));
        }
        alerts += engine.drain().len();
    }
    (engine, alerts)
}

fn from_file(rules: &Arc<RuleSet>, path: &Path) -> Outcome<(f64, Summary)> {
    let wrong = |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(wrong)?;
    let begun = Clock::now();
    let mut backtest = Backtest::new(Arc::clone(rules), Settings::default(), LATENESS);
    backtest.read(file).map_err(wrong)?;
    let (_, summary) = backtest.finish();
    Ok((count(summary.events) / begun.elapsed().as_secs_f64(), summary))
}

/// A file that goes away with its folder's handle.
fn spill(text: &str) -> Outcome<(Temporary, PathBuf)> {
    let folder = Temporary::new()?;
    let path = folder.path().join("events.ndjson");
    File::create(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| Failure::unavailable(format!("{}: {error}", path.display())))?;
    Ok((folder, path))
}

/// A moment of this thread.
#[derive(Debug, Clone, Copy)]
struct Clock {
    moment: Instant,
    on_a_core: Option<Duration>,
}

impl Clock {
    fn now() -> Self {
        // Linux; the first number is nanoseconds. Elsewhere there is no such file.
        let on_a_core = std::fs::read_to_string("/proc/thread-self/schedstat")
            .ok()
            .and_then(|text| text.split(' ').next()?.parse().ok())
            .map(Duration::from_nanos);
        Self { moment: Instant::now(), on_a_core }
    }

    /// Time on a core since then; time on the wall where the system does not say.
    fn elapsed(self) -> Duration {
        let busy = Self::now().on_a_core.zip(self.on_a_core).map(|(now, then)| now.saturating_sub(then));
        busy.filter(|busy| !busy.is_zero()).unwrap_or_else(|| self.moment.elapsed())
    }
}

fn rate<T>(events: usize, work: impl FnOnce() -> T) -> f64 {
    let begun = Clock::now();
    std::hint::black_box(work());
    count(events as u64) / begun.elapsed().as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_the_bench_are_valid_and_one_window_holds_what_it_says() {
        assert_eq!(rules(FOUR).unwrap().rules.len(), 6);
        let distinct = activities(&distinct(2_500));
        let mut engine = Engine::new(rules(DISTINCT).unwrap(), Settings::default());
        distinct.iter().for_each(|activity| engine.observe(activity));
        engine.finish();
        assert!(engine.drain().is_empty(), "1,800 values are below its threshold");
        let set = DISTINCT.replace("gte: 2000", "gte: 1800");
        let mut engine = Engine::new(rules(&set).unwrap(), Settings::default());
        distinct.iter().for_each(|activity| engine.observe(activity));
        engine.finish();
        assert_eq!(engine.drain().first().map(|alert| alert.observed), Some(1800.0));
    }

    #[test]
    fn time_on_a_core_goes_on_while_this_thread_works() {
        let begun = Clock::now();
        std::thread::sleep(Duration::from_millis(20));
        let mut population = Population::new();
        let mut text = String::new();
        (0..20_000).for_each(|_| population.line(&mut text));
        let (busy, wall) = (begun.elapsed(), begun.moment.elapsed());
        assert!(!busy.is_zero() && busy <= wall, "{busy:?} of {wall:?}");
    }
}
