//! The engine from outside: what it reports while events come in any order, what it keeps, what it gives up.

use std::collections::BTreeMap;
use std::sync::Arc;

use detector::engine::{Engine, Settings};
use detector::rules::{RuleSource, load};
use domain::{Activity, Alert, AlertState, MINUTE, SECOND, Timestamp};
use uuid::Uuid;

const GUESSING: &str = "
title: Failed
id: 00000000-0000-4000-8000-000000000001
name: failed
logsource: {category: activity}
detection:
    selection: {action: LoginFailed}
    condition: selection
level: informational
---
title: Guessing
id: 00000000-0000-4000-8000-000000000002
correlation:
    type: event_count
    rules: [failed]
    group-by: [user]
    timespan: 60s
    condition: {gte: 3}
level: medium
";

fn engine(rules: &str, settings: Settings) -> Engine {
    let loaded = load(&[RuleSource::text("test.yml", rules)]).expect("valid rules");
    Engine::new(Arc::new(loaded.rules), settings)
}

fn failed(user: &str, second: i64, id: u128) -> Activity {
    let mut activity = Activity::new(Uuid::from_u128(id), "LoginFailed", at(second));
    activity.user = Some(user.to_owned());
    activity
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000 * SECOND + second * SECOND)
}

fn only(mut alerts: Vec<Alert>) -> Alert {
    assert_eq!(alerts.len(), 1, "{alerts:#?}");
    alerts.remove(0)
}

#[test]
fn a_window_is_half_open_and_reports_at_once() {
    let mut engine = engine(GUESSING, Settings::default());
    engine.observe(&failed("ann", 0, 1));
    engine.observe(&failed("ann", 30, 2));
    engine.observe(&failed("ann", 60, 3));
    assert!(engine.drain().is_empty(), "the first lies exactly a window back");
    engine.observe(&failed("ann", 61, 4));
    let alert = only(engine.drain());
    assert_eq!((alert.at, alert.observed, alert.threshold), (at(61), 3.0, 3.0));
    assert_eq!(alert.event_ids, [2, 3, 4].map(Uuid::from_u128));
    assert_eq!(alert.user.as_deref(), Some("ann"));
    assert_eq!(alert.state, AlertState::Open);
    assert!(engine.drain().is_empty(), "nothing has changed since");
}

#[test]
fn a_late_event_joins_two_episodes_and_the_first_keeps_its_id() {
    let mut engine = engine(GUESSING, Settings::default());
    for (second, id) in [(0, 1), (1, 2), (2, 3), (100, 4), (101, 5), (102, 6)] {
        engine.observe(&failed("ann", second, id));
    }
    let alerts = engine.drain();
    let ids: Vec<Uuid> = alerts.iter().map(|alert| alert.alert_id).collect();
    assert_eq!(alerts.iter().map(|alert| alert.at).collect::<Vec<_>>(), [at(2), at(102)]);
    engine.observe(&failed("ann", 58, 7));
    engine.observe(&failed("ann", 60, 8));
    let alerts = engine.drain();
    let merged = alerts.iter().find(|alert| alert.state == AlertState::Merged).expect("a merged one");
    let open = alerts.iter().find(|alert| alert.state == AlertState::Open).expect("the one that took it in");
    assert_eq!((merged.alert_id, merged.merged_into), (ids[1], Some(ids[0])));
    assert_eq!((open.alert_id, open.at, open.last_event_at, open.event_count), (ids[0], at(2), at(102), 8));
    assert_eq!(open.revision, 2);
}

#[test]
fn an_earlier_event_moves_the_alert_and_it_stays_the_same_one() {
    let mut engine = engine(GUESSING, Settings::default());
    for (second, id) in [(10, 2), (11, 3), (12, 4)] {
        engine.observe(&failed("ann", second, id));
    }
    let before = only(engine.drain());
    engine.observe(&failed("ann", 5, 1));
    let after = only(engine.drain());
    assert_eq!((before.at, after.at), (at(12), at(11)));
    assert_eq!(before.alert_id, after.alert_id);
}

#[test]
fn a_sum_that_a_negative_number_falsifies_is_taken_back() {
    let rules = GUESSING.replace("event_count", "value_sum").replace("{gte: 3}", "{field: records, gte: 10}");
    let mut engine = engine(&rules, Settings::default());
    let mut activity = failed("ann", 10, 1);
    activity.records = Some(12);
    engine.observe(&activity);
    let alert = only(engine.drain());
    assert_eq!(alert.observed, 12.0);
    let mut activity = failed("ann", 9, 2);
    activity.records = Some(-5);
    engine.observe(&activity);
    let retracted = only(engine.drain());
    assert_eq!((retracted.alert_id, retracted.state), (alert.alert_id, AlertState::Retracted));
}

