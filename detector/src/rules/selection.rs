//! A selection of a detection → [`Expression`]: maps, lists, keywords, modifiers and values.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::expression::{Expression, Item, Target, Test};
use super::field::Field;
use super::finding::{Mark, Report, nearest, quoted};
use super::model::Comparison;
use super::node::{Key, Node, Value};
use super::regular;
use super::sigma::{self, KeyFault, Modifier};
use super::text::{Part, Pattern};

/// Compiles a selection; `None` after an error, which the report has.
pub(super) fn compile(node: &Node, report: &mut Report) -> Option<Expression> {
    match &node.value {
        Value::Map(entries) if entries.is_empty() => refuse(node.at, "an empty selection matches nothing", report),
        Value::Map(entries) => {
            let items: Vec<_> = entries.iter().map(|(key, value)| item(key, value, report)).collect();
            Some(Expression::All(items.into_iter().collect::<Option<_>>()?))
        }
        Value::List(entries) if entries.is_empty() => refuse(node.at, "an empty list matches nothing", report),
        Value::List(entries) => {
            let keywords: Vec<&Node> = entries.iter().filter(|entry| is_scalar(entry)).collect();
            let maps = entries.iter().filter(|entry| !is_scalar(entry));
            let mut parts = Vec::new();
            for map in maps {
                match map.value {
                    Value::Map(_) => parts.push(compile(map, report)),
                    _ => report
                        .error(map.at, "a list in a list; a selection is a map, a list of maps or a list of words"),
                }
            }
            if !keywords.is_empty() {
                parts.push(keyword_item(&keywords, Modifiers::default(), node.at, report));
            }
            let expected = entries.len() - keywords.len() + usize::from(!keywords.is_empty());
            let parts: Vec<_> = parts.into_iter().collect::<Option<_>>()?;
            (parts.len() == expected).then_some(Expression::Any(parts))
        }
        Value::Null => refuse(node.at, "the selection is empty", report),
        _ => keyword_item(&[node], Modifiers::default(), node.at, report),
    }
}

fn refuse<T>(at: Mark, message: impl Into<String>, report: &mut Report) -> Option<T> {
    report.error(at, message);
    None
}

fn is_scalar(node: &Node) -> bool {
    !matches!(node.value, Value::List(_) | Value::Map(_))
}

/// What the modifiers of a key say together.
#[derive(Debug, Default, Clone, Copy)]
struct Modifiers {
    how: How,
    part: Option<Part>,
    all: bool,
    cased: bool,
    negated: bool,
    ignore_case: bool,
    multiline: bool,
    dot_all: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum How {
    #[default]
    Value,
    Regex,
    Network,
    Exists,
    SameAs,
    Compare(Comparison),
}

impl Modifiers {
    fn read(list: &[Modifier]) -> Result<Self, String> {
        let mut read = Self::default();
        for (at, modifier) in list.iter().enumerate() {
            if list[..at].contains(modifier) {
                return Err("a modifier stands there twice".to_owned());
            }
            match modifier {
                Modifier::Contains => read.part(Part::Inside)?,
                Modifier::StartsWith => read.part(Part::Start)?,
                Modifier::EndsWith => read.part(Part::End)?,
                Modifier::Re => read.how(How::Regex)?,
                Modifier::Cidr => read.how(How::Network)?,
                Modifier::Exists => read.how(How::Exists)?,
                Modifier::FieldRef => read.how(How::SameAs)?,
                Modifier::Gt => read.how(How::Compare(Comparison::Greater))?,
                Modifier::Gte => read.how(How::Compare(Comparison::AtLeast))?,
                Modifier::Lt => read.how(How::Compare(Comparison::Less))?,
                Modifier::Lte => read.how(How::Compare(Comparison::AtMost))?,
                Modifier::All => read.all = true,
                Modifier::Cased => read.cased = true,
                Modifier::Neq => read.negated = true,
                Modifier::IgnoreCase => read.ignore_case = true,
                Modifier::Multiline => read.multiline = true,
                Modifier::DotAll => read.dot_all = true,
                other => {
                    return Err(format!("the modifier `{}` is not supported", format!("{other:?}").to_lowercase()));
                }
            }
        }
        read.consistent()?;
        Ok(read)
    }

    fn part(&mut self, part: Part) -> Result<(), String> {
        match self.part.replace(part) {
            None => Ok(()),
            Some(_) => Err("contains, startswith and endswith exclude each other".to_owned()),
        }
    }

