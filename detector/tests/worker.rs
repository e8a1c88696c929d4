//! The worker over a real store: what it finds, that it goes on after any kind of end, and what it says it has missed.

use std::sync::Arc;
use std::time::Duration;

use bus::Record;
use detector::backtest::Backtest;
use detector::engine::Settings;
use detector::reprocess::reprocess;
use detector::rules::{RuleSet, RuleSource, load};
use detector::worker::{Parts, Status, WorkerError, passed_by, run};
use domain::{Activity, Alert, AlertState, HOUR, MINUTE, ManualClock, Partition, SECOND, Severity, Timestamp};
use store::{AlertFilter, DETECTOR, INGEST, IngestRecord, Move, Store};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Guessing alerts at once; a return after silence waits for the watermark.
const RULES: &str = "
title: Failed
id: 00000000-0000-4000-8000-000000000001
name: failed
logsource: {category: activity}
detection:
    selection: {action: LoginFailed}
    condition: selection
level: informational
---
title: Guessing
id: 00000000-0000-4000-8000-000000000002
correlation:
    type: event_count
    rules: [failed]
    group-by: [user]
    timespan: 60s
    condition: {gte: 3}
level: low
analytics: {v: 1, escalate: [{at: 6, to: high}]}
---
title: Awake
id: 00000000-0000-4000-8000-000000000003
logsource: {category: activity}
detection:
    selection: {action: Login}
    condition: selection
level: medium
analytics: {v: 1, episode: 1m, when: {after_silence: 5m}}
";

struct World {
    store: Store,
    clock: Arc<ManualClock>,
    rules: Arc<RuleSet>,
    settings: Settings,
    _folder: tempfile::TempDir,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), WorkerError>>,
    status: Arc<Status>,
}

fn rules(text: &str) -> Arc<RuleSet> {
    Arc::new(load(&[RuleSource::text("test.yml", text)]).expect("valid rules").rules)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000 * SECOND + second * SECOND)
}

fn activity(user: &str, action: &str, second: i64, n: u128) -> Activity {
    let mut activity = Activity::new(Uuid::from_u128(n), action, at(second));
    activity.user = Some(user.to_owned());
    activity
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let clock = Arc::new(ManualClock::at(at(0)));
        let store = Store::open_sqlite(&folder.path().join("a.db"), clock.clone()).await.expect("store");
        store.migrate().await.expect("schema");
        Self { store, clock, rules: rules(RULES), settings: Settings::default(), _folder: folder }
    }

    fn parts(&self) -> Parts {
        Parts {
            store: self.store.clone(),
            rules: self.rules.clone(),
            settings: self.settings.clone(),
            lateness: 5 * MINUTE,
            passed: passed_by(self.clock.clone()),
            status: Arc::default(),
            partition: Partition::JOURNAL,
        }
    }

    fn start(&self) -> Running {
        let (parts, stop) = (self.parts(), CancellationToken::new());
        let status = parts.status.clone();
        Running { task: tokio::spawn(run(parts, stop.clone())), stop, status }
    }

    async fn append(&self, activities: &[Activity]) {
        for activity in activities {
            self.store.append(activity.clone()).await.expect("appended");
        }
    }

    /// Does what ingest does, with at most so many records.
    async fn ingest(&self, limit: usize) {
        let from = self.store.offset(INGEST).await.expect("offset");
        let page = self.store.journal_page(from, limit).await.expect("journal");
        let Some(last) = page.last().map(|record| record.seq) else { return };
        let activities = page.into_iter().filter(|record| record.topic == domain::Topic::Activity).map(Record::from);
        let records = activities.map(|Record { seq, payload, activity, .. }| IngestRecord::Activity {
            seq,
            payload,
            activity: activity.expect("an activity"),
        });
        self.store.apply_ingest(Move::journal(from, last), records.collect()).await.expect("ingested");
    }

    /// Waits until everything in the journal is done and stored.
    async fn caught_up(&self) {
        let last = self.store.journal_status().await.expect("journal").last_seq;
        eventually("the detector to catch up", async || self.store.offset(DETECTOR).await.expect("offset") >= last)
            .await;
    }

    /// Waits until the worker has decided everything that has happened.
    async fn settled(&self, running: &Running) {
        let now = at(100_000);
        self.clock.set(now);
        let end = now.plus(-6 * MINUTE);
        eventually("the watermark", async || running.status.watermark().is_some_and(|watermark| watermark >= end))
            .await;
        self.caught_up().await;
    }

    async fn alerts(&self) -> Vec<Alert> {
        let rows = self.store.alerts(AlertFilter { limit: 1_000, ..AlertFilter::default() }).await.expect("alerts");
        let mut alerts: Vec<Alert> = rows.into_iter().map(|row| row.alert).collect();
        alerts.sort_by(|a, b| (a.at, &a.rule_id, &a.key).cmp(&(b.at, &b.rule_id, &b.key)));
        alerts
    }

    /// What a backtest makes of the same activities.
    fn offline(&self, activities: &[Activity]) -> Vec<Alert> {
        let mut backtest = Backtest::new(self.rules.clone(), self.settings.clone(), 5 * MINUTE);
        activities.iter().for_each(|activity| backtest.stored(activity));
        backtest.finish().0
    }
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("no panic").expect("a clean end");
    }

    /// As if the process had been killed: at whatever point it waits.
    async fn kill(self) {
        self.task.abort();
        drop(self.task.await);
    }
}

/// Equal but for id and revision, which say how the alert came about.
fn assert_same(got: &[Alert], expected: &[Alert], when: &str) {
    let shown = |alerts: &[Alert]| -> Vec<String> {
        let alone = |alert: &Alert| Alert { alert_id: Uuid::nil(), revision: 0, ..alert.clone() };
        alerts.iter().map(|alert| format!("{:?}", alone(alert))).collect()
    };
    for (got, expected) in shown(got).iter().zip(&shown(expected)) {
        assert!(got == expected, "{when}:\n     got {got}\nexpected {expected}");
    }
    assert_eq!(got.len(), expected.len(), "{when}");
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..6_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain for {what}");
}

/// Three users who are guessed at and come in, twice with a quiet between; some events arrive out of order.
fn history() -> Vec<Activity> {
    let mut all = Vec::new();
    for n in 0..90_u128 {
        let user = ["ann", "bob", "cem"][usize::try_from(n % 3).expect("small")];
        let received = 3 * i64::try_from(n).expect("small") + if n >= 50 { 900 } else { 0 };
        let second = received - if n % 5 == 0 { 20 } else { 0 };
        let action = if n % 9 == 8 { "Login" } else { "LoginFailed" };
        all.push(Activity { received_at: at(received + 1), ..activity(user, action, second, n + 1) });
    }
    all
}

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
