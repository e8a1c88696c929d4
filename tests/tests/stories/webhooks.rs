//! Webhooks: made by an Admin, told of what is found, and never where they should not be.

use std::convert::Infallible;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::Sha256;
use story_tests::{Actor, TestApp};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A receiver on this machine that takes everything.
struct Receiver {
    url: String,
    got: mpsc::UnboundedReceiver<(HeaderMap, Bytes)>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook?token=confidential", listener.local_addr().expect("an address"));
        let (sender, got) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let sender = sender.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let sender = sender.clone();
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.expect("a whole request").to_bytes();
                        sender.send((parts.headers, body)).expect("somebody listens");
                        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                    }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, got }
    }

    /// The next message that is not about the webhook itself, verified as a receiver does it.
    async fn next(&mut self, secret: &str) -> Value {
        loop {
            let next = tokio::time::timeout(std::time::Duration::from_secs(60), self.got.recv());
            let (headers, body) = next.await.expect("a message in time").expect("a message");
            let header = |name: &str| headers[name].to_str().expect("text").to_owned();
            let mut mac =
                Hmac::<Sha256>::new_from_slice(&STANDARD.decode(&secret[6..]).expect("base64")).expect("a key");
            mac.update(format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).as_bytes());
            mac.update(&body);
            let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
            assert!(header("webhook-signature").split(' ').any(|one| one == signature), "{headers:?}");
            let message: Value = serde_json::from_slice(&body).expect("JSON");
            if message["data"]["rule"] != "Detection changed" {
                return message;
            }
        }
    }
}

/// The program, with receivers on this machine allowed.
async fn start() -> TestApp {
    let loopback = vec!["127.0.0.0/8".parse().expect("a network")];
    TestApp::builder().config(|config| config.webhook_allowed_networks = loopback).start().await
}

/// Makes a webhook that hears nothing; its id and its secret.
async fn made(admin: &Actor, name: &str) -> (i64, String) {
    // Names that end so lead nowhere (RFC 6761).
    let members = json!({ "name": name, "url": "https://receiver.invalid/x", "minimum_severity": "critical" });
    let answer = admin.post("/api/webhooks", members).await.expect(201).json();
    let secret = answer["secret"].as_str().expect("a secret").to_owned();
    (answer["webhook"]["webhook_id"].as_i64().expect("an id"), secret)
}

#[tokio::test]
async fn guessing_is_told_within_seconds() {
    let app = start().await;
    let admin = app.admin().await;
    let mut receiver = Receiver::start().await;
    let members = json!({ "name": "soc", "url": receiver.url });
    let answer = admin.post("/api/webhooks", members).await.expect(201).json();
    let secret = answer["secret"].as_str().expect("a secret");
    for _ in 0..7 {
        let _ = app.anonymous().post("/api/auth/login", json!({ "username": "bob", "password": "guessed" })).await;
    }
    let message = receiver.next(secret).await;
    assert_eq!(message["type"], "alert.opened");
    let data = &message["data"];
    assert_eq!(data["techniques"][0], "T1110.001");
    let id = data["alert_id"].as_str().expect("an id");
    let shown = admin.get(&format!("/api/alerts/{id}")).await.expect(200).json();
    let members = |value: &Value| value.as_object().expect("members").keys().cloned().collect::<Vec<_>>();
    let mut shown_members = members(&shown);
    shown_members.retain(|name| name != "events" && name != "history");
    assert_eq!(members(data), shown_members, "as the alert is shown");
    let deliveries = format!("/api/webhooks/{}/deliveries", answer["webhook"]["webhook_id"]);
    let told = async || {
        let rows = admin.get(&format!("{deliveries}?state=delivered")).await.expect(200).rows();
        rows.into_iter().find(|row| row["alert_id"] == id)
    };
    let row = app.eventually("the delivery is recorded", told).await;
    assert_eq!(
        (&row["event"], &row["last_status"], &row["attempts"]),
        (&"alert.opened".into(), &200.into(), &1.into())
    );
    let figures = app.anonymous().get("/metrics").await.text();
    assert!(figures.contains("security_analytics_webhook_deliveries_total{outcome=\"delivered\"}"), "{figures}");
    // How many are dead is a matter of other stories in this process as well.
    assert!(figures.contains("\nsecurity_analytics_webhook_dead "), "{figures}");
}

