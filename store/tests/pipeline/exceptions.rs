//! What is excepted for a while: what it keeps out, and what comes out when it stands no more.

use std::collections::BTreeMap;

use domain::{Alert, AlertState, Severity, Timestamp, Topic};
use store::{AlertFilter, Error, ExceptionRow, FlagFilter, NewException, ScoreFilter, ScoreRow, Store, Triage};
use uuid::Uuid;

use crate::harness::Ground;
use crate::sample::{activity, alert, at, change, detect, detect_changes, ingest, raised};

crate::on_both_engines!(
    an_exception_keeps_alerts_out_of_everything_but_the_count,
    what_outlives_its_exception_comes_out_once,
    what_ended_while_its_exception_stood_stays_out,
    another_exception_or_a_verdict_keeps_out_what_the_first_did,
    what_was_there_before_an_exception_stays_where_it_is,
    a_verdict_on_what_was_kept_out_holds_when_it_comes_out,
    no_exception_covers_its_maker,
    exceptions_are_remembered_when_they_have_ended,
    a_session_that_another_system_told_of_is_its_users,
    what_comes_into_the_queue_or_rises_there_is_news_once,
);

fn of(rule: &str, key: (&str, &str), until: Timestamp) -> NewException {
    NewException {
        rule_id: rule.into(),
        key: BTreeMap::from([(key.0.to_owned(), key.1.to_owned())]),
        until,
        reason: "a test of the backup".into(),
        by_user: "root".into(),
    }
}

async fn except(ground: &Ground, new: NewException) -> ExceptionRow {
    let activity = ground.activity("Admin");
    ground.store.create_exception(new, move |_| activity).await.expect("made")
}

async fn end(ground: &Ground, exception: &ExceptionRow) -> store::Result<()> {
    let activity = ground.activity("Admin");
    ground.store.end_exception(exception.exception_id, move |_| activity).await
}

async fn risk(ground: &Ground, user: &str, minutes: i64) -> f64 {
    ground.store.user_risk(user, at(minutes)).await.expect("risk").score
}

async fn scores(store: &Store) -> Vec<ScoreRow> {
    store.anomaly_scores(ScoreFilter { limit: 9, ..ScoreFilter::default() }).await.expect("scores")
}

async fn flags(store: &Store) -> usize {
    store.flagged_activities(FlagFilter { limit: 9, ..FlagFilter::default() }).await.expect("flags").len()
}

async fn queue(store: &Store) -> Vec<Uuid> {
    let shown = store.alerts(AlertFilter { limit: 9, ..AlertFilter::default() }).await.expect("alerts");
    shown.into_iter().map(|row| row.alert.alert_id).collect()
}

/// The alert once its episode has gone on until a time.
fn on(one: &Alert, minutes: i64) -> Alert {
    Alert { last_event_at: at(minutes), event_count: one.event_count + minutes, ..one.clone() }
}

async fn what_comes_into_the_queue_or_rises_there_is_news_once(ground: Ground) {
    let told = async |alert: &Alert, opened_as: Severity| -> Vec<(Severity, bool)> {
        let done = detect_changes(&ground, vec![change(alert.clone(), opened_as)]).await;
        done.news.into_iter().map(|news| (news.severity, news.rose)).collect()
    };
    use Severity::{Critical, High, Informational, Low, Medium};
    let ada = alert(1, "ada", Low, 1, 0);
    assert_eq!(told(&ada, Low).await, [(Low, false)]);
    assert_eq!(told(&on(&ada, 5), Low).await, [], "a process that knows nothing of it tells it again");
    let high = raised(on(&ada, 6), High, 6);
    assert_eq!(told(&high, Low).await, [(High, true)]);
    assert_eq!(told(&Alert { state: AlertState::Closed, ..on(&high, 7) }, Low).await, []);
    let signal = alert(2, "ada", Informational, 2, 0);
    assert_eq!(told(&signal, Informational).await, [], "nobody sees it");
    assert_eq!(told(&raised(on(&signal, 1), Medium, 1), Informational).await, [(Medium, false)]);

    let made = except(&ground, of("rule-3", ("user", "bob"), at(60))).await;
    let bob = alert(3, "bob", Medium, 3, 0);
    assert_eq!(told(&bob, Medium).await, []);
    let critical = raised(on(&bob, 1), Critical, 1);
    assert_eq!(told(&critical, Medium).await, []);
    end(&ground, &made).await.expect("ended");
    assert_eq!(told(&on(&critical, 2), Medium).await, [(Critical, false)], "it comes out");
    assert_eq!(told(&on(&critical, 3), Medium).await, []);
}

