//! What becomes of episodes: reported while they go on, reported a last time when they are over.

use std::cmp::Reverse;
use std::collections::HashMap;

use domain::{Alert, AlertState};
use uuid::Uuid;

use super::episode::Identity;
use super::episodes::Ended;
use super::evaluate::Slot;
use super::events::Events;
use super::keys::KeyState;
use super::{Engine, report};

/// When the episodes of a rule and key are looked at; the rule says of which group the key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Closing {
    pub(super) at: i64,
    pub(super) slot: u32,
    pub(super) node: u32,
}

impl Engine {
    /// Looks at the episodes of a rule and key when nothing more can extend the first of them.
    pub(super) fn close_at(&mut self, over: i64, slot: Slot, node: usize) {
        // Neither keys nor rules are more than 32 bits can count.
        let number = |number| u32::try_from(number).unwrap_or(u32::MAX);
        self.closings.push(Reverse(Closing { at: over, slot: number(slot.slot), node: number(node) }));
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
        let key = key.text();
        let Some(episodes) =
            state.nodes.iter_mut().find(|state| state.node as usize == node).and_then(|state| state.episodes.as_mut())
        else {
            return;
        };
        for Ended { episode, state: ending, into } in ended {
            let mut found = episode.identity.map(|identity| (identity, false));
            let (identity, back) = found.get_or_insert_with(|| {
                episodes.found(episode.opener, episode.at, |opener| report::identity(rule, key, opener))
            });
            if *back {
                take_word_back(&mut self.out, identity);
            }
            let identity = Identity { revision: identity.revision + 1, ..*identity };
            let mut alert = report::alert(&set, &plan, of, key, &episode, (identity.id, identity.revision), ending);
            if identity.given > self.settled {
                episodes.let_go(identity, ending);
            }
            let target = into.and_then(|place| episodes.live.iter().position(|live| (live.at, live.opener) == place));
            if let Some(target) = target {
                let (target, back) = episodes.identify(target, |opener| report::identity(rule, key, opener));
                if back {
                    take_word_back(&mut self.out, target);
                }
                alert.merged_into = Some(target.id);
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
        let key = key.text();
        let Some(episodes) =
            state.nodes.iter_mut().find(|state| state.node as usize == node).and_then(|state| state.episodes.as_mut())
        else {
            return;
        };
        episodes.queued = false;
        for at in 0..episodes.live.len() {
            if !std::mem::take(&mut episodes.live[at].changed) {
                continue;
            }
            let (identity, back) = episodes.identify(at, |opener| report::identity(rule, key, opener));
            if back {
                take_word_back(&mut self.out, identity);
            }
            identity.revision += 1;
            let named = (identity.id, identity.revision);
            self.out.push(report::alert(&set, &plan, of, key, &episodes.live[at], named, AlertState::Open));
        }
    }

    /// What was merged into something that did not outlive this round either, is told of what that became.
    pub(super) fn follow_merges(&mut self) {
        let ended: HashMap<Uuid, Option<Uuid>> = self
            .out
            .iter()
            .filter(|alert| matches!(alert.state, AlertState::Merged | AlertState::Retracted))
            .map(|alert| (alert.alert_id, alert.merged_into))
            .collect();
        for alert in self.out.iter_mut().filter(|alert| alert.state == AlertState::Merged) {
            // Each step goes to something that ended later, so there are no more of them than have ended.
            for _ in 0..ended.len() {
                let Some(next) = alert.merged_into.and_then(|into| ended.get(&into)) else { break };
                alert.merged_into = *next;
            }
            if alert.merged_into.is_none() {
                alert.state = AlertState::Retracted;
            }
        }
    }

    /// Settles the episodes of a rule and key when the time noted for that has come; what is over is reported, what goes
    /// on is looked at again later.
    pub(super) fn close(&mut self, noted: i64, slot: Slot, node: usize) {
        let state = self.keys[slot.group].get(slot.slot);
        let state = state.and_then(|state| state.nodes.iter().find(|state| state.node as usize == node));
        let timed = state.and_then(|state| state.episodes.as_ref()?.timed);
        if timed != Some(noted) {
            // Noted anew since, for an earlier time.
            return;
        }
        let ended = self.settle_episodes(slot, node, self.settled);
        self.end(slot, node, ended);
        let episode = self.plan.nodes[node].episode;
        let Some(state) = self.keys[slot.group].get_mut(slot.slot) else { return };
        let Some(at) = state.state(node) else { return };
        let Some(episodes) = &mut state.nodes[at].episodes else { return };
        let over = episodes.live.first().map(|live| live.last.saturating_add(episode));
        // What is over has just ended; should it not have, then looking again at once would have no end either.
        match over.or(episodes.forget(self.settled)).filter(|over| *over > self.settled) {
            Some(over) => {
                episodes.timed = Some(over);
                self.close_at(over, slot, node);
            }
            None => {
                episodes.timed = None;
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
        let Some((state, kinds)) = self.keys[slot.group].both(slot.slot) else { return Vec::new() };
        let KeyState { ring, nodes, .. } = state;
        let events = Events { ring, kinds, held: &self.held };
        let episodes = nodes.iter_mut().find(|state| state.node as usize == node);
        let episodes = episodes.and_then(|state| state.episodes.as_mut());
        episodes.map_or_else(Vec::new, |episodes| episodes.settle(watermark, of, level, events))
    }
}

/// What ended before anybody was told of that, and goes on: the word is taken back.
fn take_word_back(out: &mut Vec<Alert>, identity: &mut Identity) {
    if let Some(at) = out.iter().position(|alert| alert.alert_id == identity.id) {
        out.remove(at);
        identity.revision -= 1;
    }
}
