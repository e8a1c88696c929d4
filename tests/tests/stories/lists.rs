//! Paging beyond the bare array, and lists for spreadsheets.

use domain::Role;
use serde_json::{Value, json};
use story_tests::{Actor, TestApp};

/// Follows the links; all rows, and how many pages there were.
async fn follow(actor: &Actor, path: &str) -> (Vec<Value>, usize) {
    let (mut rows, mut pages, mut path) = (Vec::new(), 0, path.to_owned());
    loop {
        let answer = actor.get(&path).await.expect(200);
        rows.extend(answer.rows());
        pages += 1;
        let link = answer.header("link");
        if link.is_empty() {
            return (rows, pages);
        }
        let (address, relation) = link.split_once(';').expect("a relation");
        assert_eq!(relation.trim(), "rel=\"next\"");
        path = address.trim_start_matches('<').trim_end_matches('>').to_owned();
        assert!(pages < 100, "endless");
    }
}

fn ids(rows: &[Value], member: &str) -> Vec<i64> {
    rows.iter().map(|row| row[member].as_i64().expect("an id")).collect()
}

#[tokio::test]
async fn whole_lists_page_where_a_limit_is_asked_for() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for number in 0..5 {
        let item = app.item(&format!("Item {number}"), 5).await;
        let _ = admin.post("/api/orders", json!({ "item_id": item, "quantity": 1 })).await.expect(201);
        app.create(&format!("extra {number}"), Role::Employee).await;
    }
    for (path, member, total) in
        [("/api/users", "user_id", 10_usize), ("/api/inventory", "item_id", 5), ("/api/orders", "order_id", 5)]
    {
        let whole = admin.get(path).await.expect(200);
        assert_eq!(whole.header("x-total-count"), total.to_string());
        assert_eq!(whole.header("link"), "");
        let (rows, pages) = follow(&admin, &format!("{path}/?limit=2")).await;
        assert_eq!(ids(&rows, member), ids(&whole.rows(), member), "{path}");
        assert_eq!(pages, total.div_ceil(2));
        let mut sorted = ids(&rows, member);
        sorted.sort_unstable();
        if member == "order_id" {
            sorted.reverse();
        }
        assert_eq!(ids(&rows, member), sorted);
    }
}

#[tokio::test]
async fn spreadsheets_get_no_formulas() {
    let app = TestApp::start().await;
    let sam = app.supervisor().await;
    for name in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "a, \"b\"", "plain"] {
        app.item(name, 1).await;
    }
    let answer = sam.get("/api/inventory/?format=csv").await.expect(200);
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
    assert!(answer.header("content-disposition").contains("inventory.csv"));
    let text = answer.text();
    let mut lines = text.split("\r\n");
    assert_eq!(lines.next(), Some("item_id,item_name,category,description,quantity,unit_price,last_updated"));
    for cell in [",\"'=1+1\",", ",\"'+1\",", ",\"'-1\",", ",\"'@SUM(A1)\",", ",\"a, \"\"b\"\"\",", ",plain,"] {
        assert!(text.contains(cell), "{cell}: {text}");
    }
    assert!(!text.contains(",\"\t="), "{text}");
    let export = app.journal().await.pop().expect("an activity");
    assert_eq!((export["action"].as_str(), export["resource"].as_str()), (Some("Export"), Some("inventory")));
    assert_eq!((export["records"].as_i64(), export["log_type"].as_str()), (Some(7), Some("data_access")));
}

#[tokio::test]
async fn every_list_can_be_exported() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for path in [
        "/api/users",
        "/api/inventory",
        "/api/orders",
        "/api/orders/user/1",
        "/api/logs",
        "/api/logs/sessions",
        "/api/analytics/anomaly-scores",
        "/api/analytics/flagged-activities",
        "/api/analytics/rule-based-detections",
        "/api/analytics/top-anomalies",
        "/api/alerts",
        "/api/exceptions",
        "/api/keys",
        "/api/webhooks",
        "/api/dead-letters",
    ] {
        let answer = admin.get(&format!("{path}?format=csv")).await.expect(200);
        assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8", "{path}");
        assert!(answer.text().contains(','), "{path}");
        let export = app.journal().await.pop().expect("an activity");
        assert_eq!(export["action"], "Export", "{path}");
    }
    let _ = app.employee().await.get("/api/analytics/anomaly-scores?format=csv").await.expect(403);
    let refused = app.journal().await.pop().expect("an activity");
    assert_eq!((refused["action"].as_str(), refused["outcome"].as_str()), (Some("Export"), Some("denied")));
}
