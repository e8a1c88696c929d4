//! Scores and flags as clients see them.
//!
//! The old page shows what it finds under `std_pct`, `deviation_pct`, `causes` and `findings`, so these are there in
//! exactly its types or not at all.

use domain::{Severity, Timestamp, risk_level};
use serde::Serialize;
use serde_json::{Value, json};
use store::{Finding, FlagRow, ScoreRow};
use uuid::Uuid;

use crate::words::{self, RiskLevel, RoleName, TriageStatus, Verdict};

/// Two decimals.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// One rule's share in a score.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(example = Share::example)]
pub(crate) struct Share {
    /// The rule's title.
    name: String,
    description: String,
    /// What it added to the score after those before it.
    points: f64,
    /// Its points after the fall that time brings.
    weight: f64,
    alert_id: Uuid,
    rule_id: String,
    #[schema(value_type = words::Severity)]
    severity: Severity,
    /// MITRE ATT&CK.
    techniques: Vec<String>,
}

impl Share {
    /// A share, for the OpenAPI document.
    pub(super) fn example() -> Value {
        json!({
            "name": "Rapid deletions", "description": "24 actions in 60 s", "points": 47.0, "weight": 47.0,
            "alert_id": "7d1f8a52-90c1-5c56-9f0e-2f8f3a6d5b11", "rule_id": "5f0c1f9e-3c55-4a5e-9d2c-9f5f3c1d0a02",
            "severity": "Medium", "techniques": ["T1485"]
        })
    }

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
struct Compared {
    deviation_pct: Option<f64>,
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
#[schema(example = Score::example)]
pub(crate) struct Score {
    score_id: i64,
    #[schema(required)]
    user_id: Option<i64>,
    username: String,
    #[schema(required, value_type = Option<RoleName>)]
    role_name: Option<&'static str>,
    #[schema(required)]
    session_id: Option<String>,
    /// 0 to 100, with two decimals.
    risk_score: f64,
    #[schema(value_type = RiskLevel)]
    risk_level: &'static str,
    /// What this step added.
    added: f64,
    explanation: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    alert_id: Uuid,
    step: i64,
    /// `null` until the event is in the log.
    #[schema(required)]
    last_analyzed_log_id: Option<i64>,
    /// One for each rule that contributed.
    findings: Vec<Share>,
    /// How far off the usual, in percent of it; this and what follows only where a baseline was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    deviation_pct: Option<f64>,
    /// The usual spread, in percent of the usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    std_pct: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    causes: Option<Vec<String>>,
    /// What the observation was compared with: n, median, spread.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, required = false)]
    baseline: Option<Value>,
}

impl Score {
    /// A score, for the OpenAPI document.
    pub(super) fn example() -> Value {
        json!({
            "score_id": 12, "user_id": 6, "username": "ann", "role_name": "Employee",
            "session_id": "bm90IGEgc2Vzc2lvbg", "risk_score": 47.0, "risk_level": "Medium Alert", "added": 47.0,
            "explanation": "Rapid deletions [T1485]: 24 actions in 60 s (+47 pts)",
            "created_at": "2026-03-01T08:15:00.000000Z", "alert_id": "7d1f8a52-90c1-5c56-9f0e-2f8f3a6d5b11", "step": 0,
            "last_analyzed_log_id": 1042, "findings": [Share::example()]
        })
    }
}

impl From<ScoreRow> for Score {
    fn from(row: ScoreRow) -> Self {
        let compared = row.baseline.map(|baseline| Compared::new(row.observed, baseline));
        let (deviation_pct, std_pct, causes, baseline) = match compared {
            Some(with) => (with.deviation_pct, with.std_pct, Some(with.causes), Some(with.baseline)),
            None => (None, None, None, None),
        };
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
            deviation_pct,
            std_pct,
            causes,
            baseline,
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
#[schema(example = json!({
    "flag_id": 5, "log_id": 1042, "event_id": "019ca8a4-7a4c-7c31-8b4e-5d2f9a6c1e07", "user_id": 6, "username": "ann",
    "session_id": "bm90IGEgc2Vzc2lvbg", "rule": "Rapid deletions", "rule_id": "5f0c1f9e-3c55-4a5e-9d2c-9f5f3c1d0a02",
    "reason": "24 events within 60 s by user ann, threshold 5", "severity": "Medium", "status": "open", "verdict": null,
    "alert_id": "7d1f8a52-90c1-5c56-9f0e-2f8f3a6d5b11", "flagged_at": "2026-03-01T08:15:00.000000Z"
}))]
pub(crate) struct Flag {
    flag_id: i64,
    /// `null` until the event is in the log.
    #[schema(required)]
    log_id: Option<i64>,
    event_id: Uuid,
    #[schema(required)]
    user_id: Option<i64>,
    #[schema(required)]
    username: Option<String>,
    #[schema(required)]
    session_id: Option<String>,
    rule: String,
    rule_id: String,
    reason: String,
    #[schema(value_type = words::Severity)]
    severity: Severity,
    #[schema(value_type = TriageStatus)]
    status: String,
    #[schema(required, value_type = Option<Verdict>)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_baseline_is_told_in_shares_of_the_usual() {
        let compared = Compared::new(Some(30.0), json!({ "n": 20, "median": 12, "mad": 3 }));
        assert_eq!((compared.deviation_pct, compared.std_pct), (Some(150.0), Some(25.0)));
        assert_eq!(compared.causes, ["observed 30, usually 12"]);
    }

    #[test]
    fn what_cannot_be_told_is_absent() {
        let row = |baseline| ScoreRow {
            score_id: 1,
            alert_id: Uuid::nil(),
            step: 0,
            user_id: None,
            username: "ann".to_owned(),
            role_name: None,
            session_id: None,
            risk_score: 21.0,
            added: 21.0,
            explanation: String::new(),
            findings: Vec::new(),
            created_at: Timestamp::default(),
            observed: None,
            baseline,
            last_analyzed_log_id: None,
        };
        let value = serde_json::to_value(Score::from(row(Some(json!({ "n": 0, "median": 0 }))))).unwrap();
        assert!(value.get("deviation_pct").is_none() && value.get("std_pct").is_none());
        assert_eq!(value["causes"], json!([]));
        let value = serde_json::to_value(Score::from(row(None))).unwrap();
        assert!(value.get("causes").is_none() && value.get("baseline").is_none());
    }
}
