//! What the engine holds stays bounded: rings are thinned out, idle keys forgotten, and where a bound is reached the
//! oldest is given up and said so. An open episode is never among what goes.

use domain::Timestamp;

use super::evaluate::Slot;
use super::keys::{KeyState, Keys};
use super::plan::Plan;
use super::ring::Entry;
use super::{Engine, Gap};

impl Engine {
    /// The slot of a key; where there are too many keys, one without an open episode makes place.
    pub(super) fn slot(&mut self, group: usize, key: &str) -> usize {
        if let Some(slot) = self.keys[group].known(key) {
            return slot;
        }
        if self.keys.iter().map(Keys::len).sum::<usize>() >= self.settings.keys {
            self.evict(group);
        }
        self.keys[group].slot(key)
    }

    fn evict(&mut self, group: usize) {
        for _ in 0..64 {
            let Some(slot) = self.keys[group].turn() else { return };
            let Some(state) = self.keys[group].get(slot) else { continue };
            if state.nodes.iter().any(|node| node.episodes.is_some()) {
                continue;
            }
            let Some(mut state) = self.keys[group].remove(slot) else { continue };
            if let (Some(first), Some(last)) = (state.ring.entries.first(), state.ring.entries.last()) {
                self.note_gap(Gap {
                    rules: Vec::new(),
                    key: None,
                    from: Timestamp::from_micros(first.time),
                    to: Timestamp::from_micros(last.time),
                    lost: state.ring.entries.len() as u64,
                    reason: "there were too many keys at once; some without an open alert were given up".to_owned(),
                });
            }
            let texts = &mut self.texts;
            state.ring.retain(|_| false, |text| texts.release(text));
            return;
        }
    }

    /// Thins out a ring that has grown, and gives up its oldest events where it is full.
    pub(super) fn make_room(&mut self, plan: &Plan, slot: Slot) {
        let Some(state) = self.keys[slot.group].get(slot.slot) else { return };
        if state.ring.entries.len() < state.thin_at as usize {
            return;
        }
        self.thin(plan, slot, i64::MIN);
        let most = self.settings.events_per_key;
        let Some(state) = self.keys[slot.group].get(slot.slot) else { return };
        if state.ring.entries.len() < most {
            return;
        }
        let before = state.ring.entries.len();
        let (from, to) = (state.ring.entries[0].time, state.ring.entries[most / 8].time);
        let key = state.key.to_string();
        let nodes: Vec<usize> = state.nodes.iter().map(|node| node.node as usize).collect();
        for node in &nodes {
            let ended = self.settle_episodes(slot, *node, to);
            self.end(slot, *node, ended);
        }
        self.thin(plan, slot, to);
        let left = self.keys[slot.group].get(slot.slot).map_or(0, |state| state.ring.entries.len());
        self.note_gap(Gap {
            rules: nodes.iter().map(|node| self.set.rules[plan.nodes[*node].rule].id.clone()).collect(),
            key: Some(key),
            from: Timestamp::from_micros(from),
            to: Timestamp::from_micros(to),
            lost: (before - left) as u64,
            reason: format!("a key had more than {most} events in its windows; the oldest were given up"),
        });
    }

    /// Drops the events of a ring that no window to come can contain, and all up to `given_up`.
    fn thin(&mut self, plan: &Plan, slot: Slot, given_up: i64) {
        let settled = self.settled;
        let nodes: Vec<usize> = match self.keys[slot.group].get(slot.slot) {
            Some(state) => state.nodes.iter().filter(|n| n.episodes.is_some()).map(|n| n.node as usize).collect(),
            None => return,
        };
        for node in nodes {
            let ended = self.settle_episodes(slot, node, settled);
            self.end(slot, node, ended);
        }
        let texts = &mut self.texts;
        let Some(state) = self.keys[slot.group].get_mut(slot.slot) else { return };
        let keep = |entry: &Entry| {
            entry.time > given_up && entry.time > settled.saturating_sub(plan.reach(slot.group, entry.mask))
        };
        let kept: Vec<bool> = state.ring.entries.iter().map(keep).collect();
        for node in &mut state.nodes {
            let mask = plan.nodes[node.node as usize].mask;
            let (mut before, mut with_value) = (0, 0);
            for (entry, kept) in state.ring.entries.iter().zip(&kept).take(node.window.looked_at()) {
                if *kept {
                    before += 1;
                    with_value += usize::from(entry.mask & mask != 0);
                }
            }
            node.window.thinned(before, with_value);
        }
        state.ring.retain(keep, |text| texts.release(text));
        state.thinned(self.settings.events_per_key);
    }

    /// Visits some keys in turn and forgets those of which nothing can come any more.
    pub(super) fn forget_some(&mut self, visits: usize) {
        let plan = self.plan.clone();
        for group in 0..self.keys.len() {
            for _ in 0..visits.min(self.keys[group].len()) {
                let Some(slot) = self.keys[group].turn() else { break };
                let Some(state) = self.keys[group].get(slot) else { continue };
                // Thinning lets every window of the ring start over, so it has to pay: half of the ring goes at once.
                let entries = &state.ring.entries;
                if entries
                    .get(entries.len() / 2)
                    .is_some_and(|entry| entry.time <= self.settled.saturating_sub(plan.reach(group, entry.mask)))
                {
                    self.thin(&plan, Slot { group, slot }, i64::MIN);
                }
                if self.keys[group].get(slot).is_some_and(KeyState::is_idle) {
                    self.keys[group].remove(slot);
                }
            }
        }
    }
}
