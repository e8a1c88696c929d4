//! Alerts and all that follows from them: steps, flags, scores, detections, risk, the published revision.

use domain::Partition;
use domain::{Alert, AlertState, Outcome, Severity};
use store::{AlertFilter, ApplyError, DetectionBatch, FlagFilter, Move, NewGap, Position, ScoreFilter, ScoreRow};
use uuid::Uuid;

use crate::harness::Ground;
use crate::sample::{activity, alert, at, change, detect, detect_changes, ingest, listed, published, raised};

crate::on_both_engines!(
    a_batch_of_findings_is_applied_once,
    an_alert_that_grows_keeps_one_flag_and_gets_a_score_for_each_step,
    a_crossing_that_moves_takes_its_flag_and_its_score_along,
    what_is_taken_back_counts_no_more,
    an_earlier_step_changes_the_scores_after_it,
    signals_count_and_are_not_shown,
    an_address_counts_for_those_who_came_in_from_it,
    users_whom_two_alerts_share_are_not_counted_twice_when_they_race,
    rules_that_are_gone_close_what_they_opened,
    detectors_that_start_at_once_both_start,
    what_the_engine_may_change_after_a_restart,
    gaps_are_recorded_with_the_offset,
);

async fn scores(ground: &Ground) -> Vec<ScoreRow> {
    let filter = ScoreFilter { since: at(-10_000), limit: 100, ..ScoreFilter::default() };
    let mut rows = ground.store.anomaly_scores(filter).await.expect("scores");
    rows.reverse();
    for row in &rows {
        let sum: f64 = row.findings.iter().map(|finding| (finding.points * 100.0).round()).sum();
        assert_eq!(sum, (row.risk_score * 100.0).round(), "the findings are the score: {row:?}");
    }
    rows
}

async fn flags(ground: &Ground) -> Vec<(u128, Severity)> {
    let filter = FlagFilter { since: at(-10_000), limit: 100, ..FlagFilter::default() };
    let rows = ground.store.flagged_activities(filter).await.expect("flags");
    rows.iter().map(|row| (row.event_id.as_u128(), row.severity)).collect()
}

async fn risk(ground: &Ground, user: &str, minutes: i64) -> f64 {
    ground.store.user_risk(user, at(minutes)).await.expect("risk").score
}

async fn a_batch_of_findings_is_applied_once(ground: Ground) {
    ingest(&ground.store, &[activity(1, 0, "Ada", "View")]).await;
    let one = alert(1, "ada", Severity::Medium, 1, 0);
    let batch = DetectionBatch {
        step: Move::journal(0, 7),
        watermark: at(-6),
        changes: vec![change(one.clone(), Severity::Medium)],
        ..DetectionBatch::default()
    };
    let done = ground.store.apply_detection(batch.clone()).await.expect("stored");
    assert_eq!((done.new, done.updated, done.suppressed), (1, 0, 0));
    assert!(matches!(ground.store.apply_detection(batch.clone()).await, Err(ApplyError::NotOurs)));
    // The same find once more at a later place: an update of the same rows.
    let again = DetectionBatch { step: Move::journal(7, 8), ..batch };
    assert_eq!(ground.store.apply_detection(again).await.expect("stored").updated, 1);
    let position = ground.store.position(store::DETECTOR, Partition::JOURNAL).await.expect("position");
    assert_eq!(position, Some(Position { next: 8, last_event: None, watermark: Some(at(-6)) }));
    let rows = scores(&ground).await;
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].risk_score, rows[0].username.as_str(), rows[0].user_id), (47.0, "Ada", Some(65)));
    assert_eq!(rows[0].session_id.as_deref(), Some("session of Ada"));
    assert_eq!(rows[0].explanation, "Rule 1 [T1119]: ada did it (+47 pts)");
    assert!(rows[0].last_analyzed_log_id.is_some());
    assert_eq!(flags(&ground).await, [(1, Severity::Medium)]);
    let logs = ground.store.logs_of(&[Uuid::from_u128(1)]).await.expect("logs");
    assert!(logs[0].is_flagged);
    let stored = listed(&ground).await;
    // As the event has the name; the key has it as it is counted by.
    let wanted = Alert { revision: 2, status: "open".into(), user: Some("Ada".into()), ..one };
    assert_eq!(stored, std::slice::from_ref(&wanted));
    assert_eq!(published(&ground).await, [Alert { revision: 1, ..wanted.clone() }, wanted], "revisions rise");
}

