//! What an active user takes: the built-in rules over the made day of `security-analytics bench engine`.

use std::sync::Arc;

use detector::engine::{Engine, Settings};
use detector::rules::{RuleSource, load};
use domain::{MINUTE, wire};
use uuid::Uuid;

#[path = "../../app/src/commands/bench/events.rs"]
mod events;

/// Events of a user in the hour that most rules look at.
const EACH: u64 = 20;

#[test]
fn an_active_user_takes_at_most_a_kibibyte() {
    let rules = Arc::new(load(&[RuleSource::built_in()]).expect("the built-in rules are valid").rules);
    let mut engine = Engine::new(rules, Settings::default());
    let mut population = events::Population::new();
    let mut line = String::new();
    for number in 1..=EACH * events::USERS {
        line.clear();
        population.line(&mut line);
        let incoming = wire::parse(line.as_bytes()).expect("an activity");
        let now = incoming.occurred_at.expect("a time");
        engine.observe(&incoming.into_backtest(now, Uuid::nil()).expect("an activity"));
        if number.is_multiple_of(4096) {
            engine.advance(now.plus(-6 * MINUTE));
            engine.drain();
        }
    }
    let footprint = engine.footprint();
    assert_eq!(footprint.users as u64, events::USERS);
    assert!(footprint.events as u64 > EACH * events::USERS, "their events are held: {footprint:?}");
    assert!(
        footprint.bytes <= 1_024 * footprint.users,
        "{} bytes a user: {footprint:?}",
        footprint.bytes / footprint.users
    );
}
