//! Numbers of events as sums, averages and percentiles take them.

use rust_decimal::Decimal;

use super::field::{exact, is_number};

/// A number is beyond all that are summed: it has more than 28 digits before the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Digits before the point, and behind it.
const DIGITS: u32 = 28;

/// Text as a number, to 28 digits; `None` where it is none.
///
/// # Errors
/// It is too large.
pub(crate) fn amount(text: &str) -> Result<Option<Decimal>, TooLarge> {
    if !is_number(text) {
        return Ok(None);
    }
    let number = exact(text).or_else(|| plain(text)?.parse().ok()).ok_or(TooLarge)?;
    if number.trunc().mantissa().unsigned_abs() < 10_u128.pow(DIGITS) { Ok(Some(number)) } else { Err(TooLarge) }
}

/// A number without its exponent; none where it has too many digits before the point.
fn plain(text: &str) -> Option<String> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = [whole, fraction].concat();
    let digits = all.trim_start_matches('0');
    if digits.is_empty() {
        return Some("0".to_owned());
    }
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    // What does not fit is beyond everything, on one side or the other.
    let beyond = if exponent.starts_with('-') { i64::MIN } else { i64::MAX };
    let exponent: i64 = exponent.parse().unwrap_or(beyond);
    // So many of the digits stand before the point.
    let before = exponent.saturating_add(length(whole) - (length(&all) - length(digits)));
    match usize::try_from(before) {
        Ok(before) if before > DIGITS as usize => None,
        Ok(before) => {
            let (whole, fraction) = digits.split_at_checked(before).unwrap_or((digits, ""));
            Some(format!("{sign}0{whole:0<before$}.{fraction}0"))
        }
        Err(_) if before < -i64::from(DIGITS) => Some("0".to_owned()),
        Err(_) => Some(format!("{sign}0.{}{digits}", "0".repeat(usize::try_from(-before).unwrap_or(0)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_number_takes_part_with_28_digits() {
        let long = "0.".to_owned() + &"3".repeat(500);
        for (text, number) in [
            ("12", "12"),
            ("-0.50", "-0.5"),
            ("1e3", "1000"),
            ("+5", "5"),
            (".5", "0.5"),
            ("9999999999999999999999999999.4", "9999999999999999999999999999.4"),
            ("-1e27", "-1000000000000000000000000000"),
            (long.as_str(), "0.3333333333333333333333333333"),
            ("1.234567890123456789012345678901234567890e5", "123456.78901234567890123456789"),
            ("12345678901234567890123456789012345678.9e-30", "12345678.901234567890123456789"),
            ("-1e-28", "-0.0000000000000000000000000001"),
            ("1e-29", "0"),
            ("-3e-999999999999999999999999", "0"),
            ("0e999999999999999999999999", "0"),
            ("0000000000000000000000000000000000001.5", "1.5"),
        ] {
            assert_eq!(amount(text), Ok(Some(number.parse().unwrap())), "{text}");
        }
    }

    #[test]
    fn what_is_too_large_is_told_apart_from_what_is_no_number() {
        for text in [
            "1e300",
            "1e28",
            "-10000000000000000000000000000.5",
            "-123456789012345678901234567890",
            "1e999999999999999999",
        ] {
            assert_eq!(amount(text), Err(TooLarge), "{text}");
        }
        for text in ["", ".", "1_000", " 1", "0x10", "NaN", "inf", "1e", "--1", "1.2.3", "e5"] {
            assert_eq!(amount(text), Ok(None), "{text}");
        }
    }
}
