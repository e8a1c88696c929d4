//! `when.after_silence`: when a key has done something last, decided in the order of the events when the watermark passes.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// The last time of something, and the last time before that one: of events at one time none is "before" another.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Last {
    pub(super) at: i64,
    pub(super) before: i64,
}

impl Last {
    pub(super) fn at(time: i64) -> Self {
        Self { at: time, before: i64::MIN }
    }

    pub(super) fn note(&mut self, time: i64) {
        if time > self.at {
            *self = Self { at: time, before: self.at };
        }
    }

    /// Whether it happened in `[time − within, time)`.
    pub(super) fn within(self, time: i64, within: i64) -> bool {
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
}
