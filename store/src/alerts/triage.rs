//! What people make of alerts. A verdict changes the risk from then on; what was known before stays as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::{Activity, Timestamp};
use uuid::Uuid;

use crate::alerts::write::{Stale, publish};
use crate::alerts::{AlertRow, COLUMNS, Columns, is_void, steps, stored, subjects};
use crate::db::{Tx, in_db};
use crate::query::{Query, rows_in_tx, run_in_tx};
use crate::sql::{id_bytes, statements};
use crate::{Error, Result, Store, scores};

statements! {
    SET = "UPDATE alerts SET status = ?, verdict = ?, verdict_at = ?, reason = ?, assignee = ?, \
           revision = revision + 1, updated_at = ? WHERE alert_id = ? AND revision = ?";
    JUDGED_AT = "SELECT verdict_at FROM alerts WHERE alert_id = ?";
    LOG = "INSERT INTO alert_history (alert_id, at, by_user, status, verdict, reason, assignee) \
           VALUES (?, ?, ?, ?, ?, ?, ?)";
    HISTORY = "SELECT at, by_user, status, verdict, reason, assignee FROM alert_history WHERE alert_id = ? ORDER BY id";
}

/// What is to be changed; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Triage {
    /// `open`, `acknowledged` or `closed`.
    pub status: Option<String>,
    /// `true_positive`, `benign` or `false_positive`.
    pub verdict: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Who looks after it; empty: nobody.
    pub assignee: Option<String>,
    /// Who says so.
    pub by_user: String,
}

/// A row of `HISTORY`.
type History = (i64, String, String, Option<String>, Option<String>, Option<String>);

/// One act of triage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by_user: String,
    /// The status from then on.
    pub status: String,
    /// The verdict from then on.
    pub verdict: Option<String>,
    /// Why, in the words of this act.
    pub reason: Option<String>,
    /// Who looked after it from then on.
    pub assignee: Option<String>,
}

/// What somebody saw of the alerts that are to be changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Seen {
    /// Nothing that matters.
    #[default]
    Any,
    /// Each in this revision.
    Revision(i64),
    /// Some, each in a revision of its own.
    Revisions(BTreeMap<Uuid, i64>),
}

impl Seen {
    fn is_outdated(&self, row: &AlertRow) -> bool {
        let wanted = match self {
            Self::Any => None,
            Self::Revision(revision) => Some(revision),
            Self::Revisions(all) => all.get(&row.alert.alert_id),
        };
        wanted.is_some_and(|wanted| *wanted != row.alert.revision)
    }
}

impl From<Option<i64>> for Seen {
    fn from(revision: Option<i64>) -> Self {
        revision.map_or(Self::Any, Self::Revision)
    }
}

impl Store {
    /// Changes the triage of alerts and records the activity, all in one transaction. The rows in the order of the ids.
    ///
    /// # Errors
    /// `NotFound` where one of them does not exist, `Outdated` where some are not as they were seen, `Missing` where one
    /// would get another verdict than it has and there is no reason; nothing was done.
    pub async fn triage(
        &self,
        ids: Vec<Uuid>,
        seen: impl Into<Seen>,
        change: Triage,
        activity: Activity,
    ) -> Result<Vec<AlertRow>> {
        let work = Arc::new((ids, seen.into(), change, activity));
        self.write(move |tx| {
            let work = Arc::clone(&work);
            Box::pin(async move { triage(tx, &work.0, &work.1, &work.2, &work.3).await })
        })
        .await
    }

    /// What people said of an alert, in order.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn alert_history(&self, alert_id: Uuid) -> Result<Vec<HistoryRow>> {
        let rows: Vec<History> =
            in_db!(self.db(), db => sqlx::query_as(HISTORY).bind(id_bytes(alert_id)).fetch_all(db).await?);
        let row = |(at, by_user, status, verdict, reason, assignee)| {
            let at = Timestamp::from_micros(at);
            HistoryRow { at, by_user, status, verdict, reason, assignee }
        };
        Ok(rows.into_iter().map(row).collect())
    }
}

/// An alert with whom it counts for.
type Judged = (AlertRow, subjects::Subjects);

