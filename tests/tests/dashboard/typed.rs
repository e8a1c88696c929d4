//! What somebody has typed is not lost with the session.

use serde_json::json;
use story_tests::TestApp;

use crate::browser::Browser;
use crate::watching::guess;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ends_leaves_what_was_typed_for_the_same_user() {
    let app = TestApp::start().await;
    guess(&app, "bob").await;
    app.settled().await;
    let alert = app.admin().await.get("/api/alerts?user=bob").await.expect(200).rows().remove(0);
    let Some(browser) = Browser::open(&app).await else { return };
    let end = async || {
        let end = "const { token } = JSON.parse(sessionStorage.getItem('sa.session'));
            return fetch('/api/auth/logout', { method: 'POST', headers: { Authorization: `Bearer ${token}` } }).then((a) => a.status)";
        assert_eq!(browser.run(end, json!([])).await, 200);
        let _ = browser.until("!!document.querySelector('form.login')").await;
    };
    let typed = async || {
        let _ = browser.until("!!document.querySelector('textarea[name=reason]')").await;
        let typed = "return [document.querySelector('textarea[name=reason]').value, document.querySelector('input[value=benign]').checked]";
        browser.run(typed, json!([])).await
    };
    browser.log_in("sam").await;
    browser.go(&format!("/#/alerts/{}", alert["alert_id"].as_str().expect("an id"))).await;
    browser.click("input[value=benign]").await;
    browser.enter("textarea[name=reason]", "Asked him, he").await;
    end().await;
    browser.log_in("sam").await;
    assert_eq!(typed().await, json!(["Asked him, he", true]));
    browser.shows(".triage", "still here").await;
    // Nobody else sees it, and it is gone for good then.
    end().await;
    browser.log_in("admin").await;
    assert_eq!(typed().await, json!(["", false]));
    end().await;
    browser.log_in("sam").await;
    assert_eq!(typed().await, json!(["", false]));
    // Nor does it outlive a log-out, or that it is sent.
    browser.enter("textarea[name=reason]", "Asked him").await;
    browser.click(".tools button:last-child").await;
    browser.log_in("sam").await;
    assert_eq!(typed().await, json!(["", false]));
    browser.click("input[value=benign]").await;
    browser.enter("textarea[name=reason]", "Asked him.").await;
    browser.click("#close-alert").await;
    browser.click("#reopen").await;
    assert_eq!(typed().await, json!(["", false]));
    browser.close().await;
}
