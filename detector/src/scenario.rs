//! Scenario folders: `tests/<rule>/<case>/` beside the rules, with the events that come and the alerts that must.
//!
//! `events.ndjson` is what `backtest` reads. A line of `expected.ndjson` is an alert of that rule, any subset of its
//! members, in the order of `backtest --alerts`: `at`, `rule_id`, key. An empty file says that there is none.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::{Alert, MINUTE, Timestamp};
use serde_json::Value;

use crate::backtest::Backtest;
use crate::engine::Settings;
use crate::rules::{Rule, RuleSet, RuleSource};

/// The activities.
const EVENTS: &str = "events.ndjson";
/// The alerts that must come of them.
const EXPECTED: &str = "expected.ndjson";

/// One folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scenario {
    /// Where the rule stands: the folder that has `tests`.
    pub rules: PathBuf,
    /// Name of the rule that is tested.
    pub rule: String,
    /// Name of the case.
    pub case: String,
    /// The folder itself.
    pub folder: PathBuf,
}

/// All scenario folders in and below `root`, in the order of their names: every `tests/<rule>/<case>` beside rules, or
/// beside a case that holds events, whatever is missing in it.
///
/// # Errors
/// A folder cannot be read; the error names it.
pub fn find(root: &Path) -> io::Result<Vec<Scenario>> {
    let mut found = Vec::new();
    let mut folders = vec![fs::canonicalize(root)?];
    while let Some(folder) = folders.pop() {
        found.extend(named(&folder));
        for entry in fs::read_dir(&folder).map_err(|error| of_file(&folder, &error))? {
            let entry = entry?;
            // Links are not followed: a circle of them would not end. What is hidden is nobody's scenario.
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if entry.file_type()?.is_dir() && !hidden {
                folders.push(entry.path());
            }
        }
    }
    // A folder `tests` may hold anything else, such as the tests of a program.
    let mut of_rules: HashMap<PathBuf, bool> = HashMap::new();
    for scenario in &found {
        let known = of_rules.entry(scenario.rules.clone()).or_insert_with(|| holds_rules(&scenario.rules));
        *known |= [EVENTS, EXPECTED].iter().any(|name| scenario.folder.join(name).exists());
    }
    found.retain(|scenario| of_rules.get(&scenario.rules) == Some(&true));
    found.sort();
    Ok(found)
}

/// Whether a rule file stands in a folder.
fn holds_rules(folder: &Path) -> bool {
    let rule = |line: &str| ["detection:", "correlation:", "filter:"].iter().any(|section| line.starts_with(section));
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| {
        path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml")
            && RuleSource::from_paths(&[path])
                .is_ok_and(|source| source.files().any(|(_, bytes)| String::from_utf8_lossy(bytes).lines().any(rule)))
    })
}

