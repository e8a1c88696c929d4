//! What the binary tells those who watch it: figures, readiness, the log.

#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "common/server.rs"]
mod server;

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::{Server, program};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};

const PASSWORD: (&str, &str) = ("ADMIN_PASSWORD", "correct horse battery");
/// Rises from Low to Critical.
const RULE: &str = "
title: Exports by one
id: 3b0f6a52-8d0a-4a3e-9d0a-000000000001
name: exports_by_one
logsource: {category: activity}
detection:
    selection: {action: Export}
    condition: selection
level: informational
---
title: Too many exports
id: 3b0f6a52-8d0a-4a3e-9d0a-000000000002
correlation:
    type: event_count
    rules: [exports_by_one]
    group-by: [user]
    timespan: 10m
    condition: {gte: 2}
level: low
analytics:
    v: 1
    escalate: [{at: 4, to: critical}]
";

/// What is so after a while.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A server, and what it logs from when it listens on.
fn watched(folder: &Path, env: &[(&str, &str)]) -> (Server, Arc<Mutex<Vec<String>>>) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let lines = log.clone();
    let server = Server::spawn(program(folder, &[]).envs([PASSWORD]).envs(env.iter().copied()), move |line| {
        lines.lock().expect("lines").push(line);
    });
    (server, log)
}

/// The line that says so, once it is there.
fn logged(log: &Mutex<Vec<String>>, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || {
        let lines = log.lock().expect("lines").clone();
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).find(|line| is_it(line))
    })
}

/// How many alerts of a rule and severity are counted; none where there is no such series.
fn counted(server: &Server, rule: &str, severity: &str) -> Option<u64> {
    let series = format!("security_analytics_alerts_total{{rule=\"{rule}\",severity=\"{severity}\"}} ");
    server.page("/metrics").lines().find_map(|line| line.strip_prefix(&series)?.parse().ok())
}

fn export(server: &Server, token: &str, user: &str) {
    let event = Some(json!({"action": "Export", "user": user}));
    assert_eq!(server.request("POST", "/api/logs/", Some(token), event).expect("an answer").0, 202);
}

#[test]
fn an_alert_is_counted_from_zero_at_each_severity_once() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("rule.yml"), RULE).expect("written");
    let (mut server, log) = watched(folder.path(), &[("RULES", "rule.yml")]);
    let rule = "Too many exports";
    let both = |server: &Server| Some((counted(server, rule, "Low")?, counted(server, rule, "Critical")?));
    // Prometheus sees a rise from 0, and none from nothing.
    assert_eq!(eventually("the series to be there", || both(&server)), (0, 0));
    let (_, token) = server.log_in("admin", PASSWORD.1);
    let until = domain::Clock::now(&domain::SystemClock).plus(domain::DAY);
    let exception = json!({
        "rule_id": "3b0f6a52-8d0a-4a3e-9d0a-000000000002", "key": {"user": "backup"}, "until": until, "reason": "nightly",
    });
    let made = server.request("POST", "/api/exceptions", Some(&token), Some(exception)).expect("an answer");
    assert_eq!(made.0, 201, "{}", made.1);
    (0..4).for_each(|_| export(&server, &token, "backup"));
    (0..2).for_each(|_| export(&server, &token, "Ann Archer"));
    eventually("it opens", || (both(&server)? == (1, 0)).then_some(()));
    (0..2).for_each(|_| export(&server, &token, "Ann Archer"));
    eventually("it rises, and what is excepted does not count", || (both(&server)? == (1, 1)).then_some(()));

    let opened = logged(&log, "it is said", |line| line["message"] == "an alert opened" && line["rule"] == rule);
    let rose = logged(&log, "it is said", |line| line["message"] == "an alert rose" && line["rule"] == rule);
    assert_eq!((&opened["level"], &opened["severity"]), (&json!("INFO"), &json!("Low")));
    assert_eq!((&rose["severity"], &rose["alert_id"]), (&json!("Critical"), &opened["alert_id"]));
    let path = format!("/api/alerts/{}", opened["alert_id"].as_str().expect("an id"));
    let alert = |server: &Server| server.request("GET", &path, Some(&token), None).expect("an answer").1;
    let told = alert(&server);
    assert_eq!((&told["alert_id"], &told["crossing_event"]), (&opened["alert_id"], &opened["event_id"]), "{told}");
    assert!(!log.lock().expect("lines").iter().any(|line| line.contains("Archer")), "whom it is about is not said");

    server.child.kill().expect("it lives");
    server.child.wait().expect("it is dead");
    let (server, _) = watched(folder.path(), &[("RULES", "rule.yml")]);
    export(&server, &token, "Ann Archer");
    eventually("it goes on", || (alert(&server)["event_count"] == 5).then_some(()));
    export(&server, &token, "carl");
    export(&server, &token, "carl");
    eventually("another opens", || (both(&server)?.0 > 0).then_some(()));
    assert_eq!(both(&server), Some((1, 0)), "what was counted before the restart is not counted again");
}

