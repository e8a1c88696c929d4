//! Who may do what: every cell of the contract's table.

use serde_json::{Value, json};
use story_tests::{Actor, TestApp};

/// What a request needs to exist; filled in for each cell anew, so that one cell does not disturb the next.
struct Scene {
    app: TestApp,
    /// Admin, Supervisor, Employee, Contractor.
    actors: [Actor; 4],
}

impl Scene {
    async fn new() -> Self {
        let app = TestApp::start().await;
        let actors = [app.admin().await, app.supervisor().await, app.employee().await, app.contractor().await];
        Self { app, actors }
    }

    async fn order_of(&self, user: &Actor) -> i64 {
        let item = self.app.item("For an order", 5).await;
        let body = json!({ "item_id": item, "quantity": 1, "user_id": user.id() });
        let order = self.actors[0].post("/api/orders/", body).await.expect(201).json();
        order["order"]["order_id"].as_i64().expect("an id")
    }

    /// Puts ids into `path` and `body`: a new item, an order of the caller, an order of another, users of each role.
    async fn fill(&self, caller: &Actor, text: &str) -> String {
        let mut text = text.to_owned();
        let fresh = |prefix: &str| format!("{prefix}{}", domain::ids::event_id(self.app.now()).simple());
        if text.contains("{item}") {
            text = text.replace("{item}", &self.app.item("Thing", 10).await.to_string());
        }
        if text.contains("{own_order}") {
            text = text.replace("{own_order}", &self.order_of(caller).await.to_string());
        }
        if text.contains("{other_order}") {
            let other = self.app.login("emil").await;
            text = text.replace("{other_order}", &self.order_of(&other).await.to_string());
        }
        for (word, role) in [
            ("{admin}", domain::Role::Admin),
            ("{supervisor}", domain::Role::Supervisor),
            ("{employee}", domain::Role::Employee),
            ("{contractor}", domain::Role::Contractor),
        ] {
            if text.contains(word) {
                text = text.replace(word, &self.app.create(&fresh("u"), role).await.to_string());
            }
        }
        text.replace("{self}", &caller.id().to_string()).replace("{name}", &fresh("n"))
    }
}

