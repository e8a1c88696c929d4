//! What the rules found: present state, history, whom it counts for, and what people made of it.
//!
//! | file | what |
//! |---|---|
//! | `detection` | [`Store::apply_detection`] and what else the detector asks of the store |
//! | `write` | changed alerts → rows, steps, flags, scores, journal, messages to webhooks: one transaction |
//! | `subjects` | whom an alert counts for |
//! | `steps` | how an alert came to its present state |
//! | `flags` | the flag at the event that crossed |
//! | `read` | [`Store::alerts`], one alert, its events, changes for the stream |
//! | `triage` | status, verdict, reason, assignee |
//!
//! The engine's account of an alert is one JSON document; state, revision and triage stand in columns beside it and
//! win over the document (see `stored`).

mod detection;
mod flags;
mod read;
mod steps;
mod subjects;
mod triage;
pub(crate) mod write;

use domain::{Alert, AlertState, Severity, Timestamp};
use uuid::Uuid;

use crate::query::id;
use crate::{Error, Result};

pub use detection::{Change, Detected, DetectionBatch, Evidence, Stored};
pub use read::{AlertFilter, AlertOrder};
pub(crate) use steps::{CAME_OUT, TAKEN_BACK};
pub(crate) use subjects::{Subject, Subjects};
pub use triage::{HistoryRow, Seen, Triage};
pub use write::News;

/// An alert as it stands, with what people made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRow {
    /// The alert; `state`, `revision`, `status`, `verdict` and `suppressed` as stored.
    pub alert: Alert,
    /// Why it was closed.
    pub reason: Option<String>,
    /// Who looks after it.
    pub assignee: Option<String>,
    /// The exception that keeps it out of the queue.
    pub exception_id: Option<i64>,
    /// When it was written last, by the server's clock; with the alert's id the position of a change in the stream.
    pub updated_at: Timestamp,
}

/// The columns of [`AlertRow`], in the order of [`Columns`].
pub(crate) const COLUMNS: &str = "SELECT a.alert_id, a.document, a.state, a.revision, a.suppressed, a.exception_id, \
    a.status, a.verdict, a.reason, a.assignee, a.updated_at FROM alerts a";

/// A row of [`COLUMNS`].
pub(crate) type Columns =
    (Vec<u8>, String, String, i64, i64, Option<i64>, String, Option<String>, Option<String>, Option<String>, i64);

/// Puts document and columns together.
pub(crate) fn stored(columns: Columns) -> Result<AlertRow> {
    let (alert_id, document, state, revision, suppressed, exception_id, status, verdict, reason, assignee, at) =
        columns;
    let mut alert: Alert = serde_json::from_str(&document).map_err(|error| Error::Fault(Box::new(error)))?;
    alert.alert_id = id(&alert_id)?;
    alert.state = state_of(&state)?;
    alert.revision = revision;
    alert.suppressed = suppressed != 0;
    alert.status = status;
    alert.verdict = verdict;
    // The column goes on saying which exception kept it out, for the count; one that has come out is kept out by none.
    let exception_id = exception_id.filter(|_| alert.suppressed);
    Ok(AlertRow { alert, reason, assignee, exception_id, updated_at: Timestamp::from_micros(at) })
}

/// The state of a word.
fn state_of(word: &str) -> Result<AlertState> {
    use AlertState::{Closed, Merged, Open, Retracted, Superseded};
    [Open, Closed, Retracted, Merged, Superseded]
        .into_iter()
        .find(|state| state.as_str() == word)
        .ok_or_else(|| Error::fault(format!("unknown state of an alert: {word}")))
}

/// The number under which a severity is stored: 0 informational … 4 critical.
pub(crate) fn rank(severity: Severity) -> i64 {
    severity as i64
}

/// The severity of a number.
pub(crate) fn severity(rank: i64) -> Severity {
    usize::try_from(rank).ok().and_then(|rank| Severity::ALL.get(rank).copied()).unwrap_or_default()
}

/// Whether the alert has been taken back: nothing counts of it.
pub(crate) fn is_void(state: AlertState) -> bool {
    matches!(state, AlertState::Retracted | AlertState::Merged)
}

/// Identity of a rule and key together: keys can be longer than an index allows.
pub(crate) fn key_digest(alert: &Alert) -> Uuid {
    let key = serde_json::to_string(&alert.key).unwrap_or_default();
    domain::ids::derived(&[b"alert key", alert.rule_id.as_bytes(), key.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_are_stored_in_their_order() {
        assert!(Severity::ALL.into_iter().all(|one| severity(rank(one)) == one));
        assert!(rank(Severity::Critical) == 4 && rank(Severity::Informational) == 0);
        assert_eq!(state_of("superseded").expect("known"), AlertState::Superseded);
        assert!(state_of("gone").is_err());
    }
}
