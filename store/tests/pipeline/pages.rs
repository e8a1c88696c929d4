//! What the analytics pages read.

use domain::{AlertState, Severity};
use store::{AlertFilter, AlertOrder, Cursor, FlagFilter, ScoreFilter, TopAnomaly, Triage};

use crate::harness::Ground;
use crate::sample::{activity, alert, at, detect, ingest};

crate::on_both_engines!(
    totals_are_those_of_the_rows,
    one_detection_a_session_or_day,
    the_highest_of_both_kinds_come_first,
    alerts_by_every_filter,
    the_most_severe_come_first_and_page,
    lists_page_without_a_gap_or_a_double,
    a_stream_hears_of_every_change,
);

/// Two users: `ada` with a session, `bob` with two days without one.
async fn a_history(ground: &Ground) {
    let mut lone = activity(3, 0, "bob", "Delete");
    lone.session_id = None;
    let mut next_day = activity(4, 1_440, "bob", "Delete");
    next_day.session_id = None;
    ingest(&ground.store, &[activity(1, 0, "ada", "View"), activity(2, 5, "ada", "View"), lone, next_day]).await;
    detect(
        ground,
        vec![
            alert(1, "ada", Severity::Medium, 1, 0),
            alert(2, "ada", Severity::High, 2, 5),
            alert(3, "bob", Severity::Low, 3, 0),
            alert(4, "bob", Severity::Critical, 4, 1_440),
        ],
    )
    .await;
}

async fn totals_are_those_of_the_rows(ground: Ground) {
    a_history(&ground).await;
    let stats = ground.store.dashboard_stats(at(-10)).await.expect("stats");
    assert_eq!((stats.total_activities, stats.high_risk_alerts), (4, 2));
    assert_eq!((stats.flagged_critical, stats.flagged_high, stats.recent.len()), (1, 1, 4));
    assert!(stats.recent.windows(2).all(|pair| pair[0].created_at >= pair[1].created_at));
    let none = ground.store.dashboard_stats(at(5_000)).await.expect("stats");
    assert_eq!((none.total_activities, none.high_risk_alerts, none.recent.len()), (0, 0, 0));

    let ada = i64::from(b'a');
    let profile = ground.store.user_risk_profile(ada, at(-10)).await.expect("profile");
    let scores: Vec<f64> = profile.recent.iter().map(|row| row.risk_score).collect();
    let mean = (scores.iter().sum::<f64>() / 2.0 * 100.0).round() / 100.0;
    assert_eq!((profile.total_anomaly_detections, profile.total_flagged_activities), (2, 2));
    assert!((profile.average_risk_score - mean).abs() < 0.011, "{scores:?} {}", profile.average_risk_score);
    let nobody = ground.store.user_risk_profile(4_711, at(-10)).await.expect("profile");
    assert_eq!((nobody.average_risk_score, nobody.total_anomaly_detections), (0.0, 0));
}

async fn one_detection_a_session_or_day(ground: Ground) {
    a_history(&ground).await;
    let rows = ground.store.detections(at(-10), 50, 0.0).await.expect("detections");
    let seen: Vec<_> = rows
        .iter()
        .map(|row| (row.score.username.as_str(), row.findings().len(), row.score.session_id.is_some()))
        .collect();
    assert_eq!(seen, [("bob", 2, false), ("ada", 2, true), ("bob", 1, false)]);
    assert_eq!(rows[1].triggered_rules(), ["Rule 1", "Rule 2"]);
    assert_eq!(rows[1].score.explanation.matches(" | ").count(), 1);
    assert_eq!(rows[1].score.created_at, at(5));
    let ids: Vec<i64> = rows.iter().map(|row| row.detection_id).collect();
    // One more find of the session: the same detection, later.
    detect(&ground, vec![alert(5, "ada", Severity::Low, 2, 6)]).await;
    let again = ground.store.detections(at(-10), 50, 0.0).await.expect("detections");
    assert_eq!(again.iter().map(|row| row.detection_id).collect::<Vec<_>>(), ids);
    assert_eq!((again[1].score.created_at, again[1].findings().len()), (at(6), 3));
    assert_eq!(ground.store.detections(at(-10), 1, 0.0).await.expect("detections").len(), 1);
    assert_eq!(ground.store.detections(at(-10), 50, 70.0).await.expect("detections").len(), 2);
    assert_eq!(ground.store.detections(at(100), 50, 0.0).await.expect("detections").len(), 1);
    // Without a finding left it is not listed.
    let mut first = alert(3, "bob", Severity::Low, 3, 0);
    first.state = AlertState::Retracted;
    ground.clock.set(at(10));
    detect(&ground, vec![first]).await;
    assert_eq!(ground.store.detections(at(-10), 50, 0.0).await.expect("detections").len(), 2);
}