#[test]
fn an_episode_closes_when_nothing_can_extend_it() {
    let mut engine = engine(GUESSING, Settings::default());
    for id in 0..3 {
        engine.observe(&failed("ann", 10, id));
    }
    engine.advance(at(69));
    assert_eq!(only(engine.drain()).state, AlertState::Open);
    engine.advance(at(70));
    assert_eq!(only(engine.drain()).state, AlertState::Closed);
    engine.advance(at(500));
    assert_eq!(engine.footprint().keys, 0, "idle keys are forgotten");
}

#[test]
fn what_comes_behind_the_watermark_is_counted_and_takes_no_part() {
    let mut engine = engine(GUESSING, Settings::default());
    engine.advance(at(100));
    for id in 0..3 {
        engine.observe(&failed("ann", 99, id));
    }
    assert!(engine.drain().is_empty());
    assert_eq!(engine.behind(), 3);
    let gaps = engine.gaps();
    assert_eq!((gaps.len(), gaps[0].lost), (1, 3));
}

#[test]
fn sprayed_keys_cannot_push_an_open_episode_out() {
    let mut engine = engine(GUESSING, Settings { keys: 1_000, ..Settings::default() });
    (0..3).for_each(|id| engine.observe(&failed("victim", 0, id)));
    let before = only(engine.drain());
    for id in 0..100_000_u128 {
        engine.observe(&failed(&format!("sprayed-{id}"), 10, 1_000 + id));
    }
    assert!(engine.footprint().keys <= 1_001);
    let gaps = engine.gaps();
    assert!(gaps.iter().map(|gap| gap.lost).sum::<u64>() >= 99_000, "what was given up is said");
    engine.observe(&failed("victim", 20, 500_000));
    let after = only(engine.drain());
    assert_eq!((after.alert_id, after.event_count), (before.alert_id, 4));
}

#[test]
fn a_flood_on_one_key_is_bounded_and_still_one_alert() {
    let mut engine = engine(GUESSING, Settings { events_per_key: 256, ..Settings::default() });
    for id in 0..10_000_u128 {
        engine.observe(&failed("ann", i64::try_from(id / 200).unwrap(), id));
    }
    let alerts: BTreeMap<Uuid, Alert> = engine.drain().into_iter().map(|alert| (alert.alert_id, alert)).collect();
    assert_eq!(alerts.len(), 1);
    let alert = alerts.values().next().unwrap();
    assert_eq!(alert.event_count, 10_000);
    assert!(alert.observed >= 24.0, "at least eight times the threshold: {}", alert.observed);
    assert!(engine.footprint().events <= 256);
    assert!(!engine.gaps().is_empty());
}

#[test]
fn after_a_restart_the_ids_are_those_that_were_given() {
    let events: Vec<Activity> = (0..40).map(|id| failed("ann", 10 * i64::try_from(id).unwrap(), id)).collect();
    let mut before = engine(GUESSING, Settings::default());
    // The order in which they came gives the alert another first event than their times do.
    before.observe(&events[1]);
    before.observe(&events[2]);
    before.observe(&events[3]);
    before.observe(&events[0]);
    let stored = before.drain();
    events[4..30].iter().for_each(|event| before.observe(event));
    let stored = only(before.drain().into_iter().chain(stored).take(1).collect());

    let mut after = engine(GUESSING, Settings::default());
    events[10..30].iter().for_each(|event| after.observe(event));
    after.advance(at(200));
    after.drain();
    after.adopt(std::slice::from_ref(&stored));
    assert_eq!(after.drain(), [], "nothing is different from what is stored: {stored:#?}");
    for event in &events[30..] {
        before.observe(event);
        after.observe(event);
    }
    assert_eq!(only(after.drain()), only(before.drain()));
}

#[test]
fn adopting_an_alert_whose_episode_is_over_closes_it() {
    let mut first = engine(GUESSING, Settings::default());
    (0..3).for_each(|id| first.observe(&failed("ann", 10, id)));
    let stored = only(first.drain());
    let mut second = engine(GUESSING, Settings::default());
    second.advance(at(3_600));
    second.adopt(std::slice::from_ref(&stored));
    let closed = only(second.drain());
    assert_eq!((closed.alert_id, closed.state, closed.revision), (stored.alert_id, AlertState::Closed, 2));
}

