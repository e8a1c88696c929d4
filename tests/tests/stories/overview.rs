//! What the dashboard asks for: streams of activities, rules by what they found, users by their risk, the server itself.

use std::time::Duration;

use serde_json::{Value, json};
use story_tests::{Open, TestApp};

/// The next event of a stream that holds `wanted`: its id and its data; `None` at the end.
async fn event(stream: &mut Open, wanted: &str) -> Option<(String, Value)> {
    let mut text = String::new();
    loop {
        let piece = tokio::time::timeout(Duration::from_secs(30), stream.next()).await.expect("in time")?;
        text.push_str(std::str::from_utf8(&piece).expect("text"));
        while let Some((block, rest)) = text.split_once("\n\n") {
            let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            if let (Some(id), Some(data)) = (line("id: "), line("data: "))
                && data.contains(wanted)
            {
                return Some((id, serde_json::from_str(&data).expect("JSON")));
            }
            text = rest.to_owned();
        }
    }
}

/// Five failures in a row: an alert about `name`.
async fn guess(app: &TestApp, name: &str) {
    for n in 0..5 {
        let body = json!({ "username": name, "password": format!("a wrong guess {n}") });
        let _ = app.anonymous().post("/api/auth/login", body).await;
    }
    app.settled().await;
}

#[tokio::test]
async fn activities_stream_as_they_happen_and_go_on_from_the_last_one_seen() {
    let app = TestApp::start().await;
    let (sam, erin) = (app.supervisor().await, app.employee().await);
    app.settled().await;
    let mut stream = sam.call("GET", "/api/logs/stream").open().await;
    assert_eq!((stream.status, stream.headers["content-type"].to_str().ok()), (200, Some("text/event-stream")));
    let _ = erin.get("/api/inventory/?search=first").await.expect(200);
    let (id, first) = event(&mut stream, "erin").await.expect("an event");
    assert_eq!((first["username"].as_str(), first["action_type"].as_str()), (Some("erin"), Some("View")));
    assert_eq!(id, first["log_id"].to_string());
    drop(stream);
    // What happened while nobody listened comes first.
    let _ = erin.post("/api/orders/", json!({ "item_id": 424_242, "quantity": 1 })).await.expect(404);
    app.settled().await;
    let mut later = sam.call("GET", "/api/logs/stream").header("last-event-id", &id).open().await;
    let (_, second) = event(&mut later, "erin").await.expect("an event");
    assert_eq!((second["action_type"].as_str(), second["outcome"].as_str()), (Some("Create"), Some("failure")));
    let _ = sam.post("/api/auth/logout", json!({})).await.expect(200);
    while event(&mut later, "").await.is_some() {}
}

#[tokio::test]
async fn a_stream_leaves_out_the_watch_itself_unless_all_is_asked_for() {
    let app = TestApp::start().await;
    let (sam, admin) = (app.supervisor().await, app.admin().await);
    app.settled().await;
    let mut plain = sam.call("GET", "/api/logs/stream").open().await;
    let mut all = sam.call("GET", "/api/logs/stream?all=true").open().await;
    let _ = admin.get("/api/rules").await.expect(200);
    let _ = admin.get("/api/inventory/").await.expect(200);
    let (_, first) = event(&mut plain, "\"admin\"").await.expect("an event");
    assert_eq!(first["resource"], "inventory");
    let (_, first) = event(&mut all, "\"admin\"").await.expect("an event");
    assert_eq!(first["resource"], "rules");
    let _ = sam.get("/api/logs/stream?all=perhaps").await.expect(400);
    let _ = app.employee().await.get("/api/logs/stream").await.expect(403);
    let _ = app.anonymous().get("/api/logs/stream").await.expect(401);
}

#[tokio::test]
async fn rules_are_counted_by_what_they_found_and_what_was_made_of_it() {
    let app = TestApp::start().await;
    let sam = app.supervisor().await;
    assert!(sam.get("/api/rules/stats").await.expect(200).rows().is_empty());
    guess(&app, "bob").await;
    let alert = sam.get("/api/alerts?user=bob").await.expect(200).rows().remove(0);
    let of = async || {
        let rows = sam.get("/api/rules/stats?days=1").await.expect(200).rows();
        rows.into_iter().find(|row| row["rule_id"] == alert["rule_id"]).expect("the rule")
    };
    let before = of().await;
    assert_eq!((&before["alerts"], &before["open"], &before["false_positives"]), (&json!(1), &json!(1), &json!(0)));
    let verdict = json!({ "status": "closed", "verdict": "false_positive", "reason": "a forgotten password" });
    let path = format!("/api/alerts/{}", alert["alert_id"].as_str().expect("an id"));
    let _ = sam.patch(&path, verdict).await.expect(200);
    let after = of().await;
    assert_eq!((&after["alerts"], &after["open"], &after["false_positives"]), (&json!(1), &json!(0), &json!(1)));
    let _ = sam.get("/api/rules/stats?days=0").await.expect(400);
}

