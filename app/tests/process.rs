//! The binary as a service manager and a script see it: what it writes, what it leaves, how it ends.

#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "common/port.rs"]
mod port;
#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "common/server.rs"]
mod server;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::{Server, program};
use tempfile::TempDir;

fn output(folder: &Path, words: &[&str]) -> Output {
    program(folder, words).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// How long anything may take: machines that test are busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until it holds.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[test]
fn it_starts_with_nothing_and_goes_on_after_a_kill() {
    let folder = folder();
    let mut server = Server::start(folder.path(), &[]);
    assert!(server.log[0]["message"].as_str().expect("words").starts_with("serving on http://127.0.0.1:"));
    let data = folder.path().join("data");
    let mode = |name: &str| fs::metadata(data.join(name)).expect(name).permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("jwt-secret"), mode("analytics.db")), (0o700, 0o600, 0o600));
    assert_eq!(mode("initial-admin-password"), 0o600);
    let password = fs::read_to_string(data.join("initial-admin-password")).expect("made");

    let (status, token) = server.log_in("admin", password.trim());
    assert_eq!(status, 200);
    let item = json!({"name": "Bolt", "quantity": 3});
    let made = server.request("POST", "/api/inventory/", Some(&token), Some(item)).expect("an answer");
    assert_eq!(made.0, 201);
    server.child.kill().expect("it lives");
    server.child.wait().expect("it is dead");

    let server = Server::start(folder.path(), &[]);
    let (status, item) = server.request("GET", "/api/inventory/1", Some(&token), None).expect("an answer");
    assert_eq!((status, &item["quantity"]), (200, &json!(3)), "the token still holds and the item is there");
    assert!(server.log.iter().all(|line| line["level"] == "INFO"), "no second password: {:?}", server.log);
}

#[test]
fn an_attack_is_found_once_though_the_server_is_killed() {
    let folder = folder();
    let mut server = Server::start(folder.path(), &[("ADMIN_PASSWORD", "correct horse battery")]);
    let (_, token) = server.log_in("admin", "correct horse battery");
    let alerts = |server: &Server| -> Vec<Value> {
        let (status, alerts) = server.request("GET", "/api/alerts/", Some(&token), None).expect("an answer");
        assert_eq!(status, 200, "{alerts}");
        let found = alerts.as_array().expect("an array").iter();
        found.filter(|alert| alert["user"] == "eve").cloned().collect()
    };
    let failures: Vec<_> = (0..5).map(|_| json!({"action": "LoginFailed", "user": "eve"})).collect();
    let posted = server.request("POST", "/api/logs/", Some(&token), Some(json!(failures))).expect("an answer");
    assert_eq!((posted.0, &posted.1["accepted"]), (202, &json!(5)), "{}", posted.1);
    eventually("an alert", || !alerts(&server).is_empty());
    let before = alerts(&server);
    server.child.kill().expect("it lives");
    server.child.wait().expect("it is dead");

    let server = Server::start(folder.path(), &[]);
    eventually("nothing waits in the journal", || {
        let ready = server.request("GET", "/api/health/ready", None, None);
        ready.is_some_and(|(_, body)| body["journal_pending"] == 0)
    });
    let ids = |alerts: &[Value]| alerts.iter().map(|alert| alert["alert_id"].to_string()).collect::<Vec<_>>();
    assert_eq!(ids(&alerts(&server)), ids(&before));
}

#[test]
fn it_ends_in_good_order_when_it_is_asked_to() {
    for signal in ["-TERM", "-INT"] {
        let folder = folder();
        let mut server = Server::start(folder.path(), &[]);
        let begun = Instant::now();
        server.signal(signal);
        let status = server.child.wait().expect("it ends");
        assert_eq!((status.code(), status.signal()), (Some(0), None), "{signal}");
        assert!(begun.elapsed() < PATIENCE);
    }
}

#[test]
fn a_given_password_is_used_and_stands_nowhere() {
    let folder = folder();
    let server = Server::start(folder.path(), &[("ADMIN_PASSWORD", "correct horse battery")]);
    assert_eq!(server.log_in("admin", "correct horse battery").0, 200);
    assert!(!folder.path().join("data/initial-admin-password").exists());
    assert!(!server.log.iter().any(|line| line.to_string().contains("correct horse")));
}

