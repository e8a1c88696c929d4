//! C1–C9 and the `analytics` section, as far as the loader decides them.

use domain::{DAY, HOUR, MINUTE, Severity};
use rust_decimal::Decimal;

use super::{correlation, detection, lines, refused, rules};
use crate::rules::{Body, Comparison, Condition, Correlation, DetectionKey, Field, Kind, Presence, Rule, ZoneOf};

fn base(number: usize) -> String {
    detection(number, "s: {action: View}\ncondition: s")
}

fn with(number: usize, more: &str) -> String {
    format!("{}{more}\n", base(number))
}

fn body(rule: &Rule) -> &Correlation {
    match &rule.body {
        Body::Correlation(correlation) => correlation,
        Body::Detection(_) => panic!("{} is a detection", rule.id),
    }
}

/// The correlation of a section over two detections.
fn read(section: &str) -> Correlation {
    let loaded = rules(&[base(1), base(2), correlation(3, section, "")]);
    body(&loaded.rules.rules[2]).clone()
}

fn bounds(condition: &Condition) -> Vec<(Comparison, String)> {
    condition.0.iter().map(|(comparison, bound)| (*comparison, bound.to_string())).collect()
}

#[test]
fn c1_references_by_id_and_name_whatever_the_order() {
    let id = format!("{}02", super::ID.to_uppercase());
    let chain = correlation(5, "type: event_count, rules: [c4], timespan: 1h, condition: {gte: 2}", "");
    let first =
        correlation(4, &format!("type: event_count, rules: [{id}, d1], timespan: 5m, condition: {{gte: 3}}"), "");
    let loaded = rules(&[chain, first, base(1), base(2)]);
    let names: Vec<_> = loaded.rules.rules.iter().map(|rule| rule.name.clone().unwrap()).collect();
    assert_eq!(names, ["d1", "d2", "c4", "c5"]);
    assert_eq!(body(&loaded.rules.rules[2]).refs, [1, 0], "in the order listed");
    assert_eq!(body(&loaded.rules.rules[3]).refs, [2]);
    for (documents, message) in [
        (
            vec![correlation(1, "type: event_count, rules: [d9], timespan: 5m, condition: {gte: 3}", "")],
            "there is no rule `d9`",
        ),
        (
            vec![
                correlation(1, "type: event_count, rules: [c2], timespan: 5m, condition: {gte: 3}", ""),
                correlation(2, "type: event_count, rules: [c1], timespan: 5m, condition: {gte: 3}", ""),
            ],
            "refers to itself in a circle",
        ),
        (
            vec![base(1), correlation(2, &format!("type: temporal, rules: [d1, {}01], timespan: 5m", super::ID), "")],
            "twice, by id and by name",
        ),
    ] {
        let findings = refused(&documents);
        assert!(findings.contains(message), "{findings}");
    }
}

#[test]
fn c3_keys_with_aliases() {
    let key = |section: &str| {
        let key = read(&format!("type: temporal, rules: [d1, d2], timespan: 5m, {section}")).group_by;
        key.into_iter().map(|part| (part.name, part.fields)).collect::<Vec<_>>()
    };
    assert_eq!(key("group-by: [ip]"), [("ip".to_owned(), vec![Field::SourceIp; 2])]);
    assert_eq!(key("group-by: user"), [("user".to_owned(), vec![Field::User; 2])]);
    let target = Field::Attribute("target_user".into());
    assert_eq!(
        key("group-by: [victim], aliases: {victim: {d2: user, d1: target_user}}"),
        [("victim".to_owned(), vec![target, Field::User])]
    );
    for (aliases, message) in [
        ("{victim: {d1: user}}", "the alias `victim` names no field of `d2`"),
        ("{victim: {d1: user, d2: user, d3: user}}", "there is no rule `d3`"),
        ("{victim: user}", "an alias maps each rule to a field"),
    ] {
        let section = format!("type: temporal, rules: [d1, d2], timespan: 5m, group-by: [victim], aliases: {aliases}");
        let findings = refused(&[base(1), base(2), correlation(3, &section, "")]);
        assert!(findings.contains(message), "{findings}");
    }
}