async fn an_alert_that_grows_keeps_one_flag_and_gets_a_score_for_each_step(ground: Ground) {
    ingest(&ground.store, &[activity(1, 0, "ada", "View")]).await;
    let low = alert(1, "ada", Severity::Low, 1, 0);
    detect_changes(&ground, vec![change(low.clone(), Severity::Low)]).await;
    // More of the same is no step.
    let more = Alert { observed: 4.0, event_count: 4, last_event_at: at(1), ..low.clone() };
    detect_changes(&ground, vec![change(more, Severity::Low)]).await;
    assert_eq!(scores(&ground).await.len(), 1);
    detect_changes(&ground, vec![change(raised(low.clone(), Severity::High, 2), Severity::Low)]).await;
    let rows = scores(&ground).await;
    let seen: Vec<_> = rows.iter().map(|row| (row.step, row.created_at, row.risk_score, row.added)).collect();
    assert_eq!(seen, [(0, at(0), 21.0, 21.0), (1, at(2), 73.0, 73.0)]);
    assert_eq!(flags(&ground).await, [(1, Severity::High)]);
    let detections = ground.store.detections(at(-10), 10, 0.0).await.expect("detections");
    assert_eq!(detections.len(), 1, "one session, moved in place");
    assert_eq!((detections[0].score.score_id, detections[0].triggered_rules()), (rows[1].score_id, vec!["Rule 1"]));
    // All of it in one batch comes to the same.
    detect_changes(
        &ground,
        vec![change(raised(alert(2, "bob", Severity::Low, 9, 0), Severity::High, 2), Severity::Low)],
    )
    .await;
    let bob: Vec<_> = scores(&ground).await.into_iter().filter(|row| row.username == "bob").collect();
    assert_eq!(bob.iter().map(|row| row.risk_score).collect::<Vec<_>>(), [21.0, 73.0]);
    assert_eq!(bob[0].session_id, None, "the event is not known, so the day is the detection");
}

async fn a_crossing_that_moves_takes_its_flag_and_its_score_along(ground: Ground) {
    ingest(&ground.store, &[activity(1, 0, "ada", "View"), activity(2, 3, "ada", "View")]).await;
    let later = alert(1, "ada", Severity::Medium, 2, 3);
    detect(&ground, vec![later.clone()]).await;
    let earlier = Alert { at: at(0), first_event_at: at(0), crossing_event: Uuid::from_u128(1), ..later.clone() };
    detect(&ground, vec![earlier]).await;
    assert_eq!(flags(&ground).await, [(1, Severity::Medium)]);
    let rows = scores(&ground).await;
    assert_eq!(rows.iter().map(|row| row.created_at).collect::<Vec<_>>(), [at(0)]);
    // And back: an alert may be told of twice.
    detect(&ground, vec![later]).await;
    assert_eq!(scores(&ground).await.iter().map(|row| row.created_at).collect::<Vec<_>>(), [at(3)]);
    assert_eq!(flags(&ground).await, [(2, Severity::Medium)]);
}

