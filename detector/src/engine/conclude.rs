//! What becomes of episodes: reported while they go on, reported a last time when they are over.

use std::cmp::Reverse;

use domain::AlertState;

use super::episode::Ended;
use super::evaluate::Slot;
use super::keys::KeyState;
use super::{Engine, report};

impl Engine {
    /// Looks at the episodes of a rule and key when nothing more can extend the first of them.
    pub(super) fn close_at(&mut self, over: i64, slot: Slot, node: usize) {
        self.closings.push(Reverse((over, slot.group, slot.slot, node)));
    }

    /// Reports episodes that are over.
    pub(super) fn end(&mut self, slot: Slot, node: usize, ended: Vec<Ended>) {
        if ended.is_empty() {
            return;
        }
        let (plan, set) = (self.plan.clone(), self.set.clone());
        let of = &plan.nodes[node];
        let rule = &set.rules[of.rule];
        let Some(state) = self.keys[slot.group].get_mut(slot.slot) else { return };
        let key = state.key.clone();
        for Ended { episode, state: ending, into } in ended {
            let (id, revision) = episode.identity.unwrap_or((report::identity(rule, &key, episode.opener), 0));
            let mut alert = report::alert(&set, &plan, of, &key, &episode, (id, revision + 1), ending);
            if let Some((at, opener)) = into {
                let live = state.nodes.iter_mut().find(|state| state.node as usize == node);
                let live = live.and_then(|state| state.episodes.as_mut()).into_iter().flat_map(|e| &mut e.live);
                for target in live.filter(|target| (target.at, target.opener) == (at, opener)) {
                    let (id, _) = *target.identity.get_or_insert((report::identity(rule, &key, target.opener), 0));
                    alert.merged_into = Some(id);
                }
            }
            self.out.push(alert);
        }
    }

    /// Reports what changed in the episodes of a rule and key.
    pub(super) fn report(&mut self, slot: Slot, node: usize) {
        let (plan, set) = (self.plan.clone(), self.set.clone());
        let of = &plan.nodes[node];
        let rule = &set.rules[of.rule];
        let Some(state) = self.keys[slot.group].get_mut(slot.slot) else { return };
        let key = state.key.clone();
        let Some(episodes) =
            state.nodes.iter_mut().find(|state| state.node as usize == node).and_then(|state| state.episodes.as_mut())
        else {
            return;
        };
        episodes.queued = false;
        for episode in episodes.live.iter_mut().filter(|episode| episode.changed) {
            episode.changed = false;
            let identity = episode.identity.get_or_insert((report::identity(rule, &key, episode.opener), 0));
            identity.1 += 1;
            let identity = *identity;
            self.out.push(report::alert(&set, &plan, of, &key, episode, identity, AlertState::Open));
        }
    }

    /// Settles the episodes of a rule and key; what is over is reported, what goes on is looked at again later.
    pub(super) fn close(&mut self, slot: Slot, node: usize) {
        let ended = self.settle_episodes(slot, node, self.settled);
        self.end(slot, node, ended);
        let episode = self.plan.nodes[node].episode;
        let Some(state) = self.keys[slot.group].get_mut(slot.slot) else { return };
        let Some(at) = state.state(node) else { return };
        let Some(episodes) = &mut state.nodes[at].episodes else { return };
        match episodes.live.first() {
            Some(live) => {
                let over = live.last.saturating_add(episode);
                self.close_at(over, slot, node);
            }
            None => {
                episodes.timed = false;
                if episodes.is_empty() && !episodes.queued {
                    state.nodes[at].episodes = None;
                }
            }
        }
    }

    /// Folds the episodes of a rule and key up to a moment and gives back those that are over by then.
    pub(super) fn settle_episodes(&mut self, slot: Slot, node: usize, watermark: i64) -> Vec<Ended> {
        let of = &self.plan.nodes[node];
        let level = self.set.rules[of.rule].level;
        let Some(state) = self.keys[slot.group].get_mut(slot.slot) else { return Vec::new() };
        let KeyState { ring, nodes, .. } = state;
        let episodes = nodes.iter_mut().find(|state| state.node as usize == node);
        let episodes = episodes.and_then(|state| state.episodes.as_mut());
        episodes.map_or_else(Vec::new, |episodes| episodes.settle(watermark, of, level, ring))
    }
}