async fn the_highest_of_both_kinds_come_first(ground: Ground) {
    a_history(&ground).await;
    let all = ground.store.top_anomalies(at(-10), 15, 0.0).await.expect("top");
    let scores: Vec<f64> = all.iter().map(|one| one.score().risk_score).collect();
    assert_eq!(scores.len(), 7, "four scores and three detections");
    assert!(scores.windows(2).all(|pair| pair[0] >= pair[1]), "{scores:?}");
    assert!(all.iter().any(|one| matches!(one, TopAnomaly::Score(_))));
    let high = ground.store.top_anomalies(at(-10), 3, 70.0).await.expect("top");
    assert_eq!(high.len(), 3);
    assert!(high.iter().all(|one| one.score().risk_score >= 70.0));
}

async fn alerts_by_every_filter(ground: Ground) {
    a_history(&ground).await;
    let base = || AlertFilter { limit: 10, ..AlertFilter::default() };
    for (filter, wanted) in [
        (base(), vec!["Rule 4", "Rule 2", "Rule 1", "Rule 3"]),
        (AlertFilter { severity: vec![Severity::High], ..base() }, vec!["Rule 2"]),
        (AlertFilter { user: Some(" ADA ".into()), ..base() }, vec!["Rule 2", "Rule 1"]),
        (AlertFilter { rule_id: Some("rule-3".into()), ..base() }, vec!["Rule 3"]),
        (AlertFilter { from: Some(at(5)), to: Some(at(5)), ..base() }, vec!["Rule 2"]),
        (AlertFilter { status: vec!["closed".into()], ..base() }, vec![]),
        (AlertFilter { suppressed: true, ..base() }, vec![]),
        (AlertFilter { state: Some(AlertState::Closed), ..base() }, vec![]),
    ] {
        let text = format!("{filter:?}");
        let rows = ground.store.alerts(filter).await.expect("alerts");
        let mut names: Vec<&str> = rows.iter().map(|row| row.alert.rule.as_str()).collect();
        // Rules 1 and 3 cross at the same moment: the id decides.
        names[..].sort_by_key(|name| wanted.iter().position(|one| one == name));
        assert_eq!(names, wanted, "{text}");
    }
    let row =
        ground.store.alert(alert(1, "ada", Severity::Medium, 1, 0).alert_id).await.expect("alert").expect("there");
    let events = ground.store.alert_events(&row.alert).await.expect("events");
    assert!(events.len() == 1 && events[0].is_flagged);
}

