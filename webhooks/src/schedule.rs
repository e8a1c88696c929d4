//! When an attempt that failed is made again: the waits that Standard Webhooks proposes, and a last attempt when the time
//! is up.

use domain::{HOUR, MINUTE, SECOND, Timestamp};
use store::Next;

/// The wait after the first, second … failure; after the last of them that one again. Microseconds.
const WAITS: [i64; 6] = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR];
/// A receiver may ask for more patience, but not for more than this.
const MOST_ASKED: i64 = HOUR;

/// What is left to do after `failures` failures, the one of now included. `asked`: the wait that the receiver asked for,
/// in microseconds. `spread`: between 0 and 1, so that what failed together does not come back together.
pub(crate) fn next(failures: i64, now: Timestamp, give_up_at: Timestamp, asked: Option<i64>, spread: f64) -> Next {
    if now >= give_up_at {
        return Next::Dead;
    }
    let at = usize::try_from(failures - 1).unwrap_or(0).min(WAITS.len() - 1);
    // A tenth more or less.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "hours in microseconds")]
    let wait = (WAITS[at] as f64 * (0.9 + 0.2 * spread)) as i64;
    let wait = wait.max(asked.unwrap_or(0).min(MOST_ASKED));
    Next::At(now.plus(wait).min(give_up_at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::DAY;

    #[test]
    fn waits_grow_and_the_last_attempt_comes_when_the_day_is_over() {
        let begun = Timestamp::from_micros(0);
        let end = begun.plus(DAY);
        let (mut now, mut times) = (begun, Vec::new());
        for failures in 1.. {
            match next(failures, now, end, None, 0.5) {
                Next::At(at) => {
                    times.push(at.since(now) / SECOND);
                    now = at;
                }
                other => {
                    assert_eq!(other, Next::Dead);
                    break;
                }
            }
        }
        assert_eq!(times[..6], [5, 300, 1_800, 7_200, 18_000, 36_000]);
        assert_eq!((times.len(), now), (7, end));
    }

    #[test]
    fn a_receiver_may_ask_for_patience_within_reason() {
        let (now, end) = (Timestamp::from_micros(0), Timestamp::from_micros(DAY));
        let wait = |failures, asked| match next(failures, now, end, Some(asked), 0.5) {
            Next::At(at) => at.since(now) / SECOND,
            other => panic!("{other:?}"),
        };
        assert_eq!(wait(1, 2 * MINUTE), 120);
        assert_eq!(wait(2, SECOND), 300, "never sooner than without being asked");
        assert_eq!(wait(1, 40 * DAY), 3_600);
    }

    #[test]
    fn waits_are_spread() {
        let (now, end) = (Timestamp::from_micros(0), Timestamp::from_micros(DAY));
        let (Next::At(first), Next::At(last)) = (next(2, now, end, None, 0.0), next(2, now, end, None, 1.0)) else {
            panic!("not tried again");
        };
        assert_eq!((first.since(now) / SECOND, last.since(now) / SECOND), (270, 330));
    }
}
