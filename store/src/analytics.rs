//! What the analytics pages show: flags, totals, detections, the highest scores.

use domain::{Severity, Timestamp};
use uuid::Uuid;

use crate::alerts::{rank, severity};
use crate::query::{Cursor, Query, hundredths, id, points, rows_in_db};
use crate::scores::{self, Finding, ScoreRow};
use crate::{Result, ScoreFilter, Store};

/// Score rows that pages show beside totals.
const RECENT: i64 = 10;
/// Hundredths from which a score is a high alert.
const HIGH: i64 = 7_000;

/// Which flags. Newest first.
#[derive(Debug, Clone, Default)]
pub struct FlagFilter {
    /// Of this severity.
    pub severity: Option<Severity>,
    /// Of this user.
    pub user_id: Option<i64>,
    /// Not before.
    pub since: Timestamp,
    /// At most so many.
    pub limit: i64,
    /// After this row.
    pub cursor: Option<Cursor>,
}

/// The flag of an alert at the event that crossed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagRow {
    /// Id of the row.
    pub flag_id: i64,
    /// The event's row, once ingest has stored it.
    pub log_id: Option<i64>,
    /// The event.
    pub event_id: Uuid,
    /// The alert.
    pub alert_id: Uuid,
    /// Who did it, where that is one of our users.
    pub user_id: Option<i64>,
    /// The name.
    pub username: Option<String>,
    /// In which session.
    pub session_id: Option<String>,
    /// The rule's title.
    pub rule: String,
    /// The rule.
    pub rule_id: String,
    /// What happened, in a sentence.
    pub reason: String,
    /// How serious, as the alert stands.
    pub severity: Severity,
    /// Triage.
    pub status: String,
    /// Triage.
    pub verdict: Option<String>,
    /// When it happened.
    pub flagged_at: Timestamp,
}

/// Totals since a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct DashboardStats {
    /// Activities.
    pub total_activities: i64,
    /// Scores of 70 and more.
    pub high_risk_alerts: i64,
    /// Critical flags.
    pub flagged_critical: i64,
    /// High flags.
    pub flagged_high: i64,
    /// The newest ten scores.
    pub recent: Vec<ScoreRow>,
}

/// Totals of one user since a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct RiskProfile {
    /// Mean of the scores, two decimals; 0 where there are none.
    pub average_risk_score: f64,
    /// Number of scores.
    pub total_anomaly_detections: i64,
    /// Number of flags.
    pub total_flagged_activities: i64,
    /// The newest ten scores.
    pub recent: Vec<ScoreRow>,
}

/// What a user's session, or day without one, came to: its latest score.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectionRow {
    /// The same for as long as the session or the day goes on.
    pub detection_id: i64,
    /// The latest score and what it is made of.
    pub score: ScoreRow,
}

impl DetectionRow {
    /// The rules that contributed, each once, in order of time.
    #[must_use]
    pub fn triggered_rules(&self) -> Vec<&str> {
        let mut rules = Vec::new();
        for finding in &self.score.findings {
            if !rules.contains(&finding.name.as_str()) {
                rules.push(finding.name.as_str());
            }
        }
        rules
    }

    /// What the score is made of.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.score.findings
    }
}

/// One of the highest of both kinds.
#[derive(Debug, Clone, PartialEq)]
pub enum TopAnomaly {
    /// A score.
    Score(ScoreRow),
    /// A detection.
    Detection(DetectionRow),
}

impl TopAnomaly {
    /// The score behind it.
    #[must_use]
    pub fn score(&self) -> &ScoreRow {
        match self {
            Self::Score(score) => score,
            Self::Detection(detection) => &detection.score,
        }
    }
}

const FLAGS: &str = "SELECT f.flag_id, l.log_id, f.event_id, f.alert_id, f.user_id, f.username, f.session_id, \
    a.document, f.severity, a.status, a.verdict, f.flagged_at FROM flagged_activity f \
    JOIN alerts a ON a.alert_id = f.alert_id LEFT JOIN user_logs l ON l.event_id = f.event_id";

type Flag = (
    i64,
    Option<i64>,
    Vec<u8>,
    Vec<u8>,
    Option<i64>,
    Option<String>,
    Option<String>,
    String,
    i64,
    String,
    Option<String>,
    i64,
);

