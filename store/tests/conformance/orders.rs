//! Orders: the stock is exact.

use domain::Role;
use store::{Error, OrderError, OrderRow};

use crate::harness::Ground;
use crate::{inventory, users};

crate::on_both_engines!(an_order_moves_the_stock, refusals_name_the_reason, the_stock_is_exact_however_many_race);

async fn order(ground: &Ground, user: i64, item: i64, quantity: i64) -> Result<OrderRow, OrderError> {
    let activity = ground.activity("Create");
    ground.store.create_order(user, item, quantity, move |_| activity).await
}

async fn change(ground: &Ground, id: i64, quantity: i64) -> Result<OrderRow, OrderError> {
    let activity = ground.activity("Update");
    ground.store.update_order(id, quantity, move |_, _| activity).await
}

async fn stock(ground: &Ground, item: i64) -> i64 {
    ground.store.item(item).await.expect("item").expect("there").quantity
}

async fn an_order_moves_the_stock(ground: Ground) {
    let ada = users::make(&ground, "ada", Role::Employee).await.user_id;
    let bob = users::make(&ground, "bob", Role::Employee).await.user_id;
    let pen = inventory::make(&ground, "Pen", None, 10).await.item_id;
    let cup = inventory::make(&ground, "Cup", None, 10).await.item_id;
    let first = order(&ground, ada, pen, 3).await.expect("order");
    assert_eq!((first.username.as_str(), first.item_name.as_str(), first.quantity), ("ada", "Pen", 3));
    assert_eq!(stock(&ground, pen).await, 7);
    let second = order(&ground, bob, pen, 2).await.expect("order");
    let third = order(&ground, ada, cup, 1).await.expect("order");
    let ids = |rows: Vec<OrderRow>| rows.iter().map(|row| row.order_id).collect::<Vec<_>>();
    let (one, two, three) = (first.order_id, second.order_id, third.order_id);
    assert_eq!(ids(ground.store.orders(None, None).await.expect("orders")), [three, two, one], "newest first");
    assert_eq!(ids(ground.store.orders(Some(ada), None).await.expect("orders")), [three, one]);
    assert_eq!(ids(ground.store.orders(None, Some(pen)).await.expect("orders")), [two, one]);
    assert_eq!(ids(ground.store.orders(Some(ada), Some(pen)).await.expect("orders")), [one]);

    let changed = change(&ground, one, 8).await.expect("change");
    assert_eq!((changed.quantity, stock(&ground, pen).await), (8, 0));
    assert_eq!(change(&ground, one, 1).await.expect("change").quantity, 1);
    assert_eq!(stock(&ground, pen).await, 7);
    assert_eq!(ground.store.order(one).await.expect("order").expect("there").quantity, 1);
    ground.store.delete_order(two, ground.activity("Delete")).await.expect("cancel");
    assert_eq!(stock(&ground, pen).await, 9);
    assert_eq!(ground.store.order(two).await.expect("order"), None);

    ground.store.delete_user(ada, ground.activity("Delete")).await.expect("delete");
    assert_eq!(ground.store.order(one).await.expect("order").expect("there").username, "ada", "an author stays");
}

async fn refusals_name_the_reason(ground: Ground) {
    let ada = users::make(&ground, "ada", Role::Employee).await.user_id;
    let pen = inventory::make(&ground, "Pen", None, 3).await.item_id;
    assert!(matches!(order(&ground, ada, 99, 1).await, Err(OrderError::NoItem)));
    assert!(matches!(order(&ground, 99, pen, 1).await, Err(OrderError::NoUser)));
    assert!(matches!(order(&ground, ada, pen, 4).await, Err(OrderError::Insufficient(3))));
    let one = order(&ground, ada, pen, 2).await.expect("order").order_id;
    assert!(matches!(change(&ground, one, 4).await, Err(OrderError::Insufficient(1))));
    assert!(matches!(change(&ground, 99, 4).await, Err(OrderError::NoOrder)));
    assert!(matches!(ground.store.delete_order(99, ground.activity("Delete")).await, Err(OrderError::NoOrder)));
    for (orders, sentence) in
        [(1, "This item has 1 order; cancel it first."), (2, "This item has 2 orders; cancel them first.")]
    {
        let refused = ground.store.delete_item(pen, ground.activity("Delete")).await;
        assert!(matches!(&refused, Err(Error::Conflict(said)) if said == sentence), "{refused:?}");
        if orders == 1 {
            order(&ground, ada, pen, 1).await.expect("order");
        }
    }
    assert_eq!(stock(&ground, pen).await, 0);
    assert_eq!(ground.actions().await, ["Create"; 4], "what was refused left nothing");
}

async fn the_stock_is_exact_however_many_race(ground: Ground) {
    let ada = users::make(&ground, "ada", Role::Employee).await.user_id;
    let items =
        [inventory::make(&ground, "A", None, 25).await.item_id, inventory::make(&ground, "B", None, 25).await.item_id];
    let tasks: Vec<_> = (0..80)
        .map(|n: usize| {
            let ground = ground.clone();
            tokio::spawn(async move {
                match order(&ground, ada, items[n % 2], 1).await {
                    // Every fifth thinks better of it, some first take more.
                    Ok(made) if n.is_multiple_of(5) => {
                        match change(&ground, made.order_id, 2).await {
                            Ok(_) | Err(OrderError::Insufficient(0)) => {}
                            other => panic!("{other:?}"),
                        }
                        ground.store.delete_order(made.order_id, ground.activity("Delete")).await.expect("cancel");
                    }
                    Ok(_) | Err(OrderError::Insufficient(0)) => {}
                    other => panic!("{other:?}"),
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("task");
    }
    for item in items {
        let taken: i64 =
            ground.store.orders(None, Some(item)).await.expect("orders").iter().map(|order| order.quantity).sum();
        assert_eq!(taken + stock(&ground, item).await, 25);
    }
}
