//! How long it takes to find the detections of the built-in set that an event matches.
//!
//!     EVENTS=events.ndjson cargo bench -p detector --bench matcher
//!
//! Without `EVENTS`, over a few kinds of events made here. The figure is for one event (`elem`).

use std::hint::black_box;
use std::io;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use detector::rules::{RuleSource, Scratch, load};
use domain::{Activity, Timestamp, wire};
use uuid::Uuid;

fn read(text: &str) -> io::Result<Vec<Activity>> {
    let activity = |(at, line): (usize, &str)| {
        let incoming =
            wire::parse(line.as_bytes()).map_err(|error| io::Error::other(format!("line {}: {error}", at + 1)))?;
        Ok(incoming.into_activity(Timestamp::MIN, Uuid::from_u128(at as u128), "backtest"))
    };
    text.lines().enumerate().map(activity).collect()
}

fn made() -> String {
    let line = |at: usize| {
        let action = ["View", "View", "View", "Login", "Update", "LoginFailed", "Export", "Admin"][at % 8];
        let outcome = ["success", "success", "success", "denied"][at % 4];
        format!(
            r#"{{"action":"{action}","user":"user{at}","session":"s{at}","ip":"10.0.{}.{}","resource":"inventory/{at}","outcome":"{outcome}","log_type":"data_access","user_agent":"Mozilla/5.0"}}"#,
            at / 256 % 256,
            at % 256
        )
    };
    (0..2_000).map(line).collect::<Vec<_>>().join("\n")
}

fn matcher(criterion: &mut Criterion) {
    let text = match std::env::var("EVENTS") {
        Ok(path) => std::fs::read_to_string(path).expect("the file of EVENTS"),
        Err(_) => made(),
    };
    let events = read(&text).expect("activities");
    let set = load(&[RuleSource::built_in()]).expect("the built-in rules").rules;
    let (mut scratch, mut found, mut at) = (Scratch::default(), Vec::new(), 0);
    let mut group = criterion.benchmark_group("matcher");
    group.throughput(Throughput::Elements(1));
    group.bench_function("built_in", |bencher| {
        bencher.iter(|| {
            set.matcher.matches(black_box(&events[at]), &mut scratch, &mut found);
            at = if at + 1 == events.len() { 0 } else { at + 1 };
            found.len()
        });
    });
    group.finish();
}

criterion_group!(benches, matcher);
criterion_main!(benches);
