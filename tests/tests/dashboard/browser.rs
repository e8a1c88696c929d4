//! A real Chromium, headless, driven over WebDriver.
//!
//! Where there is no `chromedriver` the tests pass by with a printed line; with `TEST_REQUIRE_BROWSER=1` they fail.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::{Value, json};
use story_tests::{Actor, Answer, PASSWORD, TestApp};
use tempfile::TempDir;

/// How long anything may take: machines that test are busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the driver refuses where the page was drawn anew since the element was found, or where something lies over it for
/// a moment. Nothing was pressed or typed then.
const MOVED: [&str; 4] =
    ["stale element reference", "no such element", "element click intercepted", "element not interactable"];

/// One window.
pub(crate) struct Browser {
    driver: Child,
    wire: Actor,
    session: String,
    site: SocketAddr,
    _profile: TempDir,
}

impl Browser {
    /// Opens a window at the dashboard of `app`; none where there is no browser.
    pub(crate) async fn open(app: &TestApp) -> Option<Self> {
        Self::open_at(app.address).await
    }

    /// The same where the dashboard is at another address.
    pub(crate) async fn open_at(site: SocketAddr) -> Option<Self> {
        let profile = tempfile::tempdir().expect("a directory");
        let (driver, port) = tokio::task::spawn_blocking(driver).await.expect("a starter")?;
        let wire = Actor::anonymous(SocketAddr::from(([127, 0, 0, 1], port)));
        let mut browser = Self { driver, wire, session: String::new(), site, _profile: profile };
        let folder = browser._profile.path().display();
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "args": [
                "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--lang=en-US", "--window-size=1280,900",
                "--hide-scrollbars", format!("--user-data-dir={folder}"),
            ] },
        } } });
        let answer = browser.wire.post("/session", wanted).await.expect(200).json();
        answer["value"]["sessionId"].as_str().expect("a session").clone_into(&mut browser.session);
        browser.go("/").await;
        Some(browser)
    }

    async fn command(&self, method: &str, path: &str, body: Value) -> Value {
        self.sent(method, path, body).await.expect(200).json()["value"].clone()
    }

    async fn sent(&self, method: &str, path: &str, body: Value) -> Answer {
        let path = format!("/session/{}{path}", self.session);
        let call = self.wire.call(method, &path);
        let call = if method == "POST" { call.json(&body) } else { call };
        call.send().await
    }

    /// Goes to a path of the dashboard.
    pub(crate) async fn go(&self, path: &str) {
        let _ = self.command("POST", "/url", json!({ "url": format!("http://{}{path}", self.site) })).await;
    }

    /// The address in the bar.
    pub(crate) async fn address(&self) -> String {
        self.command("GET", "/url", Value::Null).await.as_str().expect("an address").to_owned()
    }

    /// What a function's body returns in the page.
    pub(crate) async fn run(&self, script: &str, arguments: Value) -> Value {
        self.command("POST", "/execute/sync", json!({ "script": script, "args": arguments })).await
    }

    /// Waits until an expression holds in the page; what it is.
    pub(crate) async fn until(&self, expression: &str) -> Value {
        let begun = Instant::now();
        loop {
            let found = self.run(&format!("return ({expression})"), json!([])).await;
            if !matches!(found, Value::Null | Value::Bool(false)) && found != "" && found != 0 {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "not in time: {expression}\n{}", self.text("body").await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until an element shows a text.
    pub(crate) async fn shows(&self, selector: &str, text: &str) {
        let (selector, text) = (Value::from(selector), Value::from(text));
        let _ = self
            .until(&format!("[...document.querySelectorAll({selector})].some((e) => e.innerText.includes({text}))"))
            .await;
    }

    /// The text of the first element.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let text = self.run("return document.querySelector(arguments[0])?.innerText ?? ''", json!([selector])).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Does something to the first element, once it is there and stands still. What the driver refuses because the page
    /// moved on meanwhile is done to what stands there then.
    async fn to_element(&self, selector: &str, what: &str, body: &Value) {
        let begun = Instant::now();
        let place = format!(
            "(() => {{ const e = document.querySelector({}); const r = e?.getBoundingClientRect(); \
             return e && `${{r.x}} ${{r.y}}` }})()",
            Value::from(selector)
        );
        loop {
            let before = self.until(&place).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            if self.run(&format!("return {place}"), json!([])).await == before || begun.elapsed() > PATIENCE {
                let done = self.to_found(selector, what, body).await;
                let refused = done.json()["value"]["error"].as_str().unwrap_or_default().to_owned();
                if !MOVED.contains(&refused.as_str()) || begun.elapsed() > PATIENCE {
                    let _ = done.expect(200);
                    return;
                }
            }
        }
    }

    async fn to_found(&self, selector: &str, what: &str, body: &Value) -> Answer {
        let found = self.sent("POST", "/element", json!({ "using": "css selector", "value": selector })).await;
        if found.status != 200 {
            return found;
        }
        let element = found.json()["value"].as_object().and_then(|ids| Some(ids.values().next()?.as_str()?.to_owned()));
        let element = element.expect("an element");
        self.sent("POST", &format!("/element/{element}/{what}"), body.clone()).await
    }

    /// Clicks as a person would: what stays covered, or off the page, fails.
    pub(crate) async fn click(&self, selector: &str) {
        self.to_element(selector, "click", &json!({})).await;
    }

    /// Types into a field.
    pub(crate) async fn enter(&self, selector: &str, text: &str) {
        self.to_element(selector, "value", &json!({ "text": text })).await;
    }

    /// Waits until all that the page asks for is there.
    pub(crate) async fn whole(&self) {
        let _ = self.until("!document.querySelector('[aria-busy], main .waiting:not(details:not([open]) *)')").await;
    }

    /// Presses keys, one after the other, wherever the focus is.
    pub(crate) async fn press(&self, keys: &str) {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() })))
            .collect();
        let body = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] });
        let _ = self.command("POST", "/actions", body).await;
    }

    /// Goes back to what had the focus before.
    pub(crate) async fn back(&self) {
        let (shift, tab) = ("\u{e008}", "\u{e004}");
        let keys = [("keyDown", shift), ("keyDown", tab), ("keyUp", tab), ("keyUp", shift)];
        let keys: Vec<Value> = keys.iter().map(|(kind, key)| json!({ "type": kind, "value": key })).collect();
        let body = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": keys }] });
        let _ = self.command("POST", "/actions", body).await;
    }

    /// Moves the mouse to a place in the window, aims, and clicks as slowly as people do.
    pub(crate) async fn point(&self, x: f64, y: f64) {
        let steps = json!([
            { "type": "pointerMove", "duration": 100, "x": x.round(), "y": y.round() },
            { "type": "pause", "duration": 300 },
            { "type": "pointerDown", "button": 0 },
            { "type": "pause", "duration": 300 },
            { "type": "pointerUp", "button": 0 },
        ]);
        let mouse =
            json!({ "type": "pointer", "id": "mouse", "parameters": { "pointerType": "mouse" }, "actions": steps });
        let _ = self.command("POST", "/actions", json!({ "actions": [mouse] })).await;
    }

    /// A command of the browser's own protocol.
    pub(crate) async fn protocol(&self, command: &str, parameters: Value) {
        let _ = self.command("POST", "/goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await;
    }

    /// Sets the window's size in CSS pixels.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.protocol("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Makes the system's colours dark or light.
    pub(crate) async fn scheme(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.protocol("Emulation.setEmulatedMedia", features).await;
    }

    /// Logs in over the form.
    pub(crate) async fn log_in(&self, name: &str) {
        self.enter("input[name=username]", name).await;
        self.enter("input[name=password]", PASSWORD).await;
        self.click("form button[type=submit]").await;
        let _ = self.until("!document.querySelector('form.login')").await;
    }

    /// Complaints of the browser: errors of scripts and what the policy refused. Refusals by the API are none.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let entries = self.command("POST", "/se/log", json!({ "type": "browser" })).await;
        let entries = entries.as_array().cloned().unwrap_or_default().into_iter();
        let severe = entries.filter(|entry| entry["level"] == "SEVERE" && entry["source"] != "network");
        severe.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Keeps a picture of the whole page, where `DASHBOARD_SCREENSHOTS` names a directory.
    pub(crate) async fn picture(&self, name: &str) {
        let Some(directory) = std::env::var_os("DASHBOARD_SCREENSHOTS") else { return };
        let body = json!({ "cmd": "Page.captureScreenshot", "params": { "captureBeyondViewport": true } });
        let answer = self.command("POST", "/goog/cdp/execute", body).await;
        let picture = answer["data"].as_str().expect("a picture");
        let bytes = base64::engine::general_purpose::STANDARD.decode(picture).expect("base64");
        std::fs::create_dir_all(&directory).expect("a directory");
        std::fs::write(std::path::Path::new(&directory).join(format!("{name}.png")), bytes).expect("a file");
    }

    /// Closes the window.
    pub(crate) async fn close(self) {
        assert_eq!(self.complaints().await, Vec::<String>::new());
        let _ = self.command("DELETE", "", Value::Null).await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The group: a driver that is stopped alone leaves its browser behind.
        let group = format!("-{}", self.driver.id());
        let stopped = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        if !stopped.is_ok_and(|status| status.success()) {
            eprintln!("chromedriver's group {group} was gone already");
        }
        let _ = self.driver.wait();
    }
}

