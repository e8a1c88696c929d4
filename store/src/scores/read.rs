//! Reading scores: rows with their findings, explained.

use std::collections::HashMap;

use domain::{Role, Severity, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::query::{Cursor, Query, hundredths, id, points, rows_in_db};
use crate::scores::Evidence;
use crate::scores::history::{self, Known};
use crate::sql::chunks;
use crate::{Error, Result, Store};

/// The columns of a score, in the order of [`Columns`].
pub(crate) const SELECT: &str = "SELECT s.score_id, s.alert_id, s.step, s.user_id, s.username, u.role_id, s.session_id, \
    s.risk_score, s.added, s.evidence, s.at, \
    (SELECT l.log_id FROM alerts a JOIN user_logs l ON l.event_id = a.crossing_event WHERE a.alert_id = s.alert_id) \
    FROM anomaly_scores s LEFT JOIN users u ON u.user_id = s.user_id";

type Columns =
    (i64, Vec<u8>, i64, Option<i64>, String, Option<i64>, Option<String>, i64, i64, String, i64, Option<i64>);

/// What one alert has to do with a score.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The alert.
    pub alert_id: Uuid,
    /// Its rule.
    pub rule_id: String,
    /// The rule's title.
    pub name: String,
    /// MITRE ATT&CK techniques.
    pub techniques: Vec<String>,
    /// The alert's severity as it stands.
    pub severity: Severity,
    /// What happened, in a sentence without `|`.
    pub description: String,
    /// What it added to the score after those before it; two decimals, and together they are the score.
    pub points: f64,
    /// Its points after the fall.
    pub weight: f64,
}

/// The risk of a user after a step of an alert.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreRow {
    /// Id of the row.
    pub score_id: i64,
    /// The alert.
    pub alert_id: Uuid,
    /// Its step.
    pub step: i64,
    /// The user, where it is one of ours.
    pub user_id: Option<i64>,
    /// The name.
    pub username: String,
    /// The user's present role.
    pub role_name: Option<&'static str>,
    /// In which session it happened.
    pub session_id: Option<String>,
    /// 0–100, two decimals; its level is [`domain::risk_level`].
    pub risk_score: f64,
    /// What the alert added.
    pub added: f64,
    /// The findings in one line: `Title [technique]: detail (+n pts) | …`.
    pub explanation: String,
    /// What the score is made of, in order of time.
    pub findings: Vec<Finding>,
    /// What the alert observed at its highest.
    pub observed: Option<f64>,
    /// What the observation was compared with.
    pub baseline: Option<Value>,
    /// When the step happened.
    pub created_at: Timestamp,
    /// The row of the event that crossed, once ingest has stored it.
    pub last_analyzed_log_id: Option<i64>,
}

/// Which scores. Newest first.
#[derive(Debug, Clone, Default)]
pub struct ScoreFilter {
    /// Of this user.
    pub user_id: Option<i64>,
    /// At least so high.
    pub min_score: Option<f64>,
    /// Lower than this.
    pub below: Option<f64>,
    /// Not before.
    pub since: Timestamp,
    /// At most so many.
    pub limit: i64,
    /// After this row.
    pub cursor: Option<Cursor>,
}

/// The risk of a user at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct UserRisk {
    /// Canonical name.
    pub user_key: String,
    /// 0–100, two decimals.
    pub score: f64,
    /// The time asked for.
    pub as_of: Timestamp,
    /// What it is made of, in order of time.
    pub findings: Vec<Finding>,
}

/// What a finding needs of an alert.
#[derive(Debug, Deserialize)]
pub(crate) struct Found {
    rule: String,
    rule_id: String,
    severity: Severity,
    techniques: Vec<String>,
    explanation: String,
    observed: f64,
    #[serde(default)]
    baseline: Option<Value>,
}

impl Store {
    /// Scores, newest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn anomaly_scores(&self, filter: ScoreFilter) -> Result<Vec<ScoreRow>> {
        let mut query = Query::new(SELECT)
            .and_some("s.user_id = ?", filter.user_id)
            .and("s.at >= ?", [filter.since.into()])
            .and_some("s.risk_score >= ?", filter.min_score.map(hundredths))
            .and_some("s.risk_score < ?", filter.below.map(hundredths));
        if let Some(Cursor { at, id }) = filter.cursor {
            query = query.and("s.at <= ? AND (s.at < ? OR s.score_id < ?)", [at.into(), at.into(), id.into()]);
        }
        rows(self, query.then(" ORDER BY s.at DESC, s.score_id DESC LIMIT ?", [filter.limit.into()])).await
    }

    /// The risk of a user, by canonical name, at a time: what was known then.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn user_risk(&self, user_key: &str, as_of: Timestamp) -> Result<UserRisk> {
        let steps: Vec<history::Columns> = rows_in_db!(self, history::query(user_key, as_of));
        let steps = history::events_by(steps, as_of)?;
        let mut known = Known::default();
        steps.iter().for_each(|step| known.add(step));
        let (risk, evidence) = known.risk(as_of);
        let alerts = found(self, evidence.iter().map(|part| part.alert).collect()).await?;
        let findings = findings(&evidence, &alerts);
        Ok(UserRisk { user_key: user_key.to_owned(), score: risk.score, as_of, findings })
    }
}

