//! The `analytics` section: what Sigma has no words for.

use domain::{DAY, Severity};
use rust_decimal::Decimal;

use super::correlation::fields;
use super::field::Field;
use super::finding::{Report, quoted};
use super::limits::{MOST_COUNTED, too_many};
use super::model::{Baseline, FirstSeen, TimeGate, ZoneOf};
use super::node::{Node, Value};
use super::section::{self, Section};

const KEYS: [&str; 8] = ["v", "risk", "family", "episode", "key", "escalate", "mute_after_close", "when"];

/// Levels as Sigma writes them.
pub(super) const LEVELS: [(&str, Severity); 5] = [
    ("informational", Severity::Informational),
    ("low", Severity::Low),
    ("medium", Severity::Medium),
    ("high", Severity::High),
    ("critical", Severity::Critical),
];

/// On what the section stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    Detection,
    Correlation,
}

/// The section, read; what it does not say is `None` or empty.
#[derive(Debug, Clone, Default)]
pub(super) struct Analytics {
    pub(super) risk: Option<i64>,
    pub(super) family: Option<String>,
    pub(super) episode: Option<i64>,
    pub(super) key: Option<Vec<String>>,
    pub(super) escalate: Vec<(Decimal, Severity)>,
    pub(super) mute_after_close: i64,
    pub(super) time: Option<TimeGate>,
    pub(super) first_seen: Option<FirstSeen>,
    pub(super) after_silence: Option<i64>,
    pub(super) baseline: Option<Baseline>,
    /// `key` and `when` as one text: what of it decides what the rule finds.
    pub(super) canonical: String,
}

/// Reads the section of a rule that `counts` events or sums numbers. Errors go to the report; then what is returned must
/// not be used.
pub(super) fn read(node: &Node, on: On, counts: bool, level: Severity, report: &mut Report) -> Analytics {
    let mut read = Analytics::default();
    let Some(section) = Section::open("analytics", node, &KEYS, report) else {
        return read;
    };
    if let Some(v) = section.need("v", report)
        && section::whole(v, 1_000, "analytics.v", report).is_some_and(|v| v != 1)
    {
        report.error(v.at, "this build reads version 1 of analytics");
    }
    read.risk = section.get("risk").and_then(|node| section::whole(node, 99, "risk", report));
    read.family = section.get("family").and_then(|node| section::text(node, "family", report)).map(str::to_owned);
    read.episode = section.get("episode").and_then(|node| section::duration(node, "episode", report));
    if let Some(node) = section.get("key") {
        match on {
            On::Correlation => report.error_hint(node.at, "a correlation's key is its group-by", "leave `key` out"),
            On::Detection => read.key = key(node, report),
        }
        read.canonical.push_str(&node.canonical());
    }
    if let Some(node) = section.get("escalate") {
        read.escalate = escalate(node, counts, level, report);
    }
    if let Some(node) = section.get("mute_after_close") {
        let none = matches!(&node.value, Value::Number(number, _) if number.is_zero());
        read.mute_after_close = if none { 0 } else { section::duration(node, "mute_after_close", report).unwrap_or(0) };
    }
    if let Some(node) = section.get("when") {
        when(node, on, &mut read, report);
        read.canonical.push_str(&node.canonical());
    }
    read
}

fn key(node: &Node, report: &mut Report) -> Option<Vec<String>> {
    if matches!(&node.value, Value::List(names) if names.is_empty()) {
        report.error(node.at, "an empty key; leave it out for user, else source_ip");
        return None;
    }
    Some(fields(node, "key", report)?.into_iter().map(|(_, name)| name).collect())
}

fn escalate(node: &Node, counts: bool, level: Severity, report: &mut Report) -> Vec<(Decimal, Severity)> {
    if level == Severity::Informational {
        report.error_hint(
            node.at,
            "an informational rule is a signal, and a signal does not rise",
            "write a correlation that counts it, with a level of its own",
        );
        return Vec::new();
    }
    let Value::List(steps) = &node.value else {
        report.error_hint(
            node.at,
            format!("escalate must be a list, not {}", node.kind()),
            "as in [{at: 50, to: high}]",
        );
        return Vec::new();
    };
    let mut read: Vec<(Decimal, Severity)> = Vec::new();
    for step in steps {
        let Some(section) = Section::open("escalate", step, &["at", "to"], report) else {
            continue;
        };
        let at = section.need("at", report).and_then(|node| section::number(node, "at", report));
        let to = section.need("to", report).and_then(|node| section::word(node, "level", &LEVELS, report));
        let (Some(at), Some(to)) = (at, to) else {
            continue;
        };
        if at <= Decimal::ZERO {
            report.error(step.at, "`at` must be more than 0");
        }
        if counts && at > Decimal::from(MOST_COUNTED) {
            report.error(step.at, too_many("`at`"));
        }
        if read.last().is_some_and(|(last, _)| *last >= at) {
            report.error(step.at, "the steps must rise: each `at` is more than the one before");
        }
        if to <= read.last().map_or(level, |(_, last)| *last) {
            report.warn(step.at, "this step does not raise the severity", None);
        }
        read.push((at, to));
    }
    read
}

