//! Waiting before the next try.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Waits that double from 50 ms to 5 s, each somewhere between half and all of its length, so that those who failed
/// together do not come back together.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

/// The longest first wait.
const FIRST: Duration = Duration::from_millis(50);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(5);

impl Backoff {
    /// Counts a failure; how long to wait now.
    #[must_use]
    pub fn failed(&mut self) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        // The hasher's keys are random: jitter does not deserve a dependency.
        let share = RandomState::new().hash_one(self.failures) % 1_000;
        whole / 2 + whole.mul_f64(f64::from(u32::try_from(share).unwrap_or(0)) / 2_000.0)
    }

    /// Failures since the last success.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// It worked: the next failure starts anew.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_start_anew_after_a_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..40).map(|_| backoff.failed()).collect();
        assert!(waits[0] >= FIRST / 2 && waits[0] <= FIRST, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= LONGEST), "{waits:?}");
        assert!(waits[39] >= LONGEST / 2, "{waits:?}");
        assert_eq!(backoff.failures(), 40);
        backoff.succeeded();
        assert!(backoff.failed() <= FIRST);
    }
}
