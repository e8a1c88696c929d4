//! The oracle against cases computed by hand from docs/rules.md.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use detector::rules::{
    Baseline, Body, Comparison, Condition, Correlation, Detection, DetectionKey, Field, FirstSeen, GroupField, Kind,
    Presence, Rule, TimeGate, ZoneOf,
};
use domain::{Activity, DAY, HOUR, SECOND, Severity, Timestamp};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::episodes::Found;
use crate::reference::{Value, World, Zones, decimal};

fn rule(id: &str, body: Body) -> Rule {
    let episode = match &body {
        Body::Detection(_) => HOUR,
        Body::Correlation(correlation) => correlation.timespan,
    };
    Rule {
        id: id.to_owned(),
        name: None,
        title: id.to_owned(),
        description: String::new(),
        level: Severity::Medium,
        techniques: Vec::new(),
        tags: Vec::new(),
        false_positives: Vec::new(),
        file: String::new(),
        line: 1,
        revision: String::new(),
        risk: 47,
        family: id.to_owned(),
        episode,
        escalate: Vec::new(),
        mute_after_close: 0,
        time: None,
        reports: true,
        body,
    }
}

/// A detection of one action, which is its id; silent, as referred ones are.
fn detection(action: &str) -> Rule {
    let body = Detection { key: DetectionKey::Auto, first_seen: None, after_silence: None };
    Rule { reports: false, ..rule(action, Body::Detection(body)) }
}

fn correlation(kind: Kind, refs: &[usize], seconds: i64, condition: &[(Comparison, &str)]) -> Rule {
    let user = GroupField { name: "user".to_owned(), fields: vec![Field::User; refs.len()] };
    rule(
        "the rule",
        Body::Correlation(Correlation {
            kind,
            refs: refs.to_vec(),
            group_by: vec![user],
            timespan: seconds * SECOND,
            condition: Condition(condition.iter().map(|(is, bound)| (*is, bound.parse().expect("a number"))).collect()),
            baseline: None,
        }),
    )
}

/// Monday noon and that many seconds.
fn at(seconds: i64) -> Timestamp {
    Timestamp::parse("2026-03-02T12:00:00Z").expect("a time").plus(seconds * SECOND)
}

fn event(seconds: i64, action: &str) -> Activity {
    let mut event = Activity::new(Uuid::nil(), action, at(seconds));
    event.user = Some("ada".to_owned());
    event
}

fn with(mut event: Activity, name: &str, value: serde_json::Value) -> Activity {
    event.attributes.insert(name.to_owned(), value);
    event
}

/// Puts the events into order and asks the oracle. A detection's id is the action it matches.
fn found(rules: &[Rule], mut events: Vec<Activity>) -> Vec<Found> {
    events.sort_by_key(|event| event.occurred_at);
    for (index, event) in events.iter_mut().enumerate() {
        event.event_id = Uuid::from_u128(index as u128);
    }
    let detections = |event: &Activity| (0..rules.len()).filter(|rule| rules[*rule].id == event.action).collect();
    let world = World {
        rules,
        events: &events,
        matched: events.iter().map(detections).collect(),
        zones: Zones { default: Tz::UTC, users: BTreeMap::from([("ada".to_owned(), Tz::Asia__Tokyo)]) },
    };
    world.alerts()
}

fn times(found: &[Found]) -> Vec<(i64, i64)> {
    found.iter().map(|alert| (alert.at.since(at(0)) / SECOND, alert.last.since(at(0)) / SECOND)).collect()
}

fn number(text: &str) -> Value {
    decimal(text.parse().expect("a number"))
}

fn counting(n: &str, seconds: i64) -> Vec<Rule> {
    vec![detection("a"), correlation(Kind::EventCount, &[0], seconds, &[(Comparison::AtLeast, n)])]
}

fn all(seconds: &[i64]) -> Vec<Activity> {
    seconds.iter().map(|second| event(*second, "a")).collect()
}

#[test]
fn three_in_sixty_seconds() {
    let alerts = found(&counting("3", 60), all(&[10, 20, 100, 101, 102, 50]));
    assert_eq!(times(&alerts), [(50, 102)]);
    assert_eq!(alerts[0].observed, number("4"));
    assert_eq!(alerts[0].first, at(10));
    assert!(alerts[0].escalations.is_empty());
    assert!(found(&counting("3", 60), all(&[100, 0, 150])).is_empty());
    assert_eq!(times(&found(&counting("3", 60), all(&[0, 20, 200, 40]))), [(40, 40)]);
}

