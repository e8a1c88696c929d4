//! What a rule is once it has been read: indices instead of names, microseconds instead of `5m`, and nothing left
//! that could be invalid. The engine sees this and nothing of YAML.

use std::cmp::Ordering;

use chrono_tz::Tz;
use domain::{Activity, Severity};
use rust_decimal::Decimal;

use super::field::Field;
use super::matcher::Matcher;

/// Rules that belong together: every reference between them is resolved.
#[derive(Debug, Default)]
pub struct RuleSet {
    /// The rules; whatever a rule refers to stands before it.
    pub rules: Vec<Rule>,
    /// Which detections an activity matches.
    pub matcher: Matcher,
    /// Digest of everything that decides what these rules find: another one means another revision.
    pub digest: [u8; 32],
    /// Which of all events the set is there for.
    pub share: Share,
}

/// Which of all events a set of rules is there for. In a distributed installation events are split twice: by user, and
/// once more, those with an address, by address (`share`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Share {
    /// All of them.
    #[default]
    Whole,
    /// Those of some users: topic `activity`.
    ByUser,
    /// Those of some source addresses: topic `activity.by-source`.
    BySource,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The UUID in canonical text, or the name or title of a rule without one.
    pub id: String,
    /// The name by which other rules refer to it.
    pub name: Option<String>,
    /// What people read.
    pub title: String,
    /// What it finds and why that counts; may be empty.
    pub description: String,
    /// How serious; `Medium` where the rule says nothing.
    pub level: Severity,
    /// MITRE ATT&CK techniques of its tags: `T1110.001`.
    pub techniques: Vec<String>,
    /// All its tags, as written.
    pub tags: Vec<String>,
    /// What else may look like it.
    pub false_positives: Vec<String>,
    /// Where it came from: a path, or `built-in/<file>`.
    pub file: String,
    /// The document's first line in that file, from 1.
    pub line: usize,
    /// Changes with everything that decides what the rule finds, its references included.
    pub revision: String,
    /// Points of risk, 0–99.
    pub risk: i64,
    /// Alerts of one family within one episode count once for risk.
    pub family: String,
    /// The quiet that ends an episode, in microseconds.
    pub episode: i64,
    /// Counts at which the severity rises, rising.
    pub escalate: Vec<(Decimal, Severity)>,
    /// No new episode for this long after a verdict, in microseconds.
    pub mute_after_close: i64,
    /// When events (of a detection) or crossings (of a correlation) count.
    pub time: Option<TimeGate>,
    /// Whether it reports: it is referred to by nobody, or all who refer to it say `generate: true`.
    pub reports: bool,
    /// What it looks for.
    pub body: Body,
}

/// The two kinds of rules.
#[derive(Debug, Clone)]
pub enum Body {
    /// Single activities.
    Detection(Detection),
    /// Several together.
    Correlation(Correlation),
}

/// A rule about single activities. What it matches is asked of [`RuleSet::matcher`] by the index of the rule.
#[derive(Debug, Clone)]
pub struct Detection {
    /// Whose alert it is.
    pub key: DetectionKey,
    /// Only values that are new.
    pub first_seen: Option<FirstSeen>,
    /// Only after this long without an earlier match of the key, in microseconds.
    pub after_silence: Option<i64>,
}

/// The key of a detection's alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DetectionKey {
    /// The user, else the source address, else the one empty key.
    Auto,
    /// As `analytics.key` says.
    Fields(Vec<GroupField>),
}

/// One part of a key: its name in alerts, and for each referenced rule the field that it is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupField {
    /// The name as written in `group-by`.
    pub name: String,
    /// One field for each of [`Correlation::refs`], in their order (they differ where `aliases` says so); one field
    /// alone in a detection's key.
    pub fields: Vec<Field>,
}

/// `when.first_seen`: true iff `of` had no such value of `field` in `[t − within, t)` and learning is done.
///
/// "Had": in an event that matches the detection itself. Learning is done once the first such event of `of` lies at
/// least `after_age` back and `after_events` such events came before.
#[derive(Debug, Clone)]
pub struct FirstSeen {
    /// Whose values.
    pub of: Field,
    /// Which value.
    pub field: Field,
    /// How far back, in microseconds.
    pub within: i64,
    /// Age of the first event before anything is new, in microseconds.
    pub after_age: i64,
    /// Events before anything is new.
    pub after_events: u64,
}

