//! Slots → [`Incoming`]: which alias wins, what type it must have, and what is kept besides.

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::reader::Texts;
use super::slots::Slots;
use super::table::{
    self, Key, MAX_ACTION, MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES, MAX_DETAIL, MAX_NAME, MAX_RESOURCE, MAX_TEXT, Member,
    Source,
};
use super::value::Raw;
use super::{Incoming, WireError, address};
use crate::{LogType, Outcome, Timestamp};

/// What a value says: `None` where it stands for an absent one; an error continues after the member's name.
type Said<T> = Result<Option<T>, Cow<'static, str>>;

pub(super) fn resolve(slots: &mut Slots<'_>, texts: &mut Texts, measure: bool) -> Result<Incoming, WireError> {
    choose(slots, table::V, |_, raw| version(&raw))?;
    let action = choose(slots, table::ACTION, |_, raw| match text(raw, MAX_ACTION, texts) {
        Ok(Some(action)) if action.is_empty() => Err("is empty; say what was done, such as View".into()),
        said => said,
    })?;
    let mut incoming = Incoming {
        event_id: choose(slots, table::EVENT_ID, |_, raw| id(&raw))?,
        occurred_at: choose(slots, table::OCCURRED_AT, |_, raw| time(&raw))?,
        user: choose(slots, table::USER, |_, raw| text(raw, MAX_NAME, texts))?,
        user_id: choose(slots, table::USER_ID, |_, raw| whole(&raw))?,
        session_id: choose(slots, table::SESSION_ID, |_, raw| text(raw, MAX_NAME, texts))?,
        role: choose(slots, table::ROLE, |_, raw| text(raw, MAX_NAME, texts))?,
        records: choose(slots, table::RECORDS, |_, raw| whole(&raw))?,
        reason: choose(slots, table::REASON, |_, raw| text(raw, MAX_TEXT, texts))?,
        action: action
            .ok_or_else(|| WireError::new("action", "is missing; say what was done, such as \"action\": \"View\""))?,
        resource: choose(slots, table::RESOURCE, |_, raw| text(raw, MAX_RESOURCE, texts))?,
        outcome: choose(slots, table::OUTCOME, outcome)?,
        source_ip: choose(slots, table::SOURCE_IP, |_, raw| address(&raw))?,
        user_agent: choose(slots, table::USER_AGENT, |_, raw| text(raw, MAX_TEXT, texts))?,
        country: choose(slots, table::COUNTRY, |_, raw| text(raw, MAX_NAME, texts))?,
        log_type: choose(slots, table::LOG_TYPE, |_, raw| log_type(&raw))?,
        detail: choose(slots, table::DETAIL, |_, raw| text(raw, MAX_DETAIL, texts))?,
        page_url: choose(slots, table::PAGE_URL, |_, raw| text(raw, MAX_RESOURCE, texts))?,
        attributes: Map::new(),
    };
    if let Some(given) = slots.take(Key::Attributes) {
        gather(&mut slots.attributes, given.into_value());
    }
    incoming.attributes = std::mem::take(&mut slots.attributes);
    limit(&incoming.attributes, measure)?;
    Ok(incoming)
}

/// The first source that says something wins. Another that says the same is dropped, one that says something else
/// becomes an attribute under its own name; so does one that cannot be read, which is only an error if it wins.
fn choose<'a, T: PartialEq>(
    slots: &mut Slots<'a>,
    member: Member,
    mut read: impl FnMut(&str, Raw<'a>) -> Said<T>,
) -> Result<Option<T>, WireError> {
    let filled = slots.filled(member.keys);
    if !slots.nested && filled & filled.wrapping_sub(1) == 0 {
        // One at most, as nearly always.
        let Some(key) = Key::first(filled) else { return Ok(None) };
        let Some(raw) = slots.take(key) else { return Ok(None) };
        return read(key.name(), raw).map_err(|message| WireError::new(key.name(), message));
    }
    choose_of_several(slots, member, read)
}

