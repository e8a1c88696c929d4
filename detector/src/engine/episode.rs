//! [`Episode`]: a run of events at which a rule holds, and what of it is told to people. What becomes of episodes while
//! events come late is in [`episodes`](super::episodes).

use std::sync::Arc;

use domain::{Escalation, Severity, Timestamp};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::events::{Events, Met};
use super::exact::double;
use super::plan::{Node, Shape};
use super::snapshot::rows::{number, steps, told};

/// At most so many contributing events are named; `event_count` stays exact.
const NAMED: usize = 256;

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
    /// Ids of contributing events.
    pub(super) named: Box<[Uuid]>,
    rare: Option<Box<Rare>>,
    first_seen: u32,
    last_seen: u32,
    /// How many of the rule's steps it has reached.
    steps: u16,
    /// Under what it was reported.
    pub(super) identity: Option<Identity>,
    /// Something has changed since it was last reported.
    pub(super) changed: bool,
}

/// What most episodes do not have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Rare {
    #[serde(with = "steps")]
    escalations: Vec<Escalation>,
    /// What the first crossing was compared with.
    #[serde(with = "told")]
    baseline: Option<Arc<Value>>,
}

impl Episode {
    /// An episode of one crossing, with the evidence of its window.
    fn begin(crossing: &Crossing, level: Severity, (named, first_event, count): (Vec<Uuid>, i64, u32)) -> Self {
        let rare = crossing.baseline.clone().map(|baseline| Rare { baseline: Some(baseline), ..Rare::default() });
        Self {
            at: crossing.time,
            opener: crossing.id,
            first_event,
            last: crossing.time,
            peak: crossing.value,
            severity: level,
            named: named.into(),
            rare: rare.map(Box::new),
            first_seen: crossing.seen.wrapping_sub(count).wrapping_add(1),
            last_seen: crossing.seen,
            steps: 0,
            identity: None,
            changed: true,
        }
    }

    /// Its steps upwards.
    pub(super) fn escalations(&self) -> &[Escalation] {
        self.rare.as_ref().map_or(&[], |rare| &rare.escalations)
    }

    /// Sets its steps upwards.
    pub(super) fn escalate(&mut self, steps: &[Escalation]) {
        if !steps.is_empty() || self.rare.is_some() {
            self.rare.get_or_insert_default().escalations = steps.to_vec();
        }
    }

    /// What the first crossing was compared with.
    pub(super) fn baseline(&self) -> Option<&Value> {
        self.rare.as_ref()?.baseline.as_deref()
    }

    /// How many events belong to it.
    pub(super) fn event_count(&self) -> i64 {
        i64::from(self.last_seen.wrapping_sub(self.first_seen)) + 1
    }

    /// Sets how many events belong to it, and how many steps it has reached.
    pub(super) fn count_from(&mut self, events: i64, steps: usize) {
        let events = u32::try_from(events).unwrap_or(u32::MAX).max(1);
        self.first_seen = self.last_seen.wrapping_sub(events - 1);
        self.steps = self.steps.max(u16::try_from(steps).unwrap_or(u16::MAX));
    }

    /// Whether it tells people the same as another.
    pub(super) fn same_content(&self, other: &Self) -> bool {
        self.at == other.at
            && self.opener == other.opener
            && self.last == other.last
            && self.peak == other.peak
            && self.escalations() == other.escalations()
            && self.event_count() == other.event_count()
    }

    /// Memory in bytes, its own included.
    pub(super) fn bytes(&self) -> usize {
        let rare = self.rare.as_ref();
        size_of::<Self>()
            + size_of_val(&*self.named)
            + rare.map_or(0, |rare| size_of::<Rare>() + rare.escalations.capacity() * size_of::<Escalation>())
    }
}

/// Adds a crossing to episodes, behind all others.
pub(super) fn extend(
    episodes: &mut Vec<Episode>,
    crossing: &Crossing,
    node: &Node,
    level: Severity,
    events: Events<'_>,
) {
    let extends = episodes.last().is_some_and(|last| crossing.time.saturating_sub(last.last) < node.episode);
    if !extends {
        // One is mostly all there are.
        episodes.reserve_exact(1);
        episodes.push(Episode::begin(crossing, level, evidence(crossing, node, events)));
    }
    let Some(episode) = episodes.last_mut() else { return };
    episode.changed = true;
    episode.last = crossing.time;
    episode.last_seen = crossing.seen;
    episode.peak = if node.lowest { episode.peak.min(crossing.value) } else { episode.peak.max(crossing.value) };
    while let Some(step) = node.steps.get(usize::from(episode.steps)) {
        let reached = if step.strict { crossing.value > step.bound } else { crossing.value >= step.bound };
        if !reached {
            break;
        }
        episode.steps += 1;
        episode.severity = episode.severity.max(step.to.unwrap_or(episode.severity));
        episode.rare.get_or_insert_default().escalations.push(Escalation {
            at: Timestamp::from_micros(crossing.time),
            severity: episode.severity,
            observed: double(crossing.value),
        });
        if episode.named.len() < NAMED && !episode.named.contains(&crossing.id) {
            let named = std::mem::take(&mut episode.named).into_iter();
            episode.named = named.chain([crossing.id]).collect();
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
    for (time, kind) in events.ring.past.iter().flat_map(|past| past.iter()) {
        if time > floor && events.kinds.of(kind).mask & node.mask != 0 {
            first = first.min(time);
            count += 1;
        }
    }
    (named, first, count.max(1))
}
