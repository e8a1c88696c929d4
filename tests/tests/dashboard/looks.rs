//! How it looks: on a phone, by night, with content on every page.

use domain::{DAY, HOUR, MINUTE, SECOND};
use serde_json::{Value, json};
use story_tests::{Actor, TestApp};

use crate::browser::Browser;
use crate::watching::guess;

/// A company on a busy day, with some weeks behind it.
async fn busy(app: &TestApp) {
    let (admin, system) = (app.admin().await, app.system("erp").await);
    let now = app.now();
    let post = async |events: Vec<Value>| {
        let _ = system.post("/api/logs", Value::from(events)).await.expect(202);
    };
    let done = |user: &str, action: &str, resource: String, ago: i64| {
        let outcome = if action == "LoginFailed" { "failure" } else { "success" };
        json!({
            "user": user, "action": action, "resource": resource, "outcome": outcome, "source_ip": "203.0.113.24",
            "session_id": format!("s-{user}"), "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/142.0",
            "detail": format!("{action} {resource}"), "records": 1, "occurred_at": now.plus(-ago).to_string(),
        })
    };
    for (user, days, n) in [("erin", 20, 12), ("emil", 13, 24), ("erin", 8, 40), ("cora", 3, 14), ("erin", 1, 11)] {
        post((0..n).map(|i| done(user, "Delete", format!("inventory/{i}"), days * DAY - i * 3 * SECOND)).collect())
            .await;
    }
    for hours in 1..24_i64 {
        let n = 3 + hours * 37 % 23;
        let users = ["erin", "emil", "cora", "sam"];
        let events = (0..n).map(|i| {
            let user = users[usize::try_from((i + hours) % 4).expect("small")];
            done(user, "View", format!("inventory/{}", i % 5), hours * HOUR - i * MINUTE)
        });
        post(events.collect()).await;
    }
    app.settled().await;
    let again = json!({ "force_reprocess": true, "window_hours": 24 * 29 });
    let _ = admin.post("/api/analytics/run-rule-detection", again).await.expect(200);
    post((0..12).map(|i| done("erin", "Delete", format!("inventory/{}", 40 + i), (200 - i * 9) * SECOND)).collect())
        .await;
    post((0..14).map(|i| done(&format!("user{i}"), "LoginFailed", "auth".into(), (150 - i * 4) * SECOND)).collect())
        .await;
    let mut export = done("cora", "Export", "orders".into(), 70 * SECOND);
    export["records"] = json!(48_000);
    post(vec![export]).await;
    guess(app, "emil").await;
    let erin = app.employee().await;
    for path in ["/api/inventory/", "/api/users/1", "/api/alerts", "/api/orders/"] {
        let _ = erin.get(path).await;
    }
    let item = app.item("Cordless drill", 25).await;
    let _ = erin.post("/api/orders/", json!({ "item_id": item, "quantity": 2 })).await.expect(201);
    app.settled().await;
    judge(&admin).await;
    for (name, enabled) in [("On-call", true), ("Security operations in Vienna", false)] {
        // A name that leads nowhere (RFC 6761).
        let members = json!({ "name": name, "url": "https://receiver.invalid/services/T0/B0/x", "format": "slack" });
        let made = admin.post("/api/webhooks", members).await.expect(201).json();
        let path = format!("/api/webhooks/{}", made["webhook"]["webhook_id"]);
        let _ = admin.patch(&path, json!({ "enabled": enabled })).await.expect(200);
    }
}

