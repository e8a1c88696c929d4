//! Registering, logging in and out.

use domain::{HOUR, Role};
use serde_json::json;
use story_tests::{PASSWORD, TestApp};

#[tokio::test]
async fn a_log_in_gives_a_token_a_session_and_the_user() {
    let app = TestApp::start().await;
    let credentials = json!({ "username": "  ERIN ", "password": PASSWORD });
    let body = app.anonymous().post("/api/auth/login", credentials).await.expect(200).json();
    assert_eq!(body["message"], "Login successful");
    assert_eq!(body["token"], body["access_token"]);
    assert!(body["session_id"].is_string());
    let user = body["user"].as_object().expect("a user");
    for member in ["user_id", "username", "email", "full_name", "role_id", "role_name", "is_active", "created_at"] {
        assert!(user.contains_key(member), "{member}");
    }
    assert_eq!((user["role_id"].as_i64(), user["role_name"].as_str()), (Some(3), Some("Employee")));
    assert!(!body.to_string().contains("$2"), "no hash");
    let me = app.employee().await.get("/api/auth/me").await.expect(200).json();
    assert_eq!(me["username"], "erin");
}

#[tokio::test]
async fn unknown_names_and_wrong_passwords_get_one_answer() {
    let app = TestApp::start().await;
    let anonymous = app.anonymous();
    let mut answers = Vec::new();
    for (name, password) in [("erin", "wrong password"), ("nobody here", "wrong password")] {
        let answer =
            anonymous.post("/api/auth/login", json!({ "username": name, "password": password })).await.expect(401);
        answers.push(answer.error());
    }
    assert_eq!(answers, ["Invalid credentials", "Invalid credentials"]);
    let failures: Vec<_> = app.journal().await.into_iter().filter(|a| a["action"] == "LoginFailed").collect();
    assert_eq!(failures[0]["reason"], "bad_password");
    assert_eq!(failures[0]["known_user"], true);
    assert_eq!(failures[1]["reason"], "unknown_user");
    assert_eq!(failures[1]["known_user"], false);
    assert_eq!(failures[1]["user"], "nobody here");
    assert!(failures[1]["detail"].as_str().expect("a detail").contains("nobody here"));
    assert!(failures.iter().all(|failure| failure["outcome"] == "failure" && failure["log_type"] == "auth"));
}

#[tokio::test]
async fn missing_credentials_are_named() {
    let app = TestApp::start().await;
    for (body, field) in [
        (json!({}), "username"),
        (json!({ "username": "", "password": "x" }), "username"),
        (json!({ "username": "erin" }), "password"),
        (json!({ "username": "erin", "password": "" }), "password"),
        (json!({ "username": ["erin"], "password": "x" }), "username"),
        (json!({ "username": "erin", "password": "a\u{0}b" }), "password"),
    ] {
        let answer = app.anonymous().post("/api/auth/login", body.clone()).await.expect(400);
        assert!(answer.error().contains(field), "{body}: {}", answer.error());
        assert_eq!(answer.json()["errors"][0]["field"], field);
    }
}

#[tokio::test]
async fn a_log_in_ignores_old_headers() {
    let app = TestApp::start().await;
    let credentials = json!({ "username": "erin", "password": PASSWORD });
    let call = app.anonymous().call("POST", "/api/auth/login").json(&credentials);
    let _ = call.header("authorization", "Bearer old").header("x-session-id", "old").send().await.expect(200);
}

#[tokio::test]
async fn deactivated_users_stay_outside() {
    let app = TestApp::start().await;
    let erin = app.employee().await;
    let _ =
        app.admin().await.put(&format!("/api/users/{}", erin.id()), json!({ "is_active": false })).await.expect(200);
    let _ = erin.get("/api/auth/me").await.expect(401);
    let credentials = json!({ "username": "erin", "password": PASSWORD });
    let answer = app.anonymous().post("/api/auth/login", credentials).await.expect(401);
    assert_eq!(answer.error(), "Invalid credentials");
    assert!(app.journal().await.iter().any(|a| a["action"] == "LoginFailed" && a["reason"] == "inactive"));
}

