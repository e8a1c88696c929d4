//! [`Episodes`]: from the events at which a rule holds to alerts.
//!
//! An episode is a maximal run of crossings, neighbours less than `episode` apart. Crossings up to the watermark are
//! final and folded into one summary; those behind it are kept, and where an event comes late the episodes are made
//! anew from the summary and them. What was reported before keeps its identity: episodes that grow together are
//! merged into the first, and one of which nothing is left is retracted.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::{AlertState, Escalation, Severity, Timestamp};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::plan::{Node, Shape};
use super::ring::{Events, Met};
use super::snapshot::rows::{number, steps, told};

/// At most so many contributing events are named; `event_count` stays exact.
const NAMED: usize = 256;
/// A copy of the live episodes is taken after so many crossings, so that a late one costs no more than about twice
/// this many steps.
const STRIDE: usize = 1_024;

/// An event at which the rule held.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Crossing {
    pub(super) time: i64,
    pub(super) id: Uuid,
    #[serde(with = "number")]
    pub(super) value: Decimal,
    /// Events that had taken part by then.
    pub(super) seen: u32,
    /// What it was compared with.
    #[serde(with = "told")]
    pub(super) baseline: Option<Arc<Value>>,
}

/// Under what an episode is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) id: Uuid,
    /// How often it was reported.
    pub(super) revision: i64,
    /// The time of the event that gave the id: until it is final, another episode may begin there.
    pub(super) given: i64,
}

/// A run of crossings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Episode {
    pub(super) at: i64,
    pub(super) opener: Uuid,
    pub(super) first_event: i64,
    pub(super) last: i64,
    #[serde(with = "number")]
    pub(super) peak: Decimal,
    pub(super) severity: Severity,
    #[serde(with = "steps")]
    pub(super) escalations: Vec<Escalation>,
    pub(super) named: Vec<Uuid>,
    /// What the first crossing was compared with.
    #[serde(with = "told")]
    pub(super) baseline: Option<Arc<Value>>,
    first_seen: u32,
    last_seen: u32,
    steps: usize,
    /// Under what it was reported.
    pub(super) identity: Option<Identity>,
    /// Something has changed since it was last reported.
    pub(super) changed: bool,
}

impl Episode {
    /// How many events belong to it.
    pub(super) fn event_count(&self) -> i64 {
        i64::from(self.last_seen.wrapping_sub(self.first_seen)) + 1
    }

    /// Sets how many events belong to it, and how many steps it has reached.
    pub(super) fn count_from(&mut self, events: i64, steps: usize) {
        let events = u32::try_from(events).unwrap_or(u32::MAX).max(1);
        self.first_seen = self.last_seen.wrapping_sub(events - 1);
        self.steps = self.steps.max(steps);
    }

    fn same_content(&self, other: &Self) -> bool {
        self.at == other.at
            && self.opener == other.opener
            && self.last == other.last
            && self.peak == other.peak
            && self.escalations == other.escalations
            && self.event_count() == other.event_count()
    }
}

/// An episode of which nothing more will come.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) episode: Episode,
    pub(super) state: AlertState,
    /// Where it was merged into, the first event of that episode.
    pub(super) into: Option<(i64, Uuid)>,
}

/// The episodes of one rule and key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Episodes {
    settled: Vec<Episode>,
    /// What is settled is the first of `live`, and stands nowhere else: nothing has come since.
    folded: bool,
    tail: VecDeque<Crossing>,
    pub(super) live: Vec<Episode>,
    /// Copies of `live` after so many crossings of `tail`.
    #[serde(skip)]
    marks: VecDeque<(usize, Vec<Episode>)>,
    /// Identities of what has ended and how, as long as an event could begin an episode where they were given.
    gone: Vec<(Identity, AlertState)>,
    /// The engine has it on its list of what to report.
    pub(super) queued: bool,
    /// When the engine will look whether the first of `live` is over.
    pub(super) timed: Option<i64>,
}