/// Some of it is dealt with already.
async fn judge(admin: &Actor) {
    let alerts = admin.get("/api/alerts?limit=200").await.expect(200).rows();
    for (alert, n) in alerts.iter().rev().zip(0..6) {
        let path = format!("/api/alerts/{}", alert["alert_id"].as_str().expect("an id"));
        let change = match n % 3 {
            0 => {
                json!({ "status": "closed", "verdict": "benign", "reason": "The yearly stock-taking, announced by mail." })
            }
            1 => json!({ "status": "acknowledged", "assignee": "sam" }),
            _ => json!({ "status": "closed", "verdict": "true_positive", "reason": "A script on a stolen laptop." }),
        };
        let _ = admin.patch(&path, change).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_fits_a_phone_and_turns_dark() {
    let app = TestApp::start().await;
    busy(&app).await;
    let alerts = app.admin().await.get("/api/alerts?status=open&severity=High").await.expect(200).rows();
    let alert = alerts.first().expect("an alert")["alert_id"].as_str().expect("an id").to_owned();
    let Some(browser) = Browser::open(&app).await else { return };
    browser.picture("login-light").await;
    browser.scheme("dark").await;
    browser.picture("login-dark").await;
    browser.log_in("admin").await;
    let pages = [
        ("overview", "#/".to_owned(), "#feed-activities tbody tr"),
        ("alerts", "#/alerts".to_owned(), "main tbody tr"),
        ("alert", format!("#/alerts/{alert}"), "main tbody tr"),
        ("users", "#/users".to_owned(), "main .panel:last-child tbody tr"),
        ("user", "#/users/erin".to_owned(), "main .panel:last-child tbody tr"),
        ("rules", "#/rules".to_owned(), "main tbody tr"),
        ("system", "#/system".to_owned(), "main tbody tr"),
        ("webhooks", "#/webhooks".to_owned(), "main tbody tr"),
    ];
    let mut themes = Vec::new();
    for (width, scheme) in [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")] {
        browser.resize(width, 900).await;
        browser.scheme(scheme).await;
        for (name, path, ready) in &pages {
            browser.go(&format!("/{path}")).await;
            let _ = browser.until(&format!("document.querySelectorAll({}).length", Value::from(*ready))).await;
            browser.whole().await;
            let wide = browser.run("return document.documentElement.scrollWidth", json!([])).await;
            assert!(wide.as_i64() <= Some(width.into()), "{name} is {wide} wide in {width}");
            let unnamed = "return [...document.querySelectorAll('input, select, textarea, button, a[href]')].filter((e) => \
                !(e.labels?.length || e.ariaLabel || (e.checkVisibility() ? e.innerText : e.textContent).trim())).map((e) => e.outerHTML)";
            assert_eq!(browser.run(unnamed, json!([])).await, json!([]), "{name}: controls without a name");
            browser.picture(&format!("{name}-{width}-{scheme}")).await;
        }
        themes.push(browser.run("return getComputedStyle(document.body).backgroundColor", json!([])).await);
        assert_eq!(browser.run(CONTRAST, json!([])).await, json!([]), "contrast below 4.5 in {scheme}");
    }
    // Nor is a phone told less of what stands in a list.
    browser.go("/#/alerts").await;
    browser.shows("main tbody", "Acknowledged").await;
    assert!(themes[0] == themes[2] && themes[1] == themes[3] && themes[0] != themes[1], "{themes:?}");
    // What is chosen by hand holds against the system, also after a reload.
    browser.press("t").await;
    browser.go("/").await;
    let chosen = browser.run("return getComputedStyle(document.body).backgroundColor", json!([])).await;
    assert_eq!(chosen, themes[0]);
    browser.close().await;
}

/// Texts whose contrast with what lies behind them is below 4.5:1, worked out from the colours as they are drawn.
const CONTRAST: &str = r"
const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
const rgb = (color) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  return canvas.getImageData(0, 0, 1, 1).data;
};
const light = (c) => [0, 1, 2].map((i) => c[i] / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (e) => {
  for (let at = e; at; at = at.parentElement) {
    const c = rgb(getComputedStyle(at).backgroundColor);
    if (c[3] > 200) return c;
  }
  return [255, 255, 255, 255];
};
const poor = new Set();
for (const e of document.querySelectorAll('body *')) {
  const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!own || !e.offsetParent || e.closest('.hidden, .skip, svg')) continue;
  const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) poor.add(`${e.tagName}.${e.className} ${ratio.toFixed(2)}`);
}
return [...poor];
";
