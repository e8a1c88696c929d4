//! Going on after a restart: the episodes that stored alerts tell of.

use std::collections::HashSet;

use domain::Alert;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::Engine;
use super::episode::{Episode, Identity};
use super::plan::KeyOf;
use super::report;

impl Engine {
    /// Gives the episode that a stored alert tells of its identity back. Says whether there is such an episode that no
    /// other alert, one of `taken`, has been found for.
    pub(super) fn adopt_one(&mut self, alert: &Alert, taken: &HashSet<Uuid>) -> bool {
        let (plan, set) = (self.plan.clone(), self.set.clone());
        let Some(rule) = set.rules.iter().position(|rule| rule.id == alert.rule_id) else { return false };
        let Some(node) = plan.node_of[rule] else { return false };
        let of = &plan.nodes[node];
        let Some(key) = encoded(&plan.groups[of.group].key, alert) else { return false };
        let Some(slot) = self.keys[of.group].known(&key) else { return false };
        let Some(state) = self.keys[of.group].get_mut(slot) else { return false };
        let Some(at) = state.state(node) else { return false };
        let Some(episodes) = &mut state.nodes[at].episodes else { return false };
        let (from, to) = (alert.at.micros(), alert.last_event_at.micros());
        let free = |episode: &Episode| episode.identity.is_none_or(|identity| !taken.contains(&identity.id));
        let Some(which) =
            episodes.live.iter().position(|episode| free(episode) && episode.at <= to && episode.last >= from)
        else {
            return false;
        };
        if which == 0 && from < episodes.live[0].at {
            // It began before anything that was observed again.
            begin_earlier(&mut episodes.live[0], alert);
            if let Some(settled) = episodes.settled_mut() {
                begin_earlier(settled, alert);
            }
        }
        let episode = &mut episodes.live[which];
        // Which event gave it the id is not stored: the last at which it held is the latest that it can have been.
        episode.identity = Some(Identity { id: alert.alert_id, revision: alert.revision, given: episode.last.max(to) });
        let now = report::alert(&set, &plan, of, &key, episode, (alert.alert_id, alert.revision), alert.state);
        episode.changed = now.at != alert.at
            || now.last_event_at != alert.last_event_at
            || now.event_count != alert.event_count
            || now.severity != alert.severity
            || now.escalations != alert.escalations;
        true
    }
}

fn begin_earlier(episode: &mut Episode, alert: &Alert) {
    episode.at = alert.at.micros();
    episode.opener = alert.crossing_event;
    episode.first_event = alert.first_event_at.micros();
    episode.named = alert.event_ids.as_slice().into();
    episode.severity = episode.severity.max(alert.severity);
    episode.peak = episode.peak.max(observed(alert).unwrap_or(episode.peak));
    episode.escalate(&alert.escalations);
    episode.count_from(alert.event_count, alert.escalations.len());
}

/// What was told as a double, as people read it.
fn observed(alert: &Alert) -> Option<Decimal> {
    alert.observed.to_string().parse().ok()
}

/// The engine's text of an alert's key.
fn encoded(key: &KeyOf, alert: &Alert) -> Option<String> {
    match key {
        KeyOf::Auto { .. } => Some(match (alert.key.get("user"), alert.key.get("source_ip")) {
            (Some(user), _) => format!("u{user}"),
            (None, Some(ip)) => format!("i{ip}"),
            (None, None) => String::new(),
        }),
        KeyOf::Fields { names, .. } if names.len() == 1 => alert.key.get(&names[0]).cloned(),
        KeyOf::Fields { names, .. } => names.iter().try_fold(String::new(), |text, name| {
            let part = alert.key.get(name)?;
            Some(format!("{text}{}:{part}", part.len()))
        }),
    }
}
