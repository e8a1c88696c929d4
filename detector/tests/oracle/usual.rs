//! `when.baseline`: whether a value is beyond what is usual, by looking over all values that the rule ever had.

use std::collections::BTreeMap;

use detector::rules::Baseline;
use domain::Activity;

use crate::reference::{Value, World, decimal, key_text, whole};

/// An event that a rule looked at, and its value there.
pub(crate) struct Looked {
    pub(crate) event: usize,
    pub(crate) value: Value,
}

/// Whether the value is beyond what is usual for its own, and for the peers where enough is known of them. Before enough
/// is known of its own it is not.
pub(crate) fn is_exceeded<'a, I: Iterator<Item = &'a Looked>>(
    world: &World<'_>,
    baseline: &Baseline,
    looked: impl Fn() -> I,
    at: &Looked,
) -> bool {
    let whose = |activity: &Activity| key_text(&baseline.of, activity);
    let alike = |activity: &Activity| {
        let text = baseline.peers.as_ref()?.text(activity)?;
        (!text.is_empty()).then(|| text.into_owned())
    };
    let now = &world.events[at.event];
    let Some(me) = whose(now) else { return false };
    // The figure of a bucket is its largest value. It has to be over, and its end must lie within the history.
    let figures = |counts: &dyn Fn(&Activity) -> bool| -> Vec<Value> {
        let mut largest: BTreeMap<(Option<String>, i64), Value> = BTreeMap::new();
        for Looked { event, value } in looked() {
            let activity = &world.events[*event];
            let bucket = activity.occurred_at.micros().div_euclid(baseline.bucket);
            let end = (bucket + 1) * baseline.bucket;
            let since = now.occurred_at.micros() - end;
            if since >= 0 && since < baseline.history && counts(activity) {
                let figure = largest.entry((whose(activity), bucket)).or_insert_with(|| value.clone());
                *figure = figure.clone().max(value.clone());
            }
        }
        largest.into_values().collect()
    };
    let own = figures(&|activity| whose(activity).as_ref() == Some(&me));
    let peers = alike(now).map_or_else(Vec::new, |role| {
        figures(&|activity| whose(activity).is_some_and(|who| who != me) && alike(activity).as_ref() == Some(&role))
    });
    let is_ready = |figures: &[Value]| !figures.is_empty() && figures.len() >= baseline.ready;
    let is_beyond = |figures: &[Value]| {
        let middle = median(figures.to_vec());
        let deviations =
            figures.iter().map(|figure| if *figure < middle { &middle - figure } else { figure - &middle });
        at.value > &middle + decimal(baseline.above) * median(deviations.collect())
    };
    is_ready(&own) && is_beyond(&own) && (!is_ready(&peers) || is_beyond(&peers))
}

/// The middle one, or the mean of the two in the middle.
fn median(mut figures: Vec<Value>) -> Value {
    figures.sort();
    let last = figures.len() - 1;
    (&figures[last / 2] + &figures[last.div_ceil(2)]) / whole(2)
}
