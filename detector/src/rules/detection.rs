//! The `detection` section, and a filter's: named selections and the condition that joins them.

use super::expression::Expression;
use super::finding::{Mark, Report, nearest, quoted};
use super::node::{Node, Value};
use super::selection;
use super::sigma::{self, ConditionExpr, Quantifier, SelectorPattern};

/// Most tests of one detection once its condition is written out.
const MAX_SIZE: usize = 20_000;

/// Compiles a section; keys in `besides` are not selections. `None` after an error, which the report has.
pub(super) fn compile(section: &Node, besides: &[&str], report: &mut Report) -> Option<Expression> {
    let Some(entries) = section.map() else {
        report.error(section.at, format!("must be a map of selections with a condition, not {}", section.kind()));
        return None;
    };
    let mut selections = Vec::new();
    let mut condition = None;
    let before = report.errors();
    for (key, node) in entries {
        match key.text.as_str() {
            "condition" => condition = Some(node),
            "timeframe" => report.error_hint(key.at, "a detection has no timeframe", "write a correlation"),
            name if besides.contains(&name) => {}
            name => {
                if let Some(expression) = selection::compile(node, report) {
                    selections.push(Selection { name, expression, used: false });
                }
            }
        }
    }
    let Some(condition) = condition else {
        report.error_hint(section.at, "there is no condition", "as in `condition: selection`");
        return None;
    };
    let texts: Vec<&Node> = match &condition.value {
        Value::Text(_) => vec![condition],
        Value::List(list) if !list.is_empty() => list.iter().collect(),
        _ => {
            report.error(condition.at, format!("a condition is text, not {}", condition.kind()));
            return None;
        }
    };
    if report.errors() > before {
        return None;
    }
    let mut joined = Vec::new();
    for text in texts {
        let Some(source) = text.text() else {
            report.error(text.at, format!("a condition is text, not {}", text.kind()));
            return None;
        };
        let parsed = match sigma::condition(source) {
            Ok(parsed) => parsed,
            Err(message) => {
                report.error(text.at, message);
                return None;
            }
        };
        let mut join = Join { selections: &mut selections, size: 0, at: text.at, report };
        joined.push(join.expression(&parsed)?);
    }
    for (key, _) in entries {
        if selections.iter().any(|selection| selection.name == key.text && !selection.used) {
            report.warn(key.at, format!("the condition does not use {}", quoted(&key.text)), None);
        }
    }
    Some(if joined.len() == 1 { joined.remove(0) } else { Expression::Any(joined) })
}

struct Selection<'a> {
    name: &'a str,
    expression: Expression,
    used: bool,
}

struct Join<'a, 'b> {
    selections: &'b mut Vec<Selection<'a>>,
    size: usize,
    at: Mark,
    report: &'b mut Report,
}

impl Join<'_, '_> {
    fn expression(&mut self, condition: &ConditionExpr) -> Option<Expression> {
        match condition {
            ConditionExpr::And(parts) => Some(Expression::All(self.each(parts)?)),
            ConditionExpr::Or(parts) => Some(Expression::Any(self.each(parts)?)),
            ConditionExpr::Not(part) => Some(Expression::Not(Box::new(self.expression(part)?))),
            ConditionExpr::Identifier(name) => {
                let Some(at) = self.selections.iter().position(|selection| selection.name == name) else {
                    let near = nearest(name, self.selections.iter().map(|selection| selection.name));
                    let message = format!("the condition names {}, which is not there", quoted(name));
                    match near {
                        Some(near) => self.report.error_hint(self.at, message, format!("did you mean {near}?")),
                        None => self.report.error(self.at, message),
                    }
                    return None;
                };
                self.take(at)
            }
            ConditionExpr::Selector { quantifier, pattern } => {
                let found: Vec<usize> =
                    (0..self.selections.len()).filter(|at| selects(pattern, self.selections[*at].name)).collect();
                if found.is_empty() {
                    self.report.error(self.at, format!("`{quantifier} of {pattern}`: nothing has such a name"));
                    return None;
                }
                let parts = found.into_iter().map(|at| self.take(at)).collect::<Option<Vec<_>>>()?;
                match quantifier {
                    Quantifier::Any => Some(Expression::Any(parts)),
                    Quantifier::All => Some(Expression::All(parts)),
                    Quantifier::Count(_) => {
                        self.report.error(self.at, format!("`{quantifier} of`: only `1 of` and `all of` are known"));
                        None
                    }
                }
            }
        }
    }

    fn each(&mut self, parts: &[ConditionExpr]) -> Option<Vec<Expression>> {
        parts.iter().map(|part| self.expression(part)).collect()
    }

    fn take(&mut self, at: usize) -> Option<Expression> {
        let selection = &mut self.selections[at];
        selection.used = true;
        self.size += selection.expression.size();
        if self.size > MAX_SIZE {
            self.report.error(self.at, "the condition, written out, is too long");
            return None;
        }
        Some(selection.expression.clone())
    }
}

/// Whether `1 of …` means a name. `them` leaves out what begins with an underscore.
pub(super) fn selects(pattern: &SelectorPattern, name: &str) -> bool {
    let pattern = match pattern {
        SelectorPattern::Them => return !name.starts_with('_'),
        SelectorPattern::Pattern(pattern) => pattern,
    };
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else {
        return rest.is_empty();
    };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_pattern() {
        for (pattern, name, selected) in [
            ("sel*", "selection", true),
            ("*_main", "sel_main", true),
            ("s*_*n", "sel_main", true),
            ("s*x*n", "sel_main", false),
            ("sel", "sel", true),
            ("sel", "selection", false),
            ("ab*ba", "aba", false),
            ("_*", "_x", true),
        ] {
            assert_eq!(selects(&SelectorPattern::Pattern(pattern.into()), name), selected, "{pattern} {name}");
        }
        assert!(selects(&SelectorPattern::Them, "a") && !selects(&SelectorPattern::Them, "_a"));
    }
}
