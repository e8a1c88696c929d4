//! docs/rules.md: what the page tells authors to write is written here, and taken without a finding.

use super::{Finding, Loaded, RuleSource, activity, correlation, detection, lines, matches, rules};
use crate::rules::check;

const PAGE: &str = include_str!("../../../../docs/rules.md");

/// The rows of the table under a head, each as its cells.
fn table(head: &str) -> Vec<Vec<String>> {
    let (_, after) = PAGE.split_once(head).unwrap_or_else(|| panic!("no table {head}"));
    let rows = after.lines().skip(1).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| -> Vec<String> {
        let row = row.replace("\\|", "\u{0}");
        row.trim_matches('|').split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
    };
    rows.map(cells).collect()
}

/// What stands between backticks.
fn spans(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(fence.as_str()).skip(1).filter_map(|after| after.split("```").next()).collect()
}

fn quiet(loaded: &Loaded, what: &str) {
    assert_eq!(lines(&loaded.warnings), "", "{what}");
}

#[test]
fn lines_of_detections() {
    let rows = table("| you write | it means |\n");
    assert!(rows.len() > 15);
    for row in rows {
        let others = "selection: {user: a}\nother: {user: b}\nexcluded_c: {user: c}\n";
        // What is a line by itself; the rest are modifiers that stand for the one before.
        let written = spans(&row[0]).into_iter().filter(|span| span.contains(": ") || span.starts_with('['));
        for written in written {
            let section = match written.strip_prefix("condition: ") {
                Some("[selection, other]") => {
                    "selection: {user: a}\nother: {user: b}\ncondition: [selection, other]".into()
                }
                Some(condition) => format!("{}condition: {condition}", others.replace("other: {user: b}\n", "")),
                None if written.starts_with('[') => format!("s: {written}\ncondition: s"),
                None => format!("s:\n    {written}\ncondition: s"),
            };
            quiet(&rules(&[detection(1, &section)]), &section);
        }
    }
}

#[test]
fn a_list_of_objects() {
    let line = blocks("json")[1];
    let (_, text) = PAGE.split_once("**Lists of objects.**").expect("the paragraph");
    let text = text.split("\n## ").next().expect("a section").replace(line, "");
    let written: Vec<&str> = spans(&text).into_iter().filter(|span| span.starts_with("target.")).collect();
    assert_eq!(written.len(), 4);
    for line_of_rule in &written {
        assert!(matches(&format!("s:\n    {line_of_rule}\ncondition: s"), line), "{line_of_rule}");
    }
    let both = format!("s:\n    {}\n    {}\ncondition: s", written[2], written[3]);
    assert!(matches(&both, line), "of two objects");
    assert!(!matches("s: {target.changes.to|neq: admin}\ncondition: s", line));
    let _ = activity(line);
}

#[test]
fn conditions_of_correlations() {
    let rows = table("| type | condition, for example | the value it compares |\n");
    assert_eq!(rows.len(), 7);
    for row in rows {
        let [kind] = spans(&row[0])[..] else { panic!("{row:?}") };
        let mut conditions: Vec<_> = spans(&row[1]).iter().map(|span| format!(", condition: {span}")).collect();
        if row[1].starts_with("none") {
            conditions.push(String::new());
        }
        for condition in conditions {
            let named = |number, name: &str| {
                detection(number, "s: {action: View}\ncondition: s")
                    .replace(&format!("name: d{number}"), &format!("name: {name}"))
            };
            let section = format!("type: {kind}, rules: [first, other], timespan: 5m{condition}");
            let documents = [named(1, "first"), named(2, "other"), correlation(3, &section, "")];
            quiet(&rules(&documents), &section);
        }
    }
}

#[test]
fn conditions_that_are_refused() {
    let (_, text) = PAGE.split_once("**Conditions.**").expect("the paragraph");
    let text = text.split("\n\n").next().expect("a paragraph");
    let conditions: Vec<&str> = spans(text).into_iter().filter(|span| span.starts_with('{')).collect();
    assert_eq!(conditions.len(), 4);
    for condition in conditions {
        let section = format!("type: event_count, rules: [d1], timespan: 5m, condition: {condition}");
        super::refused(&[detection(1, "s: {action: View}\ncondition: s"), correlation(2, &section, "")]);
    }
}

#[test]
fn units_of_time() {
    let (_, head) = PAGE.split_once("| unit |").expect("the table");
    let units = spans(head.lines().next().expect("a line"));
    assert_eq!(units, ["s", "m", "h", "d", "w", "M", "y"]);
    for unit in units {
        let section = format!("type: event_count, rules: [d1], timespan: 1{unit}, condition: {{gte: 3}}");
        let loaded = rules(&[detection(1, "s: {action: View}\ncondition: s"), correlation(2, &section, "")]);
        assert_eq!(loaded.warnings.len(), usize::from(unit == "M"), "{unit}");
    }
}

#[test]
fn the_words_of_analytics() {
    let rows = table("| key | example | meaning |\n");
    assert!(rows.len() > 8);
    for row in rows {
        let [example] = spans(&row[1])[..] else { panic!("{row:?}") };
        let analytics = format!("analytics: {{v: 1, {example}}}\n");
        let base = detection(1, "s: {action: View}\ncondition: s");
        let documents = if example.contains("baseline") {
            let section = "type: event_count, rules: [d1], timespan: 5m, condition: {gte: 3}";
            vec![base, correlation(2, section, &analytics)]
        } else {
            vec![base + &analytics]
        };
        quiet(&rules(&documents), example);
    }
}

#[test]
fn whole_examples() {
    let examples = blocks("yaml");
    assert!(examples.len() >= 4);
    for example in examples {
        let mut text = example.to_owned();
        if example.starts_with("correlation:") {
            // A part of a document; the rules that it names are elsewhere.
            text = format!("title: A part\n{text}level: high\n");
            for (number, name) in ["password_set_by_other", "login_after_reset"].into_iter().enumerate() {
                let rule = detection(number, "s: {action: View}\ncondition: s");
                text += &format!("---\n{}", rule.replace(&format!("name: d{number}"), &format!("name: {name}")));
            }
        }
        // Of those that use the names of built-in rules, only that is told.
        let told: Vec<Finding> =
            check(&RuleSource::text("page.yml", text)).unwrap_or_else(|told| panic!("{}", lines(&told)));
        assert!(told.iter().all(|finding| finding.message.starts_with("not beside")), "{}", lines(&told));
    }
}

#[test]
fn what_the_page_says_of_generate_is_so() {
    let example = blocks("yaml").into_iter().find(|block| block.contains("\ngenerate: true")).expect("an example");
    let reports =
        |text: &str| -> Vec<bool> { rules(&[text.to_owned()]).rules.rules.iter().map(|rule| rule.reports).collect() };
    assert_eq!(reports(example), [true, true]);
    let without: String =
        example.lines().filter(|line| !line.starts_with("generate")).map(|line| format!("{line}\n")).collect();
    assert_eq!(reports(&without), [false, true]);
}
