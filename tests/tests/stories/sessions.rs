//! Sessions: their names, and their end, at once.

use serde_json::{Value, json};
use story_tests::{Actor, TestApp};

#[tokio::test]
async fn a_log_out_ends_the_session_at_once_and_only_this_one() {
    let app = TestApp::start().await;
    let (here, there) = (app.employee().await, app.employee().await);
    let body = here.post("/api/auth/logout", json!({ "session_id": here.session })).await.expect(200).json();
    assert_eq!(body["message"], "Logout successful");
    let answer = here.get("/api/auth/me").await.expect(401);
    assert!(answer.error().contains("Log in again"));
    let _ = there.get("/api/auth/me").await.expect(200);
}

#[tokio::test]
async fn nobody_ends_a_session_by_naming_it() {
    let app = TestApp::start().await;
    let (erin, admin) = (app.employee().await, app.admin().await);
    let _ = erin.post("/api/auth/logout", json!({ "session_id": admin.session })).await;
    let _ = admin.get("/api/auth/me").await.expect(200);
}

/// What ends all sessions of a user.
async fn ends(act: impl AsyncFn(&Actor, i64)) {
    let app = TestApp::start().await;
    let (admin, erin, again) = (app.admin().await, app.employee().await, app.employee().await);
    act(&admin, erin.id()).await;
    for session in [&erin, &again] {
        let _ = session.get("/api/auth/me").await.expect(401);
    }
    let _ = admin.get("/api/auth/me").await.expect(200);
}

#[tokio::test]
async fn another_password_ends_all_sessions() {
    ends(async |admin, id| {
        let _ = admin.put(&format!("/api/users/{id}"), json!({ "password": "a fine secret" })).await.expect(200);
    })
    .await;
}

#[tokio::test]
async fn another_role_ends_all_sessions() {
    ends(async |admin, id| {
        let _ = admin.put(&format!("/api/users/{id}"), json!({ "role_id": 4 })).await.expect(200);
    })
    .await;
}

#[tokio::test]
async fn deactivation_ends_all_sessions() {
    ends(async |admin, id| {
        let _ = admin.put(&format!("/api/users/{id}"), json!({ "is_active": false })).await.expect(200);
    })
    .await;
}

#[tokio::test]
async fn deletion_ends_all_sessions() {
    ends(async |admin, id| {
        let _ = admin.delete(&format!("/api/users/{id}")).await.expect(200);
    })
    .await;
}

#[tokio::test]
async fn ones_own_password_ends_the_others_and_this_one_goes_on() {
    let app = TestApp::start().await;
    let (here, there) = (app.employee().await, app.employee().await);
    let _ = here.put(&format!("/api/users/{}", here.id()), json!({ "password": "a fine secret" })).await.expect(200);
    let _ = here.get("/api/auth/me").await.expect(200);
    let _ = there.get("/api/auth/me").await.expect(401);
}

#[tokio::test]
async fn no_change_ends_nothing() {
    let app = TestApp::start().await;
    let (admin, erin) = (app.admin().await, app.employee().await);
    let same = json!({ "role_id": "3", "password": "", "email": Value::Null, "is_active": true });
    let _ = admin.put(&format!("/api/users/{}", erin.id()), same).await.expect(200);
    let _ = erin.get("/api/auth/me").await.expect(200);
}

#[tokio::test]
async fn a_session_header_must_be_the_tokens() {
    let app = TestApp::start().await;
    let (erin, admin) = (app.employee().await, app.admin().await);
    let own = erin.session.clone().expect("a session");
    let _ = erin.call("GET", "/api/auth/me").header("x-session-id", &own).send().await.expect(200);
    let _ = erin.call("GET", "/api/auth/me").header("x-session-id", "").send().await.expect(200);
    for other in [admin.session.expect("a session"), "made up".to_owned()] {
        let answer = erin.call("GET", "/api/inventory/7").header("x-session-id", &other).send().await.expect(401);
        assert!(answer.error().contains("Log in again"));
    }
    let activities = app.journal().await;
    let mismatches: Vec<_> = activities.iter().filter(|a| a["reason"] == "session_mismatch").collect();
    assert_eq!(mismatches.len(), 2);
    assert_eq!(mismatches[0]["user"], "erin");
    assert_eq!(mismatches[0]["outcome"], "denied");
    assert_eq!(mismatches[0]["resource"], "inventory/7");
    // The session itself goes on: its owner did nothing wrong.
    let _ = erin.get("/api/auth/me").await.expect(200);
}

#[tokio::test]
async fn no_request_answered_after_the_log_out_gets_through() {
    let app = TestApp::start().await;
    for _ in 0..20 {
        let erin = app.employee().await;
        let reader = erin.clone();
        let readers = tokio::spawn(async move {
            for _ in 0..10 {
                let _ = reader.get("/api/auth/me").await;
            }
        });
        let _ = erin.post("/api/auth/logout", json!({})).await.expect(200);
        let _ = erin.get("/api/auth/me").await.expect(401);
        readers.await.expect("readers");
    }
}
