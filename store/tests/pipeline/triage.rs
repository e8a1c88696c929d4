//! What people make of alerts.

use domain::{Alert, AlertState, Severity};
use store::{AlertFilter, Error, ScoreFilter, Seen, Triage};
use uuid::Uuid;

use crate::harness::Ground;
use crate::sample::{alert, at, change, detect, detect_changes, raised};

crate::on_both_engines!(
    a_verdict_changes_the_risk_from_then_on,
    what_was_judged_is_kept_when_the_engine_writes_again,
    nothing_is_done_where_one_has_changed_or_is_missing,
    two_who_judge_at_once_do_not_overwrite_each_other,
    another_verdict_takes_a_reason_and_each_act_has_its_own,
    a_verdict_may_keep_a_rule_quiet,
);

fn says(status: &str, verdict: Option<&str>) -> Triage {
    Triage {
        status: Some(status.to_owned()),
        verdict: verdict.map(str::to_owned),
        reason: Some("looked at it".to_owned()),
        assignee: Some("eve".to_owned()),
        by_user: "eve".to_owned(),
    }
}

async fn judge(ground: &Ground, alert: &Alert, triage: Triage) -> store::Result<Vec<store::AlertRow>> {
    ground.store.triage(vec![alert.alert_id], None, triage, ground.activity("Admin")).await
}

async fn risk(ground: &Ground, minutes: i64) -> f64 {
    ground.store.user_risk("ada", at(minutes)).await.expect("risk").score
}

async fn a_verdict_changes_the_risk_from_then_on(ground: Ground) {
    let one = alert(1, "ada", Severity::Medium, 1, 0);
    detect(&ground, vec![one.clone()]).await;
    ground.clock.set(at(10));
    let rows = judge(&ground, &one, says("closed", Some("false_positive"))).await.expect("judged");
    assert_eq!((rows[0].alert.revision, rows[0].alert.status.as_str()), (2, "closed"));
    assert_eq!((rows[0].reason.as_deref(), rows[0].assignee.as_deref()), (Some("looked at it"), Some("eve")));
    assert_eq!((risk(&ground, 9).await > 46.9, risk(&ground, 10).await), (true, 0.0));
    let scores = ScoreFilter { limit: 10, ..ScoreFilter::default() };
    let scores = ground.store.anomaly_scores(scores).await.expect("scores");
    assert_eq!(
        scores.iter().map(|row| (row.created_at, row.risk_score)).collect::<Vec<_>>(),
        [(at(10), 0.0), (at(0), 47.0)]
    );
    // Another verdict another day.
    ground.clock.set(at(20));
    judge(&ground, &one, says("closed", Some("true_positive"))).await.expect("judged");
    assert!(risk(&ground, 21).await > 46.9);
    assert_eq!(risk(&ground, 15).await, 0.0);
    let history = ground.store.alert_history(one.alert_id).await.expect("history");
    let verdicts: Vec<_> = history.iter().map(|row| (row.at, row.verdict.as_deref())).collect();
    assert_eq!(verdicts, [(at(10), Some("false_positive")), (at(20), Some("true_positive"))]);
    assert_eq!(ground.store.alert(one.alert_id).await.expect("alert").map(|row| row.alert.revision), Some(3));
    let rows = ground.store.journal_page(0, 100).await.expect("journal");
    let kinds: Vec<&str> = rows.iter().map(|row| row.topic.as_str()).collect();
    assert_eq!(kinds, ["alerts", "alerts", "activity", "alerts", "activity"]);
}

async fn what_was_judged_is_kept_when_the_engine_writes_again(ground: Ground) {
    let one = alert(1, "ada", Severity::Low, 1, 0);
    detect(&ground, vec![one.clone()]).await;
    ground.clock.set(at(1));
    judge(&ground, &one, says("acknowledged", Some("benign"))).await.expect("judged");
    detect_changes(&ground, vec![change(raised(one.clone(), Severity::High, 5), Severity::Low)]).await;
    let row = ground.store.alert(one.alert_id).await.expect("alert").expect("there");
    assert_eq!((row.alert.status.as_str(), row.alert.verdict.as_deref()), ("acknowledged", Some("benign")));
    assert_eq!((row.alert.severity, row.alert.revision), (Severity::High, 3));
    assert_eq!(risk(&ground, 6).await, 0.0, "judged harmless, it may grow as it likes");
    let acknowledged = AlertFilter { status: vec!["acknowledged".into()], limit: 9, ..AlertFilter::default() };
    assert_eq!(ground.store.alerts(acknowledged).await.expect("alerts").len(), 1);
    // What is not said stays: the reason, the one who looks after it; an empty name is nobody.
    let nobody = Triage { assignee: Some(String::new()), by_user: "eve".into(), ..Triage::default() };
    let row = &judge(&ground, &one, nobody).await.expect("judged")[0];
    assert_eq!((row.assignee.as_deref(), row.reason.as_deref()), (None, Some("looked at it")));
    assert_eq!(row.alert.verdict.as_deref(), Some("benign"));
}

