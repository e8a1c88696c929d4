//! What the engine finds, on its way into the database: in one transaction with the offset that passes it.
//!
//! The engine tells of an alert after every event of its episode. What is news is written at once; that an episode goes
//! on is written when something is news, or once a second. The offset never moves without what was found before it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bus::{Backoff, Record};
use domain::{Activity, Alert, AlertState, Partition, Severity, Timestamp, metric, trace};
use store::{ApplyError, Change, DetectionBatch, Evidence, Move, NewGap, News, Store};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Span;
use uuid::Uuid;

use crate::engine::{Engine, Gap};
use crate::recent::Recent;
use crate::rules::RuleSet;
use crate::traces::Traces;
use crate::worker::WorkerError;

/// While nothing is news, what is known is stored this often.
const REST: Duration = Duration::from_secs(1);
/// How long alerts wait for their events to be stored.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where findings wait until they are stored.
pub(crate) struct Sink {
    store: Store,
    partition: Partition,
    rules: Arc<RuleSet>,
    /// The offset as the database has it, and since when.
    stored: i64,
    stored_at: Instant,
    /// Alerts to be written, in their present state.
    held: BTreeMap<Uuid, Change>,
    gaps: Vec<NewGap>,
    /// What was written last of the alerts that are open.
    told: HashMap<Uuid, Told>,
    /// Something of what is held is news.
    news: bool,
    recent: Recent,
    traces: Traces,
}

fn count(rule: &str, severity: Severity, more: u64) {
    let labels = [("rule", rule.to_owned()), ("severity", severity.to_string())];
    metrics::counter!(metric::ALERTS, &labels).increment(more);
}

/// What of an alert is news when it changes.
#[derive(Debug, PartialEq)]
struct Told {
    state: AlertState,
    severity: Severity,
    steps: usize,
    at: Timestamp,
    crossing_event: Uuid,
}

impl Told {
    fn of(alert: &Alert) -> Self {
        let Alert { state, severity, at, crossing_event, .. } = *alert;
        Self { state, severity, steps: alert.escalations.len(), at, crossing_event }
    }
}

impl Sink {
    /// Everything up to `stored` has been written.
    pub(crate) fn new(store: Store, partition: Partition, rules: Arc<RuleSet>, stored: i64) -> Self {
        // Prometheus sees a rise from 0 to 1; a series that begins with 1 rose from nothing.
        for rule in &rules.rules {
            let severities = rule.escalate.iter().map(|(_, severity)| *severity).chain([rule.level]);
            severities.filter(|one| *one > Severity::Informational).for_each(|one| count(&rule.title, one, 0));
        }
        Self {
            store,
            partition,
            rules,
            stored,
            stored_at: Instant::now(),
            held: BTreeMap::new(),
            gaps: Vec::new(),
            told: HashMap::new(),
            news: false,
            recent: Recent::default(),
            traces: Traces::default(),
        }
    }

    /// With what is to be said of what was missed.
    pub(crate) fn with(mut self, gaps: Vec<NewGap>) -> Self {
        self.news |= !gaps.is_empty();
        self.gaps.extend(gaps);
        self
    }

    /// The spans of the look at some records, until they are dropped.
    pub(crate) fn spans(&mut self, records: &[Record]) -> Vec<Span> {
        if !trace::is_exported() {
            return Vec::new();
        }
        let (partition, traces) = (self.partition, &mut self.traces);
        records.iter().map(|record| traces.looked_at(partition, record)).collect()
    }

    /// An activity was read. What is read from the journal is found there; beyond one machine, ingest may not have
    /// stored it when an alert of it is.
    pub(crate) fn saw(&mut self, activity: &Activity) {
        if self.partition != Partition::JOURNAL {
            self.recent.add(activity);
        }
    }

    /// A record was read that is no activity.
    pub(crate) fn saw_other(&mut self) {
        self.recent.add_other();
    }

    /// Takes over what the engine has found since the last time.
    pub(crate) fn take(&mut self, engine: &mut Engine) {
        // Of each alert the last word counts: one can be taken back and found again between two looks.
        for alert in engine.drain() {
            self.news |= self.told.get(&alert.alert_id).is_none_or(|told| *told != Told::of(&alert));
            if let Some(change) = change(&self.rules, alert) {
                self.held.insert(change.alert.alert_id, change);
            }
        }
        self.gaps.extend(engine.gaps().into_iter().flat_map(gap_rows));
        self.news |= !self.gaps.is_empty();
    }

