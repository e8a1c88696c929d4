//! From an episode to the [`Alert`] that people read.

use std::collections::BTreeMap;

use domain::{Alert, AlertState, MINUTE, SECOND, Timestamp};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::episode::Episode;
use super::exact::double;
use super::plan::{Node, Plan};
use super::record::key_parts;
use crate::rules::{Body, Field, GroupField, Kind, MONTH, Presence, Rule, RuleSet, YEAR};

/// The id under which an episode is reported: of the rule, its revision, the key, and the event that opened the
/// episode when it was first seen.
pub(super) fn identity(rule: &Rule, key: &str, opener: Uuid) -> Uuid {
    domain::ids::derived(&[rule.id.as_bytes(), rule.revision.as_bytes(), key.as_bytes(), opener.as_bytes()])
}

/// Writes the alert of an episode.
pub(super) fn alert(
    set: &RuleSet,
    plan: &Plan,
    node: &Node,
    key: &str,
    episode: &Episode,
    (alert_id, revision): (Uuid, i64),
    state: AlertState,
) -> Alert {
    let rule = &set.rules[node.rule];
    let parts = key_parts(&plan.groups[node.group].key, key);
    let of = |field: &Field| {
        let names: &[GroupField] = match &rule.body {
            Body::Correlation(correlation) => &correlation.group_by,
            Body::Detection(detection) => match &detection.key {
                crate::rules::DetectionKey::Fields(fields) => fields,
                crate::rules::DetectionKey::Auto => &[],
            },
        };
        let name = match names.iter().find(|part| part.fields.contains(field)) {
            Some(part) => part.name.as_str(),
            None if names.is_empty() => match field {
                Field::User => "user",
                Field::SourceIp => "source_ip",
                _ => return None,
            },
            None => return None,
        };
        parts.iter().find(|(part, _)| part == name).map(|(_, value)| value.clone())
    };
    Alert {
        alert_id,
        at: Timestamp::from_micros(episode.at),
        rule: rule.title.clone(),
        rule_id: rule.id.clone(),
        family: rule.family.clone(),
        severity: episode.severity,
        // What has risen counts as what it has become.
        risk: if episode.severity > rule.level { rule.risk.max(episode.severity.points()) } else { rule.risk },
        techniques: rule.techniques.clone(),
        user: of(&Field::User),
        ip: of(&Field::SourceIp),
        session: of(&Field::SessionId),
        explanation: explanation(set, rule, node, &parts, episode),
        key: parts.into_iter().collect::<BTreeMap<_, _>>(),
        observed: double(episode.peak),
        threshold: double(node.threshold),
        window_s: node.window / SECOND,
        first_event_at: Timestamp::from_micros(episode.first_event),
        last_event_at: Timestamp::from_micros(episode.last),
        event_ids: episode.named.to_vec(),
        baseline: episode.baseline().cloned(),
        escalations: episode.escalations().to_vec(),
        state,
        merged_into: None,
        event_count: episode.event_count(),
        revision,
        status: "open".to_owned(),
        verdict: None,
        suppressed: false,
        found_by: "live".to_owned(),
        crossing_event: episode.opener,
    }
}

