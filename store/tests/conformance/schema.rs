//! Migrations, and what database and program say to each other.

use sqlx::{AssertSqlSafe, Connection};
use store::Error;

use crate::harness::Ground;

crate::on_both_engines!(
    migrating_again_changes_nothing,
    processes_that_migrate_at_once_wait_for_each_other,
    a_newer_schema_says_whether_it_allows_this_program,
    a_dirty_schema_is_refused,
    a_backup_is_a_whole_store,
    a_place_that_will_not_do_is_said,
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

async fn processes_that_migrate_at_once_wait_for_each_other(ground: Ground) {
    if !ground.mysql {
        // The lock of the data directory lets one process migrate a file.
        return;
    }
    let (server, name) = ground.place.rsplit_once('/').expect("server and name");
    for _ in 0..3 {
        let mut admin = sqlx::MySqlConnection::connect(server).await.expect("connection");
        for text in [format!("DROP DATABASE {name}"), format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")] {
            sqlx::query(AssertSqlSafe(text)).execute(&mut admin).await.expect("an empty database");
        }
        let process = || {
            let ground = ground.clone();
            tokio::spawn(async move {
                let store = ground.another().await;
                store.migrate().await.expect("migrated, by this one or by another");
                store.schema_version().await.expect("state").usable().expect("usable");
                store.close().await;
            })
        };
        for process in [process(), process(), process(), process()] {
            process.await.expect("each starts");
        }
    }
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

async fn a_backup_is_a_whole_store(ground: Ground) {
    ground.store.set_setting("a", "b").await.expect("set");
    ground.store.append(ground.activity("View")).await.expect("append");
    let folder = tempfile::tempdir().expect("folder");
    let copy = folder.path().join("copy.db");
    let made = ground.store.backup(&copy).await;
    if ground.mysql {
        assert!(matches!(made, Err(Error::Conflict(_))));
        return;
    }
    made.expect("backup");
    assert!(matches!(ground.store.backup(&copy).await, Err(Error::Conflict(_))), "nothing is written over");
    let restored = store::Store::open_sqlite(&copy, ground.clock.clone()).await.expect("open");
    restored.schema_version().await.expect("state").usable().expect("usable");
    assert_eq!(restored.setting("a").await.expect("setting").as_deref(), Some("b"));
    assert_eq!(restored.journal_status().await.expect("status").rows, 1);
    restored.close().await;
}

async fn a_place_that_will_not_do_is_said(ground: Ground) {
    let open = |url: &'static str| {
        let clock = ground.clock.clone();
        async move { store::Store::connect_mysql(url, clock).await.err().map(|error| error.to_string()) }
    };
    if !ground.mysql {
        for url in ["mysql://ada:secret@127.0.0.1", "postgres://ada:secret@x/y", "mysql://ada:secret@[", "secret"] {
            let said = open(url).await.expect("refused");
            assert!(said.contains("DATABASE_URL") && !said.contains("secret"), "{said}");
        }
        let said = open("mysql://ada:secret@127.0.0.1:1/db").await.expect("nobody listens there");
        assert!(!said.contains("secret") && !said.contains("overloaded"), "{said}");
        let nowhere = std::path::Path::new("/nonexistent/folder/store.db");
        assert!(store::Store::open_sqlite(nowhere, ground.clock.clone()).await.is_err());
        return;
    }
    let name = ground.place.rsplit('/').next().expect("name");
    behind(&ground, &format!("ALTER DATABASE {name} CHARACTER SET latin1")).await;
    let refused = store::Store::connect_mysql(&ground.place, ground.clock.clone()).await;
    assert!(matches!(refused.err(), Some(Error::Conflict(said)) if said.contains("utf8mb4")));
    behind(&ground, &format!("ALTER DATABASE {name} CHARACTER SET utf8mb4")).await;
    let old_form = ground.place.replacen("mysql://", "mysql+pymysql://", 1);
    store::Store::connect_mysql(&old_form, ground.clock.clone()).await.expect("the old form").close().await;
}
