//! What the dashboard shows at a glance: the log's newest rows, rules by what they found, the riskiest users, a user's
//! risk over time, activities by the hour.

use std::collections::BTreeMap;

use domain::{DAY, HOUR, Severity, Timestamp};

use crate::alerts::{rank, severity};
use crate::logs::{LogRow, SELECT};
use crate::query::{Query, points, rows_in_db};
use crate::scores::history::{self, Known};
use crate::sql::chunks;
use crate::{Result, Store};

/// Users whose present risk is worked out, of those with the highest stored one: weights only fall, so few are enough.
const CANDIDATES: i64 = 200;
/// After so long without an alert a user's risk is a sixteenth of what it was.
const RISKY: i64 = 28 * DAY;

/// What one rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleStats {
    /// Its id.
    pub rule_id: String,
    /// Alerts that hold, signals among them; suppressed ones are not.
    pub alerts: i64,
    /// Of these, signals (informational), which are never in the queue.
    pub signals: i64,
    /// Alerts that nobody has closed.
    pub open: i64,
    /// Judged true.
    pub true_positives: i64,
    /// Judged false.
    pub false_positives: i64,
    /// Judged harmless.
    pub benign: i64,
    /// Kept out of the queue by an exception or a verdict.
    pub suppressed: i64,
    /// When it fired last.
    pub last_at: Timestamp,
}

/// A user with a risk.
#[derive(Debug, Clone, PartialEq)]
pub struct RiskyUser {
    /// Canonical name.
    pub user_key: String,
    /// The name.
    pub username: String,
    /// The user, where it is one of ours.
    pub user_id: Option<i64>,
    /// The risk when it changed last, 0–100; it has fallen since.
    pub score: f64,
    /// When that was.
    pub at: Timestamp,
}

