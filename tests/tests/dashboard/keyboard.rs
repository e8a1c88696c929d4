//! Everything can be done without a mouse.

use serde_json::{Value, json};
use story_tests::TestApp;

use crate::browser::Browser;
use crate::watching::guess;

pub(crate) const ENTER: &str = "\u{e007}";
const TAB: &str = "\u{e004}";
const ESCAPE: &str = "\u{e00c}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keyboard_is_enough() {
    let app = TestApp::start().await;
    guess(&app, "bob").await;
    app.settled().await;
    let Some(browser) = Browser::open(&app).await else { return };
    // The field has the focus already.
    let _ = browser.until("document.activeElement.name === 'username'").await;
    browser.press(&format!("sam{TAB}{}{ENTER}", story_tests::PASSWORD)).await;
    browser.shows("#feed-alerts .card", "bob").await;

    browser.press("?").await;
    let _ = browser.until("!!document.querySelector('dialog[open]')").await;
    browser.press(ESCAPE).await;
    let _ = browser.until("!document.querySelector('dialog')").await;

    browser.press("j").await;
    let _ = browser.until("document.activeElement.matches('.card-title')").await;
    let outline = "getComputedStyle(document.activeElement.closest('.card')).outlineStyle === 'solid'";
    let _ = browser.until(outline).await;
    browser.press(ENTER).await;
    browser.shows("h2", "What led to it").await;

    browser.press("ga").await;
    browser.shows("h1", "Alerts").await;
    let _ = browser.until("!!document.querySelector('main tbody a')").await;
    browser.press("/").await;
    let _ = browser.until("document.activeElement.type === 'search'").await;
    browser.press(&format!("nobody{ENTER}")).await;
    browser.shows("main", "No alert is like that").await;
    browser.press(ESCAPE).await;
    browser.press("gs").await;
    browser.shows("h1", "System").await;
    // A page that was just opened reads its heading; the next step is its content, and the first of all is the way past
    // the navigation.
    let _ = browser.until("document.activeElement.tagName === 'H1'").await;
    let _ = browser.run("document.activeElement.blur(); document.querySelector('.skip').focus()", json!([])).await;
    browser.press(ENTER).await;
    let _ = browser.until("document.activeElement.id === 'main'").await;
    browser.close().await;
}

/// The title, what has the focus, and its words, once the page is whole.
async fn place(browser: &Browser) -> Value {
    browser.whole().await;
    let place = "const e = document.activeElement; return [document.title, e.tagName, e.textContent]";
    browser.run(place, json!([])).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_was_opened_is_read_from_its_heading() {
    let app = TestApp::start().await;
    guess(&app, "bob").await;
    app.settled().await;
    let alert = app.admin().await.get("/api/alerts?user=bob").await.expect(200).rows().remove(0);
    let (id, rule) = (alert["alert_id"].as_str().expect("an id"), alert["rule"].as_str().expect("a rule"));
    let Some(browser) = Browser::open(&app).await else { return };
    // Also where somebody logs in at an address of theirs.
    browser.go(&format!("/#/alerts/{id}")).await;
    browser.log_in("admin").await;
    browser.shows("h2", "What led to it").await;
    assert_eq!(place(&browser).await, json!([format!("{rule} · Security Analytics"), "H1", rule]));
    for (path, title) in [
        ("", "Overview"),
        ("alerts", "Alerts"),
        ("users", "Users"),
        ("users/bob", "bob"),
        ("rules", "Rules"),
        ("system", "System"),
        ("webhooks", "Webhooks"),
        ("alerts/0", "There is no such alert"),
        ("nowhere", "There is no such page"),
    ] {
        browser.go(&format!("/#/{path}")).await;
        browser.shows("h1", title).await;
        assert_eq!(place(&browser).await, json!([format!("{title} · Security Analytics"), "H1", title]));
    }
    browser.go("/#/alerts").await;
    browser.click(&format!("main tbody a[href*='{id}']")).await;
    browser.shows("h2", "What led to it").await;
    assert_eq!(place(&browser).await, json!([format!("{rule} · Security Analytics"), "H1", rule]));
    browser.click(".tools button:last-child").await;
    browser.log_in("cora").await;
    assert_eq!(place(&browser).await, json!(["Security Analytics", "H1", "Hello cora"]));
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_the_focus_is_not_under_the_header() {
    let app = TestApp::start().await;
    for name in ["ada", "bob", "eve"] {
        guess(&app, name).await;
    }
    app.settled().await;
    let Some(browser) = Browser::open(&app).await else { return };
    browser.log_in("sam").await;
    for (width, height) in [(1280, 500), (360, 500)] {
        browser.resize(width, height).await;
        browser.go("/#/alerts").await;
        browser.go("/#/").await;
        let _ = browser.until("document.querySelectorAll('#feed-activities tbody a').length > 12").await;
        browser.whole().await;
        let _ =
            browser.run("[...document.querySelectorAll('#feed-activities tbody a')].at(-1).focus()", json!([])).await;
        let mut seen = 0;
        loop {
            browser.back().await;
            let place = "const e = document.activeElement; const r = e.getBoundingClientRect();
                const bars = [...document.querySelectorAll('.top, nav')].filter((bar) => !bar.contains(e)).map((bar) => bar.getBoundingClientRect());
                return [!e.closest('main'), !bars.some((bar) => r.top < bar.bottom - 1 && r.bottom > bar.top + 1), e.outerHTML.slice(0, 100)]";
            let place = browser.run(place, json!([])).await;
            if place[0] == true {
                break;
            }
            assert_eq!(place[1], true, "{place} is covered in {width}");
            seen += 1;
        }
        assert!(seen > 15, "{seen}");
    }
    browser.close().await;
}
