//! The feed says how it is connected, and misses nothing.

use serde_json::json;
use story_tests::TestApp;

use crate::browser::Browser;
use crate::watching::guess;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_says_when_it_is_cut_off_and_catches_up() {
    let app = TestApp::start().await;
    let Some(browser) = Browser::open(&app).await else { return };
    browser.log_in("sam").await;
    browser.shows("#state", "Live").await;
    browser.protocol("Network.enable", json!({})).await;
    let cut =
        |offline: bool| json!({ "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
    browser.protocol("Network.emulateNetworkConditions", cut(true)).await;
    browser.shows("#state", "Offline").await;
    guess(&app, "bob").await;
    app.settled().await;
    browser.protocol("Network.emulateNetworkConditions", cut(false)).await;
    browser.shows("#feed-alerts .card", "bob").await;
    browser.shows("#state", "Live").await;

    // Where streams cannot be had, it asks every few seconds.
    browser.protocol("Network.setBlockedURLs", json!({ "urls": ["*/stream"] })).await;
    browser.go("/#/system").await;
    browser.shows("h1", "System").await;
    browser.go("/#/").await;
    browser.shows("#state", "Every few seconds").await;
    guess(&app, "eve").await;
    browser.shows("#feed-alerts .card", "eve").await;
    browser.shows("#feed-activities", "eve").await;
    // Also after many tries of the stream.
    let asked = "performance.getEntriesByType('resource').filter((e) => e.name.includes('/api/alerts?')).map((e) => e.startTime)";
    let _ = browser.run("performance.clearResourceTimings()", json!([])).await;
    let _ = browser.until(&format!("{asked}.length >= 6")).await;
    let widest = format!("return Math.max(...{asked}.slice(0, 6).map((at, i, all) => (i ? at - all[i - 1] : 0)))");
    let widest = browser.run(&widest, json!([])).await;
    assert!(widest.as_f64() < Some(10_000.0), "{widest} ms between two questions");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_was_opened_while_the_server_was_away_is_whole_when_it_is_live() {
    let app = TestApp::start().await;
    for name in ["ada", "bob", "eve"] {
        guess(&app, name).await;
    }
    app.settled().await;
    let Some(browser) = Browser::open(&app).await else { return };
    browser.log_in("sam").await;
    browser.go("/#/system").await;
    browser.shows("h1", "System").await;
    browser.protocol("Network.enable", json!({})).await;
    let cut =
        |offline: bool| json!({ "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
    for (path, ready) in [("#/", ".card"), ("#/alerts", "main tbody tr")] {
        browser.protocol("Network.emulateNetworkConditions", cut(true)).await;
        browser.go(&format!("/{path}")).await;
        browser.shows("#state", "Offline").await;
        browser.shows("main [role=alert]", "cannot be reached").await;
        browser.protocol("Network.emulateNetworkConditions", cut(false)).await;
        browser.shows("#state", "Live").await;
        // What the stream tells next is not taken for all there is.
        guess(&app, "mallory").await;
        browser.shows("main", "mallory").await;
        for name in ["ada", "bob", "eve"] {
            browser.shows(ready, name).await;
        }
        let _ = browser.until("!document.querySelector('main [role=alert], .tiles .waiting')").await;
        browser.go("/#/system").await;
        browser.shows("h1", "System").await;
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_alert_says_when_it_goes_on() {
    let app = TestApp::start().await;
    guess(&app, "bob").await;
    app.settled().await;
    let alert = app.admin().await.get("/api/alerts?user=bob").await.expect(200).rows().remove(0);
    let id = alert["alert_id"].as_str().expect("an id");
    let Some(browser) = Browser::open(&app).await else { return };
    browser.log_in("sam").await;
    browser.go(&format!("/#/alerts/{id}")).await;
    browser.shows("h2", "What led to it").await;
    browser.shows("#state", "Live").await;
    let taken = json!({ "status": "acknowledged", "assignee": "admin" });
    let _ = app.admin().await.patch(&format!("/api/alerts/{id}"), taken).await.expect(200);
    browser.shows(".notice", "Somebody changed this alert").await;
    browser.click(".notice button").await;
    browser.shows(".triage", "admin is looking at this").await;
    let _ = browser.until("document.activeElement.id === 'triage-title'").await;
    // Whoever it was given to need not keep it.
    browser.click("#leave").await;
    let _ = browser.until("!document.querySelector('#leave') && document.querySelector('#acknowledge')").await;
    let alert = app.admin().await.get(&format!("/api/alerts/{id}")).await.expect(200).json();
    assert!(alert["status"] == "open" && alert["assignee"].is_null(), "{alert}");
    browser.close().await;
}
