//! Scores, flags and detections as clients see them.
//!
//! The old page shows what it finds under `std_pct`, `deviation_pct`, `causes` and `findings`, so these are there in
//! exactly its types or not at all.

use domain::{Severity, Timestamp, risk_level};
use serde::Serialize;
use serde_json::Value;
use store::{DetectionRow, Finding, FlagRow, ScoreRow, TopAnomaly};
use uuid::Uuid;

/// Two decimals.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// One rule's share in a score.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Share {
    name: String,
    description: String,
    points: f64,
    weight: f64,
    alert_id: Uuid,
    rule_id: String,
    #[schema(value_type = String)]
    severity: Severity,
    techniques: Vec<String>,
}

impl Share {
    /// Its rule's id.
    pub(super) fn rule(&self) -> &str {
        &self.rule_id
    }

    /// Its points after the fall.
    pub(super) fn weight(&self) -> f64 {
        self.weight
    }
}

impl From<Finding> for Share {
    fn from(finding: Finding) -> Self {
        Self {
            name: finding.name,
            description: finding.description,
            points: rounded(finding.points),
            weight: rounded(finding.weight),
            alert_id: finding.alert_id,
            rule_id: finding.rule_id,
            severity: finding.severity,
            techniques: finding.techniques,
        }
    }
}

/// What an observation was compared with, where a baseline was used.
#[derive(Serialize)]
struct Compared {
    #[serde(skip_serializing_if = "Option::is_none")]
    deviation_pct: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    std_pct: Option<f64>,
    causes: Vec<String>,
    baseline: Value,
}

impl Compared {
    fn new(observed: Option<f64>, baseline: Value) -> Self {
        let number = |names: &[&str]| names.iter().find_map(|name| baseline.get(name)?.as_f64());
        let middle = number(&["median", "mean"]).filter(|middle| *middle > 0.0);
        let spread = number(&["mad", "spread", "std"]);
        let share = |part: f64| middle.map(|middle| rounded(100.0 * part / middle));
        let causes = match (observed, number(&["median", "mean"])) {
            (Some(observed), Some(middle)) => {
                vec![format!("observed {}, usually {}", rounded(observed), rounded(middle))]
            }
            _ => Vec::new(),
        };
        Self {
            deviation_pct: observed.and_then(|observed| share(observed - middle?)),
            std_pct: spread.and_then(share),
            causes,
            baseline,
        }
    }
}

/// A row of `anomaly_scores`: a user's risk after one step of one alert.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Score {
    score_id: i64,
    user_id: Option<i64>,
    username: String,
    role_name: Option<&'static str>,
    session_id: Option<String>,
    risk_score: f64,
    risk_level: &'static str,
    added: f64,
    explanation: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    alert_id: Uuid,
    step: i64,
    last_analyzed_log_id: Option<i64>,
    findings: Vec<Share>,
    #[serde(flatten)]
    #[schema(value_type = Object)]
    compared: Option<Compared>,
}

impl From<ScoreRow> for Score {
    fn from(row: ScoreRow) -> Self {
        Self {
            score_id: row.score_id,
            user_id: row.user_id,
            username: row.username,
            role_name: row.role_name,
            session_id: row.session_id,
            risk_score: rounded(row.risk_score),
            risk_level: risk_level(row.risk_score),
            added: rounded(row.added),
            explanation: row.explanation,
            created_at: row.created_at,
            alert_id: row.alert_id,
            step: row.step,
            last_analyzed_log_id: row.last_analyzed_log_id,
            findings: row.findings.into_iter().map(Share::from).collect(),
            compared: row.baseline.map(|baseline| Compared::new(row.observed, baseline)),
        }
    }
}

pub(crate) const SCORE_COLUMNS: [&str; 9] = [
    "score_id",
    "user_id",
    "username",
    "role_name",
    "session_id",
    "risk_score",
    "risk_level",
    "explanation",
    "created_at",
];

/// One flag an alert, at the event that crossed.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Flag {
    flag_id: i64,
    log_id: Option<i64>,
    event_id: Uuid,
    user_id: Option<i64>,
    username: Option<String>,
    session_id: Option<String>,
    rule: String,
    rule_id: String,
    reason: String,
    #[schema(value_type = String)]
    severity: Severity,
    status: String,
    verdict: Option<String>,
    alert_id: Uuid,
    #[schema(value_type = String, format = DateTime)]
    flagged_at: Timestamp,
}

impl From<FlagRow> for Flag {
    fn from(row: FlagRow) -> Self {
        Self {
            flag_id: row.flag_id,
            log_id: row.log_id,
            event_id: row.event_id,
            user_id: row.user_id,
            username: row.username,
            session_id: row.session_id,
            rule: row.rule,
            rule_id: row.rule_id,
            reason: row.reason,
            severity: row.severity,
            status: row.status,
            verdict: row.verdict,
            alert_id: row.alert_id,
            flagged_at: row.flagged_at,
        }
    }
}

pub(crate) const FLAG_COLUMNS: [&str; 11] = [
    "flag_id",
    "log_id",
    "event_id",
    "user_id",
    "username",
    "session_id",
    "rule",
    "reason",
    "severity",
    "status",
    "flagged_at",
];

/// All findings of one user's session, or of one user's day without one: its latest score under a name of its own.
#[derive(Serialize)]
pub(crate) struct Detection {
    detection_id: i64,
    triggered_rules: Vec<String>,
    detected_at: Timestamp,
    #[serde(flatten)]
    score: Score,
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

pub(crate) const DETECTION_COLUMNS: [&str; 9] = [
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

/// The highest of both kinds.
#[derive(Serialize)]
pub(crate) struct Top {
    source: &'static str,
    timestamp: Timestamp,
    #[serde(flatten)]
    row: TopRow,
}

#[derive(Serialize)]
#[serde(untagged)]
enum TopRow {
    Score(Score),
    Detection(Detection),
}

impl From<TopAnomaly> for Top {
    fn from(top: TopAnomaly) -> Self {
        match top {
            TopAnomaly::Score(row) => {
                Self { source: "anomaly_score", timestamp: row.created_at, row: TopRow::Score(row.into()) }
            }
            TopAnomaly::Detection(row) => {
                Self { source: "rule_detection", timestamp: row.score.created_at, row: TopRow::Detection(row.into()) }
            }
        }
    }
}

pub(crate) const TOP_COLUMNS: [&str; 9] = [
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_baseline_is_told_in_shares_of_the_usual() {
        let compared = Compared::new(Some(30.0), json!({ "n": 20, "median": 12, "mad": 3 }));
        let value = serde_json::to_value(&compared).unwrap();
        assert_eq!(value["deviation_pct"].as_f64(), Some(150.0));
        assert_eq!(value["std_pct"].as_f64(), Some(25.0));
        assert_eq!(value["causes"], json!(["observed 30, usually 12"]));
    }

    #[test]
    fn what_cannot_be_told_is_absent() {
        let compared = Compared::new(None, json!({ "n": 0, "median": 0 }));
        let value = serde_json::to_value(&compared).unwrap();
        assert!(value.get("deviation_pct").is_none() && value.get("std_pct").is_none());
        assert_eq!(value["causes"], json!([]));
    }
}
