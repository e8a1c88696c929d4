//! Triage.

use domain::Severity;
use serde_json::{Value, json};
use story_tests::TestApp;

/// An alert about `user`, as if the detector had found it.
async fn raised(app: &TestApp, user: &str) -> String {
    raised_as(app, user, Severity::High).await
}

async fn raised_as(app: &TestApp, user: &str, severity: Severity) -> String {
    let change = found(app.now(), user, severity);
    let id = change.alert.alert_id.to_string();
    app.store.store_alerts(vec![change]).await.expect("a stored alert");
    id
}

fn found(now: domain::Timestamp, user: &str, severity: Severity) -> store::Change {
    let id = domain::ids::event_id(now);
    let alert = domain::Alert {
        alert_id: id,
        at: now,
        rule: "Mass deletion".into(),
        rule_id: "00000000-0000-4000-8000-000000000001".into(),
        family: "deletion".into(),
        severity,
        risk: 73,
        techniques: vec!["T1485".into()],
        user: Some(user.into()),
        ip: None,
        session: None,
        key: [("user".to_owned(), user.to_owned())].into(),
        observed: 10.0,
        threshold: 10.0,
        window_s: 540,
        first_event_at: now,
        last_event_at: now,
        event_ids: vec![id],
        baseline: None,
        explanation: "10 deletions in 540 s".into(),
        escalations: Vec::new(),
        state: domain::AlertState::Open,
        merged_into: None,
        event_count: 10,
        revision: 1,
        status: "open".into(),
        verdict: None,
        suppressed: false,
        found_by: "live".into(),
        crossing_event: id,
    };
    store::Change { alert, opened_as: severity, opened_points: 73, mute_after_close: 0 }
}

fn closing() -> Value {
    json!({ "status": "closed", "verdict": "false_positive", "reason": "a planned clean-up" })
}

#[tokio::test]
async fn an_alert_is_taken_up_and_closed() {
    let app = TestApp::start().await;
    let sam = app.supervisor().await;
    let id = raised(&app, "erin").await;
    let path = format!("/api/alerts/{id}");
    let seen = sam.get(&path).await.expect(200);
    let tag = seen.header("etag").to_owned();
    assert_eq!(tag, format!("\"{}\"", seen.json()["revision"]));
    assert!(seen.json()["events"].is_array());
    let body = json!({ "status": "acknowledged", "assignee": "sam" });
    let taken = sam.call("PATCH", &path).header("if-match", &tag).json(&body).send().await.expect(200);
    assert_eq!(taken.json()["alert"]["status"], "acknowledged");
    assert_eq!(taken.json()["alert"]["assignee"], "sam");
    assert_ne!(taken.header("etag"), tag);
    let late = sam.call("PATCH", &path).header("if-match", &tag).json(&closing()).send().await.expect(412);
    assert!(late.error().contains("changed"));
    for body in [
        json!({ "status": "closed" }),
        json!({ "status": "closed", "verdict": "benign" }),
        json!({ "status": "closed", "verdict": "benign", "reason": " \t " }),
        json!({}),
        json!({ "reason": "so it is" }),
        json!({ "status": "new" }),
    ] {
        let _ = sam.patch(&path, body).await.expect(400);
    }
    let closed = sam.patch(&path, closing()).await.expect(200).json();
    assert_eq!(
        (closed["alert"]["status"].as_str(), closed["alert"]["verdict"].as_str()),
        (Some("closed"), Some("false_positive"))
    );
    let history = sam.get(&path).await.expect(200).json()["history"].clone();
    assert_eq!(history.as_array().map(Vec::len), Some(2));
    let open = sam.get("/api/alerts?status=open").await.expect(200).rows();
    assert!(open.iter().all(|alert| alert["alert_id"] != id.as_str()));
    let acts: Vec<_> =
        app.journal().await.into_iter().filter(|a| a["action"] == "Admin" && a["outcome"] == "success").collect();
    assert_eq!(acts.len(), 2);
    assert_eq!(acts[0]["attributes"], json!({ "status": "acknowledged", "assignee": "sam" }));
    assert_eq!(acts[1]["attributes"], closing());
    let detail = acts[1]["detail"].as_str().expect("a detail");
    assert!(detail.ends_with("(Mass deletion): status closed, verdict false_positive: a planned clean-up"), "{detail}");
    assert_eq!(
        (acts[1]["resource"].as_str(), acts[1]["log_type"].as_str()),
        (Some(&*format!("alerts/{id}")), Some("system"))
    );
}

