//! [`Matcher`]: which detections an activity matches.
//!
//! It runs for every event against every detection. So the conditions of all of them are one graph in which equal
//! parts are one node, evaluated at most once an event; and what is known of an event by its action, outcome and log
//! type was taken out of the conditions when they were compiled (`index`).

use domain::{Activity, LogType, Outcome};
use hashbrown::HashMap;

use super::expression::Item;

/// The compiled conditions of all detections.
#[derive(Debug, Default)]
pub struct Matcher {
    pub(super) nodes: Vec<Node>,
    /// Folded action → what detections ask for besides it.
    pub(super) by_action: HashMap<String, Class>,
    /// The same for an action that no detection names.
    pub(super) otherwise: Class,
}

/// Room for one evaluation, reused from activity to activity.
#[derive(Debug, Default)]
pub struct Scratch {
    /// For each node the event in which it was evaluated, times two, plus the result.
    known: Vec<u32>,
    event: u32,
}

/// For each outcome and log type the detections that can still match, rising.
pub(super) type Class = Vec<Box<[Root]>>;

/// A detection and what is left of its condition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Root {
    pub(super) rule: u32,
    pub(super) node: u32,
}

impl Root {
    /// The node of a condition of which nothing is left: it holds.
    pub(super) const HOLDS: u32 = u32::MAX;
}

/// A part of conditions.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Item(Item),
    All(Box<[u32]>),
    Any(Box<[u32]>),
    Not(u32),
}

/// Outcomes and log types, in the order of [`Class`].
pub(super) const OUTCOMES: [Outcome; 3] = [Outcome::Success, Outcome::Failure, Outcome::Denied];
pub(super) const LOG_TYPES: [Option<LogType>; 5] =
    [None, Some(LogType::UiEvent), Some(LogType::System), Some(LogType::Auth), Some(LogType::DataAccess)];

/// The place in a [`Class`].
fn place(activity: &Activity) -> usize {
    let outcome = match activity.outcome {
        Outcome::Success => 0,
        Outcome::Failure => 1,
        Outcome::Denied => 2,
    };
    let log_type = match activity.log_type {
        None => 0,
        Some(LogType::UiEvent) => 1,
        Some(LogType::System) => 2,
        Some(LogType::Auth) => 3,
        Some(LogType::DataAccess) => 4,
    };
    outcome * LOG_TYPES.len() + log_type
}

impl Matcher {
    /// Puts the indices (into `RuleSet::rules`) of the detections that match into `found`, rising, without regard to
    /// `when`. What `found` held before is gone.
    pub fn matches(&self, activity: &Activity, scratch: &mut Scratch, found: &mut Vec<usize>) {
        found.clear();
        let Some(roots) = self.class(&activity.action).get(place(activity)) else {
            return;
        };
        scratch.begin(self.nodes.len());
        for root in roots {
            if root.node == Root::HOLDS || self.holds(root.node, activity, scratch) {
                found.push(root.rule as usize);
            }
        }
    }

    /// The same for some of the detections: `moved` says the new index of each rule, none for those left out.
    pub(super) fn of_some(of: &Self, moved: &[Option<usize>]) -> Self {
        let kept = |class: &Class| -> Class {
            let root = |root: &Root| {
                let rule = moved.get(root.rule as usize).copied().flatten()?;
                Some(Root { rule: u32::try_from(rule).ok()?, ..*root })
            };
            class.iter().map(|roots| roots.iter().filter_map(root).collect()).collect()
        };
        Self {
            nodes: of.nodes.clone(),
            by_action: of.by_action.iter().map(|(action, class)| (action.clone(), kept(class))).collect(),
            otherwise: kept(&of.otherwise),
        }
    }

    fn class(&self, action: &str) -> &Class {
        // Without a copy on the heap, as this is for every event.
        let mut bytes = [0; 64];
        let found = match bytes.get_mut(..action.len()) {
            Some(folded) if action.is_ascii() => {
                folded.copy_from_slice(action.as_bytes());
                folded.make_ascii_lowercase();
                std::str::from_utf8(folded).ok().and_then(|action| self.by_action.get(action))
            }
            _ => self.by_action.get(super::text::folded(action).as_ref()),
        };
        found.unwrap_or(&self.otherwise)
    }

    /// Whether a condition holds: mostly that is known already, from another detection.
    #[inline]
    fn holds(&self, node: u32, activity: &Activity, scratch: &mut Scratch) -> bool {
        let known = scratch.known[node as usize];
        if known >> 1 == scratch.event { known & 1 == 1 } else { self.find_out(node as usize, activity, scratch) }
    }

    #[inline(never)]
    fn find_out(&self, at: usize, activity: &Activity, scratch: &mut Scratch) -> bool {
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

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use uuid::Uuid;

    use super::super::{RuleSource, load};
    use super::*;

    #[test]
    fn a_scratch_outlives_its_numbers_and_its_matcher() {
        let set = |action: &str| {
            let text = format!("title: A\nlogsource: {{a: b}}\ndetection: {{s: {{user: {action}}}, condition: s}}\n");
            load(&[RuleSource::text("t.yml", text)]).unwrap().rules
        };
        let (ada, bob) = (set("ada"), set("bob"));
        let mut activity = Activity::new(Uuid::from_u128(1), "View", Timestamp::MIN);
        activity.user = Some("ada".into());
        let (mut scratch, mut found) = (Scratch::default(), Vec::new());
        for event in [0, 1, (u32::MAX >> 1) - 1, u32::MAX >> 1] {
            scratch.event = event;
            for (set, expected) in [(&ada, vec![0]), (&bob, vec![]), (&ada, vec![0])] {
                set.matcher.matches(&activity, &mut scratch, &mut found);
                assert_eq!(found, expected, "{event}");
            }
        }
    }
}
