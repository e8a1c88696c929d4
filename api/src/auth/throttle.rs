//! Throttling of log-in attempts: pure arithmetic over what the database counted.
//!
//! Attempts are throttled and accounts are never locked: otherwise anybody could lock anybody out. The counts belong
//! to the submitted name whether or not it exists, so a refusal tells nothing about who does.

use domain::{MINUTE, SECOND, Timestamp};
use store::Attempts;

/// Failures of one name from one source before it has to wait.
const PAIR_FREE: usize = 5;
/// Failures, and names, of one source before it has to wait.
const SOURCE_FAILURES: i64 = 30;
const SOURCE_NAMES: i64 = 10;
/// Failures of one name from sources that it never logged in from.
const FOREIGN_FAILURES: i64 = 20;
const LONGEST: i64 = 15 * MINUTE;

/// For how many seconds the attempt is refused, if it is.
pub(crate) fn wait(attempts: &Attempts, now: Timestamp) -> Option<u64> {
    let pair = attempts.pair_failures.iter().max().copied().and_then(|last| {
        let beyond = attempts.pair_failures.len().checked_sub(PAIR_FREE)?;
        let steps = u32::try_from(beyond).unwrap_or(u32::MAX).min(4);
        remaining(last, (MINUTE << steps).min(LONGEST), now)
    });
    if attempts.known_source {
        // An office behind one router: who is known here is refused only by their own count.
        return pair;
    }
    let source = (attempts.source_failures >= SOURCE_FAILURES || attempts.source_names >= SOURCE_NAMES)
        .then(|| remaining(attempts.last_source_failure?, LONGEST, now))
        .flatten();
    let foreign = (attempts.foreign_failures >= FOREIGN_FAILURES)
        .then(|| remaining(attempts.last_foreign_failure?, LONGEST, now))
        .flatten();
    [pair, source, foreign].into_iter().flatten().max()
}

fn remaining(last: Timestamp, pause: i64, now: Timestamp) -> Option<u64> {
    let left = last.plus(pause).since(now);
    (left > 0).then(|| u64::try_from((left + SECOND - 1) / SECOND).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_micros(1_000 * MINUTE + minutes * MINUTE)
    }

    #[test]
    fn pauses_double_up_to_a_quarter_of_an_hour() {
        for (failures, seconds) in
            [(4, None), (5, Some(60)), (6, Some(120)), (8, Some(480)), (9, Some(900)), (40, Some(900))]
        {
            let attempts = Attempts { pair_failures: vec![at(0); failures], ..Attempts::default() };
            assert_eq!(wait(&attempts, at(0)), seconds, "{failures}");
        }
        let attempts = Attempts { pair_failures: vec![at(0); 5], ..Attempts::default() };
        assert_eq!(wait(&attempts, at(1)), None, "the pause is over");
    }

    #[test]
    fn a_known_source_keeps_only_its_own_count() {
        let mut attempts =
            Attempts { source_failures: 99, source_names: 50, last_source_failure: Some(at(0)), ..Attempts::default() };
        assert_eq!(wait(&attempts, at(5)), Some(600));
        attempts.known_source = true;
        assert_eq!(wait(&attempts, at(5)), None);
    }
}