#[tokio::test]
async fn what_is_secret_is_shown_once_and_told_nowhere() {
    let app = start().await;
    let admin = app.admin().await;
    let receiver = Receiver::start().await;
    let members = json!({ "name": "soc", "url": receiver.url, "format": "slack", "minimum_severity": "High" });
    let create = admin.call("POST", "/api/webhooks").header("idempotency-key", "k").json(&members).send().await;
    let answer = create.expect(201).json();
    let (secret, id) = (answer["secret"].as_str().expect("a secret"), &answer["webhook"]["webhook_id"]);
    assert!(secret.starts_with("whsec_"));
    let again = admin.call("POST", "/api/webhooks").header("idempotency-key", "k").json(&members).send().await;
    assert!(!again.expect(409).text().contains("whsec_"));
    let path = format!("/api/webhooks/{id}");
    let rotated = admin.post(&format!("{path}/rotate-secret"), json!({})).await.expect(200).json();
    assert_ne!(rotated["secret"], secret);
    let twice = admin.post(&format!("{path}/rotate-secret"), json!({})).await.expect(409);
    assert!(twice.text().contains("signs until") && !twice.text().contains("whsec_"));
    let renamed = admin.patch(&path, json!({ "name": "siem", "minimum_severity": "Low" })).await.expect(200);
    let (one, list) = (admin.get(&path).await.expect(200), admin.get("/api/webhooks").await.expect(200));
    assert_eq!(one.json(), list.rows()[0]);
    assert_eq!((&one.json()["name"], &one.json()["format"]), (&"siem".into(), &"slack".into()));
    assert_eq!(one.json()["minimum_severity"], "Low");
    assert!(one.json()["url"].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1") && url.ends_with("/…")));
    let csv = admin.get("/api/webhooks?format=csv").await.expect(200);
    let journal = app.journal().await;
    let acts: Vec<&Value> = journal.iter().filter(|act| act["action"] == "Admin").collect();
    assert_eq!(acts.len(), 5, "made, refused once more, rotated, refused, renamed");
    assert!(acts.iter().filter(|act| act["resource"] == path[5..]).count() == 3);
    let told = json!([journal, one.json(), renamed.json(), list.json()]).to_string() + &csv.text();
    for word in ["confidential", "/hook", "whsec_"] {
        assert!(!told.contains(word), "{word}: {told}");
    }
}

#[tokio::test]
async fn a_test_says_what_came_back() {
    let app = start().await;
    let admin = app.admin().await;
    let mut receiver = Receiver::start().await;
    let members = json!({ "name": "soc", "url": receiver.url });
    let answer = admin.post("/api/webhooks", members).await.expect(201).json();
    let (secret, id) = (answer["secret"].as_str().expect("a secret"), answer["webhook"]["webhook_id"].clone());
    let tested = admin.post(&format!("/api/webhooks/{id}/test"), json!({})).await.expect(200).json();
    assert_eq!((&tested["delivered"], &tested["status"], &tested["error"]), (&true.into(), &200.into(), &Value::Null));
    let message = receiver.next(secret).await;
    assert_eq!((&message["type"], &message["data"]), (&"webhook.test".into(), &json!({ "webhook": "soc" })));
    let act = app.journal().await.pop().expect("an activity");
    assert_eq!(
        (act["action"].as_str(), act["detail"].as_str()),
        (Some("Admin"), Some("Tested webhook soc: answered 200"))
    );
    let (nowhere, _) = made(&admin, "nowhere").await;
    let tested = admin.post(&format!("/api/webhooks/{nowhere}/test"), json!({})).await.expect(200).json();
    assert_eq!((&tested["delivered"], &tested["status"]), (&false.into(), &Value::Null));
    assert_eq!(tested["error"], "its name cannot be resolved");
}

#[tokio::test]
async fn addresses_that_only_this_server_reaches_are_refused() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for url in [
        "https://127.0.0.1/",
        "https://localhost:5000/api/health",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://10.0.0.1/",
    ] {
        let refused = admin.post("/api/webhooks", json!({ "name": "x", "url": url })).await.expect(400);
        assert!(refused.error().contains("WEBHOOK_ALLOWED_NETWORKS"), "{url}: {}", refused.error());
        assert_eq!(refused.json()["errors"][0]["field"], "url");
    }
    let (id, _) = made(&admin, "fine").await;
    let path = format!("/api/webhooks/{id}");
    let _ = admin.patch(&path, json!({ "url": "https://192.168.0.1/" })).await.expect(400);
    let _ = admin.patch(&path, json!({ "url": "https://other.invalid/" })).await.expect(200);
}

