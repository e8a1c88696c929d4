//! Deliveries as people look at them, sent again, and forgotten.

use std::sync::Arc;

use domain::{Activity, Timestamp};
use uuid::Uuid;

use super::outbox::PATIENCE;
use crate::db::{changed, in_db, in_tx};
use crate::query::{Query, id, rows_in_db, run_in_tx};
use crate::sql::{chunks, lists, statements};
use crate::{Error, Result, Store};

statements! {
    STATE = "SELECT state FROM webhook_deliveries WHERE delivery_id = ? AND webhook_id = ?";
    AGAIN = "UPDATE webhook_deliveries SET state = 'pending', attempts = 0, next_at = ?, give_up_at = ?, \
             finished_at = NULL WHERE delivery_id = ? AND state = 'dead'";
    PENDING = "SELECT COUNT(*), MIN(d.give_up_at) FROM webhook_deliveries d JOIN webhooks w ON w.webhook_id = d.webhook_id \
               WHERE d.state = 'pending' AND w.enabled = 1";
    DEAD = "SELECT COUNT(*) FROM webhook_deliveries WHERE state = 'dead'";
    FINISHED = "SELECT delivery_id FROM webhook_deliveries WHERE state = ? AND finished_at < ? \
                ORDER BY finished_at LIMIT ?";
}

lists! {
    FORGET = "DELETE FROM webhook_deliveries WHERE delivery_id IN (", "?", ") AND finished_at IS NOT NULL";
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is to be sent, or to be sent again.
    Pending,
    /// The receiver took it.
    Delivered,
    /// It was given up.
    Dead,
}

impl DeliveryState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    /// The state of a word.
    #[must_use]
    pub fn from_name(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// A delivery as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Its id; rises with every one.
    pub delivery_id: i64,
    /// The id that the receiver gets.
    pub message_id: Uuid,
    /// What happened.
    pub event: String,
    /// The alert that it happened to.
    pub alert_id: Uuid,
    /// The alert's revision of then.
    pub revision: i64,
    /// Where it stands.
    pub state: DeliveryState,
    /// Attempts so far; counted anew where it was sent again.
    pub attempts: i64,
    /// When it is tried next, while it is pending.
    pub next_at: Option<Timestamp>,
    /// When it was tried last.
    pub attempted_at: Option<Timestamp>,
    /// What was answered to that.
    pub last_status: Option<i64>,
    /// Why that failed.
    pub last_error: Option<String>,
    /// When it happened.
    pub created_at: Timestamp,
}

/// A row of a list of deliveries.
type Columns = (i64, Vec<u8>, String, Vec<u8>, i64, String, i64, i64, Option<i64>, Option<i64>, Option<String>, i64);

fn read(columns: Columns) -> Result<DeliveryRow> {
    let (delivery_id, message, event, alert, revision, state, attempts, next, tried, status, error, created) = columns;
    let state = DeliveryState::from_name(&state)
        .ok_or_else(|| Error::fault(format!("unknown state of a delivery: {state}")))?;
    Ok(DeliveryRow {
        delivery_id,
        message_id: id(&message)?,
        event,
        alert_id: id(&alert)?,
        revision,
        state,
        attempts,
        next_at: (state == DeliveryState::Pending).then(|| Timestamp::from_micros(next)),
        attempted_at: tried.map(Timestamp::from_micros),
        last_status: status,
        last_error: error,
        created_at: Timestamp::from_micros(created),
    })
}

/// How much the outbox holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxStatus {
    /// Messages still to be delivered to webhooks that are enabled.
    pub pending: i64,
    /// When the oldest of them happened, or was last sent again on demand.
    pub oldest: Option<Timestamp>,
    /// Messages that were given up and are kept.
    pub dead: i64,
}

impl Store {
    /// The deliveries of a webhook, newest first, before the one with this id.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn webhook_deliveries(
        &self,
        webhook_id: i64,
        state: Option<DeliveryState>,
        before_id: Option<i64>,
        limit: i64,
    ) -> Result<Vec<DeliveryRow>> {
        let query = Query::new(
            "SELECT delivery_id, message_id, event, alert_id, revision, state, attempts, next_at, attempted_at, \
             last_status, last_error, created_at FROM webhook_deliveries",
        )
        .and("webhook_id = ?", [webhook_id.into()])
        .and_some("state = ?", state.map(DeliveryState::as_str))
        .and_some("delivery_id < ?", before_id)
        .then(" ORDER BY delivery_id DESC LIMIT ?", [limit.into()]);
        let rows: Vec<Columns> = rows_in_db!(self, query);
        rows.into_iter().map(read).collect()
    }

    /// Has a delivery that was given up tried again from now on, for as long as a new one; with the activity in the same
    /// transaction.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` where it was not given up.
    pub async fn retry_delivery(&self, webhook_id: i64, delivery_id: i64, activity: Activity) -> Result<()> {
        let activity = Arc::new(activity);
        self.write(move |tx| {
            let activity = Arc::clone(&activity);
            Box::pin(async move {
                let state: Option<(String,)> = in_tx!(tx, c => {
                    sqlx::query_as(STATE).bind(delivery_id).bind(webhook_id).fetch_optional(c).await?
                });
                let (state,) = state.ok_or(Error::NotFound)?;
                let (now, give_up) = (tx.now.micros(), tx.now.plus(PATIENCE).micros());
                if run_in_tx!(tx, AGAIN, now, give_up, delivery_id) == 0 {
                    return Err(Error::Conflict(format!("This delivery is {state}; only a dead one is sent again.")));
                }
                tx.append(&activity).await
            })
        })
        .await
    }

    /// How much the outbox holds.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn outbox_status(&self) -> Result<OutboxStatus> {
        let (pending, oldest): (i64, Option<i64>) =
            in_db!(self.db(), db => sqlx::query_as(PENDING).fetch_one(db).await?);
        let (dead,): (i64,) = in_db!(self.db(), db => sqlx::query_as(DEAD).fetch_one(db).await?);
        Ok(OutboxStatus { pending, oldest: oldest.map(|end| Timestamp::from_micros(end - PATIENCE)), dead })
    }

    /// Forgets up to `chunk` deliveries that ended in a state before a moment; how many.
    ///
    /// # Errors
    /// The database failed; nothing was deleted.
    pub async fn purge_deliveries(&self, ended: DeliveryState, before: Timestamp, chunk: i64) -> Result<u64> {
        self.write(move |tx| {
            Box::pin(async move {
                let (state, before) = (ended.as_str(), before.micros());
                let old: Vec<(i64,)> = in_tx!(tx, c => {
                    sqlx::query_as(FINISHED).bind(state).bind(before).bind(chunk).fetch_all(c).await?
                });
                let mut gone = 0;
                for piece in chunks(&old) {
                    gone += changed!(
                        tx,
                        piece.iter().fold(sqlx::query(FORGET.of(piece.len())), |query, (id,)| query.bind(*id))
                    );
                }
                Ok(gone)
            })
        })
        .await
    }
}
