//! An attribute's value: as it came, but no deeper than [`MAX_DEPTH`] and without NUL, which not every store can hold.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::table::MAX_DEPTH;

/// The key under which serde_json hands out a number in its own digits.
const NUMBER: &str = "$serde_json::private::Number";

/// What a member turned out to be.
#[derive(Clone)]
pub(super) enum Raw<'a> {
    /// Text, borrowed from the line where it has no escapes.
    Text(Cow<'a, str>),
    /// A plain number as it stands in the line, with nothing to put in order: no exponent.
    Digits(&'a str),
    /// A number, a boolean, a list or an object.
    Other(Value),
}

impl Raw<'_> {
    /// As an attribute.
    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Text(text) => Value::String(text.into_owned()),
            Self::Digits(digits) => number(digits),
            Self::Other(value) => value,
        }
    }
}

fn number(digits: &str) -> Value {
    // Most are whole and have no sign, and a number of those is written by the same digits.
    match digits.parse::<u64>() {
        Ok(number) => number.into(),
        Err(_) => digits.parse::<Number>().map_or_else(|_| Value::String(digits.to_owned()), Value::Number),
    }
}

/// What must not be in a value; the first one found is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// U+0000.
    Nul,
    /// Too many lists and objects inside each other.
    Deep,
}

impl Bad {
    pub(super) fn message(self) -> String {
        match self {
            Self::Nul => "holds a NUL character; leave it out".to_owned(),
            Self::Deep => format!("is nested deeper than {MAX_DEPTH} levels; flatten it"),
        }
    }
}

/// Looks for what must not be, in a value that somebody else has parsed.
pub(super) fn inspect(value: &Value, depth: usize) -> Result<(), Bad> {
    match value {
        Value::String(text) if text.contains('\0') => Err(Bad::Nul),
        Value::Array(_) | Value::Object(_) if depth == MAX_DEPTH => Err(Bad::Deep),
        Value::Array(items) => items.iter().try_for_each(|item| inspect(item, depth + 1)),
        Value::Object(members) => members
            .iter()
            .try_for_each(|(name, item)| if name.contains('\0') { Err(Bad::Nul) } else { inspect(item, depth + 1) }),
        _ => Ok(()),
    }
}

/// Reads one value; `None` is null.
pub(super) struct ValueSeed<'s> {
    /// Lists and objects around this value.
    pub(super) depth: usize,
    /// Where to say what must not be.
    pub(super) bad: &'s mut Option<Bad>,
}

impl ValueSeed<'_> {
    fn inner(&mut self) -> ValueSeed<'_> {
        ValueSeed { depth: self.depth + 1, bad: self.bad }
    }

    fn refuse<E: de::Error>(self, bad: Bad) -> E {
        *self.bad = Some(bad);
        // The reader puts its own words in the place of these.
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Option<Raw<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Option<Raw<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        // Borrowed text has no escapes, and JSON has no other way to write a NUL.
        Ok(Some(Raw::Text(Cow::Borrowed(text))))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Self::Value, E> {
        if text.contains('\0') {
            return Err(self.refuse(Bad::Nul));
        }
        Ok(Some(Raw::Text(Cow::Owned(text))))
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Some(Raw::Other(Value::Bool(flag))))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(Raw::Other(number.into())))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(Raw::Other(number.into())))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Self::Value, A::Error> {
        if self.depth == MAX_DEPTH {
            return Err(self.refuse(Bad::Deep));
        }
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.inner())? {
            list.push(item.map_or(Value::Null, Raw::into_value));
        }
        Ok(Some(Raw::Other(Value::Array(list))))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key_seed(KeySeed)? {
            if object.is_empty() && name == NUMBER {
                // serde_json's numbers come this way; an object of that shape means nothing else either.
                return match members.next_value_seed(self.inner())? {
                    Some(Raw::Text(digits)) => match digits.parse::<Number>() {
                        Ok(number) => Ok(Some(Raw::Other(Value::Number(number)))),
                        Err(_) => Err(de::Error::custom("not a number")),
                    },
                    _ => Err(de::Error::custom("not a number")),
                };
            }
            // Here and not at the start, so that a number at the limit is still a number.
            if self.depth == MAX_DEPTH {
                return Err(self.refuse(Bad::Deep));
            }
            if name.contains('\0') {
                return Err(self.refuse(Bad::Nul));
            }
            let value = members.next_value_seed(self.inner())?.map_or(Value::Null, Raw::into_value);
            object.insert(name.into_owned(), value);
        }
        Ok(Some(Raw::Other(Value::Object(object))))
    }
}

/// A key, borrowed from the line where it has no escapes.
pub(super) struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: de::Error>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}
