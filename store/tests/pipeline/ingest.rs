//! Ingest: each activity once, whatever comes twice, and the offset with it or not at all.

use std::sync::Arc;

use domain::{MINUTE, Timestamp};
use store::{ApplyError, INGEST, IngestRecord, Ingested, LogFilter, Move, SessionFilter};

use crate::harness::Ground;
use crate::sample::{activity, at, ingest, records};

crate::on_both_engines!(
    a_batch_is_applied_once_however_often_it_comes,
    an_activity_under_another_position_changes_nothing,
    twice_in_one_batch_is_once,
    two_who_ingest_do_not_both,
    what_is_no_activity_goes_to_the_dead_letters,
    sessions_follow_the_stored_rows,
    texts_of_any_length_and_kind_are_stored,
    a_batch_of_long_rows_fits,
    old_rows_go_in_small_pieces,
);

async fn total(ground: &Ground) -> (usize, i64) {
    let rows = ground.store.logs(LogFilter { all: true, limit: 1_000, ..LogFilter::default() }).await.expect("logs");
    let counted = ground.store.activity_summary(None, Timestamp::MIN).await.expect("summary");
    (rows.len(), counted.iter().map(|(_, n)| n).sum())
}

async fn a_batch_is_applied_once_however_often_it_comes(ground: Ground) {
    let activities: Vec<_> = (1..=300).map(|n| activity(n, 0, "ada", "View")).collect();
    let batch = records(1, &activities);
    let done = ground.store.apply_ingest(Move::journal(0, 300), batch.clone()).await.expect("first");
    assert_eq!(done, Ingested { stored: 300, ..Ingested::default() });
    for expected in [0, 299, 301] {
        let again = ground.store.apply_ingest(Move::journal(expected, 300), batch.clone()).await;
        assert!(matches!(again, Err(ApplyError::NotOurs)), "{again:?}");
    }
    // Somebody set the offset back: the effects are there once all the same.
    let replay = ground.store.apply_ingest(Move::journal(300, 300), batch).await.expect("replay");
    assert_eq!(replay, Ingested { known: 300, ..Ingested::default() });
    assert_eq!(total(&ground).await, (300, 300));
    assert_eq!(ground.store.offset(INGEST).await.expect("offset"), 300);
}

async fn an_activity_under_another_position_changes_nothing(ground: Ground) {
    let first = [activity(1, 0, "ada", "View"), activity(2, 1, "ada", "View")];
    ingest(&ground.store, &first).await;
    let mut other = activity(2, 5, "bob", "Delete");
    other.session_id = Some("another".into());
    let done = ingest(&ground.store, &[activity(3, 2, "ada", "View"), other]).await;
    assert_eq!(done, Ingested { stored: 1, known: 1, ..Ingested::default() });
    assert_eq!(total(&ground).await, (3, 3));
    let sessions = SessionFilter { limit: 10, ..SessionFilter::default() };
    let sessions = ground.store.log_sessions(sessions, at(10)).await.expect("sessions");
    assert_eq!(sessions.iter().map(|row| row.activity_count).collect::<Vec<_>>(), [3]);
}

async fn twice_in_one_batch_is_once(ground: Ground) {
    let one = activity(1, 0, "ada", "View");
    let done = ingest(&ground.store, &[one.clone(), activity(2, 0, "ada", "View"), one]).await;
    assert_eq!(done, Ingested { stored: 2, known: 1, ..Ingested::default() });
    assert_eq!(total(&ground).await, (2, 2));
}

async fn two_who_ingest_do_not_both(ground: Ground) {
    let activities: Vec<_> = (1..=40).map(|n| activity(n, 0, "ada", "View")).collect();
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let (store, activities) = (ground.store.clone(), activities.clone());
            tokio::spawn(async move {
                let mut own = 0;
                for step in 0..4_i64 {
                    let first = usize::try_from(step * 10).expect("small");
                    let batch = records(step * 10 + 1, &activities[first..first + 10]);
                    loop {
                        match store.apply_ingest(Move::journal(step * 10, step * 10 + 10), batch.clone()).await {
                            Ok(done) => own += done.stored,
                            Err(ApplyError::NotOurs) => {}
                            // Both wanted the first row of the offset, or one waited too long for the other.
                            Err(ApplyError::Transient(_)) => continue,
                            Err(other) => panic!("{other}"),
                        }
                        // Not before the other has done it, either.
                        if store.offset(INGEST).await.expect("offset") >= step * 10 + 10 {
                            break;
                        }
                    }
                }
                own
            })
        })
        .collect();
    let mut stored = 0;
    for task in tasks {
        stored += task.await.expect("task");
    }
    assert_eq!(stored, 40);
    assert_eq!(total(&ground).await, (40, 40));
}

async fn what_is_no_activity_goes_to_the_dead_letters(ground: Ground) {
    let good = activity(1, 0, "ada", "View");
    let batch: Arc<[IngestRecord]> = Arc::from([
        IngestRecord::Bad { seq: 1, payload: "{\"v\":9\u{0}}".into(), reason: "unknown version".into() },
        IngestRecord::Activity { seq: 2, payload: good.to_json(), activity: Box::new(good) },
        IngestRecord::Bad { seq: 3, payload: "x".repeat(70_000), reason: "no JSON".into() },
    ]);
    let done = ground.store.apply_ingest(Move::journal(0, 3), batch).await.expect("applied");
    assert_eq!(done, Ingested { stored: 1, dead: 2, ..Ingested::default() });
    let letters = ground.store.dead_letters(None, 10).await.expect("letters");
    let seen: Vec<_> = letters.iter().map(|row| (row.offset, row.reason.as_str(), row.payload.len())).collect();
    assert_eq!(seen, [(3, "no JSON", 70_000), (1, "unknown version", 8)]);
    let older = ground.store.dead_letters(Some(letters[0].id), 10).await.expect("letters");
    assert_eq!(older, letters[1..]);
}