/// The highest scores since a moment.
pub(crate) async fn highest(store: &Store, since: Timestamp, min_score: f64, top: i64) -> Result<Vec<ScoreRow>> {
    let query = Query::new(SELECT)
        .and("s.at >= ? AND s.risk_score >= ?", [since.into(), hundredths(min_score).into()])
        .then(" ORDER BY s.risk_score DESC, s.at DESC, s.score_id DESC LIMIT ?", [top.into()]);
    rows(store, query).await
}

/// Score rows with their findings.
pub(crate) async fn rows(store: &Store, query: Query) -> Result<Vec<ScoreRow>> {
    let rows: Vec<Columns> = rows_in_db!(store, query);
    let mut read = Vec::with_capacity(rows.len());
    for row in rows {
        let evidence: Vec<Evidence> = serde_json::from_str(&row.9).map_err(|error| Error::Fault(Box::new(error)))?;
        read.push((id(&row.1)?, evidence, row));
    }
    let ids = read.iter().flat_map(|(alert, evidence, _)| evidence.iter().map(|part| part.alert).chain([*alert]));
    let alerts = found(store, ids.collect()).await?;
    Ok(read.into_iter().map(|(alert, evidence, row)| score(alert, &evidence, row, &alerts)).collect())
}

fn score(alert_id: Uuid, evidence: &[Evidence], row: Columns, alerts: &HashMap<Uuid, Found>) -> ScoreRow {
    let (score_id, _, step, user_id, username, role, session_id, risk_score, added, _, at, log_id) = row;
    let findings = findings(evidence, alerts);
    let own = alerts.get(&alert_id);
    ScoreRow {
        score_id,
        alert_id,
        step,
        user_id,
        username,
        role_name: role.and_then(Role::from_id).map(Role::name),
        session_id,
        risk_score: points(risk_score),
        added: points(added),
        explanation: explanation(&findings),
        findings,
        observed: own.map(|alert| alert.observed),
        baseline: own.and_then(|alert| alert.baseline.clone()),
        created_at: Timestamp::from_micros(at),
        last_analyzed_log_id: log_id,
    }
}

/// The alerts behind findings.
pub(crate) async fn found(store: &Store, mut ids: Vec<Uuid>) -> Result<HashMap<Uuid, Found>> {
    ids.sort_unstable();
    ids.dedup();
    let mut alerts = HashMap::with_capacity(ids.len());
    for piece in chunks(&ids) {
        let query = Query::new("SELECT alert_id, document FROM alerts").and_ids("alert_id IN (", piece);
        let rows: Vec<(Vec<u8>, String)> = rows_in_db!(store, query);
        for (alert, document) in rows {
            let document: Found = serde_json::from_str(&document).map_err(|error| Error::Fault(Box::new(error)))?;
            alerts.insert(id(&alert)?, document);
        }
    }
    Ok(alerts)
}

/// Evidence with the words of its alerts.
pub(crate) fn findings(evidence: &[Evidence], alerts: &HashMap<Uuid, Found>) -> Vec<Finding> {
    let finding = |part: &Evidence| {
        let alert = alerts.get(&part.alert)?;
        Some(Finding {
            alert_id: part.alert,
            rule_id: alert.rule_id.clone(),
            name: one_line(&alert.rule).replace(':', " ").chars().take(80).collect(),
            techniques: alert.techniques.clone(),
            severity: alert.severity,
            description: one_line(&alert.explanation),
            points: part.added,
            weight: part.weight,
        })
    };
    evidence.iter().filter_map(finding).collect()
}

/// `|` parts findings where they stand in one line, so no text may hold one.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '|' {
                '¦'
            } else if c.is_control() {
                ' '
            } else {
                c
            }
        })
        .collect()
}

/// The findings in one line.
pub(crate) fn explanation(findings: &[Finding]) -> String {
    let parts = findings.iter().map(|finding| {
        let techniques = match finding.techniques.as_slice() {
            [] => String::new(),
            some => format!(" [{}]", some.join(", ")),
        };
        format!("{}{techniques}: {} (+{} pts)", finding.name, finding.description, finding.points)
    });
    parts.collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_stand_in_one_line_that_can_be_split_again() {
        let alert = |explanation: &str| Found {
            rule: "Rapid actions".into(),
            rule_id: "r".into(),
            severity: Severity::High,
            techniques: vec!["T1119".into()],
            explanation: explanation.into(),
            observed: 24.0,
            baseline: None,
        };
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let alerts = HashMap::from([(a, alert("24 actions in 60 s")), (b, alert("by a|b:\nc"))]);
        let part = |alert, added| Evidence { alert, points: 73, weight: 73.0, added };
        let findings = findings(&[part(a, 47.0), part(b, 10.7), part(Uuid::nil(), 1.0)], &alerts);
        assert_eq!(
            explanation(&findings),
            "Rapid actions [T1119]: 24 actions in 60 s (+47 pts) | Rapid actions [T1119]: by a¦b: c (+10.7 pts)"
        );
    }
}
