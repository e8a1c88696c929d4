//! Detections → [`Matcher`]: for each action that a rule names, each outcome and each log type, what is left of the
//! conditions once these are known. Most detections are refuted by them, and of the rest little remains.

use std::collections::{BTreeSet, HashMap};

use domain::{Activity, Timestamp};
use uuid::Uuid;

use super::expression::{Expression, Item};
use super::field::Field;
use super::matcher::{Class, LOG_TYPES, Matcher, Node, OUTCOMES, Root};

/// Most conditions that are worked out. Sets beyond it (thousands of rules that name hundreds of actions) are told apart
/// by action alone.
const MAX_WORK: usize = 1_000_000;

/// Puts detections together.
#[derive(Debug, Default)]
pub(super) struct Builder {
    graph: Graph,
    rules: Vec<(u32, Expression)>,
}

impl Builder {
    /// Adds a detection; `rule` is its index, rising from call to call.
    pub(super) fn add(&mut self, rule: usize, expression: Expression) {
        self.rules.push((u32::try_from(rule).unwrap_or(u32::MAX), expression));
    }

    /// The matcher.
    pub(super) fn build(mut self) -> Matcher {
        let mut actions = BTreeSet::new();
        for (_, expression) in &self.rules {
            collect_actions(expression, &mut actions);
        }
        let size: usize = self.rules.iter().map(|(_, expression)| expression.size()).sum();
        let fine = size.saturating_mul(actions.len() + 1) <= MAX_WORK;
        let by_action = actions.iter().map(|action| (action.clone(), self.class(Some(action), fine))).collect();
        let otherwise = self.class(None, fine);
        Matcher { nodes: self.graph.nodes, by_action, otherwise }
    }

    fn class(&mut self, action: Option<&str>, fine: bool) -> Class {
        let mut class = Vec::with_capacity(OUTCOMES.len() * LOG_TYPES.len());
        let mut event = Activity::new(Uuid::nil(), action.unwrap_or_default(), Timestamp::MIN);
        for outcome in OUTCOMES {
            for log_type in LOG_TYPES {
                (event.outcome, event.log_type) = (outcome, log_type);
                if !fine && let Some(first) = class.first() {
                    class.push(Box::clone(first));
                    continue;
                }
                let known = Known { action, event: &event, fine };
                let rules = std::mem::take(&mut self.rules);
                let left = rules.iter().filter_map(|(rule, expression)| match self.graph.left(expression, &known) {
                    Left::Holds => Some(Root { rule: *rule, node: Root::HOLDS }),
                    Left::Fails => None,
                    Left::Node(node) => Some(Root { rule: *rule, node }),
                });
                class.push(left.collect());
                self.rules = rules;
            }
        }
        class
    }
}

/// What is known of an event.
struct Known<'a> {
    /// `None`: it is none of those that rules name.
    action: Option<&'a str>,
    /// An event with the outcome and the log type.
    event: &'a Activity,
    /// Whether these two count.
    fine: bool,
}

impl Known<'_> {
    fn decides(&self, item: &Item) -> Option<bool> {
        if let Some(actions) = item.actions() {
            return Some(self.action.is_some_and(|action| actions.contains(&action)));
        }
        let decided = self.fine && (item.looks_at_only(&Field::Outcome) || item.looks_at_only(&Field::LogType));
        decided.then(|| item.holds(self.event))
    }
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
    /// What a node is, as text → its number.
    same: HashMap<String, u32>,
}

impl Graph {
    fn left(&mut self, expression: &Expression, known: &Known<'_>) -> Left {
        match expression {
            Expression::Item(item) => match known.decides(item) {
                Some(true) => Left::Holds,
                Some(false) => Left::Fails,
                None => Left::Node(self.unique(format!("{item:?}"), item.cost(), || Node::Item(item.clone()))),
            },
            Expression::Not(part) => match self.left(part, known) {
                Left::Holds => Left::Fails,
                Left::Fails => Left::Holds,
                Left::Node(part) => self.not(part),
            },
            Expression::All(parts) => self.join(parts, true, known),
            Expression::Any(parts) => self.join(parts, false, known),
        }
    }

    /// `all` (or else any) of parts: decided ones left out, parts of the same kind unfolded, equal ones once. The cheap
    /// ones come first, and what selects before what excludes.
    fn join(&mut self, parts: &[Expression], all: bool, known: &Known<'_>) -> Left {
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
        match nodes.as_slice() {
            [] => neutral,
            [one] => Left::Node(*one),
            _ if all => Left::Node(self.unique(format!("all {nodes:?}"), cost, || Node::All(nodes.clone().into()))),
            _ => Left::Node(self.unique(format!("any {nodes:?}"), cost, || Node::Any(nodes.clone().into()))),
        }
    }

    fn not(&mut self, part: u32) -> Left {
        if let Node::Not(inner) = self.nodes[part as usize] {
            return Left::Node(inner);
        }
        let cost = self.costs[part as usize] + 1;
        Left::Node(self.unique(format!("not {part}"), cost, || Node::Not(part)))
    }

    fn unique(&mut self, text: String, cost: u32, node: impl FnOnce() -> Node) -> u32 {
        *self.same.entry(text).or_insert_with(|| {
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