async fn the_most_severe_come_first_and_page(ground: Ground) {
    // One of each severity and status, High twice; what is milder or judged is later.
    let mut all = Vec::new();
    for (n, severity) in (0..).zip([Severity::Critical, Severity::High, Severity::High, Severity::Low]) {
        all.extend((n * 3..n * 3 + 3).map(|n| alert(n, "ada", severity, 1, i64::try_from(n).expect("small"))));
    }
    detect(&ground, all.clone()).await;
    for (rest, status) in [(1, "acknowledged"), (2, "closed")] {
        let ids = all.iter().skip(rest).step_by(3).map(|alert| alert.alert_id).collect();
        let triage = Triage { status: Some(status.into()), by_user: "eve".into(), ..Triage::default() };
        let _ = ground.store.triage(ids, None, triage, ground.activity("Admin")).await.expect("judged");
    }
    let asked = |status: &[&str], severity: &[Severity], after| AlertFilter {
        status: status.iter().map(|one| (*one).to_owned()).collect(),
        severity: severity.to_vec(),
        limit: 2,
        order: AlertOrder::Severest(after),
        ..AlertFilter::default()
    };
    for (status, severity, wanted) in [
        (&["open", "acknowledged"][..], &[][..], vec![1, 0, 7, 6, 4, 3, 10, 9]),
        (&["open", "open"], &[Severity::Low, Severity::High, Severity::Low], vec![6, 3, 9]),
        (&[], &[Severity::Critical], vec![2, 1, 0]),
        (&["closed"], &[], vec![2, 8, 5, 11]),
    ] {
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = ground.store.alerts(asked(status, severity, after)).await.expect("page");
            let Some(last) = page.last() else { break };
            after = Some((last.alert.severity, last.alert.at, last.alert.alert_id));
            seen.extend(page.iter().map(|row| row.alert.rule.clone()));
        }
        assert_eq!(seen, wanted.iter().map(|n| format!("Rule {n}")).collect::<Vec<_>>(), "{status:?} {severity:?}");
    }
    // Several of each in the usual order as well.
    let two = AlertFilter {
        limit: 9,
        order: AlertOrder::Newest(None),
        ..asked(&["open", "closed"], &[Severity::Low, Severity::Critical], None)
    };
    let rows = ground.store.alerts(two).await.expect("alerts");
    assert_eq!(
        rows.iter().map(|row| row.alert.rule.as_str()).collect::<Vec<_>>(),
        ["Rule 11", "Rule 9", "Rule 2", "Rule 0"]
    );
}

async fn lists_page_without_a_gap_or_a_double(ground: Ground) {
    let alerts = (0..11).map(|n| alert(n, "ada", Severity::Low, n, i64::try_from(n / 4).expect("small"))).collect();
    detect(&ground, alerts).await;
    let (mut cursor, mut seen) = (None, Vec::new());
    loop {
        let page = ground
            .store
            .alerts(AlertFilter { limit: 3, order: AlertOrder::Newest(cursor), ..AlertFilter::default() })
            .await
            .expect("page");
        let Some(last) = page.last() else { break };
        cursor = Some((last.alert.at, last.alert.alert_id));
        seen.extend(page.iter().map(|row| row.alert.alert_id));
    }
    assert_eq!(seen.iter().collect::<std::collections::BTreeSet<_>>().len(), 11);
    let (mut cursor, mut seen) = (None, Vec::new());
    loop {
        let page = ScoreFilter { limit: 3, cursor, min_score: Some(1.0), below: Some(99.0), ..ScoreFilter::default() };
        let page = ground.store.anomaly_scores(page).await.expect("page");
        let Some(last) = page.last() else { break };
        cursor = Some(Cursor { at: last.created_at, id: last.score_id });
        seen.extend(page.iter().map(|row| row.score_id));
    }
    assert_eq!(seen.iter().collect::<std::collections::BTreeSet<_>>().len(), 11);
    let (mut cursor, mut seen) = (None, Vec::new());
    loop {
        let page = FlagFilter { limit: 3, cursor, severity: Some(Severity::Low), ..FlagFilter::default() };
        let page = ground.store.flagged_activities(page).await.expect("page");
        let Some(last) = page.last() else { break };
        cursor = Some(Cursor { at: last.flagged_at, id: last.flag_id });
        seen.extend(page.iter().map(|row| row.flag_id));
    }
    assert_eq!(seen.iter().collect::<std::collections::BTreeSet<_>>().len(), 11);
}

async fn a_stream_hears_of_every_change(ground: Ground) {
    detect(&ground, vec![alert(1, "ada", Severity::Low, 1, 0), alert(2, "ada", Severity::Low, 2, 0)]).await;
    let mut heard = Vec::new();
    let mut after = (at(-1), uuid::Uuid::nil());
    for _ in 0..3 {
        for row in ground.store.alerts_changed(after, 1).await.expect("changes") {
            after = (row.updated_at, row.alert.alert_id);
            heard.push(row.alert.rule);
        }
    }
    heard.sort();
    assert_eq!(heard, ["Rule 1", "Rule 2"]);
    ground.clock.set(at(1));
    detect(&ground, vec![alert(1, "ada", Severity::Low, 1, 0)]).await;
    let changed = ground.store.alerts_changed(after, 10).await.expect("changes");
    assert_eq!(
        changed.iter().map(|row| (row.alert.rule.as_str(), row.alert.revision)).collect::<Vec<_>>(),
        [("Rule 1", 2)]
    );
}
