//! The type of a correlation and its condition: what is compared with what.

use rust_decimal::Decimal;

use super::correlation::fields as named;
use super::detection::selects;
use super::field::Field;
use super::finding::{Mark, Report, nearest, quoted};
use super::limits::{MOST_COUNTED, too_many};
use super::model::{Comparison, Condition, Kind, Presence};
use super::node::{Node, Value};
use super::section::{self, Section};
use super::sigma::{self, ConditionExpr, Quantifier, WHOLE};

/// Largest count that a condition may ask for.
const MAX_COUNT: i64 = 1_000_000_000;

/// Types of correlation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    EventCount,
    ValueCount,
    Temporal,
    TemporalOrdered,
    Sum,
    Average,
    Percentile,
}

impl Type {
    /// Whether it counts; otherwise it looks at numbers of the events.
    pub(super) fn counts(self) -> bool {
        !matches!(self, Self::Sum | Self::Average | Self::Percentile)
    }
}

/// Types as Sigma writes them.
pub(super) const TYPES: [(&str, Type); 7] = [
    ("event_count", Type::EventCount),
    ("value_count", Type::ValueCount),
    ("temporal", Type::Temporal),
    ("temporal_ordered", Type::TemporalOrdered),
    ("value_sum", Type::Sum),
    ("value_avg", Type::Average),
    ("value_percentile", Type::Percentile),
];

/// Comparisons as Sigma writes them.
const COMPARISONS: [(&str, Comparison); 6] = [
    ("gt", Comparison::Greater),
    ("gte", Comparison::AtLeast),
    ("lt", Comparison::Less),
    ("lte", Comparison::AtMost),
    ("eq", Comparison::Equal),
    ("neq", Comparison::NotEqual),
];

/// Of so many rules each combination is tried.
const FEW_RULES: usize = 10;

/// The kind with its fields, and what is compared.
pub(super) fn read(
    kind: Type,
    node: Option<&Node>,
    section: Mark,
    rules: &[(Mark, String)],
    report: &mut Report,
) -> Option<(Kind, Condition)> {
    let count = Decimal::from(rules.len());
    let all = Condition(vec![(Comparison::AtLeast, count)]);
    let node = match (node, kind) {
        (None, Type::Temporal) => return Some((Kind::Temporal(None), all)),
        (None, Type::TemporalOrdered) => return Some((Kind::TemporalOrdered, all)),
        (None, _) => {
            report.error_hint(section, "correlation needs `condition`", "as in {gte: 5}");
            return None;
        }
        (Some(node), _) => node,
    };
    if let Value::Text(text) = &node.value {
        return text_condition(kind, text, node.at, rules, report);
    }
    let (before, counts) = (report.errors(), kind.counts());
    let known = ["gt", "gte", "lt", "lte", "eq", "neq", "field", "percentile"];
    let section = Section::open("condition", node, &known, report)?;
    let condition = comparisons(&section, kind, node, before, report);
    let kind = with_fields(&section, kind, node, report);
    if report.errors() > before {
        return None;
    }
    let (kind, condition) = (kind?, condition);
    let nothing_known = matches!(kind, Kind::ValueAvg(_) | Kind::ValuePercentile(..));
    if !nothing_known && condition.holds(Decimal::ZERO) {
        report.error_hint(
            node.at,
            "no events at all would satisfy this condition, and nothing happens at no moment",
            "ask for something, as in {gte: 1}",
        );
        return None;
    }
    if !can_hold(&condition, counts) {
        let what = if counts { "whole number from 1 on" } else { "number" };
        report.error(node.at, format!("this can never hold: no {what} passes {}", told(&condition)));
        return None;
    }
    match kind {
        Kind::TemporalOrdered => {
            let exactly = condition.0.as_slice();
            let asks_for_all = matches!(exactly, [(Comparison::AtLeast | Comparison::Equal, bound)] if *bound == count)
                || matches!(exactly, [(Comparison::Greater, bound)] if *bound == count - Decimal::ONE);
            if !asks_for_all {
                report.error_hint(
                    node.at,
                    "temporal_ordered can only ask for all of its rules",
                    "leave the condition out",
                );
                return None;
            }
            Some((kind, all))
        }
        Kind::Temporal(_) if !(1..=rules.len()).any(|n| condition.holds(Decimal::from(n))) => {
            report.error(node.at, format!("this can never hold: there are {count} rules"));
            None
        }
        _ => Some((kind, condition)),
    }
}

