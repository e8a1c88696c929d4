//! From changed alerts to what is to be told, in the transaction of the alerts: a crash loses none, and none is told of
//! an alert that was rolled back.
//!
//! Told is what somebody has to know: that an alert opened, that it came to a step (where it "notifies again"), that it
//! was taken back. Each is one message, whatever the number of events. Who was told of no alert hears nothing of its
//! end. What `reprocess` finds in the past wakes nobody, unless it has only just happened.

use domain::{Alert, DAY, Severity, Timestamp, ids};
use serde::Serialize;
use uuid::Uuid;

use crate::alerts::{AlertRow, is_void, rank};
use crate::db::{Tx, in_tx};
use crate::query::run_in_tx;
use crate::sql::{id_bytes, statements};
use crate::{Error, Result};

statements! {
    LISTENING = "SELECT webhook_id, minimum_severity FROM webhooks WHERE enabled = 1 ORDER BY webhook_id";
    TOLD = "SELECT COUNT(*) FROM webhook_deliveries WHERE alert_id = ? AND webhook_id = ?";
    KNOWN = "SELECT COUNT(*) FROM webhook_deliveries WHERE message_id = ?";
    PUT = "INSERT INTO webhook_deliveries (message_id, webhook_id, alert_id, revision, event, document, state, attempts, \
           next_at, give_up_at, created_at) VALUES (?, ?, ?, ?, ?, ?, 'pending', 0, ?, ?, ?)";
}

/// For how long a message is tried.
pub(super) const PATIENCE: i64 = DAY;
/// How old may be what `reprocess` finds and is told.
const NEWS: i64 = DAY;

/// What happened to an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Happening {
    /// It is there.
    Opened,
    /// It is more serious, or came to the next multiple of its threshold.
    Escalated,
    /// It is no more: an event that came late showed so, or made it a part of another.
    Retracted,
}

impl Happening {
    fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "alert.opened",
            Self::Escalated => "alert.escalated",
            Self::Retracted => "alert.retracted",
        }
    }

    /// What of a change is to be told.
    pub(crate) fn of(before: Option<&Alert>, after: &Alert, now: Timestamp) -> Option<Self> {
        if after.found_by == "reprocess" && now.since(after.last_event_at) > NEWS {
            return None;
        }
        match (before.filter(|before| is_shown(before)), is_shown(after)) {
            (None, true) => Some(Self::Opened),
            (Some(before), true) if rises(before, after) => Some(Self::Escalated),
            (Some(_), false) => Some(Self::Retracted),
            _ => None,
        }
    }
}

/// Whether it stands in the queue.
pub(crate) fn is_shown(alert: &Alert) -> bool {
    alert.severity != Severity::Informational && !alert.suppressed && !is_void(alert.state)
}

fn rises(before: &Alert, after: &Alert) -> bool {
    after.severity > before.severity || after.escalations.len() > before.escalations.len()
}

/// The alert as it is told, with the members that it has over REST.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    alert: &'a Alert,
    reason: &'a Option<String>,
    assignee: &'a Option<String>,
    exception_id: Option<i64>,
    updated_at: Timestamp,
}

/// Who is to be told what, read once a transaction and only when something happened.
#[derive(Default)]
pub(crate) struct Listening(Option<Vec<(i64, i64)>>);

impl Listening {
    /// Puts a message for each webhook that is to hear of it into the outbox.
    pub(crate) async fn tell(&mut self, tx: &mut Tx, row: &AlertRow, happening: Happening) -> Result<()> {
        let webhooks = match self.0.take() {
            Some(webhooks) => webhooks,
            None => in_tx!(tx, c => sqlx::query_as(LISTENING).fetch_all(c).await?),
        };
        for (webhook_id, minimum) in &webhooks {
            if rank(row.alert.severity) >= *minimum || happening == Happening::Retracted {
                put(tx, *webhook_id, row, happening).await?;
            }
        }
        self.0 = Some(webhooks);
        Ok(())
    }
}

async fn put(tx: &mut Tx, webhook_id: i64, row: &AlertRow, happening: Happening) -> Result<()> {
    let alert = &row.alert;
    let of = id_bytes(alert.alert_id);
    if happening == Happening::Retracted {
        let (told,): (i64,) =
            in_tx!(tx, c => sqlx::query_as(TOLD).bind(of.clone()).bind(webhook_id).fetch_one(c).await?);
        if told == 0 {
            return Ok(());
        }
    }
    let message_id = id_bytes(message_id(webhook_id, alert));
    let (known,): (i64,) = in_tx!(tx, c => sqlx::query_as(KNOWN).bind(message_id.clone()).fetch_one(c).await?);
    if known > 0 {
        return Ok(());
    }
    let AlertRow { reason, assignee, exception_id, updated_at, .. } = row;
    let document = Document { alert, reason, assignee, exception_id: *exception_id, updated_at: *updated_at };
    let document = serde_json::to_string(&document).map_err(|error| Error::Fault(Box::new(error)))?;
    let (event, now) = (happening.as_str(), tx.now.micros());
    let give_up = tx.now.plus(PATIENCE).micros();
    run_in_tx!(tx, PUT, message_id, webhook_id, of, alert.revision, event, &document, now, give_up, now);
    Ok(())
}

/// The id of a message: the same however often the same is found.
fn message_id(webhook_id: i64, alert: &Alert) -> Uuid {
    let (webhook, revision) = (webhook_id.to_be_bytes(), alert.revision.to_be_bytes());
    ids::derived(&[b"webhook message", &webhook, alert.alert_id.as_bytes(), &revision])
}
