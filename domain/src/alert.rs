//! [`Alert`]: what a rule found, with its evidence, as stored, published and shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use uuid::Uuid;

use crate::{Severity, Timestamp};

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
    /// Who, where the key says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// From where, where the key says so.
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
    fn counts_are_written_without_a_fraction() {
        let step = |observed| Escalation { at: Timestamp::default(), severity: Severity::High, observed };
        assert!(serde_json::to_string(&step(12.0)).expect("json").ends_with(r#""observed":12}"#));
        assert!(serde_json::to_string(&step(0.25)).expect("json").ends_with(r#""observed":0.25}"#));
    }
}