fn of_file(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// `<rules>/tests/<rule>/<case>`
fn named(folder: &Path) -> Option<Scenario> {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let rule = folder.parent()?;
    let tests = rule.parent()?;
    (name(tests)? == "tests").then_some(())?;
    Some(Scenario {
        rules: tests.parent()?.to_owned(),
        rule: name(rule)?,
        case: name(folder)?,
        folder: folder.to_owned(),
    })
}

impl Scenario {
    /// Runs the events through all of `rules` and compares the alerts of the rule that the folder names. `None` where
    /// nothing differs, else the differences in words.
    ///
    /// # Errors
    /// A file cannot be read, or the folder names no rule.
    pub fn run(&self, rules: &Arc<RuleSet>, settings: Settings) -> io::Result<Option<String>> {
        let named = |rule: &&Rule| rule.name.as_ref() == Some(&self.rule) || rule.id == self.rule;
        let Some(rule) = rules.rules.iter().find(named) else {
            return Err(io::Error::other(format!("{}: no rule is called {}", self.folder.display(), self.rule)));
        };
        let mut missing = String::new();
        for (name, what) in [(EVENTS, "the events that come"), (EXPECTED, "empty where there is to be no alert")] {
            if !self.folder.join(name).exists() {
                let _ = writeln!(missing, "  {name} is missing: {what}");
            }
        }
        if !missing.is_empty() {
            return Ok(Some(missing));
        }
        let mut backtest = Backtest::new(Arc::clone(rules), settings, 5 * MINUTE);
        let events = self.folder.join(EVENTS);
        fs::File::open(&events).and_then(|file| backtest.read(file)).map_err(|error| of_file(&events, &error))?;
        let (alerts, summary) = backtest.finish();
        let expected = self.expected()?;
        let alerts = alerts.iter().filter(|alert| alert.rule_id == rule.id);
        let mut text = differences(&expected, alerts)?;
        for (line, reason) in &summary.reasons {
            let _ = writeln!(text, "  {EVENTS} line {line} was rejected: {reason}");
        }
        Ok((!text.is_empty()).then_some(text))
    }

    fn expected(&self) -> io::Result<Vec<Value>> {
        let path = self.folder.join(EXPECTED);
        let text = fs::read_to_string(&path).map_err(|error| of_file(&path, &error))?;
        let parse = |(number, line): (usize, &str)| {
            let fault = |cause: &dyn std::fmt::Display| {
                io::Error::other(format!("{} line {}: {cause}", path.display(), number + 1))
            };
            match serde_json::from_str::<Value>(line) {
                Ok(value @ Value::Object(_)) => Ok(value),
                Ok(_) => Err(fault(&"an alert is an object")),
                Err(error) => Err(fault(&error)),
            }
        };
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(parse).collect()
    }
}

/// What stands against what: an expected line and an alert, or one of them alone.
type Pair = (Option<usize>, Option<usize>);

/// Lays what is expected beside what came, both in their order, and tells where they differ.
fn differences<'a>(expected: &[Value], alerts: impl Iterator<Item = &'a Alert>) -> io::Result<String> {
    let came: Vec<Value> = alerts.map(serde_json::to_value).collect::<Result<_, _>>()?;
    let mut text = String::new();
    for pair in pairs(expected, &came) {
        match pair {
            (Some(line), Some(alert)) => {
                let (line, alert) = (&expected[line], &came[alert]);
                let wrong = wrong_members(line, alert);
                if !wrong.is_empty() {
                    let _ = writeln!(text, "  alert at {}:", alert["at"].as_str().unwrap_or_default());
                }
                for name in wrong {
                    let got = alert.get(&name).unwrap_or(&Value::Null);
                    let _ = writeln!(text, "    {name}: expected {}, got {got}", line[&name]);
                }
            }
            (Some(line), None) => {
                let _ = writeln!(text, "  missing:    {}", expected[line]);
            }
            (None, alert) => {
                let alert = alert.map_or(&Value::Null, |alert| &came[alert]);
                let members = ["at", "rule", "severity", "key", "observed"];
                let short: Vec<String> = members.iter().map(|name| format!("{name}: {}", alert[name])).collect();
                let _ = writeln!(text, "  unexpected: {{{}}}", short.join(", "));
            }
        }
    }
    Ok(text)
}

/// The pairs that keep both orders and differ least. Where most members differ it is another alert: one is missing and
/// one unexpected.
fn pairs(expected: &[Value], came: &[Value]) -> Vec<Pair> {
    /// What a line or an alert without a counterpart costs; a pair costs at most as much as two of them.
    const ALONE: usize = 1_000;
    let cost = |line: &Value, alert: &Value| {
        let members = line.as_object().map_or(0, serde_json::Map::len);
        let wrong = wrong_members(line, alert).len();
        if 2 * wrong > members { 3 * ALONE } else { wrong }
    };
    // least[a][b]: what the lines from `a` on and the alerts from `b` on cost.
    let mut least = vec![vec![0; came.len() + 1]; expected.len() + 1];
    for a in (0..=expected.len()).rev() {
        for b in (0..=came.len()).rev() {
            least[a][b] = match (expected.get(a), came.get(b)) {
                (None, _) => ALONE * (came.len() - b),
                (_, None) => ALONE * (expected.len() - a),
                (Some(line), Some(alert)) => {
                    (cost(line, alert) + least[a + 1][b + 1]).min(ALONE + least[a + 1][b]).min(ALONE + least[a][b + 1])
                }
            };
        }
    }
    let (mut a, mut b) = (0, 0);
    let mut pairs = Vec::new();
    while a < expected.len() || b < came.len() {
        if let (Some(line), Some(alert)) = (expected.get(a), came.get(b))
            && least[a][b] == cost(line, alert) + least[a + 1][b + 1]
        {
            pairs.push((Some(a), Some(b)));
            (a, b) = (a + 1, b + 1);
        } else if a < expected.len() && (b == came.len() || least[a][b] == ALONE + least[a + 1][b]) {
            pairs.push((Some(a), None));
            a += 1;
        } else {
            pairs.push((None, Some(b)));
            b += 1;
        }
    }
    pairs
}

fn wrong_members(expected: &Value, alert: &Value) -> Vec<String> {
    let members = expected.as_object().into_iter().flatten();
    members.filter(|(name, value)| !agrees(value, &alert[name.as_str()])).map(|(name, _)| name.clone()).collect()
}

