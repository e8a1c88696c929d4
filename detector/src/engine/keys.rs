//! [`Keys`]: the states of all keys of one group.

use std::ops::{Deref, DerefMut};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::chunked::Chunked;
use super::episodes::Episodes;
use super::footprint::Parts;
use super::kind::Kinds;
use super::ring::Ring;
use super::text::{Text, hash_part, hash_place};
use super::window::Window;

/// A ring of at most so many events is thinned out in about the time that one event takes.
pub(super) const SMALL: usize = 64;

/// What is known of one key, in 64 bytes: one line of a cache.
#[derive(Debug)]
pub(super) struct KeyState {
    pub(super) key: Text,
    pub(super) ring: Ring,
    pub(super) nodes: Nodes,
}

const _: () = assert!(size_of::<Option<KeyState>>() <= 64, "a key has outgrown its line");

/// States of the rules that have something to remember of a key: mostly there are none.
#[derive(Debug, Default)]
pub(super) struct Nodes(
    #[expect(clippy::box_collection, reason = "one word where there is none")] Option<Box<Vec<NodeState>>>,
);

impl Deref for Nodes {
    type Target = [NodeState];

    fn deref(&self) -> &[NodeState] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }
}

impl DerefMut for Nodes {
    fn deref_mut(&mut self) -> &mut [NodeState] {
        self.0.as_deref_mut().map_or(&mut [], Vec::as_mut_slice)
    }
}

impl Nodes {
    pub(super) fn push(&mut self, node: NodeState) {
        let nodes = self.0.get_or_insert_default();
        // Doubling would cost more memory than the few rules that are still to come.
        nodes.reserve_exact(1);
        nodes.push(node);
    }

    /// Drops what rules need not remember.
    fn tidy(&mut self) {
        let Some(nodes) = &mut self.0 else { return };
        nodes.retain(|state| state.episodes.is_some());
        nodes.shrink_to_fit();
        if nodes.is_empty() {
            self.0 = None;
        }
    }

    fn bytes(&self) -> usize {
        let Some(nodes) = &self.0 else { return 0 };
        let of =
            |state: &NodeState| state.window.bytes() + state.episodes.as_ref().map_or(0, |episodes| episodes.bytes());
        size_of::<Vec<NodeState>>() + nodes.capacity() * size_of::<NodeState>() + nodes.iter().map(of).sum::<usize>()
    }
}

/// What one rule knows of one key.
#[derive(Debug)]
pub(super) struct NodeState {
    pub(super) node: u32,
    pub(super) window: Window,
    pub(super) episodes: Option<Box<Episodes>>,
}

impl KeyState {
    /// A key of which nothing is known.
    pub(super) fn new(key: &str) -> Self {
        let mut state = Self { key: Text::of(key), ring: Ring::default(), nodes: Nodes::default() };
        // Many keys have one event and no other.
        state.ring.set_left(1);
        state
    }

    /// The state of a node, where it has one.
    pub(super) fn state(&self, node: usize) -> Option<usize> {
        self.nodes.iter().position(|state| state.node as usize == node)
    }

    /// Whether anything could still come of it.
    pub(super) fn is_idle(&self) -> bool {
        self.ring.is_empty()
            && self.nodes.iter().all(|state| state.episodes.as_ref().is_none_or(|episodes| episodes.is_empty()))
    }

    /// After thinning: sets the size at which that happens next, at the latest at `most`, and drops what rules need not
    /// remember.
    pub(super) fn thinned(&mut self, most: usize) {
        let len = self.ring.len();
        self.ring.set_left(room(len).min(most.saturating_sub(len)));
        self.ring.shrink();
        self.nodes.tidy();
    }
}

/// After so many more events a ring of this many is thinned out: an eighth where that is quickly done, so that little is
/// held that is over; else a quarter, so that each event pays for looking at four.
fn room(events: usize) -> usize {
    if events <= SMALL { (events / 8 + 2).max(3) } else { events / 4 }
}

