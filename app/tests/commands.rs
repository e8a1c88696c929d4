//! Commands that speak to a server, or to whoever types them: what they leave when they are asked to end, what they say when
//! they are refused, and what a shell offers for them.

#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "common/port.rs"]
mod port;
#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "common/server.rs"]
mod server;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::{PROGRAM, Server, program};
use tempfile::TempDir;

const PASSWORD: (&str, &str) = ("ADMIN_PASSWORD", "correct horse battery");
/// How long anything may take: machines that test are busy.
const PATIENCE: Duration = Duration::from_secs(60);

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The signals that ask a command to end. Where the test itself is to survive its terminal, so do its children.
fn signals() -> Vec<&'static str> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).map(str::trim);
    let hangup = ignored.and_then(|mask| u64::from_str_radix(mask, 16).ok()).is_none_or(|mask| mask & 1 == 0);
    let all = ["-TERM", "-INT", "-HUP"];
    all[..if hangup { 3 } else { 2 }].to_vec()
}

fn send(signal: &str, to: &Child) {
    assert!(Command::new("kill").args([signal, &to.id().to_string()]).status().expect("kill").success());
}

/// Waits for the end, but not for ever.
fn ended(mut child: Child) -> Option<i32> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status.code();
        }
        if begun.elapsed() > PATIENCE {
            child.kill().expect("killed");
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reads until a line with these words.
fn until(reader: impl Read, words: &str) {
    let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains(words)), "it ended without `{words}`");
}

