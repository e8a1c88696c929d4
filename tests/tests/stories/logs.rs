//! Reading the log.

use serde_json::{Value, json};
use story_tests::{Actor, TestApp};

/// The rows of a query, as soon as there are `count`.
async fn rows(app: &TestApp, actor: &Actor, query: &str, count: usize) -> Vec<Value> {
    let path = format!("/api/logs/?{query}");
    app.eventually(&format!("{count} rows of {path}"), async || {
        let rows = actor.get(&path).await.expect(200).rows();
        (rows.len() == count).then_some(rows)
    })
    .await
}

async fn post(system: &Actor, events: Value) {
    let _ = system.post("/api/logs", events).await.expect(202);
}

#[tokio::test]
async fn a_row_has_the_members_that_the_page_takes() {
    let app = TestApp::start().await;
    let (admin, erin) = (app.admin().await, app.employee().await);
    let item = app.item("Watched", 5).await;
    let _ = erin.get(&format!("/api/inventory/{item}")).await.expect(200);
    let row = rows(&app, &admin, &format!("user_id={}&action_type=View", erin.id()), 1).await.remove(0);
    for member in
        ["timestamp", "action_type", "action_detail", "ip_address", "log_type", "outcome", "event_id", "origin"]
    {
        assert!(row[member].is_string(), "{member}: {row}");
    }
    for member in ["page_url", "user_agent", "geo_location", "session_id", "resource", "request_id", "received_at"] {
        assert!(row.get(member).is_some(), "{member}");
    }
    assert!(row["log_id"].is_i64());
    assert_eq!(row["is_flagged"], false);
    assert_eq!((row["user_id"].as_i64(), row["username"].as_str()), (Some(erin.id()), Some("erin")));
    assert_eq!(row["resource"], format!("inventory/{item}"));
    assert_eq!(row["timestamp"], row["occurred_at"]);
}

#[tokio::test]
async fn who_has_no_account_is_found_by_name() {
    let app = TestApp::start().await;
    let (admin, erin) = (app.admin().await, app.employee().await);
    let event = json!({ "user": "Mallory", "action": "Export", "session_id": "elsewhere", "resource": "orders" });
    post(&app.system("erp").await, json!([event, event])).await;
    let of = rows(&app, &admin, "user=mallory", 2).await;
    assert!(of.iter().all(|row| row["username"] == "Mallory" && row["user_id"].is_null()), "{of:?}");
    let sessions = admin.get("/api/logs/sessions?user=MALLORY").await.expect(200).rows();
    assert_eq!((sessions.len(), sessions[0]["session_id"].as_str()), (1, Some("elsewhere")));
    assert!(admin.get("/api/logs?user=nobody").await.expect(200).rows().is_empty());
    // Whoever has one is found by either.
    let _ = erin.get("/api/inventory").await.expect(200);
    app.settled().await;
    let by_id = admin.get(&format!("/api/logs?user_id={}", erin.id())).await.expect(200).rows();
    assert!(!by_id.is_empty());
    for actor in [&admin, &erin] {
        let by_name = actor.get("/api/logs?user=Erin").await.expect(200).rows();
        assert_eq!(by_name.len(), by_id.len());
        assert_eq!(actor.get("/api/logs/sessions?user=erin").await.expect(200).rows().len(), 1);
    }
    for path in ["/api/logs", "/api/logs/sessions"] {
        let _ = erin.get(&format!("{path}?user=mallory")).await.expect(403);
        let both = admin.get(&format!("{path}?user=erin&user_id={}", erin.id())).await.expect(400);
        assert_eq!(both.json()["errors"][0]["field"], "user");
    }
}

#[tokio::test]
async fn newest_first() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let erin = app.employee().await;
    let _ = erin.get("/api/inventory").await.expect(200);
    let list = rows(&app, &admin, &format!("user_id={}&action_type=View", erin.id()), 1).await;
    assert_eq!(list[0]["action_detail"], "Viewed inventory (0 records)");
    let all = admin.get("/api/logs?all=true").await.expect(200).rows();
    let times: Vec<_> = all.iter().map(|row| row["timestamp"].as_str().expect("a time").to_owned()).collect();
    let parsed: Vec<_> = times.iter().map(|time| domain::Timestamp::parse(time).expect("a time")).collect();
    assert!(parsed.is_sorted_by(|a, b| a >= b));
}

#[tokio::test]
async fn look_ups_and_reads_of_logs_are_left_out_unless_asked_for() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let erin = app.employee().await;
    let _ = erin.get("/api/inventory").await.expect(200);
    let _ = erin.get("/api/users/roles").await.expect(200);
    let _ = erin.get("/api/logs").await.expect(200);
    let own = format!("user_id={}", erin.id());
    rows(&app, &admin, &format!("{own}&all=true"), 4).await;
    let usual = rows(&app, &admin, &own, 2).await;
    assert_eq!((usual[0]["resource"].as_str(), usual[1]["action_type"].as_str()), (Some("inventory"), Some("Login")));
    let system = rows(&app, &admin, &format!("{own}&log_type=system"), 1).await;
    assert_eq!(system[0]["resource"], "users/roles");
}