impl Episodes {
    /// Takes back the crossings from an event on. Says whether there were any.
    pub(super) fn take_back(&mut self, time: i64, id: Uuid) -> bool {
        let keep = match self.tail.back() {
            Some(last) if (last.time, last.id) >= (time, id) => {
                self.tail.partition_point(|crossing| (crossing.time, crossing.id) < (time, id))
            }
            _ => return false,
        };
        self.tail.truncate(keep);
        while self.marks.back().is_some_and(|(after, _)| *after > keep) {
            self.marks.pop_back();
        }
        true
    }

    /// Adds a crossing behind all others. With `apply` it takes effect at once; without, [`Self::remake`] follows.
    pub(super) fn push(&mut self, crossing: Crossing, apply: bool, node: &Node, level: Severity, events: Events<'_>) {
        self.unfold();
        if apply {
            extend(&mut self.live, &crossing, node, level, events);
        }
        if self.tail.is_empty() {
            self.tail.reserve_exact(1);
        }
        self.tail.push_back(crossing);
        if apply && self.tail.len().is_multiple_of(STRIDE) {
            self.mark();
        }
    }

    fn unfold(&mut self) {
        if std::mem::take(&mut self.folded) {
            self.settled.clone_from(&self.live);
        }
    }

    /// Two copies of one thing become one.
    fn fold(&mut self) {
        if self.tail.is_empty() && self.settled.len() == 1 && self.live.len() == 1 {
            self.settled = Vec::new();
            self.folded = true;
        }
    }

    fn mark(&mut self) {
        self.marks.push_back((self.tail.len(), self.live.clone()));
        if self.marks.len() > 2 {
            self.marks.pop_front();
        }
    }

    /// Makes the live episodes anew from what is settled and the crossings since, and gives back what ended by that.
    pub(super) fn remake(&mut self, node: &Node, level: Severity, events: Events<'_>) -> Vec<Ended> {
        self.unfold();
        let (from, base) = match self.marks.back() {
            Some((after, live)) => (*after, live.clone()),
            None => (0, self.settled.clone()),
        };
        let old = std::mem::replace(&mut self.live, base);
        for live in &mut self.live {
            live.identity = None;
            live.changed = false;
        }
        for crossing in self.tail.iter().skip(from) {
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
        let closed = |id: Uuid| self.gone.iter().any(|(gone, how)| gone.id == id && *how == AlertState::Closed);
        let mut id = derived(opener);
        while lives(id) || closed(id) {
            id = derived(id);
        }
        let before = self.gone.iter().position(|(gone, _)| gone.id == id).map(|at| self.gone.swap_remove(at));
        let revision = before.map_or(0, |(gone, _)| gone.revision);
        (Identity { id, revision, given }, before.is_some())
    }

    /// Remembers under what something ended.
    pub(super) fn let_go(&mut self, identity: Identity, how: AlertState) {
        self.gone.push((identity, how));
    }

    /// Forgets what cannot come back after `watermark`; when the rest can be forgotten.
    pub(super) fn forget(&mut self, watermark: i64) -> Option<i64> {
        self.gone.retain(|(gone, _)| gone.given > watermark);
        self.gone.iter().map(|(gone, _)| gone.given).max()
    }

    /// Folds the crossings up to `watermark` and gives back the episodes that are over by then.
    pub(super) fn settle(&mut self, watermark: i64, node: &Node, level: Severity, events: Events<'_>) -> Vec<Ended> {
        let is_over = |episode: &Episode| episode.last.saturating_add(node.episode) <= watermark;
        if self.folded && self.live.first().is_some_and(|live| !is_over(live)) {
            return Vec::new();
        }
        self.unfold();
        let mut over = 0;
        let mut folded = 0;
        while let Some(crossing) = self.tail.front().filter(|crossing| crossing.time <= watermark).cloned() {
            self.tail.pop_front();
            folded += 1;
            extend(&mut self.settled, &crossing, node, level, events);
            while self.settled.len() > 1 {
                self.settled.remove(0);
                over += 1;
            }
        }
        if folded > 0 && self.tail.capacity() > 2 * self.tail.len() {
            self.tail.shrink_to_fit();
        }
        if self.settled.first().is_some_and(is_over) {
            self.settled.clear();
            over += 1;
        }
        if over > 0 {
            self.marks.clear();
        } else {
            self.marks.retain(|(after, _)| *after >= folded);
            for (after, _) in &mut self.marks {
                *after -= folded;
            }
        }
        let over = over.min(self.live.len());
        let ended =
            self.live.drain(..over).map(|episode| Ended { episode, state: AlertState::Closed, into: None }).collect();
        self.fold();
        ended
    }

    /// The summary of what is settled, where it is not the first of `live`.
    pub(super) fn settled_mut(&mut self) -> Option<&mut Episode> {
        self.settled.first_mut()
    }

    /// Nothing is known and nothing pending.
    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty() && self.tail.is_empty() && self.settled.is_empty() && self.gone.is_empty()
    }