#[test]
fn commands_work_beside_a_live_server_and_take_effect_in_it() {
    let folder = folder();
    let server = Server::start(folder.path(), &[("ADMIN_PASSWORD", "correct horse battery")]);
    let (_, token) = server.log_in("admin", "correct horse battery");
    assert_eq!(server.request("GET", "/api/auth/me", Some(&token), None).expect("an answer").0, 200);

    let key = output(folder.path(), &["key", "create", "firewall"]);
    let secret = text(&key.stdout).trim().to_owned();
    assert!(key.status.success() && secret.starts_with("sa_"), "{key:?}");
    let event = || Some(json!({"action": "View", "user": "ann"}));
    assert_eq!(server.request("POST", "/api/logs/", Some(&secret), event()).expect("an answer").0, 202);
    assert!(text(&output(folder.path(), &["key", "list"]).stdout).contains("firewall"));
    assert!(output(folder.path(), &["key", "revoke", "firewall"]).status.success());

    let mut reset = program(folder.path(), &["admin", "reset-password", "admin", "--password-stdin"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the program starts");
    reset.stdin.take().expect("piped").write_all(b"another good one\n").expect("it reads");
    assert!(reset.wait().expect("it ends").success());

    // The server notices another process's change within a moment.
    let refused = |method: &str, path: &str, token: &str, body: Option<Value>| {
        server.request(method, path, Some(token), body).expect("an answer").0 == 401
    };
    eventually("the old session is over", || refused("GET", "/api/auth/me", &token, None));
    eventually("the key is revoked", || refused("POST", "/api/logs/", &secret, event()));
    assert_eq!(server.log_in("admin", "another good one").0, 200);

    let made = output(folder.path(), &["admin", "create-user", "sue", "--role", "supervisor"]);
    let password = text(&made.stdout).trim().trim_start_matches("Password: ").to_owned();
    assert_eq!(server.log_in("sue", &password).0, 200);
    assert_eq!(output(folder.path(), &["admin", "create-user", "SUE"]).status.code(), Some(1));
}

#[test]
fn a_second_server_is_told_why_it_cannot_be() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]);
    let second = output(folder.path(), &[]);
    assert_eq!(second.status.code(), Some(3));
    let words = text(&second.stderr);
    assert!(words.contains("another process serves from this data directory") && words.lines().count() == 1, "{words}");
    let taken = server.address.to_string();
    let third = output(folder.path(), &["--listen", &taken, "--data-dir", "other"]);
    assert_eq!(third.status.code(), Some(3));
    assert!(text(&third.stderr).contains("--listen"));
    assert!(!folder.path().join("other").exists(), "it left no trace");
}

#[test]
fn wrong_configuration_is_one_line_and_exit_code_two() {
    let folder = folder();
    for (env, words) in [
        (("LISTEN", "here"), "LISTEN"),
        (("DATABASE_URL", "mysql://u:p@127.0.0.1:1/d"), "KAFKA_BROKERS"),
        (("KAFKA_BROKERS", "127.0.0.1:1"), "DATABASE_URL"),
        (("JWT_SECRET_KEY", "your-secret-key-change-it-in-production"), "JWT_SECRET_KEY"),
        (("RULES", "nowhere.yml"), "nowhere.yml"),
    ] {
        let ended = program(folder.path(), &[]).env(env.0, env.1).output().expect("the program starts");
        let said = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{said}");
        let errors: Vec<_> = said.lines().filter(|line| line.starts_with("security-analytics: ")).collect();
        assert!(matches!(errors[..], [line] if line.contains(words)), "{said}");
    }
    let role = output(folder.path(), &["ingest"]);
    assert_eq!(role.status.code(), Some(2));
    assert!(text(&role.stderr).contains("Kafka"));
    assert_eq!(output(folder.path(), &["fly"]).status.code(), Some(2));
    assert_eq!(output(folder.path(), &["config", "check"]).status.code(), Some(0));
}

#[test]
fn a_command_without_a_database_says_what_to_do_or_makes_one() {
    let folder = folder();
    let list = output(folder.path(), &["key", "list"]);
    assert_eq!(list.status.code(), Some(2));
    assert!(text(&list.stderr).contains("--data-dir") && !folder.path().join("data").exists());
    assert!(output(folder.path(), &["key", "create", "first"]).status.success());
    assert!(text(&output(folder.path(), &["key", "list"]).stdout).contains("first"));
    assert!(output(folder.path(), &["migrate"]).status.success());
}

#[test]
fn a_copy_of_a_live_database_is_a_database() {
    let folder = folder();
    let server = Server::start(folder.path(), &[("ADMIN_PASSWORD", "correct horse battery")]);
    fs::create_dir(folder.path().join("copy")).expect("a folder");
    assert!(output(folder.path(), &["backup", "copy/analytics.db"]).status.success());
    assert_eq!(output(folder.path(), &["backup", "copy/analytics.db"]).status.code(), Some(2), "it exists");
    let mode = fs::metadata(folder.path().join("copy/analytics.db")).expect("there").permissions().mode();
    assert_eq!(mode & 0o077, 0, "it holds password hashes");
    drop(server);
    let server = Server::start(folder.path(), &[("DATA_DIR", "copy")]);
    assert_eq!(server.log_in("admin", "correct horse battery").0, 200);
}

