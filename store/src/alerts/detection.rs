//! What the detector asks of the store.

use std::collections::HashMap;
use std::sync::Arc;

use domain::{Activity, Alert, AlertState, Partition, Severity, Timestamp};
use uuid::Uuid;

use crate::alerts::{COLUMNS, Columns, News, key_digest, stored, write};
use crate::db::{Conn, Tx, in_tx};
use crate::gaps::{self, NewGap};
use crate::offsets::{ApplyError, DETECTOR, Move, decided, move_offset};
use crate::query::{Query, rows_in_db, rows_in_tx, run_in_tx};
use crate::sql::statements;
use crate::{Error, Result, Store};

statements! {
    REVISIONS = "SELECT rule_id, revision FROM rule_revisions";
    FORGET = "DELETE FROM rule_revisions WHERE rule_id = ?";
    REMEMBER = "INSERT INTO rule_revisions (rule_id, revision) VALUES (?, ?)";
    SUPERSEDE = "UPDATE alerts SET state = 'superseded', revision = revision + 1, updated_at = ? \
                 WHERE state = 'open' AND rule_id = ?";
}

/// The present state of an alert that the engine changed.
#[derive(Debug, Clone)]
pub struct Change {
    /// As the engine sees it.
    pub alert: Alert,
    /// The severity with which its rule opens alerts.
    pub opened_as: Severity,
    /// The points with which its rule opens alerts.
    pub opened_points: i64,
    /// For how long after a verdict its rule opens no new episode of the same key, in microseconds.
    pub mute_after_close: i64,
}

/// What the detector made of a stretch of the log.
#[derive(Debug, Clone, Default)]
pub struct DetectionBatch {
    /// The stretch.
    pub step: Move,
    /// Up to which moment the engine has decided, with what it found by then among `changes`.
    pub watermark: Timestamp,
    /// Changed alerts, each once, in their present state.
    pub changes: Vec<Change>,
    /// What a bound of the engine gave up.
    pub gaps: Vec<NewGap>,
    /// Events of the alerts, as far as the detector has them at hand.
    pub evidence: Arc<Evidence>,
}

/// Events that say whom an alert counts for.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// By id. The others are looked up in the journal and in `user_logs`.
    pub activities: HashMap<Uuid, Activity>,
    /// Whether an event that is in neither will be there soon: the log is read from elsewhere, and ingest reads it at
    /// its own pace. Then nothing is stored before it is there.
    pub will_come: bool,
}

/// What is known of changed alerts besides themselves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// The partition that they were found in; none for stored activities.
    pub(crate) partition: Option<Partition>,
    pub(crate) evidence: Arc<Evidence>,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detected {
    /// Alerts that were not stored before; signals are counted too.
    pub new: usize,
    /// Alerts that were.
    pub updated: usize,
    /// Of the new ones: kept out of the queue by an exception or a verdict.
    pub suppressed: usize,
    /// What came into the queue, or rose there.
    pub news: Vec<News>,
}

/// What became of alerts that were found in stored activities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// The alerts that were missing and are stored now.
    pub new: Vec<Uuid>,
    /// Of those that were there already, ended: the ones that are stored as more than they were.
    pub risen: Vec<Uuid>,
    /// How many were there already, under their own or another id.
    pub known: usize,
}

impl Store {
    /// Stores what the detector found and moves its offset, in one transaction.
    ///
    /// # Errors
    /// [`ApplyError`]; nothing was done.
    pub async fn apply_detection(&self, batch: DetectionBatch) -> std::result::Result<Detected, ApplyError> {
        let batch = Arc::new(batch);
        Ok(self
            .write(move |tx| {
                let batch = Arc::clone(&batch);
                Box::pin(async move {
                    move_offset(tx, DETECTOR, batch.step).await?;
                    decided(tx, DETECTOR, batch.step.partition, batch.watermark).await?;
                    gaps::record(tx, &batch.gaps).await?;
                    let found = Found { partition: Some(batch.step.partition), evidence: Arc::clone(&batch.evidence) };
                    write::changes(tx, &batch.changes, &found).await
                })
            })
            .await?)
    }

    /// Stores alerts that were found in stored activities, where they are missing: neither an alert of that id nor one
    /// of the same rule and key with an overlapping episode is there. One that was taken back counts as missing. Where
    /// just one is there, its episode is over and more of it was found, it is stored as found, under its own id: what
    /// came late may have made it worse. Nothing that is stored becomes less. Moves no offset.
    ///
    /// # Errors
    /// The database failed; nothing was done.
    pub async fn store_alerts(&self, found: Vec<Change>) -> Result<Stored> {
        let found = Arc::new(found);
        self.write(move |tx| {
            let found = Arc::clone(&found);
            Box::pin(async move {
                let (mut done, mut changes) = (Stored::default(), Vec::new());
                for change in found.iter() {
                    let there = known(tx, &change.alert).await?;
                    if there.is_empty() {
                        done.new.push(change.alert.alert_id);
                        changes.push(change.clone());
                        continue;
                    }
                    done.known += 1;
                    if let [one] = &there[..]
                        && is_more(one, &change.alert)
                        && !done.risen.contains(&one.alert_id)
                    {
                        done.risen.push(one.alert_id);
                        let alert = Alert {
                            alert_id: one.alert_id,
                            state: one.state,
                            found_by: one.found_by.clone(),
                            ..change.alert.clone()
                        };
                        changes.push(Change { alert, ..change.clone() });
                    }
                }
                // Only on one machine may the live engine go on with them.
                let partition = matches!(tx.conn, Conn::Sqlite(_)).then_some(Partition::JOURNAL);
                write::changes(tx, &changes, &Found { partition, ..Found::default() }).await?;
                Ok(done)
            })
        })
        .await
    }

