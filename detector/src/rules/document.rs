//! One document of a rule file: the strict pass over its top level, then its section.

use domain::Severity;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::analytics::{self, Analytics, LEVELS, On};
use super::condition::TYPES;
use super::correlation;
use super::detection;
use super::expression::Expression;
use super::finding::{Mark, Report, nearest, quoted};
use super::model::Kind;
use super::node::{Node, Value};
use super::section;
use super::sigma::{self, WHOLE};

/// A document whose own text is in order; its references are names still.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) file: String,
    pub(super) at: Mark,
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) level: Severity,
    pub(super) tags: Vec<String>,
    pub(super) false_positives: Vec<String>,
    pub(super) analytics: Analytics,
    pub(super) draft: Draft,
}

impl Document {
    /// What others may call it: its id, and its name where that is another.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let name = self.name.as_deref().filter(|name| *name != self.id);
        std::iter::once(self.id.as_str()).chain(name)
    }

    /// What it calls others.
    pub(super) fn refers_to(&self) -> impl Iterator<Item = &str> {
        let names: &[(Mark, String)] = match &self.draft {
            Draft::Detection { .. } => &[],
            Draft::Filter { rules, .. } => rules,
            Draft::Correlation(draft) => &draft.rules,
        };
        names.iter().map(|(_, name)| name.as_str())
    }
}

/// The three kinds of documents.
#[derive(Debug, Clone)]
pub(super) enum Draft {
    Detection { expression: Expression, canonical: String },
    Filter { rules: Vec<(Mark, String)>, expression: Expression, canonical: String },
    Correlation(correlation::Draft),
}

const TEXTS: [&str; 9] = ["title", "id", "name", "status", "description", "license", "author", "taxonomy", "level"];
const DATES: [&str; 2] = ["date", "modified"];
const LISTS: [&str; 5] = ["references", "fields", "falsepositives", "tags", "scope"];
const OTHERS: [&str; 4] = ["related", "custom_attributes", "sigma-version", "analytics"];
const RELATED: [(&str, ()); 6] =
    [("derived", ()), ("obsolete", ()), ("merged", ()), ("renamed", ()), ("similar", ()), ("correlation", ())];
const STATUS: [(&str, ()); 5] =
    [("stable", ()), ("test", ()), ("experimental", ()), ("deprecated", ()), ("unsupported", ())];

/// Reads a document; `None` after an error, which the report has.
pub(super) fn read(node: &Node, file: &str, report: &mut Report) -> Option<Document> {
    let before = report.errors();
    let Some(entries) = node.map() else {
        report.error(node.at, format!("a rule is a map, not {}", node.kind()));
        return None;
    };
    let section = kind_of(node, report)?;
    for (key, value) in entries {
        check_key(&key.text, key.at, value, section, report);
    }
    let title = match node.get("title") {
        Some(title) => section::title(title, report),
        None => {
            report.error(node.at, "there is no title");
            None
        }
    };
    let id = node.get("id").and_then(|node| read_id(node, report));
    let name = node.get("name").and_then(|node| section::text(node, "name", report)).map(str::to_owned);
    let level = node.get("level").map_or(Some(Severity::Medium), |node| section::word(node, "level", &LEVELS, report));
    let level = level.unwrap_or_default();
    let analytics = match (node.get("analytics"), section) {
        (None, _) => Analytics::default(),
        (Some(node), "detection") => analytics::read(node, On::Detection, true, level, report),
        (Some(analytics), "correlation") => analytics::read(analytics, On::Correlation, counts(node), level, report),
        (Some(node), _) => {
            report.error(node.at, "a filter has no analytics: it only leaves events out");
            Analytics::default()
        }
    };
    let body = node.get(section)?;
    let draft = match section {
        "detection" => {
            logsource(node, report);
            let expression = detection::compile(body, &[], report);
            expression.map(|expression| Draft::Detection { expression, canonical: body.canonical() })
        }
        "correlation" => correlation::read(body, node.get("generate"), report).map(Draft::Correlation),
        _ => filter(body, report),
    };
    if report.errors() == before {
        [section, "analytics"].iter().filter_map(|key| node.get(key)).for_each(|node| whole_numbers(node, report));
    }
    if let (Some(Draft::Correlation(draft)), Some(node)) = (&draft, node.get("analytics")) {
        of_temporal(draft, &analytics, node.at, report);
    }
    if report.errors() > before {
        return None;
    }
    if let Err(message) = sigma::check(node) {
        report.error(node.at, message);
        return None;
    }
    let texts = |key: &str| -> Vec<String> {
        match node.get(key).map(|node| &node.value) {
            Some(Value::List(items)) => items.iter().filter_map(|item| item.text().map(str::to_owned)).collect(),
            Some(Value::Text(text)) => vec![text.clone()],
            _ => Vec::new(),
        }
    };
    let title = title?.to_owned();
    Some(Document {
        file: file.to_owned(),
        at: node.at,
        id: id.or_else(|| name.clone()).unwrap_or_else(|| title.clone()),
        name,
        title,
        description: node.get("description").and_then(Node::text).unwrap_or_default().to_owned(),
        level,
        tags: texts("tags"),
        false_positives: texts("falsepositives"),
        analytics,
        draft: draft?,
    })
}

