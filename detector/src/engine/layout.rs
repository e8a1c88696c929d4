//! How a rule set becomes a [`Plan`]: which rules share a ring, which channels they look at, what feeds those, and
//! which of them wait.

use std::collections::BTreeSet;

use domain::Severity;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::plan::{Channel, Group, KeyOf, Leaf, Node, Plan, Route, Shape, Step, ValueOf, bits};
use crate::rules::{
    Body, Comparison, Correlation, DetectionKey, Field, GroupField, Kind, Presence, RuleSet, TimeGate, ZoneOf,
};

/// At most so many channels share a ring: bits of a mask.
const CHANNELS: usize = 64;

impl Plan {
    pub(super) fn new(set: &RuleSet) -> Self {
        let mut plan = Self { node_of: vec![None; set.rules.len()], ..Self::default() };
        plan.leaves.resize_with(set.rules.len(), Leaf::default);
        for (index, rule) in set.rules.iter().enumerate() {
            match &rule.body {
                Body::Detection(detection) => {
                    plan.leaves[index].waits = detection.first_seen.is_some() || detection.after_silence.is_some();
                    if rule.reports {
                        let key = match &detection.key {
                            DetectionKey::Auto => {
                                let (user, source_ip) = (plan.field(&Field::User), plan.field(&Field::SourceIp));
                                KeyOf::Auto { user, source_ip, share: set.share }
                            }
                            DetectionKey::Fields(fields) => plan.key(fields, 1),
                        };
                        let window = rule.episode;
                        plan.node(set, index, key, Shape::Count, &[vec![index]], None, window);
                    }
                }
                Body::Correlation(correlation) => plan.correlation(set, index, correlation),
            }
        }
        plan.keep_fields(set);
        plan
    }

    fn correlation(&mut self, set: &RuleSet, index: usize, correlation: &Correlation) {
        let key = self.key(&correlation.group_by, correlation.refs.len());
        let together = vec![correlation.refs.clone()];
        let apart: Vec<Vec<usize>> = correlation.refs.iter().map(|rule| vec![*rule]).collect();
        let (shape, sources, value) = match &correlation.kind {
            Kind::EventCount => (Shape::Count, together, None),
            Kind::ValueCount(fields) => {
                let fields = fields.iter().map(|field| self.field(field)).collect();
                (Shape::Distinct, together, Some(ValueOf::Texts(fields)))
            }
            Kind::ValueSum(field) => (Shape::Sum, together, Some(ValueOf::Number(self.field(field)))),
            Kind::ValueAvg(field) => (Shape::Average, together, Some(ValueOf::Number(self.field(field)))),
            Kind::ValuePercentile(field, percent) => {
                (Shape::Percentile(*percent), together, Some(ValueOf::Number(self.field(field))))
            }
            Kind::Temporal(presence) => (Shape::Temporal(presence.clone()), apart, None),
            Kind::TemporalOrdered => (Shape::Ordered, apart, None),
        };
        self.node(set, index, key, shape, &sources, value, correlation.timespan);
    }

    fn field(&mut self, field: &Field) -> usize {
        self.fields.iter().position(|known| known == field).unwrap_or_else(|| {
            self.fields.push(field.clone());
            self.fields.len() - 1
        })
    }

    fn key(&mut self, parts: &[GroupField], references: usize) -> KeyOf {
        let names = parts.iter().map(|part| part.name.clone()).collect();
        let mut variants: Vec<Vec<usize>> = (0..references.max(1))
            .map(|at| parts.iter().map(|part| self.field(part.fields.get(at).unwrap_or(&part.fields[0]))).collect())
            .collect();
        if variants.iter().all(|variant| *variant == variants[0]) {
            variants.truncate(1);
        }
        KeyOf::Fields { names, variants }
    }

