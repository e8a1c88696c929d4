//! Reading alerts: lists, one, its events, and what has changed.

use domain::{Alert, AlertState, Severity, Timestamp, username_key};
use uuid::Uuid;

use crate::alerts::{AlertRow, COLUMNS, Columns, rank, stored};
use crate::logs::LogRow;
use crate::query::{Query, rows_in_db};
use crate::{Result, Store};

const NEWEST_FIRST: &str = " ORDER BY a.at DESC, a.alert_id DESC";

/// In which order alerts are listed, and after which alert of that order.
#[derive(Debug, Clone, Copy)]
pub enum AlertOrder {
    /// The newest first.
    Newest(Option<(Timestamp, Uuid)>),
    /// The most severe first, and of these the newest.
    Severest(Option<(Severity, Timestamp, Uuid)>),
}

impl Default for AlertOrder {
    fn default() -> Self {
        Self::Newest(None)
    }
}

/// Which alerts; signals (informational) are never among them.
#[derive(Debug, Clone, Default)]
pub struct AlertFilter {
    /// With one of these statuses of triage; with any where there is none.
    pub status: Vec<String>,
    /// Of one of these severities; of any where there is none.
    pub severity: Vec<Severity>,
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
    /// In this order.
    pub order: AlertOrder,
}

impl AlertFilter {
    /// The ids of what is asked for in whatever order; severity and status are not in it.
    fn query(&self) -> Query {
        Query::new("SELECT a.alert_id FROM alerts a")
            .and("a.severity > 0 AND a.suppressed = ?", [i64::from(self.suppressed).into()])
            .and_some("a.user_key = ?", self.user.as_deref().map(username_key))
            .and_some("a.rule_id = ?", self.rule_id.as_deref())
            .and_some("a.at >= ?", self.from)
            .and_some("a.at <= ?", self.to)
            .and_some("a.state = ?", self.state.map(AlertState::as_str))
            .and_if(self.state.is_none(), "a.state NOT IN ('retracted', 'merged')")
    }
}

/// The newest of what a [`AlertFilter::query`] finds. Every condition but that of the user stands in an index, so no
/// document is read of what is passed over.
fn with_documents(ids: Query, limit: i64) -> Query {
    let mut query = ids.then(NEWEST_FIRST, []).then(" LIMIT ?", [limit.into()]);
    query.text = format!("{COLUMNS} JOIN ({}) found ON found.alert_id = a.alert_id{NEWEST_FIRST}", query.text);
    query
}