#[test]
fn a_request_is_one_line_with_the_ids_that_lead_to_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, log) = watched(folder.path(), &[("RUST_LOG", "info,api=debug")]);
    let (_, token) = server.log_in("admin", PASSWORD.1);
    let ask = |method: &str, path: &str, token: Option<&str>, body: Option<Value>| {
        server.request(method, path, token, body).expect("an answer")
    };
    let of = |method: &str, route: &str, status: u16| {
        logged(&log, route, |line| {
            line["method"] == method
                && line["route"] == route
                && line["status"] == status
                && line["request_id"].is_string()
        })
    };
    let item = json!({"name": "Bolt", "quantity": 3});
    assert_eq!(ask("POST", "/api/inventory/", Some(&token), Some(item)).0, 201);
    let made = of("POST", "/api/inventory", 201);
    assert_eq!((&made["level"], &made["user_id"], made["took_ms"].is_u64()), (&json!("DEBUG"), &json!(1), true));

    let (status, missing) = ask("GET", "/api/inventory/17?search=secret-words", Some(&token), None);
    assert_eq!(status, 404);
    let refused = of("GET", "/api/inventory/{item_id}", 404);
    assert_eq!((&refused["level"], &refused["request_id"]), (&json!("INFO"), &missing["request_id"]), "{refused}");
    let (_, anonymous) = ask("GET", "/api/users/", None, None);
    let unknown = of("GET", "/api/users", 401);
    assert_eq!((&unknown["level"], &unknown["request_id"]), (&json!("DEBUG"), &anonymous["request_id"]));
    assert!(unknown["user_id"].is_null() && unknown["event_id"].is_null(), "{unknown}");

    // The activity of each is the one that its line names, whether a handler or the gate wrote it.
    let logs = eventually("all are stored", || {
        let (_, logs) = ask("GET", "/api/logs/?all=true&user_id=1", Some(&token), None);
        let logs = logs.as_array()?.clone();
        let has = |line: &Value| logs.iter().any(|row| row["request_id"] == line["request_id"]);
        (has(&made) && has(&refused)).then_some(logs)
    });
    for line in [&made, &refused] {
        let row = logs.iter().find(|row| row["request_id"] == line["request_id"]).expect("stored");
        assert_eq!(row["event_id"], line["event_id"], "{line}");
    }
    let all = log.lock().expect("lines").join("\n");
    assert!(!all.contains(&token) && !all.contains("secret-words") && !all.contains(PASSWORD.1));
}

#[test]
fn a_server_whose_database_takes_no_changes_is_not_ready() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, _) = watched(folder.path(), &[]);
    let ready = || {
        let (status, body) = server.request("GET", "/api/health/ready", None, None).expect("an answer");
        (status, body["database"].as_str().unwrap_or_default().to_owned())
    };
    let (good, bad) = ((200, "ready".to_owned()), (503, "unavailable".to_owned()));
    assert_eq!(ready(), good);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let file = folder.path().join("data/analytics.db");
    let mut other = runtime.block_on(async {
        let mut other = SqliteConnectOptions::new().filename(file).connect().await.expect("another process's");
        other.execute("BEGIN IMMEDIATE").await.expect("the lock");
        other
    });
    eventually("it says so", || (ready() == bad).then_some(()));
    assert!(server.page("/metrics").contains("\nsecurity_analytics_database_ready 0\n"));
    assert_eq!(
        server.request("GET", "/api/health/live", None, None).expect("an answer").0,
        200,
        "a restart helps nobody"
    );
    runtime.block_on(async { other.execute("ROLLBACK").await.expect("given back") });
    eventually("it is ready again", || (ready() == good).then_some(()));
    assert!(server.page("/metrics").contains("\nsecurity_analytics_database_ready 1\n"));
}
