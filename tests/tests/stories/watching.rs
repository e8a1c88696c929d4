//! What the detector makes of what people and programs do, as it shows over REST.

use std::time::Duration;

use domain::{HOUR, MINUTE, SECOND};
use serde_json::{Value, json};
use story_tests::{Actor, TestApp};

/// A Monday at nine in the morning.
const MORNING: &str = "2026-03-02T09:00:00Z";

async fn alerts(actor: &Actor, user: &str) -> Vec<Value> {
    actor.get(&format!("/api/alerts?user={user}")).await.expect(200).rows()
}

#[tokio::test]
async fn a_person_at_a_walking_pace_is_neither_limited_nor_reported() {
    let utc = |config: &mut security_analytics::config::Config| {
        config.time_zone = Some("UTC".parse().expect("a zone"));
        config.rate_limit = true;
    };
    let app = TestApp::builder().frozen(MORNING).config(utc).start().await;
    let item = app.item("Seen often", 50).await;
    let (sam, erin) = (app.supervisor().await, app.employee().await);
    for request in 0..44 {
        let path = match request % 4 {
            0 | 2 => format!("/api/inventory/?search={request}"),
            1 => format!("/api/inventory/{item}"),
            _ => "/api/users/roles".to_owned(),
        };
        let _ = erin.get(&path).await.expect(200);
        app.pass(10 * SECOND / 44);
    }
    app.settled().await;
    assert_eq!(alerts(&sam, "erin").await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_script_that_reads_lists_is_reported_at_once() {
    let app = TestApp::builder().frozen(MORNING).start().await;
    let (sam, erin) = (app.supervisor().await, app.employee().await);
    for _ in 0..40 {
        let _ = erin.get("/api/inventory/").await.expect(200);
    }
    let found = app
        .eventually("an alert", async || {
            let found = alerts(&sam, "erin").await;
            found.into_iter().find(|alert| alert["rule"].as_str().is_some_and(|rule| rule.contains("Scripted")))
        })
        .await;
    // The detector does not wait for ingest: the rows of its evidence may come a moment later.
    app.settled().await;
    let detail =
        sam.get(&format!("/api/alerts/{}", found["alert_id"].as_str().expect("an id"))).await.expect(200).json();
    let events = detail["events"].as_array().expect("events");
    assert!(
        events.len() >= 30
            && events.iter().all(|event| event["username"] == "erin" && event["resource"] == "inventory")
    );
}

#[tokio::test]
async fn what_came_too_late_is_found_by_processing_again() {
    let app = TestApp::start().await;
    let (admin, system) = (app.admin().await, app.system("archive").await);
    let begun = app.now().plus(-2 * HOUR);
    let events: Vec<Value> = (0..12)
        .map(|n| {
            let at = begun.plus(n * SECOND).to_string();
            json!({ "action": "Delete", "user": "emil", "resource": format!("inventory/{n}"), "occurred_at": at })
        })
        .collect();
    let answer = system.post("/api/logs", Value::from(events)).await.expect(202).json();
    assert_eq!(answer["late"], 12);
    app.settled().await;
    assert!(alerts(&admin, "emil").await.is_empty(), "late is not alerted live");
    let again = json!({ "force_reprocess": true, "window_hours": 24 });
    let done = admin.post("/api/analytics/run-rule-detection", again.clone()).await.expect(200).json();
    assert!(done["new_alerts"].as_i64().expect("a count") > 0, "{done}");
    assert!(done["total_analyzed"].as_i64().expect("a count") >= 12);
    let found = alerts(&admin, "emil").await;
    assert!(!found.is_empty() && found.iter().all(|alert| alert["found_by"] == "reprocess"), "{found:?}");
    let repeated = admin.post("/api/analytics/run-rule-detection", again).await.expect(200).json();
    assert_eq!(repeated["new_alerts"], 0);
    assert_eq!(alerts(&admin, "emil").await.len(), found.len());
    let act = app.journal().await.into_iter().rfind(|a| a["action"] == "Admin").expect("an activity");
    assert_eq!(act["resource"], "analytics/run-rule-detection");
}

#[tokio::test]
async fn what_a_browser_says_of_itself_is_no_evidence() {
    let app = TestApp::start().await;
    let (sam, erin) = (app.supervisor().await, app.employee().await);
    let events: Vec<Value> =
        (0..50).map(|n| json!({ "action": "Delete", "resource": format!("inventory/{n}") })).collect();
    let _ = erin.post("/api/logs", Value::from(events)).await.expect(202);
    app.settled().await;
    assert!(alerts(&sam, "erin").await.is_empty());
}

/// The next event of a stream, without comments.
async fn event(stream: &mut story_tests::Open) -> Option<String> {
    let next = async {
        loop {
            let text = String::from_utf8(stream.next().await?.to_vec()).expect("text");
            if text.contains("data:") {
                return Some(text);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), next).await.expect("in time")
}

#[tokio::test]
async fn alerts_stream_while_the_session_lives() {
    let app = TestApp::builder().frozen(MORNING).start().await;
    let (sam, erin) = (app.supervisor().await, app.employee().await);
    let mut stream = sam.call("GET", "/api/alerts/stream").open().await;
    assert_eq!(stream.status, 200);
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    for _ in 0..40 {
        let _ = erin.get("/api/inventory/").await.expect(200);
    }
    let told = event(&mut stream).await.expect("an event");
    let data = told.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
    let alert: Value = serde_json::from_str(data).expect("JSON");
    assert_eq!(alert["user"], "erin");
    let id = told.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id").to_owned();
    // Whoever comes back with the id of the last event goes on from there.
    let mut later = sam.call("GET", "/api/alerts/stream").header("last-event-id", &id).open().await;
    let change = json!({ "status": "acknowledged" });
    let path = format!("/api/alerts/{}", alert["alert_id"].as_str().expect("an id"));
    app.pass(SECOND);
    let _ = sam.patch(&path, change).await.expect(200);
    while !event(&mut later).await.expect("an event").contains("acknowledged") {}
    let _ = sam.post("/api/auth/logout", json!({})).await.expect(200);
    // Every five seconds it is looked whether the session lives.
    app.pass(5 * SECOND);
    while event(&mut later).await.is_some() {}
    let _ = app.employee().await.get("/api/alerts/stream").await.expect(403);
}

#[tokio::test]
async fn whoever_is_refused_administrative_acts_is_reported() {
    let app = TestApp::start().await;
    let (sam, cora) = (app.supervisor().await, app.contractor().await);
    for path in ["/api/exceptions", "/api/keys", "/api/exceptions", "/api/webhooks", "/api/rules/dry-run"] {
        let _ = cora.post(path, json!({})).await.expect(403);
    }
    let found = app.eventually("an alert", async || alerts(&sam, "cora").await.pop()).await;
    assert_eq!(
        (found["rule"].as_str(), found["severity"].as_str()),
        (Some("Repeated refused attempts"), Some("Medium"))
    );
    let risk = sam.get(&format!("/api/users/{}/risk", cora.id())).await.expect(200).json();
    assert!(risk["risk_score"].as_f64() > Some(0.0), "{risk}");
}

#[tokio::test]
async fn rules_are_tried_before_they_are_used() {
    let app = TestApp::start().await;
    let (admin, erin) = (app.admin().await, app.employee().await);
    let item = app.item("Bait", 5).await;
    let _ = erin.get(&format!("/api/inventory/{item}")).await.expect(200);
    app.settled().await;
    let rules = format!(
        "title: Somebody looked at the bait\nid: 3f1d3c1e-6f0a-4a52-9a40-1c5f7be1a001\nname: bait\nlogsource:\n    \
         category: activity\n    product: security-analytics\ndetection:\n    selection:\n        resource: inventory/{item}\n        \
         action: View\n    condition: selection\nlevel: high\n"
    );
    let found = admin.post("/api/rules/dry-run", json!({ "rules": rules })).await.expect(200);
    assert!(found.text().contains("Somebody looked at the bait"), "{}", found.text());
    assert!(alerts(&admin, "erin").await.is_empty(), "a trial changes nothing");
    let broken = admin.post("/api/rules/dry-run", json!({ "rules": "title: [" })).await.expect(400);
    assert_eq!(broken.json()["errors"][0]["field"], "rules");
    let _ = admin.post("/api/rules/dry-run", json!({})).await.expect(400);
    // A span in which nothing can have happened would look as if nothing did.
    let (day, now) = (24 * HOUR, app.now());
    for (from, to) in [(now.plus(-day), now.plus(-2 * day)), (now.plus(HOUR), now.plus(2 * HOUR))] {
        let body = json!({ "rules": rules, "from": from.to_string(), "to": to.to_string() });
        let answer = admin.post("/api/rules/dry-run", body).await.expect(400);
        assert_eq!(answer.json()["errors"][0]["field"], "from");
    }
    for span in [
        json!({ "from": now.to_string()[..10], "to": now.to_string()[..10] }),
        json!({ "to": now.plus(30 * day).to_string() }),
    ] {
        let mut body = span;
        body["rules"] = json!(rules);
        let _ = admin.post("/api/rules/dry-run", body).await.expect(200);
    }
    // What is built in may be named; what is told of a text is true; a filter alone is told what it is.
    let count = "title: C\nname: c\ncorrelation: {type: event_count, rules: [REFS], group-by: [user], timespan: 5m, \
                 condition: {gte: 3}}\n";
    let trial = |text: String| admin.post("/api/rules/dry-run", json!({ "rules": text }));
    let leaning = trial(count.replace("REFS", "object_deleted")).await.expect(200).json();
    assert_eq!(leaning["alerts_total"], 0, "{leaning}");
    let wrong = trial(count.replace("REFS", "object_deleted, nobody")).await.expect(400);
    assert!(wrong.error().contains("`nobody`") && !wrong.error().contains("object_deleted"), "{}", wrong.error());
    let filter =
        "title: F\nlogsource: {category: x}\nfilter: {rules: [object_deleted], s: {user: x}, condition: not s}\n";
    let filter = trial(filter.to_owned()).await.expect(400);
    assert!(filter.error().contains("find nothing by themselves"), "{}", filter.error());
}

#[tokio::test]
async fn an_exception_keeps_alerts_out_of_the_queue() {
    let app = TestApp::start().await;
    let (admin, system) = (app.admin().await, app.system("erp").await);
    let rules = admin.get("/api/rules").await.expect(200).rows();
    let until = app.now().plus(30 * MINUTE).to_string();
    for rule in rules.iter().filter(|rule| rule["title"].as_str().is_some_and(|title| title.contains("deletion"))) {
        let body = json!({ "rule_id": rule["id"], "key": { "user": "robot" }, "until": until, "reason": "nightly" });
        let _ = admin.post("/api/exceptions", body).await.expect(201);
    }
    let delete = |user: &str| {
        let events = (0..12).map(|n| json!({ "action": "Delete", "user": user, "resource": format!("inventory/{n}") }));
        Value::from(events.collect::<Vec<_>>())
    };
    let _ = system.post("/api/logs", delete("robot")).await.expect(202);
    let _ = system.post("/api/logs", delete("human")).await.expect(202);
    app.settled().await;
    let of = async |query: &str| {
        let rows = admin.get(&format!("/api/alerts?{query}")).await.expect(200).rows();
        rows.into_iter().filter(|alert| alert["rule"].as_str().is_some_and(|rule| rule.contains("deletion"))).count()
    };
    assert!(of("user=human").await > 0);
    assert_eq!(of("user=robot").await, 0);
    assert!(of("user=robot&suppressed=true").await > 0);
    let exceptions = admin.get("/api/exceptions").await.expect(200).rows();
    assert!(exceptions.iter().any(|exception| exception["suppressed"].as_i64().is_some_and(|count| count > 0)));
}
