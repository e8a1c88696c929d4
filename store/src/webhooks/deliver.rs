//! What is due, where it goes, and what came of it.

use std::fmt;
use std::sync::Arc;

use domain::Timestamp;
use uuid::Uuid;

use super::WebhookFormat;
use super::manage::format_of;
use crate::db::in_db;
use crate::query::{clipped, id, run_in_tx};
use crate::sql::statements;
use crate::{Result, Store};

statements! {
    WAITING = "SELECT w.webhook_id FROM webhooks w WHERE w.enabled = 1 AND EXISTS (SELECT 1 FROM webhook_deliveries d \
               WHERE d.webhook_id = w.webhook_id AND d.state = 'pending' AND d.next_at <= ?) ORDER BY w.webhook_id";
    TARGET = "SELECT url, format, secret, old_secret, old_secret_until FROM webhooks WHERE webhook_id = ?";
    DUE = "SELECT delivery_id, message_id, event, document, attempts, give_up_at, created_at FROM webhook_deliveries \
           WHERE webhook_id = ? AND state = 'pending' AND next_at <= ? ORDER BY next_at, delivery_id LIMIT ?";
    SETTLE = "UPDATE webhook_deliveries SET state = ?, attempts = attempts + 1, next_at = ?, attempted_at = ?, \
              finished_at = ?, last_status = ?, last_error = ? WHERE delivery_id = ? AND state = 'pending'";
    SUCCEEDED = "UPDATE webhooks SET failing_since = NULL, last_error = NULL, last_success_at = ? WHERE webhook_id = ?";
    FAILED = "UPDATE webhooks SET failing_since = COALESCE(failing_since, ?), last_error = ? WHERE webhook_id = ?";
    // Those of webhooks that are off, or gone meanwhile, which nobody tries.
    EXPIRED = "SELECT COUNT(*) FROM webhook_deliveries WHERE state = 'pending' AND give_up_at <= ? \
               AND webhook_id NOT IN (SELECT webhook_id FROM webhooks WHERE enabled = 1)";
    EXPIRE = "UPDATE webhook_deliveries SET state = 'dead', finished_at = ?, \
              last_error = COALESCE(last_error, 'the webhook was disabled') WHERE state = 'pending' AND give_up_at <= ? \
              AND webhook_id NOT IN (SELECT webhook_id FROM webhooks WHERE enabled = 1)";
}

/// Where a webhook's messages go. Holds secrets: `Debug` does not tell them.
#[derive(Clone)]
pub struct WebhookTarget {
    /// Its id.
    pub webhook_id: i64,
    /// Where messages go; path and query may be secret.
    pub url: String,
    /// In which form.
    pub format: WebhookFormat,
    /// What signs them: the present secret, and for a day the one before it.
    pub secrets: Vec<String>,
}

impl fmt::Debug for WebhookTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookTarget").field("webhook_id", &self.webhook_id).finish_non_exhaustive()
    }
}

/// A message whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueDelivery {
    /// Its id.
    pub delivery_id: i64,
    /// Tells the receiver whether it has had it: the same with each attempt.
    pub message_id: Uuid,
    /// What happened: `alert.opened`, `alert.escalated`, `alert.retracted`.
    pub event: String,
    /// The alert as it stood then, as JSON.
    pub document: String,
    /// Attempts so far, all of which failed.
    pub attempts: i64,
    /// An attempt from then on is the last.
    pub give_up_at: Timestamp,
    /// When it happened.
    pub created_at: Timestamp,
}

/// What an attempt leaves to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it was delivered.
    Delivered,
    /// To try again at that time.
    At(Timestamp),
    /// Nothing: it is given up.
    Dead,
}

/// An attempt that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempted {
    /// The webhook.
    pub webhook_id: i64,
    /// The message.
    pub delivery_id: i64,
    /// What was answered, if anything was.
    pub status: Option<u16>,
    /// Why it failed; none where it did not. Holds no secret of the address.
    pub error: Option<String>,
    /// What is left to do.
    pub next: Next,
}