#[test]
fn exactly_a_window_apart_is_apart_and_exactly_an_episode_is_a_new_one() {
    assert!(found(&counting("2", 60), all(&[0, 60])).is_empty());
    assert_eq!(times(&found(&counting("2", 60), all(&[0, 59]))), [(59, 59)]);
    // Holds at 0, 59 and 119: the last is exactly 60 after the one before.
    assert_eq!(times(&found(&counting("1", 60), all(&[0, 59, 119]))), [(0, 59), (119, 119)]);
    // What does not hold does not extend: holds at 1; at 40 there is one in the window; at 61 and 62 there are two.
    let mut rules = counting("2", 30);
    rules[1].episode = 60 * SECOND;
    assert_eq!(times(&found(&rules, all(&[0, 1, 40, 61, 62]))), [(1, 1), (61, 62)]);
}

#[test]
fn an_event_without_a_key_takes_no_part_and_one_event_counts_once() {
    let mut nobody = event(1, "a");
    nobody.user = Some(String::new());
    assert!(found(&counting("2", 60), vec![event(0, "a"), nobody]).is_empty());
    let mut other = event(1, "a");
    other.user = Some(" ADA ".to_owned());
    assert_eq!(times(&found(&counting("2", 60), vec![event(0, "a"), other])), [(1, 1)]);
    // Two detections of the same action.
    let rules =
        [detection("a"), detection("a"), correlation(Kind::EventCount, &[0, 1], 60, &[(Comparison::AtLeast, "2")])];
    assert!(found(&rules, all(&[0])).is_empty());
}

#[test]
fn steps_are_entries_with_their_own_time_and_value() {
    let mut rules = counting("2", 60);
    rules[1].escalate = vec![(Decimal::from(5), Severity::High)];
    let alerts = found(&rules, all(&[0, 1, 2, 3, 4, 5]));
    let steps: Vec<(i64, Value, Severity)> = alerts[0]
        .escalations
        .iter()
        .map(|step| (step.at.since(at(0)) / SECOND, step.observed.clone(), step.severity))
        .collect();
    assert_eq!(steps, [(3, number("4"), Severity::Medium), (4, number("5"), Severity::High)]);
    assert_eq!((alerts[0].severity, alerts[0].cap), (Severity::High, Some(Decimal::from(16))));
    // A detection alerts from one on, and again at two.
    let mut plain = [detection("a")];
    plain[0].reports = true;
    let alerts = found(&plain, all(&[0, 3599, 7199]));
    assert_eq!(times(&alerts), [(0, 3599), (7199, 7199)]);
    assert_eq!(alerts[0].escalations.len(), 1);
}

#[test]
fn sums_are_exact_and_what_is_no_number_takes_no_part() {
    let sum = Kind::ValueSum(Field::Attribute("n".to_owned()));
    let rules = [detection("a"), correlation(sum, &[0], 60, &[(Comparison::AtLeast, "1")])];
    let numbers = |texts: &[&str]| -> Vec<Activity> {
        (0..)
            .zip(texts)
            .map(|(second, text)| with(event(second, "a"), "n", serde_json::from_str(text).unwrap()))
            .collect()
    };
    assert_eq!(times(&found(&rules, numbers(&["0.7", "0.2", "0.1"]))), [(2, 2)]);
    // It holds at the third; "x" has no say, and -0.5 takes it below.
    assert_eq!(times(&found(&rules, numbers(&["0.7", "0.2", "\"0.1\"", "\"x\"", "-0.5"]))), [(2, 2)]);

    // More digits than a decimal has, and what is larger than one has no say.
    let far = ["1e24", "-1e24", "1e-28", "1e300", "-123456789012345678901234567890", "0.9999999999999999999999999999"];
    assert_eq!(times(&found(&rules, numbers(&far[1..]))), []);
    assert_eq!(times(&found(&rules, numbers(&far))), [(0, 5)]);
    let alerts = found(&rules, numbers(&far[2..]));
    assert_eq!((times(&alerts), &alerts[0].observed), (vec![(3, 3)], &number("1")));

    let average = Kind::ValueAvg(Field::Attribute("n".to_owned()));
    let rules = [detection("a"), correlation(average, &[0], 60, &[(Comparison::Less, "2")])];
    let alerts = found(&rules, numbers(&["3", "1", "1", "1"]));
    assert_eq!(times(&alerts), [(2, 3)]);
    assert_eq!(alerts[0].observed, number("1.5"), "the lowest");

    let median = Kind::ValuePercentile(Field::Attribute("n".to_owned()), Decimal::from(50));
    let rules = [detection("a"), correlation(median, &[0], 60, &[(Comparison::AtLeast, "2.5")])];
    let alerts = found(&rules, numbers(&["1", "2", "3", "4"]));
    assert_eq!(times(&alerts), [(3, 3)]);
}

