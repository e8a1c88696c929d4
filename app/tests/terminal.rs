//! What a person sees at a terminal and a program in a pipe: progress, colours, help. The terminal is made by `script`.

#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "common/server.rs"]
mod server;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::json;
use server::{PROGRAM, Server};
use tempfile::TempDir;

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
    assert!(shown.contains(&format!("{CLEAR}[")) && shown.contains(" MiB of "), "{shown}");
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
fn reprocessing_history_fills_the_bar() {
    let folder = folder();
    let text = fs::read_to_string(folder.path().join("events.ndjson")).expect("made");
    let posted: String = text.lines().take(20_000).map(|line| format!("{line}\n")).collect();
    let server = Server::start(folder.path(), &[("ADMIN_PASSWORD", "correct horse battery")]);
    let (_, token) = server.log_in("admin", "correct horse battery");
    let key = piped(folder.path(), &["key", "create", "past"]);
    let key = String::from_utf8_lossy(&key.stdout).trim().to_owned();
    fs::write(folder.path().join("posted.ndjson"), posted).expect("written");
    let sent = bare("curl", folder.path())
        .args(["-sf", "-H", &format!("Authorization: Bearer {key}"), "-H", "Content-Type: application/x-ndjson"])
        .args(["--data-binary", "@posted.ndjson", &format!("http://{}/api/logs/", server.address)])
        .output();
    assert!(sent.as_ref().is_ok_and(|done| done.status.success()), "{sent:?}");
    let pending = || {
        let (_, state) = server.request("GET", "/api/health/ready", Some(&token), None).expect("an answer");
        state["ingest_lag"] != 0
    };
    while pending() {
        std::thread::sleep(Duration::from_millis(50));
    }
    // Between them and what the server itself did today lie months.
    let Some(shown) = at_a_terminal(folder.path(), "reprocess --from 2026-01-01", &[]) else { return };
    assert!(shown.contains(" activities, 20000 of them late"), "{shown}");
    // What is drawn first is always seen, however fast the rest goes: a page of 5,000, and a quarter of all. The server's
    // own activities and those of today's log-ins are a few more.
    let (_, drawn) = shown.split_once("] ").expect("a bar");
    assert!(drawn.starts_with(" 25 %  5000 activities") || drawn.starts_with(" 24 %  5000 activities"), "{shown}");
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