#[test]
fn a_baseline_reports_what_is_beyond_the_usual_and_says_what_that_is() {
    let rules = format!(
        "{}analytics: {{v: 1, when: {{baseline: {{of: user, bucket: 1d, history: 10d, ready: 3, above: 3}}}}}}\n",
        GUESSING.replace("timespan: 60s", "timespan: 1h")
    );
    let mut engine = engine(&rules, Settings::default());
    let day = 86_400;
    let mut id = 0;
    let mut fail = |engine: &mut Engine, day_number: i64, times: i64| {
        for second in 0..times {
            id += 1;
            engine.observe(&failed("ann", day_number * day + second, id));
        }
    };
    for (number, times) in [(0, 3), (1, 5), (2, 4)] {
        fail(&mut engine, number, times);
    }
    fail(&mut engine, 3, 7);
    engine.advance(at(3 * day + 100));
    assert!(engine.drain().is_empty(), "median 4, spread 1: seven is not more than 4 + 3·1");
    fail(&mut engine, 4, 20);
    assert!(engine.drain().is_empty(), "another event could falsify it: it waits");
    engine.advance(at(4 * day + 100));
    let alert = only(engine.drain());
    // 3, 5, 4, 7: median 4.5, deviations 1.5, 0.5, 0.5, 2.5, spread 1, bound 7.5.
    assert_eq!((alert.observed, alert.at), (20.0, at(4 * day + 7)));
    assert_eq!(alert.baseline.as_ref().map(|baseline| baseline["bound"].to_string()).as_deref(), Some("7.5"));
    assert!(alert.explanation.ends_with("usual: median 4.5, spread 1, n 4"), "{}", alert.explanation);
}

#[test]
fn horizon_covers_a_chain_of_windows() {
    let engine = engine(GUESSING, Settings::default());
    assert_eq!(engine.horizon(), 2 * MINUTE);
}

/// The sum of `records` over a minute, from ten on; an episode lasts as long as the window.
fn summing() -> Engine {
    let rules = GUESSING.replace("event_count", "value_sum").replace("{gte: 3}", "{field: records, gte: 10}");
    engine(&rules, Settings::default())
}

fn records(second: i64, id: u128, records: i64) -> Activity {
    let mut activity = failed("ann", second, id);
    activity.records = Some(records);
    activity
}

#[test]
fn what_was_taken_back_and_holds_again_is_the_same_alert_in_a_later_revision() {
    let mut engine = summing();
    engine.observe(&records(10, 1, 12));
    let opened = only(engine.drain());
    engine.observe(&records(9, 2, -5));
    assert_eq!(only(engine.drain()).state, AlertState::Retracted);
    engine.observe(&records(8, 3, 4));
    let again = only(engine.drain());
    assert_eq!((again.alert_id, again.state, again.revision), (opened.alert_id, AlertState::Open, 3));
    // Taken back and back again before anybody asked: told once, as it is.
    engine.observe(&records(7, 4, -5));
    engine.observe(&records(6, 5, 5));
    let told = engine.drain();
    assert!(told.len() <= 1, "{told:#?}");
    assert!(told.iter().all(|alert| alert.state == AlertState::Open && alert.revision > 3), "{told:#?}");
}

#[test]
fn an_episode_that_breaks_apart_becomes_two_alerts_with_ids_of_their_own() {
    let mut engine = summing();
    engine.observe(&records(100, 1, 12));
    let first = only(engine.drain());
    // Earlier openers take over its identity.
    engine.observe(&records(50, 2, 12));
    engine.observe(&records(39, 3, 12));
    let moved = only(engine.drain());
    assert_eq!((moved.alert_id, moved.at, moved.last_event_at), (first.alert_id, at(39), at(100)));
    // Nothing holds between 39 and 100 any more, and they lie more than an episode apart.
    engine.observe(&records(99, 4, 90));
    engine.observe(&records(45, 5, -100));
    let told = engine.drain();
    let living: Vec<_> = told.iter().map(|alert| (alert.at, alert.state)).collect();
    assert_eq!(living, [(at(39), AlertState::Open), (at(100), AlertState::Open)]);
    assert_eq!(told[0].alert_id, first.alert_id);
    assert_ne!(told[1].alert_id, first.alert_id, "its opener is the event that gave the other its id");
}

#[test]
fn a_merged_alert_points_to_one_that_lives_however_many_joined() {
    let mut engine = engine(GUESSING.replace("gte: 3", "gte: 1").as_str(), Settings::default());
    for (second, id) in [(0, 1), (60, 2), (120, 3)] {
        engine.observe(&failed("ann", second, id));
    }
    let ids: Vec<Uuid> = engine.drain().iter().map(|alert| alert.alert_id).collect();
    assert_eq!(ids.len(), 3);
    engine.observe(&failed("ann", 90, 4));
    engine.observe(&failed("ann", 30, 5));
    let told = engine.drain();
    let merged: Vec<_> =
        told.iter().filter(|alert| alert.state == AlertState::Merged).map(|alert| alert.merged_into).collect();
    assert_eq!(merged, [Some(ids[0]), Some(ids[0])]);
}