#[test]
fn distinct_values_are_texts_and_empty_is_none() {
    let kind = Kind::ValueCount(vec![Field::Resource]);
    let rules = [detection("a"), correlation(kind, &[0], 60, &[(Comparison::AtLeast, "2")])];
    let resources = |texts: &[&str]| -> Vec<Activity> {
        let one = |(second, text): (i64, &&str)| Activity { resource: Some((*text).to_owned()), ..event(second, "a") };
        (0..).zip(texts).map(one).collect()
    };
    assert!(found(&rules, resources(&["x", "", "x"])).is_empty());
    assert_eq!(times(&found(&rules, resources(&["x", "", "X"]))), [(2, 2)]);
    // A user is one however it is spelt, alone or beside others.
    for fields in [vec![Field::User], vec![Field::User, Field::Action]] {
        let mut rules =
            [detection("a"), correlation(Kind::ValueCount(fields), &[0], 60, &[(Comparison::AtLeast, "2")])];
        let Body::Correlation(body) = &mut rules[1].body else { panic!() };
        body.group_by.clear();
        let users = (0..).zip(["mara", "Mara", " MARA ", "  ", "bo"]);
        let users = users.map(|(second, user)| Activity { user: Some(user.to_owned()), ..event(second, "a") });
        assert_eq!(times(&found(&rules, users.collect())), [(4, 4)]);
    }
}

#[test]
fn a_baseline_asks_what_is_usual_for_oneself_and_for_ones_peers() {
    let average = Kind::ValueAvg(Field::Attribute("n".to_owned()));
    let mut rules = [detection("a"), correlation(average, &[0], 3, &[(Comparison::AtLeast, "1")])];
    rules[1].episode = SECOND;
    let Body::Correlation(body) = &mut rules[1].body else { panic!() };
    body.baseline = Some(Baseline {
        of: Field::User,
        peers: Some(Field::Role),
        bucket: 10 * SECOND,
        history: 30 * SECOND,
        ready: 2,
        above: Decimal::ONE,
    });
    // Three in the first three seconds of a bucket, falling to the average at the end.
    let three = |user: &str, bucket: i64, numbers: [i64; 3]| -> Vec<Activity> {
        let one = |(second, n): (i64, i64)| {
            let role = Some("r".to_owned());
            let event = Activity { user: Some(user.to_owned()), role, ..event(10 * bucket + second, "a") };
            with(event, "n", n.into())
        };
        (0..).zip(numbers).map(one).collect()
    };
    // The largest values are 1, 4/3 (of 1, 1 and 2), then 4/3 again: median 7/6, deviations 1/6 and 1/6.
    let own = |last| [three("ada", 0, [1, 1, 1]), three("ada", 1, [1, 1, 2]), three("ada", 2, last)].concat();
    assert_eq!(times(&found(&rules, own([1, 1, 2]))), [], "4/3 is not more than 7/6 + 1/6");
    assert_eq!(times(&found(&rules, own([1, 1, 3]))), [(22, 22)], "5/3 is");
    // One figure is not enough, and what is over 30 s ago is none.
    assert_eq!(times(&found(&rules, [three("ada", 1, [1, 1, 2]), three("ada", 2, [1, 1, 3])].concat())), []);
    let gone = [three("ada", 0, [1, 1, 1]), three("ada", 1, [1, 1, 2]), three("ada", 4, [1, 1, 3])].concat();
    assert_eq!(times(&found(&rules, gone)), [], "the first bucket ended exactly 30 s before the last begins");
    // A peer to whom as much happens, once two figures of peers are known.
    let with_bo = |events: Vec<Activity>| [own([1, 1, 3]), events].concat();
    assert_eq!(times(&found(&rules, with_bo(three("bo", 0, [3, 3, 3])))), [(22, 22)]);
    let both = [three("bo", 0, [3, 3, 3]), three("bo", 1, [3, 3, 3])].concat();
    assert_eq!(times(&found(&rules, with_bo(both))), []);
}

