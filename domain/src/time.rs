//! [`Timestamp`]: microseconds since 1970 in UTC, the only form of time in the product.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One second in microseconds.
pub const SECOND: i64 = 1_000_000;
/// One minute in microseconds.
pub const MINUTE: i64 = 60 * SECOND;
/// One hour in microseconds.
pub const HOUR: i64 = 60 * MINUTE;
/// One day of 24 hours in microseconds.
pub const DAY: i64 = 24 * HOUR;

/// A moment, in microseconds since the epoch. Always within the years 0001–9999, so that it can be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// 0001-01-01T00:00:00Z.
const FIRST: i64 = -62_135_596_800 * SECOND;
/// 9999-12-31T23:59:59.999999Z.
const LAST: i64 = 253_402_300_800 * SECOND - 1;

impl Timestamp {
    /// The earliest moment.
    pub const MIN: Self = Self(FIRST);
    /// The latest moment.
    pub const MAX: Self = Self(LAST);

    /// A moment from microseconds since the epoch; beyond the years 0001–9999 the nearest that is within.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        if micros < FIRST {
            Self(FIRST)
        } else if micros > LAST {
            Self(LAST)
        } else {
            Self(micros)
        }
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// This moment and `micros` microseconds.
    #[must_use]
    pub const fn plus(self, micros: i64) -> Self {
        Self::from_micros(self.0.saturating_add(micros))
    }

    /// Microseconds from `earlier` to this moment.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }

    /// Reads RFC 3339 with an offset. Digits beyond the microsecond are cut off; `None` where it is no such text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        fast(text).or_else(|| {
            let time = DateTime::parse_from_rfc3339(text).ok()?;
            within(time.timestamp().checked_mul(SECOND)? + i64::from(time.timestamp_subsec_micros().min(999_999)))
        })
    }

    /// Reads what queries may hold: RFC 3339, `YYYY-MM-DDTHH:MM:SS` and `YYYY-MM-DD`, the last two in UTC.
    #[must_use]
    pub fn parse_lenient(text: &str) -> Option<Self> {
        let text = text.trim();
        let naive = || {
            let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
                .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f"))
                .ok()
                .or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0))?;
            within(time.and_utc().timestamp_micros())
        };
        Self::parse(text).or_else(naive)
    }

    /// The moment for chrono, which knows calendars and zones.
    #[must_use]
    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }
}

fn within(micros: i64) -> Option<Timestamp> {
    (FIRST..=LAST).contains(&micros).then_some(Timestamp(micros))
}

/// Days of a month.
fn length(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// The form that nearly every record has, `2026-01-02T03:04:05[.digits](Z|±HH:MM)`, without a general parser: it is
/// on the path of every event. `None` sends the text to the general parser.
fn fast(text: &str) -> Option<Timestamp> {
    let (head, tail) = text.as_bytes().split_first_chunk()?;
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1] = *head else {
        return None;
    };
    let mut digits = true;
    let mut pair = |tens: u8, ones: u8| {
        let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
        digits &= tens <= 9 && ones <= 9;
        i64::from(tens) * 10 + i64::from(ones)
    };
    let year = pair(y0, y1) * 100 + pair(y2, y3);
    let (month, day) = (pair(m0, m1), pair(d0, d1));
    let (hour, minute, second) = (pair(h0, h1), pair(n0, n1), pair(s0, s1));
    if !digits || year < 1 || day < 1 || day > 28 && day > length(year, month) {
        return None;
    }
    if !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (micros, zone) = match tail {
        [b'.', fraction @ ..] => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (fraction, zone) = fraction.split_at(digits);
            if fraction.is_empty() {
                return None;
            }
            let micros = (0..6).fold(0, |sum, at| sum * 10 + fraction.get(at).map_or(0, |byte| i64::from(byte - b'0')));
            (micros, zone)
        }
        zone => (0, zone),
    };
    let offset = match *zone {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] => {
            let mut digits = true;
            let mut pair = |tens: u8, ones: u8| {
                digits &= tens.is_ascii_digit() && ones.is_ascii_digit();
                i64::from(tens.wrapping_sub(b'0')) * 10 + i64::from(ones.wrapping_sub(b'0'))
            };
            let (hours, minutes) = (pair(h0, h1), pair(m0, m1));
            if !digits || hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * 60 * if sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    // Days since the epoch (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    within((((days * 24 + hour) * 60 + minute) * 60 + second - offset) * SECOND + micros)
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with `Z`, with as many decimals as are needed: none, three or six.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand because every event is written with two of them.
        let (days, in_day) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        let (year, month, day) = civil(days);
        let second = in_day / SECOND;
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let mut put = |at: usize, width: usize, mut number: i64| {
            for digit in text[at..at + width].iter_mut().rev() {
                *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
                number /= 10;
            }
        };
        put(0, 4, year);
        put(5, 2, month);
        put(8, 2, day);
        put(11, 2, second / 3_600);
        put(14, 2, second / 60 % 60);
        put(17, 2, second % 60);
        put(20, 6, in_day % SECOND);
        let length = match in_day {
            _ if in_day % SECOND == 0 => 19,
            _ if in_day % 1_000 == 0 => 23,
            _ => 26,
        };
        text[length] = b'Z';
        f.write_str(std::str::from_utf8(&text[..=length]).map_err(|_| fmt::Error)?)
    }
}

