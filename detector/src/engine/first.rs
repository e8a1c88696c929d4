//! `when.first_seen`: which values a key has had before, decided in the order of the events when the watermark passes.
//!
//! Everybody is remembered for a year and more, most of them with one or two values. So what is known of a key is one
//! piece of bytes ([`packed`](super::packed)), read and written anew at each event of the key:
//!
//! | what | as |
//! |---|---|
//! | the key | text |
//! | the time of its first event | 8 bytes |
//! | of its last, since then; events; events at the last time | numbers |
//! | each value; its last time, since the first event; the time between that and the one before it, or 0 | text, numbers |

use std::hash::BuildHasher;
use std::ops::Range;

use domain::DAY;
use hashbrown::{DefaultHashBuilder, HashTable};
use serde::{Deserialize, Serialize};

use super::history::Last;
use super::packed::{Unpacked, put, put_text};

/// At most so many values are remembered for a key.
const VALUES: usize = 64;
/// A key is forgotten this long after it could last have mattered.
const REMEMBERED: i64 = 400 * DAY;

/// What is known of a key, as snapshots have it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Known {
    first: i64,
    /// Events, and how many of them lie at the time of the last. More than these count to are as good as these.
    pub(super) events: u32,
    last: i64,
    pub(super) at_last: u32,
    values: Vec<(Box<str>, Last)>,
}

/// The same without its values.
#[derive(Debug, Clone, Copy)]
struct Head {
    first: i64,
    events: u32,
    last: i64,
    at_last: u32,
}

/// What is known of a key, as it is kept.
type Entry = Box<[u8]>;

/// The key of an entry.
fn key_of(entry: &[u8]) -> &[u8] {
    Unpacked(entry).text()
}

/// An entry's head and its values.
fn opened(entry: &[u8]) -> (Head, Values<'_>) {
    let mut rest = Unpacked(entry);
    rest.text();
    let (first, after) = rest.0.split_first_chunk().unwrap_or((&[0; 8], &[]));
    let (first, mut rest) = (i64::from_le_bytes(*first), Unpacked(after));
    let last = first.wrapping_add_unsigned(rest.number());
    let mut count = || u32::try_from(rest.number()).unwrap_or(u32::MAX);
    let (events, at_last) = (count(), count());
    (Head { first, events, last, at_last }, Values { first, rest })
}

/// The values of an entry.
#[derive(Debug, Clone)]
struct Values<'a> {
    first: i64,
    rest: Unpacked<'a>,
}

impl Values<'_> {
    /// Where a value stands among the bytes, and its last time.
    fn place_of(&self, value: &[u8]) -> Option<(Range<usize>, Last)> {
        let (mut values, all) = (self.clone(), self.rest.0.len());
        let mut from = 0;
        while let Some((of, last)) = values.next() {
            let to = all - values.rest.0.len();
            if of == value {
                return Some((from..to, last));
            }
            from = to;
        }
        None
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = (&'a [u8], Last);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let value = self.rest.text();
        let at = self.first.wrapping_add_unsigned(self.rest.number());
        let before = match self.rest.number() {
            0 => i64::MIN,
            between => at.wrapping_sub_unsigned(between),
        };
        Some((value, Last { at, before }))
    }
}

/// Writes an entry, from the key on.
struct Writer<'a> {
    into: &'a mut Vec<u8>,
    first: i64,
}

impl<'a> Writer<'a> {
    fn new(into: &'a mut Vec<u8>, key: &[u8], head: Head) -> Self {
        into.clear();
        put_text(into, key);
        into.extend_from_slice(&head.first.to_le_bytes());
        put(into, head.last.wrapping_sub(head.first).cast_unsigned());
        put(into, u64::from(head.events));
        put(into, u64::from(head.at_last));
        Self { into, first: head.first }
    }

    fn value(&mut self, value: &[u8], last: Last) {
        put_text(self.into, value);
        put(self.into, last.at.wrapping_sub(self.first).cast_unsigned());
        let between = if last.before == i64::MIN { 0 } else { last.at.wrapping_sub(last.before).cast_unsigned() };
        put(self.into, between);
    }
}

/// Which values each key has had.
#[derive(Debug, Default)]
pub(super) struct Firsts {
    keys: HashTable<Entry>,
    hashes: DefaultHashBuilder,
    pub(super) sweep_at: usize,
    /// Values that were given up because a key had too many.
    pub(super) lost: u64,
    /// Where entries are written, from event to event.
    room: Vec<u8>,
}

/// The numbers of `when.first_seen`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Novelty {
    pub(super) within: i64,
    pub(super) after_age: i64,
    pub(super) after_events: u64,
}

