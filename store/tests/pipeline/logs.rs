//! Reading what ingest stored.

use domain::{DAY, LogType, MINUTE, Role, Timestamp};
use store::{Cursor, LogFilter, NewUser, SessionFilter, StoredRange};
use uuid::Uuid;

use crate::harness::Ground;
use crate::sample::{activity, at, ingest};

crate::on_both_engines!(
    every_filter_alone_and_all_together,
    a_name_is_found_with_and_without_an_account,
    what_people_do_not_ask_for_is_left_out_unless_they_do,
    pages_join_without_a_gap_or_a_double,
    stored_activities_come_in_event_time,
    those_of_a_span_are_counted,
    summaries_count_from_a_moment_exactly,
);

fn ids(rows: &[store::LogRow]) -> Vec<u128> {
    rows.iter().map(|row| row.event_id.as_u128()).collect()
}

async fn every_filter_alone_and_all_together(ground: Ground) {
    let mut auth = activity(3, 3, "bob", "Login");
    auth.log_type = Some(LogType::Auth);
    let all = [activity(1, 1, "ada", "View"), activity(2, 2, "ada", "Export"), auth, activity(4, 4, "bob", "Export")];
    ingest(&ground.store, &all).await;
    let base = || LogFilter { limit: 10, ..LogFilter::default() };
    let bob = Some(i64::from(b'b'));
    let action = Some("Export".to_owned());
    for (filter, wanted) in [
        (base(), vec![4, 3, 2, 1]),
        (LogFilter { user_id: bob, ..base() }, vec![4, 3]),
        (LogFilter { action: action.clone(), ..base() }, vec![4, 2]),
        (LogFilter { log_type: Some(LogType::Auth), ..base() }, vec![3]),
        (LogFilter { from: Some(at(2)), ..base() }, vec![4, 3, 2]),
        (LogFilter { to: Some(at(2)), ..base() }, vec![2, 1]),
        (LogFilter { limit: 1, ..base() }, vec![4]),
        (
            LogFilter {
                user_id: bob,
                action,
                log_type: Some(LogType::DataAccess),
                all: true,
                from: Some(at(4)),
                to: Some(at(4)),
                cursor: Some(Cursor { at: at(5), id: 0 }),
                ..base()
            },
            vec![4],
        ),
    ] {
        let text = format!("{filter:?}");
        assert_eq!(ids(&ground.store.logs(filter).await.expect("logs")), wanted, "{text}");
    }
    let row = &ground.store.logs(base()).await.expect("logs")[0];
    assert_eq!(
        (row.detail.as_str(), row.ip.as_str(), row.log_type.as_str()),
        ("Export inventory/4", "192.0.2.1", "data_access")
    );
    assert!(!row.is_flagged && !row.late);
    let chosen = [Uuid::from_u128(4), Uuid::from_u128(99), Uuid::from_u128(1)];
    assert_eq!(ids(&ground.store.logs_of(&chosen).await.expect("logs")), [4, 1]);
}

async fn a_name_is_found_with_and_without_an_account(ground: Ground) {
    let account = NewUser {
        username: "Éva".into(),
        password_hash: "x".into(),
        email: None,
        full_name: None,
        role: Role::Employee,
    };
    let made = ground.activity("Create");
    let id = ground.store.create_user(account, move |_| made).await.expect("an account").user_id;
    // Her name from another system, in another spelling, before she had an account; then her own.
    let of = |n: u128, name: &str, user_id: Option<i64>| {
        let mut one = activity(n, i64::try_from(n).expect("small"), name, "View");
        one.session_id = Some(format!("session {n}"));
        one.user_id = user_id;
        one
    };
    let all = [of(1, "E\u{301}VA ", None), of(2, "Éva", Some(id)), of(3, "mallory", None), of(4, "Mallory", None)];
    ingest(&ground.store, &all).await;
    for (name, wanted) in [("éva", vec![2, 1]), (" MALLORY", vec![4, 3]), ("eva", vec![])] {
        let base = || LogFilter { user: Some(name.into()), limit: 9, ..LogFilter::default() };
        assert_eq!(ids(&ground.store.logs(base()).await.expect("logs")), wanted, "{name}");
        let sessions = SessionFilter { user: Some(name.into()), limit: 9, ..SessionFilter::default() };
        let rows = ground.store.log_sessions(sessions.clone(), at(9)).await.expect("sessions");
        let seen: Vec<String> = rows.iter().map(|row| row.session_id.clone()).collect();
        assert_eq!(seen, wanted.iter().map(|n| format!("session {n}")).collect::<Vec<_>>(), "{name}");
        let Some(first) = rows.first() else { continue };
        // Page by page as well.
        let rows_after = ground
            .store
            .log_sessions(
                SessionFilter { cursor: Some((first.start_time, first.session_id.clone())), limit: 1, ..sessions },
                at(9),
            )
            .await
            .expect("sessions");
        assert_eq!(rows_after, rows[1..], "{name}");
        let one = ground.store.logs(LogFilter { limit: 1, ..base() }).await.expect("logs");
        let cursor = Some(Cursor { at: one[0].occurred_at, id: one[0].log_id });
        let next = ground.store.logs(LogFilter { limit: 1, cursor, ..base() }).await.expect("logs");
        assert_eq!([ids(&one), ids(&next)].concat(), wanted, "{name}");
    }
}

