//! The engine: rules over activities in event time. Synchronous, without clock, I/O or randomness; live detection,
//! recovery, backtest and benchmark are these functions.
//!
//! | file | what |
//! |---|---|
//! | `plan`, `layout` | a rule set laid out: rings that rules share, channels, routes between rules; which rules wait |
//! | `ring`, `form`, `kind` | the events of one key, in order; how they are written; what some have in common |
//! | `events` | a ring as rules see it |
//! | `past` | what is left of events whose values came again |
//! | `held` | what rings have only the numbers of |
//! | `window` | what one rule sees of a ring: looked through where it is short, else two ends and an aggregate |
//! | `episode`, `episodes` | from the moments at which a rule holds to alerts that grow, merge and are taken back |
//! | `first`, `history`, `baseline`, `usual`, `calendar` | `when`: first seen, silence, what is usual, working hours |
//! | `exact`, `sorted` | sums, averages and percentiles without rounding |
//! | `record` | keys and values, and what is kept of an event for later decisions |
//! | `text`, `packed`, `chunked` | texts, numbers and lists in little memory |
//! | `keys`, `room` | the states of all keys; thinned out, forgotten, bounded |
//! | `evaluate` | an event on its way through rings, rules and the rules upon them |
//! | `decide` | what waits for the watermark |
//! | `conclude` | what becomes of episodes |
//! | `report`, `resume` | the alert and its explanation; going on after a restart |
//! | `snapshot` | the whole state as bytes, and back |
//!
//! # Exactness
//! An event is set in at its place in the order (time, id), and what follows it is looked at again. Nothing that a
//! window ending after the watermark could contain is dropped before, so the order of arrival does not matter. A rule
//! that one more event could falsify is looked at when the watermark has passed, in order.
//!
//! # Memory
//! An engine waits for memory more than it computes: an event touches three keys among as many as there are people. So a
//! key is small, and what can be found out again is not kept. A key has one header and one allocation with its events.
//! What a rule sees of it is derived when an event comes: by `evaluate::cannot_hold` from one time in the ring, else by
//! looking through the window (`window::glance`); a cursor per rule and key, the usual way, would weigh more than the
//! events and be touched as often. The cursors remain for windows of many events, where looking through would be
//! quadratic, and are dropped when the ring is thinned out. What cannot be found out again stays: the open episodes.
//!
//! # How to add a type of correlation
//! Its `Kind` in `rules::model`, its `Shape` in `plan` (and in `Node::call`, when it cannot hold), its aggregate in `window`
//! (enter, leave, judge; `glance`), its words in `report`, and its lines in the oracle under `tests/`.

mod baseline;
mod calendar;
mod chunked;
mod conclude;
mod decide;
mod episode;
mod episodes;
mod evaluate;
mod events;
mod exact;
mod first;
mod footprint;
mod form;
mod held;
mod history;
mod keys;
mod kind;
mod layout;
mod packed;
mod past;
mod plan;
mod record;
mod report;
mod resume;
mod ring;
mod room;
mod snapshot;
mod sorted;
mod text;
mod usual;
mod window;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use chrono_tz::Tz;
use domain::{Activity, Alert, AlertState, DAY, Timestamp};
use uuid::Uuid;

pub use calendar::Calendar;
pub use footprint::{Footprint, Parts};
pub use layout::waiting as waits;
pub use snapshot::SnapshotError;

use crate::rules::{Body, EVENTS_PER_KEY, RuleSet, Scratch};
use baseline::Baselines;
use conclude::Closing;
use decide::Due;
use evaluate::{Arrival, Slot};
use first::Firsts;
use held::{Held, Value};
use history::Silences;
use keys::Keys;
use plan::{Plan, Route};
use room::Thinning;

/// What the engine is told beside the rules.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The installation's zone.
    pub zone: Tz,
    /// Zones of users who have one of their own, by canonical name.
    pub zones: HashMap<String, Tz>,
    /// Calendars by name; `working_hours` is always there.
    pub calendars: HashMap<String, Calendar>,
    /// Events that are held for one key of one ring.
    pub events_per_key: usize,
    /// Keys that are held in all.
    pub keys: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            zone: Tz::UTC,
            zones: HashMap::new(),
            calendars: HashMap::from([("working_hours".to_owned(), Calendar::default())]),
            events_per_key: EVENTS_PER_KEY,
            keys: 4_000_000,
        }
    }
}

