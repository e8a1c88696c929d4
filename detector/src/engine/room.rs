//! What the engine holds stays bounded: rings are thinned out, idle keys forgotten, and where a bound is reached the
//! oldest is given up and said so. An open episode is never among what goes.

use domain::Timestamp;

use super::evaluate::Slot;
use super::events::{Events, Met};
use super::keys::{KeyState, Keys, NodeState, SMALL};
use super::plan::{Plan, bits};
use super::ring::Ring;
use super::{Engine, Gap};

/// So many events of a key at least become times: fewer weigh less as they are.
const LEAST: usize = 4;

/// Room for thinning out a ring, used again from one to the next.
#[derive(Debug, Default)]
pub(super) struct Thinning {
    /// Which events stay.
    kept: Vec<bool>,
    /// Values of later events.
    met: Met,
    /// Events of which only the time stays, from the last to the first.
    went: Vec<usize>,
}

impl Engine {
    /// The slot of a key; where there are too many keys, one without an open episode makes place.
    pub(super) fn slot(&mut self, group: usize, key: &str) -> usize {
        if let Some(slot) = self.keys[group].known(key) {
            return slot;
        }
        if self.keys.iter().map(Keys::len).sum::<usize>() >= self.settings.keys {
            let plan = self.plan.clone();
            self.evict(&plan, group);
        }
        self.keys[group].slot(key)
    }

    fn evict(&mut self, plan: &Plan, group: usize) {
        for _ in 0..64 {
            let Some(slot) = self.keys[group].turn() else { return };
            let Some(state) = self.keys[group].get(slot) else { continue };
            if state.nodes.iter().any(|node| node.episodes.is_some()) {
                continue;
            }
            let Some(state) = self.keys[group].remove(slot) else { continue };
            let ring = &state.ring;
            if let Some(last) = ring.len().checked_sub(1) {
                let past = ring.past.as_ref().and_then(|past| past.iter().next());
                self.note_gap(Gap {
                    rules: Vec::new(),
                    key: None,
                    from: Timestamp::from_micros(past.map_or_else(|| ring.time(0), |(time, _)| time.min(ring.time(0)))),
                    to: Timestamp::from_micros(ring.time(last)),
                    lost: (ring.len() + ring.past.as_ref().map_or(0, |past| past.len())) as u64,
                    reason: "there were too many keys at once; some without an open alert were given up".to_owned(),
                });
            }
            self.let_go(plan, group, &state.ring);
            return;
        }
    }

    fn let_go(&mut self, plan: &Plan, group: usize, ring: &Ring) {
        for at in 0..ring.len() {
            ring.release(at, &self.keys[group].kinds, &plan.groups[group], &mut self.held);
        }
    }

    /// Thins out a ring that has grown, and gives up its oldest events where it is full.
    pub(super) fn make_room(&mut self, plan: &Plan, slot: Slot) {
        let Some(state) = self.keys[slot.group].get(slot.slot) else { return };
        if !state.ring.is_grown() {
            return;
        }
        self.thin(plan, slot, i64::MIN);
        let most = self.settings.events_per_key;
        let Some(state) = self.keys[slot.group].get(slot.slot) else { return };
        if state.ring.len() < most {
            return;
        }
        let before = state.ring.len();
        let (from, to) = (state.ring.time(0), state.ring.time(most / 8));
        let key = state.key.text().to_owned();
        let nodes: Vec<usize> = state.nodes.iter().map(|node| node.node as usize).collect();
        for node in &nodes {
            let ended = self.settle_episodes(slot, *node, to);
            self.end(slot, *node, ended);
        }
        self.thin(plan, slot, to);
        let left = self.keys[slot.group].get(slot.slot).map_or(0, |state| state.ring.len());
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
        let of = &plan.groups[slot.group];
        let Some((state, kinds)) = self.keys[slot.group].both(slot.slot) else { return };
        let ring = &mut state.ring;
        let Thinning { kept, met, went } = &mut self.thinning;
        met.clear();
        went.clear();
        kept.clear();
        kept.resize(ring.len(), true);
        // From the last to the first: of events up to the watermark that count by their values, the last of each value
        // is enough, if no other rule sees the others.
        for at in (0..ring.len()).rev() {
            let time = ring.time(at);
            if time > settled && time > given_up {
                continue;
            }
            let kind = *kinds.of(ring.kind(at));
            kept[at] = time > given_up && time > settled.saturating_sub(kind.reach);
            if !kept[at] {
                continue;
            }
            // What was kept of it was for decisions that have fallen.
            ring.strip(at, kinds, of, &mut self.held);
            if kind.lasting >= kind.reach {
                continue;
            }
            let events = Events { ring, kinds, held: &self.held };
            let mut needed = time > settled.saturating_sub(kind.lasting);
            let seen = |bit: &u8| time > settled.saturating_sub(of.channels[usize::from(*bit)].window);
            for bit in bits(kind.distinct).filter(seen) {
                needed |= events.value(at, bit).is_some_and(|value| met.add(bit, value));
            }
            if !needed {
                kept[at] = false;
                went.push(at);
            }
        }
        if ring.past.is_none() && went.len() < LEAST {
            went.drain(..).for_each(|at| kept[at] = true);
        }
        let is_over = |time, kind| time <= given_up || time <= settled.saturating_sub(kinds.of(kind).reach);
        remember(ring, went, is_over);
        // What goes is counted by those who have not looked so far.
        let gone = kept.iter().rposition(|kept| !kept).map_or(0, |last| last + 1);
        let events = Events { ring, kinds, held: &self.held };
        for node in state.nodes.iter_mut() {
            node.window.pass(&plan.nodes[node.node as usize], events, gone);
            node.window.thinned(kept.iter().take(node.window.looked_at()).filter(|kept| **kept).count());
        }
        if gone > 0 {
            for at in (0..gone).filter(|at| !kept[*at]) {
                ring.release(at, kinds, of, &mut self.held);
            }
            ring.retain(kept, kinds, of);
        }
        let most = self.settings.events_per_key;
        let oldest = ring.past.as_ref().filter(|past| past.len() > most).and_then(|past| past.iter().next());
        state.thinned(most);
        if let (Some((from, _)), Some(past)) = (oldest, &mut state.ring.past) {
            let lost = most / 8 + past.len() - most;
            past.drop_first(lost);
            let to = past.iter().next().map_or(from, |(time, _)| time);
            let gap = Gap {
                rules: Vec::new(),
                key: Some(state.key.text().to_owned()),
                from: Timestamp::from_micros(from.min(to)),
                to: Timestamp::from_micros(to.max(from)),
                lost: lost as u64,
                reason: format!(
                    "more than {most} events of a key had values that came again; the oldest are not counted"
                ),
            };
            self.note_gap(gap);
        }
    }