#[test]
fn temporal_asks_which_rules_are_there() {
    let kinds = |kind| [detection("a"), detection("b"), correlation(kind, &[0, 1], 60, &[(Comparison::AtLeast, "2")])];
    assert_eq!(times(&found(&kinds(Kind::Temporal(None)), vec![event(5, "b"), event(9, "a")])), [(9, 9)]);
    assert!(found(&kinds(Kind::TemporalOrdered), vec![event(5, "b"), event(9, "a")]).is_empty());
    // They need not end at the event: at 12 a and b are still there in order.
    let events = || vec![event(5, "a"), event(9, "b"), event(12, "a")];
    assert_eq!(times(&found(&kinds(Kind::TemporalOrdered), events())), [(9, 12)]);
    let not = Presence::And(vec![Presence::Rule(0), Presence::Not(Box::new(Presence::Rule(1)))]);
    let mut rules = kinds(Kind::Temporal(Some(not)));
    let Body::Correlation(body) = &mut rules[2].body else { panic!() };
    body.condition.0.clear();
    assert_eq!(times(&found(&rules, events())), [(5, 5)]);
    // One event that stands for both: enough for temporal, not for the ordered one.
    let same = |kind| [detection("a"), detection("a"), correlation(kind, &[0, 1], 60, &[(Comparison::AtLeast, "2")])];
    assert_eq!(times(&found(&same(Kind::Temporal(None)), all(&[3]))), [(3, 3)]);
    assert!(found(&same(Kind::TemporalOrdered), all(&[3])).is_empty());
    assert_eq!(times(&found(&same(Kind::TemporalOrdered), all(&[3, 4]))), [(4, 4)]);
}

#[test]
fn a_chain_sees_the_events_at_which_the_other_holds() {
    // Twice "two in 10 s" within 100 s, and then the log-in.
    let mut two = correlation(Kind::EventCount, &[0], 10, &[(Comparison::AtLeast, "2")]);
    two.reports = false;
    let rules = [
        detection("a"),
        detection("in"),
        two,
        correlation(Kind::TemporalOrdered, &[2, 1], 100, &[(Comparison::AtLeast, "2")]),
    ];
    let events = |login| vec![event(0, "a"), event(1, "a"), event(login, "in")];
    assert_eq!(times(&found(&rules, events(50))), [(50, 50)]);
    assert!(found(&rules, events(101)).is_empty(), "the crossing at 1 is exactly 100 before");
    assert!(found(&rules, vec![event(0, "a"), event(20, "a"), event(50, "in")]).is_empty());
}

#[test]
fn when_looks_back() {
    let first_seen = FirstSeen {
        of: Field::User,
        field: Field::Resource,
        within: 100 * SECOND,
        after_age: 50 * SECOND,
        after_events: 2,
    };
    let mut rules = [detection("a")];
    rules[0].reports = true;
    rules[0].episode = SECOND;
    let Body::Detection(body) = &mut rules[0].body else { panic!() };
    body.first_seen = Some(first_seen);
    let seen = |second, resource: &str| Activity { resource: Some(resource.to_owned()), ..event(second, "a") };
    // 49: too early. 60: new, and learnt. 70: x seen at 0. 160: x seen at 70. 161: y seen at 60, 101 back.
    let events = vec![seen(0, "x"), seen(49, "z"), seen(60, "y"), seen(70, "x"), seen(160, "x"), seen(161, "y")];
    assert_eq!(times(&found(&rules, events)), [(60, 60), (161, 161)]);

    let Body::Detection(body) = &mut rules[0].body else { panic!() };
    (body.first_seen, body.after_silence) = (None, Some(10 * SECOND));
    assert_eq!(times(&found(&rules, all(&[0, 10, 20, 31, 35]))), [(0, 0), (31, 31)]);
}

