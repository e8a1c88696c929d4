//! Keys of other systems.

use serde_json::json;
use story_tests::{Actor, TestApp};

#[tokio::test]
async fn a_key_posts_events_and_nothing_else_until_it_is_revoked() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let made = admin.post("/api/keys", json!({ "name": "siem", "scope": "ingest" })).await.expect(201).json();
    let text = made["api_key"].as_str().expect("a key").to_owned();
    assert!(text.starts_with("sa_"));
    assert_eq!(text.splitn(3, '_').nth(2).map(str::len), Some(43));
    let key = Actor { token: Some(text.clone()), ..app.anonymous() };
    let _ = key.post("/api/logs", json!({ "action": "View" })).await.expect(202);
    for (method, path) in [("GET", "/api/users"), ("GET", "/api/logs"), ("GET", "/api/keys"), ("POST", "/api/orders")] {
        let _ = key.call(method, path).send().await.expect(403);
    }
    let denied =
        app.journal().await.into_iter().filter(|a| a["attributes"]["key"] == "siem" && a["outcome"] == "denied");
    assert_eq!(denied.count(), 4);
    let listed = admin.get("/api/keys").await.expect(200);
    assert_eq!(listed.rows()[0]["name"], "siem");
    let secret = text.splitn(3, '_').nth(2).expect("a secret");
    assert!(!listed.text().contains(secret));
    let _ = admin.delete("/api/keys/siem").await.expect(200);
    let _ = key.post("/api/logs", json!({ "action": "View" })).await.expect(401);
    let _ = admin.delete("/api/keys/siem").await.expect(404);
}

#[tokio::test]
async fn keys_expire() {
    let app = TestApp::builder().frozen("2026-03-02T09:00:00Z").start().await;
    let admin = app.admin().await;
    let until = json!({ "name": "brief", "expires_at": "2026-03-02T10:00:00Z" });
    let made = admin.post("/api/keys", until).await.expect(201).json();
    let key = Actor { token: made["api_key"].as_str().map(str::to_owned), ..app.anonymous() };
    let _ = key.post("/api/logs", json!({ "action": "View" })).await.expect(202);
    app.pass(domain::HOUR);
    let _ = key.post("/api/logs", json!({ "action": "View" })).await.expect(401);
}

#[tokio::test]
async fn names_of_keys_are_unique_and_plain() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let _ = admin.post("/api/keys", json!({ "name": "one" })).await.expect(201);
    let _ = admin.post("/api/keys", json!({ "name": "one" })).await.expect(409);
    for body in [
        json!({}),
        json!({ "name": "with space" }),
        json!({ "name": "a/b" }),
        json!({ "name": "x".repeat(65) }),
        json!({ "name": "ok", "scope": "everything" }),
        json!({ "name": "ok", "expires_at": "2020-01-01" }),
    ] {
        let _ = admin.post("/api/keys", body).await.expect(400);
    }
}

#[tokio::test]
async fn a_key_is_shown_once_even_to_who_sends_an_idempotency_key() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let create =
        || admin.call("POST", "/api/keys").header("idempotency-key", "k").json(&json!({ "name": "once" })).send();
    let _ = create().await.expect(201);
    let answer = create().await.expect(409);
    assert!(!answer.text().contains("sa_"));
}
