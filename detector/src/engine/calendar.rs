//! [`Calendar`]: weekly hours, asked in a zone.

use std::str::FromStr;

use chrono::{Datelike, TimeZone, Timelike};
use chrono_tz::Tz;
use domain::Timestamp;

/// Weekly hours such as `Mon-Fri 06:00-22:00`; several are separated by `;`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar(Vec<Hours>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hours {
    /// From Monday on.
    days: [bool; 7],
    /// Minutes of the day, the second left out.
    from: u32,
    to: u32,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Default for Calendar {
    /// Monday to Friday, 06:00 to 22:00.
    fn default() -> Self {
        Self(vec![Hours { days: [true, true, true, true, true, false, false], from: 6 * 60, to: 22 * 60 }])
    }
}

impl Calendar {
    /// Whether a moment lies within, by the clock of `zone`, summer time included.
    #[must_use]
    pub fn contains(&self, at: Timestamp, zone: Tz) -> bool {
        let local = zone.from_utc_datetime(&at.to_utc().naive_utc());
        let day = local.weekday().num_days_from_monday() as usize;
        let minute = local.hour() * 60 + local.minute();
        self.0.iter().any(|hours| {
            if hours.from < hours.to {
                return hours.days[day] && (hours.from..hours.to).contains(&minute);
            }
            // Past midnight: the evening of one day, the early hours of the next.
            (hours.days[day] && minute >= hours.from) || (hours.days[(day + 6) % 7] && minute < hours.to)
        })
    }
}

impl FromStr for Calendar {
    type Err = String;

    /// Reads `Mon-Fri 06:00-22:00; Sat 09:00-13:00`.
    fn from_str(text: &str) -> Result<Self, String> {
        let hours: Result<Vec<Hours>, String> =
            text.split(';').map(str::trim).filter(|part| !part.is_empty()).map(hours).collect();
        let hours = hours?;
        if hours.is_empty() {
            return Err("expected hours such as Mon-Fri 06:00-22:00".to_owned());
        }
        Ok(Self(hours))
    }
}

fn hours(text: &str) -> Result<Hours, String> {
    let wrong = || format!("`{text}`: expected days and hours such as Mon-Fri 06:00-22:00");
    let (names, times) = text.rsplit_once(char::is_whitespace).ok_or_else(wrong)?;
    let day = |name: &str| {
        let name = name.trim().to_lowercase();
        DAYS.iter().position(|day| name == *day).ok_or_else(wrong)
    };
    let mut days = [false; 7];
    for part in names.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (mut at, last) = (day(from)?, day(to)?);
        days[at] = true;
        while at != last {
            at = (at + 1) % 7;
            days[at] = true;
        }
    }
    let (from, to) = times.split_once('-').ok_or_else(wrong)?;
    let (from, to) = (minute(from).ok_or_else(wrong)?, minute(to).ok_or_else(wrong)?);
    if from == to || from == 24 * 60 {
        return Err(format!("`{text}`: the hours are empty"));
    }
    Ok(Hours { days, from, to })
}

fn minute(text: &str) -> Option<u32> {
    let (hour, minute) = text.trim().split_once(':')?;
    let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
    (minute < 60 && hour * 60 + minute <= 24 * 60 && hour <= 24).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(calendar: &str, at: &str, zone: &str) -> bool {
        let calendar: Calendar = calendar.parse().unwrap();
        calendar.contains(Timestamp::parse(at).unwrap(), zone.parse().unwrap())
    }

    #[test]
    fn hours_are_half_open_in_local_time() {
        let hours = "Mon-Fri 06:00-22:00";
        assert_eq!(hours.parse(), Ok(Calendar::default()));
        // Wednesday; Berlin is an hour ahead in winter and two in summer.
        assert!(!inside(hours, "2026-01-07T04:59:59Z", "Europe/Berlin"));
        assert!(inside(hours, "2026-01-07T05:00:00Z", "Europe/Berlin"));
        assert!(inside(hours, "2026-07-08T04:00:00Z", "Europe/Berlin"));
        assert!(!inside(hours, "2026-07-08T20:00:00Z", "Europe/Berlin"));
        assert!(!inside(hours, "2026-01-10T12:00:00Z", "UTC"), "a Saturday");
    }

    #[test]
    fn nights_and_lists_and_what_is_neither() {
        let nights = "Mon,Wed 22:00-06:00; Sat-Sun 00:00-24:00";
        assert!(inside(nights, "2026-01-06T05:59:00Z", "UTC"), "the end of Monday's night");
        assert!(!inside(nights, "2026-01-07T05:00:00Z", "UTC"), "Tuesday has no night");
        assert!(inside(nights, "2026-01-11T23:59:59Z", "UTC"));
        for wrong in ["", "Mon", "Mon 25:00-26:00", "Xyz 06:00-22:00", "Mon 06:00-06:00", "Mon 6-22"] {
            assert!(wrong.parse::<Calendar>().is_err(), "{wrong}");
        }
    }
}