impl Store {
    /// The webhooks that have a message due.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn webhooks_with_due(&self) -> Result<Vec<i64>> {
        let now = self.now().micros();
        let rows: Vec<(i64,)> = in_db!(self.db(), db => sqlx::query_as(WAITING).bind(now).fetch_all(db).await?);
        Ok(rows.into_iter().map(|(webhook_id,)| webhook_id).collect())
    }

    /// Where the messages of a webhook go.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn webhook_target(&self, webhook_id: i64) -> Result<Option<WebhookTarget>> {
        type Columns = (String, String, String, Option<String>, Option<i64>);
        let row: Option<Columns> =
            in_db!(self.db(), db => sqlx::query_as(TARGET).bind(webhook_id).fetch_optional(db).await?);
        let Some((url, format, secret, old, until)) = row else { return Ok(None) };
        let now = self.now().micros();
        let old = old.filter(|_| until.is_some_and(|until| until > now));
        let secrets = std::iter::once(secret).chain(old).collect();
        Ok(Some(WebhookTarget { webhook_id, url, format: format_of(&format)?, secrets }))
    }

    /// The messages of a webhook whose time has come, the longest due first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn due_deliveries(&self, webhook_id: i64, limit: i64) -> Result<Vec<DueDelivery>> {
        type Columns = (i64, Vec<u8>, String, String, i64, i64, i64);
        let now = self.now().micros();
        let rows: Vec<Columns> = in_db!(self.db(), db => {
            sqlx::query_as(DUE).bind(webhook_id).bind(now).bind(limit).fetch_all(db).await?
        });
        rows.into_iter()
            .map(|(delivery_id, message_id, event, document, attempts, give_up_at, created_at)| {
                Ok(DueDelivery {
                    delivery_id,
                    message_id: id(&message_id)?,
                    event,
                    document,
                    attempts,
                    give_up_at: Timestamp::from_micros(give_up_at),
                    created_at: Timestamp::from_micros(created_at),
                })
            })
            .collect()
    }

    /// Records what came of an attempt; false where nobody waits for it any more (the webhook is gone).
    ///
    /// # Errors
    /// The database failed; nothing was done, and the message will be sent once more.
    pub async fn webhook_attempted(&self, attempted: Attempted) -> Result<bool> {
        let attempted = Arc::new(attempted);
        self.write(move |tx| {
            let attempted = Arc::clone(&attempted);
            Box::pin(async move {
                let Attempted { webhook_id, delivery_id, status, error, next } = &*attempted;
                let now = tx.now.micros();
                let (state, again, finished) = match next {
                    Next::Delivered => ("delivered", now, Some(now)),
                    Next::At(again) => ("pending", again.micros(), None),
                    Next::Dead => ("dead", now, Some(now)),
                };
                let error = error.as_deref().map(|error| clipped(error, 500));
                let status = status.map(i64::from);
                if run_in_tx!(tx, SETTLE, state, again, now, finished, status, &error, *delivery_id) == 0 {
                    return Ok(false);
                }
                match &error {
                    None => run_in_tx!(tx, SUCCEEDED, now, *webhook_id),
                    Some(error) => run_in_tx!(tx, FAILED, now, error, *webhook_id),
                };
                Ok(true)
            })
        })
        .await
    }

    /// Gives up what has waited too long for a webhook that is disabled; how many.
    ///
    /// # Errors
    /// The database failed; nothing was done.
    pub async fn expire_deliveries(&self) -> Result<u64> {
        let now = self.now().micros();
        let due: i64 = in_db!(self.db(), db => sqlx::query_scalar(EXPIRED).bind(now).fetch_one(db).await?);
        if due == 0 {
            return Ok(0);
        }
        self.write(move |tx| Box::pin(async move { Ok(run_in_tx!(tx, EXPIRE, tx.now.micros(), tx.now.micros())) }))
            .await
    }
}
