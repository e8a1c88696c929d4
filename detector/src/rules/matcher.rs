//! [`Matcher`]: which detections an activity matches.
//!
//! It runs for every event against every detection, so the conditions of all of them are one graph in which equal
//! parts are one node, evaluated at most once an event, and only those detections are looked at that can match the
//! event's action at all.

use std::collections::{BTreeSet, HashMap};

use domain::Activity;

use super::expression::{Expression, Item};
use super::text::folded;

/// The compiled conditions of all detections.
#[derive(Debug, Default)]
pub struct Matcher {
    nodes: Vec<Node>,
    /// Folded action → detections that can match it, rising.
    by_action: HashMap<String, Box<[Root]>>,
    /// Detections that can match any other action.
    otherwise: Box<[Root]>,
}

/// Room for one evaluation, reused from activity to activity.
#[derive(Debug, Default)]
pub struct Scratch {
    /// For each node the event in which it was evaluated, times two, plus the result.
    known: Vec<u32>,
    event: u32,
}

#[derive(Debug, Clone, Copy)]
struct Root {
    rule: u32,
    node: u32,
}

#[derive(Debug)]
enum Node {
    Item(Item),
    All(Box<[u32]>),
    Any(Box<[u32]>),
    Not(u32),
}

impl Matcher {
    /// Puts the indices (into `RuleSet::rules`) of the detections that match into `found`, rising, without regard to
    /// `when`. What `found` held before is gone.
    pub fn matches(&self, activity: &Activity, scratch: &mut Scratch, found: &mut Vec<usize>) {
        found.clear();
        let roots = self.by_action.get(folded(&activity.action).as_ref()).unwrap_or(&self.otherwise);
        scratch.begin(self.nodes.len());
        for root in roots {
            if self.holds(root.node, activity, scratch) {
                found.push(root.rule as usize);
            }
        }
    }

    fn holds(&self, node: u32, activity: &Activity, scratch: &mut Scratch) -> bool {
        let at = node as usize;
        if scratch.known[at] >> 1 == scratch.event {
            return scratch.known[at] & 1 == 1;
        }
        let holds = match &self.nodes[at] {
            Node::Item(item) => item.holds(activity),
            Node::All(parts) => parts.iter().all(|part| self.holds(*part, activity, scratch)),
            Node::Any(parts) => parts.iter().any(|part| self.holds(*part, activity, scratch)),
            Node::Not(part) => !self.holds(*part, activity, scratch),
        };
        scratch.known[at] = scratch.event << 1 | u32::from(holds);
        holds
    }
}

impl Scratch {
    /// Forgets the last event: its number no longer counts.
    fn begin(&mut self, nodes: usize) {
        self.event += 1;
        if self.known.len() < nodes {
            self.known.resize(nodes, 0);
        }
        if self.event > u32::MAX >> 1 {
            self.known.fill(0);
            self.event = 1;
        }
    }
}

/// Puts detections together.
#[derive(Debug, Default)]
pub(super) struct Builder {
    nodes: Vec<Node>,
    costs: Vec<u32>,
    /// What a node is, as text → its number.
    same: HashMap<String, u32>,
    roots: Vec<(Root, Option<BTreeSet<String>>)>,
}

impl Builder {
    /// Adds a detection; `rule` is its index, rising from call to call.
    pub(super) fn add(&mut self, rule: usize, expression: &Expression) {
        let node = self.node(expression);
        let rule = u32::try_from(rule).unwrap_or(u32::MAX);
        self.roots.push((Root { rule, node }, actions(expression)));
    }

    /// The matcher.
    pub(super) fn build(self) -> Matcher {
        let roots_for = |action: Option<&str>| -> Box<[Root]> {
            self.roots
                .iter()
                .filter(|(_, actions)| match (actions, action) {
                    (None, _) => true,
                    (Some(actions), Some(action)) => actions.contains(action),
                    (Some(_), None) => false,
                })
                .map(|(root, _)| *root)
                .collect()
        };
        let actions: BTreeSet<&String> =
            self.roots.iter().filter_map(|(_, actions)| actions.as_ref()).flatten().collect();
        let by_action = actions.into_iter().map(|action| (action.clone(), roots_for(Some(action)))).collect();
        let otherwise = roots_for(None);
        Matcher { nodes: self.nodes, by_action, otherwise }
    }

    fn node(&mut self, expression: &Expression) -> u32 {
        match expression {
            Expression::Item(item) => self.unique(format!("{item:?}"), item.cost(), || Node::Item(item.clone())),
            Expression::Not(part) => {
                let part = self.node(part);
                let cost = self.costs[part as usize] + 1;
                self.unique(format!("not {part}"), cost, || Node::Not(part))
            }
            Expression::All(parts) | Expression::Any(parts) if parts.len() == 1 => self.node(&parts[0]),
            Expression::All(parts) => {
                let (parts, cost) = self.parts(parts, |part| matches!(part, Expression::All(_)));
                self.unique(format!("all {parts:?}"), cost, || Node::All(parts.clone().into()))
            }
            Expression::Any(parts) => {
                let (parts, cost) = self.parts(parts, |part| matches!(part, Expression::Any(_)));
                self.unique(format!("any {parts:?}"), cost, || Node::Any(parts.clone().into()))
            }
        }
    }

    /// The nodes of parts, parts of the same kind unfolded, the cheap ones first; what selects before what excludes.
    fn parts(&mut self, parts: &[Expression], same_kind: fn(&Expression) -> bool) -> (Vec<u32>, u32) {
        let mut nodes = Vec::new();
        let mut waiting: Vec<&Expression> = parts.iter().rev().collect();
        while let Some(part) = waiting.pop() {
            match part {
                Expression::All(inner) | Expression::Any(inner) if same_kind(part) => {
                    waiting.extend(inner.iter().rev())
                }
                _ => nodes.push(self.node(part)),
            }
        }
        nodes.sort_by_key(|node| {
            (matches!(self.nodes[*node as usize], Node::Not(_)), self.costs[*node as usize], *node)
        });
        nodes.dedup();
        let cost = nodes.iter().map(|node| self.costs[*node as usize]).fold(0, u32::saturating_add);
        (nodes, cost)
    }

    fn unique(&mut self, text: String, cost: u32, node: impl FnOnce() -> Node) -> u32 {
        *self.same.entry(text).or_insert_with(|| {
            self.nodes.push(node());
            self.costs.push(cost);
            u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
        })
    }
}

/// The folded actions of which an event must have one to match; `None` where any may.
fn actions(expression: &Expression) -> Option<BTreeSet<String>> {
    match expression {
        Expression::Item(item) => Some(item.actions()?.into_iter().map(str::to_owned).collect()),
        Expression::All(parts) => parts.iter().filter_map(actions).min_by_key(BTreeSet::len),
        Expression::Any(parts) => {
            parts.iter().map(actions).try_fold(BTreeSet::new(), |all, some| Some(all.union(&some?).cloned().collect()))
        }
        Expression::Not(_) => None,
    }
}
