//! A rule is changed in the page and tried on what has happened.

use serde_json::json;
use story_tests::TestApp;

use crate::browser::Browser;
use crate::watching::guess;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_a_rule_is_told_against_the_rule_as_it_is() {
    let app = TestApp::start().await;
    guess(&app, "bob").await;
    for n in 0..3 {
        let body = json!({ "username": "eve", "password": format!("a wrong guess {n}") });
        let _ = app.anonymous().post("/api/auth/login", body).await;
    }
    app.settled().await;
    let alert = app.admin().await.get("/api/alerts?user=bob").await.expect(200).rows().remove(0);
    let (rule, title) = (alert["rule_id"].as_str().expect("an id"), alert["rule"].as_str().expect("a title"));
    let Some(browser) = Browser::open(&app).await else { return };
    browser.log_in("admin").await;
    browser.go(&format!("/#/rules?rule={rule}")).await;
    browser.click("main details[open] button").await;
    browser.shows(".notice", "This is built-in/").await;
    let _ = browser.until("document.activeElement.matches('textarea')").await;
    // The thresholds are out of reach now.
    let change = "const t = document.querySelector('textarea'); t.value = t.value.replaceAll(/gte: \\d+/g, 'gte: 900')";
    let _ = browser.run(change, json!([])).await;
    browser.click("form button[type=submit]").await;
    browser.shows("form + div .notice", "fewer than with the rules as they are").await;
    browser.shows("form + div .notice", "1 gone").await;
    browser.shows("#gone + .table", "by user bob").await;
    // Within reach of fewer: what crossed crosses elsewhere, and somebody else does too.
    let change = change.replace("gte: 900", "gte: 2").replace("gte: \\d+", "gte: 900");
    let _ = browser.run(&change, json!([])).await;
    browser.click("form button[type=submit]").await;
    browser.shows("form + div .notice", "5 new, 1 at another time").await;
    browser.shows("form + div tr:has(.badge.taken)", "by user eve").await;
    assert_eq!(browser.run("return document.querySelector('#gone')", json!([])).await, json!(null));
    let _ = browser.run("document.querySelector('textarea').value = 'title: ['", json!([])).await;
    browser.click("form button[type=submit]").await;
    browser.shows("form + div [role=alert]", "rules.yml").await;
    browser.shows("main tbody", title).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exception_is_made_of_an_alert_and_ended_among_the_rules() {
    let app = TestApp::start().await;
    guess(&app, "bob").await;
    app.settled().await;
    let admin = app.admin().await;
    let alert = admin.get("/api/alerts?user=bob").await.expect(200).rows().remove(0);
    let Some(browser) = Browser::open(&app).await else { return };
    browser.log_in("admin").await;
    browser.go(&format!("/#/alerts/{}", alert["alert_id"].as_str().expect("an id"))).await;
    browser.click("main .stack:last-child details:last-child summary").await;
    browser.click("#make-exception").await;
    browser.shows("details [role=alert]", "Say why").await;
    browser.enter("textarea[name=why]", "A drill.").await;
    browser.click("#make-exception").await;
    browser.shows("details [role=status]", "user bob stay out of the queue").await;
    let _ = browser.until("document.activeElement.matches('details[open] > summary')").await;
    let made = admin.get("/api/exceptions").await.expect(200).rows().remove(0);
    assert_eq!((&made["key"], &made["rule_id"]), (&json!({ "user": "bob" }), &alert["rule_id"]));
    browser.go("/#/rules").await;
    browser.click("[aria-labelledby=exceptions-title] tbody button").await;
    browser.shows("[aria-labelledby=exceptions-title]", "None.").await;
    let _ = browser.until("document.activeElement.id === 'exceptions-title'").await;
    browser.click("[aria-labelledby=exceptions-title] input[type=checkbox]").await;
    browser.shows("[aria-labelledby=exceptions-title] tbody", "Ended").await;
    assert!(admin.get("/api/exceptions").await.expect(200).rows().is_empty());
    browser.close().await;
}
