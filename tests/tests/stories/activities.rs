//! One request, one activity, durable before the answer.

use serde_json::{Value, json};
use story_tests::{Actor, TestApp};

/// The one activity that the request leaves.
async fn left(app: &TestApp, actor: &Actor, method: &str, path: &str, body: Value) -> Value {
    let before = app.journal().await.len();
    let mut call = actor.call(method, path);
    if !body.is_null() {
        call = call.json(&body);
    }
    let answer = call.send().await;
    let mut after = app.journal().await;
    assert_eq!(after.len(), before + 1, "{method} {path}: {}", answer.text());
    let activity = after.pop().expect("an activity");
    assert_eq!(activity["request_id"], answer.header("x-request-id"), "{method} {path}");
    activity
}

#[tokio::test]
async fn every_kind_of_request_leaves_what_the_table_says() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let item = app.item("Seen", 5).await;
    let one = format!("/api/inventory/{item}");
    let rows: Vec<(&str, &str, Value, &str, String, &str)> = vec![
        ("GET", "/api/inventory/", Value::Null, "View", "inventory".into(), "data_access"),
        ("GET", &one, Value::Null, "View", format!("inventory/{item}"), "data_access"),
        ("GET", "/api/inventory/categories", Value::Null, "View", "inventory/categories".into(), "system"),
        ("GET", "/api/users/roles", Value::Null, "View", "users/roles".into(), "system"),
        ("GET", "/api/auth/me", Value::Null, "View", "auth/me".into(), "system"),
        ("GET", "/api/logs", Value::Null, "View", "logs".into(), "data_access"),
        ("GET", "/api/analytics/dashboard-stats", Value::Null, "View", "analytics/dashboard-stats".into(), "system"),
        ("GET", "/api/alerts", Value::Null, "View", "alerts".into(), "system"),
        ("POST", "/api/analytics/run-detection", json!({}), "View", "analytics/run-detection".into(), "system"),
        ("PUT", &one, json!({ "quantity": 6 }), "Update", format!("inventory/{item}"), "data_access"),
        ("GET", "/api/inventory/999", Value::Null, "View", "inventory/999".into(), "data_access"),
        ("PUT", &one, json!({ "quantity": -6 }), "Update", format!("inventory/{item}"), "data_access"),
        ("POST", "/api/keys", json!({ "name": "k" }), "Admin", "keys/k".into(), "system"),
        ("DELETE", "/api/keys/k", Value::Null, "Admin", "keys/k".into(), "system"),
        ("DELETE", &one, Value::Null, "Delete", format!("inventory/{item}"), "data_access"),
    ];
    for (method, path, body, action, resource, log_type) in rows {
        let activity = left(&app, &admin, method, path, body).await;
        let told = (activity["action"].as_str(), activity["resource"].as_str(), activity["log_type"].as_str());
        assert_eq!(told, (Some(action), Some(resource.as_str()), Some(log_type)), "{method} {path}");
        assert_eq!(activity["user"], "admin");
        assert_eq!(activity["role"], "Admin");
        assert_eq!(activity["session_id"].as_str(), admin.session.as_deref());
        assert_eq!(activity["source_ip"], "127.0.0.1");
        assert_eq!(activity["user_agent"], "story-tests");
        assert_eq!(activity["origin"], "api");
        assert_eq!(activity["known_user"], true);
        assert!(activity["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{method} {path}");
    }
}

#[tokio::test]
async fn what_was_returned_and_what_failed_is_told() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    app.item("One", 1).await;
    app.item("Two", 1).await;
    let list = left(&app, &admin, "GET", "/api/inventory", Value::Null).await;
    assert_eq!((list["records"].as_i64(), list["outcome"].as_str()), (Some(2), Some("success")));
    assert_eq!(list["detail"], "Viewed inventory (2 records)");
    let missing = left(&app, &admin, "GET", "/api/users/007777", Value::Null).await;
    assert_eq!((missing["outcome"].as_str(), missing["resource"].as_str()), (Some("failure"), Some("users/7777")));
    assert_eq!(missing["attributes"]["status"], 404);
    let taken = json!({ "username": "erin", "password": "a fine secret" });
    let conflict = left(&app, &app.anonymous(), "POST", "/api/auth/register", taken).await;
    assert_eq!((conflict["action"].as_str(), conflict["outcome"].as_str()), (Some("Create"), Some("failure")));
    assert_eq!(conflict["attributes"]["status"], 409);
    assert!(conflict.get("user").is_none());
}

#[tokio::test]
async fn what_nobody_did_leaves_nothing() {
    let app = TestApp::start().await;
    let anonymous = app.anonymous();
    let before = app.journal().await.len();
    let _ = anonymous.get("/api/users").await.expect(401);
    let _ = anonymous.get("/api/health").await.expect(200);
    let _ = anonymous.get("/api/health/ready").await.expect(200);
    let _ = anonymous.get("/api/nowhere").await.expect(404);
    assert_eq!(app.journal().await.len(), before);
}

#[tokio::test]
async fn secrets_are_never_written_down() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let secret = "unmistakable secret 42";
    let body = json!({ "username": "holder", "password": secret });
    let made = admin.post("/api/auth/register", body.clone()).await.expect(201).json();
    let _ = app.anonymous().post("/api/auth/login", body).await.expect(200);
    let path = format!("/api/users/{}", made["user"]["user_id"]);
    let _ = admin.put(&path, json!({ "password": "another unmistakable 43" })).await.expect(200);
    let _ = admin.get(&format!("/api/inventory?token={secret}&password={secret}").replace(' ', "+")).await.expect(200);
    let key = admin.post("/api/keys", json!({ "name": "k" })).await.expect(201).json();
    let journal = Value::from(app.journal().await).to_string();
    let token = admin.token.as_deref().expect("a token");
    for word in ["unmistakable", token, key["api_key"].as_str().expect("a key")] {
        assert!(!journal.contains(word));
    }
}
