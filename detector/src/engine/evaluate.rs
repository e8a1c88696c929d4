//! An event on its way: into the rings of its keys, through the rules of those rings, and where a rule held, on into
//! the rings of the rules that are built on it.

use std::ops::Range;
use std::sync::Arc;

use domain::{Activity, Timestamp};

use super::decide::{self, Due, What};
use super::episode::Crossing;
use super::keys::{KeyState, NodeState};
use super::plan::{Plan, Route, bits};
use super::record::{Record, Source};
use super::ring::{Entry, Value};
use super::window::Window;
use super::{Engine, Place};
use crate::rules::{Body, Condition};

/// A crossing on its way into another ring.
#[derive(Debug)]
pub(super) struct Arrival {
    route: Route,
    place: Place,
    record: Arc<Record>,
}

/// One key of one group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) group: usize,
    pub(super) slot: usize,
}

/// What has still to be looked at in a ring: nodes, each from an event on.
type Work = Vec<(usize, usize)>;

impl Engine {
    /// Brings the matches of an activity into the rings.
    pub(super) fn enter(&mut self, activity: &Activity, found: &[usize]) {
        let (plan, set) = (self.plan.clone(), self.set.clone());
        let place = (activity.occurred_at.micros(), activity.event_id);
        let mut routes = std::mem::take(&mut self.routes);
        routes.clear();
        let mut keeps: Vec<usize> = Vec::new();
        let mut waiting: Vec<(usize, bool)> = Vec::new();
        for rule in found {
            let leaf = &plan.leaves[*rule];
            if leaf.routes.is_empty() {
                continue;
            }
            let gate = set.rules[*rule].time.as_ref();
            let open = gate.is_none_or(|gate| {
                decide::is_open(&self.settings, gate, activity.occurred_at, activity.user.as_deref())
            });
            if !open && !leaf.waits {
                continue;
            }
            keeps.extend(&leaf.keeps);
            if leaf.waits {
                // At a time that does not count, a match still is one: it is what later ones are compared with.
                waiting.push((*rule, open));
            } else {
                leaf.routes.iter().for_each(|route| route.join(&mut routes));
            }
        }
        let record = (!keeps.is_empty()).then(|| {
            keeps.sort_unstable();
            keeps.dedup();
            Arc::new(Record::keep(&plan, &keeps, activity))
        });
        for (rule, counts) in waiting {
            // A rule that waits always keeps something: at the least its key.
            let record = record.clone().unwrap_or_else(|| Arc::new(Record::keep(&plan, &[], activity)));
            self.wait(Due { time: place.0, id: place.1, rule, what: What::Leaf { record, counts } });
        }
        self.bring(&plan, Source::Event(activity), &routes, place, record.as_ref());
        self.routes = routes;
    }

    /// Brings one event along routes.
    pub(super) fn bring(
        &mut self,
        plan: &Plan,
        source: Source<'_>,
        routes: &[Route],
        place: Place,
        record: Option<&Arc<Record>>,
    ) {
        let mut values = std::mem::take(&mut self.values);
        for route in routes {
            let group = &plan.groups[route.group];
            let Some(key) = source.key(plan, &group.key, route.variant) else { continue };
            values.clear();
            for bit in bits(route.mask) {
                let of = group.channels[usize::from(bit)].value.as_ref();
                if let Some(value) = source.value(plan, of, &mut self.texts) {
                    values.push((bit, value));
                }
            }
            if !values.is_empty() {
                self.place(plan, route.group, &key, place, &values, record);
            }
        }
        self.values = values;
    }