impl Store {
    /// Flags, newest first. Those of alerts that no longer hold or are suppressed are left out.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn flagged_activities(&self, filter: FlagFilter) -> Result<Vec<FlagRow>> {
        let mut query = Query::new(FLAGS)
            .and("f.hidden = 0", [])
            .and_some("f.severity = ?", filter.severity.map(rank))
            .and_some("f.user_id = ?", filter.user_id)
            .and("f.flagged_at >= ?", [filter.since.into()]);
        if let Some(Cursor { at, id }) = filter.cursor {
            query = query
                .and("f.flagged_at <= ? AND (f.flagged_at < ? OR f.flag_id < ?)", [at.into(), at.into(), id.into()]);
        }
        let query = query.then(" ORDER BY f.flagged_at DESC, f.flag_id DESC LIMIT ?", [filter.limit.into()]);
        let rows: Vec<Flag> = rows_in_db!(self, query);
        rows.into_iter().map(flag).collect()
    }

    /// Totals since a moment.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn dashboard_stats(&self, since: Timestamp) -> Result<DashboardStats> {
        let activities = self.activity_summary(None, since).await?;
        let high = Query::new("SELECT COUNT(*) FROM anomaly_scores")
            .and("at >= ? AND risk_score >= ?", [since.into(), HIGH.into()]);
        let high: Vec<(i64,)> = rows_in_db!(self, high);
        let flags = Query::new("SELECT severity, COUNT(*) FROM flagged_activity")
            .and("flagged_at >= ? AND hidden = 0 AND severity >= ?", [since.into(), rank(Severity::High).into()])
            .then(" GROUP BY severity", []);
        let flags: Vec<(i64, i64)> = rows_in_db!(self, flags);
        let flagged = |of| flags.iter().filter(|(severity, _)| *severity == rank(of)).map(|(_, n)| n).sum();
        Ok(DashboardStats {
            total_activities: activities.iter().map(|(_, n)| n).sum(),
            high_risk_alerts: high.first().map_or(0, |(n,)| *n),
            flagged_critical: flagged(Severity::Critical),
            flagged_high: flagged(Severity::High),
            recent: self.anomaly_scores(ScoreFilter { since, limit: RECENT, ..ScoreFilter::default() }).await?,
        })
    }

    /// Totals of one user since a moment.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn user_risk_profile(&self, user_id: i64, since: Timestamp) -> Result<RiskProfile> {
        let scores = Query::new("SELECT COUNT(*), CAST(COALESCE(SUM(risk_score), 0) AS SIGNED) FROM anomaly_scores")
            .and("user_id = ? AND at >= ?", [user_id.into(), since.into()]);
        let scores: Vec<(i64, i64)> = rows_in_db!(self, scores);
        let flags = Query::new("SELECT COUNT(*) FROM flagged_activity")
            .and("user_id = ? AND flagged_at >= ? AND hidden = 0", [user_id.into(), since.into()]);
        let flags: Vec<(i64,)> = rows_in_db!(self, flags);
        let (n, sum) = scores.first().copied().unwrap_or_default();
        let filter = ScoreFilter { user_id: Some(user_id), since, limit: RECENT, ..ScoreFilter::default() };
        Ok(RiskProfile {
            // The mean in hundredths, rounded to the nearest.
            average_risk_score: if n == 0 { 0.0 } else { points((sum + n / 2) / n) },
            total_anomaly_detections: n,
            total_flagged_activities: flags.first().map_or(0, |(n,)| *n),
            recent: self.anomaly_scores(filter).await?,
        })
    }

    /// Detections since a moment, highest first. Those without a finding are left out.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn detections(&self, since: Timestamp, top: i64, min_score: f64) -> Result<Vec<DetectionRow>> {
        let query = Query::new("SELECT detection_id, score_id FROM detections")
            .and("detected_at >= ? AND risk_score >= ?", [since.into(), hundredths(min_score).into()])
            .and("findings > 0", [])
            .then(" ORDER BY risk_score DESC, detected_at DESC, detection_id DESC LIMIT ?", [top.into()]);
        let found: Vec<(i64, i64)> = rows_in_db!(self, query);
        let mut scores = std::collections::HashMap::with_capacity(found.len());
        for piece in crate::sql::chunks(&found) {
            let query =
                Query::new(scores::SELECT).and_list("s.score_id IN (", piece.iter().map(|(_, score)| (*score).into()));
            for score in scores::rows(self, query).await? {
                scores.insert(score.score_id, score);
            }
        }
        let row =
            |(detection_id, score): (i64, i64)| Some(DetectionRow { detection_id, score: scores.remove(&score)? });
        Ok(found.into_iter().filter_map(row).collect())
    }

    /// The highest scores and detections since a moment, together.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn top_anomalies(&self, since: Timestamp, top: i64, min_score: f64) -> Result<Vec<TopAnomaly>> {
        let scores = scores::highest(self, since, min_score, top).await?;
        let detections = self.detections(since, top, min_score).await?;
        let mut both: Vec<TopAnomaly> = scores.into_iter().map(TopAnomaly::Score).collect();
        both.extend(detections.into_iter().map(TopAnomaly::Detection));
        let order = |anomaly: &TopAnomaly| (hundredths(anomaly.score().risk_score), anomaly.score().created_at);
        both.sort_by_key(|anomaly| std::cmp::Reverse(order(anomaly)));
        both.truncate(usize::try_from(top).unwrap_or(0));
        Ok(both)
    }
}

fn flag(row: Flag) -> Result<FlagRow> {
    #[derive(serde::Deserialize)]
    struct Words {
        rule: String,
        rule_id: String,
        explanation: String,
    }
    let (flag_id, log_id, event, alert, user_id, username, session_id, document, rank, status, verdict, at) = row;
    let words: Words = serde_json::from_str(&document).map_err(|error| crate::Error::Fault(Box::new(error)))?;
    Ok(FlagRow {
        flag_id,
        log_id,
        event_id: id(&event)?,
        alert_id: id(&alert)?,
        user_id,
        username,
        session_id,
        rule: words.rule,
        rule_id: words.rule_id,
        reason: words.explanation,
        severity: severity(rank),
        status,
        verdict,
        flagged_at: Timestamp::from_micros(at),
    })
}
