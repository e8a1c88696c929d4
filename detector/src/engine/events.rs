//! [`Events`]: a ring as rules see it.

use std::sync::Arc;

use hashbrown::HashSet;
use rust_decimal::Decimal;

use super::held::Held;
use super::kind::Kinds;
use super::plan::Node;
use super::record::Record;
use super::ring::Ring;

/// A ring with what its numbers stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Events<'a> {
    pub(super) ring: &'a Ring,
    pub(super) kinds: &'a Kinds,
    pub(super) held: &'a Held,
}

impl<'a> Events<'a> {
    /// The channels that the event at `at` takes part in.
    pub(super) fn mask(self, at: usize) -> u64 {
        self.kinds.of(self.ring.kind(at)).mask
    }

    /// What it brings into a channel, as its number.
    pub(super) fn value(self, at: usize, bit: u8) -> Option<u32> {
        let kind = self.kinds.of(self.ring.kind(at));
        (kind.valued >> bit & 1 == 1).then(|| self.ring.number(at, kind.place(bit)))
    }

    /// What the last events up to the one at `at` that lie after `floor` bring into a channel, from the last to the
    /// first. Events of one kind follow each other, so where the value stands is looked up when the kind changes.
    pub(super) fn values_back(self, bit: u8, at: usize, floor: i64) -> impl Iterator<Item = u32> + use<'a> {
        let (reader, events) = self.ring.back(at, floor);
        let mut known = (u32::MAX, None);
        events.filter_map(move |(_, event)| {
            let number = reader.kind(event);
            if number != known.0 {
                let kind = self.kinds.of(number);
                known = (number, (kind.valued >> bit & 1 == 1).then(|| kind.place(bit)));
            }
            known.1.map(|place| self.ring.number_of(event, place))
        })
    }

    /// The number that it brings into a channel of numbers.
    pub(super) fn number(self, at: usize, bit: u8) -> Option<Decimal> {
        self.held.numbers.get(self.value(at, bit)?).copied()
    }

    /// What was kept of it.
    pub(super) fn record(self, at: usize) -> Option<&'a Arc<Record>> {
        let kind = self.kinds.of(self.ring.kind(at));
        if kind.record { self.held.records.get(self.ring.number(at, kind.extras() - 1)) } else { None }
    }

    /// The last events up to the one at `at` that a rule sees and that lie after `floor`, from the last to the first.
    pub(super) fn back(self, node: &'a Node, at: usize, floor: i64) -> impl Iterator<Item = usize> + use<'a> {
        let (reader, events) = self.ring.back(at, floor);
        let mut known = (u32::MAX, false);
        let seen = move |(_, event): &(usize, &[u8])| {
            let number = reader.kind(event);
            if number != known.0 {
                known = (number, self.kinds.of(number).mask & node.mask != 0);
            }
            known.1
        };
        events.filter(seen).map(|(at, _)| at)
    }
}

/// Values that have been met: few mostly, so they are looked through.
#[derive(Debug, Default)]
pub(super) struct Met {
    few: Vec<(u8, u32)>,
    many: HashSet<(u8, u32)>,
}

impl Met {
    /// More than so many are hashed.
    const FEW: usize = 24;

    /// As if none had been met.
    pub(super) fn clear(&mut self) {
        self.few.clear();
        self.many.clear();
    }

    /// Notes a value of a channel. Says whether it is the first of its kind.
    pub(super) fn add(&mut self, bit: u8, value: u32) -> bool {
        if self.few.contains(&(bit, value)) {
            return false;
        }
        if self.few.len() < Self::FEW {
            self.few.push((bit, value));
            return true;
        }
        self.many.insert((bit, value))
    }
}
