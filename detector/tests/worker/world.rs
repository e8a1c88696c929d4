//! A store, a clock and the worker over them.

use std::sync::Arc;
use std::time::Duration;

use bus::Record;
use detector::backtest::Backtest;
use detector::engine::Settings;
use detector::rules::{RuleSet, RuleSource, load};
use detector::worker::{Parts, Status, WorkerError, passed_by, run};
use domain::{Activity, Alert, MINUTE, ManualClock, Partition, SECOND, Timestamp};
use store::{AlertFilter, DETECTOR, INGEST, IngestRecord, Move, Store};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Guessing alerts at once; a return after silence waits for the watermark.
pub(crate) const RULES: &str = "
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

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) rules: Arc<RuleSet>,
    pub(crate) settings: Settings,
    _folder: tempfile::TempDir,
}

pub(crate) struct Running {
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), WorkerError>>,
    pub(crate) status: Arc<Status>,
}

pub(crate) fn rules(text: &str) -> Arc<RuleSet> {
    Arc::new(load(&[RuleSource::text("test.yml", text)]).expect("valid rules").rules)
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000 * SECOND + second * SECOND)
}

pub(crate) fn activity(user: &str, action: &str, second: i64, n: u128) -> Activity {
    let mut activity = Activity::new(Uuid::from_u128(n), action, at(second));
    activity.user = Some(user.to_owned());
    activity
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let clock = Arc::new(ManualClock::at(at(0)));
        let store = Store::open_sqlite(&folder.path().join("a.db"), clock.clone()).await.expect("store");
        store.migrate().await.expect("schema");
        Self { store, clock, rules: rules(RULES), settings: Settings::default(), _folder: folder }
    }

    pub(crate) fn parts(&self) -> Parts {
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

    pub(crate) fn start(&self) -> Running {
        let (parts, stop) = (self.parts(), CancellationToken::new());
        let status = parts.status.clone();
        Running { task: tokio::spawn(run(parts, stop.clone())), stop, status }
    }

    pub(crate) async fn append(&self, activities: &[Activity]) {
        for activity in activities {
            self.store.append(activity.clone()).await.expect("appended");
        }
    }

    /// Does what ingest does, with at most so many records.
    pub(crate) async fn ingest(&self, limit: usize) {
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
    pub(crate) async fn caught_up(&self) {
        let last = self.store.journal_status().await.expect("journal").last_seq;
        eventually("the detector to catch up", async || self.store.offset(DETECTOR).await.expect("offset") >= last)
            .await;
    }

    /// Waits until the worker has decided everything that has happened.
    pub(crate) async fn settled(&self, running: &Running) {
        let now = at(100_000);
        self.clock.set(now);
        let end = now.plus(-6 * MINUTE);
        eventually("the watermark", async || running.status.watermark().is_some_and(|watermark| watermark >= end))
            .await;
        self.caught_up().await;
    }

    pub(crate) async fn alerts(&self) -> Vec<Alert> {
        let rows = self.store.alerts(AlertFilter { limit: 1_000, ..AlertFilter::default() }).await.expect("alerts");
        let mut alerts: Vec<Alert> = rows.into_iter().map(|row| row.alert).collect();
        alerts.sort_by(|a, b| (a.at, &a.rule_id, &a.key).cmp(&(b.at, &b.rule_id, &b.key)));
        alerts
    }

    /// What a backtest makes of the same activities.
    pub(crate) fn offline(&self, activities: &[Activity]) -> Vec<Alert> {
        let mut backtest = Backtest::new(self.rules.clone(), self.settings.clone(), 5 * MINUTE);
        activities.iter().for_each(|activity| backtest.stored(activity));
        backtest.finish().0
    }
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("no panic").expect("a clean end");
    }

    /// As if the process had been killed: at whatever point it waits.
    pub(crate) async fn kill(self) {
        self.task.abort();
        drop(self.task.await);
    }
}

/// Equal but for id and revision, which say how the alert came about.
pub(crate) fn assert_same(got: &[Alert], expected: &[Alert], when: &str) {
    let shown = |alerts: &[Alert]| -> Vec<String> {
        let alone = |alert: &Alert| Alert { alert_id: Uuid::nil(), revision: 0, ..alert.clone() };
        alerts.iter().map(|alert| format!("{:?}", alone(alert))).collect()
    };
    for (got, expected) in shown(got).iter().zip(&shown(expected)) {
        assert!(got == expected, "{when}:\n     got {got}\nexpected {expected}");
    }
    assert_eq!(got.len(), expected.len(), "{when}");
}

pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..6_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain for {what}");
}

/// Three users who are guessed at and come in, twice with a quiet between; some events arrive out of order.
pub(crate) fn history() -> Vec<Activity> {
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
