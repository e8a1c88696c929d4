//! An event on its way: into the rings of its keys, through the rules of those rings, and where a rule held, on into
//! the rings of the rules that are built on it.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use domain::{Activity, Timestamp};

use super::decide::{self, Due, What};
use super::episode::Crossing;
use super::events::Events;
use super::held::{Held, Value};
use super::keys::{KeyState, Keys, NodeState};
use super::kind::Kinds;
use super::plan::{Call, Plan, Route, bits};
use super::record::{Record, Source};
use super::ring::{New, Ring};
use super::window::{Window, glance};
use super::{Engine, Place};
use crate::rules::{Body, Condition, TooLarge};

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
                match source.value(plan, of, &mut self.held.texts) {
                    Ok(value) => values.extend(value.map(|value| (bit, value))),
                    Err(TooLarge) => self.note_too_large(plan, route.group, bit, place.0),
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
        let of = &plan.groups[group];
        let Some((state, kinds)) = self.keys[group].both(slot.slot) else { return };
        let held = &mut self.held;
        let (at, fresh) = match state.ring.find(place.0, place.1) {
            Ok(at) => {
                let mut fresh = 0;
                for (bit, value) in values {
                    if kinds.of(state.ring.kind(at)).mask >> bit & 1 == 0 {
                        join(state, plan, group, (at, *bit, *value), kinds, held);
                        fresh |= 1 << bit;
                    } else if let Value::Text(text) = value {
                        held.texts.release(*text);
                    }
                }
                if let Some(record) = record {
                    state.ring.keep(at, record, kinds, of, held);
                }
                (at, fresh)
            }
            Err(at) => {
                let fresh = values.iter().fold(0, |mask, (bit, _)| mask | 1 << bit);
                if at < state.ring.len() {
                    let events = Events { ring: &state.ring, kinds, held };
                    for node in state.nodes.iter_mut() {
                        let of = &plan.nodes[node.node as usize];
                        if of.mask & fresh == 0 {
                            node.window.shift(at);
                        } else {
                            node.window.rewind(of, events, at);
                        }
                    }
                }
                state.ring.insert(at, New { time: place.0, id: place.1, values, record }, kinds, of, held);
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
        let Keys { kinds, .. } = &self.keys[slot.group];
        let Some(state) = self.keys[slot.group].get(slot.slot) else { return };
        let ring = &state.ring;
        // Behind an event that comes late there are others at which a rule may hold now.
        let is_last = at + 1 == ring.len();
        for bit in bits(fresh) {
            for call in &plan.groups[slot.group].channels[usize::from(bit)].calls {
                if call.waits {
                    let what = What::Node(slot, call.node);
                    let due = Due { time: place.0, id: place.1, rule: plan.nodes[call.node].rule, what };
                    self.due.push(Reverse(due));
                } else if is_last && cannot_hold(*call, ring, kinds, at) {
                    // Nothing that it knows changes by that.
                } else if let Some((_, from)) = work.iter_mut().find(|(other, _)| *other == call.node) {
                    *from = (*from).min(at);
                } else {
                    work.push((call.node, at));
                }
            }
        }
    }

    /// Lets rules look, in their order, each from the first event that changed for it.
    pub(super) fn look_all(&mut self, plan: &Plan, slot: Slot, work: &mut Work) {
        while let Some(next) = (0..work.len()).min_by_key(|at| work[*at].0) {
            let (node, from) = work.swap_remove(next);
            let to = self.keys[slot.group].get(slot.slot).map_or(0, |state| state.ring.len());
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
        let call = of.call(node);
        let Some((state, kinds)) = self.keys[slot.group].both(slot.slot) else { return };
        if range.start >= state.ring.len() {
            return;
        }
        let mut which = state.state(node);
        let KeyState { ring, nodes, .. } = state;
        let events = Events { ring, kinds, held: &self.held };
        let first = (ring.time(range.start), ring.id(range.start));
        let known = which.and_then(|which| nodes[which].episodes.as_mut());
        let taken_back = known.is_some_and(|episodes| episodes.take_back(first.0, first.1));
        let mut crossed = Vec::new();
        let mut moved = taken_back;
        for at in range {
            if events.mask(at) & of.mask == 0 || cannot_hold(call, ring, kinds, at) {
                continue;
            }
            let verdict = match which {
                Some(which) => nodes[which].window.evaluate(of, condition, events, at),
                None => match glance(of, condition, events, at) {
                    Some(verdict) if !verdict.holds && baseline.is_none() => continue,
                    _ => {
                        let number = u32::try_from(node).unwrap_or(u32::MAX);
                        let mut window = Window::after(at, 0);
                        let verdict = window.evaluate(of, condition, events, at);
                        which = Some(nodes.len());
                        nodes.push(NodeState { node: number, window, episodes: None });
                        verdict
                    }
                },
            };
            let (time, id) = (ring.time(at), ring.id(at));
            let open = gate.is_none_or(|gate| {
                let user =
                    events.record(at).zip(of.clock).and_then(|(record, user)| Source::Kept(record).text(plan, user));
                decide::is_open(&self.settings, gate, Timestamp::from_micros(time), user.as_deref())
            });
            let mut holds = verdict.holds && open;
            let mut compared = None;
            if let (Some(fields), Some(baseline)) = (of.baseline, baseline) {
                let learnt = self.baselines.entry(node).or_default();
                compared = events.record(at).and_then(|record| {
                    decide::usual(plan, learnt, baseline, fields, record, time, verdict.value, holds)
                });
                holds &= compared.is_some();
            }
            if !holds {
                continue;
            }
            if let Some(state) = which.map(|which| &mut nodes[which]).filter(|_| of.reports) {
                let seen = state.window.seen();
                let value = verdict.value.rounded();
                let crossing = Crossing { time, id, value, seen, baseline: compared };
                state.episodes.get_or_insert_default().push(crossing, !taken_back, of, rule.level, events);
                moved = true;
            }
            if of.held != 0 && events.mask(at) & of.held == 0 {
                crossed.push(at);
            }
        }
        let episodes = which.and_then(|which| nodes[which].episodes.as_mut());
        if let Some(episodes) = episodes.filter(|_| moved) {
            let ended = if taken_back { episodes.remake(of, rule.level, events) } else { Vec::new() };
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
        if let Some((state, kinds)) = self.keys[slot.group].both(slot.slot) {
            for (at, bit) in crossed.iter().flat_map(|at| bits(of.held).map(move |bit| (*at, bit))) {
                state.ring.join(at, bit, Value::None, kinds, &plan.groups[slot.group], &mut self.held);
            }
        }
        for at in crossed {
            self.hand_on(plan, slot, node, at, work);
        }
    }

    /// A rule held at an event: the rules that are built on it see that event.
    fn hand_on(&mut self, plan: &Plan, slot: Slot, node: usize, at: usize, work: &mut Work) {
        let of = &plan.nodes[node];
        for route in &of.routes {
            let Some((state, kinds)) = self.keys[slot.group].both(slot.slot) else { return };
            let place = (state.ring.time(at), state.ring.id(at));
            let events = Events { ring: &state.ring, kinds, held: &self.held };
            let (mask, record) = (events.mask(at), events.record(at).cloned());
            if !plan.stays(of, *route) {
                // Where nothing is kept, the other ring asks for nothing: it has one key and counts events.
                let record = record.unwrap_or_default();
                self.arrivals.push_back(Arrival { route: *route, place, record });
                continue;
            }
            let (mut fresh, mut too_large) = (0, 0);
            for bit in bits(route.mask & !mask) {
                let value = match (&plan.groups[slot.group].channels[usize::from(bit)].value, &record) {
                    (None, _) => Ok(Some(Value::None)),
                    (value, Some(record)) => Source::Kept(record).value(plan, value.as_ref(), &mut self.held.texts),
                    (Some(_), None) => Ok(None),
                };
                match value {
                    Ok(Some(value)) => {
                        join(state, plan, slot.group, (at, bit, value), kinds, &mut self.held);
                        fresh |= 1 << bit;
                    }
                    Ok(None) => {}
                    Err(TooLarge) => too_large |= 1 << bit,
                }
            }
            bits(too_large).for_each(|bit| self.note_too_large(plan, slot.group, bit, place.0));
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

/// Whether a few words about the ring say that a rule does not hold at an event: events that it needs are not there, or
/// too few events of any kind lie in its window.
fn cannot_hold(call: Call, ring: &Ring, kinds: &Kinds, at: usize) -> bool {
    if call.needs != 0 && kinds.of(ring.ever()).mask & call.needs != call.needs {
        return true;
    }
    let Some(before) = call.least.checked_sub(1).filter(|before| *before > 0) else { return false };
    at < before || ring.time(at - before) <= ring.time(at).saturating_sub(call.window)
}

/// Lets an event that is in the ring take part in one more channel.
fn join(
    state: &mut KeyState,
    plan: &Plan,
    group: usize,
    (at, bit, value): (usize, u8, Value),
    kinds: &mut Kinds,
    held: &mut Held,
) {
    let events = Events { ring: &state.ring, kinds, held };
    for node in state.nodes.iter_mut() {
        let of = &plan.nodes[node.node as usize];
        if of.mask >> bit & 1 == 1 {
            node.window.rewind(of, events, at);
        }
    }
    state.ring.join(at, bit, value, kinds, &plan.groups[group], held);
}
