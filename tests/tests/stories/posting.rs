//! Reports of events: one, an array, a stream; by browsers, other systems and Admins.

use domain::{MINUTE, SECOND};
use serde_json::{Value, json};
use story_tests::{Actor, Answer, TestApp};

async fn stream(actor: &Actor, lines: impl Into<Vec<u8>>) -> Answer {
    actor.call("POST", "/api/logs/").header("content-type", "application/x-ndjson").body(lines.into()).send().await
}

/// The posted activities in the journal.
async fn posted(app: &TestApp) -> Vec<Value> {
    app.journal().await.into_iter().filter(|activity| activity["origin"] != "api").collect()
}

fn counts(answer: &Answer) -> [i64; 5] {
    let body = answer.json();
    ["accepted", "duplicates", "conflicts", "late", "rejected_total"]
        .map(|member| body[member].as_i64().expect("a count"))
}

const ID: &str = "0190b3c0-0000-7000-8000-00000000000a";

#[tokio::test]
async fn a_system_reports_for_anyone() {
    let app = TestApp::start().await;
    let firewall = app.system("firewall").await;
    let event = json!({
        "event_id": ID, "user": "Erin", "action": "Export", "resource": "reports/1", "records": 7,
        "source_ip": "203.0.113.7", "session_id": "theirs", "outcome": "denied", "log_type": "auth", "role": "Analyst",
        "origin": "api", "severity": 3,
    });
    let answer = firewall.post("/api/logs/", event.clone()).await.expect(202);
    assert_eq!(counts(&answer), [1, 0, 0, 0, 0]);
    let activity = posted(&app).await.pop().expect("an activity");
    assert_eq!(activity["event_id"], ID);
    assert_eq!(activity["origin"], "ingest:firewall");
    assert_eq!((activity["user"].as_str(), activity["role"].as_str()), (Some("Erin"), Some("Employee")));
    assert_eq!(activity["known_user"], true);
    assert_eq!(activity["user_id"], app.employee().await.id());
    assert_eq!((activity["source_ip"].as_str(), activity["outcome"].as_str()), (Some("203.0.113.7"), Some("denied")));
    assert_eq!(activity["attributes"]["origin"], "api", "the wire says nothing of where it comes from");
    assert_eq!(activity["attributes"]["severity"], 3);
    // Again is harmless; other content under the same id is not taken.
    assert_eq!(counts(&firewall.post("/api/logs/", event.clone()).await.expect(202)), [0, 1, 0, 0, 0]);
    let mut other = event;
    other["action"] = "View".into();
    assert_eq!(counts(&firewall.post("/api/logs/", other).await.expect(202)), [0, 0, 1, 0, 0]);
    assert_eq!(posted(&app).await.len(), 1);
}

#[tokio::test]
async fn a_systems_numbers_do_not_point_at_our_users() {
    let app = TestApp::start().await;
    let system = app.system("hr").await;
    let events = json!([
        { "user": "stranger", "user_id": 1, "role": "Clerk", "action": "View" },
        { "user": "erin", "user_id": 1, "action": "View" },
        { "user_id": app.employee().await.id(), "action": "View" },
        { "user_id": 424_242, "action": "View" },
    ]);
    assert_eq!(counts(&system.post("/api/logs", events).await.expect(202)), [4, 0, 0, 0, 0]);
    let told: Vec<_> = posted(&app).await.iter().map(|a| (a["user"].clone(), a["user_id"].clone())).collect();
    let erin = app.employee().await.id();
    assert_eq!(told[0], (json!("stranger"), Value::Null));
    assert_eq!(told[1], (json!("erin"), json!(erin)));
    assert_eq!(told[2], (json!("erin"), json!(erin)));
    assert_eq!(told[3], (Value::Null, Value::Null));
    assert_eq!(posted(&app).await[0]["role"], "Clerk");
}

