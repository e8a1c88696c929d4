//! Bad input: a 4xx that names what is wrong, and nothing else happens.

use serde_json::json;
use story_tests::TestApp;

#[tokio::test]
async fn broken_bodies_are_refused_in_words() {
    let app = TestApp::start().await;
    let sam = app.supervisor().await;
    let item = app.item("Target", 1).await;
    let deep_array = "[".repeat(10_000);
    let deep_object = r#"{"a":"#.repeat(10_000);
    let deep_member = format!(r#"{{"item_name": {}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let bodies: Vec<Vec<u8>> = vec![
        b"{".to_vec(),
        b"[]".to_vec(),
        b"null".to_vec(),
        b"\"text\"".to_vec(),
        b"{\"item_name\": \"x\",}".to_vec(),
        b"{\"item_name\": \"\xff\xfe\"}".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        b"{\"item_name\": \"a\\u0000b\"}".to_vec(),
        b"{\"item_name\": \"\\ud800\"}".to_vec(),
        b"{\"item_name\": {\"a\": 1}}".to_vec(),
        b"{\"item_name\": [1]}".to_vec(),
        b"{\"item_name\": \"x\", \"quantity\": 1e400}".to_vec(),
        b"{\"item_name\": \"x\", \"quantity\": 99999999999999999999999999}".to_vec(),
        b"{\"item_name\": \"x\", \"unit_price\": 1e308}".to_vec(),
        b"{\"item_name\": \"x\", \"unit_price\": {}}".to_vec(),
        deep_array.into_bytes(),
        deep_object.into_bytes(),
        deep_member.into_bytes(),
    ];
    for body in bodies {
        let told = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        for (method, path) in [("POST", "/api/inventory".to_owned()), ("PUT", format!("/api/inventory/{item}"))] {
            let call = sam.call(method, &path).header("content-type", "application/json").body(body.clone());
            let answer = call.send().await.expect(400);
            assert!(!answer.error().is_empty() && !answer.error().contains('\n'), "{told}");
            assert!(answer.json()["errors"][0]["field"].is_string(), "{told}: {}", answer.text());
        }
    }
    assert_eq!(sam.get("/api/inventory").await.expect(200).rows().len(), 1);
}

#[tokio::test]
async fn too_much_is_413_and_another_type_is_415() {
    let app = TestApp::start().await;
    let sam = app.supervisor().await;
    let large = format!(r#"{{"item_name": "{}"}}"#, "x".repeat(1_048_577));
    for path in ["/api/inventory", "/api/auth/login", "/api/logs"] {
        let call = sam.call("POST", path).header("content-type", "application/json");
        let answer = call.body(large.clone()).send().await.expect(413);
        assert!(answer.error().contains("larger"), "{}", answer.error());
    }
    let pieces = vec![large.clone().into_bytes().into(); 2];
    let call = sam.call("POST", "/api/inventory").header("content-type", "application/json");
    let _ = call.pieces(pieces).send().await.expect(413);
    let form = sam.call("POST", "/api/inventory").header("content-type", "application/x-www-form-urlencoded");
    let _ = form.body("item_name=x").send().await.expect(415);
    // What forms can say passes.
    for kind in ["application/json; charset=utf-8", "text/plain", "application/merge-patch+json"] {
        let call = sam.call("POST", "/api/inventory").header("content-type", kind);
        let _ = call.body(r#"{"item_name": "x"}"#).send().await.expect(201);
    }
    let _ = sam.call("POST", "/api/inventory").body(r#"{"item_name": "x"}"#).send().await.expect(201);
}

#[tokio::test]
async fn numbers_come_in_many_spellings() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let item = app.item("Numbered", 1_000).await;
    for (quantity, whole) in [
        (json!("7"), 7),
        (json!("007"), 7),
        (json!("10.0"), 10),
        (json!("1e2"), 100),
        (json!(3.0), 3),
        (json!(" 5 "), 5),
    ] {
        let body = json!({ "item_id": format!("{item}.0"), "quantity": quantity, "user_id": "" });
        let made = admin.post("/api/orders", body).await.expect(201).json();
        assert_eq!(made["order"]["quantity"], whole);
    }
    for path in
        [format!("/api/inventory/00{item}"), format!("/api/inventory/{item}.0"), format!("/api/inventory/%3{item}")]
    {
        let _ = admin.get(&path).await.expect(200);
    }
    for path in ["/api/inventory/x", "/api/inventory/1.5", "/api/inventory/99999999999", "/api/users/%FF"] {
        let answer = admin.get(path).await.expect(400);
        assert!(answer.json()["errors"][0]["field"].is_string(), "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn parameters_are_named_when_they_are_wrong() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for (path, field) in [
        ("/api/orders?user_id=x", "user_id"),
        ("/api/logs?limit=0", "limit"),
        ("/api/logs?limit=many", "limit"),
        ("/api/logs?start_date=yesterday", "start_date"),
        ("/api/logs?end_date=2026-13-01", "end_date"),
        ("/api/logs?log_type=other", "log_type"),
        ("/api/logs?cursor=garbage", "cursor"),
        ("/api/logs?all=perhaps", "all"),
        ("/api/logs?user_id=%FF", "user_id"),
        ("/api/logs/sessions?active_only=2", "active_only"),
        ("/api/logs/activity-summary?days=0", "days"),
        ("/api/analytics/anomaly-scores?risk_level=Severe", "risk_level"),
        ("/api/analytics/anomaly-scores?days=-1", "days"),
        ("/api/analytics/flagged-activities?severity=Huge", "severity"),
        ("/api/analytics/top-anomalies?top=0", "top"),
        ("/api/analytics/top-anomalies?min_score=high", "min_score"),
        ("/api/alerts?status=new", "status"),
        ("/api/alerts?from=then", "from"),
        ("/api/alerts/not-a-uuid", "alert_id"),
        ("/api/users/1/risk?as_of=then", "as_of"),
        ("/api/inventory?format=xml", "format"),
    ] {
        let answer = admin.get(path).await.expect(400);
        assert_eq!(answer.json()["errors"][0]["field"], field, "{path}: {}", answer.error());
        assert!(answer.error().contains(field), "{path}: {}", answer.error());
    }
    for path in
        ["/api/logs?limit=&user_id=&start_date=&log_type=&all=", "/api/logs?limit=5000", "/api/alerts?severity="]
    {
        let _ = admin.get(path).await.expect(200);
    }
}
