//! Lengths of time as Sigma writes them: `15s`, `5m`, `12h`, `7d`, `2w`, `1M`, `1y`.

use domain::{DAY, HOUR, MINUTE, SECOND};

/// The mean month in microseconds, as in other readers of Sigma.
pub const MONTH: i64 = 2_629_746 * SECOND;
/// The mean year in microseconds: twelve of those months.
pub const YEAR: i64 = 12 * MONTH;
/// Longest length of time that a rule may ask for.
const LONGEST: i64 = 10 * 366 * DAY;

/// Microseconds of a length of time; months and years are the mean ones, as in other readers of Sigma.
///
/// # Errors
/// A sentence that says what is allowed.
pub(super) fn parse(text: &str) -> Result<i64, String> {
    let wrong = || "must be a whole number and a unit: 15s, 5m, 12h, 7d, 2w, 1M or 1y".to_owned();
    let Some((at, unit)) = text.char_indices().next_back() else {
        return Err(wrong());
    };
    let digits = &text[..at];
    let unit = match unit {
        's' => SECOND,
        'm' => MINUTE,
        'h' => HOUR,
        'd' => DAY,
        'w' => 7 * DAY,
        'M' => MONTH,
        'y' => YEAR,
        _ => return Err(wrong()),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    match digits.parse::<i64>().ok().and_then(|count| count.checked_mul(unit)) {
        Some(0) => Err("must be longer than nothing".to_owned()),
        Some(span) if span <= LONGEST => Ok(span),
        _ => Err("must be ten years at most".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (text, seconds) in [
            ("15s", 15),
            ("5m", 300),
            ("12h", 43_200),
            ("7d", 604_800),
            ("2w", 1_209_600),
            ("1M", 2_629_746),
            ("1y", 31_556_952),
        ] {
            assert_eq!(parse(text), Ok(seconds * SECOND), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "m", "5", "5 m", "1.5h", "-5m", "+5m", "0m", "5min", "99999999999999999999d", "11y", "5é"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
