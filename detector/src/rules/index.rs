//! Detections → [`Matcher`]: for each action that a rule names, each outcome and each log type, what is left of the
//! conditions once these are known. Most detections are refuted by them, and of the rest little remains.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use domain::{Activity, Timestamp};
use uuid::Uuid;

use super::expression::{Expression, Item};
use super::field::Field;
use super::matcher::{Class, LOG_TYPES, Matcher, Node, OUTCOMES, Root};

/// Most conditions that are worked out beforehand, and so the room that they take. In a set beyond it (thousands of rules
/// that name hundreds of actions, conditions of thousands of parts) each condition is looked at as it stands.
const MAX_WORK: usize = 4_000_000;

/// Puts detections together.
#[derive(Debug, Default)]
pub(super) struct Builder {
    graph: Graph,
    rules: Vec<Entry>,
}

/// A detection.
#[derive(Debug)]
struct Entry {
    rule: u32,
    condition: Condition,
    /// The folded actions that the condition names.
    actions: BTreeSet<String>,
}

/// An [`Expression`] with nodes for its items.
#[derive(Debug)]
enum Condition {
    Item(u32),
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
}

impl Condition {
    /// Of how many parts it is.
    fn size(&self) -> usize {
        match self {
            Self::Item(_) => 1,
            Self::All(parts) | Self::Any(parts) => 1 + parts.iter().map(Self::size).sum::<usize>(),
            Self::Not(part) => 1 + part.size(),
        }
    }
}

impl Builder {
    /// Adds a detection; `rule` is its index, rising from call to call.
    pub(super) fn add(&mut self, rule: usize, expression: &Expression) {
        let mut actions = BTreeSet::new();
        collect_actions(expression, &mut actions);
        let condition = self.graph.condition(expression);
        self.rules.push(Entry { rule: u32::try_from(rule).unwrap_or(u32::MAX), condition, actions });
    }

    /// The matcher.
    pub(super) fn build(self) -> Matcher {
        let Self { mut graph, rules } = self;
        let actions: BTreeSet<&String> = rules.iter().flat_map(|entry| &entry.actions).collect();
        graph.number(&actions);
        let classes = OUTCOMES.len() * LOG_TYPES.len();
        let named: usize = rules.iter().map(|entry| entry.actions.len() * entry.condition.size()).sum();
        let work = classes * ((actions.len() + 1) * rules.len() + named);
        let mut event = Activity::new(Uuid::nil(), "", Timestamp::MIN);
        let mut otherwise = Class::new();
        let mut by_action = hashbrown::HashMap::<String, Class>::new();
        for (outcome, log_type) in
            OUTCOMES.into_iter().flat_map(|outcome| LOG_TYPES.map(|log_type| (outcome, log_type)))
        {
            (event.outcome, event.log_type) = (outcome, log_type);
            let decided = (work <= MAX_WORK).then(|| graph.decided(&event));
            let known = |action| Some(Known { action, decided: decided.as_deref()? });
            let other = known(None);
            let usual: Vec<Left> = rules.iter().map(|entry| graph.left(&entry.condition, other)).collect();
            for (number, action) in (0..).zip(&actions).filter(|_| other.is_some()) {
                let left = rules.iter().zip(&usual).map(|(entry, usual)| {
                    // A condition that does not name the action is the same as for any other.
                    let named = entry.actions.contains(*action);
                    if named { graph.left(&entry.condition, known(Some(number))) } else { *usual }
                });
                let roots = roots(&rules, left);
                by_action.entry((*action).clone()).or_default().push(roots);
            }
            otherwise.push(roots(&rules, usual.into_iter()));
        }
        Matcher { nodes: graph.nodes, by_action, otherwise }
    }
}

/// The detections that can still match.
fn roots(rules: &[Entry], left: impl Iterator<Item = Left>) -> Box<[Root]> {
    let root = |(entry, left): (&Entry, Left)| match left {
        Left::Holds => Some(Root { rule: entry.rule, node: Root::HOLDS }),
        Left::Fails => None,
        Left::Node(node) => Some(Root { rule: entry.rule, node }),
    };
    rules.iter().zip(left).filter_map(root).collect()
}

/// What is known of an event.
#[derive(Debug, Clone, Copy)]
struct Known<'a> {
    /// The number of its action. `None`: it is none of those that rules name.
    action: Option<u32>,
    /// What its outcome and its log type say to each node.
    decided: &'a [Option<bool>],
}

/// What is left of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Holds,
    Fails,
    Node(u32),
}

