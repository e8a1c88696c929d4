//! [`Episodes`]: from the events at which a rule holds to alerts.
//!
//! An episode is a maximal run of crossings, neighbours less than `episode` apart. Crossings up to the watermark are
//! final and folded into one summary; those behind it are kept, and where an event comes late the episodes are made
//! anew from the summary and them. What was reported before keeps its identity: episodes that grow together are
//! merged into the first, and one of which nothing is left is retracted.

use std::collections::VecDeque;

use domain::{AlertState, Severity};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::episode::{Crossing, Episode, Identity, extend};
use super::events::Events;
use super::plan::Node;

/// A copy of the live episodes is taken after so many crossings, so that a late one costs no more than about twice
/// this many steps.
const STRIDE: usize = 1_024;

/// An episode of which nothing more will come.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) episode: Episode,
    pub(super) state: AlertState,
    /// Where it was merged into, the first event of that episode.
    pub(super) into: Option<(i64, Uuid)>,
}

/// The episodes of one rule and key. Most of the time there is one, everything that belongs to it is final, and there is
/// nothing more to know.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Episodes {
    pub(super) live: Vec<Episode>,
    /// None where what is settled is the first of `live`, and nothing has come since.
    moving: Option<Box<Moving>>,
    /// The engine has it on its list of what to report.
    pub(super) queued: bool,
    /// When the engine will look whether the first of `live` is over.
    pub(super) timed: Option<i64>,
}

/// What is known of episodes that an event could still change.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Moving {
    settled: Vec<Episode>,
    tail: VecDeque<Crossing>,
    /// Copies of the live episodes after so many crossings of `tail`.
    #[serde(skip)]
    marks: VecDeque<(usize, Vec<Episode>)>,
    /// Identities of what has ended and how, as long as an event could begin an episode where they were given.
    gone: Vec<(Identity, AlertState)>,
}

impl Episodes {
    /// Takes back the crossings from an event on. Says whether there were any.
    pub(super) fn take_back(&mut self, time: i64, id: Uuid) -> bool {
        let Some(Moving { tail, marks, .. }) = self.moving.as_deref_mut() else { return false };
        let keep = match tail.back() {
            Some(last) if (last.time, last.id) >= (time, id) => {
                tail.partition_point(|crossing| (crossing.time, crossing.id) < (time, id))
            }
            _ => return false,
        };
        tail.truncate(keep);
        while marks.back().is_some_and(|(after, _)| *after > keep) {
            marks.pop_back();
        }
        true
    }

    /// Adds a crossing behind all others. With `apply` it takes effect at once; without, [`Self::remake`] follows.
    pub(super) fn push(&mut self, crossing: Crossing, apply: bool, node: &Node, level: Severity, events: Events<'_>) {
        let moving = moving(&mut self.moving, &self.live);
        if apply {
            extend(&mut self.live, &crossing, node, level, events);
        }
        if moving.tail.is_empty() {
            moving.tail.reserve_exact(1);
        }
        moving.tail.push_back(crossing);
        if apply && moving.tail.len().is_multiple_of(STRIDE) {
            moving.marks.push_back((moving.tail.len(), self.live.clone()));
            if moving.marks.len() > 2 {
                moving.marks.pop_front();
            }
        }
    }

    /// Makes the live episodes anew from what is settled and the crossings since, and gives back what ended by that.
    pub(super) fn remake(&mut self, node: &Node, level: Severity, events: Events<'_>) -> Vec<Ended> {
        let moving = moving(&mut self.moving, &self.live);
        let (from, base) = match moving.marks.back() {
            Some((after, live)) => (*after, live.clone()),
            None => (0, moving.settled.clone()),
        };
        let old = std::mem::replace(&mut self.live, base);
        for live in &mut self.live {
            live.identity = None;
            live.changed = false;
        }
        for crossing in moving.tail.iter().skip(from) {
            extend(&mut self.live, crossing, node, level, events);
        }
        let mut ended = Vec::new();
        let mut old = old.into_iter().peekable();
        for episode in &mut self.live {
            let mut first = true;
            while let Some(before) = old.peek().filter(|before| before.at <= episode.last) {
                if before.last < episode.at {
                    ended.extend(old.next().map(|episode| Ended { episode, state: AlertState::Retracted, into: None }));
                    continue;
                }
                if first {
                    episode.changed = before.changed || !episode.same_content(before);
                    episode.identity = before.identity;
                    first = false;
                    // What reaches beyond this episode has its other part in the next one, which is new.
                    old.next();
                } else {
                    let into = Some((episode.at, episode.opener));
                    ended.extend(old.next().map(|episode| Ended { episode, state: AlertState::Merged, into }));
                }
            }
            episode.changed |= first;
        }
        ended.extend(old.map(|episode| Ended { episode, state: AlertState::Retracted, into: None }));
        // Of what nobody was told, nothing has to be taken back.
        ended.retain(|ended| ended.episode.identity.is_some());
        ended
    }

    /// The identity of a live episode, given to it where it has none yet. Says whether it came back: see [`Self::found`].
    pub(super) fn identify(&mut self, at: usize, derived: impl Fn(Uuid) -> Uuid) -> (&mut Identity, bool) {
        let (identity, back) = match self.live[at].identity {
            Some(identity) => (identity, false),
            None => self.found(self.live[at].opener, self.live[at].at, derived),
        };
        (self.live[at].identity.insert(identity), back)
    }