    /// Sets an event into a ring and looks at what that changes.
    fn place(
        &mut self,
        plan: &Plan,
        group: usize,
        key: &str,
        place: Place,
        values: &[(u8, Value)],
        record: Option<&Arc<Record>>,
    ) {
        let slot = Slot { group, slot: self.slot(group, key) };
        self.make_room(plan, slot);
        let Some(state) = self.keys[group].get_mut(slot.slot) else { return };
        let (at, fresh) = match state.ring.find(place.0, place.1) {
            Ok(at) => {
                let mut fresh = 0;
                for (bit, value) in values {
                    if state.ring.entries[at].mask >> bit & 1 == 0 {
                        join(state, plan, at, *bit, *value);
                        fresh |= 1 << bit;
                    } else if let Value::Text(text) = value {
                        self.texts.release(*text);
                    }
                }
                let entry = &mut state.ring.entries[at];
                if entry.record.is_none() {
                    entry.record = record.cloned();
                }
                (at, fresh)
            }
            Err(at) => {
                let fresh = values.iter().fold(0, |mask, (bit, _)| mask | 1 << bit);
                if at < state.ring.entries.len() {
                    for node in &mut state.nodes {
                        let of = &plan.nodes[node.node as usize];
                        if of.mask & fresh == 0 {
                            node.window.shift(at);
                        } else {
                            node.window.rewind(of, &state.ring, at);
                        }
                    }
                }
                let entry = Entry { time: place.0, id: place.1, mask: 0, record: record.cloned() };
                state.ring.entries.insert(at, entry);
                for (bit, value) in values {
                    state.ring.set(at, *bit, *value);
                }
                (at, fresh)
            }
        };
        let mut work = std::mem::take(&mut self.work);
        self.call(plan, slot, place, at, fresh, &mut work);
        self.look_all(plan, slot, &mut work);
        self.work = work;
    }

    /// Notes which rules have to look at an event that newly takes part in channels.
    fn call(&mut self, plan: &Plan, slot: Slot, place: Place, at: usize, fresh: u64, work: &mut Work) {
        for bit in bits(fresh) {
            for node in plan.groups[slot.group].channels[usize::from(bit)].nodes.iter().copied() {
                let of = &plan.nodes[node];
                if of.waits {
                    self.wait(Due { time: place.0, id: place.1, rule: of.rule, what: What::Node(slot, node) });
                } else if let Some((_, from)) = work.iter_mut().find(|(other, _)| *other == node) {
                    *from = (*from).min(at);
                } else {
                    work.push((node, at));
                }
            }
        }
    }

    /// Lets rules look, in their order, each from the first event that changed for it.
    pub(super) fn look_all(&mut self, plan: &Plan, slot: Slot, work: &mut Work) {
        while let Some(next) = (0..work.len()).min_by_key(|at| work[*at].0) {
            let (node, from) = work.swap_remove(next);
            let to = self.keys[slot.group].get(slot.slot).map_or(0, |state| state.ring.entries.len());
            self.look(plan, slot, node, from..to, work);
        }
    }