/// Equal in what it means: numbers as numbers, times as moments.
fn agrees(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::String(a), Value::String(b)) => {
            a == b || matches!((Timestamp::parse(a), Timestamp::parse(b)), (Some(a), Some(b)) if a == b)
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agrees(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, value)| b.get(name).is_some_and(|got| agrees(value, got)))
        }
        _ => expected == got,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_any_subset_and_says_what_it_means() {
        let alert = json!({"at": "2026-01-01T00:00:00Z", "observed": 5, "key": {"user": "ada"}});
        let fine = json!({"at": "2026-01-01T01:00:00.000+01:00", "observed": 5.0, "key": {"user": "ada"}});
        assert!(wrong_members(&fine, &alert).is_empty());
        assert!(wrong_members(&json!({}), &alert).is_empty());
        let wrong = json!({"at": "2026-01-01T00:00:01Z", "key": {}, "user": "ada"});
        assert_eq!(wrong_members(&wrong, &alert), ["at", "key", "user"]);
    }

    #[test]
    fn lines_and_alerts_are_laid_side_by_side_in_their_order() {
        let came = [
            json!({"at": "2026-01-01T00:00:00Z", "observed": 5, "severity": "Low"}),
            json!({"at": "2026-01-01T01:00:00Z", "observed": 6, "severity": "Low"}),
        ];
        let [first, second] = ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"].map(|at| json!({ "at": at }));
        let low = json!({"severity": "Low"});
        assert_eq!(pairs(&[low.clone(), second.clone()], &came), [(Some(0), Some(0)), (Some(1), Some(1))]);
        // The short line does not take the alert that the long one means.
        assert_eq!(pairs(&[first.clone(), low.clone()], &came), [(Some(0), Some(0)), (Some(1), Some(1))]);
        assert_eq!(pairs(std::slice::from_ref(&second), &came), [(None, Some(0)), (Some(0), Some(1))]);
        assert_eq!(pairs(&[low], &[]), [(Some(0), None)]);
        // The wrong order is a difference.
        assert_eq!(pairs(&[second, first], &came).iter().filter(|(a, b)| a.is_some() && b.is_some()).count(), 1);
        let near = json!({"at": "2026-01-01T00:00:00Z", "observed": 7});
        assert_eq!(pairs(&[near], &came[..1]), [(Some(0), Some(0))]);
    }

    fn folders(names: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for name in names {
            let path = root.path().join(name);
            if name.ends_with('/') {
                fs::create_dir_all(path).expect("a folder");
            } else {
                fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
                fs::write(path, RULE.repeat(usize::from(name.ends_with(".yml")))).expect("a file");
            }
        }
        root
    }

    const RULE: &str =
        "title: One\nname: one\nlogsource: {category: x}\ndetection:\n    s: {action: a}\n    condition: s\n";

    fn found(root: &tempfile::TempDir) -> Vec<String> {
        let found = find(root.path()).expect("readable");
        found.iter().map(|found| format!("{}/{}", found.rule, found.case)).collect()
    }

    #[test]
    fn folders_are_found_by_their_place() {
        let events = ["my/tests/two/edge", "my/tests/one/fires", "my/elsewhere/one/fires"];
        let root = folders(&events.map(|folder| format!("{folder}/events.ndjson")).each_ref().map(String::as_str));
        assert_eq!(found(&root), ["one/fires", "two/edge"]);
        assert!(find(root.path()).expect("readable")[0].rules.ends_with("my"));
    }

    #[test]
    fn a_case_without_its_events_is_one_and_the_tests_of_a_program_are_none() {
        let root = folders(&["my/rule.yml", "my/tests/one/fires/event.json", "my/tests/one/empty/", "my/tests/.x/y/"]);
        assert_eq!(found(&root), ["one/empty", "one/fires"]);
        let root = folders(&["my/tests/one/fires/events.ndjson", "my/tests/one/nearly/"]);
        assert_eq!(found(&root), ["one/fires", "one/nearly"]);
        let root = folders(&["tests/tests/stories/main.rs", "docker-compose.yaml"]);
        assert!(found(&root).is_empty());
    }

    #[test]
    fn what_is_missing_is_a_difference_that_names_it() {
        let root = folders(&["one.yml", "tests/one/a/events.ndjson", "tests/one/b/expected.ndjson", "tests/one/c/"]);
        let rules = crate::rules::load(&[RuleSource::from_paths(&[root.path().join("one.yml")]).expect("readable")]);
        let rules = Arc::new(rules.expect("valid").rules);
        let differences: Vec<String> = find(root.path())
            .expect("readable")
            .iter()
            .map(|scenario| scenario.run(&rules, Settings::default()).expect("readable").expect("a difference"))
            .collect();
        let [a, b, c] = &differences[..] else { panic!("{differences:?}") };
        assert!(a.contains("expected.ndjson is missing") && !a.contains("events.ndjson is missing"), "{a}");
        assert!(b.contains("events.ndjson is missing") && !b.contains("expected.ndjson is missing"), "{b}");
        assert!(c.contains("events.ndjson is missing") && c.contains("expected.ndjson is missing"), "{c}");
    }
}
