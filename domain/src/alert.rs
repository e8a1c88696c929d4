//! [`Alert`]: what a rule found, with its evidence, as stored, published and shown.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use uuid::Uuid;

use crate::partition::network;
use crate::{Severity, Timestamp, username_key};

/// Where an alert stands, by the engine's account (triage is `status` and `verdict`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Its episode goes on.
    #[default]
    Open,
    /// Its episode is over.
    Closed,
    /// An event that came late showed that the rule had not fired.
    Retracted,
    /// An event that came late joined its episode to another.
    Merged,
    /// Its rule is no longer loaded in the revision that found it; the new one starts over.
    Superseded,
}

impl AlertState {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Retracted => "retracted",
            Self::Merged => "merged",
            Self::Superseded => "superseded",
        }
    }
}

/// A step upwards within one episode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Escalation {
    /// Time of the event that crossed the step.
    pub at: Timestamp,
    /// The severity from then on.
    pub severity: Severity,
    /// What was observed at that time.
    #[serde(serialize_with = "whole")]
    pub observed: f64,
}

/// What a rule found in one episode: the members of a line of `backtest --alerts`, of a message on the topic and of
/// an object over REST.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// UUIDv5 of rule, rule revision, key and the event that crossed when the alert was first seen: a replay of the same
    /// log writes the same rows. Later events may move the crossing, never the id.
    pub alert_id: Uuid,
    /// Time of the event that crossed the threshold.
    pub at: Timestamp,
    /// The rule's title.
    pub rule: String,
    /// The rule's id.
    pub rule_id: String,
    /// Alerts of one family within one episode count once for risk.
    pub family: String,
    /// The highest severity reached.
    pub severity: Severity,
    /// Points, 0–99.
    pub risk: i64,
    /// MITRE ATT&CK techniques: `T1110.001`.
    pub techniques: Vec<String>,
    /// Who, where the key or its session says so: as the event that crossed writes the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// From where, where the key says so: the address of the event that crossed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// In which session, where the key says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// What the rule grouped by.
    pub key: BTreeMap<String, String>,
    /// The highest value that was observed.
    #[serde(serialize_with = "whole")]
    pub observed: f64,
    /// The value from which the rule fires.
    #[serde(serialize_with = "whole")]
    pub threshold: f64,
    /// The rule's window in seconds; 0 where a single event suffices.
    pub window_s: i64,
    /// First event of the episode.
    pub first_event_at: Timestamp,
    /// Last event of the episode.
    pub last_event_at: Timestamp,
    /// Evidence, in event order; `event_count` says how many there are where this list is cut.
    pub event_ids: Vec<Uuid>,
    /// What the observation was compared with: n, median, spread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Value>,
    /// A sentence that says what happened and why it counts.
    pub explanation: String,
    /// Steps upwards within the episode.
    pub escalations: Vec<Escalation>,
    /// Where it stands by the engine's account.
    pub state: AlertState,
    /// The alert that took this one in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<Uuid>,
    /// How many events the episode has.
    pub event_count: i64,
    /// Rises by one with each update.
    pub revision: i64,
    /// Triage: `new`, then what the analysts made of it.
    pub status: String,
    /// Triage: `true_positive`, `false_positive`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Whether an exception keeps it out of the queue.
    #[serde(default)]
    pub suppressed: bool,
    /// `live` or `reprocess`.
    pub found_by: String,
    /// The event that crossed the threshold.
    pub crossing_event: Uuid,
}

impl Alert {
    /// Says who and from where as the event that crossed says it. What a key counts by is canonical, a name in lower
    /// case and a network of IPv6; people and other systems know the name and the address. A session is its user's.
    /// Where the event speaks of somebody else, nothing changes.
    pub fn tell_by(&mut self, user: Option<&str>, ip: Option<IpAddr>) {
        let named = match (&self.user, user) {
            (Some(key), Some(user)) => username_key(key) == username_key(user),
            (None, Some(_)) => self.session.is_some(),
            (_, None) => false,
        };
        if named {
            self.user = user.map(str::to_owned);
        }
        if let (Some(key), Some(ip)) = (&self.ip, ip)
            && *key == network(ip)
        {
            self.ip = Some(ip.to_string());
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn whole<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    // 2^53: beyond it an f64 has no fraction to lose, but not every integer either.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        return serializer.serialize_i64(*number as i64);
    }
    serializer.serialize_f64(*number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_words_what_its_alert_counts_by_and_nothing_else() {
        let json = r#"{"alert_id":"0191a000-0000-7000-8000-0000000000aa","at":"2026-01-01T00:00:00Z","rule":"R","rule_id":"r",
            "family":"f","severity":"Low","risk":1,"techniques":[],"key":{},"observed":1,"threshold":1,"window_s":0,
            "first_event_at":"2026-01-01T00:00:00Z","last_event_at":"2026-01-01T00:00:00Z","event_ids":[],"explanation":"",
            "escalations":[],"state":"open","event_count":1,"revision":1,"status":"open","found_by":"live",
            "crossing_event":"0191a000-0000-7000-8000-0000000000aa"}"#;
        let alert: Alert = serde_json::from_str(json).expect("an alert");
        let (v6, other): (IpAddr, IpAddr) =
            ("2001:db8::7".parse().expect("valid"), "2001:db8:1::7".parse().expect("valid"));
        let text = |text: &str| Some(text.to_owned());
        let told = |user: Option<&str>, ip: Option<&str>, session: Option<&str>, by: (Option<&str>, IpAddr)| {
            let (user, ip, session) = (user.map(Into::into), ip.map(Into::into), session.map(Into::into));
            let mut alert = Alert { user, ip, session, ..alert.clone() };
            alert.tell_by(by.0, Some(by.1));
            (alert.user, alert.ip)
        };
        assert_eq!(told(Some("ada"), None, None, (Some("Ada"), v6)), (text("Ada"), None));
        assert_eq!(told(Some("ada"), None, None, (Some("Bob"), v6)), (text("ada"), None));
        assert_eq!(told(None, Some("2001:db8::/64"), None, (Some("Ada"), v6)), (None, text("2001:db8::7")));
        assert_eq!(told(None, Some("2001:db8::/64"), None, (Some("Ada"), other)), (None, text("2001:db8::/64")));
        assert_eq!(told(None, None, Some("s"), (Some("Ada"), v6)), (text("Ada"), None));
        assert_eq!(told(None, None, Some("s"), (None, v6)), (None, None));
    }

    #[test]
    fn counts_are_written_without_a_fraction() {
        let step = |observed| Escalation { at: Timestamp::default(), severity: Severity::High, observed };
        assert!(serde_json::to_string(&step(12.0)).expect("json").ends_with(r#""observed":12}"#));
        assert!(serde_json::to_string(&step(0.25)).expect("json").ends_with(r#""observed":0.25}"#));
    }
}
