//! The one place that knows `rsigma-parser`: its grammar of conditions and keys, and its word on whole documents.
//!
//! It sees a document only after our own pass over it, and as JSON written by us: it takes much in silence, and a
//! second YAML reader could read the same bytes differently.

pub(super) use rsigma_parser::{ConditionExpr, Modifier, Quantifier, SelectorPattern, SpecialChar, StringPart};
use rust_decimal::Decimal;

use super::node::{Key, Node, Value};

/// Longest condition in bytes.
const MAX_CONDITION: usize = 16 * 1024;
/// Most parentheses and `not`s inside each other; the grammar is recursive.
const MAX_NESTING: usize = 32;

/// Reads a condition.
///
/// # Errors
/// A sentence.
pub(super) fn condition(text: &str) -> Result<ConditionExpr, String> {
    if text.contains('|') {
        return Err("aggregations after `|` are not Sigma any more; write a correlation".to_owned());
    }
    if text.len() > MAX_CONDITION {
        return Err("a condition has at most 16 KiB".to_owned());
    }
    let (mut open, mut nots, mut deepest) = (0usize, 0usize, 0usize);
    for word in text.replace('(', " ( ").replace(')', " ) ").split_whitespace() {
        match word {
            "(" => open += 1,
            ")" => open = open.saturating_sub(1),
            "not" => nots += 1,
            _ => nots = 0,
        }
        deepest = deepest.max(open + nots);
    }
    if deepest > MAX_NESTING {
        return Err(format!("more than {MAX_NESTING} parentheses and `not`s inside each other"));
    }
    rsigma_parser::parse_condition(text).map_err(|error| {
        let text = error.to_string();
        let cause = text
            .lines()
            .rev()
            .find(|line| line.trim_start().starts_with('='))
            .map(|line| line.trim_start_matches([' ', '=']));
        format!("not a condition: {}", cause.unwrap_or("expected names joined by and, or, not"))
    })
}

/// A key of a selection: its field (none for keywords) and its modifiers.
///
/// # Errors
/// A sentence that names an unknown modifier.
pub(super) fn field_spec(key: &str) -> Result<(Option<String>, Vec<Modifier>), String> {
    if key == "." {
        return Err("array members cannot be addressed".to_owned());
    }
    rsigma_parser::parse_field_spec(key).map(|spec| (spec.name, spec.modifiers)).map_err(|error| error.to_string())
}

/// A text with its wildcards.
pub(super) fn wildcards(text: &str) -> Vec<StringPart> {
    rsigma_parser::SigmaString::new(text).parts
}

/// Whether rsigma reads a document that passed our checks.
///
/// # Errors
/// What it says.
pub(super) fn check(document: &Node) -> Result<(), String> {
    let collection = rsigma_parser::parse_sigma_yaml(&tame(document).canonical()).map_err(|error| error.to_string())?;
    match collection.errors.first() {
        Some(error) => Err(error.clone()),
        None if collection.len() == 1 => Ok(()),
        None => Err("it is no rule".to_owned()),
    }
}

/// The document with whole, not negative numbers in a correlation's condition: rsigma knows no others there, and we have
/// checked them.
fn tame(document: &Node) -> Node {
    let change = |node: &Node, key: &str, change: &dyn Fn(&Node) -> Node| match &node.value {
        Value::Map(entries) => {
            let entries = entries
                .iter()
                .map(|(k, v)| {
                    (Key { at: k.at, text: k.text.clone() }, if k.text == key { change(v) } else { v.clone() })
                })
                .collect();
            Node { at: node.at, value: Value::Map(entries) }
        }
        _ => node.clone(),
    };
    change(document, "correlation", &|correlation| {
        change(correlation, "condition", &|condition| match &condition.value {
            Value::Map(entries) => {
                let entries = entries
                    .iter()
                    .map(|(key, node)| {
                        let value = match &node.value {
                            Value::Number(number, text) => {
                                Value::Number(number.ceil().clamp(Decimal::ZERO, Decimal::from(i64::MAX)), text.clone())
                            }
                            other => other.clone(),
                        };
                        (key.clone(), Node { at: node.at, value })
                    })
                    .collect();
                Node { at: condition.at, value: Value::Map(entries) }
            }
            _ => condition.clone(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        assert!(condition("a and not 1 of b_*").is_ok());
        for (text, message) in [
            ("", "not a condition"),
            ("a and", "not a condition"),
            ("a b", "not a condition"),
            ("a | count() > 5", "aggregations"),
        ] {
            let error = condition(text).expect_err(text);
            assert!(error.contains(message), "{text}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn deep_conditions_are_errors_and_no_crash() {
        for text in
            ["(".repeat(10_000), format!("{}a", "not ".repeat(4_000)), "not(".repeat(3_000), "((a) or ".repeat(900)]
        {
            assert!(condition(&text).is_err());
        }
        let long = vec!["not a"; 1_000].join(" and ");
        assert!(condition(&long).is_ok());
        let deep = format!("{}a{}", "(not ".repeat(16), ")".repeat(16));
        assert!(condition(&deep).is_ok());
    }

    #[test]
    fn modifiers_that_nobody_knows_are_named() {
        assert!(field_spec("a|contians").unwrap_err().contains("contians"));
        assert!(field_spec("a|not").is_err());
    }
}