/// A stretch of time in which a rule may have missed something, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The rules' ids; empty: all.
    pub rules: Vec<String>,
    /// The key, where it concerns one.
    pub key: Option<String>,
    /// From the first event given up.
    pub from: Timestamp,
    /// To the last event given up.
    pub to: Timestamp,
    /// How many events or values were given up.
    pub lost: u64,
    /// A sentence.
    pub reason: String,
}

/// The detection engine.
#[derive(Debug)]
pub struct Engine {
    set: Arc<RuleSet>,
    plan: Arc<Plan>,
    settings: Settings,
    observed: usize,
    /// Everything up to here, in microseconds, is final.
    settled: i64,
    keys: Vec<Keys>,
    /// What rings have only the numbers of.
    held: Held,
    firsts: HashMap<usize, Firsts>,
    silences: HashMap<usize, Silences>,
    /// By node.
    baselines: HashMap<usize, Baselines>,
    /// What waits for the watermark.
    due: BinaryHeap<Reverse<Due>>,
    /// When open episodes could be over.
    closings: BinaryHeap<Reverse<Closing>>,
    /// What crossed in one ring and has still to be brought into another.
    arrivals: VecDeque<Arrival>,
    /// Episodes that changed, by key and node.
    changed: Vec<(Slot, usize)>,
    out: Vec<Alert>,
    gaps: Vec<Gap>,
    behind: u64,
    /// Room that is used again from event to event.
    scratch: Scratch,
    found: Vec<usize>,
    routes: Vec<Route>,
    values: Vec<(u8, Value)>,
    work: Vec<(usize, usize)>,
    thinning: Thinning,
}

