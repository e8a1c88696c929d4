//! [`Expression`]: the condition of a detection, as tests of single members joined by and, or, not.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use domain::Activity;
use ipnet::IpNet;
use regex::Regex;
use rust_decimal::Decimal;
use serde_json::Value;

use super::field::{Field, Member, is_number, number, scalar_text};
use super::model::Comparison;
use super::text::{Edge, Part, Pattern, folded};

/// A condition.
#[derive(Debug, Clone)]
pub(super) enum Expression {
    /// Shared: a condition may name a selection often, and a filter applies to many rules.
    Item(Arc<Item>),
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
}

/// One line of a selection: a member and the values it may have.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) target: Target,
    pub(super) tests: Vec<Test>,
    /// Every test has to hold, not one of them.
    pub(super) all: bool,
    /// `neq`: the member is there, and the tests do not hold.
    pub(super) negated: bool,
    /// Refutes all tests at once where they are texts.
    edge: Option<Edge>,
}

/// What is looked at.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Field(Field),
    /// Every text of the event.
    Keywords,
}

/// One value of a rule.
#[derive(Debug, Clone)]
pub(super) enum Test {
    Absent,
    Exists(bool),
    Text(Pattern),
    Number(Comparison, Decimal),
    Regex(Regex),
    Network(IpNet),
    SameAs { field: Field, part: Part, cased: bool },
}

impl Expression {
    /// How many items it has, for limits.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Item(_) => 1,
            Self::All(parts) | Self::Any(parts) => 1 + parts.iter().map(Self::size).sum::<usize>(),
            Self::Not(part) => 1 + part.size(),
        }
    }
}

impl Item {
    /// A line of one test or more.
    pub(super) fn new(target: Target, tests: Vec<Test>, all: bool, negated: bool) -> Self {
        let edge = Edge::of(tests.iter().map(|test| match test {
            Test::Text(pattern) => Some(pattern),
            _ => None,
        }));
        Self { target, tests, all, negated, edge }
    }

    /// Whether the activity has what the item asks for.
    pub(super) fn holds(&self, activity: &Activity) -> bool {
        match &self.target {
            Target::Keywords => self.tests(|test| any_text(activity, &mut |text| test.holds_text(text))),
            Target::Field(field) => {
                let member = field.member(activity);
                let held = match (&member, &self.edge) {
                    (Member::Text(text), Some(edge)) if !edge.admits(text) => false,
                    _ => self.tests(|test| test.holds(field, &member, activity)),
                };
                if self.negated { !held && !matches!(member, Member::Absent) } else { held }
            }
        }
    }

    fn tests(&self, found: impl FnMut(&Test) -> bool) -> bool {
        if self.all { self.tests.iter().all(found) } else { self.tests.iter().any(found) }
    }

    /// Whether the item looks at this member alone.
    pub(super) fn looks_at_only(&self, wanted: &Field) -> bool {
        matches!(&self.target, Target::Field(field) if field == wanted)
            && !self.tests.iter().any(|test| matches!(test, Test::SameAs { .. }))
    }

    /// The folded texts of which `action` has to be one, if that is all the item asks.
    pub(super) fn actions(&self) -> Option<Vec<&str>> {
        match &self.target {
            Target::Field(Field::Action) if !self.negated && !self.all => self
                .tests
                .iter()
                .map(|test| match test {
                    Test::Text(pattern) => pattern.whole(),
                    _ => None,
                })
                .collect(),
            _ => None,
        }
    }

    /// How much work it is, in equalities.
    pub(super) fn cost(&self) -> u32 {
        let member = match &self.target {
            Target::Keywords => 60,
            Target::Field(Field::Attribute(_)) => 5,
            Target::Field(Field::EventId | Field::OccurredAt | Field::ReceivedAt | Field::SourceIp) => 10,
            Target::Field(_) => 1,
        };
        let tests: u32 = self
            .tests
            .iter()
            .map(|test| match test {
                Test::Absent | Test::Exists(_) => 1,
                Test::Text(pattern) => pattern.cost(),
                Test::Number(..) | Test::SameAs { .. } | Test::Network(_) => 4,
                Test::Regex(_) => 15,
            })
            .sum();
        member + tests
    }
}

impl Test {
    fn holds(&self, field: &Field, member: &Member<'_>, activity: &Activity) -> bool {
        // The way of nearly all.
        if let (Self::Text(pattern), Member::Text(text)) = (self, member) {
            return pattern.matches(text);
        }
        match self {
            Self::Absent => matches!(member, Member::Absent),
            Self::Exists(wanted) => matches!(member, Member::Absent) != *wanted,
            Self::Network(network) if *field == Field::SourceIp => {
                activity.source_ip.is_some_and(|ip| network.contains(&ip.to_canonical()))
            }
            Self::Number(comparison, bound) => member.any_number(&mut |value| value.compares(*comparison, *bound)),
            Self::SameAs { field: other, part, cased } => {
                let other = other.member(activity);
                if *part == Part::Whole && member.is_many() && other.is_many() {
                    return share_a_text(member, &other, *cased);
                }
                other.any_text(&mut |needle| {
                    let pattern = Pattern::plain(needle, *part, *cased);
                    member.any_text(&mut |text| pattern.matches(text))
                })
            }
            Self::Text(_) | Self::Regex(_) | Self::Network(_) => member.any_text(&mut |text| self.holds_text(text)),
        }
    }