async fn an_exception_keeps_alerts_out_of_everything_but_the_count(ground: Ground) {
    let made = except(&ground, of("rule-1", ("user", "ada"), at(60))).await;
    let covered = alert(1, "ada", Severity::High, 1, 0);
    let mut other = alert(1, "bob", Severity::High, 2, 0);
    other.alert_id = Uuid::from_u128(2);
    let done = detect(&ground, vec![covered.clone(), other, alert(3, "ada", Severity::Low, 3, 0)]).await;
    assert_eq!((done.new, done.suppressed), (3, 1));
    assert_eq!(risk(&ground, "ada", 0).await, 21.0);
    let names = |rows: Vec<store::AlertRow>| -> Vec<String> {
        let mut names: Vec<String> = rows.into_iter().map(|row| row.alert.explanation).collect();
        names.sort();
        names
    };
    let shown = ground.store.alerts(AlertFilter { limit: 9, ..AlertFilter::default() }).await.expect("alerts");
    assert_eq!(names(shown), ["ada did it", "bob did it"]);
    let hidden = AlertFilter { suppressed: true, limit: 9, ..AlertFilter::default() };
    assert_eq!(ground.store.alerts(hidden).await.expect("alerts")[0].exception_id, Some(made.exception_id));
    assert_eq!(flags(&ground.store).await, 2);
    // It goes on being counted, and stays where it is.
    detect(&ground, vec![Alert { event_count: 9, ..covered.clone() }]).await;
    let rows = ground.store.exceptions(Some(at(0))).await.expect("exceptions");
    assert_eq!(rows.iter().map(|row| (&row.exception, row.suppressed)).collect::<Vec<_>>(), [(&made.exception, 1)]);
    let row = ground.store.alert(covered.alert_id).await.expect("alert").expect("there");
    assert!(row.alert.suppressed && row.alert.event_count == 9);
    // Ended or run out, it covers nothing new.
    assert!(ground.store.exceptions(Some(at(60))).await.expect("exceptions").is_empty());
    end(&ground, &made).await.expect("ended");
    assert!(matches!(end(&ground, &made).await, Err(Error::NotFound)));
    let mut later = alert(1, "ada", Severity::High, 4, 30);
    later.alert_id = Uuid::from_u128(4);
    assert_eq!(detect(&ground, vec![later]).await.suppressed, 0);
}

