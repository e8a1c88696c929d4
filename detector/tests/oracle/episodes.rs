//! From the events at which a rule held under one key to its alerts.

use detector::rules::{Body, Comparison, Condition, Kind, Rule};
use domain::{Severity, Timestamp};
use rust_decimal::Decimal;

use crate::reference::{Crossing, Key, Value, decimal};

/// What the oracle says an alert is.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) at: Timestamp,
    pub(crate) rule_id: String,
    pub(crate) key: Key,
    pub(crate) severity: Severity,
    pub(crate) observed: Value,
    /// A count may be reported as this much or more, up to the true one.
    pub(crate) cap: Option<Decimal>,
    pub(crate) escalations: Vec<Step>,
    /// First event of the window in which the alert opened.
    pub(crate) first: Timestamp,
    /// Last event at which the rule held.
    pub(crate) last: Timestamp,
}

/// A number that was reached.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) at: Timestamp,
    pub(crate) severity: Severity,
    pub(crate) observed: Value,
}

/// A number that notifies.
#[derive(Clone, Copy, Debug)]
struct Number {
    value: Decimal,
    /// The value has to be greater, not just as great.
    beyond: bool,
    to: Option<Severity>,
}

/// The alerts of one rule and key. `crossings` are in the order of events.
pub(crate) fn alerts(rule: &Rule, key: &Key, crossings: &[Crossing]) -> Vec<Found> {
    if rule.level == Severity::Informational {
        return Vec::new();
    }
    let mut episodes: Vec<Vec<Crossing>> = Vec::new();
    for crossing in crossings {
        match episodes.last_mut() {
            Some(episode) if crossing.at.since(episode[episode.len() - 1].at) < rule.episode => {
                episode.push(crossing.clone())
            }
            _ => episodes.push(vec![crossing.clone()]),
        }
    }
    episodes.iter().map(|episode| alert(rule, key, episode)).collect()
}

fn alert(rule: &Rule, key: &Key, episode: &[Crossing]) -> Found {
    let (open, last) = (&episode[0], &episode[episode.len() - 1]);
    let lowest = matches!(&rule.body, Body::Correlation(correlation) if only_upper(&correlation.condition));
    let observed = episode
        .iter()
        .map(|crossing| crossing.value.clone())
        .reduce(|best, value| if lowest { best.min(value) } else { best.max(value) })
        .expect("an episode has an event");

    let numbers = numbers(rule);
    let mut severity = rule.level;
    let mut escalations = Vec::new();
    let mut reached = vec![false; numbers.len()];
    for crossing in episode {
        for (number, reached) in numbers.iter().zip(&mut reached) {
            let order = crossing.value.cmp(&decimal(number.value));
            if !*reached && (order.is_gt() || order.is_eq() && !number.beyond) {
                *reached = true;
                severity = severity.max(number.to.unwrap_or(severity));
                escalations.push(Step { at: crossing.at, severity, observed: crossing.value.clone() });
            }
        }
    }
    Found {
        at: open.at,
        rule_id: rule.id.clone(),
        key: key.clone(),
        severity,
        observed,
        cap: cap(rule),
        escalations,
        first: open.first,
        last: last.at,
    }
}

fn only_upper(condition: &Condition) -> bool {
    let upper = |(comparison, _): &(Comparison, Decimal)| matches!(comparison, Comparison::Less | Comparison::AtMost);
    !condition.0.is_empty() && condition.0.iter().all(upper)
}

/// The lower bound: N for counts, as written otherwise. Only where it is above zero.
fn lower_bound(rule: &Rule) -> Option<Number> {
    let Body::Correlation(correlation) = &rule.body else {
        return Some(Number { value: Decimal::ONE, beyond: false, to: None });
    };
    let bounds = correlation.condition.0.iter().filter_map(|(comparison, bound)| match comparison {
        Comparison::AtLeast if counts(rule) => Some(Number { value: bound.ceil(), beyond: false, to: None }),
        Comparison::Greater if counts(rule) => {
            Some(Number { value: bound.floor() + Decimal::ONE, beyond: false, to: None })
        }
        Comparison::AtLeast => Some(Number { value: *bound, beyond: false, to: None }),
        Comparison::Greater => Some(Number { value: *bound, beyond: true, to: None }),
        _ => None,
    });
    let bound = match &correlation.kind {
        Kind::TemporalOrdered => Some(Number { value: Decimal::from(correlation.refs.len()), beyond: false, to: None }),
        Kind::Temporal(Some(_)) => None,
        _ => bounds.max_by_key(|number| (number.value, number.beyond)),
    };
    bound.filter(|number| number.value > Decimal::ZERO)
}

fn counts(rule: &Rule) -> bool {
    match &rule.body {
        Body::Detection(_) => true,
        Body::Correlation(correlation) => {
            !matches!(correlation.kind, Kind::ValueSum(_) | Kind::ValueAvg(_) | Kind::ValuePercentile(..))
        }
    }
}

/// The numbers that notify, rising, each once.
fn numbers(rule: &Rule) -> Vec<Number> {
    let mut numbers: Vec<Number> =
        rule.escalate.iter().map(|(at, to)| Number { value: *at, beyond: false, to: Some(*to) }).collect();
    if let Some(bound) = lower_bound(rule) {
        for times in [2, 4, 8].map(Decimal::from) {
            let number = Number { value: bound.value * times, ..bound };
            if !numbers.iter().any(|other| other.value == number.value) {
                numbers.push(number);
            }
        }
    }
    numbers.sort_by_key(|number| number.value);
    numbers
}

fn cap(rule: &Rule) -> Option<Decimal> {
    let bound = lower_bound(rule).filter(|_| counts(rule))?;
    rule.escalate.iter().map(|(at, _)| *at).chain([bound.value * Decimal::from(8)]).max()
}