#[tokio::test]
async fn what_is_said_wrong_is_named() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let with = |member: &str, value: Value| {
        let mut body = json!({ "name": "x", "url": "https://receiver.invalid/" });
        body[member] = value;
        body
    };
    for (member, value) in [
        ("name", json!("")),
        ("name", json!("  ")),
        ("name", json!("x".repeat(65))),
        ("name", json!("a\nb")),
        ("url", json!(null)),
        ("url", json!("receiver.invalid")),
        ("url", json!("http://receiver.invalid/")),
        ("url", json!("https://ann:pw@receiver.invalid/")),
        ("format", json!("teams")),
        ("minimum_severity", json!("informational")),
        ("minimum_severity", json!("loud")),
    ] {
        let refused = admin.post("/api/webhooks", with(member, value)).await.expect(400);
        assert_eq!(refused.json()["errors"][0]["field"], member, "{}", refused.text());
    }
    let (id, _) = made(&admin, "one").await;
    let path = format!("/api/webhooks/{id}");
    for (member, value) in [("format", json!("slack")), ("enabled", json!("perhaps")), ("minimum_severity", json!(7))] {
        let refused = admin.patch(&path, json!({ member: value })).await.expect(400);
        assert_eq!(refused.json()["errors"][0]["field"], member, "{}", refused.text());
    }
    let taken = admin.post("/api/webhooks", with("name", json!("one"))).await.expect(409);
    assert_eq!(taken.error(), "A webhook of this name exists already");
    let _ = admin.get("/api/webhooks/x").await.expect(400);
    let _ = admin.get(&format!("{path}/deliveries?state=lost")).await.expect(400);
    let _ = admin.post(&format!("{path}/deliveries/y/retry"), json!({})).await.expect(400);
    for (method, path) in [
        ("GET", "/api/webhooks/999"),
        ("PATCH", "/api/webhooks/999"),
        ("DELETE", "/api/webhooks/999"),
        ("POST", "/api/webhooks/999/test"),
        ("POST", "/api/webhooks/999/rotate-secret"),
        ("GET", "/api/webhooks/999/deliveries"),
        ("POST", "/api/webhooks/999/deliveries/1/retry"),
    ] {
        let _ = admin.call(method, path).json(&json!({})).send().await.expect(404);
    }
}

#[tokio::test]
async fn what_was_given_up_is_sent_again() {
    let app = start().await;
    let admin = app.admin().await;
    let mut receiver = Receiver::start().await;
    let (id, secret) = made(&admin, "later").await;
    let path = format!("/api/webhooks/{id}");
    let off = admin.patch(&path, json!({ "enabled": false, "minimum_severity": "Low" })).await.expect(200).json();
    assert_eq!((&off["webhook"]["enabled"], &off["webhook"]["disabled_reason"]), (&false.into(), &"by admin".into()));
    let _ = admin.patch(&path, json!({ "enabled": true })).await.expect(200);
    for _ in 0..6 {
        let _ = app.anonymous().post("/api/auth/login", json!({ "username": "bob", "password": "guessed" })).await;
    }
    let tried = async || {
        let rows = admin.get(&format!("{path}/deliveries?limit=1")).await.expect(200).rows();
        // The second one comes some seconds later.
        rows.into_iter().find(|row| row["attempts"].as_i64() >= Some(1))
    };
    let row = app.eventually("an attempt", tried).await;
    assert_eq!((&row["state"], &row["last_error"]), (&"pending".into(), &"its name cannot be resolved".into()));
    let retry = format!("{path}/deliveries/{}/retry", row["delivery_id"]);
    let refused = admin.post(&retry, json!({})).await.expect(409);
    assert_eq!(refused.error(), "This delivery is pending; only a dead one is sent again.");
    let dead = store::Attempted {
        webhook_id: id,
        delivery_id: row["delivery_id"].as_i64().expect("an id"),
        status: None,
        error: Some("as if a day had passed".into()),
        next: store::Next::Dead,
    };
    assert!(app.store.webhook_attempted(dead).await.expect("recorded"));
    let _ = admin.patch(&path, json!({ "url": receiver.url })).await.expect(200);
    let _ = admin.post(&retry, json!({})).await.expect(200);
    let message = receiver.next(&secret).await;
    assert_eq!(message["type"], "alert.opened");
    let _ = admin.delete(&path).await.expect(200);
    let _ = admin.get(&path).await.expect(404);
}
