//! Files over the built-in set.

use super::{ID, correlation, detection, lines, load};
use crate::rules::{Body, Rule, RuleSource, load_only};

fn source(documents: &[String]) -> RuleSource {
    RuleSource::text("mine.yml", documents.join("---\n"))
}

#[test]
fn a_known_id_replaces_and_others_are_added() {
    let before = load(&[RuleSource::built_in()]).unwrap().rules;
    let replaced = before.rules.iter().find(|rule| rule.name.as_deref() == Some("off_hours_update")).unwrap();
    let mine = detection(1, "s: {action: Login}\ncondition: s")
        .replace(&format!("{ID}01"), &replaced.id.to_uppercase())
        .replace("name: d1", "name: off_hours_update");
    let new = correlation(2, "type: event_count, rules: [off_hours_action], timespan: 5m, condition: {gte: 3}", "");
    let after =
        load(&[RuleSource::built_in(), source(&[mine, new])]).unwrap_or_else(|found| panic!("{}", lines(&found)));
    assert_eq!(after.rules.rules.len(), before.rules.len() + 1);
    let rule = after.rules.rules.iter().find(|rule| rule.id == replaced.id).unwrap();
    assert_eq!((rule.title.as_str(), rule.file.as_str()), ("Rule 1", "mine.yml"));
    let user = after.rules.rules.iter().find(|rule| rule.name.as_deref() == Some("off_hours_many")).unwrap();
    let Body::Correlation(body) = &user.body else { panic!("a correlation") };
    assert_eq!(after.rules.rules[body.refs[0]].title, "Rule 1", "references follow");
}

#[test]
fn a_name_that_is_taken_by_another_rule_is_refused() {
    let mine = detection(1, "s: {action: Login}\ncondition: s").replace("name: d1", "name: off_hours_action");
    let findings = load(&[RuleSource::built_in(), source(&[mine])]).unwrap_err();
    assert!(
        lines(&findings).contains(
            "mine.yml:1:1: error: the name `off_hours_action` is taken (by the rule in built-in/off_hours.yml"
        )
    );
}

/// Ids and names of the rules, those that report apart.
fn loaded_alone(documents: &[String]) -> (Vec<String>, Vec<String>) {
    let alone = load_only(&[RuleSource::built_in()], &source(documents));
    let rules = alone.unwrap_or_else(|found| panic!("{}", lines(&found))).rules.rules;
    let (own, bases) = rules.into_iter().partition(|rule| rule.reports);
    let names = |rules: Vec<Rule>| rules.into_iter().filter_map(|rule| rule.name).collect();
    (names(own), names(bases))
}

#[test]
fn what_a_set_builds_on_is_there_and_does_not_report() {
    let count = |rule: &str| {
        correlation(
            2,
            &format!("type: event_count, rules: [{rule}], timespan: 5m, condition: {{gte: 3}}"),
            "generate: true",
        )
    };
    assert_eq!(loaded_alone(&[count("off_hours_action")]), (vec!["c2".into()], vec!["off_hours_action".into()]));
    let (own, mut bases) = loaded_alone(&[count("mass_deletion")]);
    bases.sort();
    assert_eq!((own, bases.contains(&"mass_deletion".into()), bases.len()), (vec!["c2".into()], true, 2));
    // A filter alone has nothing that reports.
    let filter = "title: F\nname: f\nlogsource: {category: x}\nfilter: {rules: [off_hours_action], s: {user: x}, condition: not s}\n";
    assert_eq!(loaded_alone(&[filter.to_owned()]), (vec![], vec!["off_hours_action".into()]));
    // What is there under this name is meant, and a replaced rule is not.
    let mine = detection(1, "s: {action: Login}\ncondition: s").replace("name: d1", "name: off_hours_action");
    assert_eq!(
        loaded_alone(&[mine.clone(), count("off_hours_action").replace("generate: true", "")]).1,
        ["off_hours_action"]
    );
    let built_in = load(&[RuleSource::built_in()]).unwrap().rules;
    let id = &built_in.rules.iter().find(|rule| rule.name.as_deref() == Some("off_hours_action")).unwrap().id;
    let renamed = mine.replace(&format!("{ID}01"), id).replace("off_hours_action", "other");
    let found = load_only(&[RuleSource::built_in()], &source(&[renamed, count("off_hours_action")])).unwrap_err();
    assert!(lines(&found).contains("there is no rule `off_hours_action`"), "{}", lines(&found));
    // The author's file is the one to change.
    let twice = detection(1, "s: {action: Login}\ncondition: s").replace("name: d1", "name: off_hours_update");
    let id = &built_in.rules.iter().find(|rule| rule.name.as_deref() == Some("off_hours_update")).unwrap().id;
    let found = load_only(&[RuleSource::built_in()], &source(&[twice, count(id)])).unwrap_err();
    assert!(
        lines(&found)
            .starts_with("mine.yml:1:1: error: the name `off_hours_update` is taken (by the rule in built-in/")
    );
}
