//! Files over the built-in set.

use super::{ID, correlation, detection, lines, load};
use crate::rules::{Body, RuleSource};

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