type Row = (&'static str, &'static str, &'static str, [u16; 4]);

/// Method, path, body, and the status for Admin, Supervisor, Employee, Contractor.
const TABLE: &[Row] = &[
    // inventory
    ("GET", "/api/inventory/", "", [200, 200, 200, 200]),
    ("GET", "/api/inventory/{item}", "", [200, 200, 200, 200]),
    ("GET", "/api/inventory/categories", "", [200, 200, 200, 200]),
    ("POST", "/api/inventory/", r#"{"item_name": "x"}"#, [201, 201, 403, 403]),
    ("PUT", "/api/inventory/{item}", r#"{"quantity": 1}"#, [200, 200, 403, 403]),
    ("DELETE", "/api/inventory/{item}", "", [200, 200, 403, 403]),
    // orders: view
    ("GET", "/api/orders/", "", [200, 200, 200, 403]),
    ("GET", "/api/orders/?user_id={self}", "", [200, 200, 200, 403]),
    ("GET", "/api/orders/?user_id={employee}", "", [200, 200, 403, 403]),
    ("GET", "/api/orders/{own_order}", "", [200, 200, 200, 403]),
    ("GET", "/api/orders/{other_order}", "", [200, 200, 403, 403]),
    ("GET", "/api/orders/999999", "", [404, 404, 403, 403]),
    ("GET", "/api/orders/user/{self}", "", [200, 200, 200, 403]),
    ("GET", "/api/orders/user/{employee}", "", [200, 200, 403, 403]),
    ("GET", "/api/orders/user/999999", "", [200, 200, 403, 403]),
    // orders: create
    ("POST", "/api/orders/", r#"{"item_id": {item}, "quantity": 1}"#, [201, 201, 201, 403]),
    ("POST", "/api/orders/", r#"{"item_id": {item}, "quantity": 1, "user_id": {self}}"#, [201, 201, 201, 403]),
    ("POST", "/api/orders/", r#"{"item_id": {item}, "quantity": 1, "user_id": {employee}}"#, [201, 201, 403, 403]),
    // orders: update, delete
    ("PUT", "/api/orders/{own_order}", r#"{"quantity": 2}"#, [200, 200, 200, 403]),
    ("PUT", "/api/orders/{other_order}", r#"{"quantity": 2}"#, [200, 200, 403, 403]),
    ("PUT", "/api/orders/999999", r#"{"quantity": 2}"#, [404, 404, 403, 403]),
    ("DELETE", "/api/orders/{own_order}", "", [200, 200, 200, 403]),
    ("DELETE", "/api/orders/{other_order}", "", [200, 200, 403, 403]),
    ("DELETE", "/api/orders/999999", "", [404, 404, 403, 403]),
    // users: list, view
    ("GET", "/api/users/", "", [200, 200, 200, 200]),
    ("GET", "/api/users/{self}", "", [200, 200, 200, 200]),
    ("GET", "/api/users/{employee}", "", [200, 200, 403, 403]),
    ("GET", "/api/users/{admin}", "", [200, 200, 403, 403]),
    ("GET", "/api/users/999999", "", [404, 404, 403, 403]),
    ("GET", "/api/users/roles", "", [200, 200, 200, 200]),
    ("GET", "/api/auth/me", "", [200, 200, 200, 200]),
    // users: create
    (
        "POST",
        "/api/auth/register",
        r#"{"username": "{name}", "password": "a fine secret", "role_id": 1}"#,
        [201, 403, 403, 403],
    ),
    (
        "POST",
        "/api/auth/register",
        r#"{"username": "{name}", "password": "a fine secret", "role_id": 2}"#,
        [201, 403, 403, 403],
    ),
    (
        "POST",
        "/api/auth/register",
        r#"{"username": "{name}", "password": "a fine secret", "role_id": 3}"#,
        [201, 201, 403, 403],
    ),
    (
        "POST",
        "/api/auth/register",
        r#"{"username": "{name}", "password": "a fine secret", "role_id": 4}"#,
        [201, 201, 403, 403],
    ),
    ("POST", "/api/auth/register", r#"{"username": "{name}", "password": "a fine secret"}"#, [201, 201, 403, 403]),
    // users: update others
    ("PUT", "/api/users/{employee}", r#"{"role_id": 4}"#, [200, 200, 403, 403]),
    ("PUT", "/api/users/{contractor}", r#"{"role_id": 3}"#, [200, 200, 403, 403]),
    ("PUT", "/api/users/{employee}", r#"{"role_id": 2}"#, [200, 403, 403, 403]),
    ("PUT", "/api/users/{employee}", r#"{"role_id": 1}"#, [200, 403, 403, 403]),
    ("PUT", "/api/users/{supervisor}", r#"{"role_id": 3}"#, [200, 403, 403, 403]),
    ("PUT", "/api/users/{admin}", r#"{"role_id": 3}"#, [200, 403, 403, 403]),
    ("PUT", "/api/users/{employee}", r#"{"password": "a fine secret"}"#, [200, 200, 403, 403]),
    ("PUT", "/api/users/{supervisor}", r#"{"password": "a fine secret"}"#, [200, 403, 403, 403]),
    ("PUT", "/api/users/{admin}", r#"{"password": "a fine secret"}"#, [200, 403, 403, 403]),
    ("PUT", "/api/users/{employee}", r#"{"email": "e@example.org"}"#, [200, 403, 403, 403]),
    ("PUT", "/api/users/{employee}", r#"{"full_name": "E"}"#, [200, 403, 403, 403]),
    ("PUT", "/api/users/{employee}", r#"{"is_active": false}"#, [200, 403, 403, 403]),
    ("PUT", "/api/users/999999", r#"{"role_id": 3}"#, [404, 404, 403, 403]),
    // users: update oneself; the last, since it may end other sessions
    ("PUT", "/api/users/{self}", r#"{"email": "own@example.org"}"#, [200, 403, 403, 403]),
    ("PUT", "/api/users/{self}", r#"{"role_id": 2}"#, [403, 200, 403, 403]),
    ("PUT", "/api/users/{self}", r#"{"role_id": 1}"#, [200, 403, 403, 403]),
    ("PUT", "/api/users/{self}", r#"{"password": "correct horse 2"}"#, [200, 200, 200, 200]),
    // users: delete
    ("DELETE", "/api/users/{employee}", "", [200, 200, 403, 403]),
    ("DELETE", "/api/users/{contractor}", "", [200, 200, 403, 403]),
    ("DELETE", "/api/users/{supervisor}", "", [200, 403, 403, 403]),
    ("DELETE", "/api/users/{admin}", "", [200, 403, 403, 403]),
    ("DELETE", "/api/users/{self}", "", [400, 400, 403, 403]),
    ("DELETE", "/api/users/999999", "", [404, 404, 403, 403]),
    // logs, sessions
    ("GET", "/api/logs/", "", [200, 200, 200, 200]),
    ("GET", "/api/logs/?user_id={self}", "", [200, 200, 200, 200]),
    ("GET", "/api/logs/?user_id={employee}", "", [200, 200, 403, 403]),
    ("GET", "/api/logs/sessions", "", [200, 200, 200, 200]),
    ("GET", "/api/logs/sessions?user_id={employee}", "", [200, 200, 403, 403]),
    ("GET", "/api/logs/activity-summary", "", [200, 200, 200, 200]),
    ("GET", "/api/logs/activity-summary?user_id={employee}", "", [200, 200, 403, 403]),
    // analytics, alerts, rules
    ("GET", "/api/analytics/anomaly-scores", "", [200, 200, 403, 403]),
    ("GET", "/api/analytics/flagged-activities", "", [200, 200, 403, 403]),
    ("GET", "/api/analytics/dashboard-stats", "", [200, 200, 403, 403]),
    ("GET", "/api/analytics/user-risk-profile/{self}", "", [200, 200, 403, 403]),
    ("GET", "/api/analytics/user-risk-profile/999999", "", [404, 404, 403, 403]),
    ("GET", "/api/analytics/rule-based-detections", "", [200, 200, 403, 403]),
    ("GET", "/api/analytics/top-anomalies", "", [200, 200, 403, 403]),
    ("GET", "/api/alerts", "", [200, 200, 403, 403]),
    ("GET", "/api/alerts/00000000-0000-0000-0000-000000000000", "", [404, 404, 403, 403]),
    ("GET", "/api/users/{self}/risk", "", [200, 200, 403, 403]),
    ("GET", "/api/users/999999/risk", "", [404, 404, 403, 403]),
    ("GET", "/api/rules", "", [200, 200, 403, 403]),
    ("GET", "/api/rules/{rule}/source", "", [200, 200, 403, 403]),
    ("GET", "/api/rules/nothing/source", "", [404, 404, 403, 403]),
    ("GET", "/api/rules/stats", "", [200, 200, 403, 403]),
    ("GET", "/api/analytics/top-users", "", [200, 200, 403, 403]),
    ("GET", "/api/analytics/user-risk?user=erin", "", [200, 200, 403, 403]),
    ("GET", "/api/analytics/user-risk?user=nobody", "", [404, 404, 403, 403]),
    ("GET", "/api/system", "", [200, 200, 403, 403]),
    // run detection, triage
    ("POST", "/api/analytics/run-detection", "{}", [200, 200, 403, 403]),
    ("POST", "/api/analytics/run-rule-detection", "{}", [200, 200, 403, 403]),
    ("POST", "/api/analytics/run-rule-detection", r#"{"force_reprocess": true}"#, [200, 403, 403, 403]),
    (
        "PATCH",
        "/api/alerts/00000000-0000-0000-0000-000000000000",
        r#"{"status": "acknowledged"}"#,
        [404, 404, 403, 403],
    ),
    (
        "POST",
        "/api/alerts/triage",
        r#"{"ids": ["00000000-0000-0000-0000-000000000000"], "status": "acknowledged"}"#,
        [404, 404, 403, 403],
    ),
    // exceptions, rule changes, keys, webhooks, dead letters
    ("GET", "/api/exceptions", "", [200, 403, 403, 403]),
    (
        "POST",
        "/api/exceptions",
        r#"{"rule_id": "{rule}", "key": {"user": "mallory"}, "until": "{tomorrow}", "reason": "known"}"#,
        [201, 403, 403, 403],
    ),
    ("DELETE", "/api/exceptions/999999", "", [404, 403, 403, 403]),
    ("POST", "/api/rules/dry-run", r#"{"rules": "title: x"}"#, [400, 403, 403, 403]),
    ("GET", "/api/keys", "", [200, 403, 403, 403]),
    ("POST", "/api/keys", r#"{"name": "{name}"}"#, [201, 403, 403, 403]),
    ("DELETE", "/api/keys/nobody", "", [404, 403, 403, 403]),
    ("GET", "/api/webhooks", "", [200, 403, 403, 403]),
    (
        "POST",
        "/api/webhooks",
        r#"{"name": "{name}", "url": "https://receiver.invalid/", "minimum_severity": "Critical"}"#,
        [201, 403, 403, 403],
    ),
    ("GET", "/api/webhooks/999999", "", [404, 403, 403, 403]),
    ("PATCH", "/api/webhooks/999999", r#"{"enabled": false}"#, [404, 403, 403, 403]),
    ("DELETE", "/api/webhooks/999999", "", [404, 403, 403, 403]),
    ("POST", "/api/webhooks/999999/test", "", [404, 403, 403, 403]),
    ("POST", "/api/webhooks/999999/rotate-secret", "", [404, 403, 403, 403]),
    ("GET", "/api/webhooks/999999/deliveries", "", [404, 403, 403, 403]),
    ("POST", "/api/webhooks/999999/deliveries/1/retry", "", [404, 403, 403, 403]),
    ("GET", "/api/dead-letters/", "", [200, 403, 403, 403]),
    // posting events
    ("POST", "/api/logs/", r#"{"action": "Click"}"#, [202, 202, 202, 202]),
];

#[tokio::test]
async fn every_cell_of_the_table() {
    let scene = Scene::new().await;
    let tomorrow = scene.app.now().plus(domain::DAY).to_string();
    let rules = scene.actors[0].get("/api/rules").await.expect(200).rows();
    let reports = |rule: &&Value| rule["reports"] == true && rule["key"] == json!(["user"]);
    let rule = rules.iter().find(reports).expect("a rule about users")["id"].as_str().expect("an id");
    let mut wrong = Vec::new();
    for (method, path, body, statuses) in TABLE {
        for (actor, expected) in scene.actors.iter().zip(statuses) {
            let path = scene.fill(actor, &path.replace("{rule}", rule)).await;
            let body = scene.fill(actor, &body.replace("{tomorrow}", &tomorrow).replace("{rule}", rule)).await;
            let mut call = actor.call(method, &path);
            if !body.is_empty() {
                call = call.header("content-type", "application/json").body(body.clone());
            }
            let answer = call.send().await;
            let who = &actor.user["role_name"];
            if answer.status != *expected {
                wrong.push(format!(
                    "{who} {method} {path} {body}: {} instead of {expected}: {}",
                    answer.status,
                    answer.text()
                ));
            } else if answer.status >= 400 {
                assert!(!answer.error().is_empty(), "{who} {method} {path}");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn without_a_token_there_is_nothing() {
    let app = TestApp::start().await;
    let anonymous = app.anonymous();
    for (method, path, body, _) in TABLE {
        if *path == "/api/auth/register" {
            continue;
        }
        let path = path.replace(['{', '}'], "");
        let mut call = anonymous.call(method, &path);
        if !body.is_empty() {
            call = call.header("content-type", "application/json").body(*body);
        }
        let answer = call.send().await;
        assert_eq!(answer.status, 401, "{method} {path}");
        assert!(answer.error().starts_with("Log in"), "{}", answer.error());
    }
}

#[tokio::test]
async fn a_refusal_is_an_activity() {
    let app = TestApp::start().await;
    let employee = app.employee().await;
    let _ = employee.get("/api/users/1").await.expect(403);
    let _ = employee.post("/api/inventory/", json!({ "item_name": "x" })).await.expect(403);
    let denied: Vec<Value> =
        app.journal().await.into_iter().filter(|activity| activity["outcome"] == "denied").collect();
    let told: Vec<_> =
        denied.iter().map(|a| (a["action"].as_str(), a["resource"].as_str(), a["user"].as_str())).collect();
    assert_eq!(
        told,
        [(Some("View"), Some("users/1"), Some("erin")), (Some("Create"), Some("inventory"), Some("erin"))]
    );
    assert_eq!(denied[0]["attributes"]["status"], 403);
}

#[tokio::test]
async fn who_has_own_rights_learns_nothing_of_other_ids() {
    let app = TestApp::start().await;
    let employee = app.employee().await;
    let there = employee.get("/api/users/1").await.expect(403);
    let nowhere = employee.get("/api/users/424242").await.expect(403);
    assert_eq!(there.error(), nowhere.error());
}

#[tokio::test]
async fn employees_see_only_themselves_in_lists() {
    let app = TestApp::start().await;
    let employee = app.employee().await;
    let users = employee.get("/api/users").await.expect(200).rows();
    assert_eq!(users.len(), 1);
    assert_eq!(users[0]["username"], "erin");
    let item = app.item("Shared", 10).await;
    let emil = app.login("emil").await;
    let _ = emil.post("/api/orders/", json!({ "item_id": item, "quantity": 1 })).await.expect(201);
    assert!(employee.get("/api/orders/").await.expect(200).rows().is_empty());
    assert_eq!(emil.get("/api/orders/").await.expect(200).rows().len(), 1);
}