/// Conditions in which equal parts are one.
#[derive(Debug, Default)]
struct Graph {
    nodes: Vec<Node>,
    costs: Vec<u32>,
    /// What a node is → its number.
    same: HashMap<Same, u32>,
    /// Items that were seen, by their address, and their nodes: one is named often, and long to write out.
    seen: HashMap<usize, (Arc<Item>, u32)>,
    /// For each node the numbers of the actions of which the event's has to be one, if that is all it asks.
    actions: Vec<Option<HashSet<u32>>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Same {
    /// Written out; regular expressions are equal by their source.
    Item(String),
    All(Box<[u32]>),
    Any(Box<[u32]>),
    Not(u32),
}

impl Graph {
    fn condition(&mut self, expression: &Expression) -> Condition {
        let mut each = |parts: &[Expression]| parts.iter().map(|part| self.condition(part)).collect();
        match expression {
            Expression::All(parts) => Condition::All(each(parts)),
            Expression::Any(parts) => Condition::Any(each(parts)),
            Expression::Not(part) => Condition::Not(Box::new(self.condition(part))),
            Expression::Item(item) => Condition::Item(self.item(item)),
        }
    }

    fn item(&mut self, item: &Arc<Item>) -> u32 {
        let address = Arc::as_ptr(item).addr();
        if let Some((_, node)) = self.seen.get(&address) {
            return *node;
        }
        let node = self.unique(Same::Item(format!("{item:?}")), item.cost(), || Node::Item(Item::clone(item)));
        self.seen.insert(address, (Arc::clone(item), node));
        node
    }

    /// Numbers the actions that items name, in their order.
    fn number(&mut self, actions: &BTreeSet<&String>) {
        let numbers: HashMap<&str, u32> = actions.iter().map(|action| action.as_str()).zip(0..).collect();
        let of = |node: &Node| match node {
            Node::Item(item) => {
                let named = item.actions()?;
                Some(named.into_iter().filter_map(|action| numbers.get(action).copied()).collect())
            }
            Node::All(_) | Node::Any(_) | Node::Not(_) => None,
        };
        self.actions = self.nodes.iter().map(of).collect();
    }

    /// What the outcome and the log type of an event say to the items that look at nothing else.
    fn decided(&self, event: &Activity) -> Vec<Option<bool>> {
        let of = |node: &Node| match node {
            Node::Item(item) if item.looks_at_only(&Field::Outcome) || item.looks_at_only(&Field::LogType) => {
                Some(item.holds(event))
            }
            _ => None,
        };
        self.nodes.iter().map(of).collect()
    }

    fn left(&mut self, condition: &Condition, known: Option<Known<'_>>) -> Left {
        match condition {
            Condition::Item(node) => {
                let at = *node as usize;
                let decided = known.and_then(|known| match &self.actions[at] {
                    Some(actions) => Some(known.action.is_some_and(|action| actions.contains(&action))),
                    None => known.decided[at],
                });
                match decided {
                    Some(true) => Left::Holds,
                    Some(false) => Left::Fails,
                    None => Left::Node(*node),
                }
            }
            Condition::Not(part) => match self.left(part, known) {
                Left::Holds => Left::Fails,
                Left::Fails => Left::Holds,
                Left::Node(part) => self.not(part),
            },
            Condition::All(parts) => self.join(parts, true, known),
            Condition::Any(parts) => self.join(parts, false, known),
        }
    }

    /// `all` (or else any) of parts: decided ones left out, parts of the same kind unfolded, equal ones once. The cheap
    /// ones come first, and what selects before what excludes.
    fn join(&mut self, parts: &[Condition], all: bool, known: Option<Known<'_>>) -> Left {
        let (neutral, decisive) = if all { (Left::Holds, Left::Fails) } else { (Left::Fails, Left::Holds) };
        let mut nodes = BTreeSet::new();
        for part in parts {
            match self.left(part, known) {
                left if left == decisive => return decisive,
                Left::Node(node) => match (&self.nodes[node as usize], all) {
                    (Node::All(inner), true) | (Node::Any(inner), false) => nodes.extend(inner.iter().copied()),
                    _ => {
                        nodes.insert(node);
                    }
                },
                Left::Holds | Left::Fails => {}
            }
        }
        let mut nodes: Vec<u32> = nodes.into_iter().collect();
        nodes.sort_by_key(|node| {
            (matches!(self.nodes[*node as usize], Node::Not(_)), self.costs[*node as usize], *node)
        });
        let cost = nodes.iter().map(|node| self.costs[*node as usize]).fold(0, u32::saturating_add);
        let list: Box<[u32]> = nodes.into();
        match &*list {
            [] => neutral,
            [one] => Left::Node(*one),
            _ if all => Left::Node(self.unique(Same::All(list.clone()), cost, || Node::All(list))),
            _ => Left::Node(self.unique(Same::Any(list.clone()), cost, || Node::Any(list))),
        }
    }

