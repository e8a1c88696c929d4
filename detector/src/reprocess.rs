//! Reprocessing: the engine over stored activities, late and imported ones included, and the alerts that are missing.

use std::collections::BTreeMap;

use domain::{Alert, AlertState, Timestamp};
use store::{Change, Cursor, StoredActivity, StoredRange};
use uuid::Uuid;

use crate::engine::Engine;
use crate::sink::change;
use crate::worker::{Parts, WorkerError};

/// Activities of one page.
const PAGE: i64 = 5_000;
/// Alerts of one transaction: a long one would hold up everybody who writes.
const CHUNK: usize = 100;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Activities so far.
    pub events: u64,
    /// The time of the last of them.
    pub at: Timestamp,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reprocessed {
    /// Activities in the range.
    pub events: u64,
    /// Of those: later than the lateness allows.
    pub late: u64,
    /// Alerts and signals found in the range.
    pub found: usize,
    /// Of those: stored now.
    pub new: usize,
    /// Of those: stored before, under this or another id.
    pub known: usize,
    /// Of the known ones: stored now as more than they were.
    pub risen: usize,
    /// The alerts and signals that are new or have risen.
    pub alerts: Vec<Alert>,
}

/// Runs the rules over the activities that happened from `from` to `to`, and stores the alerts that opened there and are
/// missing, or ended as less than they are with what came late. Running it again stores nothing twice. One at a time is
/// the caller's business.
///
/// # Errors
/// The database failed; what was stored so far stays.
pub async fn reprocess(
    parts: &Parts,
    from: Timestamp,
    to: Timestamp,
    mut progress: impl FnMut(Progress),
) -> Result<Reprocessed, WorkerError> {
    let mut engine = Engine::new(parts.rules.clone(), parts.settings.clone());
    let horizon = engine.horizon();
    // What opens in the range is followed to its end.
    let range = StoredRange { from: from.plus(-horizon), to: to.plus(horizon), up_to_seq: None, late: true };
    let mut done = Reprocessed::default();
    let mut found = BTreeMap::new();
    let mut after: Option<Cursor> = None;
    loop {
        let page = parts.store.stored_activities(&range, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.cursor());
        let at = last.activity.occurred_at.min(to);
        for row in page.iter().filter(|row| (from..=to).contains(&row.activity.occurred_at)) {
            done.events += 1;
            done.late += u64::from(row.activity.late);
        }
        engine = feed(engine, page, &mut found).await?;
        progress(Progress { events: done.events, at });
    }
    engine.finish();
    keep(engine.drain(), &mut found);
    let found: Vec<Alert> = found.into_values().filter(|alert| (from..=to).contains(&alert.at)).collect();
    done.found = found.len();
    let changes: Vec<Change> = found.into_iter().filter_map(|alert| change(&parts.rules, alert)).collect();
    for chunk in changes.chunks(CHUNK) {
        let stored = parts.store.store_alerts(chunk.to_vec()).await?;
        done.new += stored.new.len();
        done.known += stored.known;
        done.risen += stored.risen.len();
        for of in stored.new.iter().chain(&stored.risen) {
            done.alerts.extend(parts.store.alert(*of).await?.map(|row| row.alert));
        }
    }
    Ok(done)
}

async fn feed(
    mut engine: Engine,
    page: Vec<StoredActivity>,
    found: &mut BTreeMap<Uuid, Alert>,
) -> Result<Engine, WorkerError> {
    let fed = tokio::task::spawn_blocking(move || {
        for row in &page {
            engine.observe(&row.activity);
        }
        // In event time nothing comes behind what was read; what lies at that very moment may still.
        if let Some(last) = page.last() {
            engine.advance(last.activity.occurred_at.plus(-1));
        }
        let changed = engine.drain();
        (engine, changed)
    });
    let (engine, changed) = fed.await.map_err(|error| WorkerError::Engine(error.to_string()))?;
    keep(changed, found);
    Ok(engine)
}

fn keep(changed: Vec<Alert>, found: &mut BTreeMap<Uuid, Alert>) {
    for mut alert in changed {
        if matches!(alert.state, AlertState::Retracted | AlertState::Merged) {
            found.remove(&alert.alert_id);
        } else {
            alert.found_by = "reprocess".to_owned();
            found.insert(alert.alert_id, alert);
        }
    }
}
