//! What a reader of the alerts keeps: the last state of each by its id, with what has to be true on the way there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{Alert, AlertState};
use uuid::Uuid;

/// Alerts by id, as the latest revision has them.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    alerts: BTreeMap<Uuid, Alert>,
}

impl Ledger {
    /// Takes in what one call of `drain` told, or says what is wrong with it.
    pub(crate) fn take(&mut self, drained: Vec<Alert>) -> Result<(), String> {
        let mut told = BTreeSet::new();
        let merged: Vec<(Uuid, Option<Uuid>)> = drained
            .iter()
            .filter(|alert| alert.state == AlertState::Merged)
            .map(|alert| (alert.alert_id, alert.merged_into))
            .collect();
        for alert in drained {
            let id = alert.alert_id;
            if !told.insert(id) {
                return Err(format!("{id} was told twice at once"));
            }
            match self.alerts.get(&id) {
                None if alert.revision < 1 => return Err(format!("{id} begins with revision {}", alert.revision)),
                Some(last) if alert.revision <= last.revision => {
                    return Err(format!("{id} was told in revision {} after {}", alert.revision, last.revision));
                }
                Some(last) if (&last.rule_id, &last.key) != (&alert.rule_id, &alert.key) => {
                    let (rule, key) = (&alert.rule_id, &alert.key);
                    return Err(format!(
                        "{id} became one of {rule} {key:?}, it was of {} {:?}",
                        last.rule_id, last.key
                    ));
                }
                _ => {}
            }
            if alert.merged_into.is_some() != (alert.state == AlertState::Merged) {
                return Err(format!("{id} is {} and merged into {:?}", alert.state.as_str(), alert.merged_into));
            }
            self.alerts.insert(id, alert);
        }
        // The one that took it in may be told in the same breath, so this comes after all of them.
        for (id, into) in merged {
            let taker = into.and_then(|into| self.alerts.get(&into));
            let Some(taker) = taker.filter(|taker| alive(taker)) else {
                return Err(format!("{id} was merged into {into:?}, which does not live"));
            };
            let own = &self.alerts[&id];
            if (&own.rule_id, &own.key) != (&taker.rule_id, &taker.key) {
                return Err(format!("{id} was merged into {}, which is another rule's or key's", taker.alert_id));
            }
        }
        Ok(())
    }

    /// The alerts that are left, once nothing more will come. Two that live have different first events.
    pub(crate) fn close(self) -> Result<Vec<Alert>, String> {
        let mut openers: HashMap<(String, BTreeMap<String, String>, Uuid), Uuid> = HashMap::new();
        for alert in self.alerts.values().filter(|alert| alive(alert)) {
            if alert.state == AlertState::Open {
                return Err(format!("{} is open although nothing more will come", alert.alert_id));
            }
            let place = (alert.rule_id.clone(), alert.key.clone(), alert.crossing_event);
            if let Some(other) = openers.insert(place, alert.alert_id) {
                return Err(format!("{} and {other} are the same one", alert.alert_id));
            }
        }
        Ok(self.alerts.into_values().collect())
    }
}

fn alive(alert: &Alert) -> bool {
    matches!(alert.state, AlertState::Open | AlertState::Closed)
}