#[test]
fn a_simulation_that_is_asked_to_end_leaves_no_key_that_is_good() {
    let folder = folder();
    let server = Server::start(folder.path(), &[PASSWORD]);
    let url = format!("http://{}", server.address);
    let (_, token) = server.log_in("admin", PASSWORD.1);
    let keys = || server.request("GET", "/api/keys", Some(&token), None).expect("an answer").1;
    let simulate = || {
        let mut simulate = program(folder.path(), &["simulate", "--url", &url, "--for", "10m"]);
        let simulate = simulate.envs([PASSWORD]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut simulate = simulate.spawn().expect("the program starts");
        until(simulate.stderr.take().expect("piped"), "people at work");
        simulate
    };
    for signal in signals() {
        let simulate = simulate();
        send(signal, &simulate);
        assert_eq!(ended(simulate), Some(0), "{signal}: it ends in good order");
        let keys = keys();
        let keys = keys.as_array().expect("a list");
        assert!(keys.iter().all(|key| key["revoked_at"].is_string()), "{signal}: {keys:?}");
    }
    let before = keys().as_array().expect("a list").len();
    let killed = simulate();
    send("-KILL", &killed);
    ended(killed);
    let keys = keys();
    let keys = keys.as_array().expect("a list");
    assert_eq!(keys.len(), before + 1);
    assert!(keys.iter().all(|key| key["expires_at"].is_string()), "nobody could revoke it: {keys:?}");
}

#[test]
fn a_demonstration_is_its_owners_alone_and_takes_its_data_along() {
    for signal in signals() {
        let folder = folder();
        let mut demo = program(folder.path(), &["demo", "--days", "3", "--users", "10"]);
        let demo = demo.env("TMPDIR", folder.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut demo = demo.spawn().expect("the program starts");
        until(demo.stdout.take().expect("piped"), "Attacks come now");
        let made: Vec<_> = fs::read_dir(folder.path()).expect("readable").map(|entry| entry.expect("one")).collect();
        let [data] = &made[..] else { panic!("{made:?}") };
        assert_eq!(data.metadata().expect("there").permissions().mode() & 0o777, 0o700);
        send(signal, &demo);
        assert_eq!(ended(demo), Some(0), "{signal}: it ends in good order");
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0, "{signal}: nothing is left");
    }
}

#[test]
fn a_refusal_says_what_to_do() {
    let folder = folder();
    let server = Server::start(folder.path(), &[PASSWORD]);
    let url = format!("http://{}", server.address);
    let asked = |words: &[&str], password: &str| -> (Option<i32>, String) {
        let mut command = program(folder.path(), words);
        let Output { status, stderr, .. } = command.env(PASSWORD.0, password).output().expect("the program starts");
        let said = text(&stderr);
        assert_eq!(said.lines().count(), 1, "{words:?}: {said}");
        (status.code(), said)
    };
    for command in ["simulate", "tail"] {
        let (code, said) = asked(&[command, "--url", &url], "another good one");
        assert!(
            code == Some(2) && said.contains("the password of admin is not this one; set ADMIN_PASSWORD"),
            "{said}"
        );
        let (_socket, nowhere) = port::closed();
        let (code, said) = asked(&[command, "--url", &format!("http://{nowhere}")], "another good one");
        assert!(code == Some(3) && said.contains("no server listens there"), "{said}");
        assert_eq!(said.matches(&nowhere.to_string()).count(), 1, "{said}");
    }
    let made = program(folder.path(), &["admin", "create-user", "sue", "--role", "supervisor"]).output();
    let made = text(&made.expect("the program starts").stdout);
    let password = made.trim().trim_start_matches("Password: ");
    let (code, said) = asked(&["simulate", "--url", &url, "--user", "sue"], password);
    assert!(code == Some(2) && said.contains("sue is no Admin") && said.contains("--user"), "{said}");
    while server.log_in("sue", "another good one").0 != 429 {}
    let (code, said) = asked(&["simulate", "--url", &url, "--user", "sue"], password);
    assert!(code == Some(3) && said.contains("Too many attempts. Try again in"), "{said}");
}

#[test]
fn alerts_that_nobody_reads_any_more_are_no_failure() {
    let folder = folder();
    let server = Server::start(folder.path(), &[PASSWORD]);
    let (_, token) = server.log_in("admin", PASSWORD.1);
    let script = format!("{PROGRAM} tail --url http://{} | head -1; exit ${{PIPESTATUS[0]}}", server.address);
    let mut piped = Command::new("bash");
    let piped = piped.args(["-c", &script]).current_dir(folder.path()).envs([PASSWORD]);
    let mut piped = piped.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("bash");
    let mut notes = BufReader::new(piped.stderr.take().expect("piped")).lines().map_while(Result::ok);
    assert!(notes.next().is_some_and(|line| line.starts_with("following the alerts")));
    let begun = Instant::now();
    for user in 0.. {
        if let Some(status) = piped.try_wait().expect("a child") {
            assert_eq!(status.code(), Some(0), "{:?}", notes.collect::<Vec<_>>());
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        let failed = json!({"action": "LoginFailed", "user": format!("user-{user}")});
        let posted = server.request("POST", "/api/logs/", Some(&token), Some(Value::from(vec![failed; 5])));
        assert_eq!(posted.expect("an answer").0, 202);
        std::thread::sleep(Duration::from_millis(300));
    }
}

#[test]
fn what_is_typed_wrong_is_one_line() {
    let folder = folder();
    for words in [&["fly"][..], &["rules"], &["backtest"], &["tail", "--severity", "loud"], &["key", "revoke"]] {
        let Output { status, stdout, stderr } = program(folder.path(), words).output().expect("the program starts");
        let said = text(&stderr);
        assert_eq!((status.code(), said.lines().count(), stdout.len()), (Some(2), 1, 0), "{words:?}: {said}");
        assert!(said.starts_with("security-analytics: ") && said.contains(" --help` says more"), "{said}");
    }
}

/// What bash offers for the last word of a line.
fn offered(script: &Path, line: &str) -> Vec<String> {
    let ask = r#"source "$1"; shift
        [[ $(complete -p security-analytics) =~ -F\ ([^ ]+) ]] || exit 1
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        "${BASH_REMATCH[1]}" security-analytics "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" 2>errors
        printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = Command::new("bash");
    let bash = bash.args(["--norc", "-c", ask, "bash"]).arg(script).args(line.split(' '));
    let done = bash.current_dir(script.parent().expect("a folder")).output().expect("bash");
    assert!(done.status.success(), "{line}: {}", text(&done.stderr));
    text(&done.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_every_word_and_not_only_the_first() {
    let folder = folder();
    let file = folder.path().join("completions");
    let made = program(folder.path(), &["completions", "bash"]).output().expect("the program starts");
    fs::write(&file, made.stdout).expect("written");
    for (line, wanted) in [
        ("security-analytics si", "simulate"),
        ("security-analytics rules ch", "check"),
        ("security-analytics admin res", "reset-password"),
        ("security-analytics admin reset-password --pass", "--password-stdin"),
        ("security-analytics offsets reset --to", "--topic"),
        ("security-analytics backtest --sto", "--stored"),
        ("security-analytics tail --severity h", "high"),
        ("security-analytics simulate --attack sp", "spraying"),
        ("security-analytics completions z", "zsh"),
    ] {
        assert_eq!(offered(&file, line), [wanted], "{line}");
    }
    let rules = offered(&file, "security-analytics rules ");
    assert!(["check", "list", "test", "--rules"].iter().all(|word| rules.iter().any(|of| of == word)), "{rules:?}");
}
