//! Alerts found in stored activities: the missing ones are stored, and those that became worse.

use domain::{Alert, AlertState, Severity};
use store::Change;
use uuid::Uuid;

use crate::harness::Ground;
use crate::sample::{alert, at, change, detect, listed, published};

crate::on_both_engines!(
    alerts_that_reprocess_finds_are_stored_once,
    what_came_late_may_make_an_alert_worse_and_nothing_less,
);

async fn alerts_that_reprocess_finds_are_stored_once(ground: Ground) {
    let mut live = alert(1, "ada", Severity::Medium, 1, 10);
    live.last_event_at = at(20);
    detect(&ground, vec![live.clone()]).await;
    let of = |n: u128, minutes: i64| {
        let mut found = alert(n, "ada", Severity::Medium, n, minutes);
        found.rule_id.clone_from(&live.rule_id);
        found.found_by = "reprocess".into();
        found
    };
    let within = of(2, 20);
    let (before, after) = (of(3, 9), of(4, 21));
    let mut across = of(5, 0);
    across.last_event_at = at(10);
    let mut other_key = of(6, 15);
    other_key.key = [("user".to_owned(), "bob".to_owned())].into();
    let found: Vec<Change> = [live.clone(), within, before, after, across, other_key]
        .into_iter()
        .map(|alert| change(alert, Severity::Medium))
        .collect();
    let first = ground.store.store_alerts(found.clone()).await.expect("stored");
    assert_eq!((first.new.len(), first.known), (3, 3));
    let second = ground.store.store_alerts(found).await.expect("stored");
    assert_eq!((second.new.len(), second.known), (0, 6));
    assert_eq!(listed(&ground).await.len(), 4);
    assert_eq!(ground.store.offset(store::DETECTOR).await.expect("offset"), 1);
    // What was taken back is missing, and comes back under its id.
    let taken_back = Alert { state: AlertState::Retracted, ..live.clone() };
    detect(&ground, vec![taken_back]).await;
    let third = ground.store.store_alerts(vec![change(live.clone(), Severity::Medium)]).await.expect("stored");
    assert_eq!((third.new, third.known), (vec![live.alert_id], 0));
}

async fn what_came_late_may_make_an_alert_worse_and_nothing_less(ground: Ground) {
    let mut live = alert(1, "ada", Severity::Medium, 1, 10);
    live.last_event_at = at(12);
    detect(&ground, vec![live.clone()]).await;
    // Found under another id, because another event crossed.
    let mut worse = Alert { alert_id: Uuid::from_u128(77), at: at(9), severity: Severity::High, ..live.clone() };
    worse.escalations.push(domain::Escalation { at: at(11), severity: Severity::High, observed: 6.0 });
    (worse.event_count, worse.observed, worse.found_by) = (live.event_count + 5, 8.0, "reprocess".into());
    worse.state = AlertState::Closed;
    let again = async |alert: &Alert| {
        let done = ground.store.store_alerts(vec![change(alert.clone(), Severity::Medium)]).await.expect("stored");
        (done.new.len(), done.known, done.risen)
    };
    assert_eq!(again(&worse).await, (0, 1, vec![]), "the engine has it in its hands still");
    detect(&ground, vec![Alert { state: AlertState::Closed, ..live.clone() }]).await;
    let before = listed(&ground).await.remove(0);
    for less in [
        Alert { severity: Severity::Low, ..worse.clone() },
        Alert { event_count: live.event_count - 1, ..worse.clone() },
        Alert { at: at(11), ..worse.clone() },
        Alert { last_event_at: at(11), ..worse.clone() },
        Alert { threshold: worse.threshold + 1.0, ..worse.clone() },
        Alert { window_s: worse.window_s + 1, ..worse.clone() },
        live.clone(),
    ] {
        assert_eq!(again(&less).await, (0, 1, vec![]), "{less:?}");
    }
    assert_eq!(again(&worse).await, (0, 1, vec![live.alert_id]));
    assert_eq!(again(&worse).await, (0, 1, vec![]), "once");
    let alerts = listed(&ground).await;
    let revision = before.revision + 1;
    let expected = Alert { alert_id: live.alert_id, found_by: live.found_by.clone(), revision, ..worse.clone() };
    let expected = Alert { user: before.user.clone(), status: before.status.clone(), ..expected };
    assert_eq!(alerts, [expected]);
    assert_eq!(
        published(&ground).await.last().map(|alert| (alert.alert_id, alert.severity)),
        Some((live.alert_id, Severity::High))
    );
    // Two of them are not one.
    let other = Alert {
        alert_id: Uuid::from_u128(78),
        state: AlertState::Closed,
        at: at(20),
        last_event_at: at(21),
        ..live.clone()
    };
    detect(&ground, vec![other.clone()]).await;
    let both = Alert { last_event_at: at(21), event_count: 99, ..worse };
    assert_eq!(again(&both).await, (0, 1, vec![]));
}
