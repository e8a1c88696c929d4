//! How much the engine holds, and what holds it.

use std::cmp::Reverse;

use domain::Alert;

use super::baseline::Baselines;
use super::conclude::Closing;
use super::decide::{Due, What};
use super::evaluate::Slot;
use super::first::Firsts;
use super::history::Silences;
use super::{Engine, Gap};

/// How much the engine holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Different users among the keys.
    pub users: usize,
    /// Keys of all kinds.
    pub keys: usize,
    /// Events held, counted once for each ring that they are in.
    pub events: usize,
    /// Memory in bytes, with all room to grow and without the allocator's own: the sum of `parts`.
    pub bytes: usize,
    /// What holds it.
    pub parts: Parts,
}

/// Memory in bytes, by what it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parts {
    /// Keys, and their places in the tables.
    pub keys: usize,
    /// Events in the rings.
    pub events: usize,
    /// Events of which only the time is left.
    pub past: usize,
    /// Windows of many events, and open episodes with their evidence.
    pub episodes: usize,
    /// What has been done before: `first_seen`, `after_silence`, baselines.
    pub histories: usize,
    /// Texts and numbers that windows count, and what is kept of events for decisions to come.
    pub values: usize,
    /// What waits: for the watermark, for the end of an episode, to be fetched.
    pub pending: usize,
}

impl Parts {
    fn sum(self) -> usize {
        self.keys + self.events + self.past + self.episodes + self.histories + self.values + self.pending
    }
}

impl Engine {
    /// How much the engine holds; walks over everything.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let mut footprint = Footprint::default();
        let parts = &mut footprint.parts;
        for (group, keys) in self.plan.groups.iter().zip(&self.keys) {
            footprint.keys += keys.len();
            footprint.events += keys.events();
            if group.key.names_user_only(&self.plan.fields) {
                footprint.users = footprint.users.max(keys.len());
            }
            keys.weigh(parts);
        }
        parts.histories = self.firsts.values().map(Firsts::bytes).sum::<usize>()
            + self.baselines.values().map(Baselines::bytes).sum::<usize>()
            + self.silences.values().map(Silences::bytes).sum::<usize>();
        parts.values = self.held.bytes();
        parts.pending = self.pending();
        footprint.bytes = footprint.parts.sum();
        footprint
    }

    /// Bytes of what waits. What was kept of an event stands in several places and is counted where it has only this one.
    fn pending(&self) -> usize {
        let alone = |Reverse(due): &Reverse<Due>| match &due.what {
            What::Leaf { record, .. } if std::sync::Arc::strong_count(record) == 1 => record.bytes(),
            What::Leaf { .. } | What::Node(..) => 0,
        };
        self.due.capacity() * size_of::<Reverse<Due>>()
            + self.due.iter().map(alone).sum::<usize>()
            + self.closings.capacity() * size_of::<Reverse<Closing>>()
            + self.changed.capacity() * size_of::<(Slot, usize)>()
            + self.out.capacity() * size_of::<Alert>()
            + self.gaps.capacity() * size_of::<Gap>()
    }
}