#[tokio::test]
async fn a_browser_speaks_for_its_user_only() {
    let app = TestApp::start().await;
    let erin = app.employee().await;
    let event = json!({
        "event_id": ID, "action": "Click", "page_url": "/portal", "source_ip": "8.8.8.8", "session_id": "other",
        "user_agent": "other", "outcome": "denied", "log_type": "auth", "role": "Admin", "user": "ERIN",
    });
    let _ = erin.post("/api/logs/", event).await.expect(202);
    let activity = posted(&app).await.pop().expect("an activity");
    assert_ne!(activity["event_id"], ID, "nobody occupies the id of a real event");
    for (member, value) in [
        ("origin", "client"),
        ("user", "erin"),
        ("role", "Employee"),
        ("source_ip", "127.0.0.1"),
        ("user_agent", "story-tests"),
        ("outcome", "success"),
        ("log_type", "ui_event"),
        ("page_url", "/portal"),
    ] {
        assert_eq!(activity[member], value, "{member}");
    }
    assert_eq!(activity["session_id"].as_str(), erin.session.as_deref());
    // The same id from the same session is the same event; from another session it is another.
    let again = json!({ "event_id": ID, "action": "Click", "page_url": "/portal", "role": "Admin" });
    assert_eq!(counts(&erin.post("/api/logs/", again.clone()).await.expect(202))[1], 1);
    assert_eq!(counts(&app.employee().await.post("/api/logs/", again).await.expect(202))[0], 1);
}

#[tokio::test]
async fn a_browser_that_names_another_is_refused() {
    let app = TestApp::start().await;
    let erin = app.employee().await;
    for body in [json!({ "action": "Click", "user": "emil" }), json!({ "action": "Click", "user_id": 1 })] {
        let answer = erin.post("/api/logs/", body).await.expect(403);
        assert!(answer.error().contains("another user"));
        let activity = app.journal().await.pop().expect("an activity");
        assert_eq!((activity["outcome"].as_str(), activity["user"].as_str()), (Some("denied"), Some("erin")));
        assert_eq!(activity["reason"], "impersonation");
    }
    let lines = "{\"action\":\"Click\"}\n{\"action\":\"Click\",\"user\":\"emil\"}\n";
    let answer = stream(&erin, lines).await.expect(202);
    assert_eq!(counts(&answer), [1, 0, 0, 0, 1]);
    assert_eq!(answer.json()["rejected"][0]["line"], 2);
    let denied = app.journal().await.into_iter().filter(|a| a["reason"] == "impersonation").count();
    assert_eq!(denied, 3);
    assert_eq!(posted(&app).await.len(), 1);
}

#[tokio::test]
async fn a_browser_does_not_tell_what_the_server_knows() {
    let app = TestApp::start().await;
    for actor in [app.employee().await, app.supervisor().await] {
        for action in ["Login", "LoginFailed", "Logout", "Admin", "login", " LOGOUT "] {
            let answer = actor.post("/api/logs/", json!({ "action": action })).await.expect(400);
            assert!(answer.error().starts_with("action"), "{}", answer.error());
        }
    }
    assert!(posted(&app).await.is_empty());
}

#[tokio::test]
async fn an_admin_reports_for_anyone_and_clicks_for_itself() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let _ = admin.post("/api/logs/", json!({ "action": "Login", "user": "stranger" })).await.expect(202);
    let _ = admin.post("/api/logs/", json!({ "action": "Click", "page_url": "/portal" })).await.expect(202);
    let posted = posted(&app).await;
    assert_eq!((posted[0]["origin"].as_str(), posted[0]["user"].as_str()), (Some("ingest:admin"), Some("stranger")));
    assert_eq!((posted[1]["origin"].as_str(), posted[1]["user"].as_str()), (Some("client"), Some("admin")));
}

