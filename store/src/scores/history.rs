//! A user's history of alerts as contributions to the risk.

use std::collections::HashMap;

use domain::Timestamp;
use domain::risk::{Contribution, HALF_LIFE, Risk, risk};
use uuid::Uuid;

use crate::Result;
use crate::alerts::{CAME_OUT, TAKEN_BACK};
use crate::query::{Query, id};
use crate::scores::Evidence;

/// How far back steps weigh anything: after 16 half-lives 99 points are less than a hundredth of one.
pub(crate) const REACH: i64 = 16 * HALF_LIFE;

/// One step of one alert of the user.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) alert: Uuid,
    pub(crate) step: i64,
    /// From when on it counts.
    pub(crate) at: Timestamp,
    /// When it happened. Earlier, where an exception kept the alert out.
    happened: Timestamp,
    /// 0: a signal.
    pub(crate) severity: i64,
    pub(crate) points: i64,
    family: String,
    span: (Timestamp, Timestamp),
    pub(crate) session_id: Option<String>,
}

/// A row of [`query`].
pub(crate) type Columns = (Vec<u8>, i64, i64, i64, i64, String, i64, i64, Option<String>);

/// The steps that count for a user, from `from − REACH` on.
pub(crate) fn query(user_key: &str, from: Timestamp) -> Query {
    let head = "SELECT s.alert_id, s.step, s.at, s.severity, s.points, a.family, a.first_event_at, a.last_event_at, \
        u.session_id FROM alert_subjects u JOIN alerts a ON a.alert_id = u.alert_id \
        JOIN alert_steps s ON s.alert_id = u.alert_id";
    Query::new(head)
        .and("u.user_key = ?", [user_key.into()])
        .and("a.suppressed = 0", [])
        .and("s.at >= ?", [from.plus(-REACH).into()])
}

/// The steps in their order: time, alert, step. Of an alert that came out from behind an exception nothing counts before
/// that, and what it had risen to by then is one step.
pub(crate) fn events(rows: Vec<Columns>) -> Result<Vec<Event>> {
    let read = |(alert, step, at, severity, points, family, first, last, session_id): Columns| {
        let at = Timestamp::from_micros(at);
        Ok(Event {
            alert: id(&alert)?,
            step,
            at,
            happened: at,
            severity,
            points,
            family,
            span: (Timestamp::from_micros(first), Timestamp::from_micros(last)),
            session_id,
        })
    };
    let events = rows.into_iter().map(read).collect::<Result<Vec<Event>>>()?;
    let (out, mut events): (Vec<Event>, Vec<Event>) = events.into_iter().partition(|event| event.step == CAME_OUT);
    for Event { alert, at: since, .. } in out {
        let rose = |event: &Event| event.alert == alert && event.step < TAKEN_BACK && event.happened <= since;
        let last = events.iter().filter(|event| rose(event)).map(|event| event.step).max();
        events.retain(|event| !rose(event) || Some(event.step) == last);
        for event in events.iter_mut().filter(|event| event.alert == alert) {
            event.at = event.at.max(since);
        }
    }
    events.sort_by_key(|event| (event.at, event.alert, event.step));
    Ok(events)
}

/// The same as it was known at a time.
pub(crate) fn events_by(rows: Vec<Columns>, as_of: Timestamp) -> Result<Vec<Event>> {
    let mut events = events(rows)?;
    events.retain(|event| event.at <= as_of);
    Ok(events)
}

/// What is known of one alert.
#[derive(Debug)]
struct Standing<'a> {
    /// The last step that raised it: its points, and from when its weight falls.
    rise: &'a Event,
    /// Taken back or judged harmless: whatever it rises to after that, it counts for nothing.
    void: bool,
}

/// What is known of a user's alerts, step by step.
#[derive(Debug, Default)]
pub(crate) struct Known<'a>(HashMap<Uuid, Standing<'a>>);

impl<'a> Known<'a> {
    /// One more step.
    pub(crate) fn add(&mut self, event: &'a Event) {
        if event.step < TAKEN_BACK {
            let standing = self.0.entry(event.alert).or_insert(Standing { rise: event, void: false });
            standing.rise = event;
        } else if let Some(standing) = self.0.get_mut(&event.alert) {
            // A verdict says whether it counts, and makes nothing old new.
            standing.void = event.points == 0;
        }
    }

    /// The risk at a time, with what each alert has to do with it.
    pub(crate) fn risk(&self, as_of: Timestamp) -> (Risk, Vec<Evidence>) {
        let counting = self.0.values().filter(|standing| !standing.void).map(|standing| standing.rise);
        let contributions: Vec<Contribution> = counting
            .map(|event| Contribution {
                alert: event.alert,
                points: event.points,
                // As old as it is: that it was hidden makes nothing new.
                at: event.happened,
                family: event.family.clone(),
                // What came later was not known then.
                span: (event.span.0.min(as_of), event.span.1.min(as_of)),
            })
            .collect();
        let whole = risk(&contributions, as_of);
        let evidence = whole.shares.iter().map(|share| Evidence {
            alert: share.alert,
            points: self.0.get(&share.alert).map_or(0, |standing| standing.rise.points),
            weight: (share.weight * 100.0).round() / 100.0,
            added: share.added,
        });
        let evidence = evidence.filter(|part| part.added != 0.0).collect();
        (whole, evidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(alert: u128, step: i64, minute: i64, points: i64) -> Event {
        let at = Timestamp::from_micros(minute * domain::MINUTE);
        let alert = Uuid::from_u128(alert);
        let (family, span) = (alert.to_string(), (at, at));
        Event { alert, step, at, happened: at, severity: 2, points, family, span, session_id: None }
    }

    #[test]
    fn an_alert_counts_as_its_last_rise_says_and_not_at_all_once_it_is_taken_back() {
        let (opened, raised, back) = (event(1, 0, 0, 21), event(1, 1, 1, 47), event(1, TAKEN_BACK, 2, 0));
        let other = event(2, 0, 0, 47);
        let mut known = Known::default();
        known.add(&opened);
        assert!((known.risk(opened.at).0.score - 21.0).abs() < 0.01);
        known.add(&raised);
        known.add(&other);
        let (both, evidence) = known.risk(raised.at);
        assert!((both.score - 57.7).abs() < 0.1, "{both:?}");
        assert_eq!(evidence.len(), 2);
        known.add(&back);
        let (left, evidence) = known.risk(back.at);
        assert!((left.score - 47.0).abs() < 0.1 && evidence.len() == 1, "{left:?}");
    }

    #[test]
    fn what_was_judged_harmless_stays_so_when_it_rises_and_another_verdict_makes_nothing_old_new() {
        let (opened, harmless) = (event(1, 0, 0, 47), event(1, 2_000, 1, 0));
        let (raised, judged_again) = (event(1, 1, 2, 73), event(1, 2_001, 7 * 24 * 60 + 2, 73));
        let mut known = Known::default();
        [&opened, &harmless, &raised].into_iter().for_each(|event| known.add(event));
        assert_eq!(known.risk(raised.at).0.score, 0.0);
        known.add(&judged_again);
        assert!((known.risk(judged_again.at).0.score - 36.5).abs() < 0.1, "a week old by then");
    }
}
