//! From the log-in to the verdict.

use serde_json::json;
use story_tests::TestApp;

use crate::browser::Browser;

/// Failed log-ins as `name` until the guessing is noticed.
pub(crate) async fn guess(app: &TestApp, name: &str) {
    for n in 0..6 {
        let body = json!({ "username": name, "password": format!("a wrong guess {n}") });
        let _ = app.anonymous().post("/api/auth/login", body).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_appears_as_it_happens_is_opened_and_judged() {
    let app = TestApp::start().await;
    let Some(browser) = Browser::open(&app).await else { return };
    browser.enter("input[name=username]", "sam").await;
    browser.enter("input[name=password]", "not this one").await;
    browser.click("form button[type=submit]").await;
    browser.shows("[role=alert]", "Invalid credentials").await;
    browser.go("/").await;
    browser.log_in("sam").await;
    browser.shows("#state", "Live").await;
    browser.shows("#feed-alerts", "Nothing needs your attention").await;
    browser.shows("#feed-activities", "Login").await;

    guess(&app, "bob").await;
    browser.shows("#feed-alerts .card", "bob").await;
    browser.shows("#feed-activities", "LoginFailed").await;
    let said = browser.until("document.getElementById('announcer').textContent").await;
    assert!(said.as_str().is_some_and(|said| said.starts_with("New Low alert: ")), "{said}");

    // Not one of the address's: Sam mistyped a password from there, too, and nobody judges themselves.
    app.settled().await;
    let alerts = app.supervisor().await.get("/api/alerts?user=bob").await.expect(200).rows();
    let id = alerts[0]["alert_id"].as_str().expect("an id").to_owned();
    browser.click(&format!("#feed-alerts a.card-title[href*='{id}']")).await;
    browser.shows("h2", "What led to it").await;
    assert!(browser.until("document.querySelectorAll('main tbody tr').length").await.as_i64() >= Some(5));
    let technique = browser.run("return document.querySelector('a.tag').href", json!([])).await;
    assert!(technique.as_str().is_some_and(|href| href.starts_with("https://attack.mitre.org/techniques/T1110/")));

    // Somebody else is faster: nothing is saved over it, and nothing of ours is lost.
    browser.click("input[value=benign]").await;
    browser.enter("textarea[name=reason]", "Bob forgot his password; asked him.").await;
    let taken = json!({ "status": "acknowledged", "assignee": "admin" });
    let _ = app.admin().await.patch(&format!("/api/alerts/{id}"), taken).await.expect(200);
    browser.click("#close-alert").await;
    browser.shows(".triage", "This alert changed").await;
    browser.click(".triage .notice button").await;
    browser.shows(".triage", "What you entered is still here").await;
    browser.click("#close-alert").await;
    browser.shows("#triage-title", "Closed").await;
    let alert = app.supervisor().await.get(&format!("/api/alerts/{id}")).await.expect(200).json();
    assert_eq!((alert["status"].as_str(), alert["verdict"].as_str()), (Some("closed"), Some("benign")));
    assert_eq!(alert["reason"], "Bob forgot his password; asked him.");

    // The token is in no address, neither in the bar nor in any that was loaded.
    let token = browser.run("return JSON.parse(sessionStorage.getItem('sa.session')).token", json!([])).await;
    let token = token.as_str().expect("a token").to_owned();
    let loaded = browser.run("return performance.getEntries().map((e) => e.name).join(' ')", json!([])).await;
    assert!(loaded.as_str().is_some_and(|names| names.contains("/api/alerts") && !names.contains(&token)));
    assert!(!browser.address().await.contains(&token));
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_told_whom_it_is_for_and_whoever_is_logged_out_elsewhere_logs_in_again() {
    let app = TestApp::start().await;
    let Some(browser) = Browser::open(&app).await else { return };
    browser.log_in("cora").await;
    browser.shows("main", "for Admins and Supervisors").await;
    browser.click("button.primary").await;
    browser.shows("main", "You are logged out").await;
    browser.log_in("sam").await;
    browser.shows("#state", "Live").await;
    let end = "const { token } = JSON.parse(sessionStorage.getItem('sa.session'));
        return fetch('/api/auth/logout', { method: 'POST', headers: { Authorization: `Bearer ${token}` } }).then((a) => a.status)";
    assert_eq!(browser.run(end, json!([])).await, 200);
    // The stream ends with its session, and nobody has to click to learn that.
    let _ = browser.until("!!document.querySelector('form.login')").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_alerts_are_judged_at_once() {
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
    browser.click(".chosen button[type=submit]").await;
    browser.shows(".chosen [role=alert]", "how you know").await;
    browser.enter(".chosen input", "A drill, announced by mail.").await;
    browser.click(".chosen button[type=submit]").await;
    let _ = browser.until("document.querySelector('.chosen').hidden").await;
    let _ = browser.until("document.activeElement.id === 'queue-title'").await;
    let closed = app.supervisor().await.get("/api/alerts?status=closed").await.expect(200).rows();
    let mut users: Vec<_> = closed.iter().filter_map(|alert| alert["user"].as_str()).collect();
    users.sort_unstable();
    assert_eq!(users, ["bob", "eve"]);
    assert!(
        closed.iter().all(|alert| alert["verdict"] == "benign" && alert["reason"] == "A drill, announced by mail.")
    );
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_account_has_a_page_with_all_that_is_stored() {
    let app = TestApp::start().await;
    let now = app.now();
    // All at the same moment: one of them is the event at which the rule held.
    let event = |action: &str, outcome: &str| {
        json!({
            "user": "Mallory", "action": action, "outcome": outcome, "session_id": "elsewhere", "source_ip": "203.0.113.7",
            "occurred_at": now.to_string(),
        })
    };
    let mut events = vec![event("LoginFailed", "failure"); 6];
    events.push(event("Export", "success"));
    let system = app.system("erp").await;
    let _ = system.post("/api/logs", serde_json::Value::from(events)).await.expect(202);
    let quiet = json!({ "user": "trent", "action": "View", "session_id": "another", "resource": "ledger/7" });
    let _ = system.post("/api/logs", quiet).await.expect(202);
    app.settled().await;
    let alert = app.admin().await.get("/api/alerts?user=mallory").await.expect(200).rows().remove(0);
    let Some(browser) = Browser::open(&app).await else { return };
    browser.log_in("sam").await;
    browser.go("/#/users/mallory").await;
    browser.shows("[aria-labelledby=log-title] tbody", "Export").await;
    browser.shows("[aria-labelledby=sessions-title] tbody", "7").await;
    // Also of whom there is no alert.
    browser.go("/#/users/trent").await;
    browser.shows("[aria-labelledby=log-title] tbody", "ledger/7").await;
    browser.shows("[aria-labelledby=sessions-title] tbody", "1").await;
    browser.go(&format!("/#/alerts/{}", alert["alert_id"].as_str().expect("an id"))).await;
    browser.shows("[aria-labelledby=events-title]", "What led to it").await;
    assert_eq!(
        browser
            .run("return document.querySelectorAll('[aria-labelledby=events-title] tr.marked').length", json!([]))
            .await,
        1
    );
    browser.click("main .split details summary").await;
    browser.shows("main .split details", "Export").await;
    browser.close().await;
}
