//! A page on which much happens can be used all the same.

use std::time::Duration;

use domain::{MINUTE, Severity};
use serde_json::{Value, json};
use story_tests::{Actor, TestApp};
use tokio::task::JoinHandle;

use crate::browser::Browser;
use crate::queue::raise;

/// Activities without an end, about eighty a second, of people enough that no rule minds: an alert would move what is
/// pointed at.
fn feed(system: Actor) -> JoinHandle<()> {
    tokio::spawn(async move {
        for n in 0_u64.. {
            let events: Vec<Value> = (0..8)
                .map(|m| json!({ "user": format!("worker{}", (n * 8 + m) % 80), "action": "View", "resource": "inventory/1" }))
                .collect();
            let _ = system.post("/api/logs", Value::from(events)).await.expect(202);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}

/// Remembers the first row of the feed, and tells whether it is still the first.
const REMEMBER: &str = "window.first = document.querySelector('#feed-activities tbody tr')";
const STANDS: &str = "window.first === document.querySelector('#feed-activities tbody tr')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_feed_stands_still_while_somebody_is_at_it() {
    let app = TestApp::start().await;
    let system = app.system("erp").await;
    let Some(browser) = Browser::open(&app).await else { return };
    browser.log_in("sam").await;
    browser.shows("#state", "Live").await;
    let feeding = feed(system);
    browser.shows("#feed-activities", "worker7").await;
    let _ = browser.until("document.querySelectorAll('#feed-activities tbody tr').length === 25").await;
    browser.whole().await;

    // What somebody points at is what is opened.
    for n in 0..3 {
        let place =
            "const e = document.querySelectorAll('#feed-activities tbody a')[5]; e.scrollIntoView({ block: 'center' });
            const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]";
        let place = browser.run(place, json!([])).await;
        browser.point(place[0].as_f64().expect("x"), place[1].as_f64().expect("y")).await;
        let _ = browser.until("location.hash.startsWith('#/users/worker')").await;
        browser.go("/#/").await;
        let _ = browser.until("document.querySelectorAll('#feed-activities tbody tr').length === 25").await;
        browser.whole().await;
        // Elsewhere, so that nothing is pointed at.
        browser.point(20.0 + f64::from(n), 300.0).await;
    }

    let stays = async |what: &str| {
        let _ = browser.run(REMEMBER, json!([])).await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(browser.run(&format!("return {STANDS}"), json!([])).await, true, "{what}");
    };
    let goes_on = format!("!({STANDS})");
    let select = "getSelection().selectAllChildren(document.querySelectorAll('#feed-activities tbody tr')[6]);
        window.words = String(getSelection())";
    let _ = browser.run(select, json!([])).await;
    stays("a selection").await;
    assert_eq!(browser.run("return window.words && window.words === String(getSelection())", json!([])).await, true);
    browser.shows("#held", "held back while you are here").await;
    let _ = browser.run("getSelection().removeAllRanges()", json!([])).await;
    let _ = browser.until(&goes_on).await;

    let focus = "window.link = document.querySelectorAll('#feed-activities tbody a')[6]; window.link.focus()";
    let _ = browser.run(focus, json!([])).await;
    stays("the focus").await;
    assert_eq!(browser.run("return document.activeElement === window.link", json!([])).await, true);
    let _ = browser.run("window.link.blur()", json!([])).await;
    let _ = browser.until(&goes_on).await;

    let _ = browser.run("scrollTo(0, 0)", json!([])).await;
    browser.click("#pause").await;
    browser.shows("#state", "Paused").await;
    stays("the pause").await;
    browser.shows("#held", "held back while paused").await;
    browser.click("#pause").await;
    browser.shows("#state", "Live").await;
    let _ = browser.until(&goes_on).await;
    feeding.abort();
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_shown_already_stays_the_same_element() {
    let app = TestApp::start().await;
    let system = app.system("erp").await;
    let Some(browser) = Browser::open(&app).await else { return };
    browser.log_in("sam").await;
    browser.shows("#state", "Live").await;
    let now = app.now();
    let _ = raise(&app, Severity::High, [now.plus(-MINUTE)].into_iter(), 3).await;
    let _ = system.post("/api/logs", json!({ "user": "first", "action": "View" })).await.expect(202);
    browser.shows("#feed-activities", "first").await;
    browser.shows("#feed-alerts .card", "user0").await;
    let mark =
        "for (const e of document.querySelectorAll('.card, #feed-activities tbody tr')) e.dataset.marked = 'yes'";
    let _ = browser.run(mark, json!([])).await;
    let _ = raise(&app, Severity::Critical, [now].into_iter(), 3).await;
    let _ = system.post("/api/logs", json!({ "user": "second", "action": "View" })).await.expect(202);
    browser.shows("#feed-activities", "second").await;
    browser.shows("#feed-alerts .card:first-child", "Critical").await;
    let marked = "return [...document.querySelectorAll('.card, #feed-activities tbody tr')].filter((e) => e.dataset.marked).map((e) => e.innerText.includes('user0') || e.innerText.includes('first'))";
    let marked = browser.run(marked, json!([])).await;
    assert!(marked.as_array().is_some_and(|all| all.iter().filter(|one| **one == true).count() == 2), "{marked}");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_alerts_does_not_stop_the_page() {
    let app = TestApp::start().await;
    let Some(browser) = Browser::open(&app).await else { return };
    browser.log_in("sam").await;
    browser.shows("#state", "Live").await;
    let watch = "window.worst = 0; let last = performance.now();
        setInterval(() => { window.worst = Math.max(window.worst, performance.now() - last); last = performance.now(); }, 20)";
    let _ = browser.run(watch, json!([])).await;
    let now = app.now();
    let storm = async {
        for batch in 0..20 {
            let _ = raise(&app, Severity::Medium, (0..200).map(|n| now.plus(batch * 200 + n)), 20).await;
        }
        let _ = raise(&app, Severity::Critical, [now.plus(-MINUTE)].into_iter(), 20).await;
    };
    storm.await;
    browser.shows("#feed-alerts .card:first-child", "Critical").await;
    browser.shows("#feed-alerts", "3,994 more alerts not closed").await;
    let worst = browser.run("return Math.round(window.worst)", json!([])).await;
    println!("the longest the page did not answer: {worst} ms");
    assert!(worst.as_i64() < Some(10_000), "{worst} ms");
    assert_eq!(browser.run("return document.querySelectorAll('.card').length", json!([])).await, 7);
    browser.close().await;
}
