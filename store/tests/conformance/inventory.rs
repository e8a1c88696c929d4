//! Items.

use store::{Error, ItemChange, ItemRow, NewItem};

use crate::harness::Ground;

crate::on_both_engines!(
    an_item_is_made_listed_changed_and_removed,
    search_is_literal_and_blind_to_case_on_both_engines,
    lists_show_every_change_at_once,
);

pub(crate) async fn make(ground: &Ground, name: &str, category: Option<&str>, quantity: i64) -> ItemRow {
    let item = NewItem {
        name: name.into(),
        description: None,
        category: category.map(str::to_owned),
        quantity,
        price_cents: 1_999,
    };
    let activity = ground.activity("Create");
    ground.store.create_item(item, move |_| activity).await.expect("item")
}

async fn an_item_is_made_listed_changed_and_removed(ground: Ground) {
    let store = &ground.store;
    let pen = make(&ground, "Pen", Some("Office"), 5).await;
    make(&ground, "Cable", Some("Electronics"), 0).await;
    make(&ground, "Thing", None, 2_147_483_647).await;
    assert_eq!(store.item(pen.item_id).await.expect("item"), Some(pen.clone()));
    assert_eq!(store.item(99).await.expect("item"), None);
    assert_eq!(store.categories().await.expect("categories"), ["Electronics", "Office"]);
    let names = |list: store::ItemList| list.iter().map(|item| item.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(store.items(None, None).await.expect("items")), ["Pen", "Cable", "Thing"]);
    assert_eq!(names(store.items(Some("Office"), None).await.expect("items")), ["Pen"]);
    assert_eq!(names(store.items(Some("office"), None).await.expect("items")), [""; 0]);
    make(&ground, "Ruler", Some(" Office "), 1).await;
    assert_eq!(names(store.items(Some("Office  "), None).await.expect("items")), ["Pen", "Ruler"]);
    assert_eq!(names(store.items(Some("Office"), Some("x")).await.expect("items")), [""; 0]);

    ground.clock.advance(1);
    let change = ItemChange {
        name: Some("Fountain pen".into()),
        description: Some(Some("blue".into())),
        category: Some(None),
        quantity: Some(7),
        price_cents: Some(0),
    };
    let (activity, before) = (ground.activity("Update"), pen.clone());
    let changed = store
        .update_item(pen.item_id, change, move |old, new| {
            assert_eq!((old, new.quantity), (&before, 7));
            activity
        })
        .await
        .expect("change");
    assert!(changed.last_updated > pen.last_updated);
    assert_eq!(store.item(pen.item_id).await.expect("item"), Some(changed.clone()));
    assert_eq!((changed.category, changed.price_cents), (None, 0));
    let activity = ground.activity("Update");
    let missing = store.update_item(99, ItemChange::default(), move |_, _| activity).await;
    assert!(matches!(missing, Err(Error::NotFound)));

    store.delete_item(pen.item_id, ground.activity("Delete")).await.expect("delete");
    assert_eq!(store.item(pen.item_id).await.expect("item"), None);
    assert!(matches!(store.delete_item(pen.item_id, ground.activity("Delete")).await, Err(Error::NotFound)));
    let next = make(&ground, "Next", None, 0).await;
    assert!(next.item_id > pen.item_id + 3, "ids are not used twice");
    assert_eq!(ground.actions().await, ["Create", "Create", "Create", "Create", "Update", "Delete", "Create"]);
}

async fn search_is_literal_and_blind_to_case_on_both_engines(ground: Ground) {
    for name in ["Blue PEN", "100% cotton", "under_score", r"back\slash", "ÉTÉ", "ETE", "ΟΔΟΣ", "it's"] {
        make(&ground, name, None, 1).await;
    }
    for (search, found) in [
        ("pen", vec!["Blue PEN"]),
        ("BLUE p", vec!["Blue PEN"]),
        ("%", vec!["100% cotton"]),
        ("_", vec!["under_score"]),
        (r"\", vec![r"back\slash"]),
        ("été", vec!["ÉTÉ"]),
        ("ete", vec!["ETE"]),
        ("οδος", vec!["ΟΔΟΣ"]),
        ("'", vec!["it's"]),
        ("! OR 1=1", vec![]),
    ] {
        let list = ground.store.items(None, Some(search)).await.expect("items");
        assert_eq!(list.iter().map(|item| item.name.as_str()).collect::<Vec<_>>(), found, "{search}");
    }
}

async fn lists_show_every_change_at_once(ground: Ground) {
    let item = make(&ground, "n", None, 0).await;
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let ground = ground.clone();
            tokio::spawn(async move {
                let mut last = 0;
                while last < 100 {
                    let list = ground.store.items(None, None).await.expect("items");
                    let one = ground.store.item(item.item_id).await.expect("item").expect("there");
                    assert!(
                        one.quantity >= list[0].quantity && list[0].quantity >= last,
                        "time does not run backwards"
                    );
                    last = one.quantity;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for n in 1..=100 {
        let activity = ground.activity("Update");
        let change = ItemChange { quantity: Some(n), ..ItemChange::default() };
        ground.store.update_item(item.item_id, change, move |_, _| activity).await.expect("change");
        assert_eq!(ground.store.item(item.item_id).await.expect("item").expect("there").quantity, n);
        assert_eq!(ground.store.items(None, None).await.expect("items")[0].quantity, n);
    }
    for reader in readers {
        reader.await.expect("reader");
    }
}
