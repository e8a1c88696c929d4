//! Random cases: a rule set as Sigma text and events with their arrival. Everything is drawn as small numbers that
//! are read modulo what there is, so that a failing case shrinks to something a person can follow.

mod events;
mod rules;

use proptest::collection::vec;
use proptest::prelude::*;

pub(crate) use events::{Arrival, Event, arrivals};
pub(crate) use rules::{DrawnCorrelation, DrawnDetection, yaml};

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

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let run = (0..12_u8, vec(events::event(), 1..28)).prop_map(|(lateness, events)| Run { lateness, events });
    (prop::bool::weighted(0.2), vec(rules::detection(), 1..4), vec(rules::correlation(), 0..4), vec(run, 1..6))
        .prop_map(|(long, detections, correlations, runs)| Case { long, detections, correlations, runs })
}
