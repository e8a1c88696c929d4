//! Scenario folders: `tests/<rule>/<case>/` beside the rules, with the events that come and the alerts that must.
//!
//! `events.ndjson` is what `backtest` reads. A line of `expected.ndjson` is an alert of that rule, any subset of its
//! members, in the order of `backtest --alerts`: `at`, `rule_id`, key. An empty file says that there is none.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::{Alert, MINUTE, Timestamp};
use serde_json::Value;

use crate::backtest::Backtest;
use crate::engine::Settings;
use crate::rules::{Rule, RuleSet};

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

/// All scenario folders in and below `root`, in the order of their names.
///
/// # Errors
/// A folder cannot be read.
pub fn find(root: &Path) -> io::Result<Vec<Scenario>> {
    let mut found = Vec::new();
    let mut folders = vec![fs::canonicalize(root)?];
    while let Some(folder) = folders.pop() {
        if folder.join("events.ndjson").is_file()
            && let Some(scenario) = named(&folder)
        {
            found.push(scenario);
        }
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            // Links are not followed: a circle of them would not end.
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
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
        let mut backtest = Backtest::new(Arc::clone(rules), settings, 5 * MINUTE);
        backtest.read(fs::File::open(self.folder.join("events.ndjson"))?)?;
        let (alerts, summary) = backtest.finish();
        let expected = self.expected()?;
        let alerts = alerts.iter().filter(|alert| alert.rule_id == rule.id);
        let mut text = differences(&expected, alerts)?;
        for (line, reason) in &summary.reasons {
            let _ = writeln!(text, "  events.ndjson line {line} was rejected: {reason}");
        }
        Ok((!text.is_empty()).then_some(text))
    }

    fn expected(&self) -> io::Result<Vec<Value>> {
        let path = self.folder.join("expected.ndjson");
        let text = fs::read_to_string(&path)?;
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

    #[test]
    fn folders_are_found_by_their_place() {
        let root = tempfile::tempdir().expect("a folder");
        for folder in ["my/tests/two/edge", "my/tests/one/fires", "my/elsewhere/one/fires"] {
            let folder = root.path().join(folder);
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join("events.ndjson"), "").expect("a file");
        }
        let found = find(root.path()).expect("readable");
        let names: Vec<(&str, &str)> = found.iter().map(|found| (found.rule.as_str(), found.case.as_str())).collect();
        assert_eq!(names, [("one", "fires"), ("two", "edge")]);
        assert!(found[0].rules.ends_with("my"));
    }
}
