//! What is taken out of stock, exactly once.

use futures_util::future::join_all;
use serde_json::json;
use story_tests::{Actor, TestApp};

async fn stock(actor: &Actor, item: i64) -> i64 {
    actor.get(&format!("/api/inventory/{item}")).await.expect(200).json()["quantity"].as_i64().expect("a quantity")
}

#[tokio::test]
async fn an_order_takes_changes_and_gives_back() {
    let app = TestApp::start().await;
    let erin = app.employee().await;
    let item = app.item("Lamp", 10).await;
    let body = json!({ "item_id": item.to_string(), "quantity": "4", "user_id": erin.id().to_string() });
    let made = erin.post("/api/orders/", body).await.expect(201).json();
    assert_eq!(made["message"], "Order created successfully");
    let order = &made["order"];
    assert_eq!(order["username"], "erin");
    assert_eq!(order["item_name"], "Lamp");
    assert_eq!(stock(&erin, item).await, 6);
    let path = format!("/api/orders/{}", order["order_id"]);
    let changed = erin.put(&path, json!({ "quantity": 10 })).await.expect(200).json();
    assert_eq!(changed["order"]["quantity"], 10);
    assert_eq!(stock(&erin, item).await, 0);
    let more = erin.put(&path, json!({ "quantity": 11 })).await.expect(400);
    assert_eq!(more.error(), "Insufficient inventory. Only 0 additional units available");
    let gone = erin.delete(&path).await.expect(200).json();
    assert_eq!(gone["message"], "Order deleted successfully");
    assert_eq!(stock(&erin, item).await, 10);
    let _ = app.admin().await.get(&path).await.expect(404);
}

#[tokio::test]
async fn what_is_not_there_cannot_be_ordered() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let item = app.item("Rare", 3).await;
    let answer = admin.post("/api/orders", json!({ "item_id": item, "quantity": 4 })).await.expect(400);
    assert_eq!(answer.error(), "Insufficient inventory. Only 3 available");
    let answer = admin.post("/api/orders", json!({ "item_id": 999, "quantity": 1 })).await.expect(404);
    assert_eq!(answer.error(), "Item not found");
    let body = json!({ "item_id": item, "quantity": 1, "user_id": 999 });
    let answer = admin.post("/api/orders", body).await.expect(404);
    assert_eq!(answer.error(), "User not found");
    for (body, field) in [
        (json!({ "quantity": 1 }), "item_id"),
        (json!({ "item_id": item }), "quantity"),
        (json!({ "item_id": item, "quantity": 0 }), "quantity"),
        (json!({ "item_id": item, "quantity": -1 }), "quantity"),
        (json!({ "item_id": item, "quantity": "1.5" }), "quantity"),
        (json!({ "item_id": 1e300, "quantity": 1 }), "item_id"),
    ] {
        let answer = admin.post("/api/orders", body).await.expect(400);
        assert_eq!(answer.json()["errors"][0]["field"], field, "{}", answer.error());
    }
    assert_eq!(stock(&admin, item).await, 3);
}

#[tokio::test]
async fn forty_who_race_for_ten_pieces_get_ten() {
    let app = TestApp::start().await;
    let item = app.item("Popular", 10).await;
    let (erin, emil) = (app.employee().await, app.login("emil").await);
    let tries = (0..40).map(|number| {
        let actor = if number % 2 == 0 { erin.clone() } else { emil.clone() };
        async move { actor.post("/api/orders", json!({ "item_id": item, "quantity": 1 })).await.status }
    });
    let statuses = join_all(tries).await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 10);
    assert_eq!(statuses.iter().filter(|status| **status == 400).count(), 30);
    assert_eq!(stock(&erin, item).await, 0);
    let orders = app.admin().await.get(&format!("/api/orders/?item_id={item}")).await.expect(200).rows();
    assert_eq!(orders.len(), 10);
}

#[tokio::test]
async fn changes_and_cancellations_that_race_keep_the_sum() {
    let app = TestApp::start().await;
    let item = app.item("Steady", 50).await;
    let admin = app.admin().await;
    let mut orders = Vec::new();
    for _ in 0..5 {
        let made = admin.post("/api/orders", json!({ "item_id": item, "quantity": 5 })).await.expect(201).json();
        orders.push(made["order"]["order_id"].as_i64().expect("an id"));
    }
    let acts = (0..40_usize).map(|number| {
        let (admin, order) = (admin.clone(), orders[number % 5]);
        let path = format!("/api/orders/{order}");
        async move {
            match number % 8 {
                7 => admin.delete(&path).await.status,
                other => admin.put(&path, json!({ "quantity": other + 1 })).await.status,
            }
        }
    });
    let statuses = join_all(acts).await;
    assert!(statuses.iter().all(|status| matches!(status, 200 | 404)), "{statuses:?}");
    let rows = admin.get(&format!("/api/orders?item_id={item}")).await.expect(200).rows();
    let ordered: i64 = rows.iter().map(|row| row["quantity"].as_i64().expect("a quantity")).sum();
    assert_eq!(stock(&admin, item).await + ordered, 50);
}

#[tokio::test]
async fn clients_that_hang_up_leave_whole_orders_only() {
    let app = TestApp::start().await;
    let item = app.item("Slippery", 1_000).await;
    let erin = app.employee().await;
    for number in 0..60_u64 {
        let erin = erin.clone();
        let task =
            tokio::spawn(async move { erin.post("/api/orders", json!({ "item_id": item, "quantity": 1 })).await });
        tokio::time::sleep(std::time::Duration::from_micros(number * 150)).await;
        task.abort();
    }
    let admin = app.admin().await;
    // Whatever was begun comes to its end meanwhile, if need be.
    app.eventually("each order took its piece and has its one activity", async || {
        let orders = admin.get(&format!("/api/orders?item_id={item}")).await.expect(200).rows().len();
        let created = app.journal().await.into_iter().filter(|activity| {
            activity["action"] == "Create"
                && activity["resource"].as_str().is_some_and(|resource| resource.starts_with("orders/"))
        });
        let taken = 1_000 - stock(&admin, item).await;
        (created.count() == orders && taken == i64::try_from(orders).expect("a count")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn orders_are_listed_newest_first() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let erin = app.employee().await;
    let (one, two) = (app.item("One", 9).await, app.item("Two", 9).await);
    for (actor, item) in [(&admin, one), (&erin, one), (&erin, two)] {
        let _ = actor.post("/api/orders", json!({ "item_id": item, "quantity": 1 })).await.expect(201);
    }
    let rows = admin.get("/api/orders").await.expect(200).rows();
    let names: Vec<_> = rows.iter().map(|row| row["item_name"].as_str().unwrap_or_default()).collect();
    assert_eq!(names, ["Two", "One", "One"]);
    let own = format!("/api/orders/?user_id={}&item_id={one}", erin.id());
    assert_eq!(admin.get(&own).await.expect(200).rows().len(), 1);
    assert_eq!(admin.get(&format!("/api/orders/user/{}", erin.id())).await.expect(200).rows().len(), 2);
}
