//! `rules check`, `rules list`, `rules test`, and which rules a command works with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use detector::rules::{
    self, Body, DetectionKey, Finding, GroupField, Loaded, MONTH, Memory, Rule, RuleSet, RuleSource, YEAR, load,
    load_only,
};
use detector::{engine, scenario};
use domain::{DAY, HOUR, MINUTE, SECOND, Severity};

use super::Context;
use super::backtest::engine_settings;
use crate::cli;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::progress::mebibytes;

pub(crate) async fn run(args: cli::Rules, context: &Context) -> Outcome {
    match args {
        cli::Rules::Check { paths } => check(&or_configured(paths, context)),
        cli::Rules::List { paths } => list(&overlaid(&or_configured(paths, context))?),
        cli::Rules::Test { paths } => test(&or_configured(paths, context), context).await,
    }
}

fn or_configured(paths: Vec<PathBuf>, context: &Context) -> Vec<PathBuf> {
    if paths.is_empty() { context.config.rules.clone() } else { paths }
}

/// These rules and no others; what they build on of the built-in ones does not report.
pub(super) fn only(paths: &[PathBuf]) -> Outcome<RuleSet> {
    let loaded = RuleSource::from_paths(paths).and_then(|source| load_only(&[RuleSource::built_in()], &source));
    let rules = refuse(loaded)?.rules;
    if rules.rules.iter().any(|rule| rule.reports) {
        return Ok(rules);
    }
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    Err(Failure::usage(format!(
        "--rules means these rules only, and they find nothing by themselves: a filter leaves events out of other \
         rules; RULES={} in place of --rules lays them over the built-in ones",
        paths.join(",")
    )))
}

/// The built-in rules with these laid over them.
fn overlaid(paths: &[PathBuf]) -> Outcome<RuleSet> {
    let mut sources = vec![RuleSource::built_in()];
    if !paths.is_empty() {
        sources.push(refuse(RuleSource::from_paths(paths))?);
    }
    refuse(load(&sources)).map(|loaded| loaded.rules)
}

/// For commands whose question is not whether rules are valid: every finding, and the exit code of wrong usage.
fn refuse<T>(read: Result<T, Vec<Finding>>) -> Outcome<T> {
    read.map_err(|findings| {
        let errors: Vec<&Finding> = findings.iter().filter(|finding| finding.is_error()).collect();
        if let [error] = errors[..] {
            return Failure::usage(error.to_string());
        }
        errors.iter().for_each(output::note);
        Failure::usage(format!("{} errors in rules; mend them and try again", errors.len()))
    })
}

fn check(paths: &[PathBuf]) -> Outcome {
    let source = if paths.is_empty() { Ok(RuleSource::built_in()) } else { RuleSource::from_paths(paths) };
    match source.and_then(|source| rules::check(&source)) {
        Ok(warnings) => {
            warnings.iter().for_each(output::note);
            output::print(match warnings.len() {
                0 => "the rules are valid".to_owned(),
                1 => "the rules are valid, with one warning".to_owned(),
                warnings => format!("the rules are valid, with {warnings} warnings"),
            })
        }
        Err(findings) => {
            findings.iter().for_each(output::note);
            let errors = findings.iter().filter(|finding| finding.is_error()).count();
            Err(Failure::no(match errors {
                1 => "one error; mend it and check again".to_owned(),
                // Of a file with more than these, the rest is counted in its last line.
                2..=50 => format!("{errors} errors; mend them and check again"),
                _ => "more than 50 errors; mend them and check again".to_owned(),
            }))
        }
    }
}

