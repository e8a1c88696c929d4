//! Everything can be done without a mouse.

use serde_json::json;
use story_tests::TestApp;

use crate::browser::Browser;
use crate::watching::guess;

const ENTER: &str = "\u{e007}";
const TAB: &str = "\u{e004}";
const ESCAPE: &str = "\u{e00c}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keyboard_is_enough() {
    let app = TestApp::start().await;
    guess(&app, "bob").await;
    app.settled().await;
    let Some(browser) = Browser::open(&app).await else { return };
    // The field has the focus already.
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
