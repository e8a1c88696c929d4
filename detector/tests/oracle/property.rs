//! For any arrival order within the lateness the engine's alerts are those of the oracle.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono_tz::Tz;
use detector::engine::{Engine, Gap, Settings};
use detector::rules::{RuleSet, RuleSource};
use domain::{Activity, Alert, MINUTE, SECOND, Timestamp};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use serde_json::Value;
use uuid::Uuid;

use crate::compare::{difference, final_alerts};
use crate::draw::{Arrival, Case, Focus, Run, arrivals, case, reporting, yaml};
use crate::episodes::Found;
use crate::ledger::Ledger;
use crate::reference::{World, Zones};

fn zones() -> Zones {
    Zones { default: Tz::UTC, users: BTreeMap::from([("bob".to_owned(), Tz::Asia__Tokyo)]) }
}

fn settings() -> Settings {
    let zones = zones();
    Settings { zone: zones.default, zones: zones.users.into_iter().collect(), ..Settings::default() }
}

fn load(text: &str) -> Result<RuleSet, String> {
    let loaded = detector::rules::load(&[RuleSource::text("drawn.yml", text)]);
    loaded.map(|loaded| loaded.rules).map_err(|findings| {
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })
}

fn oracle(rules: &RuleSet, arrivals: &[Arrival]) -> Vec<Found> {
    let mut events: Vec<Activity> =
        arrivals.iter().map(|arrival| &arrival.activity).filter(|activity| !activity.late).cloned().collect();
    events.sort_by_key(|event| (event.occurred_at, event.event_id));
    let mut scratch = detector::rules::Scratch::default();
    let mut matched = Vec::new();
    for event in &events {
        let mut found = Vec::new();
        rules.matcher.matches(event, &mut scratch, &mut found);
        matched.push(found);
    }
    World { rules: &rules.rules, events: &events, matched, zones: zones() }.alerts()
}

fn engine(rules: &Arc<RuleSet>, arrivals: &[Arrival], lateness: i64) -> Result<Vec<Alert>, String> {
    let mut engine = Engine::new(Arc::clone(rules), settings());
    let mut ledger = Ledger::default();
    let mut newest = Timestamp::MIN;
    for Arrival { activity, advance, .. } in arrivals {
        newest = newest.max(activity.received_at);
        if !activity.late {
            engine.observe(activity);
        }
        match advance {
            0 => engine.advance(newest.plus(-lateness - 1)),
            1 => engine.advance(newest.plus(-lateness - MINUTE)),
            2 => ledger.take(engine.drain())?,
            _ => {}
        }
    }
    engine.finish();
    ledger.take(engine.drain())?;
    // That a number is too large for a sum is said, and the oracle leaves it out as well.
    let gave_up = |gap: &Gap| !gap.reason.starts_with("numbers of more than 28 digits");
    if engine.behind() > 0 || engine.gaps().iter().any(gave_up) {
        return Err("the engine gave something up".to_owned());
    }
    Ok(final_alerts(ledger.close()?))
}

fn check(rules: &Arc<RuleSet>, case: &Case, run: &Run) -> Result<usize, String> {
    let arrivals = arrivals(case, run);
    let expected = oracle(rules, &arrivals);
    let got = engine(rules, &arrivals, i64::from(run.lateness) * case.unit() * SECOND)?;
    difference(&expected, &got).map_or(Ok(expected.len()), Err)
}

/// The case as files of a scenario folder.
fn files(case: &Case) -> String {
    let mut text = format!("--- rules.yml\n{}", yaml(case));
    for run in &case.runs {
        let lateness = i64::from(run.lateness) * case.unit();
        let _ = writeln!(text, "--- events.ndjson (lateness {lateness}s; * late, | watermark told, d drained)");
        for arrival in arrivals(case, run) {
            let late = if arrival.activity.late { "*" } else { "" };
            let advance = ["|", "|60", "d"].get(usize::from(arrival.advance)).unwrap_or(&"");
            let _ = writeln!(text, "{} {late}{advance}", arrival.line);
        }
    }
    text
}

