//! [`Record`]: the few texts of an event that a later decision needs, and how keys and values are read.

use std::borrow::Cow;
use std::hash::BuildHasher;

use domain::Activity;
use hashbrown::{DefaultHashBuilder, HashTable};
use rust_decimal::Decimal;

use super::held::Value;
use super::plan::{KeyOf, Plan, ValueOf};
use crate::rules::{Field, Share, number};

/// What is kept of an event: texts by index of [`Plan::fields`].
#[derive(Debug, Default)]
pub(super) struct Record(Box<[(u16, Box<str>)]>);

impl Record {
    /// Keeps `fields` of an activity.
    pub(super) fn keep(plan: &Plan, fields: &[usize], activity: &Activity) -> Self {
        let text = |field: &usize| {
            let text = plan.fields[*field].text(activity)?;
            Some((u16::try_from(*field).ok()?, text.into()))
        };
        Self(fields.iter().filter_map(text).collect())
    }

    /// Of texts, each with its field.
    pub(super) fn of(texts: Vec<(u16, &str)>) -> Self {
        Self(texts.into_iter().map(|(field, text)| (field, text.into())).collect())
    }

    /// The texts, each with its field.
    pub(super) fn texts(&self) -> impl Iterator<Item = (u16, &str)> {
        self.0.iter().map(|(field, text)| (*field, &**text))
    }

    /// Heap memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        2 * size_of::<usize>() + self.0.iter().map(|(_, text)| size_of::<(u16, Box<str>)>() + text.len()).sum::<usize>()
    }
}

/// Where an event's fields are read from: the event itself, or what was kept of it.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    Event(&'a Activity),
    Kept(&'a Record),
}

impl<'a> Source<'a> {
    /// The text of a field.
    pub(super) fn text(self, plan: &Plan, field: usize) -> Option<Cow<'a, str>> {
        match self {
            Self::Event(activity) => plan.fields[field].text(activity),
            Self::Kept(record) => {
                let (_, text) = record.0.iter().find(|(of, _)| usize::from(*of) == field)?;
                Some(Cow::Borrowed(text))
            }
        }
    }

    /// A part of a key: exact text, a user in canonical form, an IPv6 address as its /64. Empty is absent.
    pub(super) fn key_part(self, plan: &Plan, field: usize) -> Option<Cow<'a, str>> {
        let text = self.text(plan, field).filter(|text| !text.is_empty())?;
        let text = match plan.fields[field] {
            Field::User => match is_canonical(&text) {
                true => text,
                false => Cow::Owned(domain::username_key(&text)),
            },
            Field::SourceIp if text.contains(':') => match text.parse() {
                Ok(ip) => Cow::Owned(domain::network(ip)),
                Err(_) => text,
            },
            _ => text,
        };
        (!text.is_empty()).then_some(text)
    }

    /// The key, encoded so that different keys have different texts.
    pub(super) fn key(self, plan: &Plan, key: &KeyOf, variant: usize) -> Option<Cow<'a, str>> {
        match key {
            KeyOf::Auto { user, source_ip, share } => self.auto_key(plan, *user, *source_ip, *share).map(Cow::Owned),
            KeyOf::Fields { variants, .. } => {
                let fields = &variants[variant];
                if let [field] = fields.as_slice() {
                    return self.key_part(plan, *field);
                }
                let mut text = String::new();
                for field in fields {
                    let part = self.key_part(plan, *field)?;
                    text.push_str(&part.len().to_string());
                    text.push(':');
                    text.push_str(&part);
                }
                Some(Cow::Owned(text))
            }
        }
    }

    /// The key of a detection that names none: the user, else the address, else the one key of all. Where events are
    /// split, each of these belongs to one of the shares.
    pub(super) fn auto_key(self, plan: &Plan, user: usize, source_ip: usize, share: Share) -> Option<String> {
        let part = |field, tag: &str| self.key_part(plan, field).map(|part| [tag, &part].concat());
        let (user, source) = (part(user, "u"), part(source_ip, "i"));
        match share {
            Share::Whole => Some(user.or(source).unwrap_or_default()),
            Share::ByUser if user.is_none() && source.is_some() => None,
            Share::ByUser => Some(user.unwrap_or_default()),
            Share::BySource => source.filter(|_| user.is_none()),
        }
    }

    /// The value that the event brings into a channel; `None` where it takes no part for want of one.
    pub(super) fn value(self, plan: &Plan, of: Option<&ValueOf>, texts: &mut Interner) -> Option<Value> {
        match of {
            None => Some(Value::None),
            Some(ValueOf::Number(field)) => number(&self.text(plan, *field)?).map(Value::Number),
            Some(ValueOf::Texts(fields)) => {
                if let [field] = fields.as_slice() {
                    let text = self.text(plan, *field).filter(|text| !text.is_empty())?;
                    return Some(Value::Text(texts.take(&text)));
                }
                let mut tuple = String::new();
                for field in fields {
                    let text = self.text(plan, *field).filter(|text| !text.is_empty())?;
                    tuple.push_str(&text.len().to_string());
                    tuple.push(':');
                    tuple.push_str(&text);
                }
                Some(Value::Text(texts.take(&tuple)))
            }
        }
    }
}

fn is_canonical(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase())
}

