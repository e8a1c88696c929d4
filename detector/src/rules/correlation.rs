//! The `correlation` section: what can be said of it without looking at the rules that it names.

use std::collections::HashSet;

use super::condition::{self, TYPES};
use super::field::Field;
use super::finding::{Mark, Report, quoted};
use super::model::{Condition, Kind};
use super::node::{Key, Node};
use super::section::{self, Section};

const KEYS: [&str; 7] = ["type", "rules", "group-by", "timespan", "condition", "aliases", "generate"];

/// Most fields of a key, or of a value that is counted.
const MAX_FIELDS: usize = 16;

/// A correlation whose references are names still.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) kind: Kind,
    pub(super) rules: Vec<(Mark, String)>,
    pub(super) group_by: Vec<(Mark, String)>,
    pub(super) aliases: Vec<Alias>,
    pub(super) timespan: i64,
    pub(super) condition: Condition,
    pub(super) generate: bool,
    /// Everything but the references, as one text.
    pub(super) canonical: String,
}

/// One name for a part of the key that the rules call differently.
#[derive(Debug, Clone)]
pub(super) struct Alias {
    pub(super) at: Mark,
    pub(super) name: String,
    /// Rule as written → its field.
    pub(super) fields: Vec<(Mark, String, Field)>,
}

/// Reads the section; `generate` is what the document says beside it.
pub(super) fn read(node: &Node, generate: Option<&Node>, report: &mut Report) -> Option<Draft> {
    for (key, _) in node.map().unwrap_or_default() {
        match key.text.as_str() {
            "window" | "gap" => {
                report.error(key.at, "windows are (t - timespan, t] and nothing else; other kinds are not supported");
                return None;
            }
            "analytics" => {
                report.error_hint(key.at, "analytics stands at the top of the document", "move it out of correlation");
                return None;
            }
            "timeframe" => {
                report.error_hint(key.at, "unknown key in correlation: `timeframe`", "did you mean timespan?");
                return None;
            }
            _ => {}
        }
    }
    let section = Section::open("correlation", node, &KEYS, report)?;
    let kind = section.need("type", report).and_then(|node| section::word(node, "type", &TYPES, report));
    let rules = section.need("rules", report).and_then(|node| names(node, "rules", report));
    let group_by = match section.get("group-by") {
        None => Some(Vec::new()),
        Some(node) => fields(node, "group-by", report),
    };
    let timespan = section.need("timespan", report).and_then(|node| section::duration(node, "timespan", report));
    let aliases = section.get("aliases").map_or_else(|| Some(Vec::new()), |node| aliases(node, report));
    let flag = |node, report: &mut Report| section::flag(node, "generate", report);
    let generate = match (generate, section.get("generate")) {
        (Some(node), Some(inner)) if node.value != inner.value => {
            report.error(inner.at, "generate is said twice, and differently");
            None
        }
        (Some(node), _) | (None, Some(node)) => flag(node, report),
        (None, None) => Some(false),
    };
    let (kind, rules) = (kind?, rules?);
    let (kind, condition) = condition::read(kind, section.get("condition"), node.at, &rules, report)?;
    let (group_by, aliases) = (group_by?, aliases?);
    for alias in &aliases {
        if !group_by.iter().any(|(_, name)| *name == alias.name) {
            report.warn(alias.at, format!("group-by does not use the alias {}", quoted(&alias.name)), None);
        }
    }
    let canonical = ["type", "group-by", "timespan", "condition", "aliases"]
        .map(|key| section.get(key).map(Node::canonical).unwrap_or_default())
        .join("\n");
    Some(Draft { kind, rules, group_by, aliases, timespan: timespan?, condition, generate: generate?, canonical })
}

/// A list of different names, not empty.
pub(super) fn names(node: &Node, what: &str, report: &mut Report) -> Option<Vec<(Mark, String)>> {
    let names = section::texts(node, what, report)?;
    if names.is_empty() {
        report.error(node.at, format!("{what} is empty"));
        return None;
    }
    let mut seen = HashSet::new();
    for (mark, name) in &names {
        if !seen.insert(*name) {
            report.error(*mark, format!("{} stands in {what} twice", quoted(name)));
            return None;
        }
    }
    Some(names.into_iter().map(|(at, name)| (at, name.to_owned())).collect())
}

/// Names of fields: few, as each costs for every event.
pub(super) fn fields(node: &Node, what: &str, report: &mut Report) -> Option<Vec<(Mark, String)>> {
    let names = names(node, what, report)?;
    if names.len() > MAX_FIELDS {
        report.error(node.at, format!("{what} has at most {MAX_FIELDS} fields"));
        return None;
    }
    Some(names)
}

fn aliases(node: &Node, report: &mut Report) -> Option<Vec<Alias>> {
    let Some(entries) = node.map() else {
        report.error(node.at, format!("aliases must be a map, not {}", node.kind()));
        return None;
    };
    let alias = |name: &Key, node: &Node, report: &mut Report| {
        let Some(rules) = node.map().filter(|rules| !rules.is_empty()) else {
            report.error_hint(
                node.at,
                "an alias maps each rule to a field",
                "as in {first_rule: user, other_rule: target_user}",
            );
            return None;
        };
        let fields: Vec<_> = rules
            .iter()
            .map(|(rule, field)| {
                Some((rule.at, rule.text.clone(), Field::resolve(section::text(field, "field", report)?)))
            })
            .collect();
        Some(Alias { at: name.at, name: name.text.clone(), fields: fields.into_iter().collect::<Option<_>>()? })
    };
    let read: Vec<_> = entries.iter().map(|(name, node)| alias(name, node, report)).collect();
    read.into_iter().collect()
}