    /// Adds the node of a rule: its channels in a ring of its key, and the routes that feed them.
    #[expect(clippy::too_many_arguments, reason = "one call for each kind of rule, right above")]
    fn node(
        &mut self,
        set: &RuleSet,
        index: usize,
        key: KeyOf,
        shape: Shape,
        sources: &[Vec<usize>],
        value: Option<ValueOf>,
        window: i64,
    ) {
        let rule = &set.rules[index];
        let references: Vec<usize> = sources.iter().flatten().copied().collect();
        let variant_of = |rule: usize| match &key {
            KeyOf::Fields { variants, .. } if variants.len() > 1 => {
                references.iter().position(|reference| *reference == rule).unwrap_or(0)
            }
            _ => 0,
        };
        let channels: Vec<_> = sources
            .iter()
            .map(|rules| {
                let mut from: Vec<(usize, usize)> = rules.iter().map(|rule| (*rule, variant_of(*rule))).collect();
                from.sort_unstable();
                from.dedup();
                from
            })
            .collect();
        let referred = set.rules.iter().any(|other| match &other.body {
            Body::Correlation(correlation) => correlation.refs.contains(&index),
            Body::Detection(_) => false,
        });
        let is_correlation = matches!(rule.body, Body::Correlation(_));
        let passes_on = referred && is_correlation;
        let group = self.group(&key, channels.len() + usize::from(passes_on));
        let bits: Vec<u8> =
            channels.into_iter().map(|sources| self.channel(group, sources, value.as_ref(), window)).collect();
        let held = if passes_on { 1 << self.marker(group, window) } else { 0 };
        let condition = match &rule.body {
            Body::Correlation(correlation) => correlation.condition.0.clone(),
            Body::Detection(_) => vec![(Comparison::AtLeast, Decimal::ONE)],
        };
        let baseline = match &rule.body {
            Body::Correlation(Correlation { baseline: Some(baseline), .. }) => {
                Some((self.field(&baseline.of), baseline.peers.as_ref().map(|peers| self.field(peers))))
            }
            _ => None,
        };
        let of_user = |gate: &TimeGate| is_correlation && gate.zone == ZoneOf::User;
        let clock = rule.time.as_ref().is_some_and(of_user).then(|| self.field(&Field::User));
        let lower = lower_bound(&condition, &shape);
        let only_upper = !condition.is_empty()
            && condition.iter().all(|(comparison, _)| matches!(comparison, Comparison::Less | Comparison::AtMost));
        let counts = matches!(shape, Shape::Count | Shape::Distinct | Shape::Temporal(None) | Shape::Ordered);
        let node = Node {
            rule: index,
            group,
            mask: bits.iter().fold(0, |mask, bit| mask | 1 << bit),
            at_least: match (condition.as_slice(), lower) {
                ([(Comparison::AtLeast | Comparison::Greater, _)], Some((bound, _))) if counts => bound.to_i64(),
                _ => None,
            },
            steps: steps(lower, &rule.escalate),
            threshold: match (lower, condition.first()) {
                (Some((bound, _)), _) => bound,
                (None, Some((_, bound))) => *bound,
                (None, None) => Decimal::from(match &shape {
                    Shape::Temporal(Some(presence)) => fewest(presence, bits.len()),
                    _ => bits.len(),
                }),
            },
            lowest: only_upper,
            reports: rule.reports,
            waits: baseline.is_some() || waits(&shape, &condition, passes_on),
            baseline,
            clock,
            shape,
            bits,
            window,
            episode: rule.episode,
            routes: Vec::new(),
            held,
        };
        let number = self.nodes.len();
        for (source, bit) in sources.iter().zip(&node.bits) {
            for reference in source {
                let route = Route { group, variant: variant_of(*reference), mask: 1 << bit };
                match self.node_of[*reference] {
                    // A detection that reports has a node of its own, which passes nothing on.
                    Some(other) if matches!(set.rules[*reference].body, Body::Correlation(_)) => {
                        route.join(&mut self.nodes[other].routes);
                    }
                    _ => route.join(&mut self.leaves[*reference].routes),
                }
            }
            let channel = &mut self.groups[group].channels[usize::from(*bit)];
            channel.nodes.push(number);
            channel.calls.push(node.call(number));
        }
        self.node_of[index] = Some(number);
        self.nodes.push(node);
    }

    fn group(&mut self, key: &KeyOf, room: usize) -> usize {
        // Rings with aliases are not shared: their variants belong to one rule's references.
        let shared = self
            .groups
            .iter()
            .position(|group| group.key == *key && key.is_uniform() && group.channels.len() + room <= CHANNELS);
        shared.unwrap_or_else(|| {
            self.groups.push(Group { key: key.clone(), channels: Vec::new() });
            self.groups.len() - 1
        })
    }

    fn channel(&mut self, group: usize, sources: Vec<(usize, usize)>, value: Option<&ValueOf>, window: i64) -> u8 {
        let channels = &mut self.groups[group].channels;
        let same = |channel: &Channel| channel.sources == sources && channel.value.as_ref() == value;
        let at = channels.iter().position(same).unwrap_or_else(|| {
            channels.push(Channel { sources, value: value.cloned(), ..Channel::default() });
            channels.len() - 1
        });
        channels[at].window = channels[at].window.max(window);
        u8::try_from(at).unwrap_or(u8::MAX)
    }

    /// A bit that no event brings along.
    fn marker(&mut self, group: usize, window: i64) -> u8 {
        let channels = &mut self.groups[group].channels;
        channels.push(Channel { window, ..Channel::default() });
        u8::try_from(channels.len() - 1).unwrap_or(u8::MAX)
    }