/// `when.time`.
#[derive(Debug, Clone)]
pub struct TimeGate {
    /// True: inside of the calendar; false: outside.
    pub inside: bool,
    /// Name of the calendar: `working_hours`.
    pub calendar: String,
    /// In which zone.
    pub zone: ZoneOf,
}

/// Whose time of day counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZoneOf {
    /// The user's, else the installation's.
    User,
    /// A named one.
    Named(Tz),
}

/// A rule about several activities.
#[derive(Debug, Clone)]
pub struct Correlation {
    /// What is compared.
    pub kind: Kind,
    /// Indices of the rules it refers to, in the order listed; each is smaller than this rule's own.
    pub refs: Vec<usize>,
    /// The key; empty: one for all.
    pub group_by: Vec<GroupField>,
    /// Length of the window in microseconds.
    pub timespan: i64,
    /// When the value holds. For `temporal*` it compares the number of referenced rules in the window.
    pub condition: Condition,
    /// The value must also be beyond what is usual.
    pub baseline: Option<Baseline>,
}

/// `when.baseline`: the value is also more than `median + above · MAD` of the own closed buckets, and of those of the
/// peers where there are enough.
#[derive(Debug, Clone)]
pub struct Baseline {
    /// Whose values.
    pub of: Field,
    /// What those who are compared with have in common.
    pub peers: Option<Field>,
    /// Length of a bucket in microseconds; the figure of a bucket is the largest value in it.
    pub bucket: i64,
    /// How far back buckets count, in microseconds.
    pub history: i64,
    /// How many closed buckets there have to be.
    pub ready: usize,
    /// How many spreads above the median.
    pub above: Decimal,
}

/// Types of correlation.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Events.
    EventCount,
    /// Different values of one field, or different tuples of several.
    ValueCount(Vec<Field>),
    /// Exact sum of a field.
    ValueSum(Field),
    /// Exact mean of a field.
    ValueAvg(Field),
    /// Linear percentile of a field, 0–100.
    ValuePercentile(Field, Decimal),
    /// Which of the rules are in the window; with an expression where the condition is a text.
    Temporal(Option<Presence>),
    /// All of the rules, by different events, in the order listed.
    TemporalOrdered,
}

/// A text condition of a `temporal` correlation. Numbers are positions in [`Correlation::refs`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// The rule has an event in the window.
    Rule(usize),
    /// All of them.
    And(Vec<Presence>),
    /// At least one of them.
    Or(Vec<Presence>),
    /// Not it.
    Not(Box<Presence>),
}

impl Presence {
    /// Whether it is true where `present` says of each position whether its rule is in the window.
    #[must_use]
    pub fn holds(&self, present: &impl Fn(usize) -> bool) -> bool {
        match self {
            Self::Rule(at) => present(*at),
            Self::And(parts) => parts.iter().all(|part| part.holds(present)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(present)),
            Self::Not(part) => !part.holds(present),
        }
    }
}

/// Comparisons of a correlation's value, all of which have to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition(pub Vec<(Comparison, Decimal)>);

/// How a value is compared with a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `gt`
    Greater,
    /// `gte`
    AtLeast,
    /// `lt`
    Less,
    /// `lte`
    AtMost,
    /// `eq`
    Equal,
    /// `neq`
    NotEqual,
}

impl Condition {
    /// Whether the value passes every comparison.
    #[must_use]
    pub fn holds(&self, value: Decimal) -> bool {
        self.holds_by(|bound| value.cmp(&bound))
    }

    /// Whether a value passes every comparison, by how it compares with a bound.
    pub fn holds_by(&self, compare: impl Fn(Decimal) -> Ordering) -> bool {
        self.0.iter().all(|(comparison, bound)| {
            let order = compare(*bound);
            match comparison {
                Comparison::Greater => order.is_gt(),
                Comparison::AtLeast => order.is_ge(),
                Comparison::Less => order.is_lt(),
                Comparison::AtMost => order.is_le(),
                Comparison::Equal => order.is_eq(),
                Comparison::NotEqual => order.is_ne(),
            }
        })
    }
}

/// A part of an activity's key: exact text, where there is one. A user in canonical form, an IPv6 address as its /64.
#[must_use]
pub fn key_text(field: &Field, activity: &Activity) -> Option<String> {
    let text = field.text(activity)?;
    if text.is_empty() {
        return None;
    }
    Some(match field {
        Field::User => domain::username_key(&text),
        Field::SourceIp => activity.source_ip.map_or_else(|| text.clone().into_owned(), domain::network),
        _ => text.into_owned(),
    })
    .filter(|text| !text.is_empty())
}
