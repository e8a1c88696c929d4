//! `when.first_seen` and `when.after_silence`: what a key has done before, decided in the order of the events when the
//! watermark passes.

use std::collections::HashMap;
use std::hash::BuildHasher;

use domain::DAY;
use hashbrown::{DefaultHashBuilder, HashTable};
use serde::{Deserialize, Serialize};

/// At most so many values are remembered for a key.
const VALUES: usize = 64;
/// A key is forgotten this long after it could last have mattered.
const REMEMBERED: i64 = 400 * DAY;

/// The last time of something, and the last time before that one: of events at one time none is "before" another.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Last {
    at: i64,
    before: i64,
}

impl Last {
    fn at(time: i64) -> Self {
        Self { at: time, before: i64::MIN }
    }

    fn note(&mut self, time: i64) {
        if time > self.at {
            *self = Self { at: time, before: self.at };
        }
    }

    /// Whether it happened in `[time − within, time)`.
    fn within(self, time: i64, within: i64) -> bool {
        let last = if self.at < time { self.at } else { self.before };
        last >= time.saturating_sub(within)
    }
}

/// How long each key has been silent.
#[derive(Debug, Default)]
pub(super) struct Silences {
    pub(super) keys: HashMap<Box<str>, Last>,
    pub(super) sweep_at: usize,
}

impl Silences {
    /// Notes an event of a key and says whether there was none in the `silence` before it.
    pub(super) fn note(&mut self, key: &str, time: i64, silence: i64) -> bool {
        if self.keys.len() >= self.sweep_at {
            self.keys.retain(|_, last| last.at >= time.saturating_sub(silence));
            self.sweep_at = (2 * self.keys.len()).max(1_024);
        }
        match self.keys.get_mut(key) {
            Some(last) => {
                let silent = !last.within(time, silence);
                last.note(time);
                silent
            }
            None => {
                self.keys.insert(key.into(), Last::at(time));
                true
            }
        }
    }

    /// Heap memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        let texts: usize = self.keys.keys().map(|key| key.len()).sum();
        texts + self.keys.capacity() * (size_of::<(Box<str>, Last)>() + 1)
    }
}

/// What is known of a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Known {
    first: i64,
    /// Events, and how many of them lie at the time of the last. More than these count to are as good as these.
    pub(super) events: u32,
    last: i64,
    pub(super) at_last: u32,
    values: Vec<(Box<str>, Last)>,
}

/// Which values each key has had.
#[derive(Debug, Default)]
pub(super) struct Firsts {
    /// Each for itself: a table with room to grow has room for pointers only.
    keys: HashTable<Box<(Box<str>, Known)>>,
    hashes: DefaultHashBuilder,
    pub(super) sweep_at: usize,
    /// Values that were given up because a key had too many.
    pub(super) lost: u64,
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
            self.keys.retain(|entry| entry.1.last >= time.saturating_sub(kept));
            self.sweep_at = (2 * self.keys.len()).max(1_024);
        }
        let hash = self.hashes.hash_one(key);
        let Some(entry) = self.keys.find_mut(hash, |entry| *entry.0 == *key) else {
            let values = vec![(value.into(), Last::at(time))];
            self.insert(key, Known { first: time, events: 1, last: time, at_last: 1, values });
            return novelty.after_age <= 0 && novelty.after_events == 0;
        };
        let known = &mut entry.1;
        let before = if known.last < time { known.events } else { known.events - known.at_last };
        let learnt = time.saturating_sub(known.first) >= novelty.after_age && u64::from(before) >= novelty.after_events;
        known.at_last = if known.last < time { 1 } else { known.at_last.saturating_add(1) };
        known.last = time;
        known.events = known.events.saturating_add(1);
        let seen = match known.values.iter_mut().find(|(of, _)| **of == *value) {
            Some((_, last)) => {
                let seen = last.within(time, novelty.within);
                last.note(time);
                seen
            }
            None => {
                known.values.retain(|(_, last)| last.at >= time.saturating_sub(novelty.within));
                if known.values.len() >= VALUES
                    && let Some(oldest) = (0..known.values.len()).min_by_key(|at| known.values[*at].1.at)
                {
                    known.values.swap_remove(oldest);
                    self.lost += 1;
                }
                known.values.reserve_exact(1);
                known.values.push((value.into(), Last::at(time)));
                false
            }
        };
        learnt && !seen
    }

    /// Takes in what is known of a key that is not there yet.
    pub(super) fn insert(&mut self, key: &str, known: Known) {
        let hashes = &self.hashes;
        let entry = Box::new((key.into(), known));
        self.keys.insert_unique(hashes.hash_one(key), entry, |entry| hashes.hash_one(&*entry.0));
    }

    /// Each key, and what is known of it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Known)> {
        self.keys.iter().map(|entry| (&*entry.0, &entry.1))
    }

    /// Heap memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        let of = |(key, known): (&str, &Known)| {
            size_of::<(Box<str>, Known)>()
                + key.len()
                + known.values.capacity() * size_of::<(Box<str>, Last)>()
                + known.values.iter().map(|(value, _)| value.len()).sum::<usize>()
        };
        self.keys.allocation_size() + self.iter().map(of).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_half_open_and_blind_to_its_own_moment() {
        let mut silences = Silences::default();
        assert!(silences.note("a", 100, 10));
        assert!(silences.note("a", 100, 10), "at the same time is not before");
        assert!(!silences.note("a", 110, 10), "exactly ten before counts");
        assert!(silences.note("a", 121, 10));
        assert!(silences.note("b", 121, 10));
    }

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
}