/// What a correlation of which rules there are cannot say: its value is their number.
fn of_temporal(draft: &correlation::Draft, analytics: &Analytics, at: Mark, report: &mut Report) {
    if analytics.baseline.is_some() && matches!(draft.kind, Kind::TemporalOrdered) {
        let message = "baseline compares a value, and temporal_ordered has none: it never holds";
        report.error_hint(at, message, "leave `baseline` out");
    }
    let rules = Decimal::from(draft.rules.len());
    if matches!(draft.kind, Kind::Temporal(_) | Kind::TemporalOrdered)
        && analytics.escalate.iter().any(|(step, _)| *step > rules)
    {
        report.warn(at, format!("there are {rules} rules, so the severity does not rise at more"), None);
    }
}

/// Whether a correlation counts; one whose type is unknown is refused for that.
fn counts(node: &Node) -> bool {
    let word = node.get("correlation").and_then(|section| section.get("type")).and_then(Node::text);
    TYPES.iter().find(|(name, _)| Some(*name) == word).is_none_or(|(_, kind)| kind.counts())
}

/// The section that says what kind of rule it is.
fn kind_of(node: &Node, report: &mut Report) -> Option<&'static str> {
    let found: Vec<&'static str> =
        ["detection", "correlation", "filter"].into_iter().filter(|key| node.get(key).is_some()).collect();
    match found.as_slice() {
        [one] => Some(one),
        [] => {
            let near = node.map().unwrap_or_default().iter().find_map(|(key, _)| {
                Some((key.at, nearest(&key.text, ["detection", "correlation", "filter"].into_iter())?))
            });
            match near {
                Some((at, near)) => report.error_hint(at, "no kind of rule", format!("did you mean {near}?")),
                None => report.error(node.at, "a rule has one of detection, correlation and filter; this has none"),
            }
            None
        }
        [_, second, ..] => {
            let at = node.get(second).map_or(node.at, |node| node.at);
            report.error_hint(
                at,
                format!("{} in one document", found.join(" and ")),
                "write two, with --- between them",
            );
            None
        }
    }
}

fn check_key(key: &str, at: Mark, value: &Node, section: &str, report: &mut Report) {
    if TEXTS.contains(&key) {
        if key == "status" {
            section::word(value, "status", &STATUS, report);
        } else if !matches!(key, "title" | "id" | "name" | "level") && value.text().is_none() {
            report.error(value.at, format!("{key} must be text, not {}", value.kind()));
        }
        return;
    }
    if DATES.contains(&key) {
        if !matches!(value.value, Value::Text(_) | Value::Number(..)) {
            report.error(value.at, format!("{key} must be a date, not {}", value.kind()));
        }
        return;
    }
    if LISTS.contains(&key) {
        section::texts(value, key, report);
        return;
    }
    match key {
        "related" => related(value, report),
        "custom_attributes" => custom_attributes(value, report),
        "sigma-version" => version(value, report),
        "analytics" => {}
        "action" => report.error_hint(at, "collection actions are not supported", "write each rule out"),
        "logsource" if section != "correlation" => {}
        "generate" if section == "correlation" => {}
        "generate" => {
            let message = format!("`generate` says something of a correlation; a {section} has none");
            report.warn(at, message, Some("it stands beside `correlation`, whose rules then alert as well".to_owned()));
        }
        "logsource" => {
            let message = "a correlation has no `logsource`; the rules that it names have theirs".to_owned();
            report.warn(at, message, None);
        }
        key if key == section => {}
        key if changes_windows(key) => report.error(at, format!("{} would change what the window means", quoted(key))),
        key if inside(section).contains(&key) => {
            report.warn(at, format!("{} stands under `{section}`; here it changes nothing", quoted(key)), None);
        }
        key => {
            let all = TEXTS.iter().chain(&DATES).chain(&LISTS).chain(&OTHERS).copied();
            let own = if section == "correlation" { "generate" } else { "logsource" };
            let near = nearest(key, all.chain([section, own]));
            report.warn(
                at,
                format!("unknown key {}, which changes nothing", quoted(key)),
                near.map(|near| format!("did you mean {near}?")),
            );
        }
    }
}

/// Keys that belong into a section.
fn inside(section: &str) -> &'static [&'static str] {
    match section {
        "correlation" => &["type", "rules", "group-by", "timespan", "condition", "aliases"],
        "filter" => &["rules", "condition"],
        _ => &["condition"],
    }
}

/// Keys of other engines that make another window of `timespan`.
fn changes_windows(key: &str) -> bool {
    let Some(extension) = key.strip_prefix("rsigma.") else {
        return false;
    };
    ["window", "gap", "timespan", "timeframe", "tumbling", "session", "sliding", "max_span"]
        .iter()
        .any(|word| extension.contains(word))
}