async fn what_is_taken_back_counts_no_more(ground: Ground) {
    ingest(&ground.store, &[activity(1, 0, "ada", "View"), activity(2, 1, "ada", "View")]).await;
    let (one, two) = (alert(1, "ada", Severity::Medium, 1, 0), alert(2, "ada", Severity::Medium, 2, 1));
    detect(&ground, vec![one.clone(), two]).await;
    let both = risk(&ground, "ada", 2).await;
    assert!((both - 57.7).abs() < 0.2, "{both}");
    ground.clock.set(at(5));
    detect(&ground, vec![Alert { state: AlertState::Retracted, ..one.clone() }]).await;
    assert!((risk(&ground, "ada", 6).await - 47.0).abs() < 0.2);
    assert_eq!(risk(&ground, "ada", 2).await, both, "what was known then");
    let rows = scores(&ground).await;
    assert_eq!(rows.len(), 3, "taking back is a step of its own");
    assert_eq!((rows[2].created_at, rows[2].added), (at(5), 0.0));
    assert_eq!(flags(&ground).await, [(2, Severity::Medium)]);
    assert_eq!(listed(&ground).await.len(), 1);
    let taken_back = AlertFilter { state: Some(AlertState::Retracted), limit: 9, ..AlertFilter::default() };
    assert_eq!(ground.store.alerts(taken_back).await.expect("alerts").len(), 1);
    // Told once more it stays taken back at that time; and it may hold again.
    ground.clock.set(at(8));
    detect(&ground, vec![Alert { state: AlertState::Retracted, ..one.clone() }]).await;
    assert_eq!(scores(&ground).await, rows);
    detect(&ground, vec![one]).await;
    assert_eq!(scores(&ground).await.len(), 2);
    assert_eq!(flags(&ground).await.len(), 2);
}

async fn an_earlier_step_changes_the_scores_after_it(ground: Ground) {
    let days = 60 * 24;
    detect(&ground, vec![alert(1, "ada", Severity::High, 1, days)]).await;
    let before = scores(&ground).await;
    assert_eq!(before[0].risk_score, 73.0);
    detect(&ground, vec![alert(2, "ada", Severity::Medium, 2, 0)]).await;
    let rows = scores(&ground).await;
    assert_eq!(rows[1].score_id, before[0].score_id, "in place");
    assert_eq!(rows.iter().map(|row| row.findings.len()).collect::<Vec<_>>(), [1, 2]);
    assert!(rows[1].risk_score > 73.0);
    // The same in the other order of telling.
    detect(&ground, vec![alert(3, "bob", Severity::Medium, 3, 0)]).await;
    detect(&ground, vec![alert(4, "bob", Severity::High, 4, days)]).await;
    let of = |rows: &[ScoreRow], user: &str| -> Vec<f64> {
        rows.iter().filter(|row| row.username == user).map(|row| row.risk_score).collect()
    };
    let rows = scores(&ground).await;
    assert_eq!(of(&rows, "ada"), of(&rows, "bob"));
}

async fn signals_count_and_are_not_shown(ground: Ground) {
    ingest(&ground.store, &[activity(1, 0, "ada", "Delete")]).await;
    let signal = alert(1, "ada", Severity::Informational, 1, 0);
    detect(&ground, vec![signal.clone()]).await;
    assert!(listed(&ground).await.is_empty() && flags(&ground).await.is_empty() && scores(&ground).await.is_empty());
    assert!(published(&ground).await.is_empty());
    assert_eq!(risk(&ground, "ada", 1).await, 5.0);
    assert!(ground.store.alert(signal.alert_id).await.expect("alert").is_some());
    // One that rises is an alert from then on.
    detect_changes(&ground, vec![change(raised(signal, Severity::Medium, 2), Severity::Informational)]).await;
    assert_eq!(flags(&ground).await, [(1, Severity::Medium)]);
    assert_eq!(scores(&ground).await.iter().map(|row| (row.step, row.risk_score)).collect::<Vec<_>>(), [(1, 47.0)]);
}