fn choose_of_several<'a, T: PartialEq>(
    slots: &mut Slots<'a>,
    member: Member,
    mut read: impl FnMut(&str, Raw<'a>) -> Said<T>,
) -> Result<Option<T>, WireError> {
    let mut won = None;
    for source in member.sources {
        match *source {
            Source::Key(key) => {
                let Some(raw) = slots.take(key) else { continue };
                if won.is_none() {
                    won = read(key.name(), raw).map_err(|message| WireError::new(key.name(), message))?;
                } else if !agrees(&read(key.name(), raw.clone()), won.as_ref()) {
                    slots.attributes.insert(key.name().to_owned(), raw.into_value());
                }
            }
            Source::Path(path) if slots.nested => {
                let Some(raw) = at_path(&slots.attributes, path) else { continue };
                let said = read(path, raw);
                if won.is_none() {
                    won = said.map_err(|message| WireError::new(path, message))?;
                } else if !agrees(&said, won.as_ref()) {
                    continue;
                }
                take_path(&mut slots.attributes, path);
            }
            Source::Path(_) => {}
        }
    }
    Ok(won)
}

/// Whether a source adds nothing to what has won: it says the same, or nothing.
fn agrees<T: PartialEq>(said: &Said<T>, won: Option<&T>) -> bool {
    said.as_ref().is_ok_and(|said| said.is_none() || said.as_ref() == won)
}

fn at_path(attributes: &Map<String, Value>, path: &str) -> Option<Raw<'static>> {
    let mut steps = path.split('.');
    let first = attributes.get(steps.next()?)?;
    match steps.try_fold(first, |value, step| value.get(step))? {
        Value::Null => None,
        Value::String(text) => Some(Raw::Text(Cow::Owned(text.clone()))),
        other => Some(Raw::Other(other.clone())),
    }
}

/// Removes what stands at `path`, and the objects that it leaves empty.
fn take_path(members: &mut Map<String, Value>, path: &str) {
    match path.split_once('.') {
        None => {
            members.remove(path);
        }
        Some((step, rest)) => {
            if let Some(Value::Object(inner)) = members.get_mut(step) {
                take_path(inner, rest);
                if inner.is_empty() {
                    members.remove(step);
                }
            }
        }
    }
}

/// A member `attributes`, as our own published form has it, holds attributes. Where the record has another value of
/// that name besides, the one inside stays inside.
fn gather(attributes: &mut Map<String, Value>, given: Value) {
    let Value::Object(given) = given else {
        attributes.insert("attributes".to_owned(), given);
        return;
    };
    let mut inside = Map::new();
    for (name, value) in given {
        match attributes.get(&name) {
            _ if value.is_null() => {}
            None => {
                attributes.insert(name, value);
            }
            Some(outside) if *outside == value => {}
            Some(_) => {
                inside.insert(name, value);
            }
        }
    }
    if !inside.is_empty() {
        attributes.insert("attributes".to_owned(), Value::Object(inside));
    }
}

fn limit(attributes: &Map<String, Value>, measure: bool) -> Result<(), WireError> {
    if attributes.len() > MAX_ATTRIBUTES {
        let message = format!(
            "the record has {} members beside those of the schema; send at most {MAX_ATTRIBUTES}",
            attributes.len()
        );
        return Err(WireError::new("attributes", message));
    }
    if measure && size(attributes) > MAX_ATTRIBUTE_BYTES {
        let message = "the members beside those of the schema have more than 16 KiB together; send less";
        return Err(WireError::new("attributes", message));
    }
    Ok(())
}

fn size(attributes: &Map<String, Value>) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // A failure counts as too long; there is none, as keys are strings and the writer takes everything.
    serde_json::to_writer(&mut count, attributes).map_or(usize::MAX, |()| count.0)
}

fn text(raw: Raw<'_>, most: usize, texts: &mut Texts) -> Said<String> {
    let Raw::Text(text) = raw else { return Err("must be text; put it in quotes".into()) };
    // Bytes first: they are known, and no fewer than characters.
    if text.len() > most && text.chars().count() > most {
        return Err(format!("has more than {most} characters; shorten it").into());
    }
    Ok(Some(texts.owned(text)))
}

/// What is empty cannot be one of these types, and stands for absent.
fn typed<'r>(raw: &'r Raw<'_>, wanted: &'static str) -> Result<Option<&'r str>, Cow<'static, str>> {
    match raw {
        Raw::Text(text) if text.is_empty() => Ok(None),
        Raw::Text(text) => Ok(Some(text)),
        Raw::Digits(_) | Raw::Other(_) => Err(wanted.into()),
    }
}

