//! How an alert came to its present state: opened, escalated, taken back, come out from behind an exception, judged. Risk
//! is a function of these.

use std::collections::HashMap;

use domain::{Alert, Severity, Timestamp};
use uuid::Uuid;

use crate::Result;
use crate::alerts::{Change, is_void, rank, severity};
use crate::db::{Tx, in_tx};
use crate::query::{id, run_in_tx};
use crate::sql::{chunks, id_bytes, lists, statements};

statements! {
    PUT = "INSERT INTO alert_steps (alert_id, step, kind, at, severity, points, observed, event_id) \
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    DROP = "DELETE FROM alert_steps WHERE alert_id = ? AND step = ?";
}

lists! {
    OF = "SELECT alert_id, step, kind, at, severity, points, observed, event_id FROM alert_steps WHERE alert_id IN (",
        "?", ") ORDER BY step";
}

/// The step by which an alert is taken back; escalations stay far below it, verdicts count on from [`JUDGED`]. The engine
/// knows no steps above it.
pub(crate) const TAKEN_BACK: i64 = 1_000;
/// The step by which an alert that an exception kept out came into the queue: nothing of it counts for anybody before.
pub(crate) const CAME_OUT: i64 = 1_500;
/// The first verdict's step.
pub(crate) const JUDGED: i64 = 2_000;

/// A row of `OF`.
type Columns = (Vec<u8>, i64, String, i64, i64, i64, f64, Option<Vec<u8>>);

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) step: i64,
    pub(crate) kind: String,
    pub(crate) at: Timestamp,
    pub(crate) severity: Severity,
    /// What the alert counts from then on.
    pub(crate) points: i64,
    pub(crate) observed: f64,
    pub(crate) event: Option<Uuid>,
}

/// The steps that the engine's account of an alert amounts to.
pub(crate) fn of_change(change: &Change, now: Timestamp) -> Vec<Step> {
    let alert = &change.alert;
    // An alert holds its present points; it began with those of its rule, and in between it is worth what its severity
    // of then is worth.
    let points = |of: Severity| {
        if of == alert.severity {
            alert.risk
        } else if of == change.opened_as {
            change.opened_points
        } else {
            change.opened_points.max(alert.risk.min(of.points()))
        }
    };
    let mut steps = vec![Step {
        step: 0,
        kind: "opened".into(),
        at: alert.at,
        severity: change.opened_as,
        points: points(change.opened_as),
        observed: alert.threshold,
        event: Some(alert.crossing_event),
    }];
    for (step, escalation) in (1..TAKEN_BACK).zip(&alert.escalations) {
        steps.push(Step {
            step,
            kind: "escalated".into(),
            at: escalation.at,
            severity: escalation.severity,
            points: points(escalation.severity),
            observed: escalation.observed,
            event: None,
        });
    }
    if is_void(alert.state) {
        // Events may lie a little ahead of our clock: what is taken back is so after everything it came to.
        let last = steps.iter().map(|step| step.at).max().unwrap_or(now);
        steps.push(Step {
            step: TAKEN_BACK,
            kind: alert.state.as_str().into(),
            at: now.max(last),
            severity: alert.severity,
            points: 0,
            observed: alert.observed,
            event: None,
        });
    }
    steps
}

/// That an alert came into the queue which had been kept out of it.
pub(crate) fn came_out(alert: &Alert, now: Timestamp) -> Step {
    Step {
        step: CAME_OUT,
        kind: "came_out".into(),
        at: now,
        severity: alert.severity,
        points: alert.risk,
        observed: alert.observed,
        event: None,
    }
}

/// The steps of some alerts as stored, each alert's in order.
pub(crate) async fn stored(tx: &mut Tx, alerts: &[Uuid]) -> Result<HashMap<Uuid, Vec<Step>>> {
    let mut found: HashMap<Uuid, Vec<Step>> = HashMap::new();
    for piece in chunks(alerts) {
        let rows: Vec<Columns> = in_tx!(tx, c => {
            let query = sqlx::query_as(OF.of(piece.len()));
            piece.iter().fold(query, |query, alert| query.bind(id_bytes(*alert))).fetch_all(c).await?
        });
        for (alert, step, kind, at, rank, points, observed, event) in rows {
            let event = event.as_deref().map(id).transpose()?;
            let (at, severity) = (Timestamp::from_micros(at), severity(rank));
            let step = Step { step, kind, at, severity, points, observed, event };
            found.entry(id(&alert)?).or_default().push(step);
        }
    }
    Ok(found)
}

/// Adds a step; none of that number may be there.
pub(crate) async fn add(tx: &mut Tx, alert: Uuid, step: &Step) -> Result<()> {
    let Step { step, kind, at, severity, points, observed, event } = step;
    let event = event.map(id_bytes);
    run_in_tx!(tx, PUT, id_bytes(alert), *step, kind, at.micros(), rank(*severity), *points, *observed, event);
    Ok(())
}

/// Removes a step.
pub(crate) async fn remove(tx: &mut Tx, alert: Uuid, step: i64) -> Result<()> {
    run_in_tx!(tx, DROP, id_bytes(alert), step);
    Ok(())
}
