//! The members of `domain::Alert`, for the OpenAPI document: the domain knows no HTTP.

use std::collections::BTreeMap;

use domain::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::words::{AlertState, Severity, TriageStatus, Verdict};

/// What a rule found, with its evidence.
#[derive(utoipa::ToSchema)]
#[schema(example = FoundAlert::example)]
#[expect(dead_code, reason = "describes what `domain::Alert` writes")]
pub(crate) struct FoundAlert {
    alert_id: Uuid,
    /// Time of the event that crossed.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The rule's title.
    rule: String,
    rule_id: String,
    /// Alerts of one family within one episode count once for risk.
    family: String,
    severity: Severity,
    /// Points, 0 to 99.
    risk: i64,
    /// MITRE ATT&CK.
    techniques: Vec<String>,
    /// Who; absent where the key does not say.
    #[schema(nullable = false)]
    user: Option<String>,
    /// From where; absent where the key does not say.
    #[schema(nullable = false)]
    ip: Option<String>,
    /// In which session; absent where the key does not say.
    #[schema(nullable = false)]
    session: Option<String>,
    /// What the rule grouped by.
    key: BTreeMap<String, String>,
    /// The highest value.
    observed: f64,
    /// The value from which the rule fires.
    threshold: f64,
    /// Seconds; 0 where one event suffices.
    window_s: i64,
    #[schema(value_type = String, format = DateTime)]
    first_event_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    last_event_at: Timestamp,
    /// Evidence, in event order, at most 256; `event_count` says how many there are.
    event_ids: Vec<Uuid>,
    /// What it was compared with: n, median, spread. Absent where nothing was.
    #[schema(value_type = Object, required = false)]
    baseline: Option<Value>,
    /// What happened, and why it counts.
    explanation: String,
    /// Steps upwards within the episode.
    escalations: Vec<Escalation>,
    state: AlertState,
    /// The alert that took this one in; absent where none did.
    #[schema(value_type = Uuid, required = false)]
    merged_into: Option<Uuid>,
    event_count: i64,
    /// Rises by one with each update.
    revision: i64,
    status: TriageStatus,
    /// Absent until there is one.
    #[schema(value_type = Verdict, required = false)]
    verdict: Option<Verdict>,
    /// An exception or a verdict keeps it out of the queue.
    suppressed: bool,
    /// `live` or `reprocess`.
    found_by: String,
    crossing_event: Uuid,
}

impl FoundAlert {
    /// An alert, for the OpenAPI document.
    pub(super) fn example() -> Value {
        json!({
            "alert_id": "7d1f8a52-90c1-5c56-9f0e-2f8f3a6d5b11", "at": "2026-03-01T08:15:00.000000Z", "rule": "Rapid deletions",
            "rule_id": "5f0c1f9e-3c55-4a5e-9d2c-9f5f3c1d0a02", "family": "destruction", "severity": "Medium", "risk": 47,
            "techniques": ["T1485"], "user": "ann", "key": { "user": "ann" }, "observed": 24, "threshold": 5, "window_s": 60,
            "first_event_at": "2026-03-01T08:14:20.000000Z", "last_event_at": "2026-03-01T08:15:00.000000Z",
            "event_ids": ["019ca8a4-7a4c-7c31-8b4e-5d2f9a6c1e07"],
            "explanation": "24 events within 60 s by user ann, threshold 5",
            "escalations": [{ "at": "2026-03-01T08:15:00.000000Z", "severity": "Medium", "observed": 24 }], "state": "open",
            "event_count": 24, "revision": 3, "status": "open", "suppressed": false, "found_by": "live",
            "crossing_event": "019ca8a4-7a4c-7c31-8b4e-5d2f9a6c1e07"
        })
    }
}

/// A step upwards within one episode.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what `domain::Escalation` writes")]
struct Escalation {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The severity from then on.
    severity: Severity,
    observed: f64,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_members_are_those_of_the_published_schema() {
        let published = include_str!("../../../../docs/schemas/alert.schema.json");
        let published: Value = serde_json::from_str(published).unwrap();
        let ours = serde_json::to_value(FoundAlert::schema()).unwrap();
        let members = |schema: &Value| -> BTreeSet<String> {
            schema["properties"].as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(members(&ours), members(&published));
        let required = |schema: &Value| -> BTreeSet<String> {
            schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(required(&ours), required(&published));
    }
}