    fn how(&mut self, how: How) -> Result<(), String> {
        match std::mem::replace(&mut self.how, how) {
            How::Value => Ok(()),
            _ => Err("re, cidr, exists, fieldref and comparisons exclude each other".to_owned()),
        }
    }

    fn consistent(&self) -> Result<(), String> {
        let flags = self.ignore_case || self.multiline || self.dot_all;
        if flags && self.how != How::Regex {
            return Err("i, m and s belong to re".to_owned());
        }
        if self.part.is_some() && !matches!(self.how, How::Value | How::SameAs) {
            return Err(
                "contains, startswith and endswith compare texts; they do not go with the other modifier".to_owned()
            );
        }
        if self.cased && !matches!(self.how, How::Value | How::SameAs) {
            return Err("cased does not go with the other modifier; re minds the case already".to_owned());
        }
        if self.how == How::Exists && (self.all || self.negated) {
            return Err("exists takes true or false and no other modifier".to_owned());
        }
        Ok(())
    }
}

/// One line of a map.
fn item(key: &Key, value: &Node, report: &mut Report) -> Option<Expression> {
    let read = sigma::field_spec(&key.text)
        .and_then(|(name, list)| Ok((name, Modifiers::read(&list).map_err(KeyFault::Other)?)));
    let (name, modifiers) = match read {
        Ok(read) => read,
        Err(fault) => {
            let (message, near) = match fault {
                KeyFault::Unknown(name) => {
                    (format!("unknown modifier {}", quoted(&name)), nearest(&name, MODIFIERS.into_iter()))
                }
                KeyFault::Other(message) => (message, None),
            };
            let hint = match near {
                Some(near) => format!("did you mean {near}?"),
                None => format!("known: {}, re with i, m, s", MODIFIERS.join(", ")),
            };
            report.error_hint(key.at, format!("{}: {message}", quoted(&key.text)), hint);
            return None;
        }
    };
    let values: Vec<&Node> = match &value.value {
        Value::List(values) => values.iter().collect(),
        Value::Map(_) => return refuse(value.at, "a map; nested members are named by their path, as in a.b", report),
        _ => vec![value],
    };
    if values.is_empty() {
        return refuse(value.at, "an empty list matches nothing", report);
    }
    if let Some(inner) = values.iter().find(|value| !is_scalar(value)) {
        return refuse(inner.at, format!("{} in a list of values", inner.kind()), report);
    }
    if modifiers.all && values.len() < 2 {
        return refuse(value.at, "`all` needs two values or more", report);
    }
    let Some(name) = name else {
        if key.text.is_empty() {
            return refuse(key.at, "an empty field name", report);
        }
        return keyword_item(&values, modifiers, key.at, report);
    };
    if name != name.trim() || name.contains(['[', ']']) {
        return refuse(key.at, "field names hold neither brackets nor blanks around them", report);
    }
    let field = Field::resolve(&name);
    let tests: Vec<_> = values.iter().map(|value| test(&field, value, modifiers, report)).collect();
    let tests = tests.into_iter().collect::<Option<Vec<_>>>()?;
    Some(Expression::Item(Arc::new(Item::new(Target::Field(field), tests, modifiers.all, modifiers.negated))))
}

/// Modifiers; those that stand with `re` alone are letters, and no mistake is near to one.
const MODIFIERS: [&str; 13] = [
    "contains",
    "startswith",
    "endswith",
    "all",
    "cased",
    "exists",
    "cidr",
    "lt",
    "lte",
    "gt",
    "gte",
    "neq",
    "fieldref",
];

/// One value.
fn test(field: &Field, value: &Node, modifiers: Modifiers, report: &mut Report) -> Option<Test> {
    match modifiers.how {
        How::Value => plain(field, value, modifiers, report),
        How::Regex => regex(value, modifiers, report),
        How::Network => network(value, report),
        How::Exists => match value.value {
            Value::Bool(wanted) => Some(Test::Exists(wanted)),
            _ => refuse(value.at, format!("exists takes true or false, not {}", value.kind()), report),
        },
        How::SameAs => match value.text() {
            Some(name) if !name.is_empty() => Some(Test::SameAs {
                field: Field::resolve(name),
                part: modifiers.part.unwrap_or(Part::Whole),
                cased: modifiers.cased,
            }),
            _ => refuse(value.at, format!("fieldref takes the name of a field, not {}", value.kind()), report),
        },
        How::Compare(comparison) => match &value.value {
            Value::Number(bound, _) => Some(Test::Number(comparison, *bound)),
            Value::Text(text) => match super::field::number(text) {
                Some(bound) => Some(Test::Number(comparison, bound)),
                None => refuse(value.at, format!("{} is no number", quoted(text)), report),
            },
            _ => refuse(value.at, format!("comparisons take a number, not {}", value.kind()), report),
        },
    }
}

fn plain(field: &Field, value: &Node, modifiers: Modifiers, report: &mut Report) -> Option<Test> {
    let part = modifiers.part.unwrap_or(Part::Whole);
    match &value.value {
        Value::Null if modifiers.part.is_none() => Some(Test::Absent),
        Value::Null => refuse(value.at, "nothing has no parts", report),
        Value::Number(number, _) if modifiers.part.is_none() => Some(Test::Number(Comparison::Equal, *number)),
        Value::Number(_, text) => Some(Test::Text(Pattern::plain(text, part, modifiers.cased))),
        Value::Bool(value) => {
            Some(Test::Text(Pattern::plain(if *value { "true" } else { "false" }, part, modifiers.cased)))
        }
        Value::Text(text) => {
            let address = text.parse::<IpAddr>().map(|ip| ip.to_canonical().to_string());
            if let Ok(canonical) = address
                && *field == Field::SourceIp
                && part == Part::Whole
                && !canonical.eq_ignore_ascii_case(text)
            {
                report.warn(value.at, "addresses read in their canonical text", Some(format!("write {canonical}")));
            }
            if matches!(text.to_lowercase().as_str(), "yes" | "no" | "on" | "off") && !text.contains('*') {
                report.warn(
                    value.at,
                    format!("{} is text here, and true or false for readers of YAML 1.1", quoted(text)),
                    None,
                );
            }
            Some(Test::Text(Pattern::new(&sigma::wildcards(text), part, modifiers.cased)))
        }
        Value::List(_) | Value::Map(_) => refuse(value.at, format!("{} is no value", value.kind()), report),
    }
}

fn regex(value: &Node, modifiers: Modifiers, report: &mut Report) -> Option<Test> {
    let source = match &value.value {
        Value::Text(text) | Value::Number(_, text) => text,
        _ => return refuse(value.at, format!("a regular expression is text, not {}", value.kind()), report),
    };
    let mut flags = String::new();
    for (set, flag) in [(modifiers.ignore_case, 'i'), (modifiers.multiline, 'm'), (modifiers.dot_all, 's')] {
        if set {
            flags.push(flag);
        }
    }
    // Flags stand in the source, so that it says all of the expression.
    let flagged = if flags.is_empty() { source.clone() } else { format!("(?{flags}){source}") };
    regular::compile(&flagged, value.at, report).map(Test::Regex)
}

fn network(value: &Node, report: &mut Report) -> Option<Test> {
    let Some(text) = value.text() else {
        return refuse(value.at, format!("cidr takes a network, not {}", value.kind()), report);
    };
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    match network {
        Some(network) if network.trunc() == network => Some(Test::Network(network)),
        Some(network) => {
            report.error_hint(
                value.at,
                "the address has bits outside of its network",
                format!("write {}", network.trunc()),
            );
            None
        }
        None => {
            report.error_hint(value.at, format!("{} is no network", quoted(text)), "as in 10.0.0.0/8 or 2001:db8::/32");
            None
        }
    }
}

/// Words that may stand anywhere in an event.
fn keyword_item(values: &[&Node], modifiers: Modifiers, at: Mark, report: &mut Report) -> Option<Expression> {
    if modifiers.negated || !matches!(modifiers.how, How::Value | How::Regex) {
        return refuse(at, "keywords take all, cased, re, contains, startswith and endswith only", report);
    }
    let mut tests = Vec::new();
    for value in values {
        let test = match (&value.value, modifiers.how) {
            (_, How::Regex) => regex(value, modifiers, report)?,
            (Value::Text(text), _) if text.is_empty() => {
                return refuse(value.at, "an empty keyword is in every text", report);
            }
            (Value::Text(text), _) => Test::Text(Pattern::new(
                &sigma::wildcards(text),
                modifiers.part.unwrap_or(Part::Inside),
                modifiers.cased,
            )),
            (Value::Number(_, text), _) => {
                Test::Text(Pattern::plain(text, modifiers.part.unwrap_or(Part::Inside), modifiers.cased))
            }
            _ => return refuse(value.at, format!("a keyword is text, not {}", value.kind()), report),
        };
        tests.push(test);
    }
    Some(Expression::Item(Arc::new(Item::new(Target::Keywords, tests, modifiers.all, false))))
}