fn comparisons(section: &Section<'_>, kind: Type, node: &Node, before: usize, report: &mut Report) -> Condition {
    let counts = kind.counts();
    let mut read = Vec::new();
    for (key, comparison) in COMPARISONS {
        let Some(node) = section.get(key) else {
            continue;
        };
        let bound = if counts {
            count(kind, key, node, report)
        } else {
            let bound = section::number(node, key, report);
            let known = Decimal::ZERO..=Decimal::from(WHOLE.1);
            if bound.is_some_and(|bound| !known.contains(&bound) || !bound.fract().is_zero()) {
                let hint = "this build takes it as it is written";
                report.warn(
                    node.at,
                    "other readers of Sigma know whole numbers from 0 only here",
                    Some(hint.to_owned()),
                );
            }
            bound
        };
        if let Some(bound) = bound {
            read.push((comparison, bound.normalize()));
        }
    }
    // What was meant to compare and is wrong is told already.
    if read.is_empty() && report.errors() == before {
        report.error_hint(node.at, "the condition compares nothing", "one of gt, gte, lt, lte, eq, neq");
    }
    Condition(read)
}

/// Whether some value passes every comparison: a number, or, of counts, a whole one from 1 on.
fn can_hold(condition: &Condition, counts: bool) -> bool {
    let mut bounds: Vec<Decimal> = condition.0.iter().map(|(_, bound)| *bound).collect();
    bounds.sort_unstable();
    let holds = |value: Decimal| condition.holds(value);
    if counts {
        // What passes is a range, of which `neq` may leave out one: if there is any, some is at a bound or soon after it.
        bounds.push(Decimal::ONE);
        let near = bounds.into_iter().flat_map(|bound| [0, 1, 2].map(|more| bound + Decimal::from(more)));
        return near.filter(|value| *value >= Decimal::ONE).any(holds);
    }
    // Between two neighbouring bounds, and beyond the last, all numbers fare alike.
    let two = Decimal::TWO;
    let between = bounds.windows(2).any(|pair| holds(pair[0] / two + pair[1] / two));
    // Sums go beyond all bounds that can be written.
    let below = bounds.first().and_then(|least| least.checked_sub(Decimal::ONE)).is_none_or(holds);
    let above = bounds.last().and_then(|most| most.checked_add(Decimal::ONE)).is_none_or(holds);
    between || below || above || bounds.iter().any(|bound| holds(*bound))
}

/// Its comparisons as they are written: `gte 3 and lt 2`.
fn told(condition: &Condition) -> String {
    let name = |wanted| COMPARISONS.iter().find(|(_, known)| *known == wanted).map_or("", |(name, _)| *name);
    let each: Vec<String> =
        condition.0.iter().map(|(comparison, bound)| format!("{} {bound}", name(*comparison))).collect();
    match each.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => each.concat(),
    }
}

/// A bound of a count. What a key cannot hold is refused: the rule would never fire, or always.
fn count(kind: Type, key: &str, node: &Node, report: &mut Report) -> Option<Decimal> {
    let count = section::whole(node, MAX_COUNT, key, report)?;
    let most = i64::from(MOST_COUNTED);
    if matches!(kind, Type::EventCount | Type::ValueCount) {
        if count > most {
            report.error_hint(node.at, too_many(key), "ask for fewer within a shorter timespan, or sum a field");
            return None;
        }
        if matches!(key, "gt" | "gte" | "eq") && 8 * count > most {
            let message = format!("alerts notify again at 2, 4 and 8 times {key}, but not beyond {MOST_COUNTED}");
            report.warn(node.at, message, None);
        }
    }
    Some(Decimal::from(count))
}

fn with_fields(section: &Section<'_>, kind: Type, node: &Node, report: &mut Report) -> Option<Kind> {
    let percentile = match (section.get("percentile"), kind) {
        (Some(node), Type::Percentile) => {
            let rank = section::number(node, "percentile", report)?;
            if rank.is_sign_negative() || rank > Decimal::ONE_HUNDRED {
                report.error(node.at, "percentile must be from 0 to 100");
            }
            rank
        }
        (Some(node), _) => {
            report.error(node.at, "percentile belongs to value_percentile");
            return None;
        }
        (None, _) => Decimal::from(50),
    };
    let fields = section.get("field");
    if matches!(kind, Type::EventCount | Type::Temporal | Type::TemporalOrdered) {
        if let Some(node) = fields {
            report.error_hint(node.at, "this type counts no field", "value_count counts different values of one");
        }
        return Some(match kind {
            Type::Temporal => Kind::Temporal(None),
            Type::TemporalOrdered => Kind::TemporalOrdered,
            _ => Kind::EventCount,
        });
    }
    let Some(fields) = fields else {
        report.error_hint(node.at, "the condition needs `field`", "as in {field: resource, gte: 5}");
        return None;
    };
    let mut fields: Vec<Field> = named(fields, "field", report)?.iter().map(|(_, name)| Field::resolve(name)).collect();
    if kind == Type::ValueCount {
        return Some(Kind::ValueCount(fields));
    }
    if fields.len() > 1 {
        report.error(node.at, "this type takes one field");
        return None;
    }
    let field = fields.pop()?;
    Some(match kind {
        Type::Sum => Kind::ValueSum(field),
        Type::Average => Kind::ValueAvg(field),
        _ => Kind::ValuePercentile(field, percentile),
    })
}

