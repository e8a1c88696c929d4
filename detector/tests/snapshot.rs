//! An engine that was saved and loaded on the way tells what one tells that was never interrupted: the same alerts, ids
//! and revisions included, at the same moments.

#[allow(dead_code, unused_imports, reason = "what is drawn is made for the oracle, which reads more of it")]
#[path = "oracle/draw/mod.rs"]
mod draw;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono_tz::Tz;
use detector::engine::{Engine, Settings, SnapshotError};
use detector::rules::{RuleSet, RuleSource, load};
use domain::{Activity, Alert, DAY, HOUR, MINUTE, SECOND, Timestamp};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use uuid::Uuid;

use draw::{Focus, arrivals, case, yaml};

fn rules(text: &str) -> Arc<RuleSet> {
    Arc::new(load(&[RuleSource::text("drawn.yml", text)]).expect("valid rules").rules)
}

fn settings() -> Settings {
    let zones = HashMap::from([("bob".to_owned(), Tz::Asia__Tokyo)]);
    Settings { zones, ..Settings::default() }
}

fn saved(engine: &Engine) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    engine.save(&mut |chunk| chunks.push(chunk)).expect("saved");
    chunks
}

/// Two engines that are told the same, one of which is saved and loaded now and then.
struct Pair {
    steady: Engine,
    restarted: Engine,
    /// How many alerts each rule has told.
    told: BTreeMap<String, usize>,
}

impl Pair {
    fn new(rules: &Arc<RuleSet>) -> Self {
        let engine = || Engine::new(Arc::clone(rules), settings());
        Self { steady: engine(), restarted: engine(), told: BTreeMap::new() }
    }

    fn restart(&mut self) {
        let rules = Arc::clone(self.restarted.rules());
        self.restarted = Engine::load(rules, settings(), saved(&self.restarted)).expect("loaded");
    }

    fn both(&mut self, act: impl Fn(&mut Engine)) {
        act(&mut self.steady);
        act(&mut self.restarted);
    }

    /// Compares what is told; which of two keys comes first says nothing.
    fn compare(&mut self) -> Result<(), String> {
        let sorted = |mut alerts: Vec<Alert>| {
            alerts.sort_by_key(|alert| (alert.alert_id, alert.revision));
            alerts
        };
        let (steady, restarted) = (sorted(self.steady.drain()), sorted(self.restarted.drain()));
        for alert in &steady {
            *self.told.entry(alert.rule.clone()).or_default() += 1;
        }
        if steady != restarted {
            return Err(format!("{steady:#?}\n--- after a restart\n{restarted:#?}"));
        }
        if self.steady.gaps() != self.restarted.gaps() {
            return Err("the gaps differ".to_owned());
        }
        Ok(())
    }
}