#[test]
fn what_is_a_number_is_one_question_for_rules_and_for_sums() {
    let rules = GUESSING.replace("event_count", "value_sum").replace("{gte: 3}", "{field: n, gte: 1}");
    let sums = |text: &str| {
        let mut engine = engine(&rules, Settings::default());
        let mut activity = failed("ann", 0, 1);
        activity.attributes.insert("n".to_owned(), text.into());
        engine.observe(&activity);
        engine.drain().first().map(|alert| alert.observed)
    };
    assert_eq!(["10", "+1", "1e1", "1.50"].map(sums), [Some(10.0), Some(1.0), Some(10.0), Some(1.5)]);
    assert_eq!(["1_0", " 1", "0x10", "10%", ""].map(sums), [None; 5]);
}

#[test]
fn the_clock_of_a_correlation_is_that_of_the_user_of_the_event() {
    let rules = GUESSING.replace("[user]", "[source_ip]").replace("gte: 3", "gte: 1")
        + "analytics: {v: 1, when: {time: {outside: working_hours, zone: user}}}\n";
    let zones = [("kei".to_owned(), chrono_tz::Tz::Asia__Tokyo)].into();
    let mut engine = engine(&rules, Settings { zones, ..Settings::default() });
    // Tuesday, 22:13 in UTC and Wednesday, 07:13 in Tokyo.
    for (user, id) in [("Kei", 1), ("ann", 2)] {
        let mut activity = failed(user, 0, id);
        activity.source_ip = Some(std::net::Ipv4Addr::new(192, 0, 2, u8::try_from(id).unwrap()).into());
        engine.observe(&activity);
    }
    assert_eq!(only(engine.drain()).ip.as_deref(), Some("192.0.2.2"));
}

#[test]
fn a_text_condition_is_explained_in_the_words_of_its_rules() {
    let signal = |name: &str, action: &str| {
        format!(
            "title: {name} seen\nname: {name}\nlogsource: {{category: activity}}\n\
             detection: {{selection: {{action: {action}}}, condition: selection}}\nlevel: informational\n---\n"
        )
    };
    let rules = [signal("a", "Login"), signal("b", "LoginFailed"), signal("c", "Export")].concat()
        + "title: Both ways\ncorrelation: {type: temporal, rules: [a, b, c], group-by: [user], timespan: 1h, \
           condition: (a or b) and not c}\nlevel: low\n";
    let mut engine = engine(&rules, Settings::default());
    engine.observe(&failed("ann", 0, 1));
    engine.finish();
    let alert = only(engine.drain());
    assert_eq!((alert.observed, alert.threshold), (1.0, 1.0), "one of the rules is enough");
    assert_eq!(alert.explanation, "(a seen or b seen) and not c seen within 1 h by user ann");
}

#[test]
fn of_values_that_came_again_the_last_is_named_and_all_are_counted() {
    let rules = GUESSING
        .replace("event_count", "value_count")
        .replace("timespan: 60s", "timespan: 1h")
        .replace("{gte: 3}", "{field: source_ip, gte: 2}");
    let mut engine = engine(&rules, Settings::default());
    let from = |host: u8, second: i64, id: u128| {
        let mut activity = failed("ann", second, id);
        activity.source_ip = Some(std::net::Ipv4Addr::new(192, 0, 2, host).into());
        activity
    };
    for id in 0..200_u128 {
        let second = 20 * i64::try_from(id).unwrap();
        engine.observe(&from(1, second, id));
        engine.advance(at(second - 60));
    }
    assert!(engine.drain().is_empty());
    let footprint = engine.footprint();
    assert!(footprint.bytes < 12_000, "180 events of an hour are times, but for the last: {footprint:?}");
    // The hour up to 3,980 s begins behind the event at 380 s.
    engine.observe(&from(2, 3_980, 1_000));
    let alert = only(engine.drain());
    assert_eq!(alert.event_ids, [199, 1_000].map(Uuid::from_u128));
    assert_eq!((alert.first_event_at, alert.event_count, alert.observed), (at(400), 181, 2.0));
}

#[test]
fn events_at_which_a_rule_cannot_hold_are_counted_although_they_are_gone() {
    let rules = GUESSING.to_owned() + "analytics: {v: 1, episode: 1h}\n";
    let mut engine = engine(&rules, Settings::default());
    let single = (1..31).map(|number| 100 * number);
    for (id, second) in (0..3).chain(single).chain(3_300..3_303).enumerate() {
        engine.observe(&failed("ann", second, id as u128));
        engine.advance(at(second - 1));
    }
    let alert = only(engine.drain());
    assert_eq!((alert.at, alert.last_event_at, alert.event_count), (at(2), at(3_302), 36));
}
