//! [`check`]: what an author wants to know about rule files before they are used.

use super::finding::{Finding, Weight};
use super::limits::undistributable;
use super::load::{Loaded, Read};
use super::model::Rule;
use super::source::RuleSource;

/// Checks files as a set of their own, with what they name of the built-in rules, and over the built-in set. A set may
/// share names with the built-in one: then it is fine alone, and a warning says what stands in the way of using both.
///
/// # Errors
/// Every finding, if one of them is an error.
pub fn check(source: &RuleSource) -> Result<Vec<Finding>, Vec<Finding>> {
    let read = Read::of(&[RuleSource::built_in(), source.clone()]);
    let mut findings = with_limits(read.linked(&read.only())?, source);
    if let Err(conflicts) = read.linked(&read.together()) {
        let errors = conflicts.into_iter().filter(Finding::is_error);
        findings.extend(errors.map(|finding| Finding {
            severity: Weight::Warning,
            message: format!("not beside the built-in rules: {}", finding.message),
            ..finding
        }));
    }
    Ok(findings)
}

fn with_limits(loaded: Loaded, source: &RuleSource) -> Vec<Finding> {
    let mut findings = loaded.warnings;
    let mut warn = |rule: &Rule, message: String, hint: Option<String>| {
        if source.files.iter().any(|file| file.name == rule.file) {
            let (file, line, severity) = (rule.file.clone(), rule.line, Weight::Warning);
            findings.push(Finding { file, line, column: 1, severity, message, hint });
        }
    };
    for rule in loaded.rules.rules.iter().filter(|rule| !rule.reports) {
        let steps = (!rule.escalate.is_empty()).then_some("escalate");
        let mute = (rule.mute_after_close > 0).then_some("mute_after_close");
        for key in [steps, mute].into_iter().flatten() {
            let message = format!("{key} changes nothing: a correlation names this rule, so it does not alert itself");
            let hint = "it does where every correlation that names it says `generate: true`";
            warn(rule, message, Some(hint.to_owned()));
        }
    }
    for (at, reason) in undistributable(&loaded.rules) {
        warn(&loaded.rules.rules[at], format!("this rule runs in one process only: {reason}"), None);
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(findings: &[Finding]) -> String {
        findings.iter().map(|finding| format!("{finding}\n")).collect()
    }

    fn count(rule: &str, name: &str, key: &str) -> RuleSource {
        let text = format!(
            "title: C\nname: {name}\ncorrelation: {{type: event_count, rules: [{rule}], timespan: 5m, \
             condition: {{gte: 3}}{key}}}\n"
        );
        RuleSource::text("mine.yml", text)
    }

    #[test]
    fn built_in_rules_may_be_named() {
        let findings = check(&count("off_hours_action", "mine", ", group-by: [user]")).unwrap();
        assert_eq!(lines(&findings), "");
        let findings = check(&count("off_hours_acton", "mine", "")).unwrap_err();
        assert!(lines(&findings).contains("did you mean off_hours_action?"), "{}", lines(&findings));
    }

    #[test]
    fn what_kafka_cannot_run_is_a_warning() {
        let findings = check(&count("off_hours_action", "mine", ", group-by: [resource]")).unwrap();
        assert!(lines(&findings).starts_with("mine.yml:1:1: warning: this rule runs in one process only: with Kafka"));
    }

    #[test]
    fn what_is_said_of_alerts_that_there_are_none_of_is_a_warning() {
        let text = |analytics: &str, generate: &str| {
            format!(
                "title: A\nname: a\nlogsource: {{category: x}}\ndetection: {{s: {{action: x}}, condition: s}}\n\
                 analytics: {{v: 1{analytics}}}\n---\ntitle: C\ncorrelation: {{type: event_count, rules: [a], \
                 timespan: 5m, condition: {{gte: 3}}, group-by: [user]}}\n{generate}"
            )
        };
        let said = |text: String| lines(&check(&RuleSource::text("mine.yml", text)).unwrap());
        for (analytics, key) in
            [(", escalate: [{at: 5, to: high}]", "escalate"), (", mute_after_close: 1d", "mute_after_close")]
        {
            let start = format!("mine.yml:1:1: warning: {key} changes nothing: a correlation names this rule");
            let warnings = said(text(analytics, ""));
            assert!(warnings.starts_with(&start) && warnings.lines().count() == 1, "{warnings}");
            assert_eq!(said(text(analytics, "generate: true\n")), "");
        }
        assert_eq!(said(text("", "analytics: {v: 1, mute_after_close: 1d}\n")), "", "the outer one alerts");
    }

    #[test]
    fn a_set_of_its_own_may_share_names_with_the_built_in_one() {
        let text =
            "title: A\nname: off_hours_action\nlogsource: {category: x}\ndetection: {s: {action: x}, condition: s}\n";
        let findings = check(&RuleSource::text("mine.yml", text)).unwrap();
        assert!(
            lines(&findings).contains("warning: not beside the built-in rules: the id `off_hours_action` is taken")
        );
    }

    #[test]
    fn of_names_those_that_nobody_has_are_told() {
        let findings = check(&count("guessed_and_in, export", "guessing_account", ", group-by: [user]")).unwrap_err();
        let [error] = &findings[..] else { panic!("{}", lines(&findings)) };
        assert!(error.to_string().starts_with("mine.yml:3:58: error: there is no rule `export`"), "{error}");
    }

    #[test]
    fn the_built_in_set_has_no_findings() {
        assert_eq!(lines(&check(&RuleSource::built_in()).unwrap()), "");
    }
}