fn drawn(focus: Focus, seed: u8) {
    let config = Config { cases: 200, failure_persistence: None, max_shrink_iters: 5_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]));
    let told = AtomicUsize::new(0);
    let often = proptest::collection::vec(proptest::bool::weighted(0.15), 1..40);
    let outcome = runner.run(&(case(focus), often), |(case, often)| {
        let rules = rules(&yaml(&case));
        for run in &case.runs {
            let lateness = i64::from(run.lateness) * case.unit() * SECOND;
            let mut pair = Pair::new(&rules);
            let mut newest = Timestamp::MIN;
            for (number, arrival) in arrivals(&case, run).iter().enumerate() {
                if often[number % often.len()] {
                    pair.restart();
                }
                newest = newest.max(arrival.activity.received_at);
                if !arrival.activity.late {
                    pair.both(|engine| engine.observe(&arrival.activity));
                }
                match arrival.advance {
                    0 => pair.both(|engine| engine.advance(newest.plus(-lateness - 1))),
                    1 => pair.both(|engine| engine.advance(newest.plus(-lateness - MINUTE))),
                    2 => pair.compare().map_err(TestCaseError::fail)?,
                    _ => {}
                }
            }
            pair.restart();
            pair.both(Engine::finish);
            pair.compare().map_err(|difference| TestCaseError::fail(format!("{difference}\n{}", yaml(&case))))?;
            told.fetch_add(pair.told.values().sum(), Ordering::Relaxed);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(told.into_inner() > 200, "the cases say too little");
}

#[test]
fn random_rules() {
    drawn(Focus::All, 1);
}

#[test]
fn windows_that_fill() {
    drawn(Focus::Crowds, 2);
}

#[test]
fn rules_upon_rules() {
    drawn(Focus::Chains, 3);
}

#[test]
fn sums_averages_and_percentiles() {
    drawn(Focus::Amounts, 4);
}

#[test]
fn what_waits_for_the_watermark() {
    drawn(Focus::Waiting, 5);
}

/// The built-in rules over all their scenarios, baselines and chains from user to user among them, restarted again and
/// again.
#[test]
fn the_built_in_rules() {
    let set = Arc::new(load(&[RuleSource::built_in()]).expect("valid").rules);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let mut activities = Vec::new();
    for scenario in detector::scenario::find(&root).expect("scenarios") {
        let text = std::fs::read_to_string(scenario.folder.join("events.ndjson")).expect("events");
        for line in text.lines() {
            let incoming = domain::wire::parse(line.as_bytes()).expect("an activity");
            let id = Uuid::from_u128(activities.len() as u128);
            let at = incoming.occurred_at.expect("a time");
            activities.push(incoming.into_backtest(at, id).expect("a time"));
        }
    }
    activities.sort_by_key(|activity| activity.occurred_at);
    let mut pair = Pair::new(&set);
    for (number, activity) in activities.iter().enumerate() {
        pair.both(|engine| engine.observe(activity));
        if number % 7 == 0 {
            pair.both(|engine| engine.advance(activity.occurred_at.plus(-6 * MINUTE)));
            pair.compare().unwrap_or_else(|difference| panic!("{difference}"));
        }
        if number % 501 == 0 {
            pair.restart();
        }
    }
    pair.restart();
    pair.both(Engine::finish);
    pair.compare().unwrap_or_else(|difference| panic!("{difference}"));
    assert!(pair.told.len() > 10, "{:?}", pair.told);
}

const LEARNT: &str = "
title: Exports
id: 00000000-0000-4000-8000-000000000001
name: exports
logsource: {category: activity}
detection:
    selection: {action: Export}
    condition: selection
level: informational
---
title: More than usual
id: 00000000-0000-4000-8000-000000000002
correlation:
    type: value_sum
    rules: [exports]
    group-by: [user]
    timespan: 1d
    condition: {field: records, gte: 10}
level: high
analytics: {v: 1, when: {baseline: {of: user, peers: role, bucket: 1d, history: 30d, ready: 5, above: 3}}}
---
title: New address
id: 00000000-0000-4000-8000-000000000003
logsource: {category: activity}
detection:
    selection: {action: Export}
    condition: selection
level: medium
analytics: {v: 1, when: {first_seen: {field: source_ip, of: user, within: 20d, after: {days: 3}}}}
---
title: Back again
id: 00000000-0000-4000-8000-000000000004
logsource: {category: activity}
detection:
    selection: {action: Export}
    condition: selection
level: low
analytics: {v: 1, when: {after_silence: 3d}}
";

fn export(user: &str, at: Timestamp, records: i64, host: i64, id: u128) -> Activity {
    let mut activity = Activity::new(Uuid::from_u128(id), "Export", at);
    activity.user = Some(user.to_owned());
    activity.role = Some("Employee".to_owned());
    activity.source_ip = format!("192.0.2.{host}").parse().ok();
    activity.records = Some(records);
    activity
}

/// Weeks of learning, and a restart every day.
#[test]
fn what_is_learnt_stays_learnt() {
    let set = rules(LEARNT);
    let mut pair = Pair::new(&set);
    let start = Timestamp::parse("2026-03-02T00:00:00Z").expect("a time");
    for day in 0..60_i64 {
        let at = start.plus(day * DAY);
        for (number, user) in ["ann", "bob", "cyd"].into_iter().enumerate() {
            let number = number as i64;
            if (day + number) % 11 > 6 {
                continue;
            }
            let records = if day == 44 { 900 } else { 20 + (day * 7 + number * 5) % 13 };
            let host = 1 + number + day / 29 * 10;
            let activity = export(user, at.plus(number * HOUR), records, host, (day * 10 + number) as u128);
            pair.both(|engine| engine.observe(&activity));
        }
        pair.restart();
        pair.both(|engine| engine.advance(at.plus(12 * HOUR)));
        pair.compare().unwrap_or_else(|difference| panic!("{difference}"));
    }
    let told: Vec<&str> = pair.told.keys().map(String::as_str).collect();
    assert_eq!(told, ["Back again", "More than usual", "New address"]);
}

/// Rules alone, on which the other tests of this file do not depend.
fn learnt(days: i64) -> Engine {
    let mut engine = Engine::new(rules(LEARNT), settings());
    let start = Timestamp::parse("2026-03-02T00:00:00Z").expect("a time");
    for day in 0..days {
        engine.observe(&export("ann", start.plus(day * DAY), 7, 1, day as u128));
    }
    engine.advance(start.plus((days - 2) * DAY));
    engine
}

#[test]
fn a_key_may_be_larger_than_a_chunk() {
    let mut engine = learnt(3);
    let at = engine.watermark().plus(2 * DAY);
    for number in 0..30_000 {
        engine.observe(&export("ann", at.plus(number), 1, number % 200, 1_000 + number as u128));
    }
    let chunks = saved(&engine);
    assert!(chunks.len() > 2, "{}", chunks.len());
    assert!(chunks.iter().all(|chunk| chunk.len() < 300 * 1024));
    let mut again = Engine::load(rules(LEARNT), settings(), chunks).expect("loaded");
    assert_eq!(again.footprint().events, engine.footprint().events);
    engine.finish();
    again.finish();
    assert_eq!(again.drain(), engine.drain());
}

#[test]
fn what_belongs_to_others_is_refused() {
    let chunks = saved(&learnt(10));
    let load = |rules, settings, chunks: &[Vec<u8>]| Engine::load(rules, settings, chunks.to_vec()).err();
    assert_eq!(load(rules(LEARNT), settings(), &chunks), None);
    let other = rules(&LEARNT.replace("after_silence: 3d", "after_silence: 4d"));
    assert_eq!(load(other, settings(), &chunks), Some(SnapshotError::Others));
    let moved = Settings { zone: Tz::Europe__Berlin, ..settings() };
    assert_eq!(load(rules(LEARNT), moved, &chunks), Some(SnapshotError::Others));
}

#[test]
fn what_is_damaged_is_refused() {
    let engine = learnt(400);
    let chunks = saved(&engine);
    let load = |chunks: Vec<Vec<u8>>| Engine::load(rules(LEARNT), settings(), chunks).err();
    let damaged = |error: Option<SnapshotError>| matches!(error, Some(SnapshotError::Damaged(_)));
    assert!(damaged(load(Vec::new())));
    for at in (0..chunks[0].len()).step_by(101) {
        let mut changed = chunks.clone();
        changed[0][at] ^= 0x10;
        assert!(damaged(load(changed)), "a bit at {at}");
        let mut cut = chunks.clone();
        cut[0].truncate(at);
        assert!(damaged(load(cut)), "cut at {at}");
    }
    let twice = [chunks.clone(), chunks].concat();
    assert!(damaged(load(twice)));
}