/// Splits an encoded key into its parts, by name.
pub(super) fn key_parts(key: &KeyOf, text: &str) -> Vec<(String, String)> {
    match key {
        KeyOf::Auto { .. } => match text.split_at_checked(1) {
            Some(("u", user)) => vec![("user".to_owned(), user.to_owned())],
            Some(("i", ip)) => vec![("source_ip".to_owned(), ip.to_owned())],
            _ => Vec::new(),
        },
        KeyOf::Fields { names, .. } if names.len() == 1 => vec![(names[0].clone(), text.to_owned())],
        KeyOf::Fields { names, .. } => {
            let mut rest = text;
            let mut parts = Vec::new();
            for name in names {
                let Some((length, tail)) = rest.split_once(':') else { break };
                let length = length.parse().unwrap_or(0);
                let Some((part, tail)) = tail.split_at_checked(length) else { break };
                parts.push((name.clone(), part.to_owned()));
                rest = tail;
            }
            parts
        }
    }
}

/// Texts that windows count, each held once however many events bring it.
#[derive(Debug, Default)]
pub(super) struct Interner {
    /// A part of the text's hash, and its number.
    numbers: HashTable<(u32, u32)>,
    /// As for keys: see [`Keys`](super::keys::Keys).
    hashes: DefaultHashBuilder,
    texts: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    text: Text,
    held: u32,
}

/// A text of a key or a value. Addresses, names of people and objects are short, and lie where they are looked for.
#[derive(Debug, Clone)]
pub(super) enum Text {
    Short(u8, [u8; Text::SHORT]),
    Long(Box<str>),
}

impl Text {
    const SHORT: usize = 22;

    pub(super) fn of(text: &str) -> Self {
        let mut bytes = [0; Self::SHORT];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(text.as_bytes());
                Self::Short(len, bytes)
            }
            _ => Self::Long(text.into()),
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Short(..) => std::str::from_utf8(self.bytes()).unwrap_or_default(),
            Self::Long(text) => text,
        }
    }

    /// Whether it is this text.
    pub(super) fn is(&self, text: &str) -> bool {
        self.bytes() == text.as_bytes()
    }

    /// Heap memory in bytes.
    pub(super) fn heap(&self) -> usize {
        if let Self::Long(text) = self { text.len() } else { 0 }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(len, bytes) => &bytes[..usize::from(*len)],
            Self::Long(text) => text.as_bytes(),
        }
    }
}

impl Interner {
    /// The number of a text, held once more.
    pub(super) fn take(&mut self, text: &str) -> u32 {
        let part = hash_part(&self.hashes, text);
        let same = |(other, number): &(u32, u32)| *other == part && self.texts[*number as usize].text.is(text);
        if let Some((_, number)) = self.numbers.find(hash_place(part), same) {
            self.texts[*number as usize].held += 1;
            return *number;
        }
        let slot = Slot { text: Text::of(text), held: 1 };
        let number = match self.free.pop() {
            Some(number) => {
                self.texts[number as usize] = slot;
                number
            }
            None => {
                self.texts.push(slot);
                u32::try_from(self.texts.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.numbers.insert_unique(hash_place(part), (part, number), |(part, _)| hash_place(*part));
        number
    }

    /// The text of a number that is held.
    pub(super) fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", |slot| slot.text.text())
    }

    /// Lets go of a text once.
    pub(super) fn release(&mut self, number: u32) {
        let slot = &mut self.texts[number as usize];
        slot.held -= 1;
        if slot.held > 0 {
            return;
        }
        let text = std::mem::replace(&mut slot.text, Text::Short(0, [0; Text::SHORT]));
        let part = hash_part(&self.hashes, text.text());
        if let Ok(entry) = self.numbers.find_entry(hash_place(part), |(_, other)| *other == number) {
            entry.remove();
        }
        self.free.push(number);
    }

    /// Heap memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.texts.iter().map(|slot| slot.text.heap()).sum::<usize>()
            + self.texts.capacity() * size_of::<Slot>()
            + self.free.capacity() * size_of::<u32>()
            + self.numbers.allocation_size()
    }
}

/// The part of a text's hash that stands beside its number in a table.
pub(super) fn hash_part(hashes: &DefaultHashBuilder, text: &str) -> u32 {
    u32::try_from(hashes.hash_one(text) >> 32).unwrap_or(u32::MAX)
}

/// The place in a table: made of the part, so that a table that grows need not look at the texts.
pub(super) fn hash_place(part: u32) -> u64 {
    // Fibonacci hashing (Knuth, TAOCP 6.4): a table uses high and low bits.
    u64::from(part).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The mean of a sum over a count, as far as 28 digits go.
pub(super) fn mean(sum: Decimal, count: usize) -> Decimal {
    sum.checked_div(Decimal::from(count.max(1))).unwrap_or(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_number_as_long_as_it_is_held() {
        let mut texts = Interner::default();
        let of = |length: usize| "ä".repeat(length / 2) + &"x".repeat(length % 2);
        let numbers: Vec<u32> = (0..60).map(|length| texts.take(&of(length))).collect();
        for (length, number) in numbers.iter().enumerate() {
            assert_eq!(texts.text(*number), of(length));
            assert_eq!(texts.take(&of(length)), *number);
        }
        for number in numbers.iter().chain(&numbers) {
            texts.release(*number);
        }
        assert!(texts.numbers.is_empty());
        let new = texts.take("new");
        assert_eq!(texts.text(new), "new");
        assert_eq!(texts.texts.len(), 60, "places are used again");
    }
}