async fn what_outlives_its_exception_comes_out_once(ground: Ground) {
    let all = crate::webhooks::webhook(&ground, "all", Severity::Low).await;
    let told = async || crate::webhooks::told(&ground, &all).await;
    ingest(&ground.store, &[activity(1, 0, "Ada", "View")]).await;
    let made = except(&ground, of("rule-1", ("user", "ada"), at(60))).await;
    let one = alert(1, "ada", Severity::Medium, 1, 0);
    detect(&ground, vec![one.clone()]).await;
    let high = raised(on(&one, 10), Severity::High, 10);
    detect_changes(&ground, vec![change(high.clone(), Severity::Medium)]).await;
    ground.clock.set(at(59));
    detect_changes(&ground, vec![change(on(&high, 59), Severity::Medium)]).await;
    assert!(queue(&ground.store).await.is_empty() && told().await.is_empty(), "it stands to the last minute");
    ground.clock.set(at(60));
    detect_changes(&ground, vec![change(on(&high, 59), Severity::Medium)]).await;
    assert!(queue(&ground.store).await.is_empty(), "and what is only told again is not more");

    // Another process, with an engine that came back from where this one stopped.
    let (store, before) = (ground.another().await, at(60));
    ground.clock.set(at(61));
    let here = Ground { store: store.clone(), ..ground.clone() };
    detect_changes(&here, vec![change(on(&high, 61), Severity::Medium)]).await;
    assert_eq!(queue(&store).await, [one.alert_id]);
    let row = store.alert(one.alert_id).await.expect("alert").expect("there");
    assert_eq!((row.alert.suppressed, row.exception_id, row.alert.at), (false, None, at(0)));
    assert_eq!(flags(&store).await, 1);
    let news = store.alerts_changed((before, Uuid::nil()), 9).await.expect("news");
    assert_eq!(news.iter().map(|row| row.alert.alert_id).collect::<Vec<_>>(), [one.alert_id]);
    assert_eq!(told().await, ["alert.opened"]);
    // What it has come to counts from then on, and as old as it is; what was known before stays as it was.
    let rows = scores(&store).await;
    assert_eq!(rows.iter().map(|row| (row.created_at, row.added)).collect::<Vec<_>>(), [(at(61), rows[0].risk_score)]);
    assert!((72.0..73.0).contains(&rows[0].risk_score), "{rows:?}");
    assert_eq!((risk(&ground, "ada", 60).await, risk(&ground, "ada", 61).await), (0.0, rows[0].risk_score));
    let course = store.user_risk_history("ada", at(0), at(62)).await.expect("a course");
    assert!(course.iter().all(|(when, score)| (*when >= at(61)) == (*score > 0.0)), "{course:?}");

    // From here on it is an alert like any other.
    ground.clock.set(at(62));
    detect_changes(&here, vec![change(on(&high, 62), Severity::Medium)]).await;
    assert_eq!((told().await.len(), scores(&store).await.len(), flags(&store).await), (1, 1, 1));
    let critical = raised(on(&high, 63), Severity::Critical, 63);
    detect_changes(&here, vec![change(critical.clone(), Severity::Medium)]).await;
    assert_eq!(told().await, ["alert.opened", "alert.escalated"]);
    assert_eq!(scores(&store).await.iter().map(|row| row.created_at).collect::<Vec<_>>(), [at(63), at(61)]);
    // Nor does a new exception take it away again.
    except(&ground, of("rule-1", ("user", "ada"), at(900))).await;
    detect_changes(&here, vec![change(on(&critical, 64), Severity::Medium)]).await;
    assert_eq!(queue(&store).await, [one.alert_id]);
    let journal = store.journal_page(0, 1_000).await.expect("journal");
    let alerts = journal.iter().filter(|row| row.topic == Topic::Alerts);
    let published: Vec<Alert> = alerts.map(|row| serde_json::from_str(&row.payload).expect("alert")).collect();
    let hidden: Vec<bool> = published.iter().map(|alert| alert.suppressed).collect();
    assert_eq!(hidden, [true, true, true, true, false, false, false, false]);
    assert!(published.iter().map(|alert| alert.revision).eq(1..=8));
    let rows = store.exceptions(None).await.expect("exceptions");
    let first = rows.iter().find(|row| row.exception_id == made.exception_id).expect("listed");
    assert_eq!((first.suppressed, first.ended_at), (1, None), "it has kept it out");
    store.close().await;
}

