//! Every scenario folder beside the built-in rules.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use detector::engine::Settings;
use detector::rules::{RuleSource, load};
use detector::scenario;

#[test]
fn built_in_rules_do_what_their_scenarios_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let rules = Arc::new(load(&[RuleSource::built_in()]).expect("the built-in rules are valid").rules);
    let scenarios = scenario::find(&root).expect("scenarios stand beside the rules");
    let mut differences = Vec::new();
    let mut tested = BTreeSet::new();
    for scenario in &scenarios {
        tested.insert(scenario.rule.as_str());
        match scenario.run(&rules, Settings::default()) {
            Ok(None) => {}
            Ok(Some(difference)) => differences.push(format!("{}/{}\n{difference}", scenario.rule, scenario.case)),
            Err(error) => differences.push(error.to_string()),
        }
    }
    assert!(differences.is_empty(), "{} of {} differ:\n{}", differences.len(), scenarios.len(), differences.join("\n"));
    // A rule that alerts without a scenario could be broken without anybody noticing.
    let alerts = rules.rules.iter().filter(|rule| rule.reports && rule.level > domain::Severity::Informational);
    let untested: Vec<&str> =
        alerts.filter_map(|rule| rule.name.as_deref()).filter(|name| !tested.contains(name)).collect();
    assert!(untested.is_empty(), "without a scenario: {untested:?}");
}
