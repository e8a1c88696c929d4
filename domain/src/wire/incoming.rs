//! [`Incoming`]: a record that obeys the schema, and how it becomes an [`Activity`].

use std::net::IpAddr;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::WireError;
use crate::{Activity, LogType, MINUTE, Outcome, Role, Timestamp};

/// How far ahead of its receipt a reported time may lie, in microseconds: clocks differ, but nobody reports the future.
pub const MAX_AHEAD: i64 = 2 * MINUTE;

/// What a record said, as far as it may say it. Provenance is not among it: members of those names are attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct Incoming {
    /// Identity.
    pub event_id: Option<Uuid>,
    /// When it happened.
    pub occurred_at: Option<Timestamp>,
    /// Log-in name as given.
    pub user: Option<String>,
    /// Id of the user.
    pub user_id: Option<i64>,
    /// Session in which it was done.
    pub session_id: Option<String>,
    /// The user's role at that time; whoever speaks for one user only may not say it.
    pub role: Option<String>,
    /// Rows read, exported or changed.
    pub records: Option<i64>,
    /// Why it failed or was refused.
    pub reason: Option<String>,
    /// What was done.
    pub action: String,
    /// What was touched.
    pub resource: Option<String>,
    /// How it ended; absent is success.
    pub outcome: Option<Outcome>,
    /// Where it came from, canonical.
    pub source_ip: Option<IpAddr>,
    /// The client program.
    pub user_agent: Option<String>,
    /// Country of the address.
    pub country: Option<String>,
    /// The kind of log.
    pub log_type: Option<LogType>,
    /// Free text.
    pub detail: Option<String>,
    /// The page on which it was done.
    pub page_url: Option<String>,
    /// Everything else, as it came.
    pub attributes: Map<String, Value>,
}

impl Incoming {
    /// The activity of a record that was received now. A record without a time happened when it was received. A time
    /// further ahead than [`MAX_AHEAD`] is replaced by `received_at`, kept as attribute `occurred_at`, and
    /// `clock_skew` is set. `late` and `known_user` are left to whoever knows lateness and users.
    #[must_use]
    pub fn into_activity(mut self, received_at: Timestamp, default_event_id: Uuid, origin: &str) -> Activity {
        let said = self.occurred_at.unwrap_or(received_at);
        let clock_skew = said.since(received_at) > MAX_AHEAD;
        if clock_skew {
            self.attributes.insert("occurred_at".to_owned(), Value::String(said.to_string()));
        }
        let occurred_at = if clock_skew { received_at } else { said };
        let event_id = self.event_id.unwrap_or(default_event_id);
        Activity { clock_skew, ..self.complete(event_id, occurred_at, received_at, origin.to_owned()) }
    }

    /// [`Self::into_activity`] of what another system reports about somebody. `ours` is that user, where it is one of
    /// ours. Another system numbers its users on its own: its number must not point at one of ours, and is kept as an
    /// attribute.
    #[must_use]
    pub fn into_reported(
        mut self,
        received_at: Timestamp,
        default_event_id: Uuid,
        origin: &str,
        ours: Option<(i64, Role)>,
    ) -> Activity {
        let user_id = ours.map(|(id, _)| id);
        if let Some(said) = self.user_id.take().filter(|said| Some(*said) != user_id) {
            self.attributes.insert("user_id".into(), said.into());
        }
        let mut activity = self.into_activity(received_at, default_event_id, origin);
        activity.user_id = user_id;
        if let Some((_, role)) = ours {
            activity.role = Some(role.name().to_owned());
            activity.known_user = true;
        }
        activity
    }

    /// The activity of a line of a file (`origin: backtest`): nothing is held against a clock. `received_at` is the
    /// latest time in the file so far, this line's included.
    ///
    /// # Errors
    /// The line has no time: here is no "when received" to stand in for it.
    pub fn into_backtest(self, received_at: Timestamp, default_event_id: Uuid) -> Result<Activity, WireError> {
        self.into_past(received_at, default_event_id, str::to_owned)
    }

    /// [`Self::into_backtest`], with the one text that is new made by `own`.
    pub(super) fn into_past(
        self,
        received_at: Timestamp,
        default_event_id: Uuid,
        own: impl FnOnce(&str) -> String,
    ) -> Result<Activity, WireError> {
        let Some(occurred_at) = self.occurred_at else {
            return Err(WireError::new("occurred_at", "is missing; a backtest needs the time of each event"));
        };
        let event_id = self.event_id.unwrap_or(default_event_id);
        Ok(self.complete(event_id, occurred_at, received_at, own("backtest")))
    }

    fn complete(self, event_id: Uuid, occurred_at: Timestamp, received_at: Timestamp, origin: String) -> Activity {
        Activity {
            event_id,
            occurred_at,
            user: self.user,
            user_id: self.user_id,
            session_id: self.session_id,
            role: self.role,
            records: self.records,
            reason: self.reason,
            action: self.action,
            resource: self.resource,
            outcome: self.outcome.unwrap_or_default(),
            source_ip: self.source_ip,
            user_agent: self.user_agent,
            country: self.country,
            log_type: self.log_type,
            detail: self.detail,
            page_url: self.page_url,
            attributes: self.attributes,
            received_at,
            origin,
            known_user: false,
            late: false,
            clock_skew: false,
            request_id: None,
        }
    }
}

/// Whether a record came later than `lateness` (microseconds) allows; exactly as old is in time.
#[must_use]
pub const fn late(occurred_at: Timestamp, received_at: Timestamp, lateness: i64) -> bool {
    received_at.since(occurred_at) > lateness
}