#[test]
fn a_clock_is_read_where_its_user_is() {
    let mut rules = [detection("a")];
    rules[0].reports = true;
    rules[0].time =
        Some(TimeGate { inside: false, calendar: "working_hours".to_owned(), zone: ZoneOf::Named(Tz::UTC) });
    assert!(found(&rules, all(&[0])).is_empty(), "noon on a Monday");
    assert_eq!(found(&rules, all(&[10 * 3600])).len(), 1, "22:00 is outside");
    assert!(found(&rules, all(&[10 * 3600 - 1])).is_empty());
    assert_eq!(found(&rules, all(&[5 * DAY / SECOND])).len(), 1, "Saturday");
    rules[0].time = Some(TimeGate { inside: false, calendar: "working_hours".to_owned(), zone: ZoneOf::User });
    assert_eq!(times(&found(&rules, all(&[0, 3599, 3600]))), [(3600, 3600)], "nine hours further east");
}

#[test]
fn what_a_clock_holds_back_is_still_what_later_events_are_compared_with() {
    let mut rules = [detection("a")];
    rules[0].reports = true;
    rules[0].time =
        Some(TimeGate { inside: false, calendar: "working_hours".to_owned(), zone: ZoneOf::Named(Tz::UTC) });
    let Body::Detection(body) = &mut rules[0].body else { panic!() };
    body.after_silence = Some(2 * HOUR);
    // Each member of `when` stands alone: 21:30 does not count, being within working hours, but it is a match, so 22:30
    // has one before it, as 23:00 has. At 01:00:01 the last one lies more than two hours back.
    assert_eq!(times(&found(&rules, all(&[34_200, 37_800, 39_600, 46_801]))), [(46_801, 46_801)]);
}

#[test]
fn an_ipv6_address_stands_for_its_network_and_a_mapped_one_for_its_ipv4_address() {
    let mut rules = counting("2", 60);
    let Body::Correlation(body) = &mut rules[1].body else { panic!() };
    body.group_by = vec![GroupField { name: "source_ip".to_owned(), fields: vec![Field::SourceIp] }];
    let from = |second, ip: &str| Activity { source_ip: Some(ip.parse().unwrap()), ..event(second, "a") };
    let alerts =
        found(&rules, vec![from(0, "2001:db8:1:2::1"), from(1, "2001:db8:1:2:3::"), from(2, "2001:db8:1:3::")]);
    assert_eq!(times(&alerts), [(1, 1)]);
    assert_eq!(alerts[0].key["source_ip"], "2001:db8:1:2::/64");
    let alerts = found(&rules, vec![from(0, "::ffff:192.0.2.1"), from(1, "192.0.2.1")]);
    assert_eq!(alerts[0].key["source_ip"], "192.0.2.1");
}

#[test]
fn an_alias_reads_the_key_from_each_rules_own_field() {
    let mut rules =
        vec![detection("a"), detection("b"), correlation(Kind::EventCount, &[0, 1], 60, &[(Comparison::AtLeast, "2")])];
    let Body::Correlation(body) = &mut rules[2].body else { panic!() };
    let target = Field::Attribute("target".to_owned());
    body.group_by = vec![GroupField { name: "who".to_owned(), fields: vec![Field::User, target] }];
    let done_to = |whom: &str| with(Activity { user: Some("eve".to_owned()), ..event(1, "b") }, "target", whom.into());
    assert_eq!(times(&found(&rules, vec![event(0, "a"), done_to("ada")])), [(1, 1)]);
    // An attribute is exact text, whatever it is compared with.
    assert!(found(&rules, vec![event(0, "a"), done_to("Ada")]).is_empty());
}

#[test]
fn a_bound_from_above_peaks_at_its_least_and_history_looks_strictly_back() {
    let mut rules = counting("1", 60);
    let Body::Correlation(body) = &mut rules[1].body else { panic!() };
    body.condition.0 = vec![(Comparison::AtLeast, Decimal::ONE), (Comparison::AtMost, Decimal::TWO)];
    // Three in the window hold no more; the peak is the largest, since there is a bound from below.
    let alerts = found(&rules, all(&[0, 1, 2]));
    assert_eq!((times(&alerts), &alerts[0].observed), (vec![(0, 1)], &number("2")));
    let mut plain = [detection("a")];
    plain[0].reports = true;
    let Body::Detection(body) = &mut plain[0].body else { panic!() };
    body.after_silence = Some(10 * SECOND);
    // Both of one moment come first.
    let alerts = found(&plain, all(&[0, 0]));
    assert_eq!((times(&alerts), &alerts[0].observed), (vec![(0, 0)], &number("2")));
}
