//! Guessing passwords is slowed down; nobody is locked out.

use domain::MINUTE;
use serde_json::json;
use story_tests::{Answer, PASSWORD, TestApp};

/// Attempts come from where a trusted proxy says.
async fn app() -> TestApp {
    let trusted = vec!["127.0.0.0/8".parse().expect("a network")];
    TestApp::builder().frozen("2026-03-02T09:00:00Z").config(|config| config.trusted_proxies = trusted).start().await
}

async fn attempt(app: &TestApp, from: &str, name: &str, password: &str) -> Answer {
    let body = json!({ "username": name, "password": password });
    app.anonymous().call("POST", "/api/auth/login").header("x-forwarded-for", from).json(&body).send().await
}

async fn fail(app: &TestApp, from: &str, name: &str, times: usize) {
    for _ in 0..times {
        let _ = attempt(app, from, name, "wrong password").await.expect(401);
    }
}

#[tokio::test]
async fn five_failures_pause_the_name_from_this_source_for_longer_each_time() {
    let app = app().await;
    for name in ["erin", "nobody here"] {
        let source = if name == "erin" { "192.0.2.1" } else { "192.0.2.2" };
        fail(&app, source, name, 5).await;
        let answer = attempt(&app, source, name, PASSWORD).await.expect(429);
        assert_eq!(answer.header("retry-after"), "60");
        assert_eq!(answer.error(), "Too many attempts. Try again in 60 seconds.");
    }
    app.pass(MINUTE);
    fail(&app, "192.0.2.1", "erin", 1).await;
    let answer = attempt(&app, "192.0.2.1", "erin", PASSWORD).await.expect(429);
    assert_eq!(answer.header("retry-after"), "120");
    app.pass(2 * MINUTE);
    let _ = attempt(&app, "192.0.2.1", "erin", PASSWORD).await.expect(200);
    fail(&app, "192.0.2.1", "erin", 4).await;
    let _ = attempt(&app, "192.0.2.1", "erin", PASSWORD).await.expect(200);
    let throttled = app.journal().await.into_iter().filter(|a| a["reason"] == "throttled").count();
    assert_eq!(throttled, 3, "refused attempts are recorded");
}

#[tokio::test]
async fn others_are_not_locked_out() {
    let app = app().await;
    let _ = attempt(&app, "198.51.100.1", "erin", PASSWORD).await.expect(200);
    for source in 1..=20 {
        fail(&app, &format!("192.0.2.{source}"), "erin", 1).await;
    }
    // Twenty failures from strange sources: strange ones wait, the known one does not.
    let answer = attempt(&app, "203.0.113.9", "erin", PASSWORD).await.expect(429);
    assert_eq!(answer.error(), "Too many attempts. Try again in 15 minutes.");
    let _ = attempt(&app, "198.51.100.1", "erin", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn a_source_that_tries_ten_names_waits() {
    let app = app().await;
    for name in 0..10 {
        fail(&app, "192.0.2.1", &format!("guess {name}"), 1).await;
    }
    let answer = attempt(&app, "192.0.2.1", "erin", PASSWORD).await.expect(429);
    assert_eq!(answer.error(), "Too many attempts. Try again in 15 minutes.");
    let _ = attempt(&app, "192.0.2.2", "erin", PASSWORD).await.expect(200);
    app.pass(15 * MINUTE);
    let _ = attempt(&app, "192.0.2.1", "erin", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn a_source_that_fails_thirty_times_waits() {
    let app = app().await;
    for name in ["aaa", "bbb", "ccc", "ddd", "eee", "fff"] {
        fail(&app, "2001:db8::1", name, 4).await;
    }
    fail(&app, "2001:db8::2", "ggg", 4).await;
    fail(&app, "2001:db8::3", "hhh", 2).await;
    // One /64 is one source.
    let _ = attempt(&app, "2001:db8::4", "erin", PASSWORD).await.expect(429);
    let _ = attempt(&app, "2001:db8:0:1::1", "erin", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn an_office_behind_one_router_goes_on_working() {
    let app = app().await;
    let _ = attempt(&app, "192.0.2.1", "erin", PASSWORD).await.expect(200);
    for name in 0..10 {
        fail(&app, "192.0.2.1", &format!("colleague {name}"), 1).await;
    }
    let _ = attempt(&app, "192.0.2.1", "erin", PASSWORD).await.expect(200);
    let _ = attempt(&app, "192.0.2.1", "emil", PASSWORD).await.expect(429);
}

#[tokio::test]
async fn a_hundred_attempts_at_once_are_no_way_around() {
    let app = TestApp::start().await;
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let guesses = (0..100).map(|_| {
        let anonymous = app.anonymous();
        async move {
            anonymous.post("/api/auth/login", json!({ "username": "erin", "password": "wrong password" })).await.status
        }
    });
    let statuses = futures_util::future::join_all(guesses).await;
    let judged = statuses.iter().filter(|status| **status == 401).count();
    assert!((5..=5 + cores).contains(&judged), "{judged} passwords were looked at");
    assert!(statuses.iter().all(|status| matches!(status, 401 | 429 | 503)), "{statuses:?}");
}

#[tokio::test]
async fn the_current_password_cannot_be_guessed_through_a_stolen_token() {
    let app = TestApp::start().await;
    let erin = app.employee().await;
    let path = format!("/api/users/{}", erin.id());
    let guess = json!({ "password": "a fine secret", "current_password": "wrong password" });
    for _ in 0..5 {
        let _ = erin.put(&path, guess.clone()).await.expect(403);
    }
    let _ = erin.put(&path, guess).await.expect(429);
}
