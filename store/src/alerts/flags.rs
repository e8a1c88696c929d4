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
    SET = "UPDATE flagged_activity SET event_id = ?, severity = ?, hidden = ?, flagged_at = ? WHERE alert_id = ?";
    ADD = "INSERT INTO flagged_activity (alert_id, event_id, user_id, username, session_id, severity, hidden, \
           flagged_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
}

/// Brings the flag of an alert up to date. Whose flag it is, is who did what crossed.
pub(crate) async fn write(
    tx: &mut Tx,
    alert: &Alert,
    subjects: &Subjects,
    events: &HashMap<Uuid, Activity>,
) -> Result<()> {
    if alert.severity == Severity::Informational {
        return Ok(());
    }
    let hidden = i64::from(alert.suppressed || is_void(alert.state));
    let (event, of, at) = (id_bytes(alert.crossing_event), id_bytes(alert.alert_id), alert.at.micros());
    if run_in_tx!(tx, SET, event.clone(), rank(alert.severity), hidden, at, of.clone()) > 0 {
        return Ok(());
    }
    let crossing = events.get(&alert.crossing_event);
    let named = crossing.and_then(|activity| activity.user.as_deref()).map(|user| clipped(user, 255));
    let key = named.as_deref().map(username_key);
    let subject = key.as_ref().and_then(|key| subjects.get(key)).or_else(|| subjects.values().next());
    let user_id = crossing.and_then(|activity| activity.user_id).or_else(|| subject.and_then(|who| who.user_id));
    let username = named.or_else(|| subject.map(|who| who.username.clone()));
    let session = crossing.and_then(|activity| activity.session_id.as_deref()).map(|session| clipped(session, 255));
    let session = session.or_else(|| subject.and_then(|who| who.session_id.clone()));
    run_in_tx!(tx, ADD, of, event, user_id, username, session, rank(alert.severity), hidden, at);
    Ok(())
}