impl Store {
    /// Alerts, in the order that the filter says.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn alerts(&self, filter: AlertFilter) -> Result<Vec<AlertRow>> {
        let mut severities = filter.severity.clone();
        severities.sort_by_key(|one| -rank(*one));
        severities.dedup();
        match filter.order {
            AlertOrder::Newest(after) => self.newest_of(&filter, &severities, after, filter.limit).await,
            AlertOrder::Severest(after) => {
                if severities.is_empty() {
                    severities = Severity::ALL[1..].iter().rev().copied().collect();
                }
                self.severest(&filter, &severities, after).await
            }
        }
    }

    async fn severest(
        &self,
        filter: &AlertFilter,
        severities: &[Severity],
        after: Option<(Severity, Timestamp, Uuid)>,
    ) -> Result<Vec<AlertRow>> {
        let mut rows = Vec::new();
        for severity in severities {
            let place = match after {
                Some((of, ..)) if rank(*severity) > rank(of) => continue,
                Some((of, at, id)) if *severity == of => Some((at, id)),
                _ => None,
            };
            let room = filter.limit - i64::try_from(rows.len()).unwrap_or(i64::MAX);
            if room <= 0 {
                break;
            }
            rows.extend(self.newest_of(filter, &[*severity], place, room).await?);
        }
        Ok(rows)
    }

    /// The newest of these severities (without one, of all). Each of them and each status is asked for by itself: that is
    /// a span of an index, read from its end, and a queue of thousands is neither read nor sorted for the few at its head.
    async fn newest_of(
        &self,
        filter: &AlertFilter,
        severities: &[Severity],
        after: Option<(Timestamp, Uuid)>,
        limit: i64,
    ) -> Result<Vec<AlertRow>> {
        let severities: Vec<_> = if severities.is_empty() { vec![None] } else { severities.iter().map(Some).collect() };
        let mut statuses: Vec<_> = filter.status.iter().map(|status| Some(status.as_str())).collect();
        statuses.sort_unstable();
        statuses.dedup();
        if statuses.is_empty() {
            statuses.push(None);
        }
        let mut rows = Vec::new();
        for severity in &severities {
            for status in &statuses {
                let query = filter.query().and_some("a.severity = ?", severity.map(|one| rank(*one)));
                rows.extend(self.newest(query.and_some("a.status = ?", *status), after, limit).await?);
            }
        }
        rows.sort_by_key(|row: &AlertRow| std::cmp::Reverse((row.alert.at, row.alert.alert_id)));
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(rows)
    }

    async fn newest(&self, query: Query, after: Option<(Timestamp, Uuid)>, limit: i64) -> Result<Vec<AlertRow>> {
        let query = match after {
            Some((at, id)) => {
                query.and("a.at <= ? AND (a.at < ? OR a.alert_id < ?)", [at.into(), at.into(), id.into()])
            }
            None => query,
        };
        let rows: Vec<Columns> = rows_in_db!(self, with_documents(query, limit));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::bound;

    /// What SQLite would do for a list, line by line.
    async fn plan(store: &Store, ids: Query) -> Vec<String> {
        let mut query = with_documents(ids, 7);
        query.text.insert_str(0, "EXPLAIN QUERY PLAN ");
        let crate::db::Db::Sqlite { readers: db, .. } = store.db() else { panic!("for SQLite") };
        let statement = sqlx::query_as(sqlx::AssertSqlSafe(query.text));
        let rows: Vec<(i64, i64, i64, String)> = bound!(statement, query.args).fetch_all(db).await.expect("a plan");
        rows.into_iter().map(|(_, _, _, line)| line).collect()
    }

    async fn no_document_is_read_of_what_a_list_passes_over(ground: crate::harness::Ground) {
        let all = AlertFilter::default();
        let rule = AlertFilter { rule_id: Some("r".into()), ..all.clone() };
        let open = AlertFilter { state: Some(AlertState::Open), ..all.clone() };
        let span = AlertFilter { from: Some(Timestamp::MIN), to: Some(Timestamp::MAX), ..all.clone() };
        for filter in [all, rule, open, span] {
            for suppressed in [false, true] {
                let filter = AlertFilter { suppressed, ..filter.clone() };
                for (severity, status) in [(None, None), (Some(3), None), (None, Some("open")), (Some(3), Some("open"))]
                {
                    let ids = filter.query().and_some("a.severity = ?", severity).and_some("a.status = ?", status);
                    let plan = plan(&ground.store, ids).await;
                    let of_alerts: Vec<&String> = plan.iter().filter(|line| line.contains(" a ")).collect();
                    assert_eq!(of_alerts.len(), 2, "{plan:#?}");
                    assert!(
                        of_alerts.iter().any(|line| line.contains(" USING COVERING INDEX ")),
                        "{filter:?} {plan:#?}"
                    );
                    assert!(of_alerts.iter().any(|line| line.ends_with("USING PRIMARY KEY (alert_id=?)")), "{plan:#?}");
                }
            }
        }
    }

    async fn a_list_can_be_prepared(ground: crate::harness::Ground) {
        crate::sql::prepare(&ground, [with_documents(AlertFilter::default().query(), 7).text]).await;
    }
    crate::on_both_engines!(a_list_can_be_prepared);

    #[tokio::test]
    async fn lists_read_indexes() {
        crate::harness::sqlite(no_document_is_read_of_what_a_list_passes_over).await;
    }
}
