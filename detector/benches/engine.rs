//! The built-in rules over the events of their own scenarios, in memory.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use detector::engine::{Engine, Settings};
use detector::rules::{RuleSet, RuleSource, load};
use domain::{Activity, Timestamp, wire};
use uuid::Uuid;

/// Every event of every scenario, in the order of time.
fn activities() -> Vec<Activity> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/tests");
    let mut activities = Vec::new();
    for scenario in detector::scenario::find(&root).expect("scenarios stand beside the rules") {
        let text = std::fs::read_to_string(scenario.folder.join("events.ndjson")).expect("events");
        for line in text.lines() {
            let incoming = wire::parse(line.as_bytes()).expect("an activity");
            let id = Uuid::from_u128(activities.len() as u128);
            let at = incoming.occurred_at.expect("a time");
            activities.push(incoming.into_backtest(at, id).expect("a time"));
        }
    }
    activities.sort_by_key(|activity| activity.occurred_at);
    activities
}

fn rules() -> Arc<RuleSet> {
    Arc::new(load(&[RuleSource::built_in()]).expect("the built-in rules are valid").rules)
}

fn engine(c: &mut Criterion) {
    let (rules, activities) = (rules(), activities());
    let mut group = c.benchmark_group("engine");
    group.throughput(Throughput::Elements(activities.len() as u64));
    group.bench_function("observe", |b| {
        b.iter(|| {
            let mut engine = Engine::new(Arc::clone(&rules), Settings::default());
            let mut newest = Timestamp::MIN;
            for (number, activity) in activities.iter().enumerate() {
                engine.observe(activity);
                newest = newest.max(activity.occurred_at);
                if number % 1024 == 0 {
                    engine.advance(newest.plus(-360_000_000));
                }
            }
            engine.finish();
            black_box(engine.drain().len())
        });
    });
    group.finish();
}

criterion_group!(benches, engine);
criterion_main!(benches);