    /// Whether something is to be written now, when the reader stands at `next`.
    pub(crate) fn is_due(&self, next: i64) -> bool {
        self.news || (self.is_behind(next) && self.stored_at.elapsed() >= REST)
    }

    /// Whether something is to be written at all.
    pub(crate) fn is_behind(&self, next: i64) -> bool {
        self.news || next != self.stored || !self.held.is_empty()
    }

    /// Writes all that is held and moves the offset to `next`, in one transaction; tries until it is done (true) or the
    /// process is to stop. In that case nothing is lost: the next process finds the same.
    pub(crate) async fn write(
        &mut self,
        next: i64,
        watermark: Timestamp,
        stop: &CancellationToken,
    ) -> Result<bool, WorkerError> {
        let (mut backoff, begun) = (Backoff::default(), Instant::now());
        loop {
            let changes: Vec<Change> = self.held.values().cloned().collect();
            let step = Move {
                partition: self.partition,
                expected: self.stored,
                next,
                last_event: self.recent.last_if(self.partition),
            };
            let evidence = self.evidence(&changes, begun);
            let batch = DetectionBatch { step, watermark, changes, gaps: self.gaps.clone(), evidence };
            match self.store.apply_detection(batch).await {
                Ok(done) => {
                    self.raised(&done.news);
                    self.written(next);
                    return Ok(true);
                }
                Err(ApplyError::NotOurs) => return Err(WorkerError::NotOurs),
                Err(ApplyError::Poison(cause)) if !self.held.is_empty() => {
                    tracing::warn!(%cause, "alerts cannot be stored together; each is tried alone");
                    self.one_by_one(watermark).await;
                }
                Err(fault) => {
                    let pause = backoff.failed();
                    tracing::warn!(%fault, again_in_ms = pause.as_millis(), "alerts could not be stored; trying again");
                    if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Tells the figures, the log and the traces what has come into the queue, or risen there, by the account of the
    /// transaction itself: neither what an exception keeps out nor what an earlier process has told. Whom an alert is
    /// about is none of the log's business.
    fn raised(&self, news: &[News]) {
        for news in news {
            let News { alert_id, rule, severity, rose, crossing_event, .. } = news;
            count(rule, *severity, 1);
            let what = if *rose { "an alert rose" } else { "an alert opened" };
            tracing::info!(%alert_id, rule, %severity, event_id = %crossing_event, "{what}");
            if !rose {
                drop(self.traces.raised(news));
            }
        }
    }

    /// The events of changed alerts that are at hand. Those that are not will be stored by ingest; it is waited for, but
    /// not for ever: whom an alert counts for matters less than that it is there.
    fn evidence(&self, changes: &[Change], since: Instant) -> Arc<Evidence> {
        if self.partition == Partition::JOURNAL {
            return Arc::default();
        }
        let ids = changes.iter().flat_map(|change| change.alert.event_ids.iter().chain([&change.alert.crossing_event]));
        Arc::new(Evidence { activities: self.recent.of(ids), will_come: since.elapsed() < PATIENCE })
    }

    fn written(&mut self, next: i64) {
        for (alert_id, change) in std::mem::take(&mut self.held) {
            self.tell(alert_id, &change.alert);
        }
        self.gaps.clear();
        (self.news, self.stored, self.stored_at) = (false, next, Instant::now());
    }

    fn tell(&mut self, alert_id: Uuid, alert: &Alert) {
        if alert.state == AlertState::Open {
            self.told.insert(alert_id, Told::of(alert));
        } else {
            self.told.remove(&alert_id);
        }
    }

    /// Writes what is held one by one, without moving the offset: an alert that the database does not take must not keep
    /// the others out. In its place a gap says so. What is worth another try stays held.
    async fn one_by_one(&mut self, watermark: Timestamp) {
        for (alert_id, change) in std::mem::take(&mut self.held) {
            let changes = vec![change.clone()];
            let step = Move { partition: self.partition, expected: self.stored, next: self.stored, last_event: None };
            let evidence = self.evidence(&changes, Instant::now());
            let alone = DetectionBatch { step, watermark, changes, gaps: Vec::new(), evidence };
            match self.store.apply_detection(alone).await {
                Ok(done) => {
                    self.raised(&done.news);
                    self.tell(alert_id, &change.alert);
                }
                Err(ApplyError::Poison(why)) => {
                    let alert = change.alert;
                    tracing::error!(rule = alert.rule, %alert_id, %why, "an alert cannot be stored and is given up");
                    self.gaps.push(given_up(alert, &why.to_string()));
                }
                Err(_) => drop(self.held.insert(alert_id, change)),
            }
        }
    }
}

/// An alert with what its rule says of its kind; none where the rule is not loaded.
pub(crate) fn change(rules: &RuleSet, alert: Alert) -> Option<Change> {
    let rule = rules.rules.iter().find(|rule| rule.id == alert.rule_id)?;
    Some(Change { opened_as: rule.level, opened_points: rule.risk, mute_after_close: rule.mute_after_close, alert })
}

fn given_up(alert: Alert, why: &str) -> NewGap {
    let key: Vec<String> = alert.key.into_iter().map(|(field, value)| format!("{field}={value}")).collect();
    NewGap {
        rule_id: alert.rule_id,
        key: key.join(", "),
        from: alert.first_event_at,
        to: alert.last_event_at,
        lost: alert.event_count,
        reason: format!("the database does not take the alert: {why}"),
    }
}

fn gap_rows(gap: Gap) -> Vec<NewGap> {
    let rules: HashSet<String> =
        if gap.rules.is_empty() { [String::new()].into() } else { gap.rules.into_iter().collect() };
    let row = |rule_id| NewGap {
        rule_id,
        key: gap.key.clone().unwrap_or_default(),
        from: gap.from,
        to: gap.to,
        lost: i64::try_from(gap.lost).unwrap_or(i64::MAX),
        reason: gap.reason.clone(),
    };
    rules.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use domain::{Activity, ManualClock};

    use super::*;
    use crate::engine::Settings;
    use crate::rules::{RuleSource, load};

    const RULE: &str = "
title: Export
logsource: {category: activity}
detection:
    selection: {action: Export}
    condition: selection
level: medium
";

    async fn found() -> (Store, Engine, Sink, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("folder");
        let clock = Arc::new(ManualClock::default());
        let store = Store::open_sqlite(&folder.path().join("a.db"), clock).await.expect("store");
        store.migrate().await.expect("schema");
        let rules = Arc::new(load(&[RuleSource::text("test.yml", RULE)]).expect("rules").rules);
        let mut engine = Engine::new(rules.clone(), Settings::default());
        // The second is a step upwards, the third will be none.
        export(&mut engine, 1);
        export(&mut engine, 2);
        let mut sink = Sink::new(store.clone(), Partition::JOURNAL, rules, 0);
        sink.take(&mut engine);
        (store, engine, sink, folder)
    }

    fn export(engine: &mut Engine, n: u128) {
        let mut activity = Activity::new(Uuid::from_u128(n), "Export", Timestamp::from_micros(1_000_000));
        activity.user = Some("ann".into());
        engine.observe(&activity);
    }

    #[tokio::test]
    async fn what_cannot_be_stored_before_the_end_is_said_and_stays() {
        let (store, _, mut sink, _folder) = found().await;
        store.close().await;
        let stop = CancellationToken::new();
        stop.cancel();
        assert!(!sink.write(5, Timestamp::default(), &stop).await.expect("no failure of its own"));
        assert!(sink.is_behind(0) && sink.held.len() == 1, "the offset must not pass it");
    }

    #[tokio::test]
    async fn that_an_episode_goes_on_is_no_news() {
        let (store, mut engine, mut sink, _folder) = found().await;
        let stop = CancellationToken::new();
        assert!(sink.is_due(1), "a new alert is");
        assert!(sink.write(1, Timestamp::default(), &stop).await.expect("stored"));
        assert!(!sink.is_behind(1));
        export(&mut engine, 3);
        sink.take(&mut engine);
        assert!(!sink.is_due(2) && sink.is_behind(2));
        assert_eq!(store.offset(store::DETECTOR).await.expect("offset"), 1, "nothing passes what is held");
        engine.finish();
        sink.take(&mut engine);
        assert!(sink.is_due(2), "its end is news");
        assert!(sink.write(2, Timestamp::default(), &stop).await.expect("stored"));
        let alerts = store.adoptable_alerts(Partition::JOURNAL, Timestamp::MIN).await.expect("alerts");
        assert_eq!((alerts.len(), alerts[0].event_count, alerts[0].state), (1, 3, AlertState::Closed));
        store.close().await;
    }
}
