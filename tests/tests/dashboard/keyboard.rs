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
