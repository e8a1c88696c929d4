//! Random cases: a rule set as Sigma text and events with their arrival. Everything is drawn as small numbers that
//! are read modulo what there is, so that a failing case shrinks to something a person can follow.

mod events;
mod rules;

use proptest::collection::vec;
use proptest::prelude::*;

pub(crate) use events::{Arrival, Event, arrivals};
pub(crate) use rules::{DrawnCorrelation, DrawnDetection, reporting, yaml};

/// Rules, and several runs of events for them.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Whether a unit of time is hours (so that days of learning can pass) or five seconds.
    pub(crate) long: bool,
    pub(crate) detections: Vec<DrawnDetection>,
    pub(crate) correlations: Vec<DrawnCorrelation>,
    pub(crate) runs: Vec<Run>,
}

/// Events, and how late they may be, in units.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) lateness: u8,
    pub(crate) events: Vec<Event>,
}

impl Case {
    /// The unit of time in seconds. Six hours and five seconds are no divisors of anything by accident.
    pub(crate) fn unit(&self) -> i64 {
        if self.long { 6 * 3600 } else { 5 }
    }
}

/// What a test looks at most.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Focus {
    /// A bit of everything.
    All,
    /// Many events for few rules: windows that fill beyond what is kept.
    Crowds,
    /// Correlations upon correlations.
    Chains,
    /// Sums, averages and percentiles, also of negative numbers: what held may hold no more.
    Amounts,
    /// Values that have to be more than usual.
    Usual,
    /// What waits for the watermark: `when` that looks back, bounds from above.
    Waiting,
}

pub(crate) fn case(focus: Focus) -> impl Strategy<Value = Case> {
    let (detections, correlations, events) = match focus {
        Focus::All => (1..4, 0..4, 1..28),
        Focus::Crowds => (1..3, 1..3, 20..60),
        Focus::Chains => (1..4, 2..6, 1..28),
        Focus::Amounts => (1..3, 1..4, 4..28),
        Focus::Usual => (1..3, 1..3, 10..60),
        Focus::Waiting => (1..4, 0..3, 1..40),
    };
    let run = (0..12_u8, vec(events::event(focus), events)).prop_map(|(lateness, events)| Run { lateness, events });
    let long = prop::bool::weighted(if matches!(focus, Focus::Waiting | Focus::Usual) { 0.5 } else { 0.2 });
    (long, vec(rules::detection(focus), detections), vec(rules::correlation(focus), correlations), vec(run, 1..6))
        .prop_map(|(long, detections, correlations, runs)| Case { long, detections, correlations, runs })
}