    fn holds_text(&self, text: &str) -> bool {
        match self {
            Self::Text(pattern) => pattern.matches(text),
            Self::Regex(regex) => regex.is_match(text),
            Self::Network(network) => text.parse::<IpAddr>().is_ok_and(|ip| network.contains(&ip.to_canonical())),
            Self::Absent | Self::Exists(_) | Self::Number(..) | Self::SameAs { .. } => false,
        }
    }
}

/// A number of an event: exact where 28 digits are enough.
enum Numeric {
    Exact(Decimal),
    Wide(f64),
}

impl Numeric {
    fn of(text: &str) -> Option<Self> {
        number(text).map(Self::Exact).or_else(|| {
            let wide = if is_number(text) { text.parse().ok() } else { None };
            wide.filter(|wide: &f64| wide.is_finite()).map(Self::Wide)
        })
    }

    fn compares(&self, comparison: Comparison, bound: Decimal) -> bool {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let order = match self {
            Self::Exact(value) => value.cmp(&bound),
            // Beyond what fits exactly; whether it is more or less needs no digits.
            Self::Wide(value) => match f64::try_from(bound).ok().and_then(|bound| value.partial_cmp(&bound)) {
                Some(order) => order,
                None => return false,
            },
        };
        match comparison {
            Comparison::Greater => order == Greater,
            Comparison::AtLeast => order != Less,
            Comparison::Less => order == Less,
            Comparison::AtMost => order != Greater,
            Comparison::Equal => order == Equal,
            Comparison::NotEqual => order != Equal,
        }
    }
}

impl Member<'_> {
    /// Whether it may have several values.
    fn is_many(&self) -> bool {
        matches!(self, Self::Json(Value::Array(_)) | Self::Many(_))
    }

    fn any_text(&self, test: &mut dyn FnMut(&str) -> bool) -> bool {
        match self {
            Self::Absent => false,
            Self::Text(text) => test(text),
            Self::Integer(number) => test(&number.to_string()),
            Self::Json(_) | Self::Many(_) => {
                self.any_value(&mut |value| scalar_text(value).is_some_and(|text| test(&text)))
            }
        }
    }

    fn any_number(&self, test: &mut dyn FnMut(&Numeric) -> bool) -> bool {
        match self {
            Self::Absent => false,
            Self::Integer(number) => test(&Numeric::Exact(Decimal::from(*number))),
            Self::Text(text) => Numeric::of(text).is_some_and(|number| test(&number)),
            Self::Json(_) | Self::Many(_) => self.any_value(&mut |value| {
                let text = match value {
                    Value::Number(number) => number.as_str(),
                    Value::String(text) => text,
                    _ => return false,
                };
                Numeric::of(text).is_some_and(|number| test(&number))
            }),
        }
    }

    /// Any of the values that came as JSON, and of the elements of those that are lists.
    fn any_value(&self, test: &mut dyn FnMut(&Value) -> bool) -> bool {
        match self {
            Self::Json(value) => any_element(value, test),
            Self::Many(values) => values.iter().any(|value| any_element(value, test)),
            Self::Absent | Self::Text(_) | Self::Integer(_) => false,
        }
    }
}

/// Whether two lists have a text in common. Each is looked through once: both may be as long as an event.
fn share_a_text(one: &Member<'_>, other: &Member<'_>, cased: bool) -> bool {
    let compared = |text: &str| if cased { text.to_owned() } else { folded(text).into_owned() };
    let mut texts = HashSet::new();
    one.any_text(&mut |text| {
        texts.insert(compared(text));
        false
    });
    other.any_text(&mut |text| texts.contains(&compared(text)))
}

/// A value itself, or the elements of a list, lists in lists too. The wire schema bounds how deep they are.
fn any_element(value: &Value, test: &mut dyn FnMut(&Value) -> bool) -> bool {
    match value {
        Value::Array(elements) => elements.iter().any(|element| any_element(element, test)),
        other => test(other),
    }
}

/// Every text of an event that somebody reported: members and attributes, nested ones too. Ids, times and our own
/// provenance are none of them.
fn any_text(activity: &Activity, test: &mut dyn FnMut(&str) -> bool) -> bool {
    const MEMBERS: [Field; 13] = [
        Field::Action,
        Field::Resource,
        Field::User,
        Field::Detail,
        Field::Reason,
        Field::UserAgent,
        Field::PageUrl,
        Field::SessionId,
        Field::Role,
        Field::Outcome,
        Field::Country,
        Field::LogType,
        Field::SourceIp,
    ];
    fn nested(value: &Value, test: &mut dyn FnMut(&str) -> bool) -> bool {
        match value {
            Value::String(text) => test(text),
            Value::Array(elements) => elements.iter().any(|element| nested(element, test)),
            Value::Object(members) => members.values().any(|member| nested(member, test)),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
    MEMBERS.iter().any(|field| field.member(activity).any_text(test))
        || activity.attributes.values().any(|value| nested(value, test))
}
