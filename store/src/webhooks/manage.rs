//! Making, changing and removing webhooks, each with its activity in the same transaction.

use std::sync::Arc;

use domain::{Activity, DAY, Severity, Timestamp};

use super::MOST_WEBHOOKS;
use crate::alerts::{rank, severity};
use crate::db::{Once, Tx, in_tx, inserted};
use crate::query::{Query, clipped, rows_in_db, rows_in_tx, run_in_tx};
use crate::sql::statements;
use crate::{Error, Result, Store};

statements! {
    COUNT = "SELECT COUNT(*) FROM webhooks";
    INSERT = "INSERT INTO webhooks (name, url, shown_url, format, secret, minimum_severity, enabled, created_by, \
              created_at) VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?)";
    RENAME = "UPDATE webhooks SET name = ? WHERE webhook_id = ?";
    MOVE = "UPDATE webhooks SET url = ?, shown_url = ?, failing_since = NULL, last_error = NULL WHERE webhook_id = ?";
    LEVEL = "UPDATE webhooks SET minimum_severity = ? WHERE webhook_id = ?";
    // What failed while it was off says nothing of what it is like now.
    ENABLE = "UPDATE webhooks SET enabled = 1, disabled_reason = NULL, failing_since = NULL, last_error = NULL \
              WHERE webhook_id = ?";
    DISABLE = "UPDATE webhooks SET enabled = 0, disabled_reason = ? WHERE webhook_id = ? AND enabled = 1";
    ROTATE = "UPDATE webhooks SET old_secret = secret, old_secret_until = ?, secret = ? WHERE webhook_id = ? \
              AND (old_secret_until IS NULL OR old_secret_until <= ?)";
    STILL_SIGNS = "SELECT old_secret_until FROM webhooks WHERE webhook_id = ?";
    REMOVE = "DELETE FROM webhooks WHERE webhook_id = ?";
    REMOVE_DELIVERIES = "DELETE FROM webhook_deliveries WHERE webhook_id = ?";
}

/// How long a secret goes on signing beside the one that took its place.
const OVERLAP: i64 = DAY;

/// In which form a webhook is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookFormat {
    /// The alert as JSON, in the envelope of Standard Webhooks.
    Standard,
    /// One line of text, as Slack and what is compatible with it take it.
    Slack,
}

impl WebhookFormat {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Standard, Self::Slack];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Slack => "slack",
        }
    }

    /// The format of a word.
    #[must_use]
    pub fn from_name(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == word)
    }
}

/// A webhook to be made.
#[derive(Clone)]
pub struct NewWebhook {
    /// What people call it; unique.
    pub name: String,
    /// Where messages go.
    pub url: String,
    /// As much of that as people may see.
    pub shown_url: String,
    /// In which form.
    pub format: WebhookFormat,
    /// Signs the messages: `whsec_…`.
    pub secret: String,
    /// Alerts below it are not told.
    pub minimum_severity: Severity,
    /// Who makes it.
    pub created_by: String,
}

/// What is to be changed; `None` leaves it as it is.
#[derive(Clone, Default)]
pub struct WebhookChange {
    /// Its name.
    pub name: Option<String>,
    /// Its address, and as much of that as people may see.
    pub url: Option<(String, String)>,
    /// Alerts below it are not told.
    pub minimum_severity: Option<Severity>,
    /// `Ok`: it is told; `Err`: it is not, and why.
    pub enabled: Option<std::result::Result<(), String>>,
}

/// A webhook as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRow {
    /// Its id; never given twice.
    pub webhook_id: i64,
    /// What people call it.
    pub name: String,
    /// As much of its address as people may see.
    pub shown_url: String,
    /// In which form it is told.
    pub format: WebhookFormat,
    /// Alerts below it are not told.
    pub minimum_severity: Severity,
    /// Whether it is told anything.
    pub enabled: bool,
    /// Why not.
    pub disabled_reason: Option<String>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// Since when no attempt has succeeded.
    pub failing_since: Option<Timestamp>,
    /// Why the last attempt failed, if it did.
    pub last_error: Option<String>,
    /// When an attempt last succeeded.
    pub last_success_at: Option<Timestamp>,
    /// Messages still to be delivered.
    pub pending: i64,
    /// Messages that were given up.
    pub dead: i64,
}

