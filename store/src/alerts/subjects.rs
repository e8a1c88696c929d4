//! Whom an alert counts for.
//!
//! An alert with a user counts for that user; one of a session for the user of the event that crossed. One of a source
//! address counts for a user only if one of its events is that user's success: being guessed at is no sign against the
//! one who is guessed at. The events are looked up where they are, in the journal or in
//! `user_logs`: the detector has read them, so they are in one of the two.

use std::collections::{BTreeMap, HashMap};

use domain::{Activity, Alert, Outcome, username_key};
use uuid::Uuid;

use crate::Result;
use crate::by_id::payloads;
use crate::db::{Tx, in_tx};
use crate::query::run_in_tx;
use crate::query::{clipped, id};
use crate::sql::{chunks, id_bytes, lists, statements};

statements! {
    ADD = "INSERT INTO alert_subjects (alert_id, user_key, username, user_id, session_id) VALUES (?, ?, ?, ?, ?)";
    CLEAR = "DELETE FROM alert_subjects WHERE alert_id = ?";
    KNOWN = "SELECT user_id, username FROM users WHERE username_key = ?";
}

lists! {
    OF = "SELECT alert_id, user_key, username, user_id, session_id FROM alert_subjects WHERE alert_id IN (", "?", ")";
}

/// A user for whom an alert counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) username: String,
    pub(crate) user_id: Option<i64>,
    pub(crate) session_id: Option<String>,
}

/// Subjects by canonical name, in name order: locks are taken in it.
pub(crate) type Subjects = BTreeMap<String, Subject>;

/// The activities of these ids that are in the journal or stored.
pub(crate) async fn activities(tx: &mut Tx, ids: &[Uuid]) -> Result<HashMap<Uuid, Activity>> {
    let found = payloads(tx, ids).await?.into_iter();
    Ok(found.filter_map(|(id, payload)| Some((id, Activity::from_json(&payload).ok()?))).collect())
}

/// Which events have to be known to say whom an alert counts for.
pub(crate) fn evidence(alert: &Alert) -> Vec<Uuid> {
    let mut ids = vec![alert.crossing_event];
    if alert.user.is_none() && alert.ip.is_some() {
        ids.extend(alert.event_ids.iter().filter(|id| **id != alert.crossing_event));
    }
    ids
}

/// Whom an alert counts for, by its events.
pub(crate) async fn resolve(tx: &mut Tx, alert: &Alert, events: &HashMap<Uuid, Activity>) -> Result<Subjects> {
    let crossing = events.get(&alert.crossing_event);
    let mut subjects = Subjects::new();
    if let Some(user) = &alert.user {
        let key = clipped(&username_key(user), 255);
        let same = |activity: &&Activity| activity.user.as_deref().is_some_and(|user| username_key(user) == key);
        let subject = match crossing.filter(same) {
            Some(activity) => of_activity(activity),
            None => Subject { username: clipped(user, 255), user_id: None, session_id: alert.session.clone() },
        };
        subjects.insert(key, subject);
    } else if alert.ip.is_some() {
        for event in &alert.event_ids {
            let Some(activity) = events.get(event) else { continue };
            // A report of a failed log-in may leave its outcome out, and then it says success.
            if activity.outcome == Outcome::Success && activity.action != "LoginFailed" {
                add(&mut subjects, activity);
            }
        }
    } else if let Some(activity) = crossing.filter(|_| alert.session.is_some()) {
        add(&mut subjects, activity);
    }
    for (key, subject) in &mut subjects {
        if subject.user_id.is_none() {
            let known: Option<(i64, String)> =
                in_tx!(tx, c => sqlx::query_as(KNOWN).bind(key).fetch_optional(c).await?);
            subject.user_id = known.map(|(user_id, _)| user_id);
        }
    }
    Ok(subjects)
}

fn of_activity(activity: &Activity) -> Subject {
    Subject {
        username: activity.user.as_deref().map(|user| clipped(user, 255)).unwrap_or_default(),
        user_id: activity.user_id,
        session_id: activity.session_id.as_deref().map(|session| clipped(session, 255)),
    }
}

fn add(subjects: &mut Subjects, activity: &Activity) {
    if let Some(user) = &activity.user {
        subjects.entry(clipped(&username_key(user), 255)).or_insert_with(|| of_activity(activity));
    }
}

/// A row of `OF`.
type Columns = (Vec<u8>, String, String, Option<i64>, Option<String>);

/// The subjects of some alerts as stored.
pub(crate) async fn stored(tx: &mut Tx, alerts: &[Uuid]) -> Result<HashMap<Uuid, Subjects>> {
    let mut found: HashMap<Uuid, Subjects> = HashMap::new();
    for piece in chunks(alerts) {
        let rows: Vec<Columns> = in_tx!(tx, c => {
            let query = sqlx::query_as(OF.of(piece.len()));
            piece.iter().fold(query, |query, alert| query.bind(id_bytes(*alert))).fetch_all(c).await?
        });
        for (alert, key, username, user_id, session_id) in rows {
            found.entry(id(&alert)?).or_default().insert(key, Subject { username, user_id, session_id });
        }
    }
    Ok(found)
}

/// Removes the stored subjects.
pub(crate) async fn clear(tx: &mut Tx, alert: Uuid) -> Result<()> {
    run_in_tx!(tx, CLEAR, id_bytes(alert));
    Ok(())
}

/// Adds subjects; none of them may be there.
pub(crate) async fn add_all(tx: &mut Tx, alert: Uuid, subjects: &Subjects) -> Result<()> {
    for (key, subject) in subjects {
        let Subject { username, user_id, session_id } = subject;
        run_in_tx!(tx, ADD, id_bytes(alert), key, username, *user_id, session_id);
    }
    Ok(())
}
