//! The one place that knows `rsigma-parser`: its grammar of conditions and keys, and its word on whole documents.
//!
//! It sees a document only after our own pass over it, and as JSON written by us: it takes much in silence, and a
//! second YAML reader could read the same bytes differently.

use rsigma_parser::SigmaParserError;
pub(super) use rsigma_parser::{ConditionExpr, Modifier, Quantifier, SelectorPattern, SpecialChar, StringPart};
use rust_decimal::Decimal;

use super::finding::quoted;
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
    rsigma_parser::parse_condition(text).map_err(|error| format!("not a condition: {}", fault(text, &error)))
}

/// What is wrong with a condition: the parser speaks of its grammar, and of the place rightly.
fn fault(text: &str, error: &SigmaParserError) -> String {
    const JOINED: &str = "names are joined by and, or, not, as in `selection and not 1 of filter_*`";
    let mut open = 0_usize;
    for sign in text.chars() {
        match sign {
            '(' => open += 1,
            ')' if open == 0 => return "a parenthesis is closed that was not opened".to_owned(),
            ')' => open -= 1,
            _ => {}
        }
    }
    if open > 0 {
        return match open {
            1 => "a parenthesis is not closed".to_owned(),
            open => format!("{open} parentheses are not closed"),
        };
    }
    if let Some(word) = text.split([' ', '\t', '\n', '(', ')']).find(|word| ["AND", "OR", "NOT"].contains(word)) {
        return format!("{} is written in small letters", quoted(word));
    }
    let Some(at) = error.location() else {
        return JOINED.to_owned();
    };
    let (line, column) = (at.line.saturating_sub(1) as usize, at.col.saturating_sub(1) as usize);
    let rest: String = text.split('\n').nth(line).unwrap_or_default().chars().skip(column).collect();
    match rest.split_whitespace().next() {
        Some(word) => format!("{} cannot stand where it does; {JOINED}", quoted(word)),
        None if text.trim().is_empty() => "it is empty, and should be as in `selection`".to_owned(),
        None => format!("something is missing at its end; {JOINED}"),
    }
}

/// What is wrong with a key of a selection.
#[derive(Debug)]
pub(super) enum KeyFault {
    /// A modifier that nobody knows.
    Unknown(String),
    /// Anything else, in a sentence.
    Other(String),
}

/// A key of a selection: its field (none for keywords) and its modifiers.
///
/// # Errors
/// What is wrong with it.
pub(super) fn field_spec(key: &str) -> Result<(Option<String>, Vec<Modifier>), KeyFault> {
    if key == "." {
        return Err(KeyFault::Other("array members cannot be addressed".to_owned()));
    }
    rsigma_parser::parse_field_spec(key).map(|spec| (spec.name, spec.modifiers)).map_err(|error| match error {
        SigmaParserError::UnknownModifier(name) => KeyFault::Unknown(name),
        error => KeyFault::Other(error.to_string()),
    })
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
    let wrong = |error: String| format!("other readers of Sigma refuse this document: {error}");
    let collection = rsigma_parser::parse_sigma_yaml(&tame(document, false).canonical())
        .map_err(|error| wrong(error.to_string()))?;
    match collection.errors.first() {
        Some(error) => Err(wrong(error.clone())),
        None if collection.len() == 1 => Ok(()),
        None => Err("it is no rule".to_owned()),
    }
}

/// The smallest and the largest whole number that other readers know.
pub(super) const WHOLE: (i64, u64) = (i64::MIN, u64::MAX);

/// The document with numbers that rsigma knows, as we have checked ours: none beyond 64 bits, and in a correlation whole
/// ones that are not negative.
fn tame(node: &Node, in_correlation: bool) -> Node {
    let value = match &node.value {
        Value::Number(number, text) if in_correlation => {
            Value::Number(number.ceil().clamp(Decimal::ZERO, Decimal::from(i64::MAX)), text.clone())
        }
        Value::Number(number, text) => {
            Value::Number((*number).clamp(Decimal::from(WHOLE.0), Decimal::from(WHOLE.1)), text.clone())
        }
        Value::List(items) => Value::List(items.iter().map(|item| tame(item, in_correlation)).collect()),
        Value::Map(entries) => {
            let inside = |key: &Key| in_correlation || key.text == "correlation";
            Value::Map(entries.iter().map(|(key, value)| (key.clone(), tame(value, inside(key)))).collect())
        }
        other => other.clone(),
    };
    Node { at: node.at, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        assert!(condition("a and not 1 of b_*").is_ok());
        for (text, message) in [
            ("", "not a condition: it is empty"),
            ("a and", "not a condition: something is missing at its end"),
            ("a b", "not a condition: `b` cannot stand where it does"),
            ("a and\n or b", "not a condition: `or` cannot stand"),
            ("sel*", "not a condition: `*` cannot stand"),
            ("a AND b", "`AND` is written in small letters"),
            ("(a", "not a condition: a parenthesis is not closed"),
            ("((a) or (b and c", "not a condition: 2 parentheses are not closed"),
            ("a) or b", "a parenthesis is closed that was not opened"),
            ("a | count() > 5", "aggregations"),
        ] {
            let error = condition(text).expect_err(text);
            assert!(error.contains(message), "{text}: {error}");
            assert!(!error.contains('\n') && !error.contains("_op"), "{error}");
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
        assert!(matches!(field_spec("a|contians"), Err(KeyFault::Unknown(name)) if name == "contians"));
        assert!(matches!(field_spec("a|not"), Err(KeyFault::Other(_))));
    }
}