impl Store {
    /// The ids of the rows that were stored after the one with id `floor`, rising; at most `limit`, the newest. On
    /// MySQL a lower id can be committed later: whoever follows there keeps looking below what it has seen.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn log_ids_after(&self, floor: i64, limit: i64) -> Result<Vec<i64>> {
        let query = Query::new("SELECT log_id FROM user_logs")
            .and("log_id > ?", [floor.into()])
            .then(" ORDER BY log_id DESC LIMIT ?", [limit.into()]);
        let rows: Vec<(i64,)> = rows_in_db!(self, query);
        Ok(rows.into_iter().rev().map(|(id,)| id).collect())
    }

    /// The id of the newest row; 0 where there is none.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn newest_log_id(&self) -> Result<i64> {
        let rows: Vec<(Option<i64>,)> = rows_in_db!(self, Query::new("SELECT MAX(log_id) FROM user_logs"));
        Ok(rows.first().and_then(|(id,)| *id).unwrap_or(0))
    }

    /// Rows by their ids, rising; those of the kind `system` and reads of logs only where `all` says so.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn logs_by_ids(&self, ids: &[i64], all: bool) -> Result<Vec<LogRow>> {
        let mut rows = Vec::with_capacity(ids.len());
        for piece in chunks(ids) {
            let query = Query::new(SELECT).and_list("l.log_id IN (", piece.iter().map(|id| (*id).into()));
            rows.extend(self.log_rows(query).await?);
        }
        let reads_logs = |row: &LogRow| {
            row.action == "View" && row.resource.as_deref().is_some_and(|of| of == "logs" || of.starts_with("logs/"))
        };
        rows.retain(|row: &LogRow| all || !(row.log_type == "system" || reads_logs(row)));
        rows.sort_by_key(|row| row.log_id);
        Ok(rows)
    }

    /// What each rule found since a moment, as far as it still holds; rules that found nothing are left out.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn rule_stats(&self, since: Timestamp) -> Result<Vec<RuleStats>> {
        let head = "SELECT rule_id, severity, status, COALESCE(verdict, ''), suppressed, COUNT(*), MAX(at) FROM alerts";
        let query = Query::new(head)
            .and("at >= ? AND state NOT IN ('retracted', 'merged')", [since.into()])
            .then(" GROUP BY rule_id, severity, status, verdict, suppressed", []);
        let rows: Vec<(String, i64, String, String, i64, i64, i64)> = rows_in_db!(self, query);
        let mut all: BTreeMap<String, RuleStats> = BTreeMap::new();
        for (rule_id, rank, status, verdict, suppressed, n, at) in rows {
            let stats = all.entry(rule_id.clone()).or_insert_with(|| RuleStats::none(rule_id));
            stats.last_at = stats.last_at.max(Timestamp::from_micros(at));
            if suppressed != 0 {
                stats.suppressed += n;
                continue;
            }
            stats.alerts += n;
            if rank == 0 {
                stats.signals += n;
            } else if status != "closed" {
                stats.open += n;
            }
            match verdict.as_str() {
                "true_positive" => stats.true_positives += n,
                "false_positive" => stats.false_positives += n,
                "benign" => stats.benign += n,
                _ => {}
            }
        }
        Ok(all.into_values().collect())
    }

    /// Alerts in the queue that nobody has closed, by severity.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn open_alerts(&self) -> Result<Vec<(Severity, i64)>> {
        let query = Query::new("SELECT severity, COUNT(*) FROM alerts")
            .and("severity > ? AND suppressed = 0", [rank(Severity::Informational).into()])
            .and("status IN ('open', 'acknowledged') AND state NOT IN ('retracted', 'merged')", [])
            .then(" GROUP BY severity ORDER BY severity DESC", []);
        let rows: Vec<(i64, i64)> = rows_in_db!(self, query);
        Ok(rows.into_iter().map(|(of, n)| (severity(of), n)).collect())
    }

    /// Activities by the hour of event time, since the hour of a moment; hours without any are left out.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn activity_by_hour(&self, since: Timestamp) -> Result<Vec<(Timestamp, i64)>> {
        let first = since.micros().div_euclid(HOUR) * HOUR;
        let query = Query::new("SELECT hour, CAST(SUM(n) AS SIGNED) FROM activity_by_hour")
            .and("hour >= ?", [first.into()])
            .then(" GROUP BY hour ORDER BY hour", []);
        let rows: Vec<(i64, i64)> = rows_in_db!(self, query);
        Ok(rows.into_iter().map(|(hour, n)| (Timestamp::from_micros(hour), n)).collect())
    }

    /// Activities of the log that happened since a moment.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn count_logs_since(&self, since: Timestamp) -> Result<i64> {
        let query = Query::new("SELECT COUNT(*) FROM user_logs").and("occurred_at >= ?", [since.into()]);
        let rows: Vec<(i64,)> = rows_in_db!(self, query);
        Ok(rows.first().map_or(0, |(n,)| *n))
    }

    /// Sessions that are neither ended nor expired.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn count_live_sessions(&self, now: Timestamp) -> Result<i64> {
        let query =
            Query::new("SELECT COUNT(*) FROM auth_sessions").and("expires_at > ? AND ended_at IS NULL", [now.into()]);
        let rows: Vec<(i64,)> = rows_in_db!(self, query);
        Ok(rows.first().map_or(0, |(n,)| *n))
    }

    /// The users whose risk is highest as stored, fallen to `now` as a single alert would have fallen: an order to ask
    /// [`user_risk`](Self::user_risk) in, which knows exactly.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn risky_users(&self, now: Timestamp, limit: usize) -> Result<Vec<RiskyUser>> {
        let query = Query::new("SELECT user_key, username, user_id, score, at FROM user_risk")
            .and("score > 0 AND at >= ?", [now.plus(-RISKY).into()])
            .then(" ORDER BY score DESC, at DESC, user_key LIMIT ?", [CANDIDATES.into()]);
        let rows: Vec<(String, String, Option<i64>, i64, i64)> = rows_in_db!(self, query);
        let read = |(user_key, username, user_id, score, at)| {
            let (score, at) = (points(score), Timestamp::from_micros(at));
            let user = RiskyUser { user_key, username, user_id, score, at };
            #[expect(clippy::cast_precision_loss, reason = "a share of a week needs no microseconds")]
            let halves = now.since(user.at).max(0) as f64 / domain::risk::HALF_LIFE as f64;
            (user.score * (-halves).exp2(), user)
        };
        let mut users: Vec<(f64, RiskyUser)> = rows.into_iter().map(read).collect();
        users.sort_by(|a, b| b.0.total_cmp(&a.0));
        Ok(users.into_iter().take(limit).map(|(_, user)| user).collect())
    }

    /// The risk of a user, by canonical name, over a span: at even steps and at every alert that raised it.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn user_risk_history(
        &self,
        user_key: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Timestamp, f64)>> {
        let rows: Vec<history::Columns> = rows_in_db!(self, history::query(user_key, from));
        let steps = history::events_by(rows, to)?;
        let moments = moments(&steps, from, to);
        let work = move || {
            let mut known = Known::default();
            let mut rest = steps.iter().peekable();
            let at = |moment: Timestamp| {
                while let Some(step) = rest.next_if(|step| step.at <= moment) {
                    known.add(step);
                }
                (moment, known.risk(moment).0.score)
            };
            moments.into_iter().map(at).collect()
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| crate::Error::Fault(Box::new(error)))
    }
}

impl RuleStats {
    fn none(rule_id: String) -> Self {
        Self {
            rule_id,
            alerts: 0,
            signals: 0,
            open: 0,
            true_positives: 0,
            false_positives: 0,
            benign: 0,
            suppressed: 0,
            last_at: Timestamp::MIN,
        }
    }
}

/// When to work a user's risk out. Each time costs the square of the alerts that count, so whoever has thousands gets a
/// coarser line.
fn moments(steps: &[history::Event], from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    let count = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    let even = (20_000_000 / count.saturating_mul(count).max(1)).clamp(12, 96);
    let span = to.since(from).max(0);
    let mut moments: Vec<Timestamp> = (0..=even).map(|n| from.plus(span / even * n)).collect();
    let jumps = steps.iter().rev().filter(|step| step.severity > 0 && step.at > from && step.at <= to);
    for step in jumps.take(usize::try_from(even).unwrap_or(0)) {
        // Just before as well, so that a line goes up where the alert came and not slowly until then.
        moments.extend([step.at.plus(-1), step.at]);
    }
    moments.push(to);
    moments.sort_unstable();
    moments.dedup();
    moments
}
