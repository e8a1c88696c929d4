//! A made population for the engine: the same events in every run.

use std::fmt::Write as _;

use domain::{Timestamp, ids};

/// Active users in the made population: each of them does something every 200 s.
pub(super) const USERS: u64 = 10_000;

/// Events of a business day: many lists and objects looked at, some changes, a few failed log-ins; 20 ms apart.
#[derive(Debug)]
pub(super) struct Population {
    state: u64,
    at: Timestamp,
}

impl Population {
    pub(super) fn new() -> Self {
        Self { state: 0x9e37_79b9_7f4a_7c15, at: Timestamp::from_micros(1_772_697_600_000_000) }
    }

    /// A number below `n`: SplitMix64, whose low bits are as good as its high ones.
    fn below(&mut self, n: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    /// Writes the next event as a line.
    pub(super) fn line(&mut self, line: &mut String) {
        self.at = self.at.plus(20_000);
        let user = self.below(USERS);
        let object = self.below(500);
        let (action, resource, more) = match self.below(100) {
            0..55 => ("View", format!("inventory/{object}"), ""),
            55..80 => ("View", "inventory".to_owned(), r#","records":100"#),
            80..90 => ("Update", format!("orders/{object}"), ""),
            90..94 => ("Create", format!("orders/{object}"), ""),
            94..95 => ("Delete", format!("orders/{object}"), ""),
            95..97 => ("LoginFailed", "auth".to_owned(), r#","outcome":"failure","reason":"bad_password""#),
            97..99 => ("Login", "auth".to_owned(), ""),
            _ => ("Export", "orders".to_owned(), r#","records":40"#),
        };
        // What does not fail is written to a String.
        let _ = writeln!(
            line,
            r#"{{"event_id":"{}","occurred_at":"{}","user":"user{user}","session_id":"session-{user}","role":"Employee","action":"{action}","resource":"{resource}","source_ip":"10.{}.{}.7","user_agent":"Mozilla/5.0 (X11; Linux x86_64)","log_type":"data_access"{more}}}"#,
            ids::event_id(self.at),
            self.at,
            user / 250,
            user % 250,
        );
    }
}

/// What one user looks at, never the same twice in a window: a distinct window with 1,800 live values.
pub(super) fn distinct(lines: usize) -> String {
    let mut text = String::new();
    let mut at = Timestamp::from_micros(1_772_697_600_000_000);
    for line in 0..lines {
        at = at.plus(1_000_000);
        // A window of 30 minutes, an event a second, no value twice within it.
        let _ = writeln!(
            text,
            r#"{{"event_id":"{}","occurred_at":"{at}","user":"ada","action":"View","resource":"inventory/{}","source_ip":"192.0.2.1"}}"#,
            ids::event_id(at),
            line % 5_000,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_an_activity() {
        let mut population = Population::new();
        let mut text = String::new();
        (0..1_000).for_each(|_| population.line(&mut text));
        text.push_str(&distinct(10));
        assert_eq!(text.lines().filter(|line| domain::wire::parse(line.as_bytes()).is_ok()).count(), 1_010);
    }
}
