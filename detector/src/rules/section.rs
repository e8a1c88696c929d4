//! Reading maps strictly: each key once, known and of its type.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::finding::{Mark, Report, nearest, quoted};
use super::node::{Key, Node, Value};
use super::span;

/// Characters of a title that stand in the explanation of a score.
const SHOWN_OF_TITLE: usize = 80;

/// A map of which every key has to be known.
pub(super) struct Section<'a> {
    /// What it is, for messages.
    name: &'static str,
    at: Mark,
    entries: &'a [(Key, Node)],
    /// Known keys that were meant by unknown ones, which are told already.
    meant: Vec<String>,
}

impl<'a> Section<'a> {
    /// The map, after unknown keys were reported; `None` where it is no map.
    pub(super) fn open(name: &'static str, node: &'a Node, known: &[&str], report: &mut Report) -> Option<Self> {
        let Some(entries) = node.map() else {
            report.error(node.at, format!("{name} must be a map, not {}", node.kind()));
            return None;
        };
        let mut meant = Vec::new();
        for (key, _) in entries.iter().filter(|(key, _)| !known.contains(&key.text.as_str())) {
            report.unknown(key.at, &format!("key in {name}:"), &key.text, known);
            meant.extend(nearest(&key.text, known.iter().copied()).map(str::to_owned));
        }
        Some(Self { name, at: node.at, entries, meant })
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(k, _)| k.text == key).map(|(_, node)| node)
    }

    /// A value that has to be there.
    pub(super) fn need(&self, key: &str, report: &mut Report) -> Option<&'a Node> {
        let found = self.get(key);
        if found.is_none() && !self.meant.iter().any(|meant| meant == key) {
            report.error(self.at, format!("{} needs `{key}`", self.name));
        }
        found
    }
}

/// Text that is not empty.
pub(super) fn text<'a>(node: &'a Node, what: &str, report: &mut Report) -> Option<&'a str> {
    match node.text() {
        Some(text) if !text.trim().is_empty() => Some(text),
        Some(_) => {
            report.error(node.at, format!("{what} must not be empty"));
            None
        }
        None => {
            report.error(node.at, format!("{what} must be text, not {}", node.kind()));
            None
        }
    }
}

/// A title: a part of lines that end and are told apart by the characters that it must not hold.
pub(super) fn title<'a>(node: &'a Node, report: &mut Report) -> Option<&'a str> {
    let title = text(node, "title", report)?;
    if title.contains(['|', ':']) || title.chars().any(char::is_control) {
        report.error(node.at, "a title holds neither | nor : nor line breaks");
    }
    let length = title.chars().count();
    if length > SHOWN_OF_TITLE {
        let message =
            format!("the title has {length} characters; what explains a score shows the first {SHOWN_OF_TITLE}");
        report.warn(node.at, message, None);
    }
    Some(title)
}

/// One text or a list of texts, each with its place.
pub(super) fn texts<'a>(node: &'a Node, what: &str, report: &mut Report) -> Option<Vec<(Mark, &'a str)>> {
    match &node.value {
        Value::List(items) => {
            let texts: Vec<_> = items.iter().map(|item| Some((item.at, text(item, what, report)?))).collect();
            texts.into_iter().collect()
        }
        Value::Text(_) => Some(vec![(node.at, text(node, what, report)?)]),
        _ => {
            report.error(node.at, format!("{what} must be a list of texts, not {}", node.kind()));
            None
        }
    }
}

/// A length of time in microseconds.
pub(super) fn duration(node: &Node, what: &str, report: &mut Report) -> Option<i64> {
    let read = match &node.value {
        Value::Text(text) => span::parse(text),
        Value::Number(_, text) => {
            Err(format!("needs a unit, as in {}s for seconds", text.trim_start_matches(['-', '+'])))
        }
        _ => Err(format!("must be a length of time, not {}", node.kind())),
    };
    match read {
        Ok(span) => {
            if let Some(count) = node.text().and_then(|text| text.strip_suffix('M')) {
                let months = if span == span::MONTH { "month" } else { "months" };
                let message = format!("{what} {count}M is {count} {months} of 30.44 days; minutes are {count}m");
                report.warn(node.at, message, Some("in days, as in 30d, it cannot be mistaken".to_owned()));
            }
            Some(span)
        }
        Err(message) => {
            report.error(node.at, format!("{what} {message}"));
            None
        }
    }
}

/// A number.
pub(super) fn number(node: &Node, what: &str, report: &mut Report) -> Option<Decimal> {
    match &node.value {
        Value::Number(number, _) => Some(*number),
        _ => {
            report.error(node.at, format!("{what} must be a number, not {}", node.kind()));
            None
        }
    }
}

/// A whole number from 0 to a bound.
pub(super) fn whole(node: &Node, most: i64, what: &str, report: &mut Report) -> Option<i64> {
    let number = number(node, what, report)?;
    match number.to_i64() {
        Some(whole) if Decimal::from(whole) == number && (0..=most).contains(&whole) => Some(whole),
        _ => {
            report.error(node.at, format!("{what} must be a whole number from 0 to {most}"));
            None
        }
    }
}

/// True or false.
pub(super) fn flag(node: &Node, what: &str, report: &mut Report) -> Option<bool> {
    match node.value {
        Value::Bool(flag) => Some(flag),
        _ => {
            report.error(node.at, format!("{what} must be true or false, not {}", node.kind()));
            None
        }
    }
}

/// One word of several.
pub(super) fn word<T: Copy>(node: &Node, what: &str, words: &[(&str, T)], report: &mut Report) -> Option<T> {
    let word = text(node, what, report)?;
    let found = words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value);
    if found.is_none() {
        let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
        match nearest(word, known.iter().copied()) {
            Some(near) => {
                report.error_hint(node.at, format!("unknown {what} {}", quoted(word)), format!("did you mean {near}?"));
            }
            None => {
                report.error_hint(
                    node.at,
                    format!("unknown {what} {}", quoted(word)),
                    format!("known: {}", known.join(", ")),
                );
            }
        }
    }
    found
}