fn related(node: &Node, report: &mut Report) {
    let Value::List(items) = &node.value else {
        report.error(node.at, format!("related must be a list, not {}", node.kind()));
        return;
    };
    for item in items {
        if let Some(section) = section::Section::open("related", item, &["id", "type"], report) {
            if let Some(id) = section.need("id", report) {
                section::text(id, "id", report);
            }
            if let Some(kind) = section.need("type", report) {
                section::word(kind, "type of `related`", &RELATED, report);
            }
        }
    }
}

/// Whole numbers that other readers of Sigma refuse, and the whole file with them. What stands under a key that nobody
/// knows changes nothing.
fn whole_numbers(node: &Node, report: &mut Report) {
    match &node.value {
        Value::Number(number, text) => {
            let whole = !text.contains(['.', 'e', 'E']);
            if whole && !(Decimal::from(WHOLE.0)..=Decimal::from(WHOLE.1)).contains(number) {
                report.error_hint(
                    node.at,
                    format!("the whole number {} is beyond 64 bits, which other readers of Sigma refuse", quoted(text)),
                    format!("from {} to {}; in quotes it is text", WHOLE.0, WHOLE.1),
                );
            }
        }
        Value::List(items) => items.iter().for_each(|item| whole_numbers(item, report)),
        Value::Map(entries) => entries.iter().for_each(|(_, value)| whole_numbers(value, report)),
        Value::Null | Value::Bool(_) | Value::Text(_) => {}
    }
}

fn custom_attributes(node: &Node, report: &mut Report) {
    let Some(entries) = node.map() else {
        report.error(node.at, format!("custom_attributes must be a map, not {}", node.kind()));
        return;
    };
    for (key, _) in entries {
        if key.text == "analytics" {
            report.error_hint(key.at, "analytics is no custom attribute", "write it at the top of the document");
        } else if changes_windows(&key.text) {
            report.error(key.at, format!("{} would change what the window means", quoted(&key.text)));
        }
    }
}

fn version(node: &Node, report: &mut Report) {
    let text = match &node.value {
        Value::Text(text) | Value::Number(_, text) => text.as_str(),
        _ => "",
    };
    let major = text.trim_start_matches('v').split('.').next().unwrap_or_default();
    if !matches!(major, "1" | "2") {
        report.error(node.at, "this build reads Sigma 2");
    }
}

fn logsource(node: &Node, report: &mut Report) {
    let Some(logsource) = node.get("logsource") else {
        report.error_hint(
            node.at,
            "there is no logsource",
            "logsource: {category: activity, product: security-analytics}",
        );
        return;
    };
    let Some(entries) = logsource.map() else {
        report.error(logsource.at, format!("logsource must be a map, not {}", logsource.kind()));
        return;
    };
    for (key, value) in entries {
        section::text(value, &key.text, report);
    }
}

fn filter(body: &Node, report: &mut Report) -> Option<Draft> {
    let Some(rules) = body.get("rules") else {
        report.error_hint(
            body.at,
            "a filter needs `rules`; without it other readers apply it to everything",
            "name the rules, as in rules: [off_hours_action]",
        );
        return None;
    };
    let names = section::texts(rules, "rules", report)?;
    if names.is_empty() || names.iter().any(|(_, name)| name.eq_ignore_ascii_case("any")) && names.len() == 1 {
        report.error(rules.at, "a filter names its rules; `any` and an empty list mean everything elsewhere");
        return None;
    }
    let rules = names.into_iter().map(|(at, name)| (at, name.to_owned())).collect();
    let expression = detection::compile(body, &["rules"], report)?;
    Some(Draft::Filter { rules, expression, canonical: body.canonical() })
}

/// The canonical text of an id.
fn read_id(node: &Node, report: &mut Report) -> Option<String> {
    let text = section::text(node, "id", report)?;
    match canonical_id(text) {
        Some(id) => Some(id),
        None => {
            report.error_hint(node.at, format!("{} is no UUID", quoted(text)), "`uuidgen` makes one");
            None
        }
    }
}

/// An id in lower case with hyphens, if it is a UUID.
pub(super) fn canonical_id(text: &str) -> Option<String> {
    let plain = matches!(text.len(), 32 | 36);
    Uuid::try_parse(text).ok().filter(|_| plain).map(|id| id.to_string())
}

/// The ATT&CK techniques among tags.
pub(super) fn techniques(tags: &[String]) -> Vec<String> {
    let technique = |tag: &String| {
        let lower = tag.to_ascii_lowercase();
        let number = lower.strip_prefix("attack.t")?;
        let (main, sub) = number.split_once('.').map_or((number, None), |(main, sub)| (main, Some(sub)));
        let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
        (digits(main, 4) && sub.is_none_or(|sub| digits(sub, 3))).then(|| format!("T{number}"))
    };
    tags.iter().filter_map(technique).collect()
}
