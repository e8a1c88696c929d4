//! What those who watch see after something happened.

use serde_json::{Value, json};
use story_tests::{Actor, PASSWORD, TestApp};

/// Somebody guesses erin's password, ten times, from four addresses.
async fn guess(app: &TestApp) {
    for number in 0..10 {
        let body = json!({ "username": "erin", "password": format!("guess number {number}") });
        let from = format!("192.0.2.{}", number % 4);
        let call = app.anonymous().call("POST", "/api/auth/login").header("x-forwarded-for", &from).json(&body);
        let answer = call.send().await;
        assert!(matches!(answer.status, 401 | 429));
    }
    // What follows looks at one state of things.
    app.settled().await;
}

async fn app() -> TestApp {
    let trusted = vec!["127.0.0.0/8".parse().expect("a network")];
    TestApp::builder().config(|config| config.trusted_proxies = trusted).start().await
}

async fn first(app: &TestApp, actor: &Actor, path: &str, member: Option<&str>) -> Value {
    app.eventually(path, async || {
        let body = actor.get(path).await.expect(200).json();
        let rows = member.map_or(body.clone(), |member| body[member].clone());
        rows.as_array().and_then(|rows| rows.first().cloned())
    })
    .await
}

#[tokio::test]
async fn guessing_a_password_is_seen_scored_and_flagged() {
    let app = app().await;
    let sam = app.supervisor().await;
    guess(&app).await;
    let alert = first(&app, &sam, "/api/alerts?user=erin", None).await;
    for member in ["alert_id", "at", "rule", "rule_id", "severity", "explanation", "state", "status", "first_event_at"]
    {
        assert!(alert[member].is_string(), "{member}: {alert}");
    }
    assert_eq!(alert["user"], "erin");
    assert!(alert["event_ids"].as_array().is_some_and(|ids| !ids.is_empty()));

    let score = first(&app, &sam, "/api/analytics/anomaly-scores?days=30", None).await;
    for member in ["username", "risk_level", "explanation", "created_at"] {
        assert!(score[member].is_string(), "{member}: {score}");
    }
    assert_eq!(score["username"], "erin");
    assert!((0.0..=100.0).contains(&score["risk_score"].as_f64().expect("a number")));
    let findings = score["findings"].as_array().expect("findings");
    assert!(findings.iter().all(|finding| finding["name"].is_string() && finding["description"].is_string()));
    for (member, value) in score.as_object().expect("an object") {
        let taken = ["std_pct", "deviation_pct", "causes", "causes_detail", "findings", "detected_at"];
        assert!(!(taken.contains(&member.as_str()) && value.is_null()), "{member} is null");
    }

    let flag = first(&app, &sam, "/api/analytics/flagged-activities", None).await;
    assert!(["Low", "Medium", "High", "Critical"].contains(&flag["severity"].as_str().expect("a severity")));
    assert!(flag["event_id"].is_string() && flag["flagged_at"].is_string() && flag["reason"].is_string());

    let detection = first(&app, &sam, "/api/analytics/rule-based-detections", Some("detections")).await;
    for part in detection["explanation"].as_str().expect("an explanation").split('|') {
        let (title, detail) = part.split_once(':').expect("a title and a detail");
        assert!(title.contains('[') && detail.contains("pts)"), "{part}");
    }
    assert!(detection["triggered_rules"].as_array().is_some_and(|rules| !rules.is_empty()));
    let top = first(&app, &sam, "/api/analytics/top-anomalies", Some("anomalies")).await;
    assert!(top["source"].is_string() && top["timestamp"].is_string());

    let erin = app.store.user_by_key("erin").await.expect("a database").expect("erin").user_id;
    let risk = sam.get(&format!("/api/users/{erin}/risk")).await.expect(200).json();
    assert!(risk["risk_score"].as_f64().expect("a score") > 0.0);
    assert!(risk["contributions"].as_array().is_some_and(|shares| !shares.is_empty()));
    let before = sam.get(&format!("/api/users/{erin}/risk?as_of=2020-01-01")).await.expect(200).json();
    assert_eq!(before["risk_score"].as_f64(), Some(0.0));
    let profile = sam.get(&format!("/api/analytics/user-risk-profile/{erin}")).await.expect(200).json();
    assert!(profile["total_anomaly_detections"].as_i64().expect("a count") > 0);
    assert!(profile["recent_scores"].as_array().is_some_and(|scores| !scores.is_empty()));
    let stats = sam.get("/api/analytics/dashboard-stats").await.expect(200).json();
    assert_eq!(stats["period_days"], 7);
    assert!(stats["recent_anomaly_scores"].as_array().is_some_and(|scores| !scores.is_empty()));

    // The page that opens gets what is stored; nothing is made by looking.
    let run = sam.post("/api/analytics/run-rule-detection", json!({ "window_hours": 24 })).await.expect(200).json();
    assert_eq!((run["new_alerts"].as_i64(), run["detections"].as_array().map(Vec::is_empty)), (Some(0), Some(false)));
    assert!(run["message"].is_string() && run["total_analyzed"].is_i64() && run["skipped_duplicates"].is_i64());
    let run = sam.post("/api/analytics/run-detection", json!({})).await.expect(200).json();
    let rows = sam.get("/api/analytics/anomaly-scores?days=30&limit=1000").await.expect(200).rows();
    assert_eq!(run["anomalies"].as_array().map(Vec::len), Some(rows.len()));
}

#[tokio::test]
async fn who_is_watched_sees_nothing_of_it() {
    let app = app().await;
    let sam = app.supervisor().await;
    let erin = app.employee().await;
    guess(&app).await;
    let _ = first(&app, &sam, "/api/analytics/flagged-activities", None).await;
    let flagged = app
        .eventually("a flagged row", async || {
            let rows = sam.get("/api/logs?limit=1000").await.expect(200).rows();
            rows.into_iter().find(|row| row["is_flagged"] == true)
        })
        .await;
    assert_eq!(flagged["username"], "erin");
    let own = erin.get("/api/logs?limit=1000").await.expect(200).rows();
    assert!(own.iter().any(|row| row["event_id"] == flagged["event_id"]));
    assert!(own.iter().all(|row| row["is_flagged"] == false));
}

#[tokio::test]
async fn a_quiet_day_shows_empty_shapes() {
    let app = TestApp::start().await;
    let sam = app.supervisor().await;
    assert_eq!(sam.get("/api/analytics/anomaly-scores").await.expect(200).json(), json!([]));
    assert_eq!(sam.get("/api/analytics/rule-based-detections").await.expect(200).json(), json!({ "detections": [] }));
    assert_eq!(sam.get("/api/analytics/top-anomalies").await.expect(200).json(), json!({ "anomalies": [] }));
    let profile = sam.get(&format!("/api/analytics/user-risk-profile/{}", sam.id())).await.expect(200).json();
    assert_eq!((profile["average_risk_score"].as_f64(), profile["period_days"].as_i64()), (Some(0.0), Some(30)));
    let answer = sam.get("/api/analytics/user-risk-profile/999").await.expect(404);
    assert_eq!(answer.error(), "User not found");
    let credentials = json!({ "username": "sam", "password": PASSWORD });
    let _ = app.anonymous().post("/api/auth/login", credentials).await.expect(200);
}