/// Starts the driver; none where there is none. It chooses its port itself, and ends when somebody was faster.
fn driver() -> Option<(Child, u16)> {
    for _ in 0..10 {
        let mut command = Command::new("chromedriver");
        // In a group of its own, so that the browser goes when the driver is stopped.
        command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut driver = match command.spawn() {
            Ok(driver) => driver,
            Err(error) => {
                assert!(std::env::var_os("TEST_REQUIRE_BROWSER").is_none(), "chromedriver cannot be started: {error}");
                eprintln!("passed by: there is no chromedriver ({error})");
                return None;
            }
        };
        if let Some(port) = port_in(driver.stdout.take().expect("its output")) {
            return Some((driver, port));
        }
        let ended = driver.wait();
        eprintln!("chromedriver ended before it had a port: {ended:?}");
    }
    panic!("chromedriver finds no port");
}

/// The port that the driver has chosen; none where it ended without. What it says later is read and dropped, or it would
/// wait for a reader.
fn port_in(output: impl std::io::Read + Send + 'static) -> Option<u16> {
    let mut lines = BufReader::new(output).lines();
    loop {
        let line = lines.next()?.expect("readable");
        let digits = line.rsplit_once("on port ").map(|(_, rest)| rest.trim_end_matches('.').to_owned());
        if let Some(port) = digits.and_then(|digits| digits.parse().ok()).filter(|port| *port != 0) {
            std::thread::spawn(move || lines.for_each(drop));
            return Some(port);
        }
    }
}