async fn what_ended_while_its_exception_stood_stays_out(ground: Ground) {
    let made = except(&ground, of("rule-1", ("user", "ada"), at(600))).await;
    let (one, two) = (alert(1, "ada", Severity::High, 1, 0), alert(1, "ada", Severity::High, 2, 0));
    let two = Alert { alert_id: Uuid::from_u128(2), ..two };
    detect(&ground, vec![one.clone(), two.clone()]).await;
    ground.clock.set(at(10));
    end(&ground, &made).await.expect("ended");
    let closed = Alert { state: AlertState::Closed, ..one.clone() };
    let back = Alert { state: AlertState::Retracted, event_count: 99, ..two.clone() };
    detect(&ground, vec![closed, back]).await;
    assert!(queue(&ground.store).await.is_empty() && scores(&ground.store).await.is_empty());
    assert_eq!((risk(&ground, "ada", 10).await, flags(&ground.store).await), (0.0, 0));
    // It was none, and is one after all: that is more.
    detect(&ground, vec![two.clone()]).await;
    assert_eq!(queue(&ground.store).await, [two.alert_id]);
}

async fn another_exception_or_a_verdict_keeps_out_what_the_first_did(ground: Ground) {
    let first = except(&ground, of("rule-1", ("user", "ada"), at(600))).await;
    let second = except(&ground, of("rule-1", ("user", "ada"), at(20))).await;
    let quiet = |alert: Alert| store::Change { mute_after_close: 60 * domain::MINUTE, ..change(alert, Severity::High) };
    let kept = async |alert: &Alert| {
        let row = ground.store.alert(alert.alert_id).await.expect("alert").expect("there");
        (row.alert.suppressed, row.exception_id)
    };
    let one = alert(1, "ada", Severity::High, 1, 0);
    detect(&ground, vec![one.clone()]).await;
    detect(&ground, vec![on(&one, 1)]).await;
    assert_eq!(kept(&one).await, (true, Some(first.exception_id)));
    end(&ground, &first).await.expect("ended");
    detect(&ground, vec![on(&one, 2)]).await;
    assert_eq!(kept(&one).await, (true, Some(second.exception_id)));
    // Its rule wants quiet after a verdict, and there was one shortly before it began.
    let judged = Alert { alert_id: Uuid::from_u128(9), at: at(-40), last_event_at: at(-40), ..one.clone() };
    ground.clock.set(at(-10));
    detect(&ground, vec![judged.clone()]).await;
    let says = Triage {
        status: Some("closed".into()),
        verdict: Some("benign".into()),
        reason: Some("known".into()),
        by_user: "eve".into(),
        ..Triage::default()
    };
    ground.store.triage(vec![judged.alert_id], None, says, ground.activity("Admin")).await.expect("judged");
    ground.clock.set(at(30));
    detect_changes(&ground, vec![quiet(on(&one, 30))]).await;
    assert!(kept(&one).await.0);
    detect_changes(&ground, vec![change(on(&one, 31), Severity::High)]).await;
    assert_eq!(kept(&one).await, (false, None));
}

async fn what_was_there_before_an_exception_stays_where_it_is(ground: Ground) {
    let one = alert(1, "ada", Severity::High, 1, 0);
    detect(&ground, vec![one.clone()]).await;
    except(&ground, of("rule-1", ("user", "ada"), at(60))).await;
    detect(&ground, vec![on(&one, 5)]).await;
    assert_eq!(queue(&ground.store).await, [one.alert_id]);
    assert!(risk(&ground, "ada", 5).await > 72.0);
}

async fn a_verdict_on_what_was_kept_out_holds_when_it_comes_out(ground: Ground) {
    except(&ground, of("rule-1", ("user", "ada"), at(60))).await;
    let one = alert(1, "ada", Severity::High, 1, 0);
    detect(&ground, vec![one.clone()]).await;
    ground.clock.set(at(10));
    let says = Triage {
        verdict: Some("benign".into()),
        reason: Some("known".into()),
        by_user: "eve".into(),
        ..Triage::default()
    };
    ground.store.triage(vec![one.alert_id], None, says.clone(), ground.activity("Admin")).await.expect("judged");
    ground.clock.set(at(61));
    detect(&ground, vec![on(&one, 61)]).await;
    assert_eq!((queue(&ground.store).await, risk(&ground, "ada", 61).await), (vec![one.alert_id], 0.0));
    ground.clock.set(at(70));
    let says = Triage { verdict: Some("true_positive".into()), ..says };
    ground.store.triage(vec![one.alert_id], None, says, ground.activity("Admin")).await.expect("judged");
    assert!(risk(&ground, "ada", 70).await > 72.0 && risk(&ground, "ada", 69).await == 0.0);
}