async fn nothing_is_done_where_one_has_changed_or_is_missing(ground: Ground) {
    let (one, two) = (alert(1, "ada", Severity::Low, 1, 0), alert(2, "ada", Severity::Low, 2, 0));
    detect(&ground, vec![one.clone(), two.clone()]).await;
    let activity = || ground.activity("Admin");
    let stale = ground.store.triage(vec![one.alert_id], Some(9), says("closed", None), activity()).await;
    assert!(matches!(&stale, Err(Error::Outdated(ids)) if *ids == [one.alert_id]), "{stale:?}");
    // Of several, those that changed are named; of what is not named, nothing was seen that matters.
    let three = alert(3, "ada", Severity::Low, 3, 0);
    detect(&ground, vec![three.clone()]).await;
    let seen = Seen::Revisions([(one.alert_id, 1), (two.alert_id, 7)].into());
    let all = vec![one.alert_id, two.alert_id, three.alert_id];
    let stale = ground.store.triage(all, seen, says("closed", None), activity()).await;
    assert!(matches!(&stale, Err(Error::Outdated(ids)) if *ids == [two.alert_id]), "{stale:?}");
    let missing = vec![one.alert_id, Uuid::from_u128(404)];
    let missing = ground.store.triage(missing, None, says("closed", None), activity()).await;
    assert!(matches!(missing, Err(Error::NotFound)), "{missing:?}");
    let row = ground.store.alert(one.alert_id).await.expect("alert").expect("there");
    assert_eq!((row.alert.revision, row.alert.status.as_str()), (1, "open"));
    let both = vec![two.alert_id, one.alert_id, two.alert_id];
    let rows = ground.store.triage(both, Some(1), says("acknowledged", None), activity()).await.expect("both");
    assert_eq!(rows.iter().map(|row| row.alert.alert_id).collect::<Vec<_>>(), [two.alert_id, one.alert_id]);
}

async fn two_who_judge_at_once_do_not_overwrite_each_other(ground: Ground) {
    let one = alert(1, "ada", Severity::Low, 1, 0);
    detect(&ground, vec![one.clone()]).await;
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let (ground, id) = (ground.clone(), one.alert_id);
            tokio::spawn(async move {
                let activity = ground.activity("Admin");
                ground.store.triage(vec![id], Some(1), says("acknowledged", None), activity).await
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        match task.await.expect("task") {
            Ok(_) => done += 1,
            Err(error) => assert!(matches!(error, Error::Outdated(_)), "{error}"),
        }
    }
    assert_eq!(done, 1);
    assert_eq!(ground.store.alert_history(one.alert_id).await.expect("history").len(), 1);
}

async fn another_verdict_takes_a_reason_and_each_act_has_its_own(ground: Ground) {
    let one = alert(1, "ada", Severity::Low, 1, 0);
    let two = alert(2, "ada", Severity::Low, 2, 0);
    detect(&ground, vec![one.clone(), two.clone()]).await;
    judge(&ground, &one, says("closed", Some("benign"))).await.expect("judged");
    let bare = |verdict: &str| Triage { reason: None, ..says("closed", Some(verdict)) };
    let both = vec![two.alert_id, one.alert_id];
    let refused = ground.store.triage(both, None, bare("true_positive"), ground.activity("Admin")).await;
    assert!(matches!(refused, Err(Error::Missing("reason"))), "{refused:?}");
    let row = ground.store.alert(two.alert_id).await.expect("alert").expect("there");
    assert_eq!((row.alert.status.as_str(), row.alert.verdict), ("open", None), "all or none");
    // Opened again it has its verdict still.
    let open = Triage { status: Some("open".into()), by_user: "eve".into(), ..Triage::default() };
    judge(&ground, &one, open).await.expect("open");
    let refused = judge(&ground, &one, bare("true_positive")).await;
    assert!(matches!(refused, Err(Error::Missing("reason"))), "{refused:?}");
    let same = judge(&ground, &one, bare("benign")).await.expect("the same is no other");
    assert_eq!(same[0].reason.as_deref(), Some("looked at it"), "the alert keeps its reason");
    let why = Triage { reason: Some("it was one".into()), ..bare("true_positive") };
    judge(&ground, &one, why).await.expect("judged");
    let history = ground.store.alert_history(one.alert_id).await.expect("history");
    let said: Vec<_> = history.iter().map(|row| (row.verdict.as_deref(), row.reason.as_deref())).collect();
    let benign = Some("benign");
    assert_eq!(
        said,
        [(benign, Some("looked at it")), (benign, None), (benign, None), (Some("true_positive"), Some("it was one"))]
    );
}

async fn a_verdict_may_keep_a_rule_quiet(ground: Ground) {
    let one = alert(1, "ada", Severity::Low, 1, 0);
    detect(&ground, vec![one.clone()]).await;
    ground.clock.set(at(10));
    judge(&ground, &one, says("closed", Some("benign"))).await.expect("judged");
    let of = |n: u128, minutes: i64| {
        let mut alert = alert(1, "ada", Severity::Low, n, minutes);
        alert.alert_id = Uuid::from_u128(n);
        store::Change { mute_after_close: 60 * domain::MINUTE, ..change(alert, Severity::Low) }
    };
    assert_eq!(detect_changes(&ground, vec![of(2, 69)]).await.suppressed, 1);
    assert_eq!(detect_changes(&ground, vec![of(3, 70)]).await.suppressed, 0);
    assert_eq!(detect_changes(&ground, vec![of(4, 9)]).await.suppressed, 0, "it began before anybody judged");
    // What goes on when the quiet is over comes out, as it stands by then; what ended before does not.
    let on = |minutes: i64, state| {
        let mut change = of(2, 69);
        change.alert.last_event_at = at(minutes);
        change.alert.event_count += minutes;
        change.alert.state = state;
        change
    };
    let kept_out =
        async || ground.store.alert(Uuid::from_u128(2)).await.expect("read").expect("there").alert.suppressed;
    for (minutes, state, expected) in [
        (69, AlertState::Open, true),
        (69, AlertState::Closed, true),
        (70, AlertState::Open, false),
        (71, AlertState::Open, false),
    ] {
        detect_changes(&ground, vec![on(minutes, state)]).await;
        assert_eq!(kept_out().await, expected, "{minutes} {state:?}");
    }
}