async fn an_address_counts_for_those_who_came_in_from_it(ground: Ground) {
    let mut guessed = activity(1, 0, "ada", "LoginFailed");
    guessed.outcome = Outcome::Failure;
    let mut refused = activity(3, 2, "carl", "Login");
    refused.outcome = Outcome::Denied;
    let inside = activity(2, 1, "Bob", "Login");
    // One stored, the others still in the journal only.
    ingest(&ground.store, &[guessed]).await;
    for journaled in [inside, refused] {
        ground.store.append(journaled).await.expect("append");
    }
    let mut source = alert(1, "nobody", Severity::Medium, 1, 0);
    source.user = None;
    source.ip = Some("192.0.2.1".into());
    source.key = [("source_ip".to_owned(), "192.0.2.1".to_owned())].into();
    detect(&ground, vec![source.clone()]).await;
    assert!(scores(&ground).await.is_empty(), "to be guessed at is no sign against anybody");
    source.event_ids = (1..=3).map(Uuid::from_u128).collect();
    detect(&ground, vec![source.clone()]).await;
    let rows = scores(&ground).await;
    let seen: Vec<_> = rows.iter().map(|row| (row.username.as_str(), row.user_id, row.risk_score)).collect();
    assert_eq!(seen, [("Bob", Some(66), 47.0)]);
    let flag = FlagFilter { limit: 9, ..FlagFilter::default() };
    let flag = &ground.store.flagged_activities(flag).await.expect("flags")[0];
    assert_eq!((flag.username.as_deref(), flag.event_id), (Some("ada"), Uuid::from_u128(1)), "whose event crossed");
    // A session's alert is that of its user.
    let mut session = alert(2, "x", Severity::Low, 1, 0);
    session.user = None;
    session.session = Some("session of ada".into());
    session.key = [("session_id".to_owned(), "session of ada".to_owned())].into();
    detect(&ground, vec![session]).await;
    assert_eq!(risk(&ground, "ada", 1).await, 21.0);
}

