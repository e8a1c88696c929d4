//! What holds for every request: slashes, CORS, methods, errors, headers.

use serde_json::json;
use story_tests::{Answer, TestApp};

const PAGE: &str = "http://localhost:5173";

#[tokio::test]
async fn a_slash_at_the_end_makes_no_difference() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for path in
        ["/api/users", "/api/users/1", "/api/inventory", "/api/orders", "/api/logs", "/api/auth/me", "/api/health"]
    {
        let bare = admin.get(path).await.expect(200);
        let slashed = admin.get(&format!("{path}/")).await.expect(200);
        if path != "/api/logs" {
            assert_eq!(bare.body, slashed.body, "{path}");
        }
    }
}

#[tokio::test]
async fn unknown_routes_are_told_before_anybody_is_asked_who_they_are() {
    let app = TestApp::start().await;
    for path in ["/api/ai/analyze", "/api/nothing", "/nothing", "/api/users/1/2/3"] {
        let answer = app.anonymous().call("POST", path).header("origin", PAGE).send().await.expect(404);
        assert!(!answer.error().is_empty());
        assert_eq!(answer.header("access-control-allow-origin"), PAGE, "{path}");
    }
    assert!(app.journal().await.iter().all(|activity| activity["action"] != "View"));
}

#[tokio::test]
async fn errors_are_problems_with_a_sentence() {
    let app = TestApp::start().await;
    let answer = app.anonymous().get("/api/users").await.expect(401);
    let body = answer.json();
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(body["status"], 401);
    assert_eq!(body["detail"], body["error"]);
    assert_eq!(body["request_id"], answer.header("x-request-id"));
    assert!(body["errors"].as_array().is_some() && body["type"].is_string() && body["title"].is_string());
}

#[tokio::test]
async fn preflights_are_answered_without_a_token_and_leave_nothing() {
    let app = TestApp::builder().config(|config| config.rate_limit = true).start().await;
    let before = app.journal().await.len();
    for _ in 0..300 {
        let answer = app
            .anonymous()
            .call("OPTIONS", "/api/inventory/3")
            .header("origin", PAGE)
            .header("access-control-request-method", "PUT")
            .header(
                "access-control-request-headers",
                "authorization,content-type,x-session-id,if-match,idempotency-key",
            )
            .send()
            .await
            .expect(200);
        assert_eq!(answer.header("access-control-allow-origin"), PAGE);
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        assert_eq!(answer.header("access-control-max-age"), "600");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            assert!(answer.header("access-control-allow-methods").contains(method), "{method}");
        }
        for name in ["content-type", "authorization", "x-session-id", "idempotency-key", "if-match"] {
            assert!(answer.header("access-control-allow-headers").to_lowercase().contains(name), "{name}");
        }
    }
    assert_eq!(app.journal().await.len(), before);
}

fn assert_readable(answer: &Answer) {
    assert_eq!(answer.header("access-control-allow-origin"), PAGE, "{}", answer.text());
    for name in ["link", "x-total-count", "retry-after", "x-request-id", "etag"] {
        assert!(answer.header("access-control-expose-headers").to_lowercase().contains(name), "{name}");
    }
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn an_allowed_page_can_read_every_error() {
    let app = TestApp::builder().config(|config| config.rate_limit = true).start().await;
    let admin = app.admin().await;
    let from = |call: story_tests::Call| call.header("origin", PAGE).send();
    assert_readable(&from(app.anonymous().call("GET", "/api/users")).await.expect(401));
    assert_readable(&from(app.employee().await.call("GET", "/api/keys")).await.expect(403));
    assert_readable(&from(admin.call("GET", "/api/users/999")).await.expect(404));
    assert_readable(&from(admin.call("PATCH", "/api/users/1")).await.expect(405));
    let large = "x".repeat(1_100_000);
    assert_readable(&from(admin.call("POST", "/api/inventory").body(large)).await.expect(413));
    let text = admin.call("POST", "/api/inventory").header("content-type", "text/html").body("x");
    assert_readable(&from(text).await.expect(415));
    let mut limited = None;
    while limited.is_none() {
        let many = (0..300).map(|_| from(admin.call("GET", "/api/auth/me")));
        limited = futures_util::future::join_all(many).await.into_iter().find(|answer| answer.status == 429);
    }
    let limited = limited.expect("somebody too many");
    assert_eq!(limited.header("retry-after"), "1");
    assert_readable(&limited);
}

#[tokio::test]
async fn other_pages_are_told_nothing() {
    let app = TestApp::start().await;
    for origin in ["http://evil.example", "null", "http://localhost:5173.evil.example"] {
        let answer = app.anonymous().call("GET", "/api/health").header("origin", origin).send().await.expect(200);
        assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
    }
}

#[tokio::test]
async fn a_wrong_method_names_the_right_ones() {
    let app = TestApp::start().await;
    let answer = app.admin().await.call("PATCH", "/api/inventory/1").send().await.expect(405);
    for method in ["GET", "PUT", "DELETE"] {
        assert!(answer.header("allow").contains(method), "{}", answer.header("allow"));
    }
    assert!(answer.error().contains("Allow"));
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let answer = admin.call("HEAD", "/api/users/1").send().await.expect(200);
    assert!(answer.body.is_empty());
    assert_eq!(answer.header("content-type"), "application/json");
    let missing = admin.call("HEAD", "/api/users/999").send().await.expect(404);
    assert!(missing.body.is_empty());
}

#[tokio::test]
async fn answers_with_data_are_not_stored_by_caches() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    assert_eq!(admin.get("/api/users").await.header("cache-control"), "no-store");
    let credentials = json!({ "username": "admin", "password": story_tests::PASSWORD });
    let login = app.anonymous().post("/api/auth/login", credentials).await.expect(200);
    assert_eq!(login.header("cache-control"), "no-store");
}

#[tokio::test]
async fn health_needs_nobody() {
    let app = TestApp::start().await;
    let body = app.anonymous().get("/api/health").await.expect(200).json();
    assert_eq!(body, json!({ "status": "healthy", "message": "Backend is running" }));
    let _ = app.anonymous().get("/api/health/live").await.expect(200);
    let schema = app.anonymous().get("/api/schema/activity").await.expect(200).json();
    assert!(schema["properties"]["action"].is_object());
    let ready = app.anonymous().get("/api/health/ready").await.expect(200).json();
    for member in ["journal_pending", "ingest_lag", "detector_lag"] {
        assert!(ready[member].is_i64(), "{member}: {ready}");
    }
    assert_eq!((&ready["status"], &ready["database"]), (&json!("ready"), &json!("ready")));
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_take_it_and_streams_are_not() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let get = async |path: &str| admin.call("GET", path).header("accept-encoding", "gzip").open().await;
    for (path, coding) in [("/api/rules", Some("gzip")), ("/api/auth/me", None), ("/api/alerts/stream", None)] {
        let answer = get(path).await;
        let told = answer.headers.get("content-encoding").map(|value| value.to_str().expect("text").to_owned());
        assert_eq!((answer.status, told.as_deref()), (200, coding), "{path}");
    }
    let plain = admin.get("/api/rules").await.expect(200);
    assert_eq!(plain.header("content-encoding"), "");
    let mut answer = get("/api/rules").await;
    let mut size = 0;
    while let Some(piece) = answer.next().await {
        size += piece.len();
    }
    assert!(size * 3 < plain.text().len(), "{size} of {}", plain.text().len());
}
