//! [`Severity`] of an alert, and the level of a user's risk.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How serious a finding is. `Informational` never alerts: it is a signal that counts for risk only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// A signal for risk, never in the queue.
    Informational,
    /// Read it this week.
    Low,
    /// Read it today.
    #[default]
    Medium,
    /// Read it now.
    High,
    /// Wake somebody.
    Critical,
}

impl Severity {
    /// All severities, rising.
    pub const ALL: [Self; 5] = [Self::Informational, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "Informational",
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
            Self::Critical => "Critical",
        }
    }

    /// Points of risk of a finding of this severity where its rule names none (docs/rules.md).
    #[must_use]
    pub const fn points(self) -> i64 {
        match self {
            Self::Informational => 5,
            Self::Low => 21,
            Self::Medium => 47,
            Self::High => 73,
            Self::Critical => 99,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Severity {
    type Err = String;

    /// Reads a word in any case.
    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|severity| severity.as_str().eq_ignore_ascii_case(word))
            .ok_or_else(|| "must be one of informational, low, medium, high, critical".to_owned())
    }
}

/// The level of a risk score from 0 to 100, in the words that the frontend knows.
#[must_use]
pub fn risk_level(score: f64) -> &'static str {
    match score {
        score if score >= 90.0 => "Critical Alert",
        score if score >= 70.0 => "High Alert",
        score if score >= 40.0 => "Medium Alert",
        score if score >= 20.0 => "Low Alert",
        _ => "Normal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_rise_and_read_back() {
        assert!(Severity::Low < Severity::High);
        assert_eq!("critical".parse(), Ok(Severity::Critical));
    }

    #[test]
    fn levels_begin_at_their_lower_bound() {
        for (score, level) in [
            (19.99, "Normal"),
            (20.0, "Low Alert"),
            (40.0, "Medium Alert"),
            (70.0, "High Alert"),
            (90.0, "Critical Alert"),
        ] {
            assert_eq!(risk_level(score), level);
        }
    }
}