#[test]
fn completions_need_nothing() {
    let folder = folder();
    fs::write(folder.path().join(".env"), "not a setting").expect("written");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = output(folder.path(), &["completions", shell]);
        assert!(script.status.success() && text(&script.stdout).contains("reset-password"), "{shell}");
    }
    // Words, and no files, where there are words.
    let script = text(&output(folder.path(), &["completions", "bash"]).stdout);
    let offered: Vec<&str> = script.lines().skip_while(|line| line.trim() != "--log-format)").skip(1).take(1).collect();
    assert!(offered[0].contains(r#"compgen -W "text json""#), "{offered:?}");
    assert!(script.contains("ingest detector intake"), "the readers");
}

#[test]
fn attacks_that_are_simulated_are_caught_and_the_key_is_gone_afterwards() {
    let folder = folder();
    let password = ("ADMIN_PASSWORD", "correct horse battery");
    let settings = [password, ("TIME_ZONE", "UTC"), ("WORKING_HOURS", server::hours_far_from_now())];
    let server = Server::start(folder.path(), &settings);
    let url = format!("http://{}", server.address);
    let mut simulate = program(folder.path(), &["simulate", "--url", &url, "--for", "3s"]);
    let done = simulate.envs(settings).output().expect("the program starts");
    let (table, notes) = (text(&done.stdout), text(&done.stderr));
    assert_eq!(done.status.code(), Some(0), "{table}{notes}");
    assert_eq!(table.lines().filter(|line| line.contains(" caught after ")).count(), 6, "{table}");
    let mut by_day = program(folder.path(), &["simulate", "--url", &url, "--attack", "insider-at-night"]);
    let by_day =
        by_day.envs([("TIME_ZONE", "UTC"), ("WORKING_HOURS", "Mon-Sun 00:00-24:00")]).output().expect("starts");
    assert_eq!(by_day.status.code(), Some(2), "{}", text(&by_day.stderr));
    let (_, token) = server.log_in("admin", password.1);
    let (status, keys) = server.request("GET", "/api/keys", Some(&token), None).expect("an answer");
    assert_eq!((status, keys.as_array().map(Vec::len)), (200, Some(1)), "{keys}");
    assert!(keys[0]["revoked_at"].is_string(), "{keys}");
}

#[test]
fn the_demonstration_tells_a_past_catches_every_attack_and_leaves_nothing() {
    let folder = folder();
    let mut demo = program(folder.path(), &["demo", "--no-wait", "--for", "3s", "--days", "10", "--users", "20"]);
    let done = demo.env("TMPDIR", folder.path()).output().expect("the program starts");
    let (said, notes) = (text(&done.stdout), text(&done.stderr));
    assert_eq!(done.status.code(), Some(0), "{said}{notes}");
    assert_eq!(said.lines().filter(|line| line.contains(" caught after ")).count(), 5, "{said}");
    assert!(said.contains("outside working hours, last night"), "{said}");
    assert!(said.lines().filter(|line| line.contains("/#/alerts/")).count() >= 6, "{said}");
    assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0, "nothing is left");
}

#[test]
fn alerts_are_followed_in_a_terminal_over_a_restart_of_the_server() {
    let folder = folder();
    let password = ("ADMIN_PASSWORD", "correct horse battery");
    // It comes back to it.
    let address = format!("127.0.0.1:{}", port::free_port());
    let mut server = Server::start(folder.path(), &[password, ("LISTEN", &address)]);
    let url = format!("http://{address}");
    let mut tail = program(folder.path(), &["tail", "--url", &url]);
    let mut tail = tail
        .env(password.0, password.1)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let lines = |reader: Box<dyn Read + Send>| {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                drop(sender.send(line));
            }
        });
        move || receiver.recv_timeout(PATIENCE).ok()
    };
    let said = lines(Box::new(tail.stdout.take().expect("piped")));
    let noted = lines(Box::new(tail.stderr.take().expect("piped")));
    assert!(noted().expect("a note").starts_with("following the alerts of "));
    let guess = |server: &Server, user: &str| {
        for _ in 0..5 {
            assert_eq!(server.log_in(user, "not it").0, 401);
        }
    };
    let told = |user: &str| loop {
        let line = said().expect("a line in time");
        assert!(!line.contains('\u{1b}'), "colours are for terminals: {line}");
        if line.contains(&format!("Password guessing against an account, short burst · {user} · ")) {
            break;
        }
        assert!(!line.contains(" · eve · "), "said twice: {line}");
    };
    guess(&server, "eve");
    told("eve");

    server.child.kill().expect("it lives");
    server.child.wait().expect("it is dead");
    assert!(noted().expect("a note").ends_with("; trying again"));
    let server = Server::start(folder.path(), &[password, ("LISTEN", &address)]);
    // It may be raised before the stream is there again, and eve is not told of twice.
    guess(&server, "mallory");
    told("mallory");
    assert!(noted().expect("a note").ends_with(": there again"));

    let ended = Command::new("kill").args(["-INT", &tail.id().to_string()]).status().expect("kill");
    assert!(ended.success() && tail.wait().expect("it ends").success());
    // It gives the server two seconds, which may be too few here.
    let note = noted();
    assert!(note.as_ref().is_none_or(|note| note == "not logged out: no answer"), "{note:?}");
    let (_, token) = server.log_in("admin", password.1);
    eventually("it logged out", || {
        let logs = server.request("GET", "/api/logs/?action_type=Logout", Some(&token), None).expect("an answer").1;
        logs.as_array().expect("a list").iter().any(|row| row["username"] == "admin")
    });
}
