//! [`Activity`]: one thing that somebody did, and where we know it from.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::trace::TRACEPARENT;
use crate::{Timestamp, WireError, username_key};

/// How an action ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    #[default]
    Success,
    /// It was tried and failed.
    Failure,
    /// It was refused: a right was missing.
    Denied,
}

/// The kind of log that an activity belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogType {
    /// What a browser says that its user did.
    UiEvent,
    /// The product's own administration.
    System,
    /// Log-ins and log-outs.
    Auth,
    /// Reads and changes of business data.
    DataAccess,
}

macro_rules! words {
    ($type:ident: $($variant:ident = $word:literal),+) => {
        impl $type {
            /// The word on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
        impl FromStr for $type {
            type Err = String;
            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("must be one of {}", [$($word),+].join(", "))),
                }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(Outcome: Success = "success", Failure = "failure", Denied = "denied");
words!(LogType: UiEvent = "ui_event", System = "system", Auth = "auth", DataAccess = "data_access");

/// One thing that somebody did, in wire schema v1, with its provenance. What is absent is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// Identity: two activities with one id are one.
    pub event_id: Uuid,
    /// When it happened, by the word of whoever reported it.
    pub occurred_at: Timestamp,
    /// Log-in name as given; may be unknown to the `users` table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Our id of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<i64>,
    /// Session in which it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The user's role at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Rows read, exported or changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<i64>,
    /// Why it failed or was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was done: `Login`, `View`, `Delete` or any other word of up to 64 characters.
    pub action: String,
    /// What was touched: `inventory/17`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// How it ended.
    #[serde(default)]
    pub outcome: Outcome,
    /// Where it came from; an IPv4 address mapped into IPv6 is held as IPv4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<IpAddr>,
    /// The client program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Country of the address, as given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The kind of log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_type: Option<LogType>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The page on which it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_url: Option<String>,
    /// Everything else that the report said, as it came.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
    /// When we had it.
    pub received_at: Timestamp,
    /// Who told us: `api`, `client`, `ingest:<key or user>`, `import`, `backtest`.
    pub origin: String,
    /// Whether the user existed here when it was received.
    #[serde(default)]
    pub known_user: bool,
    /// Whether it came later than the lateness allows; the live detector leaves it to `reprocess`.
    #[serde(default)]
    pub late: bool,
    /// Whether the reported time lay in the future and was replaced by `received_at`.
    #[serde(default)]
    pub clock_skew: bool,
    /// The request in which it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Activity {
    /// The origin of what another installation had logged.
    pub const IMPORTED: &str = "import";

    /// Whether it is history of another installation: late, since nobody looked at it live, and complete.
    #[must_use]
    pub fn is_imported(&self) -> bool {
        self.origin == Self::IMPORTED
    }

    /// An activity of our own (`origin: api`, `outcome: success`) of which nothing else is known yet.
    #[must_use]
    pub fn new(event_id: Uuid, action: &str, now: Timestamp) -> Self {
        Self {
            event_id,
            occurred_at: now,
            user: None,
            user_id: None,
            session_id: None,
            role: None,
            records: None,
            reason: None,
            action: action.to_owned(),
            resource: None,
            outcome: Outcome::Success,
            source_ip: None,
            user_agent: None,
            country: None,
            log_type: None,
            detail: None,
            page_url: None,
            attributes: Map::new(),
            received_at: now,
            origin: "api".to_owned(),
            known_user: false,
            late: false,
            clock_skew: false,
            request_id: None,
        }
    }

    /// The stored and published form: wire schema v1 with the provenance beside it and `attributes` as an object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let members = serde_json::to_string(self)
            .unwrap_or_else(|error| unreachable!("an activity has string keys only: {error}"));
        // An activity always has members, so its version goes before them, without a wrapper to serialize through.
        format!("{{\"v\":1,{}", &members[1..])
    }

    /// Reads back what [`to_json`](Self::to_json) wrote: the trusted form of our own journal.
    ///
    /// # Errors
    /// Text that `to_json` did not write.
    pub fn from_json(text: &str) -> Result<Self, WireError> {
        serde_json::from_str(text).map_err(|error| WireError::new("activity", error.to_string()))
    }

    /// The key by which a topic is partitioned, so that one user's activities keep their order: the canonical user
    /// name, else the session, else the address, else the event's own id. An empty text is no key.
    #[must_use]
    pub fn partition_key(&self) -> String {
        let user = self.user.as_deref().map(username_key).filter(|key| !key.is_empty());
        let session = || self.session_id.clone().filter(|session| !session.is_empty());
        let address = || self.source_ip.map(|address| address.to_string());
        user.or_else(session).or_else(address).unwrap_or_else(|| self.event_id.to_string())
    }

    /// Whether both report the same: a repetition is harmless, while one id with two contents is a conflict.
    /// What we added at receipt does not count, nor a time that we gave because the report had none of its own.
    #[must_use]
    pub fn same_content(&self, other: &Self) -> bool {
        // Destructured, so that a new member has to be put on one side or the other.
        let Self {
            event_id,
            occurred_at: _,
            user,
            user_id,
            session_id,
            role,
            records,
            reason,
            action,
            resource,
            outcome,
            source_ip,
            user_agent,
            country,
            log_type,
            detail,
            page_url,
            attributes: _,
            received_at: _,
            origin: _,
            known_user: _,
            late: _,
            clock_skew: _,
            request_id: _,
        } = self;
        *event_id == other.event_id
            && *user == other.user
            && *user_id == other.user_id
            && *session_id == other.session_id
            && *role == other.role
            && *records == other.records
            && *reason == other.reason
            && *action == other.action
            && *resource == other.resource
            && *outcome == other.outcome
            && *source_ip == other.source_ip
            && *user_agent == other.user_agent
            && *country == other.country
            && *log_type == other.log_type
            && *detail == other.detail
            && *page_url == other.page_url
            && self.reported_time() == other.reported_time()
            && self.reported_attributes().eq(other.reported_attributes())
    }

    /// The time that the report gave, before a skewed clock was corrected; `None` where it gave none.
    fn reported_time(&self) -> Option<Timestamp> {
        if self.clock_skew {
            self.attributes.get("occurred_at").and_then(Value::as_str).and_then(Timestamp::parse)
        } else {
            Some(self.occurred_at).filter(|time| *time != self.received_at)
        }
    }

    fn reported_attributes(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.attributes.iter().filter(|(name, _)| match name.as_str() {
            // Of how it came to us: a repetition comes in a trace of its own.
            TRACEPARENT => false,
            // Where the clock was wrong, this one is ours: it keeps the reported time.
            "occurred_at" => !self.clock_skew,
            _ => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_form_reads_back_exactly() {
        let now = Timestamp::parse("2026-01-01T00:00:00.123456Z").expect("valid");
        let mut activity = Activity::new(Uuid::from_u128(7), "View", now);
        activity.user = Some("Ada".into());
        activity.source_ip = Some("2001:db8::1".parse().expect("valid"));
        activity.log_type = Some(LogType::DataAccess);
        activity.outcome = Outcome::Denied;
        activity.late = true;
        activity.attributes =
            serde_json::from_str(r#"{"origin":"x","n":123456789012345678901234567890,"s":"\u0000"}"#).expect("valid");
        let text = activity.to_json();
        assert!(text.starts_with(r#"{"v":1,"event_id":"00000000-0000-0000-0000-000000000007""#), "{text}");
        assert_eq!(Activity::from_json(&text).expect("valid"), activity);
        assert_eq!(activity.partition_key(), "ada");
    }

    #[test]
    fn the_partition_key_is_the_first_of_user_session_address_and_id() {
        let mut activity = Activity::new(Uuid::from_u128(7), "View", Timestamp::default());
        assert_eq!(activity.partition_key(), "00000000-0000-0000-0000-000000000007");
        activity.source_ip = Some("192.0.2.1".parse().expect("valid"));
        assert_eq!(activity.partition_key(), "192.0.2.1");
        activity.session_id = Some("s".into());
        assert_eq!(activity.partition_key(), "s");
        activity.user = Some("  ".into());
        assert_eq!(activity.partition_key(), "s");
        activity.user = Some(" ＡＤＡ ".into());
        assert_eq!(activity.partition_key(), "ada");
    }

    #[test]
    fn a_repetition_has_the_same_content_whenever_and_through_whomever_it_comes() {
        let at = |text| Timestamp::parse(text).expect("valid");
        let send = |line: &str, when| {
            let incoming = crate::wire::parse(line.as_bytes()).expect("valid");
            incoming.into_activity(at(when), Uuid::from_u128(1), "ingest:fw")
        };
        let (first, again) = ("2026-01-01T00:00:00Z", "2026-01-01T00:03:00Z");
        for line in [
            r#"{"action":"View","user":"a","x":1}"#,
            r#"{"action":"View","ts":"2025-12-31T00:00:00Z"}"#,
            // Ahead of the first receipt by more than a clock may be, of the second by less.
            r#"{"action":"View","ts":"2026-01-01T00:04:00Z"}"#,
            r#"{"action":"View","ts":"2027-01-01T00:00:00Z"}"#,
        ] {
            let mut second = send(line, again);
            second.late = true;
            second.known_user = true;
            second.request_id = Some("r".into());
            second.attributes.insert(TRACEPARENT.into(), "of its own".into());
            second.origin = "ingest:other".into();
            assert!(send(line, first).same_content(&second), "{line}");
        }
        let view = send(r#"{"action":"View","user":"a","x":1}"#, first);
        for other in [
            r#"{"action":"View","user":"b","x":1}"#,
            r#"{"action":"View","user":"a","x":2}"#,
            r#"{"action":"View","user":"a"}"#,
            r#"{"action":"View","user":"a","x":1,"ts":"2025-12-31T00:00:00Z"}"#,
        ] {
            assert!(!view.same_content(&send(other, first)), "{other}");
        }
    }
}
