//! [`Plan`]: a rule set laid out for evaluation. Made once; the engine only follows it.
//!
//! Rules that share a key share one ring of events a key. What takes part in a rule is a *channel*, one bit in the
//! mask of an event in that ring; rules over the same events share the channel. A *route* says into which ring and
//! channel the matches of a detection, or the crossings of a correlation, go.

use domain::Severity;
use rust_decimal::Decimal;

use crate::rules::{Field, Presence, Share};

/// Where events or crossings go: into channels of one ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) group: usize,
    /// Which of the group's ways to read the key.
    pub(super) variant: usize,
    /// The channels.
    pub(super) mask: u64,
}

impl Route {
    /// Adds a route to routes, together with another into the same ring.
    pub(super) fn join(self, routes: &mut Vec<Self>) {
        match routes.iter_mut().find(|route| (route.group, route.variant) == (self.group, self.variant)) {
            Some(route) => route.mask |= self.mask,
            None => routes.push(self),
        }
    }
}

/// The bits of a mask, rising.
pub(super) fn bits(mut mask: u64) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let bit = u8::try_from(mask.trailing_zeros()).ok().filter(|bit| *bit < 64)?;
        mask &= mask - 1;
        Some(bit)
    })
}

/// The value that an event brings into a channel; without it, it takes no part. Numbers are indices of
/// [`Plan::fields`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ValueOf {
    Texts(Vec<usize>),
    Number(usize),
}

/// Rules that share a key.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) key: KeyOf,
    pub(super) channels: Vec<Channel>,
}

/// How a key is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyOf {
    /// The user, else the source address, else nothing; of the events of a share.
    Auto { user: usize, source_ip: usize, share: Share },
    /// Fields, in one or several ways (aliases).
    Fields { names: Vec<String>, variants: Vec<Vec<usize>> },
}

impl KeyOf {
    /// Whether an event can have one key of this kind only.
    pub(super) fn is_uniform(&self) -> bool {
        match self {
            Self::Auto { .. } => true,
            Self::Fields { variants, .. } => variants.len() == 1,
        }
    }

    /// Whether the key is a user alone.
    pub(super) fn names_user_only(&self, fields: &[Field]) -> bool {
        match self {
            Self::Auto { .. } => false,
            Self::Fields { variants, .. } => {
                variants.iter().all(|variant| matches!(variant.as_slice(), [of] if fields[*of] == Field::User))
            }
        }
    }

    pub(super) fn reads(&self, variant: usize) -> Vec<usize> {
        match self {
            Self::Auto { user, source_ip, .. } => vec![*user, *source_ip],
            Self::Fields { variants, .. } => variants[variant].clone(),
        }
    }
}

/// What takes part in rules: one bit of a ring's masks.
#[derive(Debug, Default)]
pub(super) struct Channel {
    /// The rules whose matches or crossings take part, each with the way in which its key is read.
    pub(super) sources: Vec<(usize, usize)>,
    /// What an event has to bring along.
    pub(super) value: Option<ValueOf>,
    /// The longest window over it, in microseconds.
    pub(super) window: i64,
    /// Nodes that look at it.
    pub(super) nodes: Vec<usize>,
    /// The same with what says at a glance that one need not look.
    pub(super) calls: Vec<Call>,
}

/// A rule that looks at a channel. An event at which it cannot hold by these few words, does not get to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) node: usize,
    pub(super) waits: bool,
    /// Channels all of which have to have events.
    pub(super) needs: u64,
    /// So many events have to lie in its window; with one or none they always do.
    pub(super) least: usize,
    pub(super) window: i64,
}