fn when(node: &Node, on: On, read: &mut Analytics, report: &mut Report) {
    let known = ["time", "first_seen", "after_silence", "baseline"];
    let Some(section) = Section::open("when", node, &known, report) else {
        return;
    };
    if node.map().is_some_and(<[_]>::is_empty) {
        report.error(node.at, "an empty `when`");
    }
    read.time = section.get("time").and_then(|node| time(node, report));
    for key in ["first_seen", "after_silence"] {
        if let Some(node) = section.get(key)
            && on == On::Correlation
        {
            report.error_hint(node.at, format!("{key} gates events"), "write it on the detection that is counted");
        }
    }
    read.first_seen = section.get("first_seen").and_then(|node| first_seen(node, report));
    read.after_silence = section.get("after_silence").and_then(|node| section::duration(node, "after_silence", report));
    if let Some(node) = section.get("baseline") {
        if on == On::Detection {
            report.error(node.at, "baseline compares counts; write it on the correlation");
        }
        read.baseline = baseline(node, report);
    }
}

fn time(node: &Node, report: &mut Report) -> Option<TimeGate> {
    let section = Section::open("time", node, &["inside", "outside", "zone"], report)?;
    let (inside, calendar) = match (section.get("inside"), section.get("outside")) {
        (Some(calendar), None) => (true, calendar),
        (None, Some(calendar)) => (false, calendar),
        _ => {
            report.error_hint(node.at, "time needs one of inside and outside", "as in {outside: working_hours}");
            return None;
        }
    };
    let name = section::word(calendar, "calendar", &[("working_hours", "working_hours")], report)?;
    let zone = match section.get("zone") {
        None => ZoneOf::User,
        Some(node) => match section::text(node, "zone", report)? {
            "user" => ZoneOf::User,
            name => match name.parse() {
                Ok(zone) => ZoneOf::Named(zone),
                Err(_) => {
                    let hint = "`user`, or a name such as Europe/Vienna";
                    report.error_hint(node.at, format!("{} is no time zone", quoted(name)), hint);
                    return None;
                }
            },
        },
    };
    Some(TimeGate { inside, calendar: name.to_owned(), zone })
}

fn first_seen(node: &Node, report: &mut Report) -> Option<FirstSeen> {
    let section = Section::open("first_seen", node, &["field", "of", "within", "after"], report)?;
    let field = section.need("field", report).and_then(|node| section::text(node, "field", report));
    let of = section.need("of", report).and_then(|node| section::text(node, "of", report));
    let within = section.need("within", report).and_then(|node| section::duration(node, "within", report));
    let (mut after_age, mut after_events) = (0, 0);
    if let Some(node) = section.get("after")
        && let Some(after) = Section::open("after", node, &["days", "events"], report)
    {
        let days = after.get("days").and_then(|node| section::whole(node, 3_660, "days", report));
        let events = after.get("events").and_then(|node| section::whole(node, 1_000_000, "events", report));
        after_age = days.unwrap_or(0) * DAY;
        after_events = events.unwrap_or(0).unsigned_abs();
    }
    let (field, of) = (Field::resolve(field?), Field::resolve(of?));
    if field == of {
        report.error(node.at, "`field` and `of` are the same: it would be new once and never again");
    }
    Some(FirstSeen { of, field, within: within?, after_age, after_events })
}

fn baseline(node: &Node, report: &mut Report) -> Option<Baseline> {
    let known = ["of", "peers", "bucket", "history", "ready", "above"];
    let section = Section::open("baseline", node, &known, report)?;
    let of = section.need("of", report).and_then(|node| section::text(node, "of", report));
    let peers = section.get("peers").and_then(|node| section::text(node, "peers", report));
    let bucket = section.need("bucket", report).and_then(|node| section::duration(node, "bucket", report));
    let history = section.need("history", report).and_then(|node| section::duration(node, "history", report));
    let ready = section.get("ready").and_then(|node| section::whole(node, 10_000, "ready", report));
    let above = section.need("above", report).and_then(|node| section::number(node, "above", report));
    if above.is_some_and(|above| above <= Decimal::ZERO) {
        report.error(node.at, "above must be more than 0");
    }
    let (bucket, history) = (bucket?, history?);
    let buckets = history / bucket;
    if !(1..=1_000).contains(&buckets) {
        report.error(node.at, "history must be 1 to 1000 buckets long");
    }
    let ready = usize::try_from(ready.unwrap_or(1)).unwrap_or(1);
    if i64::try_from(ready).is_ok_and(|ready| ready > buckets) {
        report.error_hint(
            node.at,
            format!("ready asks for {ready} buckets, and the history has {buckets}"),
            "a longer history, or fewer buckets",
        );
    }
    let (of, peers) = (Field::resolve(of?), peers.map(Field::resolve));
    Some(Baseline { of, peers, bucket, history, ready, above: above? })
}
