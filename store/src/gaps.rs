//! Where detection saw less than all.

use std::sync::Arc;

use domain::{Partition, Timestamp};

use crate::db::{Tx, in_tx};
use crate::query::{Query, clipped, rows_in_db, run_in_tx};
use crate::sql::statements;
use crate::{Result, Store};

statements! {
    INSERT = "INSERT INTO coverage_gaps (rule_id, key_text, from_at, to_at, lost, reason, recorded_at) \
              VALUES (?, ?, ?, ?, ?, ?, ?)";
    LAST = "SELECT gap_id, from_at, to_at, lost FROM coverage_gaps \
            WHERE recorded_at >= ? AND rule_id = ? AND key_text = ? AND reason = ? ORDER BY gap_id DESC LIMIT 1";
    GROW = "UPDATE coverage_gaps SET from_at = ?, to_at = ?, lost = ?, recorded_at = ? WHERE gap_id = ?";
}

/// What goes on being given up for the same reason within so long is one gap.
const ONE: i64 = 10 * domain::MINUTE;

/// What a bound gave up, to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGap {
    /// The rule; empty where it concerns all.
    pub rule_id: String,
    /// The key, as text.
    pub key: String,
    /// From when events are missing.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// How many.
    pub lost: i64,
    /// Why, in a sentence.
    pub reason: String,
}

impl NewGap {
    /// Positions of a log, from `from` up to before `to`, that were removed from it before `who` had read them; found at
    /// `at`.
    #[must_use]
    pub fn removed(partition: Partition, (from, to): (i64, i64), at: Timestamp, who: &str) -> Self {
        tracing::error!(%partition, from, to, "records were removed from the topic before {who} had read them");
        Self {
            rule_id: String::new(),
            key: partition.to_string(),
            from: at,
            to: at,
            lost: to - from,
            reason: format!("offsets {from} to {} were removed from the topic before {who} had read them", to - 1),
        }
    }
}

/// What a bound gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapRow {
    /// Id of the row.
    pub gap_id: i64,
    /// What it was.
    pub gap: NewGap,
    /// When it was recorded, or grew last.
    pub recorded_at: Timestamp,
}

type Columns = (i64, String, String, i64, i64, i64, String, i64);

/// Records gaps, in the transaction of the offset that passes them; an outage that goes on is one row that grows.
pub(crate) async fn record(tx: &mut Tx, gaps: &[NewGap]) -> Result<()> {
    let now = tx.now.micros();
    for gap in gaps {
        let (from, to) = (gap.from.micros(), gap.to.micros());
        let (rule, key, reason) = (clipped(&gap.rule_id, 255), clipped(&gap.key, 4_000), clipped(&gap.reason, 4_000));
        let last: Option<(i64, i64, i64, i64)> = in_tx!(tx, c => {
            sqlx::query_as(LAST).bind(now - ONE).bind(&rule).bind(&key).bind(&reason).fetch_optional(c).await?
        });
        match last {
            Some((id, first, last, lost)) => {
                run_in_tx!(tx, GROW, from.min(first), to.max(last), lost.saturating_add(gap.lost), now, id);
            }
            None => {
                run_in_tx!(tx, INSERT, &rule, &key, from, to, gap.lost, &reason, now);
            }
        }
    }
    Ok(())
}

impl Store {
    /// Records what was missed elsewhere than in the detector's batches.
    ///
    /// # Errors
    /// The database failed; nothing was done.
    pub async fn record_gaps(&self, gaps: Vec<NewGap>) -> Result<()> {
        let gaps = Arc::new(gaps);
        self.write(move |tx| {
            let gaps = Arc::clone(&gaps);
            Box::pin(async move { record(tx, &gaps).await })
        })
        .await
    }

    /// Gaps recorded since a moment, newest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn coverage_gaps(&self, since: Timestamp, limit: i64) -> Result<Vec<GapRow>> {
        let head = "SELECT gap_id, rule_id, key_text, from_at, to_at, lost, reason, recorded_at FROM coverage_gaps";
        let query = Query::new(head)
            .and("recorded_at >= ?", [since.into()])
            .then(" ORDER BY recorded_at DESC, gap_id DESC LIMIT ?", [limit.into()]);
        let rows: Vec<Columns> = rows_in_db!(self, query);
        let rows = rows.into_iter().map(|(gap_id, rule_id, key, from, to, lost, reason, recorded_at)| GapRow {
            gap_id,
            gap: NewGap {
                rule_id,
                key,
                from: Timestamp::from_micros(from),
                to: Timestamp::from_micros(to),
                lost,
                reason,
            },
            recorded_at: Timestamp::from_micros(recorded_at),
        });
        Ok(rows.collect())
    }
}
