//! What throttling counts.

use domain::{DAY, HOUR, MINUTE, SECOND, Timestamp};
use store::Attempts;

use crate::harness::Ground;

crate::on_both_engines!(
    failures_count_by_pair_source_and_name,
    a_success_clears_its_pair_and_makes_the_source_known,
    old_rows_are_removed,
);

fn now(ground: &Ground) -> Timestamp {
    domain::Clock::now(&*ground.clock)
}

async fn fail(ground: &Ground, name: &str, source: &str) {
    ground.store.login_failed(name, source, ground.activity("LoginFailed")).await.expect("failure");
}

async fn asked(ground: &Ground, name: &str, source: &str) -> Attempts {
    ground.store.login_attempts(name, source, now(ground)).await.expect("attempts")
}

async fn failures_count_by_pair_source_and_name(ground: Ground) {
    assert_eq!(asked(&ground, "ada", "192.0.2.1").await, Attempts::default());
    let first = now(&ground);
    fail(&ground, "ada", "192.0.2.1").await;
    ground.clock.advance(SECOND);
    let second = now(&ground);
    fail(&ground, "ada", "192.0.2.1").await;
    ground.clock.advance(SECOND);
    let third = now(&ground);
    // Somebody typed a password into the field for the name: however long, it is counted and not kept.
    let long = "x".repeat(5_000);
    fail(&ground, &long, "192.0.2.1").await;
    let attempts = asked(&ground, "ada", "192.0.2.1").await;
    assert_eq!(
        attempts,
        Attempts {
            pair_failures: vec![second, first],
            source_failures: 3,
            source_names: 2,
            last_source_failure: Some(third),
            foreign_failures: 2,
            last_foreign_failure: Some(second),
            known_source: false,
        }
    );
    let elsewhere = asked(&ground, "ada", "198.51.100.7").await;
    assert_eq!((elsewhere.pair_failures.len(), elsewhere.source_failures, elsewhere.foreign_failures), (0, 0, 2));
    assert_eq!(asked(&ground, "ADA", "192.0.2.1").await.pair_failures.len(), 0, "names come compared");

    ground.clock.set(first.plus(15 * MINUTE));
    let attempts = asked(&ground, "ada", "192.0.2.1").await;
    assert_eq!((attempts.pair_failures.len(), attempts.source_failures), (1, 2), "15 minutes");
    ground.clock.set(first.plus(HOUR));
    let attempts = asked(&ground, "ada", "192.0.2.1").await;
    assert_eq!((attempts.pair_failures.len(), attempts.foreign_failures), (0, 1), "60 minutes");
    assert_eq!(ground.actions().await, ["LoginFailed"; 3]);
}

async fn a_success_clears_its_pair_and_makes_the_source_known(ground: Ground) {
    for name in ["ada", "bob"] {
        for source in ["office", "abroad"] {
            fail(&ground, name, source).await;
        }
    }
    ground.clock.advance(1);
    ground.store.login_succeeded("ada", "office", now(&ground)).await.expect("success");
    let attempts = asked(&ground, "ada", "office").await;
    assert!(attempts.pair_failures.is_empty() && attempts.known_source);
    assert_eq!((attempts.source_failures, attempts.source_names), (2, 1), "of the office only bob counts as a name");
    assert_eq!(attempts.foreign_failures, 1, "the one from abroad");
    assert_eq!(asked(&ground, "ada", "abroad").await.pair_failures.len(), 1);
    assert_eq!(asked(&ground, "bob", "office").await.pair_failures.len(), 1);
    ground.clock.advance(1);
    fail(&ground, "ada", "office").await;
    assert_eq!(asked(&ground, "ada", "office").await.pair_failures.len(), 1);
    ground.store.login_succeeded("ada", "office", now(&ground)).await.expect("again");
    ground.clock.advance(30 * DAY);
    assert!(!asked(&ground, "ada", "office").await.known_source, "30 days");
    // Two first log-ins at once.
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let ground = ground.clone();
            tokio::spawn(async move { ground.store.login_succeeded("eve", "home", now(&ground)).await })
        })
        .collect();
    for task in tasks {
        task.await.expect("task").expect("success");
    }
    assert!(asked(&ground, "eve", "home").await.known_source);
}

async fn old_rows_are_removed(ground: Ground) {
    for n in 0..5 {
        fail(&ground, &format!("name {n}"), "source").await;
    }
    ground.store.login_succeeded("ada", "source", now(&ground)).await.expect("success");
    assert_eq!(ground.store.tidy().await.expect("tidy"), 0);
    ground.clock.advance(HOUR);
    assert_eq!(ground.store.tidy().await.expect("tidy"), 5);
    ground.clock.advance(30 * DAY);
    assert_eq!(ground.store.tidy().await.expect("tidy"), 1);
}