/// A rule that is evaluated over a window: a correlation, or a detection that reports.
#[derive(Debug)]
pub(super) struct Node {
    /// Index of the rule; the rank in which nodes are evaluated.
    pub(super) rule: usize,
    pub(super) group: usize,
    pub(super) shape: Shape,
    /// The channels, in the order of the references for `temporal*`, one otherwise.
    pub(super) bits: Vec<u8>,
    /// The same as a mask.
    pub(super) mask: u64,
    pub(super) window: i64,
    pub(super) episode: i64,
    /// `Some` where the condition is one lower bound of a count.
    pub(super) at_least: Option<i64>,
    /// Counts that notify, rising.
    pub(super) steps: Vec<Step>,
    /// The value from which the rule fires, for people.
    pub(super) threshold: Decimal,
    /// The peak of an episode is its smallest value.
    pub(super) lowest: bool,
    pub(super) reports: bool,
    /// One more event can falsify it: it is evaluated when the watermark passes.
    pub(super) waits: bool,
    /// The fields that say whose baseline and who is alike.
    pub(super) baseline: Option<(usize, Option<usize>)>,
    /// The field that says in whose zone a clock is read.
    pub(super) clock: Option<usize>,
    /// Where its crossings go.
    pub(super) routes: Vec<Route>,
    /// Marks an event at which it held and was passed on; 0 where nobody refers to it.
    pub(super) held: u64,
}

/// What a node computes.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    Count,
    Distinct,
    Sum,
    Average,
    Percentile(Decimal),
    Temporal(Option<Presence>),
    Ordered,
}

/// A value that notifies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) bound: Decimal,
    pub(super) strict: bool,
    pub(super) to: Option<Severity>,
}

/// What is done with a match of a detection.
#[derive(Debug, Default)]
pub(super) struct Leaf {
    pub(super) routes: Vec<Route>,
    /// Decided when the watermark passes: `first_seen`, `after_silence`.
    pub(super) waits: bool,
    /// Fields to keep of an event that matches, for what may be decided about it later.
    pub(super) keeps: Vec<usize>,
}

/// The whole layout.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Fields that keys and values are read from.
    pub(super) fields: Vec<Field>,
    pub(super) groups: Vec<Group>,
    pub(super) nodes: Vec<Node>,
    /// By rule; empty where the rule is a correlation.
    pub(super) leaves: Vec<Leaf>,
    /// Node of a rule.
    pub(super) node_of: Vec<Option<usize>>,
}

impl Plan {
    /// Whether a crossing passed along `route` lies in the ring in which it happened.
    pub(super) fn stays(&self, from: &Node, route: Route) -> bool {
        from.group == route.group && self.groups[route.group].key.is_uniform()
    }

    pub(super) fn read_by(&self, route: Route) -> Vec<usize> {
        let mut fields = self.groups[route.group].key.reads(route.variant);
        fields.extend(self.values_of(route));
        fields
    }

    pub(super) fn values_of(&self, route: Route) -> Vec<usize> {
        let channels = bits(route.mask).map(|bit| &self.groups[route.group].channels[usize::from(bit)]);
        channels.filter_map(|channel| channel.value.as_ref()).flat_map(ValueOf::fields).collect()
    }
}

impl Channel {
    /// Whether its rules count different texts: of events with the same one they need the last.
    pub(super) fn is_distinct(&self) -> bool {
        self.has_texts()
    }

    /// Whether what an event brings into it is a text.
    pub(super) fn has_texts(&self) -> bool {
        matches!(self.value, Some(ValueOf::Texts(_)))
    }
}

impl Node {
    /// What says at a glance that it cannot hold at an event.
    pub(super) fn call(&self, number: usize) -> Call {
        let mut call = Call { node: number, waits: self.waits, needs: 0, least: 0, window: self.window };
        if self.baseline.is_some() {
            return call;
        }
        let least = self.at_least.and_then(|least| usize::try_from(least).ok()).unwrap_or(0);
        match self.shape {
            Shape::Count | Shape::Distinct => call.least = least,
            Shape::Temporal(None) if least >= self.bits.len() => call.needs = self.mask,
            Shape::Ordered => call.needs = self.mask,
            Shape::Temporal(_) | Shape::Sum | Shape::Average | Shape::Percentile(_) => {}
        }
        call
    }
}

impl ValueOf {
    pub(super) fn fields(&self) -> Vec<usize> {
        match self {
            Self::Texts(fields) => fields.clone(),
            Self::Number(field) => vec![*field],
        }
    }
}