#[test]
fn c4_conditions_that_nothing_satisfies_are_refused() {
    let condition = |kind: &str, condition: &str| {
        correlation(3, &format!("type: {kind}, rules: [d1, d2], timespan: 5m, condition: {condition}"), "")
    };
    for (kind, text) in [
        ("event_count", "{gte: 0}"),
        ("event_count", "{lt: 5}"),
        ("event_count", "{neq: 3}"),
        ("value_count", "{field: user, lte: 3}"),
        ("value_sum", "{field: records, lt: 5}"),
        ("value_sum", "{field: records, gte: -5}"),
        ("temporal", "{lt: 2}"),
        ("temporal", "not d1"),
        ("temporal", "d1 or not d2"),
    ] {
        let findings = refused(&[base(1), base(2), condition(kind, text)]);
        assert!(findings.contains("no events at all would satisfy"), "{kind} {text}: {findings}");
    }
    for (kind, text) in [
        ("event_count", "{gte: 1, lt: 5}"),
        ("value_avg", "{field: records, lt: 5}"),
        ("value_percentile", "{field: records, lte: 5}"),
        ("value_sum", "{field: records, lt: -5}"),
        ("temporal", "d1 and not d2"),
        ("event_count", "{eq: 3}"),
    ] {
        rules(&[base(1), base(2), condition(kind, text)]);
    }
}

#[test]
fn c4_conditions_that_no_value_satisfies_are_refused() {
    let condition = |kind: &str, condition: &str| {
        correlation(3, &format!("type: {kind}, rules: [d1, d2], timespan: 5m, condition: {condition}"), "")
    };
    for (kind, text, told) in [
        ("event_count", "{gte: 3, lt: 2}", "no whole number from 1 on passes gte 3 and lt 2"),
        ("event_count", "{gt: 5, lt: 6}", "no whole number from 1 on passes gt 5 and lt 6"),
        ("event_count", "{eq: 3, gte: 5}", "passes gte 5 and eq 3"),
        ("event_count", "{gte: 3, lte: 3, neq: 3}", "passes gte 3, lte 3 and neq 3"),
        ("event_count", "{lt: 0}", "passes lt 0"),
        ("event_count", "{gt: 4, gte: 2, lte: 4}", "passes gt 4, gte 2 and lte 4"),
        ("value_count", "{field: user, gt: 3, lte: 3}", "passes gt 3 and lte 3"),
        ("value_sum", "{field: records, gt: 5, lt: 5}", "no number passes gt 5 and lt 5"),
        ("value_sum", "{field: records, gt: 5.5, eq: 5.5}", "no number passes gt 5.5 and eq 5.5"),
        ("value_avg", "{field: records, eq: 3, neq: 3}", "passes eq 3 and neq 3"),
        ("value_percentile", "{field: records, gte: 3, lte: 3, neq: 3}", "passes gte 3, lte 3 and neq 3"),
        ("temporal", "{gte: 2, lt: 1}", "passes gte 2 and lt 1"),
        ("temporal_ordered", "{gte: 2, lt: 1}", "passes gte 2 and lt 1"),
        ("temporal", "d1 and not d1", "whichever of the rules are in the window"),
        ("temporal", "(d1 or d2) and not 1 of them", "whichever of the rules are in the window"),
    ] {
        let findings = refused(&[base(1), base(2), condition(kind, text)]);
        assert!(findings.contains("this can never hold") && findings.contains(told), "{kind} {text}: {findings}");
        assert_eq!(findings.matches(": error: ").count(), 1, "{findings}");
    }
    for (kind, text) in [
        ("event_count", "{gte: 3, lte: 3}"),
        ("event_count", "{gte: 3, neq: 3}"),
        ("event_count", "{gte: 3, lte: 4, neq: 3}"),
        ("event_count", "{gt: 0, lt: 2}"),
        ("event_count", "{gt: 5, lt: 8, neq: 6}"),
        ("event_count", "{gte: 2, gt: 2, neq: 50000}"),
        ("value_sum", "{field: records, gt: 5, lt: 6}"),
        ("value_avg", "{field: records, gt: 5, lt: 5.0000001}"),
        ("value_avg", "{field: records, neq: 0}"),
        ("value_avg", "{field: records, lt: 5, neq: 5}"),
        ("value_avg", "{field: records, gt: 79228162514264337593543950335e0}"),
        ("temporal", "{gte: 1, lt: 2}"),
        ("temporal", "d1 and not d2 or d2 and not d1"),
    ] {
        rules(&[base(1), base(2), condition(kind, text)]);
    }
}

