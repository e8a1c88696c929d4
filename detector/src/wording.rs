//! [`Wording`]: who an alert is about, as its event says it. The engine keeps only what it counts by, so whoever runs it
//! over the past remembers the events that may still be the one that crosses.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use domain::{Activity, Alert, Timestamp};
use uuid::Uuid;

/// What an event says of whom it is about.
struct Said {
    event_id: Uuid,
    at: Timestamp,
    user: Option<Box<str>>,
    ip: Option<IpAddr>,
}

/// The events that an alert to come may name as the one that crossed.
#[derive(Default)]
pub(crate) struct Wording(Vec<Said>);

impl Wording {
    pub(crate) fn remember(&mut self, activity: &Activity) {
        self.0.push(Said {
            event_id: activity.event_id,
            at: activity.occurred_at,
            user: activity.user.as_deref().map(Box::from),
            ip: activity.source_ip,
        });
    }

    /// Lets new and changed alerts speak as the events do that crossed. What one of them said before, where the same
    /// event had crossed, it goes on saying.
    pub(crate) fn tell(&self, alerts: &mut [Alert], before: &HashMap<Uuid, Alert>) {
        let known =
            |alert: &Alert| before.get(&alert.alert_id).filter(|before| before.crossing_event == alert.crossing_event);
        let wanted: HashSet<Uuid> =
            alerts.iter().filter(|alert| known(alert).is_none()).map(|alert| alert.crossing_event).collect();
        let said = self.0.iter().filter(|said| wanted.contains(&said.event_id));
        let said: HashMap<Uuid, &Said> = said.map(|said| (said.event_id, said)).collect();
        for alert in alerts {
            if let Some(before) = known(alert) {
                alert.user.clone_from(&before.user);
                alert.ip.clone_from(&before.ip);
            } else if let Some(said) = said.get(&alert.crossing_event) {
                alert.tell_by(said.user.as_deref(), said.ip);
            }
        }
    }

    /// Everything before this moment is decided: no alert to come crosses there.
    pub(crate) fn forget(&mut self, before: Timestamp) {
        self.0.retain(|said| said.at >= before);
    }
}
