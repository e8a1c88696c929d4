//! Migrations, and what database and program say to each other.

use sqlx::{AssertSqlSafe, Connection};
use store::Error;

use crate::harness::Ground;

crate::on_both_engines!(
    migrating_again_changes_nothing,
    a_newer_schema_says_whether_it_allows_this_program,
    a_dirty_schema_is_refused
);

/// Runs a statement behind the store's back.
pub(crate) async fn behind(ground: &Ground, text: &str) {
    if ground.mysql {
        let mut connection = sqlx::MySqlConnection::connect(&ground.place).await.expect("connection");
        sqlx::query(AssertSqlSafe(text.to_owned())).execute(&mut connection).await.expect("statement");
    } else {
        let mut connection = sqlx::SqliteConnection::connect(&ground.place).await.expect("connection");
        sqlx::query(AssertSqlSafe(text.to_owned())).execute(&mut connection).await.expect("statement");
    }
}

async fn migrating_again_changes_nothing(ground: Ground) {
    ground.store.set_setting("a", "b").await.expect("set");
    ground.store.migrate().await.expect("again");
    let state = ground.store.schema_version().await.expect("state");
    assert_eq!((state.current, state.min_compatible, state.dirty), (state.wanted, 1, 0));
    state.usable().expect("usable");
    assert_eq!(ground.store.setting("a").await.expect("setting").as_deref(), Some("b"));
    ground.store.ping().await.expect("ping");
}

async fn a_newer_schema_says_whether_it_allows_this_program(ground: Ground) {
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9000, 'later', 1, X'00', 0)";
    behind(&ground, newer).await;
    let state = ground.store.schema_version().await.expect("state");
    assert_eq!(state.current, 9_000);
    state.usable().expect("it allows this program");
    ground.store.migrate().await.expect("nothing to do");
    behind(&ground, "UPDATE schema_compat SET min_compatible = 8000").await;
    let state = ground.store.schema_version().await.expect("state");
    assert!(matches!(state.usable(), Err(Error::Conflict(said)) if said.contains("8000")));
    assert!(matches!(ground.store.migrate().await, Err(Error::Conflict(_))));
}

async fn a_dirty_schema_is_refused(ground: Ground) {
    behind(&ground, "UPDATE _sqlx_migrations SET success = 0 WHERE version = 2").await;
    let state = ground.store.schema_version().await.expect("state");
    assert_eq!(state.dirty, 2);
    assert!(matches!(state.usable(), Err(Error::Conflict(said)) if said.contains("migration 2")));
    assert!(matches!(ground.store.migrate().await, Err(Error::Conflict(_))));
}