fn text_condition(
    kind: Type,
    text: &str,
    at: Mark,
    rules: &[(Mark, String)],
    report: &mut Report,
) -> Option<(Kind, Condition)> {
    if !matches!(kind, Type::Temporal | Type::TemporalOrdered) {
        report.error_hint(at, "only temporal conditions are written as text", "as in {gte: 5}");
        return None;
    }
    let parsed = match sigma::condition(text) {
        Ok(parsed) => parsed,
        Err(message) => {
            report.error(at, message);
            return None;
        }
    };
    let presence = presence(&parsed, at, rules, report)?;
    if holds(&presence, &|_| false) {
        report.error_hint(
            at,
            "no events at all would satisfy this condition, and nothing happens at no moment",
            "ask for one rule that is there, as in `a and not b`",
        );
        return None;
    }
    if rules.len() <= FEW_RULES
        && !(0..1_u32 << rules.len()).any(|there| holds(&presence, &|rule| there >> rule & 1 == 1))
    {
        report.error(at, "this can never hold, whichever of the rules are in the window");
        return None;
    }
    if kind == Type::Temporal {
        return Some((Kind::Temporal(Some(presence)), Condition(Vec::new())));
    }
    // All of them: it holds with all, and without any one of them it does not.
    let needs_all = holds(&presence, &|_| true) && (0..rules.len()).all(|one| !holds(&presence, &|rule| rule != one));
    if !needs_all || contains_not(&presence) {
        report.error_hint(at, "temporal_ordered can only ask for all of its rules", "leave the condition out");
        return None;
    }
    Some((Kind::TemporalOrdered, Condition(vec![(Comparison::AtLeast, Decimal::from(rules.len()))])))
}

fn presence(condition: &ConditionExpr, at: Mark, rules: &[(Mark, String)], report: &mut Report) -> Option<Presence> {
    let mut each = |parts: &[ConditionExpr]| -> Option<Vec<Presence>> {
        parts.iter().map(|part| presence(part, at, rules, report)).collect()
    };
    match condition {
        ConditionExpr::And(parts) => Some(Presence::And(each(parts)?)),
        ConditionExpr::Or(parts) => Some(Presence::Or(each(parts)?)),
        ConditionExpr::Not(part) => Some(Presence::Not(Box::new(presence(part, at, rules, report)?))),
        ConditionExpr::Identifier(name) => match rules.iter().position(|(_, rule)| rule == name) {
            Some(rule) => Some(Presence::Rule(rule)),
            None => {
                let message = format!("the condition names {}, which is not among the rules", quoted(name));
                match nearest(name, rules.iter().map(|(_, rule)| rule.as_str())) {
                    Some(near) => report.error_hint(at, message, format!("did you mean {near}?")),
                    None => report.error(at, message),
                }
                None
            }
        },
        ConditionExpr::Selector { quantifier, pattern } => {
            let found = rules.iter().enumerate().filter(|(_, (_, name))| selects(pattern, name));
            let found: Vec<Presence> = found.map(|(rule, _)| Presence::Rule(rule)).collect();
            match quantifier {
                _ if found.is_empty() => {
                    report.error(at, format!("`{quantifier} of {pattern}`: no rule has such a name"));
                    None
                }
                Quantifier::Any => Some(Presence::Or(found)),
                Quantifier::All => Some(Presence::And(found)),
                Quantifier::Count(_) => {
                    report.error(at, format!("`{quantifier} of`: only `1 of` and `all of` are known"));
                    None
                }
            }
        }
    }
}

fn holds(presence: &Presence, there: &dyn Fn(usize) -> bool) -> bool {
    match presence {
        Presence::Rule(rule) => there(*rule),
        Presence::And(parts) => parts.iter().all(|part| holds(part, there)),
        Presence::Or(parts) => parts.iter().any(|part| holds(part, there)),
        Presence::Not(part) => !holds(part, there),
    }
}

fn contains_not(presence: &Presence) -> bool {
    match presence {
        Presence::Rule(_) => false,
        Presence::And(parts) | Presence::Or(parts) => parts.iter().any(contains_not),
        Presence::Not(_) => true,
    }
}
