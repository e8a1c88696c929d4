//! What the tests of this suite put in.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::{Activity, Alert, AlertState, Escalation, MINUTE, Severity, Timestamp, Topic, ids};
use store::{AlertFilter, Change, Detected, DetectionBatch, IngestRecord, Ingested, Move, Store};
use uuid::Uuid;

use crate::harness::{Ground, START};

/// `minutes` after the start of the test.
pub(crate) fn at(minutes: i64) -> Timestamp {
    Timestamp::parse(START).expect("time").plus(minutes * MINUTE)
}

/// Activity `n` of a user: an id, a time in minutes, an action.
pub(crate) fn activity(n: u128, minutes: i64, user: &str, action: &str) -> Activity {
    let mut activity = Activity::new(Uuid::from_u128(n), action, at(minutes));
    activity.user = Some(user.to_owned());
    activity.user_id = Some(i64::from(user.as_bytes()[0]));
    activity.session_id = Some(format!("session of {user}"));
    activity.source_ip = Some("192.0.2.1".parse().expect("address"));
    activity.resource = Some(format!("inventory/{n}"));
    activity
}

/// Activities as ingest reads them, from position `first` on.
pub(crate) fn records(first: i64, activities: &[Activity]) -> Arc<[IngestRecord]> {
    let record = |(seq, activity): (i64, &Activity)| IngestRecord::Activity {
        seq,
        activity: Box::new(activity.clone()),
        payload: activity.to_json(),
    };
    (first..).zip(activities).map(record).collect()
}

/// Stores activities at the place where ingest's offset stands.
pub(crate) async fn ingest(store: &Store, activities: &[Activity]) -> Ingested {
    let offset = store.offset(store::INGEST).await.expect("offset");
    let next = offset + i64::try_from(activities.len()).expect("count");
    store.apply_ingest(Move::journal(offset, next), records(offset + 1, activities)).await.expect("ingested")
}

/// An alert of a user that crossed with activity `event`, minutes after the start.
pub(crate) fn alert(n: u128, user: &str, severity: Severity, event: u128, minutes: i64) -> Alert {
    Alert {
        alert_id: ids::derived(&[b"test alert", &n.to_be_bytes()]),
        at: at(minutes),
        rule: format!("Rule {n}"),
        rule_id: format!("rule-{n}"),
        family: format!("family-{n}"),
        severity,
        risk: severity.points(),
        techniques: vec!["T1119".to_owned()],
        user: Some(user.to_owned()),
        ip: None,
        session: None,
        key: BTreeMap::from([("user".to_owned(), user.to_owned())]),
        observed: 3.0,
        threshold: 3.0,
        window_s: 60,
        first_event_at: at(minutes),
        last_event_at: at(minutes),
        event_ids: vec![Uuid::from_u128(event)],
        baseline: None,
        explanation: format!("{user} did it"),
        escalations: Vec::new(),
        state: AlertState::Open,
        merged_into: None,
        event_count: 3,
        revision: 1,
        status: "new".to_owned(),
        verdict: None,
        suppressed: false,
        found_by: "live".to_owned(),
        crossing_event: Uuid::from_u128(event),
    }
}

/// The alert after it rose at a time.
pub(crate) fn raised(mut alert: Alert, severity: Severity, minutes: i64) -> Alert {
    alert.severity = severity;
    alert.risk = severity.points();
    alert.last_event_at = at(minutes);
    alert.observed = 6.0;
    alert.escalations.push(Escalation { at: at(minutes), severity, observed: 6.0 });
    alert
}

/// A change whose rule opens alerts with a severity.
pub(crate) fn change(alert: Alert, opened_as: Severity) -> Change {
    Change { alert, opened_as, opened_points: opened_as.points(), mute_after_close: 0 }
}

/// Stores alerts, each opened with the severity that it has, and moves the detector's offset by one.
pub(crate) async fn detect(ground: &Ground, alerts: Vec<Alert>) -> Detected {
    let changes = alerts.into_iter().map(|alert| change(alert.clone(), alert.severity)).collect();
    detect_changes(ground, changes).await
}

/// Stores changes and moves the detector's offset by one.
pub(crate) async fn detect_changes(ground: &Ground, changes: Vec<Change>) -> Detected {
    let expected = ground.store.offset(store::DETECTOR).await.expect("offset");
    let batch = DetectionBatch { step: Move::journal(expected, expected + 1), changes, ..DetectionBatch::default() };
    ground.store.apply_detection(batch).await.expect("stored")
}

/// The alerts that a list shows.
pub(crate) async fn listed(ground: &Ground) -> Vec<Alert> {
    let rows = ground.store.alerts(AlertFilter { limit: 100, ..AlertFilter::default() }).await.expect("alerts");
    rows.into_iter().map(|row| row.alert).collect()
}

/// Revisions in the log, in order.
pub(crate) async fn published(ground: &Ground) -> Vec<Alert> {
    let rows = ground.store.journal_page(0, 1_000).await.expect("journal");
    let alerts = rows.iter().filter(|row| row.topic == Topic::Alerts);
    alerts.map(|row| serde_json::from_str(&row.payload).expect("alert")).collect()
}
