//! [`Change`]: an alert as it has become, and the line that says so.

use std::collections::HashMap;

use domain::{MINUTE, Severity, Timestamp};
use serde::Deserialize;
use uuid::Uuid;

/// So many alerts are remembered before those that cannot come again are forgotten.
const MANY: usize = 1_000;

/// What a line needs of an alert.
#[derive(Debug, Deserialize)]
pub(super) struct Change {
    alert_id: Uuid,
    last_event_at: Timestamp,
    updated_at: Timestamp,
    revision: i64,
    rule: String,
    pub(super) severity: Severity,
    user: Option<String>,
    ip: Option<String>,
    session: Option<String>,
    explanation: String,
    status: String,
}

impl Change {
    /// When it last went on (an episode may have begun long ago), severity, rule, who and why; what was made of the alert,
    /// once it is not open any more.
    pub(super) fn line(&self, coloured: bool) -> String {
        let severity = format!("{:<13}", self.severity.as_str());
        let severity = match self.severity {
            _ if !coloured => severity,
            Severity::Informational => format!("\x1b[2m{severity}\x1b[0m"),
            Severity::Low => format!("\x1b[36m{severity}\x1b[0m"),
            Severity::Medium => format!("\x1b[33m{severity}\x1b[0m"),
            Severity::High => format!("\x1b[31m{severity}\x1b[0m"),
            Severity::Critical => format!("\x1b[1;31m{severity}\x1b[0m"),
        };
        let who = self.user.as_ref().or(self.ip.as_ref()).or(self.session.as_ref());
        let who = who.map_or_else(|| "-".to_owned(), |who| plain(who));
        let status = if self.status == "open" { String::new() } else { format!(" ({})", plain(&self.status)) };
        format!(
            "{} {severity} {} · {who} · {}{status}",
            self.last_event_at,
            plain(&self.rule),
            plain(&self.explanation)
        )
    }
}

/// Names come from those who are watched: nothing in them may move a terminal's cursor or begin a line.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// What was seen, since a stream that is opened again repeats its last seconds.
#[derive(Debug, Default)]
pub(super) struct Seen {
    begun: Option<Timestamp>,
    newest: Option<Timestamp>,
    revisions: HashMap<Uuid, (i64, Timestamp)>,
}

impl Seen {
    /// What was before this counts as seen.
    pub(super) fn begin(&mut self, at: Timestamp) {
        self.begun = Some(at);
    }

    /// Whether this change is seen for the first time.
    pub(super) fn is_new(&mut self, change: &Change) -> bool {
        let (revision, at) = (change.revision, change.updated_at);
        let known = self.revisions.get(&change.alert_id).is_some_and(|(known, _)| *known >= revision);
        if known || self.begun.is_some_and(|begun| at < begun) {
            return false;
        }
        self.revisions.insert(change.alert_id, (revision, at));
        let newest = self.newest.map_or(at, |newest| newest.max(at));
        self.newest = Some(newest);
        if self.revisions.len() > MANY {
            self.revisions.retain(|_, (_, at)| newest.since(*at) < MINUTE);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(revision: i64, status: &str, second: i64) -> Change {
        serde_json::from_value(json!({
            "alert_id": Uuid::nil(), "at": "2026-03-02T08:46:00Z", "last_event_at": "2026-03-02T09:00:00Z", "updated_at": format!("2026-03-02T09:00:0{second}Z"),
            "revision": revision, "rule": "Password guessing", "severity": "High", "user": "eve\u{1b}[2J\n",
            "explanation": "12 failures", "status": status, "risk": 73,
        }))
        .unwrap()
    }

    #[test]
    fn a_line_says_who_and_why_and_no_name_moves_the_cursor() {
        let line = change(1, "open", 1).line(false);
        assert!(line.starts_with("2026-03-02T09:00:00"), "when it became news, not when it began: {line}");
        assert!(line.ends_with(" High          Password guessing · eve\u{fffd}[2J\u{fffd} · 12 failures"), "{line}");
        assert!(!line.contains('\u{1b}'));
        let line = change(2, "acknowledged", 1).line(true);
        assert!(line.contains("\x1b[31mHigh") && line.ends_with("(acknowledged)"), "{line}");
    }

    #[test]
    fn a_change_is_new_once_and_none_is_from_before_the_beginning() {
        let mut seen = Seen::default();
        seen.begin(Timestamp::parse("2026-03-02T09:00:02Z").unwrap());
        assert!(!seen.is_new(&change(1, "open", 1)));
        assert!(seen.is_new(&change(2, "open", 3)));
        assert!(!seen.is_new(&change(2, "open", 3)));
        assert!(seen.is_new(&change(3, "acknowledged", 4)));
    }
}