/// The built-in rules over all their scenarios' events at once, and over the NDJSON files that `ORACLE_EVENTS` names.
#[test]
fn the_built_in_rules_find_what_the_oracle_finds() {
    let rules = Arc::new(detector::rules::load(&[RuleSource::built_in()]).expect("valid").rules);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let scenarios = detector::scenario::find(&root).expect("scenarios");
    let together: Vec<PathBuf> = scenarios.iter().map(|scenario| scenario.folder.join("events.ndjson")).collect();
    let mut files = vec![together];
    let given = std::env::var("ORACLE_EVENTS").unwrap_or_default();
    files.extend(given.split(':').filter(|path| !path.is_empty()).map(|path| vec![PathBuf::from(path)]));
    for files in files {
        let mut arrivals: Vec<Arrival> = Vec::new();
        for file in &files {
            let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            for line in text.lines() {
                let incoming = domain::wire::parse(line.as_bytes()).expect("an activity");
                let at = incoming.occurred_at.expect("a time");
                let activity = incoming.into_backtest(at, Uuid::from_u128(arrivals.len() as u128)).expect("a time");
                arrivals.push(Arrival {
                    activity,
                    line: Value::Null,
                    advance: u8::from(!arrivals.len().is_multiple_of(97)),
                });
            }
        }
        arrivals.sort_by_key(|arrival| arrival.activity.occurred_at);
        let expected = oracle(&rules, &arrivals);
        let got = engine(&rules, &arrivals, 5 * MINUTE).expect("sound");
        let difference = difference(&expected, &got);
        assert!(difference.is_none(), "{files:?}\n{}", difference.unwrap_or_default());
        assert!(!expected.is_empty());
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// `ORACLE_CASES` and `ORACLE_SEED` look further and elsewhere; without them every run sees the same cases.
fn search(focus: Focus, wanted: u64) {
    let wanted = number("ORACLE_CASES").unwrap_or(wanted);
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&number("ORACLE_SEED").unwrap_or(1).to_le_bytes());
    // A case has three runs on average; each is compared.
    let config = Config {
        cases: u32::try_from(wanted / 3 + wanted / 20).expect("fewer"),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let (runs, alerts) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let outcome = runner.run(&case(focus), |case| {
        let rules = load(&yaml(&case)).map_err(|error| TestCaseError::fail(format!("refused: {error}")))?;
        let reports: Vec<bool> = rules.rules.iter().map(|rule| rule.reports).collect();
        if reports != reporting(&case) {
            return Err(TestCaseError::fail(format!("who alerts alone: {reports:?}, not {:?}", reporting(&case))));
        }
        let rules = Arc::new(rules);
        for run in &case.runs {
            let found = check(&rules, &case, run).map_err(TestCaseError::fail)?;
            runs.fetch_add(1, Ordering::Relaxed);
            alerts.fetch_add(found, Ordering::Relaxed);
        }
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, case)) => panic!("{reason}\n{}", files(&case)),
        Err(TestError::Abort(reason)) => panic!("gave up: {reason}"),
    }
    let (runs, alerts) = (runs.into_inner() as u64, alerts.into_inner() as u64);
    assert!(runs >= wanted, "only {runs} runs were compared");
    assert!(alerts > runs, "only {alerts} alerts in {runs} runs: the cases say too little");
}

#[test]
fn any_arrival_order_within_the_lateness_gives_the_oracles_alerts() {
    search(Focus::All, 10_000);
}

#[test]
fn more_events_than_are_kept_give_the_oracles_alerts() {
    search(Focus::Crowds, 2_000);
}

#[test]
fn rules_upon_rules_give_the_oracles_alerts() {
    search(Focus::Chains, 5_000);
}

#[test]
fn what_waits_for_the_watermark_gives_the_oracles_alerts() {
    search(Focus::Waiting, 5_000);
}

#[test]
fn sums_that_rise_and_fall_give_the_oracles_alerts() {
    search(Focus::Amounts, 5_000);
}

#[test]
fn what_is_more_than_usual_gives_the_oracles_alerts() {
    search(Focus::Usual, 5_000);
}