#[tokio::test]
async fn the_text_of_a_rule_can_be_changed_and_tried() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    guess(&app, "bob").await;
    let alert = admin.get("/api/alerts?user=bob").await.expect(200).rows().remove(0);
    let id = alert["rule_id"].as_str().expect("an id");
    let source = admin.get(&format!("/api/rules/{id}/source")).await.expect(200).json();
    let text = source["text"].as_str().expect("a text");
    assert!(text.contains(id) && source["file"].as_str().is_some_and(|file| file.starts_with("built-in/")));
    let trial = admin.post("/api/rules/dry-run", json!({ "rules": text })).await.expect(200).json();
    assert!(
        trial["alerts"].as_array().is_some_and(|found| found.iter().any(|found| found["rule_id"] == id)),
        "{trial}"
    );
}

#[tokio::test]
async fn users_are_ranked_by_their_risk_with_its_reasons_and_its_course() {
    let app = TestApp::start().await;
    let sam = app.supervisor().await;
    assert!(sam.get("/api/analytics/top-users").await.expect(200).rows().is_empty());
    guess(&app, "Erin").await;
    guess(&app, "bob").await;
    let top = sam.get("/api/analytics/top-users?top=5").await.expect(200).rows();
    let names: Vec<_> = top.iter().filter_map(|user| user["username"].as_str()).collect();
    assert!(names.contains(&"erin") && names.contains(&"bob"), "{names:?}");
    let scores: Vec<f64> = top.iter().filter_map(|user| user["risk_score"].as_f64()).collect();
    assert!(scores.iter().all(|score| *score > 0.0) && scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    assert!(top.iter().all(|user| user["reasons"].as_array().is_some_and(|reasons| !reasons.is_empty())));
    // bob has no account; his alerts are there all the same.
    let bob = sam.get("/api/analytics/user-risk?user=BOB&days=7").await.expect(200).json();
    assert!(bob["user_id"].is_null() && bob["risk_score"].as_f64() > Some(0.0), "{bob}");
    let erin = sam.get("/api/analytics/user-risk?user=erin").await.expect(200).json();
    assert_eq!((erin["username"].as_str(), erin["role_name"].as_str()), (Some("erin"), Some("Employee")));
    let line = erin["history"].as_array().expect("a line");
    assert_eq!(line[0]["risk_score"], json!(0.0));
    assert_eq!(line[line.len() - 1]["risk_score"], erin["risk_score"]);
    let _ = sam.get("/api/analytics/user-risk").await.expect(400);
}

#[tokio::test]
async fn the_server_tells_how_it_is_doing() {
    let app = TestApp::start().await;
    let sam = app.supervisor().await;
    guess(&app, "bob").await;
    let system = sam.get("/api/system").await.expect(200).json();
    assert_eq!((&system["workers"]["ingest_lag"], &system["dead_letters"]), (&json!(0), &json!(0)));
    assert!(system["activities_last_minute"].as_i64() >= Some(5), "{system}");
    assert!(system["live_sessions"].as_i64() >= Some(1), "{system}");
    let hours = system["activities_by_hour"].as_array().expect("hours");
    assert!(hours.iter().filter_map(|hour| hour["activities"].as_i64()).sum::<i64>() >= 5);
    assert!(!system["open_alerts"].as_array().expect("alerts").is_empty());
    assert!(system["coverage_gaps"].is_array() && system["version"].is_string());
}

#[tokio::test]
async fn the_page_stands_beside_the_api_and_leaves_no_activity() {
    let app = TestApp::start().await;
    let before = app.journal().await.len();
    let page = app.anonymous().get("/").await.expect(200);
    assert!(page.text().starts_with("<!doctype html>"));
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    let browser = app.anonymous().call("GET", "/nothing").header("accept", "text/html").send().await.expect(404);
    assert_eq!(browser.header("content-type"), "text/html; charset=utf-8");
    assert!(!app.anonymous().get("/api/nothing").await.expect(404).error().is_empty());
    assert_eq!(app.journal().await.len(), before);
}
