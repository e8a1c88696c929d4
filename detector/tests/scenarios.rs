//! Every scenario folder beside the built-in rules.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use detector::backtest::Backtest;
use detector::engine::Settings;
use detector::rules::{RuleSource, load};
use detector::scenario;
use domain::{MINUTE, Severity};

/// Cases of people at their work, and the first severity that may not come of them, by any rule.
const AT_WORK: [(&str, Severity); 2] = [("routine", Severity::Medium), ("typing", Severity::Low)];

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
    let alerts = rules.rules.iter().filter(|rule| rule.reports && rule.level > Severity::Informational);
    let untested: Vec<&str> =
        alerts.filter_map(|rule| rule.name.as_deref()).filter(|name| !tested.contains(name)).collect();
    assert!(untested.is_empty(), "without a scenario: {untested:?}");
}

#[test]
fn people_at_work_are_left_alone_by_every_rule() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let rules = Arc::new(load(&[RuleSource::built_in()]).expect("the built-in rules are valid").rules);
    let scenarios = scenario::find(&root).expect("scenarios stand beside the rules");
    for (case, bound) in AT_WORK {
        let folders: Vec<_> = scenarios.iter().filter(|scenario| scenario.case == case).collect();
        assert!(!folders.is_empty(), "no case is called {case}");
        for scenario in folders {
            let mut backtest = Backtest::new(Arc::clone(&rules), Settings::default(), 5 * MINUTE);
            let events = std::fs::File::open(scenario.folder.join("events.ndjson")).expect("events");
            backtest.read(events).expect("a file can be read");
            let (alerts, summary) = backtest.finish();
            assert!(summary.events > 50, "{}: too little to be work", scenario.folder.display());
            let loud: Vec<_> = alerts.iter().filter(|alert| alert.severity >= bound).collect();
            assert!(loud.is_empty(), "{}: {loud:#?}", scenario.folder.display());
        }
    }
}
