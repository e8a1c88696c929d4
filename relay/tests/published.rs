//! What is published is what `docs/schemas` and `docs/asyncapi.yaml` say.

use std::collections::BTreeSet;

use domain::{Activity, Alert, AlertState, Escalation, LogType, Outcome, Severity, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

fn schema(text: &str) -> Value {
    serde_json::from_str(text).expect("a schema")
}

/// The schema knows every member of the object, and each has one of its types or words; what it requires is there.
fn obeys(schema: &Value, object: &Value) {
    let (members, known) = (object.as_object().expect("an object"), schema["properties"].as_object().expect("members"));
    for (name, value) in members {
        let of = known.get(name).unwrap_or_else(|| panic!("{name} is not in the schema"));
        let fits = |kind: &str| match kind {
            "string" => value.is_string(),
            "integer" => value.is_i64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("{name}: {other}"),
        };
        let kind = of.get("type").and_then(Value::as_str);
        assert!(kind.is_none_or(fits), "{name}: {value} is no {kind:?}");
        assert!(of.get("enum").is_none_or(|words| words.as_array().expect("words").contains(value)), "{name}: {value}");
        assert!(of.get("const").is_none_or(|only| only == value), "{name}: {value}");
    }
    for name in schema["required"].as_array().expect("names") {
        assert!(members.contains_key(name.as_str().expect("a name")), "{name} is required");
    }
}

fn names(value: &Value) -> BTreeSet<String> {
    value.as_object().expect("an object").keys().cloned().collect()
}

#[test]
fn activities_are_as_the_schema_says() {
    let schema = schema(include_str!("../../docs/schemas/activity.schema.json"));
    let small = Activity::new(Uuid::from_u128(1), "View", Timestamp::from_micros(1));
    let whole = Activity {
        user: Some("ana".into()),
        user_id: Some(7),
        session_id: Some("s".into()),
        role: Some("Admin".into()),
        records: Some(3),
        reason: Some("bad_password".into()),
        resource: Some("inventory/17".into()),
        outcome: Outcome::Failure,
        source_ip: "192.0.2.7".parse().ok(),
        user_agent: Some("x".into()),
        country: Some("DE".into()),
        log_type: Some(LogType::Auth),
        detail: Some("x".into()),
        page_url: Some("/".into()),
        attributes: json!({"x": 1}).as_object().cloned().unwrap_or_default(),
        request_id: Some("r".into()),
        ..small.clone()
    };
    for activity in [&small, &whole] {
        obeys(&schema, &serde_json::from_str(&activity.to_json()).expect("JSON"));
    }
    let written: Value = serde_json::from_str(&whole.to_json()).expect("JSON");
    assert_eq!(names(&written), names(&schema["properties"]), "and nothing that is never there");
}

#[test]
fn alerts_are_as_the_schema_says() {
    let schema = schema(include_str!("../../docs/schemas/alert.schema.json"));
    let at = Timestamp::from_micros(1);
    let alert = Alert {
        alert_id: Uuid::from_u128(1),
        at,
        rule: "Rule".into(),
        rule_id: "r".into(),
        family: "f".into(),
        severity: Severity::High,
        risk: 47,
        techniques: vec!["T1110".into()],
        user: Some("ana".into()),
        ip: Some("192.0.2.7".into()),
        session: Some("s".into()),
        key: [("user".to_owned(), "ana".to_owned())].into(),
        observed: 5.0,
        threshold: 5.0,
        window_s: 60,
        first_event_at: at,
        last_event_at: at,
        event_ids: vec![Uuid::from_u128(2)],
        baseline: Some(json!({"n": 30})),
        explanation: "5 events".into(),
        escalations: vec![Escalation { at, severity: Severity::High, observed: 10.0 }],
        state: AlertState::Open,
        merged_into: Some(Uuid::from_u128(3)),
        event_count: 5,
        revision: 1,
        status: "open".into(),
        verdict: Some("benign".into()),
        suppressed: false,
        found_by: "live".into(),
        crossing_event: Uuid::from_u128(2),
    };
    let written = serde_json::to_value(&alert).expect("JSON");
    obeys(&schema, &written);
    assert_eq!(names(&written), names(&schema["properties"]));
}