#[tokio::test]
async fn the_queue_is_listed_by_severity_and_without_the_events() {
    let app = TestApp::start().await;
    let sam = app.supervisor().await;
    let mut ids = Vec::new();
    for severity in [Severity::Critical, Severity::Low, Severity::High, Severity::Medium, Severity::High] {
        ids.push(raised_as(&app, "erin", severity).await);
    }
    let change = json!({ "status": "acknowledged", "assignee": "sam" });
    let _ = sam.patch(&format!("/api/alerts/{}", ids[2]), change).await.expect(200);
    let _ = sam.patch(&format!("/api/alerts/{}", ids[3]), closing()).await.expect(200);
    let mut path = "/api/alerts?status=open,Acknowledged&order=severity&event_ids=false&limit=2".to_owned();
    let mut seen = Vec::new();
    while !path.is_empty() {
        let page = sam.get(&path).await.expect(200);
        assert!(page.rows().iter().all(|alert| alert["event_ids"] == json!([]) && alert["event_count"] == 10));
        seen.extend(page.rows().iter().map(|alert| alert["alert_id"].as_str().expect("an id").to_owned()));
        path = page.header("link").split(['<', '>']).nth(1).unwrap_or_default().to_owned();
    }
    assert_eq!(seen.iter().collect::<Vec<_>>(), [&ids[0], &ids[4], &ids[2], &ids[1]]);
    let mild = sam.get("/api/alerts?severity=low,medium").await.expect(200).rows();
    assert_eq!(mild.iter().map(|alert| &alert["alert_id"]).collect::<Vec<_>>(), [&json!(ids[3]), &json!(ids[1])]);
    assert_eq!(mild[0]["event_ids"].as_array().map(Vec::len), Some(1));
    // A place in one order is none in the other.
    let link = sam.get("/api/alerts?limit=1").await.expect(200).header("link").to_owned();
    let cursor = link.split(['=', '>']).nth(2).expect("a cursor");
    for (query, field) in [
        ("status=open,new".to_owned(), "status"),
        ("severity=High,Informational".to_owned(), "severity"),
        ("order=oldest".to_owned(), "order"),
        ("event_ids=some".to_owned(), "event_ids"),
        (format!("order=severity&cursor={cursor}"), "cursor"),
    ] {
        let refused = sam.get(&format!("/api/alerts?{query}")).await.expect(400);
        assert_eq!(refused.json()["errors"][0]["field"], field, "{query}");
    }
}

#[tokio::test]
async fn another_verdict_takes_a_reason_of_its_own() {
    let app = TestApp::start().await;
    let sam = app.supervisor().await;
    let id = raised(&app, "erin").await;
    let path = format!("/api/alerts/{id}");
    let _ = sam.patch(&path, closing()).await.expect(200);
    for body in [json!({ "verdict": "benign" }), json!({ "verdict": "benign", "reason": "  " })] {
        let answer = sam.patch(&path, body.clone()).await.expect(400);
        assert_eq!(answer.json()["errors"][0]["field"], "reason");
        let mut many = body;
        many["ids"] = json!([id]);
        let answer = sam.post("/api/alerts/triage", many).await.expect(400);
        assert_eq!(answer.json()["errors"][0]["field"], "reason");
    }
    let _ = sam.patch(&path, json!({ "status": "open" })).await.expect(200);
    let _ = sam.patch(&path, json!({ "verdict": "benign", "reason": " it was fine " })).await.expect(200);
    let alert = sam.get(&path).await.expect(200).json();
    assert_eq!((&alert["verdict"], &alert["reason"]), (&json!("benign"), &json!("it was fine")));
    let history = alert["history"].as_array().expect("a history");
    let reasons: Vec<_> = history.iter().map(|act| act["reason"].as_str()).collect();
    assert_eq!(reasons, [Some("a planned clean-up"), None, Some("it was fine")]);
}

