//! A row of the journal as messages.
//!
//! Headers are those of CloudEvents 1.0 in binary mode (Kafka protocol binding, §3.2): the body is the activity or the
//! alert as it is, and what a router needs stands beside it.

use bus::kafka::{ACTIVITY, ALERTS, BY_SOURCE, Message};
use domain::{Activity, Alert, JournalRecord, Topic, source_key, trace, user_key};

/// Version of the schema of what is published; what is added within it does not change it.
const SCHEMA: &str = "1";

/// The messages of a row: an activity by user and, where it has an address, by that; a change of an alert by alert.
pub(crate) fn messages(record: JournalRecord) -> Vec<Message> {
    match record.topic {
        Topic::Activity => activity(record.payload),
        Topic::Alerts => vec![alert(record.payload)],
    }
}

fn activity(payload: String) -> Vec<Message> {
    let Ok(activity) = Activity::from_json(&payload) else {
        // Ingest puts it aside, with the reason.
        return vec![Message { topic: ACTIVITY, key: "unreadable".to_owned(), payload, headers: Vec::new() }];
    };
    let id = activity.event_id.to_string();
    let mut headers = headers(id, "security-analytics.activity.v1", activity.occurred_at);
    if let Some(request) = &activity.request_id {
        headers.push(("request_id", request.clone()));
    }
    if let Some(parent) = trace::of(&activity) {
        headers.push((trace::TRACEPARENT, parent.to_owned()));
    }
    let mut messages = Vec::with_capacity(2);
    if let Some(key) = source_key(&activity) {
        messages.push(Message { topic: BY_SOURCE, key, payload: payload.clone(), headers: headers.clone() });
    }
    messages.push(Message { topic: ACTIVITY, key: user_key(&activity), payload, headers });
    messages
}

fn alert(payload: String) -> Message {
    let Ok(alert) = serde_json::from_str::<Alert>(&payload) else {
        return Message { topic: ALERTS, key: "unreadable".to_owned(), payload, headers: Vec::new() };
    };
    let key = alert.alert_id.to_string();
    // Each revision is an event of its own.
    let id = format!("{key}/{}", alert.revision);
    Message { topic: ALERTS, key, payload, headers: headers(id, "security-analytics.alert.v1", alert.last_event_at) }
}

fn headers(id: String, kind: &str, at: domain::Timestamp) -> Vec<(&'static str, String)> {
    vec![
        ("content-type", "application/json".to_owned()),
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", id),
        ("ce_source", "/security-analytics".to_owned()),
        ("ce_type", kind.to_owned()),
        ("ce_time", at.to_string()),
        ("ce_schemaversion", SCHEMA.to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn row(topic: Topic, payload: String) -> JournalRecord {
        JournalRecord { seq: 1, topic, payload, appended_at: Timestamp::MIN }
    }

    #[test]
    fn an_activity_goes_to_its_user_and_to_its_address() {
        let mut activity = Activity::new(Uuid::from_u128(7), "View", Timestamp::from_micros(1));
        activity.user = Some("Ana".to_owned());
        let by_user = messages(row(Topic::Activity, activity.to_json()));
        assert_eq!((by_user.len(), by_user[0].topic, by_user[0].key.as_str()), (1, ACTIVITY, "ana"));
        assert!(by_user[0].headers.contains(&("ce_id", Uuid::from_u128(7).to_string())));
        activity.source_ip = "192.0.2.7".parse().ok();
        let both = messages(row(Topic::Activity, activity.to_json()));
        assert_eq!(
            both.iter().map(|message| (message.topic, message.key.as_str())).collect::<Vec<_>>(),
            [(BY_SOURCE, "192.0.2.7"), (ACTIVITY, "ana")]
        );
        assert_eq!(both[0].payload, activity.to_json());
        assert_eq!(messages(row(Topic::Activity, "{".to_owned()))[0].payload, "{");
    }
}