async fn what_people_do_not_ask_for_is_left_out_unless_they_do(ground: Ground) {
    let mut system = activity(1, 1, "ada", "View");
    system.log_type = Some(LogType::System);
    let mut reads = activity(2, 2, "ada", "View");
    reads.resource = Some("logs".into());
    let mut reads_sessions = activity(3, 3, "ada", "View");
    reads_sessions.resource = Some("logs/sessions".into());
    let mut posts = activity(4, 4, "ada", "Create");
    posts.resource = Some("logs".into());
    let mut nothing = activity(5, 5, "ada", "View");
    nothing.resource = None;
    ingest(&ground.store, &[system, reads, reads_sessions, posts, nothing]).await;
    let usual = LogFilter { limit: 10, ..LogFilter::default() };
    assert_eq!(ids(&ground.store.logs(usual.clone()).await.expect("logs")), [5, 4]);
    let all = LogFilter { all: true, ..usual.clone() };
    assert_eq!(ids(&ground.store.logs(all).await.expect("logs")), [5, 4, 3, 2, 1]);
    let system = LogFilter { log_type: Some(LogType::System), ..usual };
    assert_eq!(ids(&ground.store.logs(system).await.expect("logs")), [1]);
}

async fn pages_join_without_a_gap_or_a_double(ground: Ground) {
    // Many at one moment: the id decides.
    let all: Vec<_> = (1..=23).map(|n| activity(n, i64::try_from(n / 10).expect("small"), "ada", "View")).collect();
    ingest(&ground.store, &all).await;
    let whole = LogFilter { limit: 100, ..LogFilter::default() };
    let whole = ids(&ground.store.logs(whole).await.expect("logs"));
    let mut paged = Vec::new();
    let mut cursor = None;
    loop {
        let page = LogFilter { limit: 4, cursor, ..LogFilter::default() };
        let page = ground.store.logs(page).await.expect("logs");
        let Some(last) = page.last() else { break };
        cursor = Some(Cursor { at: last.occurred_at, id: last.log_id });
        paged.extend(ids(&page));
    }
    assert_eq!(paged, whole);
    assert_eq!(paged.len(), 23);
}

async fn stored_activities_come_in_event_time(ground: Ground) {
    let mut late = activity(9, 2, "ada", "View");
    late.late = true;
    let all = [activity(3, 3, "ada", "View"), activity(1, 1, "ada", "View"), late, activity(2, 2, "ada", "View")];
    ingest(&ground.store, &all).await;
    let range = StoredRange { from: at(1), to: at(3), up_to_seq: None, late: true };
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = ground.store.stored_activities(&range, after, 1).await.expect("page");
        let Some(last) = page.last() else { break };
        after = Some(last.cursor());
        seen.extend(page.iter().map(|row| (row.activity.event_id.as_u128(), row.seq)));
    }
    assert_eq!(seen.len(), 4);
    assert_eq!((seen[0], seen[3]), ((1, 2), (3, 1)), "with their positions in the journal");
    let on_time = StoredRange { late: false, ..range };
    assert_eq!(ground.store.stored_activities(&on_time, None, 10).await.expect("page").len(), 3);
    let early = StoredRange { up_to_seq: Some(2), ..range };
    assert_eq!(ground.store.stored_activities(&early, None, 10).await.expect("page").len(), 2);
    let narrow = StoredRange { from: at(2), to: at(2), ..range };
    assert_eq!(ground.store.stored_activities(&narrow, None, 10).await.expect("page").len(), 2);
}

async fn those_of_a_span_are_counted(ground: Ground) {
    ingest(&ground.store, &[activity(1, 1, "ada", "View"), activity(2, 7, "ada", "View")]).await;
    for (from, to, count) in [(-9, 0, 0), (1, 1, 1), (2, 6, 0), (0, 7, 2), (7, 100, 1)] {
        assert_eq!(ground.store.count_stored(at(from), at(to)).await.expect("counted"), count, "{from} to {to}");
    }
    assert_eq!(ground.store.count_stored(Timestamp::MIN, Timestamp::MAX).await.expect("counted"), 2);
}

async fn summaries_count_from_a_moment_exactly(ground: Ground) {
    let minutes = |at: Timestamp| at.micros() / MINUTE;
    let midnight = at(0).plus(-(at(0).micros().rem_euclid(DAY)));
    let to_midnight = minutes(midnight) - minutes(at(0));
    let mut all = Vec::new();
    // One before and one after each of: a moment inside a day, the next hour, midnight.
    for (n, minute) in (1..).zip([-90, -89, -61, -60, to_midnight - 1, to_midnight, to_midnight + 1, 5]) {
        all.push(activity(n, minute, "ada", if n % 2 == 0 { "View" } else { "Export" }));
    }
    all.push(activity(99, 5, "bob", "View"));
    ingest(&ground.store, &all).await;
    for minute in [-91, -90, -89, -61, -60, -59, to_midnight - 2, to_midnight, to_midnight + 1, 5, 6] {
        let since = at(minute);
        let count = |user: Option<&str>, action: &str| {
            let wanted = |a: &&domain::Activity| {
                a.occurred_at >= since && a.action == action && user.is_none_or(|user| a.user.as_deref() == Some(user))
            };
            i64::try_from(all.iter().filter(wanted).count()).expect("small")
        };
        for (id, user) in [(None, None), (Some(i64::from(b'a')), Some("ada")), (Some(4_711), Some("nobody"))] {
            let wanted: Vec<_> = [("Export", count(user, "Export")), ("View", count(user, "View"))]
                .into_iter()
                .filter(|(_, n)| *n > 0)
                .map(|(action, n)| (action.to_owned(), n))
                .collect();
            assert_eq!(ground.store.activity_summary(id, since).await.expect("summary"), wanted, "{minute} {user:?}");
        }
    }
}
