//! Databases for tests: a file in a folder of its own, and, where `TEST_MYSQL_URL` names a server, a database of its
//! own there. Both are removed at the end.

#![allow(dead_code, reason = "the suites and the unit tests each use a part of it")]

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use domain::{Activity, ManualClock, Timestamp};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection};
use store::Store;

/// The moment at which every test begins.
pub(crate) const START: &str = "2026-03-02T09:00:00Z";

/// What a test works on.
#[derive(Clone)]
pub(crate) struct Ground {
    /// A migrated store.
    pub(crate) store: Store,
    /// Its clock.
    pub(crate) clock: Arc<ManualClock>,
    /// Whether it is MySQL.
    pub(crate) mysql: bool,
    /// The file, or the URL, to open it once more.
    pub(crate) place: String,
}

impl Ground {
    /// Another store on the same database, as another process would have it.
    pub(crate) async fn another(&self) -> Store {
        open(&self.place, &self.clock, self.mysql).await
    }

    /// An activity of our own with a new id.
    pub(crate) fn activity(&self, action: &str) -> Activity {
        let now = domain::Clock::now(&*self.clock);
        Activity::new(domain::ids::event_id(now), action, now)
    }

    /// All payloads in the journal, in order.
    pub(crate) async fn journal(&self) -> Vec<Activity> {
        let rows = self.store.journal_page(0, 100_000).await.expect("journal");
        rows.iter().map(|row| Activity::from_json(&row.payload).expect("payload")).collect()
    }

    /// The actions in the journal, in order.
    pub(crate) async fn actions(&self) -> Vec<String> {
        self.journal().await.into_iter().map(|activity| activity.action).collect()
    }
}

async fn open(place: &str, clock: &Arc<ManualClock>, mysql: bool) -> Store {
    if mysql {
        Store::connect_mysql(place, clock.clone()).await.expect("MySQL")
    } else {
        Store::open_sqlite(std::path::Path::new(place), clock.clone()).await.expect("SQLite")
    }
}

async fn on(place: &str, mysql: bool) -> Ground {
    let clock = Arc::new(ManualClock::at(Timestamp::parse(START).expect("time")));
    let store = open(place, &clock, mysql).await;
    store.migrate().await.expect("migrations");
    Ground { store, clock, mysql, place: place.to_owned() }
}

/// Runs a test on SQLite.
pub(crate) async fn sqlite<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(Ground) -> F) {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("store.db");
    let ground = on(file.to_str().expect("path"), false).await;
    test(ground.clone()).await;
    ground.store.close().await;
}

/// Runs a test on MySQL, in a database of its own which is dropped also when the test fails. Without a server it
/// passes by, unless `TEST_REQUIRE_SERVERS=1` says that this is a failure.
pub(crate) async fn mysql<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(Ground) -> F) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let Ok(url) = std::env::var("TEST_MYSQL_URL") else {
        assert_ne!(std::env::var("TEST_REQUIRE_SERVERS").as_deref(), Ok("1"), "TEST_MYSQL_URL is not set");
        return;
    };
    let server = url.trim_end_matches('/');
    let name = format!("store_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let mut admin = MySqlConnection::connect(server).await.expect("TEST_MYSQL_URL");
    for text in [format!("DROP DATABASE IF EXISTS {name}"), format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")] {
        sqlx::query(AssertSqlSafe(text)).execute(&mut admin).await.expect("database");
    }
    let ground = on(&format!("{server}/{name}"), true).await;
    let outcome = tokio::spawn(test(ground.clone())).await;
    ground.store.close().await;
    sqlx::query(AssertSqlSafe(format!("DROP DATABASE {name}"))).execute(&mut admin).await.expect("drop");
    outcome.expect("the test on MySQL");
}

/// Makes of each named `async fn(Ground)` two tests, one for each engine.
#[macro_export]
macro_rules! on_both_engines {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::harness::sqlite(super::$name).await;
            })+
        }
        mod mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::harness::mysql(super::$name).await;
            })+
        }
    };
}
