//! Webhooks in the page: made, tried, turned off, removed.

use serde_json::json;
use story_tests::TestApp;

use crate::browser::Browser;
use crate::keyboard::ENTER;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_made_tried_and_removed() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let Some(browser) = Browser::open(&app).await else { return };
    browser.log_in("admin").await;
    browser.go("/#/system").await;
    browser.click("[aria-labelledby=webhooks-title] a").await;
    browser.shows("[aria-labelledby=webhooks-title]", "None yet.").await;
    browser.enter("form input[maxlength='64']", "On-call <b>1</b>").await;
    browser.enter("form input[type=url]", "https://127.0.0.1/services/confidential").await;
    browser.click("#make-webhook").await;
    browser.shows("form [role=alert]", "WEBHOOK_ALLOWED_NETWORKS").await;
    // A name that leads nowhere (RFC 6761).
    let clear = "document.querySelector('form input[type=url]').value = ''";
    let _ = browser.run(clear, json!([])).await;
    browser.enter("form input[type=url]", "https://receiver.invalid/services/confidential").await;
    browser.click("#make-webhook").await;
    browser.shows("#webhook-secret", "whsec_").await;
    browser.shows("main tbody", "On-call <b>1</b>").await;
    browser.shows("main tbody", "https://receiver.invalid/…").await;
    let made = admin.get("/api/webhooks").await.expect(200).rows().remove(0);
    assert_eq!((&made["name"], &made["minimum_severity"]), (&"On-call <b>1</b>".into(), &"Medium".into()));
    let button = |words: &str| format!("main tbody button[aria-label^='{words}']");
    browser.click(&button("Test")).await;
    browser.shows("[aria-labelledby=webhooks-title] [role=alert]", "its name cannot be resolved").await;
    let focused = async || browser.run("return document.activeElement.ariaLabel", json!([])).await;
    browser.click(&button("Turn off")).await;
    browser.shows("[aria-labelledby=webhooks-title] [role=status]", "is told nothing").await;
    // What is told is true of the list, and the next press is at hand.
    assert_eq!(focused().await, "Turn on: On-call <b>1</b>");
    browser.press(ENTER).await;
    browser.shows("[aria-labelledby=webhooks-title] [role=status]", "is told again").await;
    assert_eq!(focused().await, "Turn off: On-call <b>1</b>");
    // Whoever goes elsewhere did not mean it.
    browser.click(&button("Remove")).await;
    browser.shows("main tbody", "Really remove").await;
    browser.back().await;
    let _ = browser.until(&format!("!!document.querySelector({})", json!(button("Remove")))).await;
    browser.click(&button("Remove")).await;
    browser.click(&button("Really remove")).await;
    browser.shows("[aria-labelledby=webhooks-title]", "None yet.").await;
    let _ = browser.until("document.activeElement.id === 'webhooks-title'").await;
    assert!(admin.get("/api/webhooks").await.expect(200).rows().is_empty());
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_as_it_was_stays() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for name in ["one", "two"] {
        let members = json!({ "name": name, "url": "https://receiver.invalid/x" });
        let _ = admin.post("/api/webhooks", members).await.expect(201);
    }
    let Some(browser) = Browser::open(&app).await else { return };
    browser.log_in("admin").await;
    browser.go("/#/webhooks").await;
    let other = "document.querySelector('main tbody button[aria-label=\"Test: two\"]')";
    let _ = browser.until(other).await;
    let _ = browser.run(&format!("window.other = {other}"), json!([])).await;
    browser.click("main tbody button[aria-label='Turn off: one']").await;
    browser.shows("[aria-labelledby=webhooks-title] [role=status]", "one is told nothing").await;
    let _ = browser.until("!!document.querySelector('main tbody button[aria-label=\"Turn on: one\"]')").await;
    assert_eq!(browser.run(&format!("return window.other === {other}"), json!([])).await, true);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_is_told_whose_they_are() {
    let app = TestApp::start().await;
    let Some(browser) = Browser::open(&app).await else { return };
    browser.log_in("sam").await;
    browser.go("/#/webhooks").await;
    browser.shows("main", "for an Admin to say").await;
    browser.close().await;
}