async fn sessions_follow_the_stored_rows(ground: Ground) {
    ingest(&ground.store, &[activity(2, 2, "ada", "View"), activity(1, 1, "ada", "Login")]).await;
    ingest(&ground.store, &[activity(4, 4, "ada", "Logout"), activity(3, 3, "ada", "View")]).await;
    ingest(&ground.store, &[activity(5, 2, "bob", "Login")]).await;
    let all = SessionFilter { limit: 10, ..SessionFilter::default() };
    let rows = ground.store.log_sessions(all.clone(), at(9)).await.expect("sessions");
    let seen: Vec<_> = rows.iter().map(|row| (row.session_id.as_str(), row.is_active, row.activity_count)).collect();
    assert_eq!(seen, [("session of bob", true, 1), ("session of ada", false, 4)]);
    assert_eq!((rows[1].start_time, rows[1].last_seen, rows[1].end_time), (at(1), at(4), Some(at(4))));
    assert_eq!((rows[1].ip.as_str(), rows[1].username.as_deref()), ("192.0.2.1", Some("ada")));
    let active = SessionFilter { active_only: true, ..all.clone() };
    assert_eq!(ground.store.log_sessions(active, at(9)).await.expect("sessions"), rows[..1]);
    let next = SessionFilter { cursor: Some((rows[0].start_time, rows[0].session_id.clone())), ..all };
    assert_eq!(ground.store.log_sessions(next, at(9)).await.expect("sessions"), rows[1..]);
}

async fn texts_of_any_length_and_kind_are_stored(ground: Ground) {
    let mut wild = activity(1, 0, "ada", "View");
    wild.detail = Some("ü😀\u{0}'\"\\;--".repeat(10_000));
    wild.user = Some("Ａ".repeat(300));
    wild.session_id = Some("😀".repeat(400));
    wild.user_agent = Some("x".repeat(5_000));
    wild.resource = Some("é".repeat(2_000));
    wild.reason = Some("r".repeat(60_000));
    wild.records = Some(i64::MAX);
    wild.occurred_at = Timestamp::MIN;
    assert_eq!(ingest(&ground.store, &[wild.clone()]).await.stored, 1);
    let range = store::StoredRange { from: Timestamp::MIN, to: Timestamp::MAX, up_to_seq: None, late: true };
    let stored = ground.store.stored_activities(&range, None, 10).await.expect("stored");
    assert_eq!(stored[0].activity, wild, "the whole of it stands in the payload");
    let rows = ground.store.logs(LogFilter { limit: 10, ..LogFilter::default() }).await.expect("logs");
    assert_eq!(rows[0].username.as_deref().map(|name| name.chars().count()), Some(255));
}

async fn a_batch_of_long_rows_fits(ground: Ground) {
    // Together more than a server takes in one packet.
    let long = |n| {
        let mut activity = activity(n, 0, "ada", "View");
        activity.attributes.insert("text".into(), "x".repeat(65_000).into());
        activity
    };
    let activities: Vec<_> = (1..=300).map(long).collect();
    assert_eq!(ingest(&ground.store, &activities).await.stored, 300);
    assert_eq!(total(&ground).await, (300, 300));
}

async fn old_rows_go_in_small_pieces(ground: Ground) {
    let old: Vec<_> = (1..=25).map(|n| activity(n, 0, "ada", "View")).collect();
    let new: Vec<_> = (26..=30).map(|n| activity(n, 5_000, "bob", "View")).collect();
    ingest(&ground.store, &old).await;
    ingest(&ground.store, &new).await;
    let before = at(4_000);
    assert_eq!(ground.store.oldest_log().await.expect("oldest"), Some(at(0)));
    let mut pieces = Vec::new();
    loop {
        match ground.store.purge_logs(before, 10).await.expect("purge") {
            0 => break,
            some => pieces.push(some),
        }
    }
    assert_eq!(pieces, [10, 10, 5]);
    assert_eq!(ground.store.oldest_log().await.expect("oldest"), Some(at(5_000)));
    let (rows, counted) = total(&ground).await;
    assert_eq!((rows, counted), (5, 5), "the counts of the days that are gone are gone");
    let sessions = SessionFilter { limit: 10, ..SessionFilter::default() };
    let sessions = ground.store.log_sessions(sessions, before.plus(MINUTE)).await.expect("sessions");
    assert_eq!(sessions.iter().map(|row| row.username.as_deref()).collect::<Vec<_>>(), [Some("bob")]);
    let mut history = activity(31, 5_000, "ada", "View");
    history.occurred_at = at(0);
    ingest(&ground.store, &[history]).await;
    assert_eq!(ground.store.purge_logs(before, 10).await.expect("purge"), 0);
    assert_eq!(ground.store.oldest_log().await.expect("oldest"), Some(at(0)), "a history that came today is kept");
    assert_eq!(total(&ground).await, (6, 6));
}