    /// Notes a number that takes no part in the rules over a channel.
    pub(super) fn note_too_large(&mut self, plan: &Plan, group: usize, bit: u8, time: i64) {
        let nodes = &plan.groups[group].channels[usize::from(bit)].nodes;
        let at = Timestamp::from_micros(time);
        self.note_gap(Gap {
            rules: nodes.iter().map(|node| self.set.rules[plan.nodes[*node].rule].id.clone()).collect(),
            key: None,
            from: at,
            to: at,
            lost: 1,
            reason: "numbers of more than 28 digits before the point take no part in sums, averages and percentiles"
                .to_owned(),
        });
    }

    /// Visits some keys in turn, folds what has become final there, and forgets those of which nothing can come any more.
    pub(super) fn forget_some(&mut self, visits: usize) {
        let plan = self.plan.clone();
        let all = self.keys.iter().map(Keys::len).sum::<usize>().max(1);
        for group in 0..self.keys.len() {
            // Each group has its share, and a few more so that what is small is soon done.
            let share = visits.saturating_mul(self.keys[group].len()) / all + 64;
            for _ in 0..share.min(self.keys[group].len()) {
                let Some(slot) = self.keys[group].turn() else { break };
                self.visit(&plan, Slot { group, slot });
            }
        }
    }

    fn visit(&mut self, plan: &Plan, slot: Slot) {
        let Some(state) = self.keys[slot.group].get(slot.slot) else { return };
        let (ring, settled) = (&state.ring, self.settled);
        let kinds = &self.keys[slot.group].kinds;
        let gone = |at: usize| ring.time(at) <= settled.saturating_sub(kinds.of(ring.kind(at)).reach);
        // Thinning lets every window of the ring start over, so it has to pay: half of the ring goes at once, or something
        // was kept for decisions that have fallen, and that is soon done.
        let fallen = |len| len <= SMALL && kinds.of(ring.ever()).record && ring.time(0) <= settled;
        let pays = |len: usize| gone(len / 2) || fallen(len);
        if !ring.is_empty() && pays(ring.len()) {
            self.thin(plan, slot, i64::MIN);
        } else {
            let can_rest = |state: &&NodeState| state.episodes.as_ref().is_some_and(|some| some.can_rest(settled));
            let nodes: Vec<usize> = state.nodes.iter().filter(can_rest).map(|state| state.node as usize).collect();
            for node in nodes {
                let ended = self.settle_episodes(slot, node, settled);
                self.end(slot, node, ended);
            }
        }
        if self.keys[slot.group].get(slot.slot).is_some_and(KeyState::is_idle) {
            self.keys[slot.group].remove(slot.slot);
        }
    }
}

/// Notes events of which only their times are left, from the last to the first, and forgets those that are `gone`.
fn remember(ring: &mut Ring, went: &[usize], gone: impl Fn(i64, u32) -> bool) {
    if went.is_empty() && ring.past.is_none() {
        return;
    }
    let mut past = ring.past.take().unwrap_or_default();
    went.iter().rev().for_each(|at| past.push(ring.time(*at), ring.kind(*at)));
    past.drop_while(gone);
    ring.past = (past.len() > 0).then_some(past);
}
