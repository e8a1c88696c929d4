//! The worker over a real store: what it finds, that it goes on after any kind of end, and what it says it has missed.

mod world;

use std::time::Duration;

use detector::reprocess::reprocess;
use detector::worker::WorkerError;
use domain::{Activity, Alert, AlertState, HOUR, Partition, SECOND, Severity, Timestamp};
use store::{AlertFilter, DETECTOR, INGEST};
use uuid::Uuid;

use world::{RULES, World, activity, assert_same, at, eventually, history, rules};

#[tokio::test(flavor = "multi_thread")]
async fn the_alerts_are_those_of_a_backtest_and_flags_and_risk_follow() {
    let world = World::new().await;
    let running = world.start();
    let history = history();
    world.append(&history).await;
    eventually("the first alert", async || !world.alerts().await.is_empty()).await;
    world.settled(&running).await;
    let expected = world.offline(&history);
    assert!(expected.iter().any(|alert| alert.severity == Severity::High), "the history escalates");
    assert!(expected.iter().any(|alert| alert.rule == "Awake"), "the history has what waits");
    assert_same(&world.alerts().await, &expected, "at once");
    let risk = world.store.user_risk("ann", at(100_000)).await.expect("risk");
    assert!(
        risk.score >= 73.0 && !risk.findings.is_empty(),
        "an alert that rose counts as what it has become: {risk:?}"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_of_an_episode_changes_nothing() {
    for (ingested, snapshot) in [0, 1, 17, 1_000].into_iter().flat_map(|n| [(n, true), (n, false)]) {
        let world = World::new().await;
        let history = history();
        let (first, rest) = history.split_at(40);
        let running = world.start();
        world.append(first).await;
        world.caught_up().await;
        running.stop().await;
        if !snapshot {
            assert_eq!(world.store.forget_snapshots_but(Partition::JOURNAL, None).await.expect("removed"), 1);
        }
        let before = world.alerts().await;
        assert!(before.iter().any(|alert| alert.state == AlertState::Open), "the middle of an episode");
        // Ingest is behind, or has everything, and the journal has forgotten what both have.
        world.ingest(ingested).await;
        let both =
            world.store.offset(INGEST).await.expect("offset").min(world.store.offset(DETECTOR).await.expect("offset"));
        world.store.trim_journal(both).await.expect("trimmed");
        let running = world.start();
        world.append(rest).await;
        world.settled(&running).await;
        let after = world.alerts().await;
        assert_same(&after, &world.offline(&history), &format!("{ingested} records ingested, {snapshot}"));
        assert!(before.iter().all(|alert| after.iter().any(|other| other.alert_id == alert.alert_id)), "same ids");
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outlives_its_exception_comes_out_after_a_restart_too() {
    for snapshot in [true, false] {
        let world = World::new().await;
        let known = store::NewException {
            rule_id: "00000000-0000-4000-8000-000000000002".into(),
            key: [("user".to_owned(), "ann".to_owned())].into(),
            until: at(118),
            reason: "a drill".into(),
            by_user: "root".into(),
        };
        let act = activity("root", "Admin", 0, 1_000_000);
        world.store.create_exception(known, move |_| act).await.expect("an exception");
        let history = history();
        let (first, rest) = history.split_at(40);
        let running = world.start();
        world.append(first).await;
        world.caught_up().await;
        running.stop().await;
        let hidden = AlertFilter { suppressed: true, limit: 9, ..AlertFilter::default() };
        let hidden = world.store.alerts(hidden).await.expect("alerts");
        assert!(hidden.len() == 1 && hidden[0].alert.state == AlertState::Open, "in the middle of an episode");
        let of_ann = |alert: &&Alert| alert.rule == "Guessing" && alert.key["user"] == "ann";
        assert_eq!(world.alerts().await.iter().filter(of_ann).count(), 0);
        if !snapshot {
            assert_eq!(world.store.forget_snapshots_but(Partition::JOURNAL, None).await.expect("removed"), 1);
        }
        world.clock.set(at(120));
        let running = world.start();
        world.append(rest).await;
        world.settled(&running).await;
        let after = world.alerts().await;
        assert_same(&after, &world.offline(&history), &format!("snapshot {snapshot}"));
        assert_eq!(after.iter().find(of_ann).expect("out").alert_id, hidden[0].alert.alert_id);
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_and_what_came_since_are_the_whole() {
    for ingested in [0, 10, 35, 1_000] {
        let world = World::new().await;
        let history = history();
        let running = world.start();
        world.append(&history[..20]).await;
        world.caught_up().await;
        world.ingest(ingested).await;
        running.stop().await;
        let running = world.start();
        world.append(&history[20..50]).await;
        world.caught_up().await;
        world.ingest(ingested).await;
        running.kill().await;
        let before = world.alerts().await;
        let running = world.start();
        world.append(&history[50..]).await;
        world.settled(&running).await;
        let after = world.alerts().await;
        assert_same(&after, &world.offline(&history), &format!("twice {ingested} records ingested"));
        assert!(before.iter().all(|alert| after.iter().any(|other| other.alert_id == alert.alert_id)), "same ids");
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_snapshot_knows_is_not_read_again() {
    let world = World::new().await;
    let running = world.start();
    let guesses: Vec<Activity> =
        (0..3_u8).map(|n| activity("ann", "LoginFailed", i64::from(n), u128::from(n))).collect();
    world.append(&guesses[..2]).await;
    world.caught_up().await;
    world.ingest(10).await;
    running.stop().await;
    let last = world.store.offset(DETECTOR).await.expect("offset");
    world.store.trim_journal(last).await.expect("trimmed");
    while world.store.purge_logs(Timestamp::MAX, 100).await.expect("purged") > 0 {}
    let running = world.start();
    world.append(&guesses[2..]).await;
    eventually("the alert", async || world.alerts().await.len() == 1).await;
    assert_eq!(world.alerts().await[0].event_ids, [0, 1, 2].map(Uuid::from_u128));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_point_it_finds_the_same() {
    let world = World::new().await;
    let history = history();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for (n, part) in history.chunks(4).enumerate() {
        let running = world.start();
        world.append(part).await;
        if n % 3 == 0 {
            world.ingest(10).await;
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        tokio::time::sleep(Duration::from_micros(state % 20_000)).await;
        running.kill().await;
    }
    let running = world.start();
    world.settled(&running).await;
    assert_same(&world.alerts().await, &world.offline(&history), "at the end");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_when_the_process_ended_is_found_by_the_next_one() {
    let world = World::new().await;
    let running = world.start();
    world.append(&[activity("ann", "Login", 10, 1)]).await;
    world.caught_up().await;
    running.stop().await;
    assert!(world.alerts().await.is_empty(), "nothing is decided yet");
    world.ingest(100).await;
    // Nobody runs for hours; the first thing the next one could do is to take the moment for long gone.
    world.clock.set(at(5 * 3_600));
    let running = world.start();
    eventually("the alert", async || world.alerts().await.len() == 1).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_late_is_found_by_reprocessing_and_once() {
    let world = World::new().await;
    let mut activities: Vec<Activity> = (0..6).map(|n| activity("ann", "LoginFailed", 10 * n, 1 + n as u128)).collect();
    for activity in activities.iter_mut().skip(2) {
        activity.received_at = at(10_000);
        activity.late = true;
    }
    let running = world.start();
    world.append(&activities).await;
    world.settled(&running).await;
    assert_eq!((world.alerts().await.len(), running.status.late()), (0, 4), "late ones are kept out");
    world.ingest(1_000).await;
    let again = async || reprocess(&world.parts(), at(-3_600), at(3_600), |_| ()).await.expect("reprocessed");
    let done = again().await;
    assert_eq!((done.events, done.late, done.new, done.known), (6, 4, 1, 0));
    let alerts = world.alerts().await;
    assert_eq!(alerts.len(), 1);
    assert_eq!((done.alerts[0].alert_id, alerts[0].event_count), (alerts[0].alert_id, 6));
    assert_eq!((alerts[0].found_by.as_str(), alerts[0].severity), ("reprocess", Severity::High));
    let twice = again().await;
    assert_eq!((twice.found, twice.new, twice.known), (1, 0, 1));
    assert_eq!(world.alerts().await, alerts);
    // A range that ends within the episode finds the whole of it.
    let cut = reprocess(&world.parts(), at(-3_600), at(30), |_| ()).await.expect("reprocessed");
    assert_eq!((cut.events, cut.new, cut.known), (4, 0, 1));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_late_makes_an_alert_worse_that_is_over() {
    let world = World::new().await;
    let mut activities: Vec<Activity> = (0..9).map(|n| activity("ann", "LoginFailed", 5 * n, 1 + n as u128)).collect();
    for activity in activities.iter_mut().skip(4) {
        activity.received_at = at(10_000);
        activity.late = true;
    }
    let running = world.start();
    world.append(&activities).await;
    world.settled(&running).await;
    eventually("its end", async || world.alerts().await.iter().all(|alert| alert.state == AlertState::Closed)).await;
    let before = world.alerts().await.remove(0);
    world.ingest(1_000).await;
    let again = async || reprocess(&world.parts(), at(-3_600), at(3_600), |_| ()).await.expect("reprocessed");
    let done = again().await;
    assert_eq!((done.found, done.new, done.known, done.risen), (1, 0, 1, 1));
    let after = world.alerts().await;
    assert_eq!(done.alerts, after);
    assert_eq!((after.len(), after[0].alert_id, after[0].found_by.as_str()), (1, before.alert_id, "live"));
    assert_eq!((before.event_count, after[0].event_count, after[0].revision), (4, 9, before.revision + 1));
    assert!(after[0].observed > before.observed && after[0].last_event_at == at(40), "{:?}", after[0]);
    assert_eq!(again().await.risen, 0);
    assert_eq!(world.alerts().await, after);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_revision_of_a_rule_starts_over() {
    let mut world = World::new().await;
    let running = world.start();
    let events: Vec<Activity> = (0..8).map(|n| activity("ann", "LoginFailed", n, 1 + n as u128)).collect();
    world.append(&events[..3]).await;
    world.caught_up().await;
    eventually("the alert", async || world.alerts().await.len() == 1).await;
    running.stop().await;
    world.rules = rules(&RULES.replace("gte: 3", "gte: 2"));
    let running = world.start();
    eventually("the end of the old", async || world.alerts().await[0].state == AlertState::Superseded).await;
    world.append(&events[3..]).await;
    world.caught_up().await;
    eventually("the new", async || world.alerts().await.len() == 2).await;
    let alerts = world.alerts().await;
    let (old, new): (Vec<&Alert>, Vec<&Alert>) = alerts.iter().partition(|alert| alert.threshold == 3.0);
    assert_eq!((old[0].state, new[0].state), (AlertState::Superseded, AlertState::Open));
    assert_ne!(old[0].alert_id, new[0].alert_id);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_seen_is_on_record() {
    let mut world = World::new().await;
    world.settings.events_per_key = 32;
    world.clock.set(at(HOUR / SECOND));
    let running = world.start();
    eventually("a watermark", async || running.status.watermark().is_some()).await;
    // One flood, and two that are on time by their own word and behind the watermark.
    let flood: Vec<Activity> = (0..200).map(|n| activity("ann", "LoginFailed", 3_600, 1 + n as u128)).collect();
    world.append(&flood).await;
    world.append(&[activity("bob", "Login", 0, 1_001)]).await;
    world.caught_up().await;
    world.append(&[activity("bob", "Login", 60, 1_002)]).await;
    world.caught_up().await;
    eventually("both to be counted", async || running.status.behind() == 2).await;
    let gaps = world.store.coverage_gaps(at(0), 100).await.expect("gaps");
    let behind: Vec<_> = gaps.iter().filter(|gap| gap.gap.reason.contains("behind the watermark")).collect();
    assert_eq!(behind.len(), 1, "one outage, one gap: {gaps:?}");
    assert_eq!((behind[0].gap.lost, behind[0].gap.from, behind[0].gap.to), (2, at(0), at(60)));
    assert!(gaps.iter().any(|gap| gap.gap.key.contains("ann") && gap.gap.lost > 100), "{gaps:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_detectors_on_one_log_do_not_both_go_on() {
    let world = World::new().await;
    let (one, two) = (world.start(), world.start());
    let history = history();
    for part in history.chunks(3) {
        world.append(part).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    eventually("one to give up", async || one.task.is_finished() || two.task.is_finished()).await;
    let (gone, left) = if one.task.is_finished() { (one, two) } else { (two, one) };
    assert!(matches!(gone.task.await.expect("no panic"), Err(WorkerError::NotOurs)));
    world.settled(&left).await;
    assert_same(&world.alerts().await, &world.offline(&history), "by the one left");
    left.stop().await;
}
