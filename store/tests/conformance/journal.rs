//! The journal: order, identity, waking, trimming.

use std::time::Duration;

use domain::{Activity, JournalRead, Topic};
use store::{Appended, Error};

use crate::harness::Ground;

crate::on_both_engines!(
    many_appends_are_all_there_once,
    an_id_is_taken_once,
    posted_activities_are_idempotent,
    two_posts_of_the_same_ids_race,
    what_ingest_has_stored_is_known_after_trimming,
    readers_read_in_order_and_are_woken,
    trimming_removes_what_was_worked_on_and_reuses_no_position,
    a_full_journal_takes_no_more_until_it_is_trimmed,
    one_leads_at_a_time,
);

async fn many_appends_are_all_there_once(ground: Ground) {
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let ground = ground.clone();
            tokio::spawn(async move {
                for n in 0..25 {
                    ground.store.append(ground.activity(&format!("{task}.{n}"))).await.expect("append");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("task");
    }
    let actions = ground.actions().await;
    assert_eq!(actions.len(), 400);
    for task in 0..16 {
        let own: Vec<&String> = actions.iter().filter(|action| action.starts_with(&format!("{task}."))).collect();
        assert_eq!(own.len(), 25);
        if !ground.mysql {
            assert!(own.iter().enumerate().all(|(n, action)| **action == format!("{task}.{n}")), "in order of commits");
        }
    }
    let status = ground.store.journal_status().await.expect("status");
    assert_eq!(status.rows, 400);
    assert!(status.last_seq >= 400);
}

async fn an_id_is_taken_once(ground: Ground) {
    let first = ground.activity("View");
    ground.store.append(first.clone()).await.expect("append");
    // Among others in the same batch: they must not suffer.
    let mut tasks = vec![tokio::spawn({
        let (ground, first) = (ground.clone(), first.clone());
        async move { ground.store.append(first).await }
    })];
    tasks.extend((0..40).map(|_| {
        let ground = ground.clone();
        tokio::spawn(async move { ground.store.append(ground.activity("Other")).await })
    }));
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("task"));
    }
    assert!(matches!(answers[0], Err(Error::Duplicate)), "{:?}", answers[0]);
    assert!(answers[1..].iter().all(Result::is_ok));
    assert_eq!(ground.actions().await.len(), 41);
}

async fn posted_activities_are_idempotent(ground: Ground) {
    let mut posted: Vec<Activity> = (0..300).map(|n| ground.activity(&format!("P{n}"))).collect();
    posted.push(posted[7].clone());
    let mut other = posted[8].clone();
    other.action = "Forged".into();
    posted.push(other.clone());
    let answers = ground.store.append_posted(posted.clone()).await.expect("post");
    assert_eq!(answers.len(), 302);
    assert!(answers[..300].iter().all(|answer| *answer == Appended::New));
    assert_eq!(answers[300..], [Appended::Duplicate, Appended::Conflict]);
    // Again, later, with two that are new.
    ground.clock.advance(1_000_000);
    let mut again = posted[290..300].to_vec();
    again.insert(3, ground.activity("New"));
    again.push(other);
    let answers = ground.store.append_posted(again).await.expect("post");
    let expected: Vec<Appended> = (0..12)
        .map(|at| match at {
            3 => Appended::New,
            11 => Appended::Conflict,
            _ => Appended::Duplicate,
        })
        .collect();
    assert_eq!(answers, expected);
    assert_eq!(ground.store.append_posted(Vec::new()).await.expect("post"), []);
    let actions = ground.actions().await;
    assert_eq!(actions.len(), 301);
    assert!(!actions.contains(&"Forged".to_owned()), "the first stands");
}

async fn two_posts_of_the_same_ids_race(ground: Ground) {
    for _ in 0..10 {
        let before = ground.actions().await.len();
        let posted: Vec<Activity> = (0..20).map(|_| ground.activity("P")).collect();
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (ground, posted) = (ground.clone(), posted.clone());
                tokio::spawn(async move { ground.store.append_posted(posted).await.expect("post") })
            })
            .collect();
        let mut new = 0;
        for task in tasks {
            new += task.await.expect("task").iter().filter(|answer| **answer == Appended::New).count();
        }
        assert_eq!(new, 20);
        assert_eq!(ground.actions().await.len(), before + 20);
    }
}