/// Year, month and day of a day since the epoch (Howard Hinnant, "chrono-compatible low-level date algorithms").
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Timestamp;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as 2026-03-01T12:00:00Z")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
                Timestamp::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_and_the_general_one_agree() {
        for text in [
            "2026-01-02T03:04:05Z",
            "1969-12-31T23:59:59.999999Z",
            "2024-02-29T00:00:00.1+05:30",
            "2000-03-01T12:00:00-08:00",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59.5Z",
        ] {
            let general = DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros();
            assert_eq!(fast(text).map(Timestamp::micros), Some(general), "{text}");
            // What the short way takes, the general one takes for the same.
            for (at, byte) in (0..text.len()).flat_map(|at| b"0123459:.-+TZ /".map(|byte| (at, byte))) {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] = byte;
                let text = String::from_utf8(bytes).unwrap();
                let general = DateTime::parse_from_rfc3339(&text).map(|time| time.timestamp_micros()).ok();
                assert!(fast(&text).is_none_or(|time| Some(time.micros()) == general), "{text}");
            }
        }
        for text in ["2023-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T24:00:00Z", ""]
        {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn digits_beyond_the_microsecond_are_cut_off() {
        let text = "2026-01-02T03:04:05.1234569Z";
        assert_eq!(Timestamp::parse(text).unwrap().to_string(), "2026-01-02T03:04:05.123456Z");
    }

    #[test]
    fn queries_may_be_short() {
        assert_eq!(Timestamp::parse_lenient("2026-01-02").unwrap().to_string(), "2026-01-02T00:00:00Z");
        assert_eq!(Timestamp::parse_lenient("2026-01-02T03:04:05").unwrap().to_string(), "2026-01-02T03:04:05Z");
        assert_eq!(Timestamp::parse_lenient("yesterday"), None);
    }

    #[test]
    fn what_lies_beyond_the_calendar_is_held_at_its_edge() {
        assert_eq!(Timestamp::from_micros(i64::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MAX.plus(1).to_string(), "9999-12-31T23:59:59.999999Z");
    }

    #[test]
    fn what_is_written_is_what_the_calendar_says() {
        // Every 37 days and an odd rest, from the first year to the last.
        let mut at = FIRST;
        while at <= LAST {
            let written = Timestamp(at).to_string();
            let calendar =
                DateTime::from_timestamp_micros(at).unwrap().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
            assert_eq!(Timestamp::parse(&written), Some(Timestamp(at)), "{written}");
            assert_eq!(written.trim_end_matches(['Z', '0', '.']), calendar.trim_end_matches(['Z', '0', '.']));
            at += 37 * DAY + 12_345_678_901;
        }
        for (micros, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_000, "1970-01-01T00:00:00.001Z"),
            (10, "1970-01-01T00:00:00.000010Z"),
        ] {
            assert_eq!(Timestamp(micros).to_string(), text);
        }
    }
}
