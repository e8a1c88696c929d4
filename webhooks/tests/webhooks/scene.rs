//! A store with a clock that stands still, alerts, and the worker over it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::{Activity, Alert, AlertState, Clock, ManualClock, Severity, Timestamp, Topic, ids};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection};
use store::{Change, DeliveryRow, DeliveryState, NewWebhook, Store, WebhookFormat};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use webhooks::{Networks, Sender, Settings};

use crate::receiver::Got;

pub(crate) struct Scene {
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    sender: Sender,
    _folder: Option<TempDir>,
}

/// A database of the test's own, on the server that `TEST_MYSQL_URL` names.
pub(crate) struct Database {
    server: String,
    name: String,
}

impl Database {
    pub(crate) async fn new() -> Option<Self> {
        let Ok(server) = std::env::var("TEST_MYSQL_URL") else {
            assert!(std::env::var("TEST_REQUIRE_SERVERS").is_err(), "TEST_MYSQL_URL is missing");
            eprintln!("no server: set TEST_MYSQL_URL to run this test");
            return None;
        };
        let name = format!("webhooks_{}", uuid::Uuid::new_v4().simple());
        let database = Self { server: server.trim_end_matches('/').to_owned(), name };
        database.run(format!("CREATE DATABASE {} CHARACTER SET utf8mb4", database.name)).await;
        Some(database)
    }

    /// A process on it.
    pub(crate) async fn process(&self) -> Scene {
        let clock = Arc::new(ManualClock::at(begin()));
        let url = format!("{}/{}", self.server, self.name);
        let store = Store::connect_mysql(&url, clock.clone()).await.expect("a database");
        store.migrate().await.expect("migrations");
        Scene { store, clock, sender: Sender::new(loopback()).expect("a sender"), _folder: None }
    }

    pub(crate) async fn gone(self) {
        self.run(format!("DROP DATABASE {}", self.name)).await;
    }

    async fn run(&self, text: String) {
        let mut admin = MySqlConnection::connect(&self.server).await.expect("TEST_MYSQL_URL");
        sqlx::query(AssertSqlSafe(text)).execute(&mut admin).await.expect("a statement");
    }
}

fn begin() -> Timestamp {
    Timestamp::parse("2026-03-02T09:00:00Z").expect("a time")
}

/// With receivers on this machine allowed.
fn loopback() -> Settings {
    let networks = Networks::new(vec!["127.0.0.0/8".parse().expect("a network")]);
    Settings { networks, ..Settings::default() }
}

/// A worker at work.
pub(crate) struct Worker {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Worker {
    /// Asks it to end, and waits until it has.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.task.await.expect("an end");
    }

    /// Ends it where it stands.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.expect_err("it is at work").is_cancelled());
    }
}

impl Scene {
    /// With receivers on this machine allowed.
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = loopback();
        change(&mut settings);
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::at(begin()));
        let store = Store::open_sqlite(&folder.path().join("store.db"), clock.clone()).await.expect("a store");
        store.migrate().await.expect("migrations");
        Self { store, clock, sender: Sender::new(settings).expect("a sender"), _folder: Some(folder) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Starts the worker.
    pub(crate) fn work(&self) -> Worker {
        let stop = CancellationToken::new();
        let task = tokio::spawn(webhooks::run(self.store.clone(), self.sender.clone(), stop.clone()));
        Worker { task, stop }
    }

    /// Makes a webhook beside the API; its id.
    pub(crate) async fn webhook(&self, name: &str, url: &str, format: WebhookFormat) -> i64 {
        let new = NewWebhook {
            name: name.into(),
            url: url.into(),
            shown_url: "http://receiver/…".into(),
            format,
            secret: webhooks::new_secret(),
            minimum_severity: Severity::Low,
            created_by: "ann".into(),
        };
        let act = Activity::new(ids::event_id(self.now()), "Admin", self.now());
        self.store.create_webhook(new, move |_| act).await.expect("a webhook").webhook_id
    }

    pub(crate) async fn secret(&self, webhook: &i64) -> String {
        self.store.webhook_target(*webhook).await.expect("read").expect("there").secrets.remove(0)
    }

    /// An alert about `user`, as if the detector had found it.
    pub(crate) async fn raise(&self, user: &str, severity: Severity) -> Alert {
        let (now, id) = (self.now(), ids::event_id(self.now()));
        let alert = Alert {
            alert_id: id,
            at: now,
            rule: "Rule".into(),
            rule_id: "rule".into(),
            family: "family".into(),
            severity,
            risk: severity.points(),
            techniques: Vec::new(),
            user: Some(user.into()),
            ip: None,
            session: None,
            key: [("user".to_owned(), user.to_owned())].into(),
            observed: 3.0,
            threshold: 3.0,
            window_s: 60,
            first_event_at: now,
            last_event_at: now,
            event_ids: vec![id],
            baseline: None,
            explanation: format!("{user} did it"),
            escalations: Vec::new(),
            state: AlertState::Open,
            merged_into: None,
            event_count: 3,
            revision: 1,
            status: "open".into(),
            verdict: None,
            suppressed: false,
            found_by: "live".into(),
            crossing_event: id,
        };
        let change =
            Change { alert: alert.clone(), opened_as: severity, opened_points: alert.risk, mute_after_close: 0 };
        self.store.store_alerts(vec![change]).await.expect("stored");
        alert
    }

    /// The activities in the journal.
    pub(crate) async fn activities(&self) -> Vec<Activity> {
        let rows = self.store.journal_page(0, 1_000).await.expect("journal");
        let acts = rows.iter().filter(|row| row.topic == Topic::Activity);
        acts.map(|row| Activity::from_json(&row.payload).expect("an activity")).collect()
    }

    /// The first delivery of a webhook, as soon as it looks like this.
    pub(crate) async fn eventually(&self, webhook: &i64, is: impl Fn(&DeliveryRow) -> bool) -> DeliveryRow {
        let mut last = None;
        for _ in 0..3_000 {
            let mut rows = self.store.webhook_deliveries(*webhook, None, None, 100).await.expect("deliveries");
            last = rows.pop();
            if let Some(row) = last.take_if(|row| is(row)) {
                return row;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("not within a minute: {last:?}");
    }

    pub(crate) async fn settled(&self, webhook: &i64, state: DeliveryState) -> DeliveryRow {
        self.eventually(webhook, |row| row.state == state).await
    }
}

/// Verifies a request as a receiver does, by the specification and not by our code.
pub(crate) fn verified(request: &Got, secret: &str) {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").expect("its form")).expect("base64");
    assert!((24..=64).contains(&key.len()));
    let (id, time) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
    mac.update(&[id.as_bytes(), b".", time.as_bytes(), b".", &request.body].concat());
    let wanted = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert!(request.header("webhook-signature").split(' ').any(|signature| signature == wanted));
    assert!(time.parse::<i64>().expect("seconds") > 1_700_000_000, "seconds, not finer");
}
