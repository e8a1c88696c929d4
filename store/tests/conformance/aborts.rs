//! Callers that go away at any point leave nothing half-done.

use std::time::{Duration, Instant};

use domain::Role;

use crate::harness::Ground;
use crate::{inventory, users};

crate::on_both_engines!(callers_that_go_away_leave_nothing_half_done);

async fn callers_that_go_away_leave_nothing_half_done(ground: Ground) {
    const STOCK: i64 = 100_000;
    let ada = users::make(&ground, "ada", Role::Employee).await.user_id;
    let item = inventory::make(&ground, "Pen", None, STOCK).await.item_id;
    let before = ground.actions().await.len();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut aborted = 0;
    for round in 0..60 {
        let tasks: Vec<_> = (0..8)
            .map(|n| {
                let ground = ground.clone();
                tokio::spawn(async move {
                    let store = &ground.store;
                    let (created, plain) = (ground.activity("Order"), ground.activity("Plain"));
                    if n % 4 == 3 {
                        store.append(plain).await.expect("append");
                    } else {
                        store.create_order(ada, item, 1, move |_| created).await.expect("order");
                    }
                })
            })
            .collect();
        for task in tasks {
            // xorshift: a few µs to a few ms, where begin, statements and commit lie.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            tokio::time::sleep(Duration::from_micros(state % if round % 2 == 0 { 200 } else { 2_000 })).await;
            task.abort();
            match task.await {
                Ok(()) => {}
                Err(error) if error.is_cancelled() => aborted += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(aborted > 0, "nothing was aborted: the test tests nothing");
    // This order, the last, finds a sound store.
    let last = ground.activity("Order");
    ground.store.create_order(ada, item, 1, move |_| last).await.expect("the last order");
    let begun = Instant::now();
    loop {
        let orders = i64::try_from(ground.store.orders(None, Some(item)).await.expect("orders").len()).expect("count");
        let stock = ground.store.item(item).await.expect("item").expect("there").quantity;
        let actions = ground.actions().await;
        let recorded = actions[before..].iter().filter(|action| *action == "Order").count();
        let recorded = i64::try_from(recorded).expect("count");
        if (orders, STOCK - stock) == (recorded, recorded) {
            break;
        }
        // What was under way may come to its end between one reading and the next.
        let found = format!("{orders} orders, {} taken, {recorded} activities", STOCK - stock);
        assert!(begun.elapsed() < Duration::from_secs(30), "they do not agree: {found}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