impl Engine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new(set: Arc<RuleSet>, settings: Settings) -> Self {
        let plan = Arc::new(Plan::new(&set));
        let histories = |wanted: fn(&crate::rules::Detection) -> bool| {
            let wanted = move |(index, rule): (usize, &crate::rules::Rule)| match &rule.body {
                Body::Detection(detection) => wanted(detection).then_some(index),
                Body::Correlation(_) => None,
            };
            set.rules.iter().enumerate().filter_map(wanted).collect::<Vec<_>>()
        };
        let firsts = histories(|detection| detection.first_seen.is_some());
        let silences = histories(|detection| detection.after_silence.is_some());
        Self {
            keys: plan.groups.iter().map(|_| Keys::default()).collect(),
            firsts: firsts.into_iter().map(|rule| (rule, Firsts::default())).collect(),
            silences: silences.into_iter().map(|rule| (rule, Silences::default())).collect(),
            plan,
            set,
            settings,
            observed: 0,
            settled: i64::MIN,
            held: Held::default(),
            baselines: HashMap::new(),
            due: BinaryHeap::new(),
            closings: BinaryHeap::new(),
            arrivals: VecDeque::new(),
            changed: Vec::new(),
            out: Vec::new(),
            gaps: Vec::new(),
            behind: 0,
            scratch: Scratch::default(),
            found: Vec::new(),
            routes: Vec::new(),
            values: Vec::new(),
            work: Vec::new(),
            thinning: Thinning::default(),
        }
    }

    /// Takes in one activity. Each event id must be observed once, and nothing that is late.
    ///
    /// An activity at or before the watermark comes too late for the engine: it is counted in [`Self::gaps`] and
    /// takes part in nothing.
    pub fn observe(&mut self, activity: &Activity) {
        let time = activity.occurred_at.micros();
        if time <= self.settled {
            self.note_behind(activity.occurred_at);
            return;
        }
        self.observed += 1;
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        self.set.matcher.matches(activity, &mut self.scratch, &mut found);
        self.enter(activity, &found);
        self.found = found;
        self.pass_on();
    }

    /// Nothing on time can come any more at or before `watermark`: decides what waited for that, and drops what can no
    /// longer matter. Going back has no effect.
    pub fn advance(&mut self, watermark: Timestamp) {
        self.settle(watermark.micros());
    }

    /// Nothing will come any more at all.
    pub fn finish(&mut self) {
        self.settle(i64::MAX);
    }

    fn settle(&mut self, watermark: i64) {
        if watermark <= self.settled {
            return;
        }
        while self.due.peek().is_some_and(|Reverse(due)| due.time <= watermark) {
            if let Some(Reverse(due)) = self.due.pop() {
                self.decide(due);
                self.pass_on();
            }
        }
        self.settled = watermark;
        while self.closings.peek().is_some_and(|Reverse(closing)| closing.at <= watermark) {
            if let Some(Reverse(Closing { at, slot, node })) = self.closings.pop() {
                let (slot, node) = (slot as usize, node as usize);
                self.close(at, Slot { group: self.plan.nodes[node].group, slot }, node);
            }
        }
        let visits = std::mem::take(&mut self.observed);
        self.forget_some(visits);
        for (rule, firsts) in &mut self.firsts {
            if firsts.lost > 0 {
                let at = Timestamp::from_micros(watermark);
                self.gaps.push(Gap {
                    rules: vec![self.set.rules[*rule].id.clone()],
                    key: None,
                    from: at,
                    to: at,
                    lost: std::mem::take(&mut firsts.lost),
                    reason: "a key had more than 64 values at once; the oldest were forgotten".to_owned(),
                });
            }
        }
    }

    /// The present state of every alert that changed since the last call, signals of severity `Informational` among
    /// them. Each call raises the revision of what it returns.
    pub fn drain(&mut self) -> Vec<Alert> {
        for (slot, node) in std::mem::take(&mut self.changed) {
            self.report(slot, node);
        }
        self.follow_merges();
        std::mem::take(&mut self.out)
    }

    /// Takes over the identities of alerts that are already stored, after the events behind them were observed again:
    /// the engine goes on with their ids and revisions. A stored alert that is open and of which the engine knows
    /// nothing any more is reported as closed.
    pub fn adopt(&mut self, stored: &[Alert]) {
        let mut taken = HashSet::new();
        for alert in stored {
            if self.adopt_one(alert, &taken) {
                taken.insert(alert.alert_id);
            } else if alert.state == AlertState::Open {
                let mut closed = alert.clone();
                closed.state = AlertState::Closed;
                closed.revision += 1;
                self.out.push(closed);
            }
        }
    }

    /// Everything up to here is decided.
    #[must_use]
    pub fn watermark(&self) -> Timestamp {
        Timestamp::from_micros(self.settled)
    }

    /// What may have been missed since the last call.
    pub fn gaps(&mut self) -> Vec<Gap> {
        std::mem::take(&mut self.gaps)
    }

    /// How many activities came at or before the watermark.
    #[must_use]
    pub fn behind(&self) -> u64 {
        self.behind
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.set
    }

    /// How far back an event can still matter for a window, in microseconds: what has to be observed again after a
    /// restart.
    #[must_use]
    pub fn horizon(&self) -> i64 {
        let windows = self.plan.nodes.iter().map(|node| node.window.saturating_add(node.episode));
        let histories = self.set.rules.iter().map(|rule| match &rule.body {
            Body::Detection(detection) => {
                let first = detection.first_seen.as_ref().map_or(0, |seen| seen.within.max(seen.after_age) + DAY);
                first.max(detection.after_silence.unwrap_or(0))
            }
            Body::Correlation(correlation) => {
                correlation.baseline.as_ref().map_or(0, |baseline| baseline.history.saturating_add(baseline.bucket))
            }
        });
        // A chain of rules looks back as far as its links together.
        let chains = self.plan.nodes.iter().map(|node| self.chain(node.rule));
        windows.chain(histories).chain(chains).max().unwrap_or(0)
    }

    fn chain(&self, rule: usize) -> i64 {
        let rule = &self.set.rules[rule];
        match &rule.body {
            Body::Detection(_) => 0,
            Body::Correlation(correlation) => {
                let below = correlation.refs.iter().map(|reference| self.chain(*reference)).max().unwrap_or(0);
                correlation.timespan.saturating_add(rule.episode).saturating_add(below)
            }
        }
    }

    fn note_behind(&mut self, at: Timestamp) {
        self.behind += 1;
        self.note_gap(Gap {
            rules: Vec::new(),
            key: None,
            from: at,
            to: at,
            lost: 1,
            reason: "activities on time came behind the watermark; `reprocess` looks at them".to_owned(),
        });
    }

    /// Notes a gap, as part of the one before it where both tell the same.
    fn note_gap(&mut self, gap: Gap) {
        match self.gaps.last_mut() {
            Some(last) if last.rules == gap.rules && last.key == gap.key && last.reason == gap.reason => {
                last.lost += gap.lost;
                last.from = last.from.min(gap.from);
                last.to = last.to.max(gap.to);
            }
            _ => self.gaps.push(gap),
        }
    }

    /// How many keys of all kinds the engine holds.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys.iter().map(Keys::len).sum()
    }
}

/// The order of events: time, then id.
type Place = (i64, Uuid);
