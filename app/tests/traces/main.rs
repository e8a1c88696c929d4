//! A build with the feature `otel`: from the request to the alert in one trace, and nothing that a collector could disturb.
//!
//! | file | what |
//! |---|---|
//! | `main` | the stories |
//! | `collector` | a collector of the test's own |

mod collector;
#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "../common/port.rs"]
mod port;
#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "../common/server.rs"]
mod server;

use std::net::TcpListener;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use collector::{Collector, Span};
use serde_json::{Value, json};
use server::{Server, program};
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection};
use tempfile::TempDir;

const PASSWORD: &str = "correct horse battery";
/// The caller's span.
const CALLER: &str = "00f067aa0ba902b7";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn start(folder: &TempDir, endpoint: &str, more: &[(&str, &str)]) -> (Server, mpsc::Receiver<String>) {
    let (sender, log) = mpsc::channel();
    let mut command = program(folder.path(), &[]);
    command.env("ADMIN_PASSWORD", PASSWORD).env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20of-the-collector");
    command.env("OTEL_BSP_SCHEDULE_DELAY", "50").envs(more.iter().copied());
    let server = Server::spawn(&mut command, move |line| {
        // The test may be over.
        drop(sender.send(line));
    });
    (server, log)
}

fn guess(server: &Server, user: &str) {
    let body = json!({"username": user, "password": "not-the-password"});
    for _ in 0..5 {
        let header = format!("traceparent: 00-{TRACE}-{CALLER}-01\r\n");
        let answer = server.send("POST", "/api/auth/login?secret=of-the-query", &header, Some(body.clone()));
        assert_eq!(answer.expect("an answer").0, 401);
    }
}

fn in_trace<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.trace == TRACE && span.name == name).collect()
}

/// The parent of each is one of the others.
fn are_children(children: &[&Span], parents: &[&Span]) {
    for child in children {
        assert!(parents.iter().any(|parent| parent.id == child.parent), "{child:?} under {parents:#?}");
    }
}

fn is(span: &Span, name: &str, value: &str) {
    assert_eq!(span.attributes.get(name).map(String::as_str), Some(value), "{name} of {span:?}");
}

#[test]
fn a_request_and_what_follows_from_it_are_one_trace() {
    let (folder, collector) = (folder(), Collector::start());
    let (mut server, _log) = start(&folder, &format!("http://{}", collector.address), &[]);
    guess(&server, "eve-the-user");
    let (_, token) = server.log_in("admin", PASSWORD);
    let path = "/api/inventory/7?q=of-the-query";
    assert_eq!(server.request("GET", path, Some(&token), None).expect("an answer").0, 404);
    let spans = collector.until("the alert", |spans| {
        let done = in_trace(spans, "alert").len() > 1
            && ["POST /api/auth/login", "ingest journal", "detect journal"]
                .iter()
                .all(|name| in_trace(spans, name).len() == 5)
            && spans.iter().any(|span| span.name == "GET /api/inventory/{item_id}");
        done.then(|| spans.to_vec())
    });

    let requests = in_trace(&spans, "POST /api/auth/login");
    assert_eq!(requests.len(), 5, "{spans:#?}");
    for request in &requests {
        assert_eq!((request.parent.as_str(), request.kind, request.status), (CALLER, 2, 0));
        is(request, "http.request.method", "POST");
        is(request, "http.route", "/api/auth/login");
        is(request, "http.response.status_code", "401");
        is(request, "url.path", "/api/auth/login");
        assert_eq!(request.attributes["request_id"].len(), 36);
    }
    let commits = in_trace(&spans, "commit");
    assert!(commits.len() >= 5, "{spans:#?}");
    are_children(&commits, &requests);
    is(commits[0], "db.system.name", "sqlite");
    let (ingested, detected) = (in_trace(&spans, "ingest journal"), in_trace(&spans, "detect journal"));
    assert_eq!((ingested.len(), detected.len()), (5, 5));
    for work in [&ingested, &detected] {
        are_children(work, &requests);
        assert!(work.iter().all(|span| span.kind == 5 && span.status == 0));
        is(work[0], "messaging.operation.type", "process");
        is(work[0], "messaging.system", "journal");
    }
    let alerts = in_trace(&spans, "alert");
    are_children(&alerts, &detected);
    let burst = "Password guessing against an account, short burst";
    let alert = alerts.iter().find(|span| span.attributes["security_rule.name"] == burst).expect("one of the rule");
    is(alert, "alert.severity", "Low");
    assert_eq!((alert.attributes["alert.id"].len(), alert.attributes["security_rule.uuid"].len()), (36, 36));

    let seen = spans.iter().find(|span| span.name == "GET /api/inventory/{item_id}").expect("seen");
    assert!(seen.parent.is_empty() && seen.trace != TRACE, "it begins a trace of its own: {seen:?}");
    is(seen, "user.id", "1");
    is(seen, "url.path", "/api/inventory/7");

    // What people write and what must stay secret is in none of them.
    let said = format!("{spans:?}");
    for word in ["eve-the-user", "of-the-query", "not-the-password", PASSWORD, &token, "of-the-collector"] {
        assert!(!said.contains(word), "{word}: {said}");
    }
    assert_eq!(collector.authorization().as_deref(), Some("Bearer of-the-collector"));
    assert_eq!(collector.resource()["service.name"], "security-analytics");

    // The end does not lose what came last.
    assert_eq!(server.request("GET", "/api/no/such/address", Some(&token), None).expect("an answer").0, 404);
    server.signal("-TERM");
    assert!(server.child.wait().expect("it ends").success());
    let unknown = collector.spans().into_iter().rfind(|span| span.name == "GET").expect("the last one");
    assert!(!unknown.attributes.contains_key("url.path"), "an address that nobody knows may say anything: {unknown:?}");
}