async fn triage(tx: &mut Tx, ids: &[Uuid], seen: &Seen, change: &Triage, activity: &Activity) -> Result<Vec<AlertRow>> {
    let mut found: Vec<Judged> = Vec::with_capacity(ids.len());
    let mut stale = Stale::new();
    let (mut outdated, mut unreasoned) = (Vec::new(), false);
    for alert_id in ids.iter().collect::<BTreeSet<_>>() {
        let query = Query::new(COLUMNS).and("a.alert_id = ?", [(*alert_id).into()]).held(tx);
        let rows: Vec<Columns> = rows_in_tx!(tx, query);
        let row = rows.into_iter().next().map(stored).transpose()?.ok_or(Error::NotFound)?;
        if seen.is_outdated(&row) {
            outdated.push(*alert_id);
            continue;
        }
        let (had, new) = (&row.alert.verdict, &change.verdict);
        unreasoned |= had.is_some() && new.is_some() && had != new && change.reason.is_none();
        let subjects = subjects::stored(tx, &[*alert_id]).await?.remove(alert_id).unwrap_or_default();
        if change.verdict.is_some() && !row.alert.suppressed {
            for (user, subject) in &subjects {
                stale.entry(user.clone()).or_insert_with(|| (subject.clone(), tx.now));
            }
        }
        found.push((row, subjects));
    }
    if !outdated.is_empty() {
        return Err(Error::Outdated(outdated));
    }
    if unreasoned {
        return Err(Error::Missing("reason"));
    }
    scores::lock(tx, &stale).await?;
    for (row, _) in &mut found {
        judge(tx, row, change).await?;
        publish(tx, &row.alert).await?;
    }
    for (user, (subject, from)) in &stale {
        scores::recompute(tx, user, subject, *from).await?;
    }
    tx.append(activity).await?;
    let place = |row: &AlertRow| ids.iter().position(|id| *id == row.alert.alert_id);
    let mut rows: Vec<AlertRow> = found.into_iter().map(|(row, _)| row).collect();
    rows.sort_by_key(place);
    Ok(rows)
}

/// Writes one alert's triage, its history, and the step of a new verdict.
async fn judge(tx: &mut Tx, row: &mut AlertRow, change: &Triage) -> Result<()> {
    let of = id_bytes(row.alert.alert_id);
    let mut judged_at: Option<i64> = {
        let rows: Vec<(Option<i64>,)> =
            crate::db::in_tx!(tx, c => sqlx::query_as(JUDGED_AT).bind(of.clone()).fetch_all(c).await?);
        rows.into_iter().next().and_then(|(at,)| at)
    };
    let now = tx.now;
    let before = row.alert.verdict.clone();
    if let Some(status) = &change.status {
        row.alert.status.clone_from(status);
    }
    if change.verdict.is_some() {
        row.alert.verdict.clone_from(&change.verdict);
        judged_at = Some(now.micros());
    }
    row.reason = change.reason.clone().or_else(|| row.reason.take());
    if let Some(assignee) = &change.assignee {
        row.assignee = Some(assignee.clone()).filter(|name| !name.is_empty());
    }
    let (status, verdict) = (row.alert.status.clone(), row.alert.verdict.clone());
    let (reason, assignee) = (row.reason.clone(), row.assignee.clone());
    let had = row.alert.revision;
    let matched = run_in_tx!(tx, SET, &status, &verdict, judged_at, &reason, &assignee, now.micros(), of.clone(), had);
    if matched == 0 {
        return Err(Error::Outdated(vec![row.alert.alert_id]));
    }
    row.alert.revision += 1;
    row.updated_at = now;
    // The alert keeps the reason that it has; that of another act is not this one's.
    run_in_tx!(tx, LOG, of, now.micros(), &change.by_user, &status, &verdict, &change.reason, &assignee);
    if row.alert.verdict != before {
        verdict_step(tx, row, now).await?;
    }
    Ok(())
}

async fn verdict_step(tx: &mut Tx, row: &AlertRow, now: Timestamp) -> Result<()> {
    let alert = &row.alert;
    let had = steps::stored(tx, &[alert.alert_id]).await?.remove(&alert.alert_id).unwrap_or_default();
    let last = had.last().map_or(0, |step| step.step);
    let harmless = matches!(alert.verdict.as_deref(), Some("benign" | "false_positive"));
    let step = steps::Step {
        step: (last + 1).max(steps::JUDGED),
        kind: "judged".into(),
        // Events may lie a little ahead of our clock, and a verdict is about all of them.
        at: had.iter().map(|step| step.at).fold(now, Timestamp::max),
        severity: alert.severity,
        points: if harmless || is_void(alert.state) { 0 } else { alert.risk },
        observed: alert.observed,
        event: None,
    };
    steps::add(tx, alert.alert_id, &step).await
}
