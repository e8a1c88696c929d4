//! `Idempotency-Key`: a change is done once, however often it is sent.

use futures_util::future::join_all;
use serde_json::json;
use story_tests::{Actor, Answer, TestApp};

async fn order(actor: &Actor, key: &str, item: i64, quantity: i64) -> Answer {
    let call = actor.call("POST", "/api/orders").json(&json!({ "item_id": item, "quantity": quantity }));
    call.header("idempotency-key", key).send().await
}

#[tokio::test]
async fn the_same_key_gets_the_same_answer() {
    let app = TestApp::start().await;
    let erin = app.employee().await;
    let item = app.item("Once", 10).await;
    let first = order(&erin, "k1", item, 2).await.expect(201);
    let before = app.journal().await.len();
    let second = order(&erin, "k1", item, 2).await.expect(201);
    assert_eq!(first.body, second.body);
    assert_eq!(second.header("idempotency-replayed"), "true");
    assert_eq!(app.journal().await.len(), before, "nothing was done, so nothing is told");
    assert_eq!(erin.get("/api/orders").await.expect(200).rows().len(), 1);
    let other = order(&erin, "k1", item, 3).await.expect(422);
    assert!(other.error().contains("Idempotency-Key"));
    let _ = order(&erin, "k2", item, 2).await.expect(201);
    assert_eq!(erin.get("/api/orders").await.expect(200).rows().len(), 2);
}

#[tokio::test]
async fn a_key_belongs_to_who_sent_it_whatever_the_session() {
    let app = TestApp::start().await;
    let item = app.item("Mine", 10).await;
    let _ = order(&app.employee().await, "k", item, 1).await.expect(201);
    let again = order(&app.employee().await, "k", item, 1).await.expect(201);
    assert_eq!(again.header("idempotency-replayed"), "true");
    let other = order(&app.login("emil").await, "k", item, 1).await.expect(201);
    assert_eq!(other.header("idempotency-replayed"), "");
}

#[tokio::test]
async fn many_at_once_are_one() {
    let app = TestApp::start().await;
    let erin = app.employee().await;
    let item = app.item("Rushed", 10).await;
    let answers = join_all((0..20).map(|_| order(&erin, "rush", item, 1))).await;
    assert!(answers.iter().all(|answer| answer.status == 201));
    assert!(answers.iter().all(|answer| answer.body == answers[0].body));
    assert_eq!(erin.get("/api/orders").await.expect(200).rows().len(), 1);
}

#[tokio::test]
async fn failures_are_kept_and_refusals_are_looked_at_anew() {
    let app = TestApp::start().await;
    let (admin, cora) = (app.admin().await, app.contractor().await);
    let item = app.item("Few", 1).await;
    let short = order(&admin, "f", item, 2).await.expect(400);
    let _ = admin.put(&format!("/api/inventory/{item}"), json!({ "quantity": 5 })).await.expect(200);
    let again = order(&admin, "f", item, 2).await.expect(400);
    assert_eq!(again.error(), short.error());
    let _ = order(&cora, "c", item, 1).await.expect(403);
    let _ = admin.put(&format!("/api/users/{}", cora.id()), json!({ "role_id": 3 })).await.expect(200);
    let _ = order(&app.contractor().await, "c", item, 1).await.expect(201);
}

#[tokio::test]
async fn keys_have_bounds_and_last_a_day() {
    let app = TestApp::builder().frozen("2026-03-02T09:00:00Z").start().await;
    let erin = app.employee().await;
    let item = app.item("Daily", 10).await;
    for key in ["", &"x".repeat(256)] {
        let answer = order(&erin, key, item, 1).await.expect(400);
        assert_eq!(answer.json()["errors"][0]["field"], "Idempotency-Key");
    }
    let _ = order(&erin, "day", item, 1).await.expect(201);
    app.pass(domain::DAY + domain::SECOND);
    let erin = app.employee().await;
    let next_day = order(&erin, "day", item, 1).await.expect(201);
    assert_eq!(next_day.header("idempotency-replayed"), "");
}
