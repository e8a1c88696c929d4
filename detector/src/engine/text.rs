//! [`Text`] and [`Interner`]: texts of keys and values.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::chunked::Chunked;

/// Texts that windows count, each held once however many events bring it.
#[derive(Debug, Default)]
pub(super) struct Interner {
    /// A part of the text's hash, and its number.
    numbers: HashTable<(u32, u32)>,
    /// As for keys: see [`Keys`](super::keys::Keys).
    hashes: DefaultHashBuilder,
    texts: Chunked<Slot>,
    free: Vec<u32>,
}

#[derive(Debug, Default)]
struct Slot {
    text: Text,
    held: u32,
}

/// A text of a key or a value, in two words. Addresses and names of people and objects are short, and lie where they are
/// looked for; the ids of sessions are mostly UUIDs.
#[derive(Debug, Clone)]
pub(super) enum Text {
    Short(u8, [u8; Text::SHORT]),
    Middle(u8, Box<[u8; Text::MIDDLE]>),
    Long(Box<Long>),
}

/// A longer text, behind one word.
#[derive(Debug, Clone)]
pub(super) struct Long(Box<str>);

impl Text {
    const SHORT: usize = 14;
    const MIDDLE: usize = 40;

    pub(super) fn of(text: &str) -> Self {
        if let Some((len, bytes)) = padded(text) {
            Self::Short(len, bytes)
        } else if let Some((len, bytes)) = padded(text) {
            Self::Middle(len, Box::new(bytes))
        } else {
            Self::Long(Box::new(Long(text.into())))
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Short(..) | Self::Middle(..) => std::str::from_utf8(self.bytes()).unwrap_or_default(),
            Self::Long(long) => &long.0,
        }
    }

    /// Whether it is this text.
    pub(super) fn is(&self, text: &str) -> bool {
        self.bytes() == text.as_bytes()
    }

    /// Heap memory in bytes.
    pub(super) fn heap(&self) -> usize {
        match self {
            Self::Short(..) => 0,
            Self::Middle(..) => Self::MIDDLE,
            Self::Long(long) => size_of::<Long>() + long.0.len(),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(len, bytes) => &bytes[..usize::from(*len)],
            Self::Middle(len, bytes) => &bytes[..usize::from(*len)],
            Self::Long(long) => long.0.as_bytes(),
        }
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::Short(0, [0; Self::SHORT])
    }
}

/// A text with zeros behind it, and its length, where there is room for it.
fn padded<const ROOM: usize>(text: &str) -> Option<(u8, [u8; ROOM])> {
    let mut bytes = [0; ROOM];
    bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
    Some((u8::try_from(text.len()).ok()?, bytes))
}

impl Interner {
    /// The number of a text, held once more.
    pub(super) fn take(&mut self, text: &str) -> u32 {
        let part = hash_part(&self.hashes, text);
        let texts = &mut self.texts;
        let same = |(other, number): &(u32, u32)| {
            *other == part && texts.get(*number as usize).is_some_and(|slot| slot.text.is(text))
        };
        if let Some((_, number)) = self.numbers.find(hash_place(part), same).copied() {
            if let Some(slot) = texts.get_mut(number as usize) {
                slot.held += 1;
            }
            return number;
        }
        let slot = Slot { text: Text::of(text), held: 1 };
        let number = match self.free.pop() {
            Some(number) => number,
            None => u32::try_from(texts.push(Slot::default())).unwrap_or(u32::MAX),
        };
        if let Some(place) = texts.get_mut(number as usize) {
            *place = slot;
        }
        self.numbers.insert_unique(hash_place(part), (part, number), |(part, _)| hash_place(*part));
        number
    }

    /// The text of a number that is held.
    pub(super) fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", |slot| slot.text.text())
    }

    /// Lets go of a text once.
    pub(super) fn release(&mut self, number: u32) {
        let Some(slot) = self.texts.get_mut(number as usize) else { return };
        slot.held -= 1;
        if slot.held > 0 {
            return;
        }
        let text = std::mem::take(&mut slot.text);
        let part = hash_part(&self.hashes, text.text());
        if let Ok(entry) = self.numbers.find_entry(hash_place(part), |(_, other)| *other == number) {
            entry.remove();
        }
        self.free.push(number);
    }

    /// Heap memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.texts.iter().map(|slot| slot.text.heap()).sum::<usize>()
            + self.texts.bytes()
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
