//! [`Traces`]: under which span an event was looked at, for alerts that name it.

use std::collections::{HashMap, VecDeque};

use bus::Record;
use domain::{Partition, trace};
use store::News;
use tracing::Span;
use uuid::Uuid;

/// So many are kept, some 2 MiB: some rules decide when the watermark has passed, minutes later.
const KEPT: usize = 16_384;

/// The events of traces that were looked at last. Empty where nobody exports spans.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    contexts: HashMap<Uuid, String>,
    order: VecDeque<Uuid>,
}

impl Traces {
    /// The span of the look at a record, until it is dropped.
    pub(crate) fn looked_at(&mut self, partition: Partition, record: &Record) -> Span {
        let span = bus::trace::worked_on("detect", partition, record);
        if let (Ok(activity), Some(context)) = (&record.activity, trace::context(&span)) {
            self.keep(activity.event_id, context);
        }
        span
    }

    fn keep(&mut self, event_id: Uuid, context: String) {
        if self.contexts.insert(event_id, context).is_none() {
            self.order.push_back(event_id);
        }
        while self.order.len() > KEPT {
            if let Some(oldest) = self.order.pop_front() {
                self.contexts.remove(&oldest);
            }
        }
    }

    /// The span of an alert that is raised, under that of the event that crossed the threshold; none where that event is
    /// of no trace.
    pub(crate) fn raised(&self, alert: &News) -> Span {
        let Some(parent) = self.contexts.get(&alert.crossing_event) else { return Span::none() };
        let span = tracing::debug_span!(
            parent: None,
            "alert",
            security_rule.uuid = alert.rule_id,
            security_rule.name = alert.rule,
            alert.id = %alert.alert_id,
            alert.severity = %alert.severity,
            messaging.message.id = %alert.crossing_event,
        );
        trace::continues(&span, parent);
        span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept_and_each_once() {
        let mut traces = Traces::default();
        let id = |number: usize| Uuid::from_u128(number as u128);
        for number in (0..KEPT + 10).flat_map(|number| [number, number]) {
            traces.keep(id(number), number.to_string());
        }
        assert_eq!((traces.order.len(), traces.contexts.len()), (KEPT, KEPT));
        assert_eq!(traces.contexts.get(&id(9)), None);
        assert_eq!(traces.contexts.get(&id(KEPT + 9)), Some(&(KEPT + 9).to_string()));
    }
}
