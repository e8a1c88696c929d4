//! The flag of an alert: one row at the event that crossed. Signals have none.

use std::collections::HashMap;

use domain::{Activity, Alert, Severity, username_key};
use uuid::Uuid;

use crate::Result;
use crate::alerts::subjects::Subjects;
use crate::alerts::{is_void, rank};
use crate::db::Tx;
use crate::query::{clipped, run_in_tx};
use crate::sql::{id_bytes, statements};

statements! {
    SET = "UPDATE flagged_activity SET severity = ?, hidden = ? WHERE alert_id = ?";
    MOVE = "UPDATE flagged_activity SET event_id = ?, user_id = ?, username = ?, session_id = ?, severity = ?, hidden = ?, \
            flagged_at = ? WHERE alert_id = ?";
    ADD = "INSERT INTO flagged_activity (event_id, user_id, username, session_id, severity, hidden, flagged_at, \
           alert_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
}

/// What of a flag is out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stale {
    /// There is none.
    Missing,
    /// It stands at another event.
    Moved,
    /// How serious it is, or whether it is shown.
    Look,
}

/// Brings the flag of an alert up to date. Whose flag it is, is who did what crossed.
pub(crate) async fn write(
    tx: &mut Tx,
    alert: &Alert,
    stale: Stale,
    subjects: &Subjects,
    events: &HashMap<Uuid, Activity>,
) -> Result<()> {
    if alert.severity == Severity::Informational {
        return Ok(());
    }
    let hidden = i64::from(alert.suppressed || is_void(alert.state));
    let of = id_bytes(alert.alert_id);
    if stale == Stale::Look {
        run_in_tx!(tx, SET, rank(alert.severity), hidden, of);
        return Ok(());
    }
    let crossing = events.get(&alert.crossing_event);
    let named = crossing.and_then(|activity| activity.user.as_deref()).map(|user| clipped(user, 255));
    let key = named.as_deref().map(username_key);
    let subject = match &key {
        Some(key) => subjects.get(key),
        None => subjects.values().next(),
    };
    let user_id = crossing.and_then(|activity| activity.user_id).or_else(|| subject.and_then(|who| who.user_id));
    let username = named.or_else(|| subject.map(|who| who.username.clone()));
    let session = crossing.and_then(|activity| activity.session_id.as_deref()).map(|session| clipped(session, 255));
    let session = session.or_else(|| subject.and_then(|who| who.session_id.clone()));
    let event = id_bytes(alert.crossing_event);
    let text = if stale == Stale::Moved { MOVE } else { ADD };
    run_in_tx!(tx, text, event, user_id, username, session, rank(alert.severity), hidden, alert.at.micros(), of);
    Ok(())
}