    /// Heap memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        let of = |episodes: &[Episode]| -> usize {
            episodes
                .iter()
                .map(|e| {
                    size_of::<Episode>()
                        + e.named.len() * size_of::<Uuid>()
                        + e.escalations.len() * size_of::<Escalation>()
                })
                .sum()
        };
        size_of::<Self>()
            + of(&self.settled)
            + of(&self.live)
            + self.marks.iter().map(|(_, live)| of(live)).sum::<usize>()
            + self.tail.capacity() * size_of::<Crossing>()
            + self.gone.capacity() * size_of::<(Identity, AlertState)>()
    }
}

fn extend(episodes: &mut Vec<Episode>, crossing: &Crossing, node: &Node, level: Severity, events: Events<'_>) {
    let extends = episodes.last().is_some_and(|last| crossing.time.saturating_sub(last.last) < node.episode);
    if !extends {
        let (named, first_event, count) = evidence(crossing, node, events);
        // One is mostly all there are.
        episodes.reserve_exact(1);
        episodes.push(Episode {
            at: crossing.time,
            opener: crossing.id,
            first_event,
            last: crossing.time,
            peak: crossing.value,
            severity: level,
            escalations: Vec::new(),
            named,
            baseline: crossing.baseline.clone(),
            first_seen: crossing.seen.wrapping_sub(count).wrapping_add(1),
            last_seen: crossing.seen,
            steps: 0,
            identity: None,
            changed: true,
        });
    }
    let Some(episode) = episodes.last_mut() else { return };
    episode.changed = true;
    episode.last = crossing.time;
    episode.last_seen = crossing.seen;
    episode.peak = if node.lowest { episode.peak.min(crossing.value) } else { episode.peak.max(crossing.value) };
    while let Some(step) = node.steps.get(episode.steps) {
        let reached = if step.strict { crossing.value > step.bound } else { crossing.value >= step.bound };
        if !reached {
            break;
        }
        episode.steps += 1;
        episode.severity = episode.severity.max(step.to.unwrap_or(episode.severity));
        episode.escalations.push(Escalation {
            at: Timestamp::from_micros(crossing.time),
            severity: episode.severity,
            observed: crossing.value.to_f64().unwrap_or(f64::MAX),
        });
        if episode.named.len() < NAMED && !episode.named.contains(&crossing.id) {
            episode.named.push(crossing.id);
        }
    }
}

/// The events of a crossing's window: their ids (the latest, in order), the time of the first, and how many there are.
/// Where different values count, the last event of each is named: what came before it says the same once more.
fn evidence(crossing: &Crossing, node: &Node, events: Events<'_>) -> (Vec<Uuid>, i64, u32) {
    let Ok(at) = events.ring.find(crossing.time, crossing.id) else { return (vec![crossing.id], crossing.time, 1) };
    let floor = crossing.time.saturating_sub(node.window);
    let (mut named, mut first, mut count) = (Vec::new(), crossing.time, 0);
    let mut met = matches!(node.shape, Shape::Distinct).then(Met::default);
    for at in events.back(node, at, floor) {
        let value = events.value(at, node.bits[0]);
        let new = met.as_mut().zip(value).is_none_or(|(met, value)| met.add(node.bits[0], value));
        if named.len() < NAMED && new {
            named.push(events.ring.id(at));
        }
        first = events.ring.time(at);
        count += 1;
    }
    named.reverse();
    named.shrink_to_fit();
    for (time, kind) in events.ring.past.iter().flat_map(|past| past.iter()) {
        if time > floor && events.kinds.of(kind).mask & node.mask != 0 {
            first = first.min(time);
            count += 1;
        }
    }
    (named, first, count.max(1))
}