#[test]
fn posted_events_are_in_the_trace_of_their_request_or_in_their_own() {
    let (folder, collector) = (folder(), Collector::start());
    let (server, _log) =
        start(&folder, &format!("http://{}", collector.address), &[("OTEL_SERVICE_NAME", "of-the-environment")]);
    let (_, token) = server.log_in("admin", PASSWORD);
    let own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let events = json!([
        {"action": "View", "user": "ann"},
        {"action": "View", "user": "ann", "traceparent": own},
        {"action": "View", "user": "ann", "traceparent": "nonsense"},
    ]);
    let headers = format!("Authorization: Bearer {token}\r\ntraceparent: 00-{TRACE}-{CALLER}-01\r\n");
    let answer = server.send("POST", "/api/logs/", &headers, Some(events)).expect("an answer");
    assert_eq!((answer.0, &answer.1["accepted"]), (202, &json!(3)), "{}", answer.1);
    let spans = collector.until("both", |spans| {
        let of = |trace: &str| spans.iter().any(|span| span.trace == trace && span.name == "detect journal");
        // What a request leads to may end before it.
        let request = !in_trace(spans, "POST /api/logs").is_empty();
        (of(TRACE) && of(&own[3..35]) && request).then(|| spans.to_vec())
    });
    are_children(&in_trace(&spans, "detect journal"), &in_trace(&spans, "POST /api/logs"));
    assert_eq!(in_trace(&spans, "detect journal").len(), 1);
    let theirs: Vec<_> = spans.iter().filter(|span| span.trace == own[3..35]).collect();
    assert!(theirs.iter().all(|span| span.parent == own[36..52]), "{theirs:?}");
    assert_eq!(collector.resource()["service.name"], "of-the-environment");
}

#[test]
fn what_the_caller_does_not_sample_is_not_exported() {
    let (folder, collector) = (folder(), Collector::start());
    let (server, _log) = start(&folder, &format!("http://{}", collector.address), &[]);
    let ask = |flags: &str, trace: &str| {
        let header = format!("traceparent: 00-{trace}-{CALLER}-{flags}\r\n");
        assert_eq!(server.send("GET", "/api/health", &header, None).expect("an answer").0, 200);
    };
    ask("00", &TRACE.replace('4', "5"));
    ask("01", TRACE);
    collector.until("the sampled one", |spans| (!in_trace(spans, "GET /api/health").is_empty()).then_some(()));
    assert!(collector.spans().iter().all(|span| span.trace != TRACE.replace('4', "5")));
}

