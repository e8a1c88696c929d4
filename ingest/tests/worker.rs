//! The worker over a real journal: everything once, however often it is stopped.

use std::sync::Arc;
use std::time::Duration;

use domain::{Activity, ManualClock, Timestamp, ids};
use store::{Appended, INGEST, LogFilter, Store};
use tokio_util::sync::CancellationToken;

async fn store(folder: &tempfile::TempDir) -> Store {
    let clock = Arc::new(ManualClock::at(Timestamp::parse("2026-03-02T09:00:00Z").expect("time")));
    let store = Store::open_sqlite(&folder.path().join("store.db"), clock).await.expect("SQLite");
    store.migrate().await.expect("migrations");
    store
}

fn activity(minute: i64) -> Activity {
    let at = Timestamp::parse("2026-03-02T09:00:00Z").expect("time").plus(minute * domain::MINUTE);
    let mut activity = Activity::new(ids::event_id(at), "View", at);
    activity.user_id = Some(7);
    activity.session_id = Some("s".to_owned());
    activity
}

async fn stored(store: &Store) -> usize {
    store.logs(LogFilter { all: true, limit: 100_000, ..LogFilter::default() }).await.expect("logs").len()
}

/// Waits until the worker has come to the end of the journal.
async fn caught_up(store: &Store) {
    let end = store.journal_status().await.expect("status").last_seq;
    for _ in 0..6_000 {
        if store.offset(INGEST).await.expect("offset") >= end {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("ingest does not come to the end of the journal");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_is_there_soon() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(&folder).await;
    let stop = CancellationToken::new();
    let worker = tokio::spawn(ingest::run(store.clone(), stop.clone()));
    for minute in 0..3 {
        store.append(activity(minute)).await.expect("append");
        let acknowledged = tokio::time::Instant::now();
        while stored(&store).await != usize::try_from(minute + 1).expect("small") {
            assert!(acknowledged.elapsed() < Duration::from_secs(60), "not there");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    stop.cancel();
    worker.await.expect("task").expect("ingest");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_again_and_again_stores_everything_once() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(&folder).await;
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 0..60 {
                let activities: Vec<_> = (0..50).map(|n| activity(round * 50 + n)).collect();
                let answers = store.append_posted(activities.clone()).await.expect("posted");
                assert!(answers.iter().all(|answer| *answer == Appended::New));
                // A client that did not hear the answer sends it again.
                let again = store.append_posted(activities).await.expect("posted");
                assert!(again.iter().all(|answer| *answer == Appended::Duplicate));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    };
    // Killed in the middle of whatever it is at: dropped, not asked to stop.
    while !writer.is_finished() {
        let worker = tokio::spawn(ingest::run(store.clone(), CancellationToken::new()));
        tokio::time::sleep(Duration::from_millis(130)).await;
        worker.abort();
    }
    writer.await.expect("writer");
    // Two at once, too: one of them always comes too late.
    let stop = CancellationToken::new();
    let workers = [0, 1].map(|_| tokio::spawn(ingest::run(store.clone(), stop.clone())));
    caught_up(&store).await;
    stop.cancel();
    for worker in workers {
        worker.await.expect("task").expect("ingest");
    }
    assert_eq!(stored(&store).await, 3_000);
    let counted = store.activity_summary(Some(7), Timestamp::MIN).await.expect("summary");
    assert_eq!(counted, [("View".to_owned(), 3_000)]);
    assert!(store.dead_letters(None, 10).await.expect("letters").is_empty());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_forgets_what_is_done_loses_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(&folder).await;
    let stop = CancellationToken::new();
    let worker = tokio::spawn(ingest::run(store.clone(), stop.clone()));
    for round in 0..20 {
        let activities: Vec<_> = (0..20).map(|n| activity(round * 20 + n)).collect();
        store.append_posted(activities).await.expect("posted");
        tokio::time::sleep(Duration::from_millis(20)).await;
        store.trim_journal(store.offset(INGEST).await.expect("offset")).await.expect("trim");
    }
    caught_up(&store).await;
    stop.cancel();
    worker.await.expect("task").expect("ingest");
    assert_eq!(stored(&store).await, 400);
    // The next one begins where the last one ended, in an empty journal too.
    store.trim_journal(store.offset(INGEST).await.expect("offset")).await.expect("trim");
    let stop = CancellationToken::new();
    let worker = tokio::spawn(ingest::run(store.clone(), stop.clone()));
    store.append(activity(9_999)).await.expect("append");
    caught_up(&store).await;
    stop.cancel();
    worker.await.expect("task").expect("ingest");
    assert_eq!(stored(&store).await, 401);
    store.close().await;
}