async fn no_exception_covers_its_maker(ground: Ground) {
    // Of an address, which is the maker's only when the maker comes in from it.
    let source = |n: u128, user: &str, outcome| {
        let mut event = activity(n, 0, user, "Login");
        event.outcome = outcome;
        event
    };
    let events = [
        source(1, "Root", domain::Outcome::Failure),
        source(2, "Root", domain::Outcome::Success),
        source(3, "Bob", domain::Outcome::Success),
    ];
    ingest(&ground.store, &events).await;
    let alert = |n: u128| Alert {
        user: None,
        ip: Some("192.0.2.1".into()),
        key: BTreeMap::from([("source_ip".to_owned(), "192.0.2.1".to_owned())]),
        ..alert(n, "", Severity::High, n, 0)
    };
    for n in 1..=3 {
        except(&ground, of(&format!("rule-{n}"), ("source_ip", "192.0.2.1"), at(60))).await;
    }
    let (tried, came, other) = (alert(1), alert(2), alert(3));
    let done = detect(&ground, vec![tried.clone(), came.clone(), other]).await;
    assert_eq!((done.new, done.suppressed), (3, 2));
    assert_eq!(queue(&ground.store).await, [came.alert_id]);
    // The maker comes in while it goes on.
    let in_now = Alert { event_ids: vec![Uuid::from_u128(1), Uuid::from_u128(2)], ..on(&tried, 1) };
    detect(&ground, vec![in_now]).await;
    assert_eq!(queue(&ground.store).await.len(), 2);
}

async fn exceptions_are_remembered_when_they_have_ended(ground: Ground) {
    let ended = except(&ground, of("rule-1", ("user", "ada"), at(60))).await;
    let expires = except(&ground, of("rule-2", ("user", "bob"), at(60))).await;
    let stands = except(&ground, of("rule-3", ("user", "cy"), at(600))).await;
    ground.clock.set(at(10));
    let activity = ground.activity("Admin");
    let told = move |row: &ExceptionRow| domain::Activity { detail: Some(format!("{:?}", row.exception)), ..activity };
    ground.store.end_exception(ended.exception_id, told).await.expect("ended");
    let act = ground.journal().await.pop().expect("an act");
    assert_eq!(act.detail, Some(format!("{:?}", ended.exception)));
    ground.clock.set(at(60));
    assert!(matches!(end(&ground, &expires).await, Err(Error::NotFound)), "its time is over");
    let standing = ground.store.exceptions(Some(at(60))).await.expect("exceptions");
    assert_eq!(standing, std::slice::from_ref(&stands));
    let all = ground.store.exceptions(None).await.expect("exceptions");
    assert_eq!(all, [stands, expires, ExceptionRow { ended_at: Some(at(10)), ..ended }]);
}

async fn a_session_that_another_system_told_of_is_its_users(ground: Ground) {
    let user = |name: &str| {
        let (username, password_hash, role) = (name.to_owned(), "hash".to_owned(), domain::Role::Admin);
        store::NewUser { username, password_hash, email: None, full_name: None, role }
    };
    let (first, second) = (ground.activity("Create"), ground.activity("Create"));
    let ada = ground.store.create_user(user("Ada"), move |_| first).await.expect("a user");
    let bob = ground.store.create_user(user("Bob"), move |_| second).await.expect("a user");
    let mut told = activity(1, 0, " ADA", "Login");
    told.user_id = None;
    ingest(&ground.store, &[told]).await;
    let own = async |user| ground.store.is_session_of("session of  ADA", user).await.expect("sessions");
    assert_eq!((own(&ada).await, own(&bob).await), (true, false));
}