fn id(raw: &Raw<'_>) -> Said<Uuid> {
    const WANTED: &str = "must be a UUID such as 0197a3b2-0c4d-7e5f-8a6b-1c2d3e4f5a6b";
    let Some(text) = typed(raw, WANTED)? else { return Ok(None) };
    Uuid::try_parse(text).map(Some).map_err(|_| WANTED.into())
}

fn time(raw: &Raw<'_>) -> Said<Timestamp> {
    const WANTED: &str = "must be a time with its offset such as 2026-03-01T12:00:00Z";
    let Some(text) = typed(raw, WANTED)? else { return Ok(None) };
    Timestamp::parse(text).map(Some).ok_or_else(|| WANTED.into())
}

fn address(raw: &Raw<'_>) -> Said<IpAddr> {
    const WANTED: &str = "must be an IPv4 or IPv6 address, or \"\" where it is unknown";
    let Some(text) = typed(raw, WANTED)? else { return Ok(None) };
    address::read(text).map(Some).ok_or_else(|| WANTED.into())
}

fn log_type(raw: &Raw<'_>) -> Said<LogType> {
    let Some(word) = typed(raw, "must be one of ui_event, system, auth, data_access")? else { return Ok(None) };
    word.parse().map(Some).map_err(Cow::Owned)
}

fn outcome(name: &str, raw: Raw<'_>) -> Said<Outcome> {
    let Some(word) = typed(&raw, "must be one of success, failure, denied")? else { return Ok(None) };
    if word == "unknown" && name == Key::EventOutcome.name() {
        return Ok(Some(Outcome::Success));
    }
    word.parse().map(Some).map_err(Cow::Owned)
}

fn whole(raw: &Raw<'_>) -> Said<i64> {
    const WANTED: &str = "must be a whole number";
    let number = match raw {
        Raw::Text(text) if text.is_empty() => return Ok(None),
        Raw::Text(text) => whole_number(text),
        Raw::Digits(digits) => whole_number(digits),
        Raw::Other(Value::Number(number)) => whole_number(number.as_str()),
        Raw::Other(_) => None,
    };
    number.map(Some).ok_or_else(|| WANTED.into())
}

/// A whole number as people and forms write it: `7`, `007`, `10.0`, `1e2`.
fn whole_number(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = integer.trim_start_matches(['-', '+']);
    let bare = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if digits.is_empty() || digits.len() + 1 < integer.len() || !bare(digits) || !bare(fraction) || text.ends_with('.')
    {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let all = format!("{integer}{fraction}");
    let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let number = if shift >= 0 {
        // 19 digits fill an i64; more zeros than that leave it, unless there is nothing to shift.
        let number: i64 = all.parse().ok()?;
        if number == 0 {
            return Some(0);
        }
        number.checked_mul(10_i64.checked_pow(u32::try_from(shift).ok()?)?)?
    } else {
        let cut = usize::try_from(-i64::from(shift)).ok()?;
        let (kept, zeros) = all.split_at_checked(all.len().checked_sub(cut)?)?;
        if zeros.bytes().any(|byte| byte != b'0') {
            return None;
        }
        kept.parse().ok()?
    };
    Some(number)
}

fn version(raw: &Raw<'_>) -> Said<()> {
    let major = match raw {
        Raw::Text(text) => text.split('.').next(),
        Raw::Digits(digits) => digits.split('.').next(),
        Raw::Other(Value::Number(number)) => number.as_str().split('.').next(),
        Raw::Other(_) => None,
    };
    match major {
        Some("1") => Ok(Some(())),
        _ => Err("names a schema version that is unknown here; send version 1".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_as_forms_write_them() {
        for (text, number) in [
            ("7", 7),
            ("007", 7),
            ("10.0", 10),
            ("1e2", 100),
            ("1.5e1", 15),
            ("-3", -3),
            ("-0", 0),
            ("0.0", 0),
            ("100e-2", 1),
            ("9223372036854775807", i64::MAX),
            ("0e99", 0),
            ("-1e2", -100),
        ] {
            assert_eq!(whole_number(text), Some(number), "{text}");
        }
        for text in [
            "",
            " ",
            "7.5",
            "1e-1",
            "9223372036854775808",
            "1e19",
            "1e999999999",
            "--1",
            "+-1",
            ".",
            "1.",
            "e",
            "0x1",
            "1_0",
            "٣",
        ] {
            assert_eq!(whole_number(text), None, "{text}");
        }
    }
}
