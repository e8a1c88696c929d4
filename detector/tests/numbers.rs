//! Numbers at their ends: counts as high as a key holds, sums of far more digits than a number has, what is told of them.

use std::sync::Arc;

use detector::backtest::Backtest;
use detector::engine::{Engine, Settings};
use detector::rules::{RuleSet, RuleSource, load};
use domain::{Activity, Alert, HOUR, MINUTE, SECOND, Timestamp};
use serde_json::Value;
use uuid::Uuid;

/// A correlation of events, by user where nothing else is said, with what stands in its section beside that, and what
/// beside the section.
fn rules(section: &str, more: &str) -> Arc<RuleSet> {
    let key = if section.contains("group-by") { "" } else { "group-by: [user], " };
    let text = format!(
        "title: A\nname: a\nlogsource: {{category: activity}}\ndetection: {{s: {{action: a}}, condition: s}}\n\
         level: informational\n---\n\
         title: C\ncorrelation: {{rules: [a], {key}{section}}}\nlevel: low\n{more}\n"
    );
    Arc::new(load(&[RuleSource::text("t.yml", text)]).unwrap_or_else(|findings| panic!("{findings:?}")).rules)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000 * SECOND + second * SECOND)
}

fn event(id: u128, at: Timestamp) -> Activity {
    let mut activity = Activity::new(Uuid::from_u128(id), "a", at);
    activity.user = Some("ann".to_owned());
    activity
}

fn with_n(id: u128, second: i64, n: &str) -> Activity {
    let mut activity = event(id, at(second));
    activity.attributes.insert("n".to_owned(), serde_json::from_str(n).expect("JSON"));
    activity
}

/// The alerts of numbers that come one a second.
fn found(rules: &Arc<RuleSet>, numbers: &[&str]) -> Vec<Alert> {
    let mut engine = Engine::new(rules.clone(), Settings::default());
    for (second, n) in (0..).zip(numbers) {
        engine.observe(&with_n(u128::try_from(second).expect("positive"), second, n));
    }
    engine.finish();
    engine.drain()
}

/// However full a key is when they begin, as many as can be asked for are counted.
#[test]
fn as_many_as_can_be_asked_for_are_counted() {
    for section in [
        "type: event_count, timespan: 1h, condition: {gte: 50000}",
        "type: value_count, timespan: 1h, condition: {field: resource, gte: 50000}",
    ] {
        let mut engine = Engine::new(rules(section, ""), Settings::default());
        let mut id = 0_u128;
        let mut next = |engine: &mut Engine, at: Timestamp| {
            id += 1;
            let mut event = event(id, at);
            event.resource = Some(format!("/{id}"));
            engine.observe(&event);
        };
        for number in 0..24_000 {
            next(&mut engine, at(0).plus(number));
        }
        for number in 0..49_999 {
            next(&mut engine, at(0).plus(HOUR + SECOND + number / 10));
        }
        assert!(engine.drain().is_empty(), "{section}");
        next(&mut engine, at(3_602));
        let alerts = engine.drain();
        assert_eq!(alerts.iter().map(|alert| alert.observed).collect::<Vec<_>>(), [50_000.0], "{section}");
    }
}

#[test]
fn the_double_that_is_told_is_the_nearest() {
    let told = |kind: &str, bound: &str, numbers: &[&str]| {
        let section = format!("type: {kind}, timespan: 1h, condition: {{field: n, gte: {bound}}}");
        let alerts = found(&rules(&section, ""), numbers);
        (alerts[0].observed, alerts[0].threshold, alerts[0].escalations.iter().map(|step| step.observed).collect())
    };
    let sum: (f64, f64, Vec<f64>) = told("value_sum", "3376134.549749003", &["27009076.397992026"]);
    let n = 27_009_076.397_992_026;
    assert_eq!(sum, (n, 3_376_134.549_749_003, vec![n, n, n]));
    let average = told("value_avg", "0.3", &["1", "1", "2"]);
    assert_eq!(average, (4.0 / 3.0, 0.3, vec![1.0, 4.0 / 3.0]));
}

