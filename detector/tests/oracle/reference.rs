//! The oracle: what a rule set finds in a complete list of events. Written for being read, not for speed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use chrono_tz::Tz;
use detector::rules::{
    Body, Comparison, Correlation, Detection, DetectionKey, Field, GroupField, Kind, Presence, Rule,
};
use domain::{Activity, Timestamp, username_key};
use num::{BigInt, BigRational, ToPrimitive};
use rust_decimal::Decimal;

use crate::episodes::{self, Found};
use crate::gates;
use crate::usual::{self, Looked};

/// Name and text of each part of a key.
pub(crate) type Key = BTreeMap<String, String>;

/// A value as an exact fraction: an average of three is not a decimal.
pub(crate) type Value = BigRational;

pub(crate) fn whole(number: usize) -> Value {
    Value::from_integer(number.into())
}

pub(crate) fn decimal(number: Decimal) -> Value {
    Value::new(number.mantissa().into(), BigInt::from(10).pow(number.scale()))
}

/// An event at which a rule held.
#[derive(Clone, Debug)]
pub(crate) struct Crossing {
    /// Index of the event.
    pub(crate) event: usize,
    /// Time of the event.
    pub(crate) at: Timestamp,
    /// Time of the first event in the window.
    pub(crate) first: Timestamp,
    /// The rule's value there.
    pub(crate) value: Value,
}

/// The zones in which `when.time` reads a clock.
#[derive(Clone, Debug)]
pub(crate) struct Zones {
    pub(crate) default: Tz,
    pub(crate) users: BTreeMap<String, Tz>,
}

/// Everything that the oracle is asked about.
pub(crate) struct World<'a> {
    /// Each rule stands after those it refers to.
    pub(crate) rules: &'a [Rule],
    /// Every event that is in time, each id once, by time and then id.
    pub(crate) events: &'a [Activity],
    /// For each event the detections whose selection it matches, whatever their `when` says.
    pub(crate) matched: Vec<Vec<usize>>,
    pub(crate) zones: Zones,
}

/// An event that takes part in a correlation under one key.
struct Part {
    event: usize,
    /// Positions in `refs` of the rules that it stands for.
    stands_for: BTreeSet<usize>,
}