    /// Lets one rule look at a range of events.
    pub(super) fn look(&mut self, plan: &Plan, slot: Slot, node: usize, range: Range<usize>, work: &mut Work) {
        let set = self.set.clone();
        let of = &plan.nodes[node];
        let rule = &set.rules[of.rule];
        let any = Condition::default();
        let (condition, gate, baseline) = match &rule.body {
            Body::Correlation(correlation) => {
                (&correlation.condition, rule.time.as_ref(), correlation.baseline.as_ref())
            }
            // A detection's gate stood before its events.
            Body::Detection(_) => (&any, None, None),
        };
        let Some(state) = self.keys[slot.group].get_mut(slot.slot) else { return };
        let Some(first) = state.ring.entries.get(range.start).map(|entry| (entry.time, entry.id)) else { return };
        let which = state.state(node).unwrap_or_else(|| {
            let number = u32::try_from(node).unwrap_or(u32::MAX);
            if state.nodes.len() == state.nodes.capacity() {
                // Doubling would cost more memory than the few rules that are still to come.
                state.nodes.reserve_exact(2);
            }
            state.nodes.push(NodeState { node: number, window: Window::new(of), episodes: None });
            state.nodes.len() - 1
        });
        let KeyState { ring, nodes, .. } = state;
        let NodeState { window, episodes, .. } = &mut nodes[which];
        let taken_back = episodes.as_mut().is_some_and(|episodes| episodes.take_back(first.0, first.1));
        let mut crossed = Vec::new();
        let mut moved = taken_back;
        for at in range {
            if ring.entries[at].mask & of.mask == 0 {
                continue;
            }
            let verdict = window.evaluate(of, condition, ring, at);
            let (time, id) = (ring.entries[at].time, ring.entries[at].id);
            let open = gate.is_none_or(|gate| {
                let record = ring.entries[at].record.as_deref();
                let user = record.zip(of.clock).and_then(|(record, user)| Source::Kept(record).text(plan, user));
                decide::is_open(&self.settings, gate, Timestamp::from_micros(time), user.as_deref())
            });
            let mut holds = verdict.holds && open;
            let mut compared = None;
            if let (Some(fields), Some(baseline)) = (of.baseline, baseline) {
                let record = ring.entries[at].record.clone();
                let learnt = self.baselines.entry(node).or_default();
                compared = record.and_then(|record| {
                    decide::usual(plan, learnt, baseline, fields, &record, time, verdict.value, holds)
                });
                holds &= compared.is_some();
            }
            if !holds {
                continue;
            }
            if of.reports {
                let crossing = Crossing { time, id, value: verdict.value, seen: verdict.seen, baseline: compared };
                episodes.get_or_insert_default().push(crossing, !taken_back, of, rule.level, ring);
                moved = true;
            }
            if of.held != 0 && ring.entries[at].mask & of.held == 0 {
                ring.entries[at].mask |= of.held;
                crossed.push(at);
            }
        }
        if let Some(episodes) = episodes.as_mut().filter(|_| moved) {
            let ended = if taken_back { episodes.remake(of, rule.level, ring) } else { Vec::new() };
            if !std::mem::replace(&mut episodes.queued, true) {
                self.changed.push((slot, node));
            }
            let over = episodes.live.first().map(|live| live.last.saturating_add(of.episode));
            if let Some(over) = over.filter(|over| episodes.timed.is_none_or(|timed| *over < timed)) {
                episodes.timed = Some(over);
                self.close_at(over, slot, node);
            }
            self.end(slot, node, ended);
        }
        for at in crossed {
            self.hand_on(plan, slot, node, at, work);
        }
    }

    /// A rule held at an event: the rules that are built on it see that event.
    fn hand_on(&mut self, plan: &Plan, slot: Slot, node: usize, at: usize, work: &mut Work) {
        let of = &plan.nodes[node];
        for route in &of.routes {
            let Some(state) = self.keys[slot.group].get_mut(slot.slot) else { return };
            let entry = &state.ring.entries[at];
            let place = (entry.time, entry.id);
            let record = entry.record.clone();
            if !plan.stays(of, *route) {
                // Where nothing is kept, the other ring asks for nothing: it has one key and counts events.
                let record = record.unwrap_or_default();
                self.arrivals.push_back(Arrival { route: *route, place, record });
                continue;
            }
            let mut fresh = 0;
            for bit in bits(route.mask & !entry.mask) {
                let value = match (&plan.groups[slot.group].channels[usize::from(bit)].value, &record) {
                    (None, _) => Some(Value::None),
                    (value, Some(record)) => Source::Kept(record).value(plan, value.as_ref(), &mut self.texts),
                    (Some(_), None) => None,
                };
                if let Some(value) = value {
                    join(state, plan, at, bit, value);
                    fresh |= 1 << bit;
                }
            }
            self.call(plan, slot, place, at, fresh, work);
        }
    }

    /// Brings crossings into other rings until all have arrived.
    pub(super) fn pass_on(&mut self) {
        while let Some(Arrival { route, place, record }) = self.arrivals.pop_front() {
            let plan = self.plan.clone();
            self.bring(&plan, Source::Kept(&record), &[route], place, Some(&record));
        }
    }
}

/// Lets an event that is in the ring take part in one more channel.
fn join(state: &mut KeyState, plan: &Plan, at: usize, bit: u8, value: Value) {
    for node in &mut state.nodes {
        let of = &plan.nodes[node.node as usize];
        if of.mask >> bit & 1 == 1 {
            node.window.rewind(of, &state.ring, at);
        }
    }
    state.ring.set(at, bit, value);
}