    /// The identity of an episode that has none yet: `derived` is the id that its opener makes. What was taken back goes on
    /// under its id with its revisions, which is said; an id that stands for another alert is derived again.
    pub(super) fn found(&mut self, opener: Uuid, given: i64, derived: impl Fn(Uuid) -> Uuid) -> (Identity, bool) {
        let lives = |id: Uuid| self.live.iter().any(|live| live.identity.is_some_and(|other| other.id == id));
        let gone = self.moving.as_ref().map_or(&[][..], |moving| &moving.gone);
        let closed = |id: Uuid| gone.iter().any(|(gone, how)| gone.id == id && *how == AlertState::Closed);
        let mut id = derived(opener);
        while lives(id) || closed(id) {
            id = derived(id);
        }
        let at = gone.iter().position(|(gone, _)| gone.id == id);
        let before = at.zip(self.moving.as_mut()).map(|(at, moving)| moving.gone.swap_remove(at));
        let revision = before.map_or(0, |(gone, _)| gone.revision);
        (Identity { id, revision, given }, before.is_some())
    }

    /// Remembers under what something ended.
    pub(super) fn let_go(&mut self, identity: Identity, how: AlertState) {
        moving(&mut self.moving, &self.live).gone.push((identity, how));
    }

    /// Forgets what cannot come back after `watermark`; when the rest can be forgotten.
    pub(super) fn forget(&mut self, watermark: i64) -> Option<i64> {
        let gone = &mut self.moving.as_mut()?.gone;
        gone.retain(|(gone, _)| gone.given > watermark);
        let last = gone.iter().map(|(gone, _)| gone.given).max();
        self.rest();
        last
    }

    /// Folds the crossings up to `watermark` and gives back the episodes that are over by then.
    pub(super) fn settle(&mut self, watermark: i64, node: &Node, level: Severity, events: Events<'_>) -> Vec<Ended> {
        let is_over = |episode: &Episode| episode.last.saturating_add(node.episode) <= watermark;
        if self.moving.is_none() && self.live.first().is_none_or(|live| !is_over(live)) {
            return Vec::new();
        }
        let moving = moving(&mut self.moving, &self.live);
        let (mut over, mut folded) = (0, 0);
        while let Some(crossing) = moving.tail.front().filter(|crossing| crossing.time <= watermark).cloned() {
            moving.tail.pop_front();
            folded += 1;
            extend(&mut moving.settled, &crossing, node, level, events);
            while moving.settled.len() > 1 {
                moving.settled.remove(0);
                over += 1;
            }
        }
        if folded > 0 && moving.tail.capacity() > 2 * moving.tail.len() {
            moving.tail.shrink_to_fit();
        }
        if moving.settled.first().is_some_and(is_over) {
            moving.settled.clear();
            over += 1;
        }
        if over > 0 {
            moving.marks.clear();
        } else {
            moving.marks.retain(|(after, _)| *after >= folded);
            for (after, _) in &mut moving.marks {
                *after -= folded;
            }
        }
        let over = over.min(self.live.len());
        let ended =
            self.live.drain(..over).map(|episode| Ended { episode, state: AlertState::Closed, into: None }).collect();
        self.rest();
        ended
    }

    /// Whether everything lies before `watermark`, and is not folded yet.
    pub(super) fn can_rest(&self, watermark: i64) -> bool {
        self.moving.as_ref().is_some_and(|moving| moving.tail.back().is_some_and(|last| last.time <= watermark))
    }

    /// Keeps no second copy of what is final.
    fn rest(&mut self) {
        let is_one = |moving: &Moving| {
            moving.tail.is_empty() && moving.gone.is_empty() && moving.settled.len() == self.live.len()
        };
        if self.live.len() <= 1 && self.moving.as_deref().is_some_and(is_one) {
            self.moving = None;
        }
    }

    /// The summary of what is settled, where it is not the first of `live`.
    pub(super) fn settled_mut(&mut self) -> Option<&mut Episode> {
        self.moving.as_mut()?.settled.first_mut()
    }

    /// Nothing is known and nothing pending.
    pub(super) fn is_empty(&self) -> bool {
        let settled = |moving: &Moving| moving.tail.is_empty() && moving.settled.is_empty() && moving.gone.is_empty();
        self.live.is_empty() && self.moving.as_deref().is_none_or(settled)
    }

    /// Heap memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        let of = |episodes: &Vec<Episode>| {
            let room = (episodes.capacity() - episodes.len()) * size_of::<Episode>();
            room + episodes.iter().map(Episode::bytes).sum::<usize>()
        };
        let moving = self.moving.as_ref().map_or(0, |moving| {
            size_of::<Moving>()
                + of(&moving.settled)
                + moving.marks.capacity() * size_of::<(usize, Vec<Episode>)>()
                + moving.marks.iter().map(|(_, live)| of(live)).sum::<usize>()
                + moving.tail.capacity() * size_of::<Crossing>()
                + moving.gone.capacity() * size_of::<(Identity, AlertState)>()
        });
        size_of::<Self>() + of(&self.live) + moving
    }
}

/// What can still change; from nothing known of it on, what is settled is what lives.
fn moving<'a>(moving: &'a mut Option<Box<Moving>>, live: &[Episode]) -> &'a mut Moving {
    moving.get_or_insert_with(|| Box::new(Moving { settled: live.to_vec(), ..Moving::default() }))
}
