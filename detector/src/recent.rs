//! [`Recent`]: the activities that were read last, at hand for alerts that name them.

use std::collections::{HashMap, VecDeque};

use domain::{Activity, Partition};
use uuid::Uuid;

/// So many are kept: seconds of a busy partition, in which ingest stores them.
const KEPT: usize = 4_096;

/// The last activities of a partition, by id.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    activities: HashMap<Uuid, Activity>,
    order: VecDeque<Uuid>,
    last: Option<Uuid>,
}

impl Recent {
    /// An activity was read.
    pub(crate) fn add(&mut self, activity: &Activity) {
        self.last = Some(activity.event_id);
        if self.activities.insert(activity.event_id, activity.clone()).is_none() {
            self.order.push_back(activity.event_id);
        }
        while self.order.len() > KEPT {
            if let Some(oldest) = self.order.pop_front() {
                self.activities.remove(&oldest);
            }
        }
    }

    /// The record that was read last is no activity: it names no event.
    pub(crate) fn add_other(&mut self) {
        self.last = None;
    }

    /// The event in the last record, where the log is one that keeps track of it.
    pub(crate) fn last_if(&self, partition: Partition) -> Option<Uuid> {
        self.last.filter(|_| partition != Partition::JOURNAL)
    }

    /// Those of these ids that are at hand.
    pub(crate) fn of<'a>(&self, ids: impl Iterator<Item = &'a Uuid>) -> HashMap<Uuid, Activity> {
        ids.filter_map(|id| Some((*id, self.activities.get(id)?.clone()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;

    use super::*;

    #[test]
    fn the_last_ones_are_at_hand_and_each_once() {
        let mut recent = Recent::default();
        let id = |number: usize| Uuid::from_u128(number as u128);
        for number in (0..KEPT + 10).flat_map(|number| [number, number]) {
            recent.add(&Activity::new(id(number), "View", Timestamp::MIN));
        }
        assert_eq!((recent.order.len(), recent.activities.len()), (KEPT, KEPT));
        let found = recent.of([id(9), id(10), id(KEPT + 9)].iter());
        assert_eq!(found.len(), 2);
        assert_eq!(recent.last_if(Partition { topic: "activity", number: 0 }), Some(id(KEPT + 9)));
        assert_eq!(recent.last_if(Partition::JOURNAL), None);
    }
}