    /// Says for each detection what has to be kept of an event for decisions that fall later.
    fn keep_fields(&mut self, set: &RuleSet) {
        for index in 0..set.rules.len() {
            let Body::Detection(detection) = &set.rules[index].body else { continue };
            let mut keeps = BTreeSet::new();
            if self.leaves[index].waits {
                for route in self.leaves[index].routes.clone() {
                    keeps.extend(self.read_by(route));
                }
                let key = match &detection.key {
                    DetectionKey::Auto => vec![Field::User, Field::SourceIp],
                    DetectionKey::Fields(parts) => parts.iter().map(|part| part.fields[0].clone()).collect(),
                };
                let first_seen = detection.first_seen.iter().flat_map(|seen| [seen.of.clone(), seen.field.clone()]);
                for field in key.into_iter().chain(first_seen) {
                    keeps.insert(self.field(&field));
                }
            }
            let mut reached = BTreeSet::new();
            let mut next: Vec<Route> = self.leaves[index].routes.clone();
            while let Some(route) = next.pop() {
                let channels = bits(route.mask).map(|bit| &self.groups[route.group].channels[usize::from(bit)]);
                let nodes: Vec<usize> = channels.flat_map(|channel| &channel.nodes).copied().collect();
                for node in nodes {
                    if !reached.insert(node) {
                        continue;
                    }
                    keeps.extend(self.nodes[node].clock);
                    if let Some((of, peers)) = self.nodes[node].baseline {
                        keeps.insert(of);
                        keeps.extend(peers);
                    }
                    for onward in self.nodes[node].routes.clone() {
                        if !self.stays(&self.nodes[node], onward) {
                            keeps.extend(self.read_by(onward));
                        }
                        keeps.extend(self.values_of(onward));
                        next.push(onward);
                    }
                }
            }
            self.leaves[index].keeps = keeps.into_iter().collect();
        }
    }
}

/// The least value that satisfies the lower bound, and whether it has to be exceeded.
fn lower_bound(condition: &[(Comparison, Decimal)], shape: &Shape) -> Option<(Decimal, bool)> {
    let whole = !matches!(shape, Shape::Sum | Shape::Average | Shape::Percentile(_));
    condition
        .iter()
        .filter_map(|(comparison, bound)| match comparison {
            Comparison::AtLeast | Comparison::Equal if whole => Some((bound.ceil(), false)),
            Comparison::Greater if whole => Some((bound.floor().saturating_add(Decimal::ONE), false)),
            Comparison::AtLeast | Comparison::Equal => Some((*bound, false)),
            Comparison::Greater => Some((*bound, true)),
            Comparison::Less | Comparison::AtMost | Comparison::NotEqual => None,
        })
        .max()
}

/// With how few of its rules a text condition can be true. One that asks for more rules than people write is not
/// searched: it needs one at least.
fn fewest(presence: &Presence, rules: usize) -> usize {
    if rules > 16 {
        return 1;
    }
    let true_with = |present: &u32| presence.holds(&|rule| present >> rule & 1 == 1);
    let least = (0..1_u32 << rules).filter(true_with).map(u32::count_ones).min();
    least.and_then(|least| usize::try_from(least).ok()).unwrap_or(rules)
}

fn steps(lower: Option<(Decimal, bool)>, escalate: &[(Decimal, Severity)]) -> Vec<Step> {
    let mut steps: Vec<Step> =
        escalate.iter().map(|(bound, to)| Step { bound: *bound, strict: false, to: Some(*to) }).collect();
    if let Some((bound, strict)) = lower.filter(|(bound, _)| *bound > Decimal::ZERO) {
        for times in [2, 4, 8] {
            let bound = bound.saturating_mul(Decimal::from(times));
            if steps.iter().all(|step| step.bound != bound) {
                steps.push(Step { bound, strict, to: None });
            }
        }
    }
    steps.sort_by_key(|step| step.bound);
    steps
}

/// Whether one more event could make a crossing untrue. A sum is looked at at once, and taken back should a negative
/// number make it untrue; only where others build on it does it wait.
fn waits(shape: &Shape, condition: &[(Comparison, Decimal)], passes_on: bool) -> bool {
    fn negates(presence: &Presence) -> bool {
        match presence {
            Presence::Rule(_) => false,
            Presence::And(parts) | Presence::Or(parts) => parts.iter().any(negates),
            Presence::Not(_) => true,
        }
    }
    let rising =
        condition.iter().all(|(comparison, _)| matches!(comparison, Comparison::Greater | Comparison::AtLeast));
    !rising
        || match shape {
            Shape::Average | Shape::Percentile(_) => true,
            Shape::Sum => passes_on,
            Shape::Temporal(Some(presence)) => negates(presence),
            Shape::Count | Shape::Distinct | Shape::Temporal(None) | Shape::Ordered => false,
        }
}

/// Which rules report only when the watermark has passed: they, or what they build on, could be falsified by an event
/// that comes late.
#[must_use]
pub fn waiting(set: &RuleSet) -> Vec<bool> {
    let plan = Plan::new(set);
    let mut waits = vec![false; set.rules.len()];
    for (index, rule) in set.rules.iter().enumerate() {
        waits[index] = match &rule.body {
            Body::Detection(_) => plan.leaves[index].waits,
            Body::Correlation(correlation) => {
                plan.node_of[index].is_some_and(|node| plan.nodes[node].waits)
                    || correlation.refs.iter().any(|reference| waits[*reference])
            }
        };
    }
    waits
}