const SELECT: &str = "SELECT w.webhook_id, w.name, w.shown_url, w.format, w.minimum_severity, w.enabled, \
    w.disabled_reason, w.created_by, w.created_at, w.failing_since, w.last_error, w.last_success_at, \
    (SELECT COUNT(*) FROM webhook_deliveries d WHERE d.webhook_id = w.webhook_id AND d.state = 'pending'), \
    (SELECT COUNT(*) FROM webhook_deliveries d WHERE d.webhook_id = w.webhook_id AND d.state = 'dead') FROM webhooks w";

/// A row of `SELECT`.
type Columns = (
    i64,
    String,
    String,
    String,
    i64,
    i64,
    Option<String>,
    String,
    i64,
    Option<i64>,
    Option<String>,
    Option<i64>,
    i64,
    i64,
);

fn read(columns: Columns) -> Result<WebhookRow> {
    let (webhook_id, name, shown_url, format, minimum, enabled, disabled_reason, created_by, ..) = columns;
    let (.., created_at, failing_since, last_error, last_success_at, pending, dead) = columns;
    Ok(WebhookRow {
        webhook_id,
        name,
        shown_url,
        format: format_of(&format)?,
        minimum_severity: severity(minimum),
        enabled: enabled != 0,
        disabled_reason,
        created_by,
        created_at: Timestamp::from_micros(created_at),
        failing_since: failing_since.map(Timestamp::from_micros),
        last_error,
        last_success_at: last_success_at.map(Timestamp::from_micros),
        pending,
        dead,
    })
}

/// The format of a stored word.
pub(super) fn format_of(word: &str) -> Result<WebhookFormat> {
    WebhookFormat::from_name(word).ok_or_else(|| Error::fault(format!("unknown format of a webhook: {word}")))
}

/// The webhook as it stands in this transaction.
pub(super) async fn one(tx: &mut Tx, webhook_id: i64) -> Result<WebhookRow> {
    let rows: Vec<Columns> = rows_in_tx!(tx, Query::new(SELECT).and("w.webhook_id = ?", [webhook_id.into()]));
    rows.into_iter().next().map(read).transpose()?.ok_or(Error::NotFound)
}

