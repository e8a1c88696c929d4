//! Numbers as forms send them: `7`, `"7"`, `"007"`, `"10.0"`, `"1e2"`, read exactly, never through a float.

/// A decimal number: `digits · 10^exponent`, negative where `negative`.
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

/// Splits a decimal literal; `None` where it is none.
fn decimal(text: &str) -> Option<Decimal> {
    let text = text.trim();
    if text.len() > 400 {
        return None;
    }
    let (negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let exponent = i64::from(exponent) - i64::try_from(fraction.len()).ok()?;
    let trimmed = digits.trim_end_matches('0');
    let exponent = exponent + i64::try_from(digits.len() - trimmed.len()).ok()?;
    Some(Decimal { negative, digits: trimmed.trim_start_matches('0').to_owned(), exponent })
}

/// Why a text is no such number.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum NotANumber {
    /// It is no decimal number at all, or has more decimals than are kept.
    Malformed,
    /// It is one, but beyond the range.
    OutOfRange,
}

impl NotANumber {
    /// What is wrong with a text that should be a whole number; its name stands before it.
    pub(super) fn of_whole(self) -> &'static str {
        match self {
            Self::Malformed => "must be an integer",
            Self::OutOfRange => "is out of range: at most 2147483647",
        }
    }
}

/// `text · 10^scale` as an integer within `low..=high`.
pub(crate) fn scaled(text: &str, scale: i64, low: i64, high: i64) -> Result<i64, NotANumber> {
    let number = decimal(text).ok_or(NotANumber::Malformed)?;
    if number.digits.is_empty() {
        return if low <= 0 && 0 <= high { Ok(0) } else { Err(NotANumber::OutOfRange) };
    }
    let exponent = number.exponent + scale;
    if exponent < 0 {
        return Err(NotANumber::Malformed);
    }
    if exponent > 18 || number.digits.len() > 18 {
        return Err(NotANumber::OutOfRange);
    }
    let power = u32::try_from(exponent).ok().and_then(|e| 10_i64.checked_pow(e));
    let digits: i64 = number.digits.parse().map_err(|_| NotANumber::OutOfRange)?;
    let value = power.and_then(|p| digits.checked_mul(p)).ok_or(NotANumber::OutOfRange)?;
    let value = if number.negative { -value } else { value };
    if (low..=high).contains(&value) { Ok(value) } else { Err(NotANumber::OutOfRange) }
}

/// A whole number of 32 bits.
pub(crate) fn whole(text: &str) -> Result<i64, NotANumber> {
    scaled(text, 0, i64::from(i32::MIN), i64::from(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_come_in_many_spellings() {
        for (text, value) in [
            ("7", 7),
            ("007", 7),
            ("10.0", 10),
            ("1e2", 100),
            ("1.50e1", 15),
            ("-3", -3),
            ("0", 0),
            ("0e9", 0),
            ("+4", 4),
        ] {
            assert_eq!(whole(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_not_whole_or_too_large_is_refused() {
        for text in ["", "x", "1.5", "1e-1", "--1", "0x10", "NaN", "1e", ".", "١"] {
            assert_eq!(whole(text), Err(NotANumber::Malformed), "{text}");
        }
        for text in ["2147483648", "1e400", "-2147483649", "99999999999999999999999"] {
            assert_eq!(whole(text), Err(NotANumber::OutOfRange), "{text}");
        }
    }

    #[test]
    fn money_is_exact() {
        assert_eq!(scaled("19.99", 2, 0, i64::MAX), Ok(1999));
        assert_eq!(scaled("0.1", 2, 0, i64::MAX), Ok(10));
        assert_eq!(scaled("0.105", 2, 0, i64::MAX), Err(NotANumber::Malformed));
    }
}