/// What was observed, against what, by whom: one line without the rule's title.
fn explanation(set: &RuleSet, rule: &Rule, node: &Node, key: &[(String, String)], episode: &Episode) -> String {
    let observed = number(episode.peak);
    let window = duration(node.window);
    let titles = |refs: &[usize], link: &str| {
        refs.iter().map(|rule| set.rules[*rule].title.as_str()).collect::<Vec<_>>().join(link)
    };
    let what = match &rule.body {
        Body::Detection(_) if episode.event_count() == 1 => "1 such event".to_owned(),
        Body::Detection(_) => format!("{} such events", episode.event_count()),
        Body::Correlation(correlation) => match &correlation.kind {
            Kind::EventCount => format!("{observed} events within {window}"),
            Kind::ValueCount(fields) => {
                let fields: Vec<&str> = fields.iter().map(name).collect();
                format!("{observed} different values of {} within {window}", fields.join(", "))
            }
            Kind::ValueSum(field) => format!("sum of {} is {observed} within {window}", name(field)),
            Kind::ValueAvg(field) => format!("average of {} is {observed} within {window}", name(field)),
            Kind::ValuePercentile(field, percent) => {
                format!("percentile {percent} of {} is {observed} within {window}", name(field))
            }
            Kind::Temporal(Some(presence)) => {
                format!("{} within {window}", condition(presence, &|at| titles(&correlation.refs[at..=at], ""), false))
            }
            Kind::Temporal(None) => format!("{} within {window}", titles(&correlation.refs, " + ")),
            Kind::TemporalOrdered => format!("{} within {window}", titles(&correlation.refs, ", then ")),
        },
    };
    let by: Vec<String> = key.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
    let against = match &rule.body {
        Body::Correlation(correlation) if !matches!(correlation.kind, Kind::Temporal(_) | Kind::TemporalOrdered) => {
            format!(", threshold {}", number(node.threshold))
        }
        _ => String::new(),
    };
    let usual = episode.baseline().map_or_else(String::new, |baseline| {
        let of =
            |part: &serde_json::Value| format!("median {}, spread {}, n {}", part["median"], part["spread"], part["n"]);
        let peers = baseline.get("peers").map_or_else(String::new, |peers| format!("; for peers: {}", of(peers)));
        format!(", usual: {}{peers}", of(baseline))
    });
    format!("{what}{by}{against}{usual}").replace('|', "¦").replace(['\r', '\n'], " ")
}

/// A text condition in the titles of its rules.
fn condition(presence: &Presence, title: &impl Fn(usize) -> String, inner: bool) -> String {
    let joined = |parts: &[Presence], word: &str| {
        let parts: Vec<String> = parts.iter().map(|part| condition(part, title, true)).collect();
        let text = parts.join(word);
        if inner && parts.len() > 1 { format!("({text})") } else { text }
    };
    match presence {
        Presence::Rule(at) => title(*at),
        Presence::And(parts) => joined(parts, " and "),
        Presence::Or(parts) => joined(parts, " or "),
        Presence::Not(part) => format!("not {}", condition(part, title, true)),
    }
}

/// The name of a field as the wire schema has it.
fn name(field: &Field) -> &str {
    match field {
        Field::EventId => "event_id",
        Field::OccurredAt => "occurred_at",
        Field::User => "user",
        Field::UserId => "user_id",
        Field::SessionId => "session_id",
        Field::Role => "role",
        Field::Records => "records",
        Field::Reason => "reason",
        Field::Action => "action",
        Field::Resource => "resource",
        Field::Outcome => "outcome",
        Field::SourceIp => "source_ip",
        Field::UserAgent => "user_agent",
        Field::Country => "country",
        Field::LogType => "log_type",
        Field::Detail => "detail",
        Field::PageUrl => "page_url",
        Field::ReceivedAt => "received_at",
        Field::Origin => "origin",
        Field::KnownUser => "known_user",
        Field::Late => "late",
        Field::ClockSkew => "clock_skew",
        Field::Attribute(name) => name,
    }
}

fn number(value: Decimal) -> String {
    value.round_dp(4).normalize().to_string()
}

/// A span in the largest unit that divides it; months and years are the mean ones that rules ask for.
pub(super) fn duration(micros: i64) -> String {
    for (name, unit) in [("year", YEAR), ("month", MONTH)] {
        match micros / unit {
            count if count < 1 || micros % unit != 0 => {}
            1 => return format!("1 {name}"),
            count => return format!("{count} {name}s"),
        }
    }
    let units = [("d", domain::DAY), ("h", domain::HOUR), ("min", MINUTE), ("s", SECOND), ("ms", 1_000)];
    units
        .into_iter()
        .find(|(_, unit)| micros >= *unit && micros % unit == 0)
        .map_or_else(|| format!("{micros} µs"), |(name, unit)| format!("{} {name}", micros / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_as_people_wrote_them() {
        for (micros, told) in [
            (YEAR, "1 year"),
            (10 * YEAR, "10 years"),
            (12 * MONTH, "1 year"),
            (MONTH, "1 month"),
            (5 * MONTH, "5 months"),
            (30 * domain::DAY, "30 d"),
            (365 * domain::DAY, "365 d"),
            (90 * MINUTE, "90 min"),
            (SECOND, "1 s"),
            (1_500, "1500 µs"),
        ] {
            assert_eq!(duration(micros), told);
        }
    }
}
