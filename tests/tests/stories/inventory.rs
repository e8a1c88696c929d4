//! The items in stock.

use serde_json::json;
use story_tests::TestApp;

#[tokio::test]
async fn an_item_is_made_changed_and_deleted() {
    let app = TestApp::start().await;
    let sam = app.supervisor().await;
    let body =
        json!({ "name": "Hammer", "category": "Tools", "description": "", "quantity": "10", "unit_price": "19.99" });
    let made = sam.post("/api/inventory/", body).await.expect(201).json();
    assert_eq!(made["message"], "Item created successfully");
    let item = &made["item"];
    assert_eq!((item["item_name"].as_str(), item["name"].as_str()), (Some("Hammer"), Some("Hammer")));
    assert_eq!((item["quantity"].as_i64(), item["unit_price"].as_f64()), (Some(10), Some(19.99)));
    assert!(item["description"].is_null());
    assert!(item["last_updated"].as_str().expect("a time").ends_with('Z'));
    let path = format!("/api/inventory/{}", item["item_id"]);
    let body = json!({ "quantity": 7, "unit_price": 0.1, "category": "" });
    let changed = sam.put(&path, body).await.expect(200).json();
    assert_eq!(changed["message"], "Item updated successfully");
    assert_eq!((changed["item"]["quantity"].as_i64(), changed["item"]["unit_price"].as_f64()), (Some(7), Some(0.1)));
    assert_eq!(changed["item"]["item_name"], "Hammer");
    let activity = app.journal().await.pop().expect("an activity");
    let first = &activity["attributes"]["changed"][0];
    assert!(
        activity["attributes"]["changed"]
            .as_array()
            .expect("changes")
            .iter()
            .any(|change| { change["field"] == "quantity" && change["old"] == 10 && change["new"] == 7 }),
        "{first}"
    );
    let gone = sam.delete(&path).await.expect(200).json();
    assert_eq!(gone["message"], "Item deleted successfully");
    let answer = sam.get(&path).await.expect(404);
    assert_eq!(answer.error(), "Item not found");
    let _ = sam.put(&path, json!({ "quantity": 1 })).await.expect(404);
    let _ = sam.delete(&path).await.expect(404);
}

#[tokio::test]
async fn an_item_needs_a_name_and_sane_numbers() {
    let app = TestApp::start().await;
    let sam = app.supervisor().await;
    for body in [json!({}), json!({ "item_name": "" }), json!({ "name": "   " }), json!({ "item_name": null })] {
        let answer = sam.post("/api/inventory/", body).await.expect(400);
        assert_eq!(answer.error(), "Item name is required");
    }
    let item = app.item("Nail", 1).await;
    for (body, error) in [
        (json!({ "quantity": "many" }), "quantity must be an integer"),
        (json!({ "quantity": 1.5 }), "quantity must be an integer"),
        (json!({ "quantity": true }), "quantity must be an integer"),
        (json!({ "quantity": -1 }), "quantity must be between 0 and 2147483647"),
        (json!({ "quantity": 2_147_483_648_i64 }), "quantity is out of range: at most 2147483647"),
        (json!({ "unit_price": -0.01 }), "unit_price must be between 0 and 9999999999.99"),
        (json!({ "unit_price": "1.999" }), "unit_price must be a number with at most two decimals"),
        (json!({ "unit_price": "NaN" }), "unit_price must be a number with at most two decimals"),
        (json!({ "item_name": "x".repeat(256) }), "item_name must be at most 255 characters long"),
    ] {
        let answer = sam.put(&format!("/api/inventory/{item}"), body).await.expect(400);
        assert_eq!(answer.error(), error);
    }
    let most = sam.put(&format!("/api/inventory/{item}"), json!({ "quantity": "2147483647" })).await.expect(200).json();
    assert_eq!(most["item"]["quantity"], 2_147_483_647);
}

#[tokio::test]
async fn searching_is_literal_and_without_regard_to_case() {
    let app = TestApp::start().await;
    for name in ["100% Cotton", "1000 Cotton", "Über_Hose", "plain"] {
        app.item(name, 1).await;
    }
    let cora = app.contractor().await;
    let names = async |query: &str| {
        let rows = cora.get(&format!("/api/inventory/?{query}")).await.expect(200).rows();
        rows.iter().map(|row| row["item_name"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("search=0%25").await, ["100% Cotton"]);
    assert_eq!(names("search=R_h").await, ["Über_Hose"]);
    assert_eq!(names("search=%C3%BCBER").await, ["Über_Hose"]);
    assert_eq!(names("search=COTTON&category=Tools").await.len(), 2);
    assert!(names("category=tool").await.is_empty());
    assert_eq!(names("search=&category=").await.len(), 4);
}

#[tokio::test]
async fn categories_are_listed_by_name() {
    let app = TestApp::start().await;
    let sam = app.supervisor().await;
    for (name, category) in [("a", "Wood"), ("b", "Iron"), ("c", "Wood"), ("d", "")] {
        let _ = sam.post("/api/inventory", json!({ "item_name": name, "category": category })).await.expect(201);
    }
    assert_eq!(sam.get("/api/inventory/categories").await.expect(200).json(), json!(["Iron", "Wood"]));
}

#[tokio::test]
async fn an_item_with_orders_stays() {
    let app = TestApp::start().await;
    let sam = app.supervisor().await;
    let item = app.item("Wanted", 9).await;
    for _ in 0..3 {
        let _ = sam.post("/api/orders", json!({ "item_id": item, "quantity": 1 })).await.expect(201);
    }
    let answer = sam.delete(&format!("/api/inventory/{item}")).await.expect(409);
    assert_eq!(answer.error(), "This item has 3 orders; cancel them first.");
}

#[tokio::test]
async fn changes_are_seen_at_once() {
    let app = TestApp::start().await;
    let sam = app.supervisor().await;
    let item = app.item("Counted", 0).await;
    let path = format!("/api/inventory/{item}");
    for quantity in 1..=20 {
        let _ = sam.put(&path, json!({ "quantity": quantity })).await.expect(200);
        assert_eq!(sam.get(&path).await.expect(200).json()["quantity"], quantity);
        let list = sam.get("/api/inventory").await.expect(200).rows();
        assert_eq!(list[0]["quantity"], quantity);
    }
}