async fn users_whom_two_alerts_share_are_not_counted_twice_when_they_race(ground: Ground) {
    // Without offsets, as reprocess does it beside the live detector.
    let tasks: Vec<_> = (0..8_u128)
        .map(|n| {
            let ground = ground.clone();
            tokio::spawn(async move {
                let users = if n % 2 == 0 { ["ada", "bob"] } else { ["bob", "ada"] };
                for (k, user) in (0..).zip(users) {
                    let found = alert(10 * n + k, user, Severity::Low, 1_000 * n + k, i64::try_from(n).expect("small"));
                    let found = vec![change(found, Severity::Low)];
                    while let Err(error) = ground.store.store_alerts(found.clone()).await {
                        assert!(matches!(error, store::Error::Duplicate | store::Error::Overloaded), "{error}");
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("task");
    }
    let rows = scores(&ground).await;
    assert_eq!(rows.len(), 16);
    for user in ["ada", "bob"] {
        let own: Vec<_> = rows.iter().filter(|row| row.username == user).collect();
        assert_eq!(own.iter().map(|row| row.findings.len()).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(risk(&ground, user, 7).await, own[7].risk_score);
    }
}

async fn rules_that_are_gone_close_what_they_opened(ground: Ground) {
    let rules = |names: &[(&str, &str)]| names.iter().map(|(id, rev)| ((*id).to_owned(), (*rev).to_owned())).collect();
    let first = rules(&[("rule-1", "a"), ("rule-2", "a")]);
    assert_eq!(ground.store.supersede_rules(first).await.expect("rules"), 0);
    detect(&ground, vec![alert(1, "ada", Severity::Low, 1, 0), alert(2, "ada", Severity::Low, 2, 0)]).await;
    let mut closed = alert(2, "ada", Severity::Low, 3, 100);
    closed.alert_id = Uuid::from_u128(77);
    closed.state = AlertState::Closed;
    detect(&ground, vec![closed]).await;
    let same = rules(&[("rule-2", "a"), ("rule-1", "a")]);
    assert_eq!(ground.store.supersede_rules(same).await.expect("rules"), 0);
    let changed = rules(&[("rule-1", "a"), ("rule-2", "b")]);
    assert_eq!(ground.store.supersede_rules(changed).await.expect("rules"), 1);
    let states: Vec<_> = listed(&ground).await.iter().map(|alert| (alert.rule_id.clone(), alert.state)).collect();
    assert!(states.contains(&("rule-1".into(), AlertState::Open)), "{states:?}");
    assert!(states.contains(&("rule-2".into(), AlertState::Superseded)), "{states:?}");
    assert!(states.contains(&("rule-2".into(), AlertState::Closed)), "{states:?}");
    assert_eq!(published(&ground).await.last().map(|alert| alert.state), Some(AlertState::Superseded));
    assert_eq!(ground.store.supersede_rules(Vec::new()).await.expect("rules"), 1);
}

async fn detectors_that_start_at_once_both_start(ground: Ground) {
    for round in 0..5 {
        let rules: Vec<_> = (0..20).map(|rule| (format!("rule-{round}-{rule}"), "a".to_owned())).collect();
        let start = || {
            let (ground, rules) = (ground.clone(), rules.clone());
            tokio::spawn(async move {
                let store = ground.another().await;
                store.supersede_rules(rules).await.expect("rules");
                store.close().await;
            })
        };
        for detector in [start(), start(), start(), start()] {
            detector.await.expect("each starts");
        }
    }
}

async fn what_the_engine_may_change_after_a_restart(ground: Ground) {
    let open = alert(1, "ada", Severity::Low, 1, -5_000);
    let mut recent = alert(2, "ada", Severity::Low, 2, -10);
    recent.state = AlertState::Closed;
    let mut old = alert(3, "ada", Severity::Low, 3, -100);
    old.state = AlertState::Closed;
    let mut gone = alert(4, "ada", Severity::Low, 4, -10);
    gone.state = AlertState::Merged;
    detect(&ground, vec![open.clone(), recent.clone(), old, gone]).await;
    let mut ids: Vec<Uuid> = ground
        .store
        .adoptable_alerts(Partition::JOURNAL, at(-50))
        .await
        .expect("alerts")
        .iter()
        .map(|alert| alert.alert_id)
        .collect();
    ids.sort_unstable();
    let mut wanted = [open.alert_id, recent.alert_id];
    wanted.sort_unstable();
    assert_eq!(ids, wanted);
}

async fn gaps_are_recorded_with_the_offset(ground: Ground) {
    let gap = NewGap {
        rule_id: "rule-1".into(),
        key: "user=ada".into(),
        from: at(0),
        to: at(1),
        lost: 4,
        reason: "more events than are held for one key".into(),
    };
    let batch = DetectionBatch { step: Move::journal(0, 3), gaps: vec![gap.clone()], ..DetectionBatch::default() };
    ground.store.apply_detection(batch.clone()).await.expect("stored");
    assert!(matches!(ground.store.apply_detection(batch).await, Err(ApplyError::NotOurs)));
    let rows = ground.store.coverage_gaps(at(-1), 10).await.expect("gaps");
    assert_eq!(rows.iter().map(|row| &row.gap).collect::<Vec<_>>(), [&gap]);
    assert!(ground.store.coverage_gaps(at(1), 10).await.expect("gaps").is_empty());
    // What goes on is the same gap; after a quiet it is another one.
    let more = NewGap { from: at(2), to: at(5), lost: 3, ..gap.clone() };
    for (minutes, expected, rows) in [(5, 3, 1), (20, 4, 2)] {
        ground.clock.set(at(minutes));
        let (next, gaps) = (expected + 1, vec![more.clone()]);
        let batch = DetectionBatch { step: Move::journal(expected, next), gaps, ..DetectionBatch::default() };
        ground.store.apply_detection(batch).await.expect("stored");
        let found = ground.store.coverage_gaps(at(-1), 10).await.expect("gaps");
        assert_eq!(found.len(), rows);
        let grown = &found[rows - 1].gap;
        assert_eq!((grown.from, grown.to, grown.lost), (at(0), at(5), 7));
    }
}