#[tokio::test]
async fn an_alert_can_be_nobodys_again() {
    let app = TestApp::start().await;
    let sam = app.supervisor().await;
    let path = format!("/api/alerts/{}", raised(&app, "erin").await);
    let assignee = async |body| sam.patch(&path, body).await.expect(200).json()["alert"]["assignee"].clone();
    for nobody in [Value::Null, json!(""), json!(" ")] {
        assert_eq!(assignee(json!({ "assignee": "sam" })).await, "sam");
        assert_eq!(assignee(json!({ "status": "acknowledged" })).await, "sam", "what is not said stays");
        assert_eq!(assignee(json!({ "assignee": nobody })).await, Value::Null);
    }
    let history = sam.get(&path).await.expect(200).json()["history"].clone();
    assert_eq!(history.as_array().and_then(|acts| acts.last()).expect("an act")["assignee"], Value::Null);
    let act = app.journal().await.into_iter().rfind(|act| act["action"] == "Admin").expect("an act");
    assert_eq!(act["attributes"], json!({ "assignee": null }));
    assert!(act["detail"].as_str().is_some_and(|detail| detail.ends_with("no assignee")), "{act}");
}

#[tokio::test]
async fn a_false_alarm_weighs_nothing_from_then_on() {
    let app = TestApp::start().await;
    let sam = app.supervisor().await;
    let erin = app.employee().await.id();
    let id = raised(&app, "erin").await;
    let risk = async || sam.get(&format!("/api/users/{erin}/risk")).await.expect(200).json()["risk_score"].as_f64();
    assert!(risk().await.expect("a score") > 70.0);
    let _ = sam.patch(&format!("/api/alerts/{id}"), closing()).await.expect(200);
    assert_eq!(risk().await, Some(0.0));
}

#[tokio::test]
async fn many_are_judged_at_once_or_none() {
    let app = TestApp::start().await;
    let sam = app.supervisor().await;
    let mut ids = Vec::new();
    for user in ["erin", "emil", "cora"] {
        ids.push(raised(&app, user).await);
    }
    let mut body = closing();
    body["ids"] = json!(ids);
    let answer = sam.post("/api/alerts/triage", body.clone()).await.expect(200).json();
    assert_eq!(answer["updated"], 3);
    let act = app.journal().await.into_iter().rfind(|act| act["action"] == "Admin").expect("an act");
    let mut named: Vec<&str> =
        act["attributes"]["alert_ids"].as_array().expect("ids").iter().flat_map(Value::as_str).collect();
    named.sort_unstable();
    let mut wanted: Vec<&str> = ids.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    assert_eq!((named, &act["attributes"]["reason"]), (wanted, &json!("a planned clean-up")));
    assert!(act["attributes"].get("alert_ids_more").is_none());
    body["ids"] = json!([ids[0], "00000000-0000-0000-0000-000000000000"]);
    let _ = sam.post("/api/alerts/triage", body.clone()).await.expect(404);
    for ids in [json!([]), json!("x"), json!(["x"]), json!(vec![ids[0].clone(); 501])] {
        body["ids"] = ids;
        let _ = sam.post("/api/alerts/triage", body.clone()).await.expect(400);
    }
}

