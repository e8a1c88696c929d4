//! What an author of rules meets at the command line: what is told, where, and with which exit code.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A filter of a built-in detection.
const FILTER: &str = "title: Nightly\nname: nightly\nlogsource: {category: activity}\nfilter:\n    rules: [off_hours_action]\n    \
                      selection: {user: svc}\n    condition: not selection\n";
/// Two alerts of it an hour, each at night.
const COUNT: &str = "title: Two at night\nname: two_at_night\ncorrelation:\n    type: event_count\n    rules: [off_hours_action]\n    \
                     group-by: [user]\n    timespan: 60m\n    condition: {gte: 2}\nlevel: high\n";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary directory");
    for (name, text) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(file, text).expect("written");
    }
    folder
}

/// Three deletions of each user on a Sunday.
fn at_night(users: &[&str]) -> String {
    let mut text = String::new();
    for user in users {
        for minute in 0..3 {
            let at = format!("2026-03-01T03:0{minute}:00Z");
            text += &format!(
                "{{\"ts\":\"{at}\",\"user\":\"{user}\",\"action\":\"Delete\",\"resource\":\"orders/{minute}\"}}\n"
            );
        }
    }
    text
}

fn program(folder: &Path, rules: Option<&str>, words: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_security-analytics"));
    command.args(words).current_dir(folder).env_clear().env("TIME_ZONE", "UTC").stdin(Stdio::null());
    command.envs(rules.map(|rules| ("RULES", rules)));
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().expect("it ends by itself"), text(stdout), text(stderr))
}

#[test]
fn rules_of_ones_own_are_asked_alone_though_they_build_on_built_in_ones() {
    let folder =
        folder(&[("my/count.yml", COUNT), ("my/filter.yml", FILTER), ("e.ndjson", &at_night(&["mia", "svc"]))]);
    let (code, alerts, told) = program(folder.path(), None, &["backtest", "--events", "e.ndjson", "--rules", "my"]);
    assert_eq!(code, 0, "{told}");
    let users: Vec<&str> =
        alerts.lines().filter_map(|line| line.split("\"user\":\"").nth(1)?.split('"').next()).collect();
    assert_eq!(users, ["mia"], "the filter holds, and no built-in rule reports: {alerts}");
}

#[test]
fn a_filter_of_built_in_rules_is_laid_over_them() {
    let folder = folder(&[("flt/filter.yml", FILTER), ("e.ndjson", &at_night(&["mia", "svc"]))]);
    let of_svc = |alerts: &str| alerts.lines().filter(|line| line.contains("\"user\":\"svc\"")).count();
    let backtest = ["backtest", "--events", "e.ndjson"];
    let (_, before, _) = program(folder.path(), None, &backtest);
    let (code, after, told) = program(folder.path(), Some("flt"), &backtest);
    assert!(code == 0 && of_svc(&after) < of_svc(&before) && of_svc(&before) > 0, "{told}{before}{after}");
    // Alone it finds nothing, and the way that does is named.
    let (code, _, told) = program(folder.path(), None, &[&backtest[..], &["--rules", "flt"]].concat());
    assert!(code == 2 && told.contains("find nothing by themselves") && told.contains("RULES=flt"), "{told}");
    for words in [["rules", "check", "flt"], ["rules", "list", "flt"]] {
        let (code, _, told) = program(folder.path(), None, &words);
        assert_eq!(code, 0, "{told}");
    }
}

#[test]
fn only_what_is_true_is_told() {
    let wrong = COUNT.replace("[off_hours_action]", "[off_hours_action, export]");
    let folder = folder(&[("my/count.yml", &wrong), ("my/tests/two_at_night/fires/events.ndjson", "")]);
    for words in
        [&["rules", "check", "my"][..], &["rules", "test", "my"], &["backtest", "--events", "x", "--rules", "my"]]
    {
        let (code, _, told) = program(folder.path(), None, words);
        assert!(code > 0 && told.contains("there is no rule `export`"), "{words:?}: {told}");
        assert!(!told.contains("no rule `off_hours_action`"), "{words:?}: {told}");
    }
}

#[test]
fn what_is_missing_of_a_scenario_is_a_difference() {
    let folder = folder(&[("my/count.yml", COUNT), ("my/tests/two_at_night/fires/expected.ndjson", "")]);
    fs::create_dir_all(folder.path().join("my/tests/two_at_night/nearly")).expect("made");
    let (code, told, _) = program(folder.path(), None, &["rules", "test", "my"]);
    assert!(code == 1 && told.contains("0 scenarios passed, 2 differ"), "{told}");
    assert!(told.contains("two_at_night/fires (") && told.contains("events.ndjson is missing"), "{told}");
    assert!(told.contains("two_at_night/nearly (") && told.contains("expected.ndjson is missing"), "{told}");
}

#[test]
fn scenarios_of_the_configured_rules_are_run_without_a_path() {
    let folder = folder(&[
        ("my/count.yml", COUNT),
        ("my/tests/two_at_night/nearly/events.ndjson", ""),
        ("my/tests/two_at_night/nearly/expected.ndjson", ""),
    ]);
    let (code, told, error) = program(folder.path(), Some("my"), &["rules", "test"]);
    assert!(code == 0 && told.contains("1 scenarios passed"), "{told}{error}");
    let (code, told, error) = program(folder.path(), None, &["rules", "test", "--rules", "my"]);
    assert!(code == 0 && told.contains("1 scenarios passed"), "{told}{error}");
    let (code, _, error) = program(folder.path(), None, &["rules", "test", "my/count.yml"]);
    assert!(code == 2 && error.contains("my/count.yml is a file") && error.contains("beside tests/: my"), "{error}");
}

#[test]
fn flags_of_a_backtest_that_would_do_nothing_are_refused() {
    let folder = folder(&[]);
    for (words, named) in [
        (&["backtest", "--stored", "--lateness", "1h"][..], "--lateness"),
        (
            &["backtest", "--stored", "--from", "2027-01-01", "--to", "2026-01-01"],
            "--to 2026-01-01 is not after --from",
        ),
    ] {
        let (code, _, told) = program(folder.path(), None, words);
        assert!(code == 2 && told.contains(named), "{words:?}: {told}");
    }
}