#[test]
fn what_has_left_a_window_leaves_nothing_behind() {
    // One a second, more of them than a window is looked through for.
    let mut numbers = vec!["1e24", "0.00000000000000000001"];
    numbers.extend(["0"; 60]);
    let section = "type: value_sum, timespan: 50s, condition: {field: n, eq: 0.00000000000000000001}";
    let alerts = found(&rules(section, ""), &numbers);
    assert_eq!(alerts.iter().map(|alert| (alert.at, alert.last_event_at)).collect::<Vec<_>>(), [(at(50), at(50))]);
}

#[test]
fn an_average_that_is_as_usual_is_not_beyond_it() {
    let baseline = "analytics: {v: 1, when: {baseline: {of: user, bucket: 1h, history: 24h, ready: 2, above: 1}}}";
    let rules = rules("type: value_avg, timespan: 10m, condition: {field: n, gte: 1}", baseline);
    let ask = |last: i64| {
        let mut engine = Engine::new(rules.clone(), Settings::default());
        let mut id = 0;
        for (hour, numbers) in [[2, 2, 3], [2, 2, 3], [2, 2, last]].iter().enumerate() {
            for (minute, n) in (0..).zip(numbers) {
                id += 1;
                let second = i64::try_from(hour).expect("small") * 3_600 + minute * 60;
                engine.observe(&with_n(id, second, &n.to_string()));
            }
        }
        engine.finish();
        engine.drain()
    };
    assert_eq!(ask(3), [], "7/3 is not more than 7/3");
    let alerts = ask(4);
    assert_eq!(alerts.len(), 1);
    let told = alerts[0].baseline.as_ref().expect("what it was compared with");
    assert_eq!(told["median"], serde_json::from_str::<Value>("2.33333333333333").expect("a number"));
}

#[test]
fn numbers_too_large_for_a_sum_are_counted_as_given_up() {
    let rules = rules("type: value_sum, timespan: 1h, condition: {field: n, gte: 1}", "");
    let mut backtest = Backtest::new(rules.clone(), Settings::default(), 5 * MINUTE);
    for (second, n) in ["1e300", "123456789012345678901234567890", "\"-1e29\"", "\"x\"", "0.5"].iter().enumerate() {
        let line = format!(r#"{{"ts":"2026-01-01T12:00:0{second}Z","action":"a","user":"ada","n":{n}}}"#);
        backtest.line(line.as_bytes());
    }
    let (alerts, summary) = backtest.finish();
    assert_eq!(alerts, []);
    let (reason, lost) = summary.given_up.first_key_value().expect("something was given up");
    assert!(reason.starts_with("numbers of more than 28 digits before the point") && *lost == 3, "{reason}: {lost}");

    let mut engine = Engine::new(rules.clone(), Settings::default());
    engine.observe(&with_n(1, 7, "1e300"));
    let gaps = engine.gaps();
    assert_eq!((gaps.len(), &gaps[0].rules, gaps[0].from), (1, &vec![rules.rules[1].id.clone()], at(7)));
}

#[test]
fn a_user_is_counted_once_however_it_is_spelt() {
    for (field, different) in [("user", 2), ("[user, action]", 2), ("name", 5)] {
        let section =
            format!("group-by: [source_ip], type: value_count, timespan: 1h, condition: {{field: {field}, gte: 1}}");
        let mut engine = Engine::new(rules(&section, ""), Settings::default());
        for (id, user) in (0..).zip(["mara", "Mara", "MARA", "bo", " "]) {
            let mut activity = event(id, at(0));
            activity.source_ip = "192.0.2.1".parse().ok();
            activity.user = Some(user.to_owned());
            activity.attributes.insert("name".to_owned(), user.into());
            engine.observe(&activity);
        }
        let alerts = engine.drain();
        assert_eq!(alerts.iter().map(|alert| alert.observed).fold(0.0, f64::max), f64::from(different), "{field}");
    }
}
