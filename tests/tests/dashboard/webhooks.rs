//! Webhooks in the page: made, tried, turned off, removed.

use story_tests::TestApp;

use crate::browser::Browser;

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
    let _ = browser.run(clear, serde_json::json!([])).await;
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
    browser.click(&button("Turn off")).await;
    browser.shows("main tbody", "by admin").await;
    browser.click(&button("Turn on")).await;
    browser.shows("[aria-labelledby=webhooks-title] [role=status]", "is told again").await;
    browser.click(&button("Remove")).await;
    browser.shows("main tbody", "Really remove").await;
    browser.click(&button("Remove")).await;
    browser.shows("[aria-labelledby=webhooks-title]", "None yet.").await;
    assert!(admin.get("/api/webhooks").await.expect(200).rows().is_empty());
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