#[test]
fn c5_values_and_bounds() {
    let kind = |section: &str| read(&format!("rules: [d1], timespan: 5m, {section}"));
    let fields = kind("type: value_count, condition: {field: [user, ip], gte: 2}");
    assert!(matches!(fields.kind, Kind::ValueCount(fields) if fields == [Field::User, Field::SourceIp]));
    let sum = kind("type: value_sum, condition: {field: price, gt: 0.70, lte: 1e3}");
    assert!(matches!(sum.kind, Kind::ValueSum(_)));
    assert_eq!(bounds(&sum.condition), [(Comparison::Greater, "0.7".into()), (Comparison::AtMost, "1000".into())]);
    let half = kind("type: value_percentile, condition: {field: records, gte: 5}");
    assert!(matches!(half.kind, Kind::ValuePercentile(Field::Records, rank) if rank == Decimal::from(50)));
    let high = kind("type: value_percentile, condition: {field: records, gte: 5, percentile: 95}");
    assert!(matches!(high.kind, Kind::ValuePercentile(_, rank) if rank == Decimal::from(95)));
    assert_eq!(high.timespan, 5 * MINUTE);
}

#[test]
fn c7_temporal() {
    let all = read("type: temporal, rules: [d1, d2], timespan: 5m");
    assert_eq!(bounds(&all.condition), [(Comparison::AtLeast, "2".into())], "without a condition all are needed");
    let one = read("type: temporal, rules: [d1, d2], timespan: 5m, condition: {gte: 1}");
    assert_eq!(bounds(&one.condition), [(Comparison::AtLeast, "1".into())]);
    let text = read("type: temporal, rules: [d1, d2], timespan: 5m, condition: 'd1 and not d2'");
    let presence = Presence::And(vec![Presence::Rule(0), Presence::Not(Box::new(Presence::Rule(1)))]);
    assert!(matches!(text.kind, Kind::Temporal(Some(found)) if found == presence));
    assert_eq!(text.condition, Condition(Vec::new()), "the text alone decides");
    let any = read("type: temporal, rules: [d1, d2], timespan: 5m, condition: 1 of d*");
    assert!(matches!(any.kind, Kind::Temporal(Some(Presence::Or(parts))) if parts.len() == 2));
    for (condition, message) in [
        ("{gte: 3}", "this can never hold: there are 2 rules"),
        ("d1 and d3", "names `d3`, which is not among the rules"),
        ("1 of x*", "no rule has such a name"),
    ] {
        let section = format!("type: temporal, rules: [d1, d2], timespan: 5m, condition: {condition}");
        let findings = refused(&[base(1), base(2), correlation(3, &section, "")]);
        assert!(findings.contains(message), "{condition}: {findings}");
    }
}

#[test]
fn c8_ordered_asks_for_all() {
    for condition in
        ["", ", condition: {gte: 2}", ", condition: {eq: 2}", ", condition: d1 and d2", ", condition: all of them"]
    {
        let read = read(&format!("type: temporal_ordered, rules: [d1, d2], timespan: 5m{condition}"));
        assert!(matches!(read.kind, Kind::TemporalOrdered));
        assert_eq!(bounds(&read.condition), [(Comparison::AtLeast, "2".into())], "{condition}");
    }
    for condition in ["{gte: 1}", "d1 or d2", "{gt: 0}", "d1 and not d2"] {
        let section = format!("type: temporal_ordered, rules: [d1, d2], timespan: 5m, condition: {condition}");
        let findings = refused(&[base(1), base(2), correlation(3, &section, "")]);
        assert!(findings.contains("can only ask for all"), "{condition}: {findings}");
    }
}

