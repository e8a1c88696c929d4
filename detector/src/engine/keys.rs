//! [`Keys`]: the states of all keys of one group of rules.

use std::collections::HashMap;
use std::sync::Arc;

use super::episode::Episodes;
use super::ring::Ring;
use super::window::Window;

/// A ring is thinned out when it has grown to twice what was left the last time, but not below this.
const SMALLEST: u32 = 16;

/// What is known of one key.
#[derive(Debug)]
pub(super) struct KeyState {
    pub(super) key: Arc<str>,
    pub(super) ring: Ring,
    /// States of the rules that this key has taken part in, by number of the node.
    pub(super) nodes: Vec<NodeState>,
    pub(super) thin_at: u32,
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
    pub(super) fn new(key: Arc<str>) -> Self {
        Self { key, ring: Ring::default(), nodes: Vec::new(), thin_at: SMALLEST }
    }

    /// The state of a node, where it has one.
    pub(super) fn state(&self, node: usize) -> Option<usize> {
        self.nodes.iter().position(|state| state.node as usize == node)
    }

    /// Whether anything could still come of it.
    pub(super) fn is_idle(&self) -> bool {
        self.ring.entries.is_empty()
            && self.nodes.iter().all(|state| state.episodes.as_ref().is_none_or(|episodes| episodes.is_empty()))
    }

    /// Sets the size at which the ring is thinned out next, at the latest at `most`.
    pub(super) fn thinned(&mut self, most: usize) {
        let next = (2 * self.ring.entries.len()).max(SMALLEST as usize).min(most);
        self.thin_at = u32::try_from(next).unwrap_or(u32::MAX);
    }

    fn bytes(&self) -> usize {
        let nodes: usize = self
            .nodes
            .iter()
            .map(|state| state.window.bytes() + state.episodes.as_ref().map_or(0, |episodes| episodes.bytes()))
            .sum();
        self.ring.bytes() + self.nodes.capacity() * size_of::<NodeState>() + nodes + self.key.len() + 16
    }
}

/// The keys of one group.
#[derive(Debug, Default)]
pub(super) struct Keys {
    slots: HashMap<Arc<str>, u32>,
    states: Vec<Option<Box<KeyState>>>,
    free: Vec<u32>,
    /// Where the search for keys to forget goes on.
    hand: usize,
}

impl Keys {
    /// The slot of a key, made where there is none.
    pub(super) fn slot(&mut self, key: &str) -> usize {
        if let Some(slot) = self.slots.get(key) {
            return *slot as usize;
        }
        let key: Arc<str> = key.into();
        let state = Some(Box::new(KeyState::new(key.clone())));
        let slot = match self.free.pop() {
            Some(slot) => {
                self.states[slot as usize] = state;
                slot
            }
            None => {
                self.states.push(state);
                u32::try_from(self.states.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.slots.insert(key, slot);
        slot as usize
    }

    /// Takes in a key that is not known yet, behind all others; its slot.
    pub(super) fn restore(&mut self, state: KeyState) -> Option<usize> {
        let slot = u32::try_from(self.states.len()).ok()?;
        if self.slots.contains_key(&state.key) {
            return None;
        }
        self.slots.insert(state.key.clone(), slot);
        self.states.push(Some(Box::new(state)));
        Some(slot as usize)
    }

    /// All keys, with their slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &KeyState)> {
        self.states.iter().enumerate().filter_map(|(slot, state)| Some((slot, state.as_deref()?)))
    }

    /// The slot of a key that is known.
    pub(super) fn known(&self, key: &str) -> Option<usize> {
        self.slots.get(key).map(|slot| *slot as usize)
    }

    /// The state in a slot.
    pub(super) fn get(&self, slot: usize) -> Option<&KeyState> {
        self.states.get(slot)?.as_deref()
    }

    /// The state in a slot, to change.
    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut KeyState> {
        self.states.get_mut(slot)?.as_deref_mut()
    }

    /// Forgets a key.
    pub(super) fn remove(&mut self, slot: usize) -> Option<Box<KeyState>> {
        let state = self.states.get_mut(slot)?.take()?;
        self.slots.remove(&state.key);
        self.free.push(u32::try_from(slot).unwrap_or(u32::MAX));
        Some(state)
    }

    /// The next slot in turn.
    pub(super) fn turn(&mut self) -> Option<usize> {
        if self.states.is_empty() {
            return None;
        }
        self.hand = (self.hand + 1) % self.states.len();
        Some(self.hand)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn events(&self) -> usize {
        self.states.iter().flatten().map(|state| state.ring.entries.len()).sum()
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * (size_of::<(Arc<str>, u32)>() + 1)
            + self.states.capacity() * size_of::<usize>()
            + self.states.iter().flatten().map(|state| size_of::<KeyState>() + state.bytes()).sum::<usize>()
    }
}
