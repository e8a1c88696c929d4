//! Activities hold what attackers wrote. It stays text.

use serde_json::{Value, json};
use story_tests::TestApp;

use crate::browser::Browser;
use crate::watching::guess;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_seen_is_shown() {
    let app = TestApp::start().await;
    // Reads as "admin" where it is not shown; and a name with a letter without a shape in it.
    for name in ["\u{202e}nimda", "sa\u{200b}m"] {
        guess(&app, name).await;
    }
    let event = json!({ "user": "\u{2066}x", "action": "View", "detail": "a\u{7}b\u{85}c\u{feff}\nd" });
    let _ = app.system("erp").await.post("/api/logs", event).await.expect(202);
    app.settled().await;
    let Some(browser) = Browser::open(&app).await else { return };
    browser.log_in("admin").await;
    for shown in ["‹U+202E›nimda", "sa‹U+200B›m", "‹U+2066›x", "a‹U+0007›b‹U+0085›c‹U+FEFF› d"]
    {
        browser.shows("#feed-activities", shown).await;
    }
    browser.shows("#feed-alerts .card", "by user ‹U+202E›nimda").await;
    // Addresses and what is searched for are as they are.
    browser.click("#feed-alerts a.who[href='#/users/%E2%80%AEnimda']").await;
    browser.shows("h1", "‹U+202E›nimda").await;
    assert_eq!(browser.run("return document.title", json!([])).await, "‹U+202E›nimda · Security Analytics");
    browser.click("[aria-labelledby=alerts-title] .panel-head a").await;
    let _ = browser.until("!!document.querySelector('input[aria-label$=\"‹U+202E›nimda\"]')").await;
    assert_eq!(
        browser.run("return document.querySelector('input[type=search]').value", json!([])).await,
        "\u{202e}nimda"
    );
    let raw = "return /[\\u202a-\\u202e\\u2066-\\u2069\\u200b-\\u200f\\ufeff]/.test(document.body.innerText)";
    assert_eq!(browser.run(raw, json!([])).await, false);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_readers_own_language_puts_around_numbers_is_not_shown() {
    let app = TestApp::start().await;
    guess(&app, "bob").await;
    app.settled().await;
    let Some(browser) = Browser::open(&app).await else { return };
    // Its dates have marks of direction in them.
    browser.protocol("Emulation.setLocaleOverride", json!({ "locale": "ar-EG" })).await;
    browser.go("/?again").await;
    browser.log_in("sam").await;
    browser.shows("#feed-alerts .card", "bob").await;
    let marks = "return /\\p{Cf}/u.test(new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' }).format(0))";
    assert_eq!(browser.run(marks, json!([])).await, true);
    let shown = "return document.body.innerHTML.includes('‹U+')";
    assert_eq!(browser.run(shown, json!([])).await, false);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_very_long_text_does_not_fill_the_screen() {
    let app = TestApp::start().await;
    let long = "no end ".repeat(300);
    let event =
        json!({ "user": "x", "action": "Delete", "detail": long, "reason": &long[..1_000], "outcome": "failure" });
    let _ = app.system("erp").await.post("/api/logs", event).await.expect(202);
    app.settled().await;
    let Some(browser) = Browser::open(&app).await else { return };
    browser.log_in("sam").await;
    for width in [1280, 360] {
        browser.resize(width, 800).await;
        browser.go("/#/users/x").await;
        browser.shows("[aria-labelledby=log-title] tbody", "no end").await;
        browser.whole().await;
        let height =
            "return document.querySelector('[aria-labelledby=log-title] tbody tr').getBoundingClientRect().height";
        let before = browser.run(height, json!([])).await.as_f64().expect("a height");
        assert!(before < 200.0, "{before} in {width}");
        let more = "[aria-labelledby=log-title] tbody .detail + button";
        let _ = browser
            .run("document.querySelector(arguments[0]).scrollIntoView({ block: 'center' })", json!([more]))
            .await;
        browser.click(more).await;
        assert!(browser.run(height, json!([])).await.as_f64() > Some(2.0 * before));
        browser.shows("[aria-labelledby=log-title] tbody", "Show less").await;
        browser.go("/#/").await;
        browser.shows("h1", "Overview").await;
    }
    browser.close().await;
}