#[test]
fn c9_who_reports() {
    let count = "type: event_count, rules: [d1], timespan: 5m, condition: {gte: 3}";
    let reports =
        |documents: &[String]| rules(documents).rules.rules.iter().map(|rule| rule.reports).collect::<Vec<_>>();
    assert_eq!(reports(&[base(1)]), [true]);
    assert_eq!(reports(&[base(1), correlation(2, count, "")]), [false, true]);
    assert_eq!(reports(&[base(1), correlation(2, count, "generate: true")]), [true, true]);
    assert_eq!(reports(&[base(1), correlation(2, &format!("{count}, generate: true"), "")]), [true, true]);
    let (yes, no) = (correlation(2, count, "generate: true"), correlation(3, count, "generate: false"));
    assert_eq!(reports(&[base(1), yes, no]), [false, true, true], "every one has to say so");
}

#[test]
fn defaults() {
    let loaded =
        rules(&[base(1), correlation(2, "type: event_count, rules: [d1], timespan: 5m, condition: {gte: 3}", "")]);
    let [detection, correlation] = loaded.rules.rules.as_slice() else { panic!("two rules") };
    assert_eq!((detection.level, detection.risk, detection.episode), (Severity::Medium, 47, 60 * MINUTE));
    assert_eq!((&detection.family, correlation.episode), (&detection.id, 5 * MINUTE));
    assert!(matches!(&detection.body, Body::Detection(detection) if detection.key == DetectionKey::Auto));
    for (level, risk) in [("informational", 5), ("low", 21), ("medium", 47), ("high", 73), ("critical", 99)] {
        assert_eq!(rules(&[with(1, &format!("level: {level}"))]).rules.rules[0].risk, risk);
    }
}

#[test]
fn an_id_may_be_missing() {
    let text = base(1).replace(&format!("id: {}01\n", super::ID), "");
    assert_eq!(rules(std::slice::from_ref(&text)).rules.rules[0].id, "d1");
    assert_eq!(rules(&[text.replace("name: d1\n", "")]).rules.rules[0].id, "Rule 1");
    let by_title = correlation(2, "type: event_count, rules: [Rule 1], timespan: 5m, condition: {gte: 3}", "");
    rules(&[text.replace("name: d1\n", ""), by_title]);
}

#[test]
fn analytics_are_read() {
    let text = "analytics:\n    v: 1\n    risk: 10\n    family: f\n    episode: 8h\n    key: [source_ip, user]\n    \
                escalate: [{at: 3, to: high}, {at: 9, to: critical}]\n    mute_after_close: 1d\n    when:\n        \
                time: {outside: working_hours, zone: Europe/Vienna}\n        after_silence: 90d\n        \
                first_seen: {field: ip, of: user, within: 30d, after: {days: 7, events: 5}}";
    let loaded = rules(&[with(1, text)]);
    let rule = &loaded.rules.rules[0];
    assert_eq!((rule.risk, rule.family.as_str(), rule.episode, rule.mute_after_close), (10, "f", 8 * HOUR, DAY));
    assert_eq!(rule.escalate, [(Decimal::from(3), Severity::High), (Decimal::from(9), Severity::Critical)]);
    let gate = rule.time.as_ref().unwrap();
    assert!(!gate.inside && gate.zone == ZoneOf::Named(chrono_tz::Europe::Vienna));
    let Body::Detection(detection) = &rule.body else { panic!("a detection") };
    assert_eq!(detection.after_silence, Some(90 * DAY));
    let first = detection.first_seen.as_ref().unwrap();
    assert_eq!((first.of.clone(), first.field.clone()), (Field::User, Field::SourceIp));
    assert_eq!((first.within, first.after_age, first.after_events), (30 * DAY, 7 * DAY, 5));
    assert!(matches!(&detection.key, DetectionKey::Fields(fields) if fields.len() == 2));
}

