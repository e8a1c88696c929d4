//! [`Slots`]: a record, sorted by the keys that the schema knows.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::table::{KEYS, Key, begins_a_path};
use super::value::Raw;

/// A record, sorted. What stands in the line as it is, is only pointed at: such slots are made and dropped for nothing.
pub(super) struct Slots<'a> {
    plain: [&'a str; KEYS],
    /// What is not plain, in no order.
    others: Vec<(Key, Raw<'a>)>,
    /// Slots that are filled, a bit each.
    filled: u64,
    /// Those of them that hold digits, and no text.
    digits: u64,
    /// Those whose content is among the others.
    odd: u64,
    /// What has no slot.
    pub(super) attributes: Map<String, Value>,
    /// Whether `attributes` has an object in which a member may be found by its path.
    pub(super) nested: bool,
}

impl<'a> Slots<'a> {
    /// Empty ones.
    pub(super) fn new() -> Self {
        Self {
            plain: [""; KEYS],
            others: Vec::new(),
            filled: 0,
            digits: 0,
            odd: 0,
            attributes: Map::new(),
            nested: false,
        }
    }

    /// Those of `keys` (a bit each) that are filled.
    #[inline]
    pub(super) fn filled(&self, keys: u64) -> u64 {
        self.filled & keys
    }

    /// Empties a slot.
    #[inline]
    pub(super) fn take(&mut self, key: Key) -> Option<Raw<'a>> {
        if self.filled & key.bit() == 0 {
            return None;
        }
        self.filled &= !key.bit();
        if self.odd & key.bit() != 0 {
            return self.take_other(key);
        }
        let plain = self.plain[key as usize];
        Some(if self.digits & key.bit() == 0 { Raw::Text(Cow::Borrowed(plain)) } else { Raw::Digits(plain) })
    }

    /// Fills a slot, or empties it again: the last of a key counts, a null too.
    #[inline]
    pub(super) fn put(&mut self, key: Key, raw: Option<Raw<'a>>) {
        let (bit, place) = (key.bit(), &mut self.plain[key as usize]);
        if self.odd & bit != 0 {
            self.take_other(key);
            return self.put(key, raw);
        }
        self.digits &= !bit;
        self.filled |= bit;
        match raw {
            Some(Raw::Text(Cow::Borrowed(text))) => *place = text,
            Some(Raw::Digits(digits)) => {
                *place = digits;
                self.digits |= bit;
            }
            Some(other) => {
                self.odd |= bit;
                self.others.push((key, other));
            }
            None => self.filled &= !bit,
        }
    }

    #[cold]
    fn take_other(&mut self, key: Key) -> Option<Raw<'a>> {
        self.odd &= !key.bit();
        let at = self.others.iter().position(|(of, _)| *of == key)?;
        Some(self.others.swap_remove(at).1)
    }

    /// The last of a key counts, so a null takes back what stood before it.
    pub(super) fn put_attribute(&mut self, name: Cow<'_, str>, raw: Option<Raw<'a>>) {
        let Some(raw) = raw else {
            self.attributes.remove(name.as_ref());
            return;
        };
        self.nested |= matches!(raw, Raw::Other(Value::Object(_))) && begins_a_path(&name);
        self.attributes.insert(name.into_owned(), raw.into_value());
    }

    /// Objects under `user` and `user_agent` are ECS: no values of these members, but places to look for them.
    pub(super) fn unfold(&mut self) {
        for key in [Key::User, Key::UserAgent] {
            if self.odd & key.bit() == 0 {
                continue;
            }
            match self.take(key) {
                Some(object @ Raw::Other(Value::Object(_))) => {
                    self.put_attribute(Cow::Borrowed(key.name()), Some(object));
                }
                raw => self.put(key, raw),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_whatever_was_put_the_last_is_taken_once() {
        let raws = || {
            [
                None,
                Some(Raw::Text("a".into())),
                Some(Raw::Digits("1")),
                Some(Raw::Text("b".to_owned().into())),
                Some(Raw::Other(Value::Bool(true))),
            ]
        };
        let value = |raw: Option<Raw<'_>>| raw.map(Raw::into_value);
        for (first, second) in raws().into_iter().flat_map(|first| raws().map(|second| (first.clone(), second))) {
            let mut slots = Slots::new();
            slots.put(Key::Reason, first);
            slots.put(Key::User, Some(Raw::Other(Value::Null)));
            slots.put(Key::Reason, second.clone());
            assert_eq!(slots.filled(u64::MAX), Key::User.bit() | second.as_ref().map_or(0, |_| Key::Reason.bit()));
            assert_eq!(value(slots.take(Key::Reason)), value(second));
            assert!(slots.take(Key::Reason).is_none());
            assert_eq!(value(slots.take(Key::User)), Some(Value::Null));
        }
    }
}
