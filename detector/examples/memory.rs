//! What the engine holds for an active user, by what holds it, and what the process takes for that: the built-in rules over
//! the made day of `security-analytics bench engine`. One run a process, so that nothing lies where another was.
//!
//! `cargo run --release -p detector --example memory -- [EVENTS OF A USER]`

#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::sync::Arc;

use detector::engine::{Engine, Settings};
use detector::rules::{RuleSource, load};
use domain::{MINUTE, wire};
use uuid::Uuid;

#[path = "../../app/src/commands/bench/events.rs"]
#[expect(dead_code, reason = "events of another measurement are there, too")]
mod events;

/// Memory of this process in bytes, where the system tells it.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    pages.and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok()).unwrap_or(0) * 4096
}

fn main() {
    let each: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(20);
    let rules = Arc::new(load(&[RuleSource::built_in()]).expect("the built-in rules are valid").rules);
    let mut population = events::Population::new();
    let (mut line, mut newest) = (String::new(), None);
    let before = resident();
    let mut engine = Engine::new(rules, Settings::default());
    for number in 1..=each * events::USERS {
        line.clear();
        population.line(&mut line);
        let incoming = wire::parse(line.as_bytes()).expect("an activity");
        newest = newest.max(incoming.occurred_at);
        let now = newest.expect("a time");
        engine.observe(&incoming.into_backtest(now, Uuid::nil()).expect("an activity"));
        if number.is_multiple_of(4096) {
            engine.advance(now.plus(-6 * MINUTE));
            engine.drain();
        }
    }
    let resident = resident().saturating_sub(before);
    let footprint = engine.footprint();
    let per_user = |bytes: usize| bytes / footprint.users.max(1);
    let parts = footprint.parts;
    println!("bytes a user, {} users, {} keys, {each} events each", footprint.users, footprint.keys);
    for (what, bytes) in [
        ("keys and their tables", parts.keys),
        ("events", parts.events),
        ("events of which the time is left", parts.past),
        ("open episodes", parts.episodes),
        ("histories", parts.histories),
        ("values and what is kept", parts.values),
        ("what waits", parts.pending),
        ("together", footprint.bytes),
        ("taken from the system", resident),
    ] {
        println!("{what:35} {:7}", per_user(bytes));
    }
}