impl Store {
    /// All webhooks by name.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn webhooks(&self) -> Result<Vec<WebhookRow>> {
        let rows: Vec<Columns> = rows_in_db!(self, Query::new(SELECT).then(" ORDER BY w.name, w.webhook_id", []));
        rows.into_iter().map(read).collect()
    }

    /// One webhook.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn webhook(&self, webhook_id: i64) -> Result<Option<WebhookRow>> {
        let query = Query::new(SELECT).and("w.webhook_id = ?", [webhook_id.into()]);
        let rows: Vec<Columns> = rows_in_db!(self, query);
        rows.into_iter().next().map(read).transpose()
    }

    /// Makes a webhook, with its activity in the same transaction. It hears of what happens from then on.
    ///
    /// # Errors
    /// `Duplicate` where the name is taken, `Conflict` where there are [`MOST_WEBHOOKS`].
    pub async fn create_webhook(
        &self,
        new: NewWebhook,
        activity: impl FnOnce(&WebhookRow) -> Activity + Send + 'static,
    ) -> Result<WebhookRow> {
        let (new, activity) = (Arc::new(new), Once::new(activity));
        self.write(move |tx| {
            let (new, activity) = (Arc::clone(&new), activity.clone());
            Box::pin(async move {
                let (there,): (i64,) = in_tx!(tx, c => sqlx::query_as(COUNT).fetch_one(c).await?);
                if there >= MOST_WEBHOOKS {
                    return Err(Error::Conflict(format!("There are {MOST_WEBHOOKS} webhooks; remove one first.")));
                }
                let by = clipped(&new.created_by, 255);
                let webhook_id = inserted!(
                    tx,
                    sqlx::query(INSERT)
                        .bind(new.name.as_str())
                        .bind(new.url.as_str())
                        .bind(new.shown_url.as_str())
                        .bind(new.format.as_str())
                        .bind(new.secret.as_str())
                        .bind(rank(new.minimum_severity))
                        .bind(by.as_str())
                        .bind(tx.now.micros())
                );
                let row = one(tx, webhook_id).await?;
                tx.append(&activity.take()?(&row)).await?;
                Ok(row)
            })
        })
        .await
    }

    /// Changes a webhook, with its activity in the same transaction. One that is told again goes on with what has waited.
    ///
    /// # Errors
    /// `NotFound`, or `Duplicate` where the name is taken.
    pub async fn update_webhook(
        &self,
        webhook_id: i64,
        change: WebhookChange,
        activity: Activity,
    ) -> Result<WebhookRow> {
        let given = Arc::new((change, activity));
        self.write(move |tx| {
            let given = Arc::clone(&given);
            Box::pin(async move {
                let (change, activity) = &*given;
                one(tx, webhook_id).await?;
                if let Some(name) = &change.name {
                    run_in_tx!(tx, RENAME, name, webhook_id);
                }
                if let Some((url, shown)) = &change.url {
                    run_in_tx!(tx, MOVE, url, shown, webhook_id);
                }
                if let Some(minimum) = change.minimum_severity {
                    run_in_tx!(tx, LEVEL, rank(minimum), webhook_id);
                }
                match &change.enabled {
                    Some(Ok(())) => run_in_tx!(tx, ENABLE, webhook_id),
                    Some(Err(reason)) => run_in_tx!(tx, DISABLE, reason, webhook_id),
                    None => 0,
                };
                tx.append(activity).await?;
                one(tx, webhook_id).await
            })
        })
        .await
    }

    /// Gives a webhook another secret. The one before it signs as well for a day, so that the receiver need not change
    /// at the same moment; until that day is over there is no third.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` where the one before the present one still signs.
    pub async fn rotate_webhook_secret(
        &self,
        webhook_id: i64,
        secret: String,
        activity: Activity,
    ) -> Result<WebhookRow> {
        let given = Arc::new((secret, activity));
        self.write(move |tx| {
            let given = Arc::clone(&given);
            Box::pin(async move {
                let (secret, activity) = &*given;
                let until = tx.now.plus(OVERLAP).micros();
                if run_in_tx!(tx, ROTATE, until, secret, webhook_id, tx.now.micros()) == 0 {
                    let found: Option<(Option<i64>,)> =
                        in_tx!(tx, c => sqlx::query_as(STILL_SIGNS).bind(webhook_id).fetch_optional(c).await?);
                    let (until,) = found.ok_or(Error::NotFound)?;
                    let until = until.map(Timestamp::from_micros).unwrap_or_default();
                    return Err(Error::Conflict(format!(
                        "The secret was changed within a day, and the one before it signs until {until}; change it after \
                         that, or make a new webhook."
                    )));
                }
                tx.append(activity).await?;
                one(tx, webhook_id).await
            })
        })
        .await
    }

    /// Stops telling a webhook anything, with the activity in the same transaction; whether it was told until then.
    ///
    /// # Errors
    /// The database failed; nothing was done.
    pub async fn disable_webhook(&self, webhook_id: i64, reason: String, activity: Activity) -> Result<bool> {
        let given = Arc::new((reason, activity));
        self.write(move |tx| {
            let given = Arc::clone(&given);
            Box::pin(async move {
                let (reason, activity) = &*given;
                if run_in_tx!(tx, DISABLE, reason, webhook_id) == 0 {
                    return Ok(false);
                }
                tx.append(activity).await?;
                Ok(true)
            })
        })
        .await
    }

    /// Removes a webhook and its deliveries, with the activity in the same transaction.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_webhook(&self, webhook_id: i64, activity: Activity) -> Result<()> {
        let activity = Arc::new(activity);
        self.write(move |tx| {
            let activity = Arc::clone(&activity);
            Box::pin(async move {
                if run_in_tx!(tx, REMOVE, webhook_id) == 0 {
                    return Err(Error::NotFound);
                }
                run_in_tx!(tx, REMOVE_DELIVERIES, webhook_id);
                tx.append(&activity).await
            })
        })
        .await
    }
}