#[tokio::test]
async fn filters_and_pages() {
    let app = TestApp::start().await;
    let (admin, system) = (app.admin().await, app.system("s").await);
    let events: Vec<Value> = (0..25)
        .map(|n| {
            json!({ "user": "erin", "action": if n % 5 == 0 { "Export" } else { "View" }, "resource": format!("r/{n}"),
            "occurred_at": format!("2026-03-0{}T10:00:{:02}Z", 1 + n / 10, n) })
        })
        .collect();
    post(&system, Value::from(events)).await;
    let erin = app.employee().await.id();
    rows(&app, &admin, &format!("user_id={erin}&action_type=Export&end_date=2026-04-01"), 5).await;
    let day = rows(&app, &admin, "start_date=2026-03-02&end_date=2026-03-02", 10).await;
    assert!(day.iter().all(|row| row["timestamp"].as_str().is_some_and(|time| time.starts_with("2026-03-02"))));
    assert_eq!(rows(&app, &admin, "start_date=2026-03-02T10:00:12&end_date=2026-03-02T10:00:14Z", 3).await.len(), 3);
    let mut path = format!("/api/logs?user_id={erin}&end_date=2026-04-01&limit=10");
    let mut seen = Vec::new();
    loop {
        let answer = admin.get(&path).await.expect(200);
        seen.extend(answer.rows().into_iter().map(|row| row["resource"].as_str().expect("a resource").to_owned()));
        let Some(next) = answer.header("link").split(['<', '>']).nth(1).map(str::to_owned) else { break };
        // What comes meanwhile does not shift the pages.
        post(&system, json!({ "user": "erin", "action": "View", "resource": "later" })).await;
        path = next;
    }
    let expected: Vec<_> = (0..25).rev().map(|n| format!("r/{n}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn employees_read_their_own_rows() {
    let app = TestApp::start().await;
    let (erin, cora) = (app.employee().await, app.contractor().await);
    let _ = cora.get("/api/inventory").await.expect(200);
    let list = rows(&app, &erin, "action_type=Login", 1).await;
    assert_eq!(list[0]["username"], "erin");
    let all = erin.get("/api/logs?all=true&limit=1000").await.expect(200).rows();
    assert!(all.iter().all(|row| row["username"] == "erin" && row["is_flagged"] == false));
    let sessions = app
        .eventually("the session", async || {
            let rows = cora.get("/api/logs/sessions").await.expect(200).rows();
            (!rows.is_empty()).then_some(rows)
        })
        .await;
    assert!(sessions.iter().all(|row| row["username"] == "cora"));
}

#[tokio::test]
async fn a_failed_log_in_names_the_user_it_tried() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let credentials = json!({ "username": "ghost", "password": "wrong password" });
    let _ = app.anonymous().post("/api/auth/login", credentials).await.expect(401);
    let row = rows(&app, &admin, "action_type=LoginFailed", 1).await.remove(0);
    assert_eq!((row["username"].as_str(), row["log_type"].as_str()), (Some("ghost"), Some("auth")));
    assert!(row["user_id"].is_null());
    assert!(row["action_detail"].as_str().expect("a detail").contains("ghost"));
    assert_eq!(row["reason"], "unknown_user");
}

#[tokio::test]
async fn sessions_count_their_rows() {
    let app = TestApp::start().await;
    let (admin, erin) = (app.admin().await, app.employee().await);
    for _ in 0..3 {
        let _ = erin.get("/api/inventory").await.expect(200);
    }
    let path = format!("/api/logs/sessions?user_id={}", erin.id());
    let session = async |count: i64| {
        app.eventually("the session's rows", async || {
            let mut rows = admin.get(&path).await.expect(200).rows();
            (rows.len() == 1 && rows[0]["activity_count"] == count).then(|| rows.remove(0))
        })
        .await
    };
    let row = session(4).await;
    assert_eq!(row["session_id"].as_str(), erin.session.as_deref());
    assert_eq!((row["username"].as_str(), row["is_active"].as_bool()), (Some("erin"), Some(true)));
    assert_eq!((row["ip_address"].as_str(), row["user_agent"].as_str()), (Some("127.0.0.1"), Some("story-tests")));
    assert!(row["start_time"].is_string() && row["end_time"].is_null());
    let _ = erin.post("/api/auth/logout", json!({})).await.expect(200);
    let row = session(5).await;
    assert_eq!(row["is_active"], false);
    assert!(row["end_time"].is_string());
    assert!(admin.get(&format!("{path}&active_only=true")).await.expect(200).rows().is_empty());
}

#[tokio::test]
async fn the_summary_counts_by_action() {
    let app = TestApp::start().await;
    let (admin, erin) = (app.admin().await, app.employee().await);
    for _ in 0..3 {
        let _ = erin.get("/api/inventory").await.expect(200);
    }
    let path = format!("/api/logs/activity-summary?user_id={}&days=7", erin.id());
    let body = app
        .eventually("the summary", async || {
            let body = admin.get(&path).await.expect(200).json();
            (body["total_activities"] == 4).then_some(body)
        })
        .await;
    assert_eq!(body["by_action_type"], json!({ "Login": 1, "View": 3 }));
    assert_eq!(body["period_days"], 7);
    let own = erin.get("/api/logs/activity-summary").await.expect(200).json();
    assert_eq!(own["by_action_type"]["Login"], 1);
}