    fn not(&mut self, part: u32) -> Left {
        if let Node::Not(inner) = self.nodes[part as usize] {
            return Left::Node(inner);
        }
        let cost = self.costs[part as usize].saturating_add(1);
        Left::Node(self.unique(Same::Not(part), cost, || Node::Not(part)))
    }

    fn unique(&mut self, same: Same, cost: u32, node: impl FnOnce() -> Node) -> u32 {
        *self.same.entry(same).or_insert_with(|| {
            self.nodes.push(node());
            self.costs.push(cost);
            u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
        })
    }
}

/// The folded actions that a condition names.
fn collect_actions(expression: &Expression, found: &mut BTreeSet<String>) {
    match expression {
        Expression::Item(item) => found.extend(item.actions().into_iter().flatten().map(str::to_owned)),
        Expression::All(parts) | Expression::Any(parts) => parts.iter().for_each(|part| collect_actions(part, found)),
        Expression::Not(part) => collect_actions(part, found),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::super::{RuleSource, Scratch, load};
    use super::*;

    /// Rules over a few members, one of each way to say something, in several conditions.
    fn rules(more: usize) -> String {
        let lines = [
            "action: a",
            "action: [b, C]",
            "action|neq: a",
            "action|startswith: a",
            "outcome: denied",
            "outcome: [success, failure]",
            "outcome|neq: success",
            "log_type: system",
            "log_type: null",
            "log_type|exists: true",
            "user: u",
            "outcome|fieldref: user",
        ];
        let mut text = String::new();
        for (at, line) in lines.iter().enumerate() {
            for (number, condition) in
                ["s", "not s", "s and t", "s or t", "not (s or t)", "t and not s"].iter().enumerate()
            {
                let other = lines[(at * 5 + number + 1) % lines.len()];
                let _ = writeln!(
                    text,
                    "---\ntitle: R{at}-{number}\nlogsource: {{a: b}}\ndetection: {{s: {{{line}}}, t: {{{other}}}, \
                     condition: {condition}}}"
                );
            }
        }
        for at in 0..more {
            let _ = writeln!(
                text,
                "---\ntitle: M{at}\nlogsource: {{a: b}}\ndetection: {{s: {{action: m{at}}}, condition: s}}"
            );
        }
        text
    }

    /// What is taken out of conditions beforehand changes nothing: here by a plain walk over each condition.
    #[test]
    fn the_index_agrees_with_the_conditions() {
        for more in [0, 1_100] {
            let set = load(&[RuleSource::text("t.yml", rules(more))]).unwrap().rules;
            let (mut scratch, mut found) = (Scratch::default(), Vec::new());
            for action in ["a", "A", "b", "c", "ab", "other", "m3", "É"] {
                for (outcome, log_type) in OUTCOMES.into_iter().flat_map(|o| LOG_TYPES.map(|l| (o, l))) {
                    for user in [None, Some("u"), Some("denied")] {
                        let mut event = Activity::new(Uuid::nil(), action, Timestamp::MIN);
                        (event.outcome, event.log_type, event.user) = (outcome, log_type, user.map(str::to_owned));
                        set.matcher.matches(&event, &mut scratch, &mut found);
                        let expected: Vec<usize> =
                            (0..set.rules.len()).filter(|at| alone(&set.rules[*at].title, more, &event)).collect();
                        assert_eq!(found, expected, "{event:?}");
                    }
                }
            }
        }
    }

    /// The title says which of `rules` it is; read again, by other means.
    fn alone(title: &str, more: usize, event: &Activity) -> bool {
        if let Some(at) = title.strip_prefix('M') {
            return at.parse::<usize>().is_ok_and(|at| at < more) && event.action == format!("m{at}");
        }
        let (line, number) = title[1..].split_once('-').unwrap();
        let (line, number): (usize, usize) = (line.parse().unwrap(), number.parse().unwrap());
        let action = event.action.to_lowercase();
        let holds = |line: usize| match line {
            0 => action == "a",
            1 => action == "b" || action == "c",
            2 => action != "a",
            3 => action.starts_with('a'),
            4 => event.outcome.as_str() == "denied",
            5 => event.outcome.as_str() != "denied",
            6 => event.outcome.as_str() != "success",
            7 => event.log_type.is_some_and(|log_type| log_type.as_str() == "system"),
            8 => event.log_type.is_none(),
            9 => event.log_type.is_some(),
            10 => event.user.as_deref() == Some("u"),
            _ => event.user.as_deref() == Some(event.outcome.as_str()),
        };
        let (s, t) = (holds(line), holds((line * 5 + number + 1) % 12));
        [s, !s, s && t, s || t, !(s || t), t && !s][number]
    }
}