    /// The alerts of a partition that the engine may still change after a restart: open ones, and closed ones with an
    /// event since a moment.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn adoptable_alerts(&self, partition: Partition, since: Timestamp) -> Result<Vec<Alert>> {
        let open = Query::new(COLUMNS).and("a.state = 'open'", []);
        // What was written before that moment has no event after it; the index is by the time of writing.
        let closed = Query::new(COLUMNS)
            .and("a.updated_at >= ?", [since.into()])
            .and("a.last_event_at >= ? AND a.state = 'closed'", [since.into()]);
        let mut alerts = Vec::new();
        for query in [open, closed] {
            let (topic, part) = (partition.topic.into(), i64::from(partition.number).into());
            let query = query.and("a.log_topic = ? AND a.log_part = ?", [topic, part]);
            let rows: Vec<Columns> = rows_in_db!(self, query);
            for row in rows {
                alerts.push(stored(row)?.alert);
            }
        }
        Ok(alerts)
    }

    /// Says which revision of each rule the live detector runs from now on. Open alerts of rules that are gone or have
    /// another revision are closed as superseded; how many.
    ///
    /// # Errors
    /// The database failed; nothing was done.
    pub async fn supersede_rules(&self, loaded: Vec<(String, String)>) -> Result<u64> {
        let loaded = Arc::new(loaded);
        loop {
            let loaded = Arc::clone(&loaded);
            let closed = self
                .write(move |tx| {
                    let loaded = Arc::clone(&loaded);
                    Box::pin(async move { supersede(tx, &loaded).await })
                })
                .await;
            // Another detector that starts at the same time has noted them meanwhile: now they are there.
            if !matches!(closed, Err(Error::Duplicate)) {
                return closed;
            }
        }
    }
}

/// What is there of an alert: itself, and those of its rule and key whose episodes overlap with its own.
async fn known(tx: &mut Tx, alert: &Alert) -> Result<Vec<Alert>> {
    let stands = "a.state NOT IN ('retracted', 'merged')";
    let own = Query::new(COLUMNS).and("a.alert_id = ?", [alert.alert_id.into()]).and(stands, []);
    let overlapping = Query::new(COLUMNS)
        .and("a.key_digest = ?", [key_digest(alert).into()])
        .and("a.at <= ? AND a.last_event_at >= ?", [alert.last_event_at.into(), alert.at.into()])
        .and("a.alert_id <> ?", [alert.alert_id.into()])
        .and(stands, []);
    let mut there = Vec::new();
    for query in [own, overlapping] {
        let rows: Vec<Columns> = rows_in_tx!(tx, query);
        for row in rows {
            there.push(stored(row)?.alert);
        }
    }
    Ok(there)
}

/// Whether what was found has all of an episode that is over, and more.
fn is_more(stored: &Alert, found: &Alert) -> bool {
    let extent = |alert: &Alert| (alert.severity, alert.escalations.len(), alert.event_count);
    let ((severity, steps, events), (severity_found, steps_found, events_found)) = (extent(stored), extent(found));
    stored.state == AlertState::Closed
        && found.threshold.total_cmp(&stored.threshold).is_eq()
        && found.window_s == stored.window_s
        && found.at <= stored.at
        && found.last_event_at >= stored.last_event_at
        && (severity_found >= severity && steps_found >= steps && events_found >= events)
        && extent(found) != extent(stored)
}

async fn supersede(tx: &mut Tx, loaded: &[(String, String)]) -> Result<u64> {
    let before: Vec<(String, String)> = in_tx!(tx, c => sqlx::query_as(REVISIONS).fetch_all(c).await?);
    let mut closed = 0;
    let now = tx.now.micros();
    for (rule, revision) in &before {
        if loaded.iter().any(|(id, of)| id == rule && of == revision) {
            continue;
        }
        let open = Query::new(COLUMNS).and("a.state = 'open' AND a.rule_id = ?", [rule.as_str().into()]);
        let open: Vec<Columns> = rows_in_tx!(tx, open);
        closed += run_in_tx!(tx, SUPERSEDE, now, rule);
        for row in open {
            let mut alert = stored(row)?.alert;
            alert.state = AlertState::Superseded;
            alert.revision += 1;
            write::publish(tx, &alert).await?;
        }
        run_in_tx!(tx, FORGET, rule);
    }
    for (rule, revision) in loaded {
        if !before.iter().any(|(id, of)| id == rule && of == revision) {
            run_in_tx!(tx, REMEMBER, rule, revision);
        }
    }
    Ok(closed)
}