#[tokio::test]
async fn many_are_judged_as_they_were_seen_or_none() {
    let app = TestApp::start().await;
    let (sam, admin) = (app.supervisor().await, app.admin().await);
    let (one, two) = (raised(&app, "erin").await, raised(&app, "emil").await);
    let now = async |id: &str| sam.get(&format!("/api/alerts/{id}")).await.expect(200).json();
    let seen = [now(&one).await["revision"].clone(), now(&two).await["revision"].clone()];
    let mut body = closing();
    body["ids"] = json!([one, two]);
    body["revisions"] = json!({ &one: seen[0], &two: seen[1].to_string() });
    // Somebody is faster with one of them.
    let true_positive = json!({ "status": "closed", "verdict": "true_positive", "reason": "She said so." });
    let _ = admin.patch(&format!("/api/alerts/{two}"), true_positive).await.expect(200);
    let refused = sam.post("/api/alerts/triage", body.clone()).await.expect(412).json();
    assert_eq!(refused["changed"], json!([two]));
    assert!(refused["error"].as_str().is_some_and(|error| error.starts_with("One of these alerts has changed")));
    assert_eq!(now(&two).await["verdict"], "true_positive");
    assert_eq!(now(&one).await["status"], "open");
    // Whoever has seen that, too, may.
    body["revisions"][&two] = now(&two).await["revision"].clone();
    assert_eq!(sam.post("/api/alerts/triage", body.clone()).await.expect(200).json()["updated"], 2);
    for revisions in [json!([1]), json!({ &one: "x" }), json!({ "x": 1 }), json!({ &one: 1.5 })] {
        body["revisions"] = revisions;
        let refused = sam.post("/api/alerts/triage", body.clone()).await.expect(400);
        assert_eq!(refused.json()["errors"][0]["field"], "revisions");
    }
    body["ids"] = json!([one]);
    body["revisions"] = json!({ two: 1 });
    assert!(sam.post("/api/alerts/triage", body).await.expect(400).error().contains("not among ids"));
}

#[tokio::test]
async fn who_judges_five_hundred_names_as_many_as_there_is_room_for() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let found: Vec<store::Change> = (0..500).map(|n| found(app.now(), &format!("user {n}"), Severity::High)).collect();
    let ids: Vec<String> = found.iter().map(|change| change.alert.alert_id.to_string()).collect();
    app.store.store_alerts(found).await.expect("stored alerts");
    for reason in ["a planned clean-up".to_owned(), "\u{1}€".repeat(1_000)] {
        let body = json!({ "ids": ids, "status": "closed", "verdict": "benign", "reason": reason });
        let _ = admin.post("/api/alerts/triage", body).await.expect(200);
        let act = app.journal().await.into_iter().rfind(|act| act["action"] == "Admin").expect("an act");
        let attributes = &act["attributes"];
        let (named, size) = (attributes["alert_ids"].as_array().expect("ids").len(), attributes.to_string().len());
        assert!((16 * 1_024 - 100..=16 * 1_024).contains(&size), "{size}");
        assert_eq!(attributes["alert_ids_more"], 500 - named);
        assert_eq!(attributes["reason"], reason);
    }
}

#[tokio::test]
async fn a_supervisor_judges_others_only() {
    let app = TestApp::start().await;
    let (sam, admin) = (app.supervisor().await, app.admin().await);
    let id = raised(&app, "Sam").await;
    let answer = sam.patch(&format!("/api/alerts/{id}"), closing()).await.expect(403);
    assert!(answer.error().contains("yourself"));
    let mut body = closing();
    body["ids"] = json!([id]);
    let _ = sam.post("/api/alerts/triage", body).await.expect(403);
    let _ = admin.patch(&format!("/api/alerts/{id}"), closing()).await.expect(200);
}

#[tokio::test]
async fn rules_are_shown() {
    let app = TestApp::start().await;
    let rules = app.supervisor().await.get("/api/rules").await.expect(200).rows();
    assert!(rules.len() > 19 && rules.iter().all(|rule| rule["id"].is_string() && rule["title"].is_string()));
}