/// One line a rule.
fn list(set: &RuleSet) -> Outcome {
    let waits = engine::waits(set);
    let head = ["id", "title", "level", "techniques", "window", "key", "memory a key", "gives", "decides"];
    let mut rows = vec![head.map(str::to_owned)];
    for (rule, waits) in set.rules.iter().zip(waits) {
        let techniques = if rule.techniques.is_empty() { "-".to_owned() } else { rule.techniques.join(",") };
        let gives = match (rule.reports, rule.level) {
            (false, _) => "for others",
            (true, Severity::Informational) => "signals",
            (true, _) => "alerts",
        };
        rows.push([
            rule.id.clone(),
            rule.title.clone(),
            rule.level.to_string(),
            techniques,
            span(window(rule)),
            key(rule),
            memory(rules::memory_per_key(rule)),
            gives.to_owned(),
            if waits { "at the watermark" } else { "at once" }.to_owned(),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        output::print(cells.join("  ").trim_end())?;
    }
    Ok(())
}

fn window(rule: &Rule) -> i64 {
    match &rule.body {
        Body::Detection(_) => rule.episode,
        Body::Correlation(correlation) => correlation.timespan,
    }
}

fn key(rule: &Rule) -> String {
    let names = |fields: &[GroupField]| -> Vec<String> { fields.iter().map(|field| field.name.clone()).collect() };
    let names = match &rule.body {
        Body::Detection(detection) => match &detection.key {
            DetectionKey::Auto => vec!["user|source_ip".to_owned()],
            DetectionKey::Fields(fields) => names(fields),
        },
        Body::Correlation(correlation) => names(&correlation.group_by),
    };
    if names.is_empty() { "(all)".to_owned() } else { names.join(",") }
}

fn memory(of: Memory) -> String {
    match of {
        Memory::About(bytes) => size(bytes),
        Memory::UpTo(bytes) => format!("up to {}", size(bytes)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a size for people")]
fn size(bytes: usize) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => mebibytes(bytes as u64),
    }
}

/// `90d`, `30m`, `1y`: the largest unit that divides it, as rules write it.
fn span(micros: i64) -> String {
    let whole = |(unit, _): &&(i64, &str)| micros % unit == 0;
    let (unit, name) = *[(YEAR, "y"), (MONTH, "M"), (DAY, "d"), (HOUR, "h"), (MINUTE, "m")]
        .iter()
        .find(whole)
        .unwrap_or(&(SECOND, "s"));
    format!("{}{name}", micros / unit)
}

/// Each scenario with the rules that it stands beside, laid over the built-in ones.
async fn test(paths: &[PathBuf], context: &Context) -> Outcome {
    let paths = if paths.is_empty() { &[PathBuf::from("rules")][..] } else { paths };
    let mut by_rules: BTreeMap<PathBuf, Vec<scenario::Scenario>> = BTreeMap::new();
    for path in paths {
        if path.is_file() {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            return Err(Failure::usage(format!(
                "{} is a file; name the folder in which it stands beside tests/: {}",
                path.display(),
                folder.unwrap_or(Path::new(".")).display()
            )));
        }
        let found = scenario::find(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        if found.is_empty() {
            return Err(Failure::usage(format!(
                "{}: no scenarios here; they stand beside rules, as tests/<rule>/<case>/events.ndjson",
                path.display()
            )));
        }
        found.into_iter().for_each(|scenario| by_rules.entry(scenario.rules.clone()).or_default().push(scenario));
    }
    let mut settings = engine_settings(context, None).await?;
    if context.config.time_zone.is_none() {
        // A scenario has to mean the same on every machine.
        settings.zone = chrono_tz::Tz::UTC;
    }
    let (mut passed, mut failed) = (0, 0);
    for (folder, scenarios) in by_rules {
        let rules = match beside(&folder) {
            Ok(loaded) => Arc::new(loaded.rules),
            Err(findings) => {
                findings.iter().for_each(output::note);
                return Err(Failure::no(format!("the rules in {} are not valid", folder.display())));
            }
        };
        for scenario in scenarios {
            match scenario.run(&rules, settings.clone()) {
                Ok(None) => passed += 1,
                Ok(Some(difference)) => {
                    failed += 1;
                    output::print(format!("{}/{} ({})", scenario.rule, scenario.case, scenario.folder.display()))?;
                    output::print(difference.trim_end())?;
                }
                Err(error) => {
                    failed += 1;
                    output::print(error)?;
                }
            }
        }
    }
    output::print(format!("{passed} scenarios passed, {failed} differ"))?;
    if failed == 0 { Ok(()) } else { Err(Failure::no("")) }
}

/// The rules of a folder over the built-in ones. Rules whose names are taken in the built-in set still have their
/// scenarios, alone.
fn beside(folder: &Path) -> Result<Loaded, Vec<Finding>> {
    let (base, own) = (RuleSource::built_in(), RuleSource::from_folder(folder)?);
    load(&[base.clone(), own.clone()]).or_else(|_| load_only(&[base], &own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_told_in_a_line() {
        let rules = overlaid(&[]).unwrap();
        let rule = |name: &str| rules.rules.iter().find(|rule| rule.name.as_deref() == Some(name)).unwrap();
        let guessing = rule("guessing_account_sustained");
        assert_eq!((span(window(guessing)), key(guessing)), ("10m".into(), "user".into()));
        assert_eq!((size(1_000), size(2_560)), ("1000 B".into(), "2.5 KiB".into()));
        assert_eq!(memory(Memory::UpTo(15 << 19)), "up to 7.5 MiB");
        assert!(memory(rules::memory_per_key(rule("large_export"))).starts_with("up to"), "it sums");
        assert_eq!(key(rule("contractor_tripwire")), "user|source_ip");
        assert_eq!([90 * SECOND, 10 * YEAR, MONTH, 30 * DAY].map(span), ["90s", "10y", "1M", "30d"]);
        assert!(list(&rules).is_ok());
    }

    #[test]
    fn rules_of_ones_own_are_checked_alone_and_beside_the_built_in_ones() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.yml");
        let rule = |name: &str, refs: &str| {
            format!(
                "title: Own\nid: 0b6f1c9e-6f0e-4f0e-9a44-3a1d54a5b009\nname: {name}\ncorrelation:\n    type: event_count\n    \
                 rules: [{refs}]\n    group-by: [user]\n    timespan: 5m\n    condition: {{gte: 3}}\n"
            )
        };
        std::fs::write(&file, rule("own", "contractor_tripwire")).unwrap();
        assert!(check(std::slice::from_ref(&file)).is_ok(), "it leans on a built-in rule");
        std::fs::write(&file, rule("own", "nothing_of_that_name")).unwrap();
        assert_eq!(check(std::slice::from_ref(&file)).unwrap_err().code(), 1);
        assert_eq!(only(&[file]).unwrap_err().code(), 2);
    }
}