#[tokio::test]
async fn a_browsers_times_count_within_five_minutes() {
    let app = TestApp::builder().frozen("2026-03-02T09:00:00Z").start().await;
    let erin = app.employee().await;
    let now = app.now();
    for (said, kept) in [
        (now.plus(-5 * MINUTE), now.plus(-5 * MINUTE)),
        (now.plus(-5 * MINUTE - SECOND), now),
        (now.plus(SECOND), now),
        (now.plus(60 * MINUTE), now),
    ] {
        let event = json!({ "action": "Click", "occurred_at": said.to_string() });
        let _ = erin.post("/api/logs", event).await.expect(202);
        let activity = posted(&app).await.pop().expect("an activity");
        assert_eq!(activity["occurred_at"], kept.to_string(), "{said}");
        assert_eq!(activity["clock_skew"], said != kept);
    }
}

#[tokio::test]
async fn late_is_told_and_the_future_is_corrected() {
    let app = TestApp::builder().frozen("2026-03-02T09:00:00Z").start().await;
    let system = app.system("slow").await;
    let now = app.now();
    let event = |at: domain::Timestamp| json!({ "action": "View", "user": "x", "occurred_at": at.to_string() });
    let events = json!([event(now.plus(-5 * MINUTE)), event(now.plus(-5 * MINUTE - 1)), event(now.plus(3 * MINUTE))]);
    assert_eq!(counts(&system.post("/api/logs", events).await.expect(202)), [3, 0, 0, 1, 0]);
    let posted = posted(&app).await;
    assert_eq!([&posted[0]["late"], &posted[1]["late"], &posted[2]["late"]], [false, true, false]);
    assert_eq!((posted[2]["clock_skew"].as_bool(), &posted[2]["occurred_at"]), (Some(true), &json!(now.to_string())));
}

#[tokio::test]
async fn a_stream_tells_line_by_line() {
    let app = TestApp::start().await;
    let system = app.system("s").await;
    let mut lines = Vec::new();
    lines.extend_from_slice(b"{\"action\":\"View\",\"user\":\"x\"}\r\n");
    lines.extend_from_slice(b"\n");
    lines.extend_from_slice(b"not json\n");
    lines.extend_from_slice(b"{\"user\":\"x\"}\n");
    lines.extend_from_slice(b"{\"action\":\"View\",\"outcome\":\"maybe\"}\n");
    lines.extend_from_slice(b"{\"action\":\"\xff\"}\n");
    lines.extend_from_slice(format!("{{\"action\":\"View\",\"detail\":\"{}\"}}\n", "x".repeat(70_000)).as_bytes());
    lines.extend_from_slice("[".repeat(10_000).as_bytes());
    lines.extend_from_slice(b"\n{\"action\":\"View\",\"user\":\"y\"}");
    let answer = stream(&system, lines).await.expect(202);
    assert_eq!(counts(&answer), [2, 0, 0, 0, 6]);
    let rejected = answer.json()["rejected"].as_array().expect("rejections").clone();
    let told: Vec<_> = rejected.iter().map(|line| line["line"].as_i64().expect("a line")).collect();
    assert_eq!(told, [3, 4, 5, 6, 7, 8]);
    assert!(rejected.iter().all(|line| line["error"].as_str().is_some_and(|error| error.contains(':'))));
    assert!(rejected[1]["error"].as_str().expect("an error").starts_with("action"));
    assert_eq!(posted(&app).await.len(), 2);
}

#[tokio::test]
async fn a_long_stream_goes_in_pieces_and_again_is_harmless() {
    let app = TestApp::start().await;
    let system = app.system("bulk").await;
    let text: String =
        (0..2_500).map(|n| format!("{{\"action\":\"View\",\"user\":\"u{}\",\"n\":{n}}}\n", n % 7)).collect();
    let send = async |key: &str| {
        let pieces: Vec<_> = text.as_bytes().chunks(777).map(|piece| piece.to_vec().into()).collect();
        let call = system.call("POST", "/api/logs/").header("content-type", "application/x-ndjson");
        call.header("idempotency-key", key).pieces(pieces).send().await.expect(202)
    };
    assert_eq!(counts(&send("first").await), [2_500, 0, 0, 0, 0]);
    assert_eq!(counts(&send("first").await), [0, 2_500, 0, 0, 0]);
    assert_eq!(counts(&send("second").await), [2_500, 0, 0, 0, 0]);
    assert_eq!(posted(&app).await.len(), 5_000);
}