#[test]
fn analytics_are_strict() {
    let on_detection = |analytics: &str| refused(&[with(1, &format!("analytics: {{{analytics}}}"))]);
    for (analytics, message) in [
        ("risk: 5", "analytics needs `v`"),
        ("v: 2", "version 1"),
        ("v: '1'", "must be a number, not text"),
        ("v: 1, risk: 100", "from 0 to 99"),
        ("v: 1, risk: 1.5", "from 0 to 99"),
        ("v: 1, familiy: x", "did you mean family?"),
        ("v: 1, episode: 60", "needs a unit, as in 60s"),
        ("v: 1, episode: 0m", "longer than nothing"),
        ("v: 1, escalate: [{at: 5, to: high}, {at: 5, to: critical}]", "must rise"),
        ("v: 1, escalate: [{at: 5, to: hihg}]", "did you mean high?"),
        ("v: 1, escalate: {at: 5, to: high}", "must be a list"),
        ("v: 1, key: [user, user]", "in key twice"),
        ("v: 1, when: {}", "an empty `when`"),
        ("v: 1, when: {time: {outside: working_hours, inside: working_hours}}", "one of inside and outside"),
        ("v: 1, when: {time: {outside: lunch}}", "unknown calendar `lunch`"),
        ("v: 1, when: {time: {outside: working_hours, zone: Mars}}", "no time zone"),
        ("v: 1, when: {first_seen: {field: ip, of: user}}", "first_seen needs `within`"),
        ("v: 1, when: {first_seen: {field: ip, of: ip, within: 1d}}", "the same"),
        ("v: 1, when: {first_seen: {field: ip, of: user, within: 1d, after: {hours: 3}}}", "unknown key in after"),
        ("v: 1, when: {baseline: {of: user, bucket: 1d, history: 28d, above: 6}}", "write it on the correlation"),
    ] {
        let findings = on_detection(analytics);
        assert!(findings.contains(message), "{analytics}: {findings}");
    }
    let on_correlation = |analytics: &str| {
        let section = "type: event_count, rules: [d1], timespan: 5m, condition: {gte: 3}";
        refused(&[base(1), correlation(2, section, &format!("analytics: {{{analytics}}}"))])
    };
    for (analytics, message) in [
        ("v: 1, key: [user]", "a correlation's key is its group-by"),
        ("v: 1, when: {after_silence: 9d}", "gates events"),
        ("v: 1, when: {first_seen: {field: ip, of: user, within: 1d}}", "gates events"),
        ("v: 1, when: {baseline: {of: user, bucket: 1d, history: 12h, above: 6}}", "1 to 1000 buckets"),
        ("v: 1, when: {baseline: {of: user, bucket: 1d, history: 7d, ready: 8, above: 6}}", "the history has 7"),
        ("v: 1, when: {baseline: {of: user, bucket: 1d, history: 7d, above: 0}}", "more than 0"),
        ("v: 1, when: {baseline: {of: user, bucket: 1d}}", "baseline needs `history`"),
    ] {
        let findings = on_correlation(analytics);
        assert!(findings.contains(message), "{analytics}: {findings}");
    }
    let odd = rules(&[with(1, "level: high\nanalytics: {v: 1, escalate: [{at: 5, to: low}]}")]);
    assert!(lines(&odd.warnings).contains("does not raise the severity"));
}

#[test]
fn revisions_change_with_what_a_rule_finds_and_with_nothing_else() {
    let section = "type: event_count, rules: [d1], timespan: 5m, condition: {gte: 3}";
    let revisions = |one: &str, other: &str| -> (Vec<String>, [u8; 32]) {
        let set = rules(&[one.to_owned(), other.to_owned()]).rules;
        (set.rules.iter().map(|rule| rule.revision.clone()).collect(), set.digest)
    };
    let before = revisions(&base(1), &correlation(2, section, ""));
    let same = revisions(
        &format!("# note\n{}description: words\n", base(1)),
        &correlation(2, section, "tags: [attack.t1078]"),
    );
    assert_eq!(before, same);
    let wider = revisions(&base(1).replace("View", "Login"), &correlation(2, section, ""));
    assert!(wider.0[0] != before.0[0] && wider.0[1] != before.0[1] && wider.1 != before.1, "references included");
    for changed in [
        correlation(2, &section.replace('3', "4"), ""),
        correlation(2, &section.replace("5m", "6m"), ""),
        correlation(2, &format!("{section}, group-by: [user]"), ""),
        correlation(2, section, "level: high"),
        correlation(2, section, "analytics: {v: 1, episode: 1h}"),
        correlation(2, section, "analytics: {v: 1, when: {time: {inside: working_hours}}}"),
    ] {
        let after = revisions(&base(1), &changed);
        assert!(after.0[0] == before.0[0] && after.0[1] != before.0[1], "{changed}");
    }
}
