//! When an attempt that failed is made again: when the receiver asked for it, else after the waits that Standard Webhooks
//! proposes; and a last time when the time is up.

use domain::{HOUR, MINUTE, SECOND, Timestamp};
use store::Next;

/// The wait after the first, second … failure; after the last of them that one again. Microseconds.
const WAITS: [i64; 6] = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR];
/// A receiver may ask for patience, but not for more than this.
const MOST_ASKED: i64 = HOUR;
/// And from the second failure on for no less than this: what it says each time may be wrong each time.
const LEAST_ASKED: i64 = MINUTE;
/// For how long a receiver may have all its messages wait.
const MOST_REST: i64 = MINUTE;

/// What is left to do after `failures` failures, the one of now included. `asked`: the wait that the receiver asked for,
/// in microseconds. `spread`: between 0 and 1, so that what failed together does not come back together.
pub(crate) fn next(failures: i64, now: Timestamp, give_up_at: Timestamp, asked: Option<i64>, spread: f64) -> Next {
    if now >= give_up_at {
        return Next::Dead;
    }
    let at = usize::try_from(failures - 1).unwrap_or(0).min(WAITS.len() - 1);
    // A tenth more or less; of what was asked for, only more.
    let (wait, least) = match asked {
        Some(asked) => (asked.clamp(WAITS[at].min(LEAST_ASKED), MOST_ASKED), 1.0),
        None => (WAITS[at], 0.9),
    };
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "hours in microseconds")]
    let wait = (wait as f64 * (least + 0.2 * spread)) as i64;
    Next::At(now.plus(wait).min(give_up_at))
}

/// Until when a receiver is told nothing at all: it asked to be left alone, so the next message would fail as well.
pub(crate) fn rest(now: Timestamp, asked: i64) -> Timestamp {
    now.plus(asked.min(MOST_REST))
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
        let wait = |failures, asked| match next(failures, now, end, Some(asked), 0.0) {
            Next::At(at) => at.since(now) / SECOND,
            other => panic!("{other:?}"),
        };
        assert_eq!(wait(1, 2 * MINUTE), 120);
        assert_eq!(wait(5, 2 * MINUTE), 120, "sooner than without being asked");
        assert_eq!((wait(1, 0), wait(2, SECOND), wait(6, SECOND)), (5, 60, 60));
        assert_eq!(wait(1, 40 * DAY), 3_600);
        assert_eq!(rest(now, 7 * SECOND).since(now), 7 * SECOND);
        assert_eq!(rest(now, DAY).since(now), MINUTE);
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