impl Firsts {
    /// Notes a value of a key and says whether it is new, once the key is known well enough.
    pub(super) fn note(&mut self, key: &str, value: &str, time: i64, novelty: Novelty) -> bool {
        if self.keys.len() >= self.sweep_at {
            let kept = novelty.within.max(novelty.after_age).saturating_add(REMEMBERED);
            self.keys.retain(|entry| opened(entry).0.last >= time.saturating_sub(kept));
            self.sweep_at = (2 * self.keys.len()).max(1_024);
        }
        let (key, value) = (key.as_bytes(), value.as_bytes());
        let hash = self.hashes.hash_one(key);
        let Some(entry) = self.keys.find_mut(hash, |entry| key_of(entry) == key) else {
            Writer::new(&mut self.room, key, Head { first: time, events: 1, last: time, at_last: 1 })
                .value(value, Last::at(time));
            self.keys.insert_unique(hash, self.room.as_slice().into(), |entry| self.hashes.hash_one(key_of(entry)));
            return novelty.after_age <= 0 && novelty.after_events == 0;
        };
        let (mut head, values) = opened(entry);
        let before = if head.last < time { head.events } else { head.events - head.at_last };
        let learnt = time.saturating_sub(head.first) >= novelty.after_age && u64::from(before) >= novelty.after_events;
        head.at_last = if head.last < time { 1 } else { head.at_last.saturating_add(1) };
        head.last = time;
        head.events = head.events.saturating_add(1);
        let written = values.rest.0;
        let known = values.place_of(value);
        let mut writer = Writer::new(&mut self.room, key, head);
        if let Some((place, mut last)) = known.clone() {
            last.note(time);
            writer.into.extend_from_slice(&written[..place.start]);
            writer.value(value, last);
            writer.into.extend_from_slice(&written[place.end..]);
        } else {
            let alive = values.filter(|(_, last)| last.at >= time.saturating_sub(novelty.within));
            let oldest = match alive.clone().count() {
                ..VALUES => None,
                _ => alive.clone().enumerate().min_by_key(|(_, (_, last))| last.at).map(|(at, _)| at),
            };
            self.lost += u64::from(oldest.is_some());
            let kept = alive.enumerate().filter(|(at, _)| Some(*at) != oldest);
            kept.for_each(|(_, (of, last))| writer.value(of, last));
            writer.value(value, Last::at(time));
        }
        if entry.len() == self.room.len() {
            entry.copy_from_slice(&self.room);
        } else {
            *entry = self.room.as_slice().into();
        }
        learnt && !known.is_some_and(|(_, last)| last.within(time, novelty.within))
    }

    /// Takes in what is known of a key that is not there yet.
    pub(super) fn insert(&mut self, key: &str, known: &Known) {
        let Known { first, events, last, at_last, ref values } = *known;
        let mut writer = Writer::new(&mut self.room, key.as_bytes(), Head { first, events, last, at_last });
        values.iter().for_each(|(value, last)| writer.value(value.as_bytes(), *last));
        let hash = self.hashes.hash_one(key.as_bytes());
        self.keys.insert_unique(hash, self.room.as_slice().into(), |entry| self.hashes.hash_one(key_of(entry)));
    }

    /// Each key, and what is known of it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Known)> {
        // Only texts were written.
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        self.keys.iter().map(move |entry| {
            let (Head { first, events, last, at_last }, values) = opened(entry);
            let values = values.map(|(value, last)| (text(value).into(), last)).collect();
            (text(key_of(entry)), Known { first, events, last, at_last, values })
        })
    }

    /// Heap memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.keys.allocation_size() + self.keys.iter().map(|entry| entry.len()).sum::<usize>() + self.room.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_new_before_learning_is_done() {
        let novelty = Novelty { within: 30, after_age: 7, after_events: 2 };
        let mut firsts = Firsts::default();
        assert!(!firsts.note("a", "x", 0, novelty));
        assert!(!firsts.note("a", "y", 5, novelty), "too young");
        assert!(firsts.note("a", "z", 7, novelty));
        assert!(!firsts.note("a", "x", 30, novelty), "thirty ago");
        assert!(firsts.note("a", "y", 36, novelty), "thirty-one ago");
    }

    #[test]
    fn at_one_moment_nothing_is_before_another() {
        let novelty = Novelty { within: 30, after_age: 0, after_events: 1 };
        let mut firsts = Firsts::default();
        assert!(!firsts.note("a", "x", 10, novelty), "the first of all");
        assert!(!firsts.note("a", "y", 10, novelty), "no event lies before");
        assert!(!firsts.note("a", "y", 20, novelty), "ten ago");
        assert!(firsts.note("a", "z", 20, novelty));
        assert!(firsts.note("a", "z", 20, novelty), "at the same time is not before");
    }

    #[test]
    fn of_many_values_the_oldest_goes_and_a_snapshot_knows_the_others() {
        let novelty = Novelty { within: 1_000, after_age: 0, after_events: 0 };
        let mut firsts = Firsts::default();
        for number in 0..65_i64 {
            // The first is the oldest but for one moment: it comes again.
            assert!(firsts.note("ä", &"v".repeat(1 + usize::try_from(number).expect("small")), number, novelty));
            firsts.note("ä", "v", number, novelty);
        }
        assert_eq!((firsts.lost, firsts.iter().count()), (1, 1));
        let mut again = Firsts::default();
        firsts.iter().for_each(|(key, known)| again.insert(key, &known));
        for firsts in [&mut firsts, &mut again] {
            assert!(!firsts.note("ä", "v", 65, novelty) && !firsts.note("ä", "vvv", 65, novelty));
            assert!(firsts.note("ä", "vv", 66, novelty), "it was given up");
        }
    }
}