impl World<'_> {
    /// All alerts, by time, rule and key.
    pub(crate) fn alerts(&self) -> Vec<Found> {
        let mut stands: Vec<BTreeSet<usize>> = Vec::new();
        let mut found = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let crossings = match &rule.body {
                Body::Detection(detection) => {
                    let events: Vec<usize> =
                        (0..self.events.len()).filter(|event| gates::passes(self, index, *event)).collect();
                    let crossings = self.plain(rule, detection, &events);
                    stands.push(events.into_iter().collect());
                    crossings
                }
                Body::Correlation(correlation) => {
                    let crossings = self.correlate(rule, correlation, &stands);
                    // Each event once, whatever number of keys it held under.
                    stands.push(crossings.values().flatten().map(|crossing| crossing.event).collect());
                    crossings
                }
            };
            if rule.reports {
                for (key, crossings) in crossings {
                    found.extend(episodes::alerts(rule, &key, &crossings));
                }
            }
        }
        found.sort_by(|a, b| (a.at, &a.rule_id, &a.key).cmp(&(b.at, &b.rule_id, &b.key)));
        found
    }

    /// A detection that alerts: an event count of one or more within its episode.
    fn plain(&self, rule: &Rule, detection: &Detection, events: &[usize]) -> BTreeMap<Key, Vec<Crossing>> {
        let mut by_key: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
        for event in events {
            if let Some(key) = detection_key(&detection.key, &self.events[*event]) {
                by_key.entry(key).or_default().push(*event);
            }
        }
        let crossings = |events: Vec<usize>| {
            events
                .iter()
                .map(|event| {
                    let window: Vec<usize> =
                        events.iter().copied().filter(|other| self.in_window(*other, *event, rule.episode)).collect();
                    self.crossing(*event, window[0], whole(window.len()))
                })
                .collect()
        };
        by_key.into_iter().map(|(key, events)| (key, crossings(events))).collect()
    }

    fn correlate(
        &self,
        rule: &Rule,
        correlation: &Correlation,
        stands: &[BTreeSet<usize>],
    ) -> BTreeMap<Key, Vec<Crossing>> {
        let by_key = self.parts(correlation, stands);
        let looks: Vec<(&Key, Vec<&Part>, Looked)> = by_key
            .iter()
            .flat_map(|(key, parts)| parts.iter().map(move |part| (key, parts, part.event)))
            .filter_map(|(key, parts, event)| {
                let within = |other: &&Part| self.in_window(other.event, event, correlation.timespan);
                let window: Vec<&Part> = parts.iter().filter(within).collect();
                let value = self.value(correlation, &window)?;
                Some((key, window, Looked { event, value }))
            })
            .collect();
        let looked = || looks.iter().map(|(_, _, looked)| looked);
        let mut crossings: BTreeMap<Key, Vec<Crossing>> = BTreeMap::new();
        for (key, window, at) in &looks {
            if rule.time.as_ref().is_none_or(|gate| gates::in_time(self, gate, at.event))
                && self.holds(correlation, window, &at.value)
                && correlation.baseline.as_ref().is_none_or(|baseline| usual::is_exceeded(self, baseline, looked, at))
            {
                let crossing = self.crossing(at.event, window[0].event, at.value.clone());
                crossings.entry((*key).clone()).or_default().push(crossing);
            }
        }
        crossings
    }

    /// Who takes part under which key, in order.
    fn parts(&self, correlation: &Correlation, stands: &[BTreeSet<usize>]) -> BTreeMap<Key, Vec<Part>> {
        let mut by_key: BTreeMap<Key, Vec<Part>> = BTreeMap::new();
        for (event, activity) in self.events.iter().enumerate() {
            if !has_value(&correlation.kind, activity) {
                continue;
            }
            let mut keys: BTreeMap<Key, BTreeSet<usize>> = BTreeMap::new();
            for (position, referred) in correlation.refs.iter().enumerate() {
                if stands[*referred].contains(&event)
                    && let Some(key) = group_key(&correlation.group_by, position, activity)
                {
                    keys.entry(key).or_default().insert(position);
                }
            }
            for (key, stands_for) in keys {
                by_key.entry(key).or_default().push(Part { event, stands_for });
            }
        }
        by_key
    }

    /// Whether `other` lies in the window that ends with `event`. Events are in order, so indices compare as they do.
    fn in_window(&self, other: usize, event: usize, length: i64) -> bool {
        other <= event && self.events[other].occurred_at.micros() > self.events[event].occurred_at.micros() - length
    }

    fn value(&self, correlation: &Correlation, window: &[&Part]) -> Option<Value> {
        let activities = || window.iter().map(|part| &self.events[part.event]);
        let numbers = |field: &Field| -> Vec<Value> {
            activities().filter_map(|activity| amount(&field.text(activity)?)).collect()
        };
        Some(match &correlation.kind {
            Kind::EventCount => whole(window.len()),
            Kind::ValueCount(fields) => {
                let tuples: BTreeSet<Vec<String>> =
                    activities().filter_map(|activity| texts(fields, activity)).collect();
                whole(tuples.len())
            }
            Kind::ValueSum(field) => numbers(field).into_iter().sum(),
            Kind::ValueAvg(field) => {
                let numbers = numbers(field);
                let count = whole(numbers.len());
                numbers.into_iter().sum::<Value>() / count
            }
            Kind::ValuePercentile(field, percent) => percentile(numbers(field), &decimal(*percent))?,
            Kind::Temporal(_) => {
                let rules: BTreeSet<usize> = window.iter().flat_map(|part| part.stands_for.iter().copied()).collect();
                whole(rules.len())
            }
            Kind::TemporalOrdered => {
                // The earliest event that will do leaves the most room for the rest.
                let mut next = 0;
                for part in window {
                    if part.stands_for.contains(&next) {
                        next += 1;
                    }
                }
                whole(next)
            }
        })
    }

    fn holds(&self, correlation: &Correlation, window: &[&Part], value: &Value) -> bool {
        let present = |position: usize| window.iter().any(|part| part.stands_for.contains(&position));
        match &correlation.kind {
            Kind::Temporal(Some(expression)) => satisfied(expression, &present),
            Kind::TemporalOrdered => *value == whole(correlation.refs.len()),
            _ => correlation.condition.0.iter().all(|(comparison, bound)| compares(value, *comparison, *bound)),
        }
    }

    fn crossing(&self, event: usize, first: usize, value: Value) -> Crossing {
        Crossing { event, at: self.events[event].occurred_at, first: self.events[first].occurred_at, value }
    }
}