#[test]
fn a_collector_that_is_away_or_silent_disturbs_nobody() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent = silent.local_addr().expect("bound");
    let (_socket, away) = port::closed();
    for address in [away, silent] {
        let folder = folder();
        // Ten minutes for an answer: longer than the end may take, on any machine.
        let more = [("OTEL_BSP_MAX_QUEUE_SIZE", "8"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "600000")];
        let (mut server, log) = start(&folder, &format!("http://{address}"), &more);
        let (status, token) = server.log_in("admin", PASSWORD);
        assert_eq!(status, 200);
        for _ in 0..30 {
            assert_eq!(server.request("GET", "/api/auth/me", Some(&token), None).expect("an answer").0, 200);
        }
        let told = loop {
            let line = log.recv_timeout(Duration::from_secs(60)).expect("a line that says so");
            if line.contains("spans are lost") {
                break line;
            }
        };
        let told: Value = serde_json::from_str(&told).expect("JSON");
        assert_eq!(told["level"], "WARN");
        let page = server.page("/metrics");
        let lost = page.lines().find_map(|line| line.strip_prefix("security_analytics_trace_spans_lost_total "));
        assert!(lost.is_some_and(|lost| lost.parse::<u64>().is_ok_and(|lost| lost > 0)), "{page}");
        let begun = Instant::now();
        server.signal("-TERM");
        assert!(server.child.wait().expect("it ends").success());
        assert!(begun.elapsed() < Duration::from_secs(60), "{address}: {:?}", begun.elapsed());
        let again = log.iter().filter(|line| line.contains("spans are lost")).count();
        assert_eq!(again, 0, "said once");
    }
}

#[test]
fn what_it_cannot_speak_it_refuses_at_the_start() {
    let folder = folder();
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "not an address"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
    ] {
        let mut command = program(folder.path(), &[]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318").env(name, value);
        let ended = command.output().expect("the program starts");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(2), "{name}: {said}");
        assert!(said.contains("OTEL_") && said.lines().count() == 1, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_kafka_the_messages_are_in_the_trace_as_well() {
    let (Ok(database), Ok(brokers)) = (std::env::var("TEST_MYSQL_URL"), std::env::var("TEST_KAFKA_BROKERS")) else {
        assert!(std::env::var("TEST_REQUIRE_SERVERS").is_err(), "TEST_MYSQL_URL or TEST_KAFKA_BROKERS is missing");
        eprintln!("no servers: set TEST_MYSQL_URL and TEST_KAFKA_BROKERS to run this test");
        return;
    };
    let (database, name) = (database.trim_end_matches('/'), format!("traces_{}", std::process::id()));
    let mut admin = MySqlConnection::connect(database).await.expect("TEST_MYSQL_URL");
    let mut run = async |text: String| {
        admin.execute(AssertSqlSafe(text)).await.expect("a statement");
    };
    run(format!("DROP DATABASE IF EXISTS {name}")).await;
    run(format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).await;
    let story = tokio::task::spawn_blocking({
        let (database, name) = (format!("{database}/{name}"), name.clone());
        move || over_kafka(&database, &brokers, &name)
    });
    story.await.expect("the story");
    run(format!("DROP DATABASE {name}")).await;
}

fn over_kafka(database: &str, brokers: &str, name: &str) {
    let (folder, collector) = (folder(), Collector::start());
    let prefix = format!("{name}.");
    let settings = [
        ("DATABASE_URL", database),
        ("KAFKA_BROKERS", brokers),
        ("KAFKA_TOPIC_PREFIX", &prefix),
        ("KAFKA_PARTITIONS", "2"),
        ("JWT_SECRET_KEY", "0a1b2c3d4e5f60718293a4b5c6d7e8f9"),
    ];
    let (server, _log) = start(&folder, &format!("http://{}", collector.address), &settings);
    guess(&server, "eve");
    let spans = collector.until("the alert", |spans| {
        // What looked at the last event may end after its alert.
        let looked = |alert: &&Span| spans.iter().any(|span| span.id == alert.parent);
        let alerts = in_trace(spans, "alert");
        let done = !alerts.is_empty()
            && alerts.iter().all(looked)
            && [
                "POST /api/auth/login",
                "send activity",
                "send activity.by-source",
                "ingest activity",
                "detect activity",
            ]
            .iter()
            .all(|name| in_trace(spans, name).len() == 5);
        done.then(|| spans.to_vec())
    });
    let requests = in_trace(&spans, "POST /api/auth/login");
    let (sent, detected) = (in_trace(&spans, "send activity"), in_trace(&spans, "detect activity"));
    assert!(sent.iter().all(|span| span.kind == 4 && span.status == 0), "{sent:?}");
    is(sent[0], "messaging.system", "kafka");
    is(sent[0], "messaging.destination.name", "activity");
    for children in [&sent, &detected, &in_trace(&spans, "ingest activity")] {
        are_children(children, &requests);
    }
    is(detected[0], "messaging.system", "kafka");
    assert!(detected[0].attributes.contains_key("messaging.kafka.offset"), "{:?}", detected[0]);
    let looked: Vec<_> = spans.iter().filter(|span| span.name.starts_with("detect ")).collect();
    are_children(&in_trace(&spans, "alert"), &looked);
    let commits = in_trace(&spans, "commit");
    assert!(commits.iter().any(|span| span.kind == 3), "{commits:?}");
}