async fn readers_read_in_order_and_are_woken(ground: Ground) {
    if ground.mysql {
        let refused = ground.store.read_after(0, 10).await;
        assert!(refused.is_err(), "positions there are not in the order of commits");
        return;
    }
    assert_eq!(ground.store.read_after(0, 10).await.expect("read"), []);
    let waiting = tokio::spawn({
        let ground = ground.clone();
        async move {
            ground.store.wait(0).await;
            ground.store.read_after(0, 10).await.expect("read")
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished());
    let activity = ground.activity("View");
    ground.store.append(activity.clone()).await.expect("append");
    let read = tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("woken").expect("task");
    assert_eq!((read.len(), read[0].topic), (1, Topic::Activity));
    assert_eq!(Activity::from_json(&read[0].payload).expect("payload"), activity);
    assert_eq!(read[0].appended_at, domain::Clock::now(&*ground.clock));
    // There is one already: no waiting. A second store on the file knows the end from the start.
    ground.store.wait(0).await;
    let other = ground.another().await;
    tokio::time::timeout(Duration::from_secs(30), other.wait(0)).await.expect("knows the end");
    for n in 0..5 {
        ground.store.append(ground.activity(&format!("{n}"))).await.expect("append");
    }
    let page = ground.store.read_after(read[0].seq, 3).await.expect("read");
    assert_eq!(page.iter().map(|row| row.seq).collect::<Vec<_>>(), [2, 3, 4]);
    // What the other one appends wakes us too.
    let last = ground.store.journal_status().await.expect("status").last_seq;
    other.append(ground.activity("Elsewhere")).await.expect("append");
    tokio::time::timeout(Duration::from_secs(30), ground.store.wait(last)).await.expect("woken by another process");
    other.close().await;
}

async fn trimming_removes_what_was_worked_on_and_reuses_no_position(ground: Ground) {
    for n in 0..10 {
        ground.store.append(ground.activity(&format!("{n}"))).await.expect("append");
    }
    let seqs: Vec<i64> = ground.store.journal_page(0, 100).await.expect("page").iter().map(|row| row.seq).collect();
    assert_eq!(ground.store.trim_journal(seqs[3]).await.expect("trim"), 4);
    assert_eq!(ground.store.trim_journal(seqs[3]).await.expect("trim"), 0);
    assert_eq!(ground.store.journal_status().await.expect("status").rows, 6);
    ground.store.journal_delete(seqs[4..].to_vec()).await.expect("delete");
    let status = ground.store.journal_status().await.expect("status");
    assert_eq!((status.rows, status.last_seq >= seqs[9]), (0, true), "the position outlives its row");
    ground.store.append(ground.activity("after")).await.expect("append");
    if !ground.mysql {
        let other = ground.another().await;
        tokio::time::timeout(Duration::from_secs(30), other.wait(seqs[9])).await.expect("also after a restart");
        other.close().await;
    }
    let rest = ground.store.journal_page(0, 100).await.expect("page");
    assert!(rest.len() == 1 && rest[0].seq > seqs[9], "{rest:?}");
}

async fn a_full_journal_takes_no_more_until_it_is_trimmed(ground: Ground) {
    let store = &ground.store;
    store.limit_journal(3);
    for _ in 0..3 {
        store.append(ground.activity("View")).await.expect("append");
    }
    let last = store.journal_status().await.expect("status").last_seq;
    assert!(matches!(store.append(ground.activity("View")).await, Err(Error::Overloaded)));
    assert!(matches!(store.append_posted(vec![ground.activity("View")]).await, Err(Error::Overloaded)));
    let refused = store.end_session("none", ground.activity("Logout")).await;
    assert!(matches!(refused, Err(Error::Overloaded)), "a change without its activity is none");
    store.trim_journal(last).await.expect("trim");
    store.journal_status().await.expect("status");
    store.append(ground.activity("View")).await.expect("room again");
}

async fn one_leads_at_a_time(ground: Ground) {
    let other = ground.another().await;
    let mut lease = ground.store.try_lead("relay").await.expect("lead").expect("nobody has it");
    assert!(lease.is_held().await.expect("held"));
    if ground.mysql {
        assert!(other.try_lead("relay").await.expect("asked").is_none());
        assert!(other.try_lead("another").await.expect("asked").is_some());
    }
    lease.release().await.expect("release");
    let mut next = None;
    for _ in 0..3_000 {
        next = other.try_lead("relay").await.expect("lead");
        if next.is_some() {
            break;
        }
        // The server notices a little later that the connection has gone.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(next.is_some());
    other.close().await;
}

async fn what_ingest_has_stored_is_known_after_trimming(ground: Ground) {
    let posted = vec![ground.activity("P"), ground.activity("Q")];
    ground.store.append_posted(posted.clone()).await.expect("post");
    // What ingest does, by hand: the row moves from the journal to the logs.
    let payload = posted[0].to_json();
    let text = format!(
        "INSERT INTO user_logs (seq, event_id, occurred_at, received_at, action, detail, ip, log_type, outcome, origin, \
         late, payload) VALUES (1, X'{}', 0, 0, 'P', '', '', 'system', 'success', 'client', 0, '{payload}')",
        posted[0].event_id.simple()
    );
    crate::schema::behind(&ground, &text).await;
    let last = ground.store.journal_status().await.expect("status").last_seq;
    ground.store.trim_journal(last).await.expect("trim");
    let mut forged = posted[0].clone();
    forged.detail = Some("something else".into());
    let answers = ground.store.append_posted(vec![posted[0].clone(), forged]).await.expect("post");
    assert_eq!(answers, [Appended::Duplicate, Appended::Conflict]);
    assert_eq!(ground.actions().await.len(), 0);
}
