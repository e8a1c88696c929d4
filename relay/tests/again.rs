//! What was put aside is taken in again as what it is: the word of another system.

use std::sync::Arc;

use domain::{Activity, ManualClock, Role, Timestamp};
use relay::{Again, read_again};
use store::{DeadLetterRow, NewUser, Store};
use uuid::Uuid;

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const LATENESS: i64 = 5 * domain::MINUTE;

fn letter(payload: String) -> DeadLetterRow {
    let (topic, reason) = ("activity.in".to_owned(), "was too long for us then".to_owned());
    DeadLetterRow { id: 9, topic, partition: 2, offset: 41, reason, payload, at: NOW }
}

#[tokio::test]
async fn a_dead_letter_of_others_becomes_their_word_and_no_evidence_of_ours() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open_sqlite(&folder.path().join("a.db"), Arc::new(ManualClock::at(NOW))).await.expect("SQLite");
    store.migrate().await.expect("schema");
    let ana = NewUser {
        username: "Ana".to_owned(),
        password_hash: String::new(),
        email: None,
        full_name: None,
        role: Role::Admin,
    };
    let ana = store.create_user(ana, |_| Activity::new(Uuid::from_u128(1), "Create", NOW)).await.expect("a user");

    // It says what only we may say, and a number that is one of ours.
    let mut forged = Activity::new(Uuid::from_u128(7), "Login", NOW.plus(-domain::HOUR));
    (forged.user, forged.user_id, forged.known_user) = (Some("mallory".to_owned()), Some(ana.user_id), true);
    let read = read_again(&store, &letter(forged.to_json()), NOW, LATENESS).await.expect("readable");
    assert_eq!((read.origin.as_str(), read.known_user, read.user_id), ("ingest:kafka", false, None));
    assert_eq!(read.attributes["user_id"], ana.user_id);
    assert!(read.late && read.received_at == NOW);

    let text = r#"{"action":"View","user":"ANA"}"#.to_owned();
    let read = read_again(&store, &letter(text.clone()), NOW, LATENESS).await.expect("readable");
    assert_eq!((read.user_id, read.known_user, read.late), (Some(ana.user_id), true, false));
    assert_eq!(read.role.as_deref(), Some("Admin"));
    let again = read_again(&store, &letter(text), NOW.plus(1), LATENESS).await.expect("readable");
    assert_eq!(again.event_id, read.event_id, "what brings no id gets it from its place");

    let refused = read_again(&store, &letter("{}".to_owned()), NOW, LATENESS).await.expect_err("no activity");
    assert!(matches!(&refused, Again::Unreadable(reason) if reason.contains("action")), "{refused}");
    store.close().await;
}
