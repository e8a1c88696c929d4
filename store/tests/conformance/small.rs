//! Keys, answers kept for repeated requests, settings.

use domain::{DAY, MINUTE};
use store::{Begun, Error, ItemRow, KeyedRequest, NewApiKey, NewItem, StoredAnswer};

use crate::harness::Ground;

crate::on_both_engines!(
    a_key_is_made_used_and_revoked,
    the_same_request_gets_the_same_answer_for_a_day,
    of_requests_at_once_one_is_new,
    a_request_that_was_done_is_known_after_its_process_died,
    a_request_that_was_not_done_is_new_after_its_process_died,
    settings_stay,
);

async fn a_key_is_made_used_and_revoked(ground: Ground) {
    let store = &ground.store;
    let key = NewApiKey {
        id: "k1".into(),
        name: "crm".into(),
        sha256: vec![7; 32],
        scope: "ingest".into(),
        expires_at: Some(domain::Clock::now(&*ground.clock).plus(DAY)),
    };
    let made = store.create_api_key(key.clone(), ground.activity("Admin")).await.expect("key");
    assert_eq!(store.api_key("k1").await.expect("key"), Some(made.clone()));
    assert_eq!(store.api_key("k1").await.expect("from the cache"), Some(made.clone()));
    assert_eq!(store.api_key("K1").await.expect("key"), None);
    let twice = store.create_api_key(NewApiKey { id: "k2".into(), ..key.clone() }, ground.activity("Admin")).await;
    assert!(matches!(twice, Err(Error::Duplicate)), "a name is given once");
    store.revoke_api_key("crm", ground.activity("Admin")).await.expect("revoke");
    assert_eq!(store.api_key("k1").await.expect("key"), None);
    assert!(matches!(store.revoke_api_key("crm", ground.activity("Admin")).await, Err(Error::NotFound)));
    let listed = store.api_keys().await.expect("keys");
    assert!(listed.len() == 1 && listed[0].revoked_at.is_some());
    assert_eq!(ground.actions().await, ["Admin", "Admin"]);
}

async fn the_same_request_gets_the_same_answer_for_a_day(ground: Ground) {
    let store = &ground.store;
    assert_eq!(store.idempotency_begin("s1:a", b"one").await.expect("begin"), Begun::New);
    let Begun::Running { fingerprint, since } = store.idempotency_begin("s1:a", b"two").await.expect("begin") else {
        panic!("it runs");
    };
    assert_eq!((fingerprint.as_slice(), since), (&b"one"[..], domain::Clock::now(&*ground.clock)));
    assert_eq!(store.idempotent("s1:a").await.expect("answer"), None);
    store.idempotency_finish("s1:a", 201, b"{\"n\":1}".to_vec()).await.expect("finish");
    let answer = StoredAnswer { status: 201, body: b"{\"n\":1}".to_vec(), fingerprint: b"one".to_vec() };
    assert_eq!(store.idempotent("s1:a").await.expect("answer"), Some(answer.clone()));
    store.idempotency_forget("s1:a").await.expect("an answer is not forgotten");
    assert_eq!(store.idempotency_begin("s1:a", b"one").await.expect("begin"), Begun::Done(answer));
    assert!(matches!(store.idempotency_finish("s1:b", 200, Vec::new()).await, Err(Error::NotFound)));

    assert_eq!(store.idempotency_begin("s1:c", b"").await.expect("begin"), Begun::New);
    store.idempotency_forget("s1:c").await.expect("nothing was done");
    assert_eq!(store.idempotency_begin("s1:c", b"").await.expect("begin"), Begun::New);

    ground.clock.advance(DAY);
    assert_eq!(store.idempotent("s1:a").await.expect("answer"), None);
    assert_eq!(store.idempotency_begin("s1:a", b"new").await.expect("begin"), Begun::New);
}

async fn of_requests_at_once_one_is_new(ground: Ground) {
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let ground = ground.clone();
            tokio::spawn(async move { ground.store.idempotency_begin("k", b"x").await.expect("begin") })
        })
        .collect();
    let mut new = 0;
    for task in tasks {
        new += i32::from(task.await.expect("task") == Begun::New);
    }
    assert_eq!(new, 1);
}

async fn settings_stay(ground: Ground) {
    let store = &ground.store;
    assert_eq!(store.setting("zone").await.expect("setting"), None);
    assert_eq!(store.first_setting("zone", "Europe/Vienna").await.expect("first"), "Europe/Vienna");
    assert_eq!(store.first_setting("zone", "UTC").await.expect("first"), "Europe/Vienna");
    store.set_setting("zone", "UTC").await.expect("set");
    store.set_setting("zone", "UTC").await.expect("again");
    store.try_to_write().await.expect("it takes changes");
    store.try_to_write().await.expect("and again");
    assert_eq!(store.setting("zone").await.expect("setting").as_deref(), Some("UTC"));
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let ground = ground.clone();
            tokio::spawn(async move { ground.store.first_setting("secret", &n.to_string()).await.expect("first") })
        })
        .collect();
    let mut values = std::collections::HashSet::new();
    for task in tasks {
        values.insert(task.await.expect("task"));
    }
    assert_eq!(values.len(), 1, "all see the same");
}

/// What a handler does: a change whose activity and answer are made from the new row.
async fn make_an_item(ground: &Ground) -> store::Result<ItemRow> {
    let item = NewItem { name: "Pen".into(), description: None, category: None, quantity: 1, price_cents: 1 };
    let (activity, request) = (ground.activity("Create"), KeyedRequest::current().expect("in a request"));
    let journal = move |row: &ItemRow| {
        request.will_answer(201, row.item_id.to_string().into_bytes());
        activity
    };
    ground.store.create_item(item, journal).await
}

async fn a_request_that_was_done_is_known_after_its_process_died(ground: Ground) {
    let store = &ground.store;
    assert_eq!(store.idempotency_begin("k", b"x").await.expect("begin"), Begun::New);
    let made = store.keyed("k", make_an_item(&ground)).await.expect("item");
    // The process dies here: the answer was never finished.
    let answer = StoredAnswer { status: 201, body: made.item_id.to_string().into_bytes(), fingerprint: b"x".to_vec() };
    let next = ground.another().await;
    assert_eq!(next.idempotency_begin("k", b"x").await.expect("begin"), Begun::Done(answer));
    assert!(KeyedRequest::current().is_none(), "outside there is none");
    next.close().await;
}

async fn a_request_that_was_not_done_is_new_after_its_process_died(ground: Ground) {
    let store = &ground.store;
    assert_eq!(store.idempotency_begin("k", b"x").await.expect("begin"), Begun::New);
    assert!(matches!(store.idempotency_begin("k", b"x").await.expect("begin"), Begun::Running { .. }), "it runs here");
    let next = ground.another().await;
    if ground.mysql {
        let running = next.idempotency_begin("k", b"x").await.expect("begin");
        assert!(matches!(running, Begun::Running { .. }), "it may run in the other process");
        ground.clock.advance(MINUTE);
    }
    assert_eq!(next.idempotency_begin("k", b"x").await.expect("begin"), Begun::New);
    assert!(matches!(next.idempotency_begin("k", b"x").await.expect("begin"), Begun::Running { .. }));
    // The first was not dead but slow: what it does now is undone.
    let late = store.keyed("k", make_an_item(&ground)).await;
    assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
    assert_eq!(store.items(None, None).await.expect("items").len(), 0);
    assert!(ground.actions().await.is_empty());
    next.close().await;
}
