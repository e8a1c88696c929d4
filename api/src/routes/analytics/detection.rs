//! Detections as clients see them: what was found of one session, and the highest of all that was found.

use domain::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use store::{DetectionRow, TopAnomaly};
use utoipa::openapi::{ObjectBuilder, Type};

use super::view::Score;

/// All findings of one user's session, or of one user's day without one: its latest score under a name of its own.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(example = Detection::example)]
pub(super) struct Detection {
    detection_id: i64,
    triggered_rules: Vec<String>,
    #[schema(value_type = String, format = DateTime)]
    detected_at: Timestamp,
    #[serde(flatten)]
    score: Score,
}

impl Detection {
    /// A detection, for the OpenAPI document.
    fn example() -> Value {
        beside_score(json!({
            "detection_id": 3, "triggered_rules": ["Rapid deletions"], "detected_at": "2026-03-01T08:15:00.000000Z"
        }))
    }
}

impl From<DetectionRow> for Detection {
    fn from(row: DetectionRow) -> Self {
        let mut triggered_rules: Vec<String> = Vec::new();
        for finding in &row.score.findings {
            if !triggered_rules.contains(&finding.name) {
                triggered_rules.push(finding.name.clone());
            }
        }
        let detected_at = row.score.created_at;
        Self { detection_id: row.detection_id, triggered_rules, detected_at, score: row.score.into() }
    }
}

pub(super) const DETECTION_COLUMNS: [&str; 9] = [
    "detection_id",
    "user_id",
    "username",
    "session_id",
    "risk_score",
    "risk_level",
    "triggered_rules",
    "explanation",
    "detected_at",
];

/// The highest of both kinds: a score, or a detection, which has the members of a score and three of its own.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = TopAnomaly, example = Top::example)]
pub(super) struct Top {
    #[schema(schema_with = source)]
    source: &'static str,
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detection_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    triggered_rules: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    detected_at: Option<Timestamp>,
    #[serde(flatten)]
    score: Score,
}

fn source() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["anomaly_score", "rule_detection"]))
}

impl Top {
    /// One of them, for the OpenAPI document.
    fn example() -> Value {
        beside_score(json!({ "source": "anomaly_score", "timestamp": "2026-03-01T08:15:00.000000Z" }))
    }
}

impl From<TopAnomaly> for Top {
    fn from(top: TopAnomaly) -> Self {
        match top {
            TopAnomaly::Score(row) => Self {
                source: "anomaly_score",
                timestamp: row.created_at,
                detection_id: None,
                triggered_rules: None,
                detected_at: None,
                score: row.into(),
            },
            TopAnomaly::Detection(row) => {
                let Detection { detection_id, triggered_rules, detected_at, score } = row.into();
                Self {
                    source: "rule_detection",
                    timestamp: detected_at,
                    detection_id: Some(detection_id),
                    triggered_rules: Some(triggered_rules),
                    detected_at: Some(detected_at),
                    score,
                }
            }
        }
    }
}

pub(super) const TOP_COLUMNS: [&str; 9] = [
    "source",
    "timestamp",
    "user_id",
    "username",
    "role_name",
    "session_id",
    "risk_score",
    "risk_level",
    "explanation",
];

/// Some more members beside those of a score.
fn beside_score(members: Value) -> Value {
    let mut whole = Score::example();
    if let (Value::Object(whole), Value::Object(members)) = (&mut whole, members) {
        whole.extend(members);
    }
    whole
}