#[tokio::test]
async fn all_rejected_is_202_for_many_and_400_for_one() {
    let app = TestApp::start().await;
    let system = app.system("s").await;
    let many: String = (0..250).map(|_| "{\"user\":\"x\"}\n").collect();
    let answer = stream(&system, many).await.expect(202);
    assert_eq!(counts(&answer), [0, 0, 0, 0, 250]);
    assert_eq!(answer.json()["rejected"].as_array().expect("rejections").len(), 100);
    let one = system.post("/api/logs", json!({ "user": "x" })).await.expect(400);
    assert_eq!(one.json()["errors"][0]["field"], "action");
    assert_eq!(one.json()["rejected_total"], 1);
    let array = system.post("/api/logs", json!([{ "user": "x" }, 7, null])).await.expect(202);
    assert_eq!(counts(&array), [0, 0, 0, 0, 3]);
    let _ = system.call("POST", "/api/logs").header("content-type", "application/json").send().await.expect(400);
    let _ = system
        .call("POST", "/api/logs")
        .header("content-type", "application/json")
        .body("[1,")
        .send()
        .await
        .expect(400);
    let _ = system.call("POST", "/api/logs").header("content-type", "text/html").body("{}").send().await.expect(415);
}

#[tokio::test]
async fn a_stream_has_an_end() {
    let app = TestApp::start().await;
    let system = app.system("endless").await;
    let call = system.call("POST", "/api/logs").header("content-type", "application/x-ndjson");
    let piece = hyper_bytes(&vec![b'\n'; 1024 * 1024]);
    let answer = call.pieces(vec![piece; 65]).send().await.expect(413);
    assert!(answer.error().contains("64 MiB"));
    assert!(answer.json()["next_line"].is_i64());
}

fn hyper_bytes(bytes: &[u8]) -> hyper::body::Bytes {
    hyper::body::Bytes::copy_from_slice(bytes)
}

#[tokio::test]
async fn a_stream_that_breaks_off_says_where_to_go_on() {
    let app = TestApp::start().await;
    let system = app.system("unlucky").await;
    let (send, receive) = tokio::sync::mpsc::unbounded_channel::<hyper::body::Bytes>();
    let pieces = futures_util::stream::unfold(receive, |mut receive| async { Some((receive.recv().await?, receive)) });
    let call = system.call("POST", "/api/logs/").header("content-type", "application/x-ndjson").stream(pieces);
    let answer = tokio::spawn(call.send());
    let lines = |count: usize| "{\"action\":\"View\",\"user\":\"x\"}\n".repeat(count);
    send.send(format!("not json\n{}", lines(1_500)).into()).expect("a reader");
    app.eventually("the first thousand", async || (posted(&app).await.len() == 999).then_some(())).await;
    // The database goes away.
    app.store.close().await;
    send.send(lines(1_000).into()).expect("a reader");
    drop(send);
    let answer = answer.await.expect("an answer").expect(503);
    assert_eq!(counts(&answer), [999, 0, 0, 0, 1]);
    assert_eq!(answer.json()["next_line"], 1_001);
    assert!(!answer.header("retry-after").is_empty());
}

#[tokio::test]
async fn without_a_key_or_a_session_nothing_is_taken() {
    let app = TestApp::start().await;
    let mut stranger = app.anonymous();
    for token in ["sa_0011_short", "sa_none_0123456789012345678901234567890123456789012", "sa_"] {
        stranger.token = Some(token.to_owned());
        let _ = stranger.post("/api/logs", json!({ "action": "View" })).await.expect(401);
    }
}
