//! The engine in memory: the built-in rules and a set of four correlations over the events of all scenarios, and one
//! distinct window with many values. `bench engine` of the binary measures the same at length.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use detector::engine::{Engine, Settings};
use detector::rules::{RuleSet, RuleSource, load};
use domain::{Activity, MINUTE, SECOND, Timestamp, wire};
use uuid::Uuid;

const FOUR: &str = include_str!("../../app/src/commands/bench/four.yml");
const DISTINCT: &str = include_str!("../../app/src/commands/bench/distinct.yml");

/// Every event of every scenario, in the order of time.
fn activities() -> Vec<Activity> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/tests");
    let mut activities = Vec::new();
    for scenario in detector::scenario::find(&root).expect("scenarios stand beside the rules") {
        let text = std::fs::read_to_string(scenario.folder.join("events.ndjson")).expect("events");
        for line in text.lines() {
            activities.push(activity(line, activities.len()));
        }
    }
    activities.sort_by_key(|activity| activity.occurred_at);
    activities
}

/// One user who looks at another object each second; 1,800 of them are in the window.
fn distinct() -> Vec<Activity> {
    let begin = Timestamp::parse("2026-03-05T08:00:00Z").expect("a time");
    let line = |second: usize| {
        let at = begin.plus(i64::try_from(second).expect("small") * SECOND);
        format!(r#"{{"ts":"{at}","user":"ada","action":"View","resource":"inventory/{}"}}"#, second % 5_000)
    };
    (0..10_000).map(|second| activity(&line(second), second)).collect()
}

fn activity(line: &str, number: usize) -> Activity {
    let incoming = wire::parse(line.as_bytes()).expect("an activity");
    let at = incoming.occurred_at.expect("a time");
    incoming.into_backtest(at, Uuid::from_u128(number as u128)).expect("a time")
}

fn rules(source: RuleSource) -> Arc<RuleSet> {
    Arc::new(load(&[source]).expect("the rules are valid").rules)
}

fn engine(c: &mut Criterion) {
    let scenarios = activities();
    let distinct = distinct();
    let mut group = c.benchmark_group("engine");
    group.sample_size(20);
    for (name, source, activities) in [
        ("built-in rules", RuleSource::built_in(), &scenarios),
        ("four correlations", RuleSource::text("four.yml", FOUR), &scenarios),
        ("1,800 values in a distinct window", RuleSource::text("distinct.yml", DISTINCT), &distinct),
    ] {
        let rules = rules(source);
        group.throughput(Throughput::Elements(activities.len() as u64));
        group.bench_function(name, |b| b.iter(|| black_box(run(&rules, activities))));
    }
    group.finish();
}

fn run(rules: &Arc<RuleSet>, activities: &[Activity]) -> usize {
    let mut engine = Engine::new(Arc::clone(rules), Settings::default());
    for chunk in activities.chunks(1024) {
        for activity in chunk {
            engine.observe(activity);
        }
        if let Some(last) = chunk.last() {
            engine.advance(last.occurred_at.plus(-6 * MINUTE));
        }
    }
    engine.finish();
    engine.drain().len()
}

criterion_group!(benches, engine);
criterion_main!(benches);
