//! What needs attention stands first, however much there is, and what others made of it is not overwritten.

use std::time::Duration;

use domain::{HOUR, MINUTE, Severity, Timestamp};
use serde_json::{Value, json};
use story_tests::TestApp;

use crate::between::Between;
use crate::browser::Browser;
use crate::watching::guess;

/// Alerts as if the detector had found them: one for each time, about `user0`, `user1` …
pub(crate) async fn raise(
    app: &TestApp,
    severity: Severity,
    times: impl Iterator<Item = Timestamp>,
    events: usize,
) -> Vec<String> {
    let alert = |(n, at): (usize, Timestamp)| {
        let id = domain::ids::event_id(at);
        let alert = domain::Alert {
            alert_id: id,
            at,
            rule: format!("{} deletion", severity.as_str()),
            rule_id: "00000000-0000-4000-8000-000000000001".into(),
            family: "deletion".into(),
            severity,
            risk: severity.points(),
            techniques: vec!["T1485".into()],
            user: Some(format!("user{n}")),
            ip: None,
            session: None,
            key: [("user".to_owned(), format!("user{n}"))].into(),
            observed: 10.0,
            threshold: 10.0,
            window_s: 540,
            first_event_at: at,
            last_event_at: at,
            event_ids: (0..events).map(|_| domain::ids::event_id(at)).collect(),
            baseline: None,
            explanation: "10 deletions in 540 s".into(),
            escalations: Vec::new(),
            state: domain::AlertState::Open,
            merged_into: None,
            event_count: 10,
            revision: 1,
            status: "open".into(),
            verdict: None,
            suppressed: false,
            found_by: "live".into(),
            crossing_event: id,
        };
        store::Change { alert, opened_as: severity, opened_points: severity.points(), mute_after_close: 0 }
    };
    let changes: Vec<store::Change> = times.enumerate().map(alert).collect();
    let ids = changes.iter().map(|change| change.alert.alert_id.to_string()).collect();
    app.store.store_alerts(changes).await.expect("stored alerts");
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_stands_before_what_is_newer_and_done() {
    let app = TestApp::start().await;
    let now = app.now();
    let _ = raise(&app, Severity::High, (0..12).map(|n| now.plus(-3 * HOUR - n * MINUTE)), 3).await;
    let _ = raise(&app, Severity::Low, (0..3).map(|n| now.plus(-HOUR - n * MINUTE)), 3).await;
    let done = raise(&app, Severity::Critical, (0..70).map(|n| now.plus(-n * MINUTE / 10)), 3).await;
    let admin = app.admin().await;
    let close = json!({ "ids": done, "status": "closed", "verdict": "benign", "reason": "A drill." });
    let _ = admin.post("/api/alerts/triage", close).await.expect(200);
    let Some(browser) = Browser::open(&app).await else { return };
    browser.log_in("sam").await;
    browser.shows("#feed-alerts", "8 more alerts not closed").await;
    let heads =
        browser.run("return [...document.querySelectorAll('.card .badge')].map((e) => e.textContent)", json!([])).await;
    assert_eq!(heads, json!(vec!["High"; 7]));
    browser.shows(".tiles", "12").await;

    // Closed one by one, the next come up, and the last of all.
    let high = admin.get("/api/alerts?severity=High&limit=100").await.expect(200).rows();
    let ids: Vec<&Value> = high.iter().map(|alert| &alert["alert_id"]).collect();
    let close = json!({ "ids": ids, "status": "closed", "verdict": "benign", "reason": "A drill." });
    let _ = admin.post("/api/alerts/triage", close).await.expect(200);
    let _ = browser.until("document.querySelectorAll('.card').length === 3").await;
    browser.shows("#feed-alerts .card", "Low deletion").await;

    // The figures lead to what they count.
    browser.click("a.tile:nth-child(2)").await;
    browser.shows("main tbody", "Low deletion").await;
    assert!(browser.address().await.contains("status=open,acknowledged&severity=Medium,Low"));
    let rows = browser.run("return document.querySelectorAll('main tbody tr').length", json!([])).await;
    assert_eq!(rows, 3);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_view_is_small_however_much_there_is() {
    let app = TestApp::start().await;
    let now = app.now();
    for severity in [Severity::Critical, Severity::High, Severity::Medium] {
        let _ = raise(&app, severity, (0..100).map(|n| now.plus(-n * MINUTE)), 256).await;
    }
    let events: Vec<Value> = (0..400)
        .map(|n| json!({ "user": format!("user{}", n % 90), "action": "View", "resource": format!("inventory/{n}"), "detail": "Viewed an item of the inventory" }))
        .collect();
    let _ = app.system("erp").await.post("/api/logs", Value::from(events)).await.expect(202);
    app.settled().await;
    let between = Between::open(app.address).await;
    let Some(browser) = Browser::open_at(between.address).await else { return };
    browser.log_in("sam").await;
    browser.shows("#feed-alerts", "more alerts not closed").await;
    browser.shows("#feed-activities", "Viewed an item").await;
    browser.shows(".people", "user").await;
    // What comes a moment later belongs to it too.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let sent = between.sent();
    println!("the first view: {sent} bytes");
    assert!(sent < 150_000, "{sent} bytes for the first view");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_colleagues_verdict_is_not_overwritten_in_a_list() {
    let app = TestApp::start().await;
    guess(&app, "bob").await;
    guess(&app, "eve").await;
    app.settled().await;
    let Some(browser) = Browser::open(&app).await else { return };
    browser.log_in("sam").await;
    browser.go("/#/alerts").await;
    for name in ["bob", "eve"] {
        browser.click(&format!("input[type=checkbox][aria-label$=', {name}']")).await;
    }
    browser.shows(".chosen", "2 alerts chosen").await;
    let admin = app.admin().await;
    let bobs = admin.get("/api/alerts?user=bob").await.expect(200).rows().remove(0);
    let path = format!("/api/alerts/{}", bobs["alert_id"].as_str().expect("an id"));
    let verdict = json!({ "status": "closed", "verdict": "true_positive", "reason": "He was seen." });
    let _ = admin.patch(&path, verdict).await.expect(200);
    browser.enter(".chosen input", "A drill, announced by mail.").await;
    browser.click(".chosen button[type=submit]").await;
    browser.shows(".chosen [role=alert]", "1 of these alerts has changed").await;
    browser.shows(".chosen [role=alert]", "admin set it to true positive").await;
    // The list shows it, and nothing was done to either.
    browser.shows("main tbody", "True positive").await;
    let open = admin.get("/api/alerts?user=eve&status=open").await.expect(200).rows();
    assert_eq!((open.len(), admin.get(&path).await.expect(200).json()["verdict"].clone()), (1, json!("true_positive")));
    // Without it the rest is closed.
    browser.click("input[type=checkbox][aria-label$=', bob']").await;
    browser.click(".chosen button[type=submit]").await;
    let _ = browser.until("document.querySelector('.chosen').hidden").await;
    assert_eq!(admin.get(&path).await.expect(200).json()["verdict"], "true_positive");
    assert_eq!(admin.get("/api/alerts?user=eve&status=closed").await.expect(200).rows().len(), 1);
    browser.close().await;
}