#[tokio::test]
async fn anybody_may_register_as_an_employee_and_as_nothing_else() {
    let app = TestApp::start().await;
    let body = json!({ "username": "newcomer", "password": "a fine secret", "email": "", "full_name": "New Comer" });
    let answer = app.anonymous().post("/api/auth/register", body).await.expect(201).json();
    assert_eq!(answer["message"], "User registered successfully");
    assert_eq!(answer["user"]["role_name"], "Employee");
    assert!(answer["user"]["email"].is_null());
    assert_eq!(answer["user"]["full_name"], "New Comer");
    for role in ["1", "2", "4"] {
        let body = json!({ "username": "climber", "password": "a fine secret", "role_id": role });
        let _ = app.anonymous().post("/api/auth/register", body).await.expect(403);
    }
    let own = json!({ "username": "employee", "password": "a fine secret", "role_id": "3" });
    let _ = app.anonymous().post("/api/auth/register", own).await.expect(201);
}

#[tokio::test]
async fn self_registration_can_be_off() {
    let app = TestApp::builder().config(|config| config.self_registration = false).start().await;
    let body = json!({ "username": "newcomer", "password": "a fine secret" });
    let _ = app.anonymous().post("/api/auth/register", body.clone()).await.expect(403);
    let _ = app.admin().await.post("/api/auth/register", body).await.expect(201);
}

#[tokio::test]
async fn a_bad_token_is_never_without_a_token() {
    let app = TestApp::start().await;
    let body = json!({ "username": "newcomer", "password": "a fine secret" });
    let call = app.anonymous().call("POST", "/api/auth/register").json(&body);
    let _ = call.header("authorization", "Bearer nonsense").send().await.expect(401);
}

#[tokio::test]
async fn names_are_taken_whatever_their_spelling_and_for_ever() {
    let app = TestApp::start().await;
    for name in ["erin", "ERIN", " Erin ", "ｅｒｉｎ"] {
        let body = json!({ "username": name, "password": "a fine secret" });
        let answer = app.anonymous().post("/api/auth/register", body).await.expect(409);
        assert_eq!(answer.error(), "Username already exists");
    }
    let body = json!({ "username": "érin", "password": "a fine secret" });
    let _ = app.anonymous().post("/api/auth/register", body).await.expect(201);
    let id = app.create("shortlived", Role::Employee).await;
    let _ = app.admin().await.delete(&format!("/api/users/{id}")).await.expect(200);
    let again = json!({ "username": "shortlived", "password": "a fine secret" });
    let _ = app.anonymous().post("/api/auth/register", again).await.expect(409);
}

#[tokio::test]
async fn names_and_passwords_have_rules_that_are_told() {
    let app = TestApp::start().await;
    for (name, password, part) in [
        ("ab", "a fine secret", "3 to 100"),
        (&"x".repeat(101)[..], "a fine secret", "3 to 100"),
        ("newcomer", "short", "8 characters"),
        ("newcomer", &"ä".repeat(37)[..], "72 bytes"),
        ("newcomer", "password123", "common"),
        ("newcomer", "my NEWCOMER secret", "user name"),
    ] {
        let body = json!({ "username": name, "password": password });
        let answer = app.anonymous().post("/api/auth/register", body).await.expect(400);
        assert!(answer.error().contains(part), "{name} {password}: {}", answer.error());
    }
    let body = json!({ "username": "newcomer", "password": "ä".repeat(36) });
    let _ = app.anonymous().post("/api/auth/register", body).await.expect(201);
}

#[tokio::test]
async fn a_token_dies_with_its_session_and_with_time() {
    let app = TestApp::builder().frozen("2026-03-02T09:00:00Z").start().await;
    let erin = app.employee().await;
    app.pass(11 * HOUR);
    let _ = erin.get("/api/auth/me").await.expect(200);
    app.pass(HOUR);
    let _ = erin.get("/api/auth/me").await.expect(401);
}

#[tokio::test]
async fn foreign_and_unsigned_tokens_are_refused() {
    let app = TestApp::start().await;
    // Each server makes its own secret.
    let other = TestApp::start().await;
    let mut erin = other.employee().await;
    erin.address = app.address;
    let _ = erin.get("/api/auth/me").await.expect(401);
    let token = app.employee().await.token.expect("a token");
    let payload = token.split('.').nth(1).expect("a payload");
    for forged in [
        // {"alg":"none"}
        format!("eyJhbGciOiJub25lIn0.{payload}."),
        format!("eyJhbGciOiJub25lIn0.{payload}.{}", token.split('.').nth(2).expect("a signature")),
        String::from("a.b.c"),
        "x".repeat(5_000),
    ] {
        erin.token = Some(forged);
        let _ = erin.get("/api/auth/me").await.expect(401);
    }
}
