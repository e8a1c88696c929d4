//! What the dashboard shows at a glance.

use domain::{HOUR, LogType, Severity, Timestamp};
use store::Triage;

use crate::harness::Ground;
use crate::sample::{activity, alert, at, detect, ingest};

crate::on_both_engines!(
    the_newest_rows_are_found_by_their_ids,
    rules_are_counted_by_what_was_made_of_their_alerts,
    users_are_ranked_by_the_risk_that_is_left,
    the_course_of_a_risk_jumps_where_it_was_raised_and_falls_between,
    activities_are_counted_by_the_hour,
);

async fn the_newest_rows_are_found_by_their_ids(ground: Ground) {
    let store = &ground.store;
    assert_eq!(store.newest_log_id().await.expect("an id"), 0);
    let mut system = activity(2, 1, "ada", "View");
    system.log_type = Some(LogType::System);
    let mut logs = activity(3, 2, "ada", "View");
    logs.resource = Some("logs/sessions".into());
    ingest(store, &[activity(1, 0, "ada", "View"), system, logs, activity(4, 3, "bob", "Delete")]).await;
    let newest = store.newest_log_id().await.expect("an id");
    let all = store.log_ids_after(0, 10).await.expect("ids");
    assert!(all.len() == 4 && all.is_sorted() && all.last() == Some(&newest), "{all:?}");
    assert_eq!(store.log_ids_after(0, 2).await.expect("ids"), all[2..]);
    assert!(store.log_ids_after(newest, 10).await.expect("ids").is_empty());
    let ids = async |wanted: &[i64], whole| -> Vec<i64> {
        store.logs_by_ids(wanted, whole).await.expect("rows").iter().map(|row| row.log_id).collect()
    };
    assert_eq!(ids(&all, false).await, [all[0], all[3]]);
    assert_eq!(ids(&[all[3], all[1], 4_711], true).await, [all[1], all[3]]);
    assert_eq!(store.count_logs_since(at(2)).await.expect("a count"), 2);
    assert_eq!(store.count_dead_letters().await.expect("a count"), 0);
    assert_eq!(store.count_live_sessions(at(0)).await.expect("a count"), 0);
}

async fn rules_are_counted_by_what_was_made_of_their_alerts(ground: Ground) {
    let mut again = alert(3, "bob", Severity::High, 3, 5);
    again.rule_id = "rule-1".into();
    let (mut gone, first) = (alert(4, "bob", Severity::High, 4, 6), alert(1, "ada", Severity::High, 1, 0));
    gone.state = domain::AlertState::Retracted;
    let signal = alert(2, "ada", Severity::Informational, 2, 1);
    detect(&ground, vec![first.clone(), signal, again, gone]).await;
    assert_eq!(ground.store.open_alerts().await.expect("counts"), [(Severity::High, 2)]);
    let verdict = Triage {
        status: Some("closed".into()),
        verdict: Some("true_positive".into()),
        reason: Some("seen".into()),
        assignee: None,
        by_user: "eve".into(),
    };
    let act = ground.activity("Admin");
    let _ = ground.store.triage(vec![first.alert_id], None, verdict, act).await.expect("judged");
    let stats = ground.store.rule_stats(at(-1)).await.expect("stats");
    let told: Vec<_> = stats.iter().map(|rule| (&*rule.rule_id, rule.alerts, rule.open, rule.true_positives)).collect();
    assert_eq!(told, [("rule-1", 2, 1, 1), ("rule-2", 1, 0, 0)]);
    assert_eq!((stats[0].last_at, stats[1].signals), (at(5), 1));
    assert_eq!(ground.store.open_alerts().await.expect("counts"), [(Severity::High, 1)]);
    assert!(ground.store.rule_stats(at(10)).await.expect("stats").is_empty());
}

async fn users_are_ranked_by_the_risk_that_is_left(ground: Ground) {
    const WEEKS: i64 = 7 * 1_440;
    let old = alert(1, "ada", Severity::High, 1, 0);
    detect(&ground, vec![old, alert(2, "bob", Severity::Medium, 2, 2 * WEEKS)]).await;
    let names = async |now: Timestamp, limit| -> Vec<String> {
        let users = ground.store.risky_users(now, limit).await.expect("users");
        users.into_iter().map(|user| user.username).collect()
    };
    // Two weeks leave a quarter of 73.
    assert_eq!(names(at(2 * WEEKS), 10).await, ["bob", "ada"]);
    assert_eq!(names(at(2 * WEEKS), 1).await, ["bob"]);
    assert_eq!(names(at(5 * WEEKS), 10).await, ["bob"]);
}

async fn the_course_of_a_risk_jumps_where_it_was_raised_and_falls_between(ground: Ground) {
    detect(&ground, vec![alert(1, "ada", Severity::High, 1, 600)]).await;
    let line = ground.store.user_risk_history("ada", at(0), at(10_680)).await.expect("a line");
    assert!(line.is_sorted_by(|a, b| a.0 < b.0) && line.len() > 12, "{line:?}");
    let before = line.iter().filter(|(moment, _)| *moment < at(600));
    assert!(before.clone().count() > 0 && before.clone().all(|(_, score)| *score == 0.0), "{line:?}");
    let jump = line.iter().find(|(moment, _)| *moment == at(600)).expect("the moment itself");
    assert!((jump.1 - 73.0).abs() < 0.1, "{jump:?}");
    let after: Vec<f64> = line.iter().filter(|(moment, _)| *moment >= at(600)).map(|(_, score)| *score).collect();
    assert!(after.is_sorted_by(|a, b| a >= b), "{after:?}");
    let last = line.last().expect("a last point");
    assert_eq!((last.0, last.1), (at(10_680), ground.store.user_risk("ada", at(10_680)).await.expect("a risk").score));
    let nobody = ground.store.user_risk_history("nobody", at(0), at(10)).await.expect("a line");
    assert!(nobody.iter().all(|(_, score)| *score == 0.0));
}

async fn activities_are_counted_by_the_hour(ground: Ground) {
    let minutes = |n| activity(n, i64::try_from(n).expect("small") * 30, "ada", "View");
    ingest(&ground.store, &(0..5).map(minutes).collect::<Vec<_>>()).await;
    let hours = ground.store.activity_by_hour(at(0)).await.expect("hours");
    assert_eq!(hours.iter().map(|(_, n)| n).sum::<i64>(), 5);
    assert!(hours.iter().all(|(hour, _)| hour.micros() % HOUR == 0) && hours.is_sorted());
    let later = ground.store.activity_by_hour(at(120)).await.expect("hours");
    assert!(later.len() < hours.len() && later.iter().all(|hour| hours.contains(hour)));
}
