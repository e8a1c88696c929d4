//! What is decided when the watermark has passed: rules that one more event could falsify, and what depends on what a
//! key has done before.

use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

use domain::Timestamp;
use uuid::Uuid;

use super::baseline::{Baselines, Whose};
use super::evaluate::Slot;
use super::exact::Figure;
use super::first::Novelty;
use super::plan::Plan;
use super::record::{Record, Source};
use super::{Engine, Settings};
use crate::rules::{Baseline, Body, DetectionKey, Field, Rule, TimeGate, ZoneOf};

/// Something that is decided when the watermark has passed it, in the order of the events and, for one event, of the
/// rules.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) time: i64,
    pub(super) id: Uuid,
    pub(super) rule: usize,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// Whether a match counts, by what came before.
    Leaf {
        record: Arc<Record>,
        /// Whether it may: the time of day does not stand against it.
        counts: bool,
    },
    /// Whether a rule held at an event.
    Node(Slot, usize),
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.time, self.id, self.rule).cmp(&(other.time, other.id, other.rule))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl Engine {
    /// Puts something off until the watermark has passed it.
    pub(super) fn wait(&mut self, due: Due) {
        self.due.push(Reverse(due));
    }

    /// Decides something for which the time has come.
    pub(super) fn decide(&mut self, due: Due) {
        let plan = self.plan.clone();
        match due.what {
            What::Leaf { record, counts } => {
                if self.is_new(&plan, due.rule, due.time, &record) && counts {
                    let routes = &plan.leaves[due.rule].routes;
                    self.bring(&plan, Source::Kept(&record), routes, (due.time, due.id), Some(&record));
                }
            }
            What::Node(slot, node) => {
                let state = self.keys[slot.group].get(slot.slot);
                if let Some(at) = state.and_then(|state| state.ring.find(due.time, due.id).ok()) {
                    let mut work = Vec::new();
                    self.look(&plan, slot, node, at..at + 1, &mut work);
                    self.look_all(&plan, slot, &mut work);
                }
            }
        }
    }

    /// Whether a match of a detection passes `first_seen` and `after_silence`. Each match counts for what comes after
    /// it, whether or not it passes.
    fn is_new(&mut self, plan: &Plan, index: usize, time: i64, record: &Record) -> bool {
        let set = self.set.clone();
        let Rule { body: Body::Detection(detection), .. } = &set.rules[index] else { return false };
        let source = Source::Kept(record);
        let field = |field| plan.fields.iter().position(|known| known == field);
        let mut new = true;
        if let Some(seen) = &detection.first_seen {
            let of = field(&seen.of).and_then(|of| source.key_part(plan, of));
            let value = field(&seen.field).and_then(|of| source.text(plan, of)).filter(|text| !text.is_empty());
            let novelty = Novelty { within: seen.within, after_age: seen.after_age, after_events: seen.after_events };
            new &= match (of, value, self.firsts.get_mut(&index)) {
                (Some(of), Some(value), Some(firsts)) => firsts.note(&of, &value, time, novelty),
                _ => false,
            };
        }
        if let Some(silence) = detection.after_silence {
            let key = match &detection.key {
                DetectionKey::Auto => field(&Field::User)
                    .zip(field(&Field::SourceIp))
                    .and_then(|(user, source_ip)| source.auto_key(plan, user, source_ip, set.share)),
                DetectionKey::Fields(parts) => parts.iter().try_fold(String::new(), |key, part| {
                    let text = field(&part.fields[0]).and_then(|of| source.key_part(plan, of))?;
                    Some(format!("{key}{}:{text}", text.len()))
                }),
            };
            new &= match (key, self.silences.get_mut(&index)) {
                (Some(key), Some(silences)) => silences.note(&key, time, silence),
                _ => false,
            };
        }
        new
    }
}

/// Whether a gate is open for an event of a user.
pub(super) fn is_open(settings: &Settings, gate: &TimeGate, at: Timestamp, user: Option<&str>) -> bool {
    let zone = match &gate.zone {
        ZoneOf::Named(zone) => *zone,
        ZoneOf::User if settings.zones.is_empty() => settings.zone,
        ZoneOf::User => {
            user.and_then(|user| settings.zones.get(&domain::username_key(user))).copied().unwrap_or(settings.zone)
        }
    };
    settings.calendars.get(&gate.calendar).is_some_and(|calendar| calendar.contains(at, zone) == gate.inside)
}

/// Notes a value for its baseline; what it was compared with, where it is beyond that. An event that does not say whose
/// it is takes no part.
#[expect(clippy::too_many_arguments, reason = "a value with all that places it")]
pub(super) fn usual(
    plan: &Plan,
    learnt: &mut Baselines,
    baseline: &Baseline,
    (of, peers): (usize, Option<usize>),
    record: &Record,
    time: i64,
    value: Figure,
    asked: bool,
) -> Option<Arc<serde_json::Value>> {
    let source = Source::Kept(record);
    let of = source.key_part(plan, of)?;
    let peers = peers.and_then(|peers| source.text(plan, peers)).filter(|text| !text.is_empty());
    learnt.note(baseline, Whose { of: &of, peers: peers.as_deref() }, time, value, asked)
}
