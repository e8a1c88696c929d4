//! What a person sees at a terminal and a program in a pipe: progress, colours, help. The terminal is made by `script`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_security-analytics");
/// What clears a line that is renewed.
const CLEAR: &str = "\r\u{1b}[K";

/// With a file of events that takes a while.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let event = |number: u32| {
        let at = format!("2026-01-01T{:02}:{:02}:{:02}Z", number / 3_600, number / 60 % 60, number % 60);
        json!({"ts": at, "action": "View", "user": format!("user-{}", number % 500)}).to_string() + "\n"
    };
    fs::write(folder.path().join("events.ndjson"), (0..80_000).map(event).collect::<String>()).expect("written");
    folder
}

fn bare(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    command.env("PATH", std::env::var_os("PATH").expect("PATH"));
    command
}

/// What a command of the program writes to a pipe.
fn piped(folder: &Path, words: &[&str]) -> Output {
    bare(PROGRAM, folder).args(words).output().expect("the program starts")
}

/// What it writes to a terminal; none where none can be made.
fn at_a_terminal(folder: &Path, words: &str, env: &[(&str, &str)]) -> Option<String> {
    let mut script = bare("script", folder);
    script.args(["-qec", &format!("{PROGRAM} {words}"), "/dev/null"]).env("TERM", "xterm");
    let Ok(done) = script.envs(env.iter().copied()).output() else {
        assert!(std::env::var("TEST_REQUIRE_SERVERS").is_err(), "`script` is missing");
        eprintln!("install `script` (bsdutils) to run this test");
        return None;
    };
    assert!(done.status.success(), "{done:?}");
    Some(String::from_utf8_lossy(&done.stdout).into_owned())
}

#[test]
fn long_work_says_on_a_terminal_how_far_it_is_and_leaves_no_trace_of_that() {
    let folder = folder();
    let words = "backtest --events events.ndjson --alerts alerts.ndjson";
    let Some(shown) = at_a_terminal(folder.path(), words, &[]) else { return };
    assert!(shown.contains(&format!("{CLEAR}[##")) && shown.contains(" MiB of "), "{shown}");
    let (_, rest) = shown.rsplit_once(CLEAR).expect("cleared");
    assert!(rest.starts_with("events        80000"), "the summary stands where the bar was: {rest}");

    for (words, env) in [
        (format!("--quiet {words}"), ("X", "")),
        (format!("--log-format json {words}"), ("X", "")),
        (words.to_owned(), ("TERM", "dumb")),
    ] {
        let shown = at_a_terminal(folder.path(), &words, &[env]).expect("as before");
        assert!(shown.contains("events        80000") && !shown.contains(CLEAR), "{words} {env:?}: {shown}");
    }
    let piped = piped(folder.path(), &words.split(' ').collect::<Vec<_>>());
    let said = String::from_utf8_lossy(&piped.stderr).into_owned();
    assert!(said.starts_with("events        80000") && !said.contains(['\r', '\u{1b}']), "{said}");
}

#[test]
fn colours_are_for_terminals_and_for_those_who_want_them() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let help = piped(folder.path(), &["--help"]);
    assert!(help.status.success() && !help.stdout.contains(&0x1b));
    let Some(coloured) = at_a_terminal(folder.path(), "--help", &[]) else { return };
    assert!(coloured.contains("\u{1b}["), "headings stand out: {coloured}");
    let plain = at_a_terminal(folder.path(), "--help", &[("NO_COLOR", "1")]).expect("as before");
    assert!(plain.contains("Usage") && !plain.contains('\u{1b}'), "{plain}");
}