/// The keys of one group.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) kinds: Kinds,
    /// A part of the key's hash, and the slot.
    slots: HashTable<(u32, u32)>,
    /// Names of users and addresses are chosen by those who send events. They meet in this table only by luck, because
    /// the seed is of this process and nothing tells it; and whoever had luck would make one look-up slower, since the
    /// number of keys is bounded.
    hashes: DefaultHashBuilder,
    /// A map that grows moves none of them.
    states: Chunked<Option<KeyState>>,
    free: Vec<u32>,
    /// Where the search for keys to forget goes on.
    hand: usize,
}

impl Keys {
    /// The slot of a key, made where there is none.
    pub(super) fn slot(&mut self, key: &str) -> usize {
        match self.known(key) {
            Some(slot) => slot,
            None => self.add(KeyState::new(key)),
        }
    }

    fn add(&mut self, state: KeyState) -> usize {
        let part = hash_part(&self.hashes, state.key.text());
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => u32::try_from(self.states.push(None)).unwrap_or(u32::MAX),
        };
        if let Some(place) = self.states.get_mut(slot as usize) {
            *place = Some(state);
        }
        self.slots.insert_unique(hash_place(part), (part, slot), |(part, _)| hash_place(*part));
        slot as usize
    }

    /// Takes in a key that is not known yet, behind all others; its slot.
    pub(super) fn restore(&mut self, state: KeyState) -> Option<usize> {
        self.known(state.key.text()).is_none().then(|| self.add(state))
    }

    /// All keys, with their slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &KeyState)> {
        self.states.iter().enumerate().filter_map(|(slot, state)| Some((slot, state.as_ref()?)))
    }

    /// The slot of a key that is known.
    pub(super) fn known(&self, key: &str) -> Option<usize> {
        let part = hash_part(&self.hashes, key);
        let same = |(other, slot): &(u32, u32)| {
            *other == part && self.get(*slot as usize).is_some_and(|state| state.key.is(key))
        };
        self.slots.find(hash_place(part), same).map(|(_, slot)| *slot as usize)
    }

    /// The state in a slot.
    pub(super) fn get(&self, slot: usize) -> Option<&KeyState> {
        self.states.get(slot)?.as_ref()
    }

    /// The state in a slot, to change.
    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut KeyState> {
        Some(self.both(slot)?.0)
    }

    /// The state in a slot, to change, and the kinds of the group's events.
    pub(super) fn both(&mut self, slot: usize) -> Option<(&mut KeyState, &mut Kinds)> {
        let state = self.states.get_mut(slot)?.as_mut()?;
        Some((state, &mut self.kinds))
    }

    /// Forgets a key.
    pub(super) fn remove(&mut self, slot: usize) -> Option<KeyState> {
        let state = self.states.get_mut(slot)?.take()?;
        let part = hash_part(&self.hashes, state.key.text());
        if let Ok(entry) = self.slots.find_entry(hash_place(part), |(_, of)| *of as usize == slot) {
            entry.remove();
        }
        self.free.push(u32::try_from(slot).unwrap_or(u32::MAX));
        Some(state)
    }

    /// The next slot in turn.
    pub(super) fn turn(&mut self) -> Option<usize> {
        self.hand = (self.hand + 1).checked_rem(self.states.len())?;
        Some(self.hand)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Events held, those of which only the time is left among them.
    pub(super) fn events(&self) -> usize {
        let past = |state: &KeyState| state.ring.past.as_ref().map_or(0, |past| past.len());
        self.iter().map(|(_, state)| state.ring.len() + past(state)).sum()
    }

    /// Adds what the keys hold to what is held.
    pub(super) fn weigh(&self, parts: &mut Parts) {
        parts.keys += self.slots.allocation_size() + self.states.bytes() + self.free.capacity() * size_of::<u32>();
        for (_, state) in self.iter() {
            parts.keys += state.key.heap();
            parts.events += state.ring.bytes();
            parts.past += state.ring.past.as_ref().map_or(0, |past| past.bytes());
            parts.episodes += state.nodes.bytes();
        }
    }
}
