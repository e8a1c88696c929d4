//! JSON → one slot for each known key, and attributes, in one pass: by `scan`, or any JSON by serde.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Map, Value};

use super::reader::Habit;
use super::slots::Slots;
use super::table::Key;
use super::value::{Bad, KeySeed, Raw, ValueSeed, inspect};
use super::{WireError, scan};

/// Sorts a line into empty slots.
pub(super) fn fill<'a>(line: &'a [u8], slots: &mut Slots<'a>, habit: &mut Habit) -> Result<(), WireError> {
    if std::str::from_utf8(line).ok().and_then(|line| scan::fill(line, slots, habit)).is_some() {
        slots.unfold();
        return Ok(());
    }
    *slots = Slots::new();
    fill_from_any(line, slots)
}

/// The same by the general reader alone.
pub(super) fn fill_from_any<'a>(line: &'a [u8], slots: &mut Slots<'a>) -> Result<(), WireError> {
    let mut refused = None;
    let mut json = serde_json::Deserializer::from_slice(line);
    let seed = RecordSeed { slots: &mut *slots, refused: &mut refused };
    let read = seed.deserialize(&mut json).and_then(|()| json.end());
    match (read, refused) {
        (Ok(()), _) => {
            slots.unfold();
            Ok(())
        }
        (Err(_), Some((field, bad))) => Err(WireError::new(field, bad.message())),
        (Err(error), None) => Err(WireError::new("line", explain(&error))),
    }
}

pub(super) fn from_map(object: Map<String, Value>) -> Result<Slots<'static>, WireError> {
    let mut slots = Slots::new();
    for (name, value) in object {
        if name.contains('\0') {
            return Err(WireError::new(printable(&name), Bad::Nul.message()));
        }
        inspect(&value, 0).map_err(|bad| WireError::new(name.as_str(), bad.message()))?;
        let raw = match value {
            Value::Null => None,
            Value::String(text) => Some(Raw::Text(Cow::Owned(text))),
            other => Some(Raw::Other(other)),
        };
        match Key::of(&name) {
            Some(key) => slots.put(key, raw),
            None => slots.put_attribute(Cow::Owned(name), raw),
        }
    }
    slots.unfold();
    Ok(slots)
}

/// Says where the JSON is wrong, and nothing of what it holds.
fn explain(error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Eof => "ends before its JSON object does; send one whole object a line".to_owned(),
        Category::Data => "is not a JSON object; send one object a line".to_owned(),
        Category::Syntax | Category::Io => {
            format!("is not valid JSON at column {}; send one object a line", error.column())
        }
    }
}

fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(64).collect()
}

struct RecordSeed<'s, 'de> {
    /// Filled in place: they are a kilobyte.
    slots: &'s mut Slots<'de>,
    /// Which member holds what must not be.
    refused: &'s mut Option<(String, Bad)>,
}

impl<'de> DeserializeSeed<'de> for RecordSeed<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RecordSeed<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut bad = None;
        while let Some(name) = members.next_key_seed(KeySeed)? {
            let key = Key::of(&name);
            let read = members.next_value_seed(ValueSeed { depth: 0, bad: &mut bad });
            // A borrowed name has no escapes, hence no NUL.
            if matches!(&name, Cow::Owned(name) if name.contains('\0')) {
                bad = Some(Bad::Nul);
            }
            if let Some(bad) = bad {
                *self.refused = Some((printable(&name), bad));
                return Err(de::Error::custom("refused"));
            }
            match key {
                Some(key) => self.slots.put(key, read?),
                None => self.slots.put_attribute(name, read?),
            }
        }
        Ok(())
    }
}
