//! Reading alerts: lists, one, its events, and what has changed.

use domain::{Alert, AlertState, Severity, Timestamp, username_key};
use uuid::Uuid;

use crate::alerts::{AlertRow, COLUMNS, Columns, rank, stored};
use crate::logs::LogRow;
use crate::query::{Query, rows_in_db};
use crate::{Result, Store};

/// Which alerts. Newest first; signals (informational) are never among them.
#[derive(Debug, Clone, Default)]
pub struct AlertFilter {
    /// With this status of triage.
    pub status: Option<String>,
    /// Of this severity.
    pub severity: Option<Severity>,
    /// Of this user, by any spelling of the name.
    pub user: Option<String>,
    /// Of the rule with this id.
    pub rule_id: Option<String>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Not after.
    pub to: Option<Timestamp>,
    /// Suppressed ones, or (without a value) those that are not.
    pub suppressed: bool,
    /// In this state; without a value all but those that were taken back.
    pub state: Option<AlertState>,
    /// At most so many.
    pub limit: i64,
    /// After the alert of that time and id.
    pub cursor: Option<(Timestamp, Uuid)>,
}

impl Store {
    /// Alerts, newest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn alerts(&self, filter: AlertFilter) -> Result<Vec<AlertRow>> {
        let mut query = Query::new(COLUMNS)
            .and("a.severity > 0 AND a.suppressed = ?", [i64::from(filter.suppressed).into()])
            .and_some("a.status = ?", filter.status)
            .and_some("a.severity = ?", filter.severity.map(rank))
            .and_some("a.user_key = ?", filter.user.as_deref().map(username_key))
            .and_some("a.rule_id = ?", filter.rule_id)
            .and_some("a.at >= ?", filter.from)
            .and_some("a.at <= ?", filter.to)
            .and_some("a.state = ?", filter.state.map(AlertState::as_str))
            .and_if(filter.state.is_none(), "a.state NOT IN ('retracted', 'merged')");
        if let Some((at, id)) = filter.cursor {
            query = query.and("a.at <= ? AND (a.at < ? OR a.alert_id < ?)", [at.into(), at.into(), id.into()]);
        }
        let query = query.then(" ORDER BY a.at DESC, a.alert_id DESC LIMIT ?", [filter.limit.into()]);
        let rows: Vec<Columns> = rows_in_db!(self, query);
        rows.into_iter().map(stored).collect()
    }

    /// One alert, in whatever state; signals too.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn alert(&self, alert_id: Uuid) -> Result<Option<AlertRow>> {
        let rows: Vec<Columns> = rows_in_db!(self, Query::new(COLUMNS).and("a.alert_id = ?", [alert_id.into()]));
        rows.into_iter().next().map(stored).transpose()
    }

    /// The stored events of an alert, in its order.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn alert_events(&self, alert: &Alert) -> Result<Vec<LogRow>> {
        self.logs_of(&alert.event_ids).await
    }

    /// Alerts written after a change, oldest change first: what a stream sends next. A change is named by the time of
    /// writing and the alert's id; one written again comes again.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn alerts_changed(&self, after: (Timestamp, Uuid), limit: i64) -> Result<Vec<AlertRow>> {
        let (at, id) = after;
        let query = Query::new(COLUMNS)
            .and("a.updated_at >= ? AND (a.updated_at > ? OR a.alert_id > ?)", [at.into(), at.into(), id.into()])
            .and("a.severity > 0 AND a.suppressed = 0", [])
            .then(" ORDER BY a.updated_at, a.alert_id LIMIT ?", [limit.into()]);
        let rows: Vec<Columns> = rows_in_db!(self, query);
        rows.into_iter().map(stored).collect()
    }
}
