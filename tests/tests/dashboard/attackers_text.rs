//! Activities hold what attackers wrote. It stays text.

use serde_json::{Value, json};
use story_tests::TestApp;

use crate::browser::Browser;

const SCRIPT: &str = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn script_tags_in_every_field_stay_text() {
    let app = TestApp::start().await;
    let system = app.system("erp").await;
    let now = app.now();
    // Deletions in a row, so that an alert is about them too.
    let events: Vec<Value> = (0..12)
        .map(|n| {
            json!({
                "action": if n == 0 { format!("<b>{n}") } else { "Delete".to_owned() },
                "user": SCRIPT, "session_id": SCRIPT, "resource": format!("inventory/{n}{SCRIPT}"), "source_ip": "198.51.100.7",
                "user_agent": SCRIPT, "detail": SCRIPT, "page_url": SCRIPT, "reason": SCRIPT, "country": SCRIPT,
                "occurred_at": now.to_string(),
            })
        })
        .collect();
    let _ = system.post("/api/logs", Value::from(events)).await.expect(202);
    app.settled().await;
    let alerts = app.admin().await.get("/api/alerts").await.expect(200).rows();
    let id = alerts.iter().find(|alert| alert["user"] == SCRIPT).expect("an alert")["alert_id"].clone();
    let name: String = SCRIPT.bytes().map(|byte| format!("%{byte:02X}")).collect();

    let Some(browser) = Browser::open(&app).await else { return };
    browser.log_in("admin").await;
    let id = id.as_str().expect("an id");
    for (path, place) in [
        ("#/", "#feed-activities"),
        ("#/", "#feed-alerts"),
        ("#/alerts", "main table"),
        (&format!("#/alerts/{id}"), "main table"),
        ("#/users", "main table"),
        (&format!("#/users/{name}"), "h1"),
    ] {
        browser.go(&format!("/{path}")).await;
        browser.shows(place, SCRIPT).await;
        let made =
            browser.run("return document.querySelectorAll('main script, main img, main b').length", json!([])).await;
        assert_eq!(made, 0, "{path}");
        let title = browser.run("return document.title", json!([])).await;
        assert_ne!(title, "owned", "{path}");
    }
    browser.close().await;
}