fn compares(value: &Value, comparison: Comparison, bound: Decimal) -> bool {
    let order = value.cmp(&decimal(bound));
    match comparison {
        Comparison::Greater => order.is_gt(),
        Comparison::AtLeast => order.is_ge(),
        Comparison::Less => order.is_lt(),
        Comparison::AtMost => order.is_le(),
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
    }
}

fn satisfied(expression: &Presence, present: &dyn Fn(usize) -> bool) -> bool {
    match expression {
        Presence::Rule(position) => present(*position),
        Presence::And(parts) => parts.iter().all(|part| satisfied(part, present)),
        Presence::Or(parts) => parts.iter().any(|part| satisfied(part, present)),
        Presence::Not(part) => !satisfied(part, present),
    }
}

/// Linear between the closest ranks.
fn percentile(mut numbers: Vec<Value>, percent: &Value) -> Option<Value> {
    numbers.sort();
    let rank = percent * whole(numbers.len().checked_sub(1)?) / whole(100);
    let below = rank.floor().to_usize()?;
    let lower = &numbers[below];
    let upper = numbers.get(below + 1).unwrap_or(lower);
    Some(lower + (upper - lower) * rank.fract())
}

/// Text as a number: a sign, digits with a point somewhere, an exponent. What has more than 28 digits before the point
/// is too large to be summed.
fn amount(text: &str) -> Option<Value> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let digits = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
    let (before, behind) = digits.split_once('.').unwrap_or((digits, ""));
    let all = [before, behind].concat();
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let power = exponent.parse::<i32>().ok()? - i32::try_from(behind.len()).ok()?;
    let size = Value::from_integer(all.parse().ok()?) * whole(10).pow(power);
    let is_small = size < whole(10).pow(28);
    is_small.then(|| if mantissa.starts_with('-') { -size } else { size })
}

fn has_value(kind: &Kind, activity: &Activity) -> bool {
    match kind {
        Kind::EventCount | Kind::Temporal(_) | Kind::TemporalOrdered => true,
        Kind::ValueCount(fields) => texts(fields, activity).is_some(),
        Kind::ValueSum(field) | Kind::ValueAvg(field) | Kind::ValuePercentile(field, _) => {
            field.text(activity).and_then(|text| amount(&text)).is_some()
        }
    }
}

/// Exact texts, but of a user the canonical form. What is empty is none.
fn texts(fields: &[Field], activity: &Activity) -> Option<Vec<String>> {
    let text = |field: &Field| {
        let text = field.text(activity)?;
        let text = if *field == Field::User { username_key(&text) } else { text.into_owned() };
        (!text.is_empty()).then_some(text)
    };
    fields.iter().map(text).collect()
}

fn group_key(group_by: &[GroupField], position: usize, activity: &Activity) -> Option<Key> {
    group_by.iter().map(|part| Some((part.name.clone(), key_text(&part.fields[position], activity)?))).collect()
}

/// The key of a detection: as it says, else the user, else the address, else the one empty key.
pub(crate) fn detection_key(key: &DetectionKey, activity: &Activity) -> Option<Key> {
    match key {
        DetectionKey::Fields(fields) => group_key(fields, 0, activity),
        DetectionKey::Auto => Some(
            [("user", Field::User), ("source_ip", Field::SourceIp)]
                .into_iter()
                .find_map(|(name, field)| Some(Key::from([(name.to_owned(), key_text(&field, activity)?)])))
                .unwrap_or_default(),
        ),
    }
}

/// A part of a key: exact text, except that a user is in canonical form, an IPv6 address its /64, an IPv4-mapped one
/// its IPv4 address. What is empty is no key.
pub(crate) fn key_text(field: &Field, activity: &Activity) -> Option<String> {
    let text = match field {
        Field::User => username_key(activity.user.as_deref()?),
        Field::SourceIp => match activity.source_ip?.to_canonical() {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        },
        other => other.text(activity)?.into_owned(),
    };
    (!text.is_empty()).then_some(text)
}
