//! Exceptions: whom they may cover, what they are about, and what is left of them.

use domain::{DAY, MINUTE};
use serde_json::{Value, json};
use story_tests::{Actor, Answer, PASSWORD, TestApp};

/// The id of a built-in rule with this key.
async fn rule(admin: &Actor, key: Value) -> Value {
    let rules = admin.get("/api/rules").await.expect(200).rows();
    let found =
        rules.into_iter().find(|rule| rule["key"] == key && rule["reports"] == true && rule["kind"] != "detection");
    found.expect("a rule with that key")["id"].clone()
}

async fn except(admin: &Actor, rule: &Value, key: Value, until: domain::Timestamp) -> Answer {
    let body = json!({ "rule_id": rule, "key": key, "until": until.to_string(), "reason": " a nightly job " });
    admin.post("/api/exceptions", body).await
}

/// Which member was refused, and how.
fn refused(answer: Answer) -> (String, String) {
    let body = answer.expect(400).json();
    let text = |member: &str| body["errors"][0][member].as_str().expect("a text").to_owned();
    (text("field"), text("message"))
}

/// What Admins did.
async fn acts(app: &TestApp) -> Vec<Value> {
    app.journal().await.into_iter().filter(|a| a["action"] == "Admin" && a["outcome"] == "success").collect()
}

#[tokio::test]
async fn exceptions_are_bounded_and_never_cover_their_maker() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let now = app.now();
    let user = rule(&admin, json!(["user"])).await;
    let made = except(&admin, &user, json!({ "user": "robot" }), now.plus(DAY)).await.expect(201).json();
    assert_eq!(made["exception"]["key"], json!({ "user": "robot" }));
    assert_eq!((&made["exception"]["reason"], &made["exception"]["ended_at"]), (&json!("a nightly job"), &Value::Null));
    for name in ["ADMIN", " admin", "ａｄｍｉｎ"] {
        let _ = except(&admin, &user, json!({ "username": name }), now.plus(DAY)).await.expect(403);
    }
    for (key, until) in [
        (json!({}), now.plus(DAY)),
        (json!("x"), now.plus(DAY)),
        (json!({ "user": "x".repeat(3_000) }), now.plus(DAY)),
        (json!({ "user": "robot" }), now.plus(-DAY)),
        (json!({ "user": "robot" }), now.plus(366 * DAY)),
    ] {
        let _ = except(&admin, &user, key, until).await.expect(400);
    }
    for reason in ["", " \t\n", "\u{a0}"] {
        let until = now.plus(DAY).to_string();
        let body = json!({ "rule_id": user, "key": { "user": "robot" }, "until": until, "reason": reason });
        assert_eq!(refused(admin.post("/api/exceptions", body).await).0, "reason");
    }
    let listed = admin.get("/api/exceptions").await.expect(200).rows();
    assert_eq!(listed.len(), 1);
    let path = format!("/api/exceptions/{}", made["exception"]["exception_id"]);
    let _ = admin.delete(&path).await.expect(200);
    assert!(admin.get("/api/exceptions").await.expect(200).rows().is_empty());
    let again = except(&admin, &user, json!({ "user": "robot" }), now.plus(DAY)).await.expect(201).json();
    let body = json!({ "exception_id": again["exception"]["exception_id"] });
    let _ = admin.call("DELETE", "/api/exceptions").json(&body).send().await.expect(200);
    assert_eq!(acts(&app).await.len(), 4);
}

#[tokio::test]
async fn nor_do_they_cover_another_session_or_address_of_their_maker() {
    let behind_a_proxy = |config: &mut security_analytics::config::Config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    };
    let app = TestApp::builder().config(behind_a_proxy).start().await;
    let log_in = async |ip: &str| {
        let credentials = json!({ "username": "admin", "password": PASSWORD });
        let call = app.anonymous().call("POST", "/api/auth/login").header("x-forwarded-for", ip).json(&credentials);
        let body = call.send().await.expect(200).json();
        let text = |member: &str| body[member].as_str().map(str::to_owned);
        Actor { token: text("token"), session: text("session_id"), ..Actor::anonymous(app.address) }
    };
    let (here, there) = (log_in("198.51.100.7").await, log_in("2001:db8:1:2::7").await);
    let sam = app.supervisor().await;
    let until = app.now().plus(DAY);
    let session = rule(&here, json!(["session_id"])).await;
    for own in [&here, &there] {
        let answer = except(&here, &session, json!({ "session": own.session }), until).await.expect(403);
        assert!(answer.error().contains("none of yours"), "{}", answer.error());
    }
    let source = rule(&here, json!(["source_ip"])).await;
    for ip in ["198.51.100.7", "::ffff:198.51.100.7", "2001:DB8:1:2::99", "2001:db8:1:2::/64", "127.0.0.1"] {
        let _ = except(&here, &source, json!({ "ip": ip }), until).await.expect(403);
    }
    let _ = except(&here, &source, json!({ "ip": "2001:db8:1:3::7" }), until).await.expect(201);
    let _ = except(&here, &session, json!({ "session_id": sam.session }), until).await.expect(201);
    // A session stays its user's when it has ended; whoever is gone from an address has it no more.
    let _ = there.post("/api/auth/logout", json!({})).await.expect(200);
    let _ = except(&here, &session, json!({ "session_id": there.session }), until).await.expect(403);
    let _ = except(&here, &source, json!({ "ip": "2001:db8:1:2::7" }), until).await.expect(201);
}

#[tokio::test]
async fn an_exception_is_about_what_alerts_of_its_rule_have() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let until = app.now().plus(DAY);
    let (user, source) = (rule(&admin, json!(["user"])).await, rule(&admin, json!(["source_ip"])).await);
    for (rule, given, key) in [
        (&user, json!({ "username": " Robot" }), json!({ "user": "robot" })),
        (&user, json!({ "actor.user.name": "ＲＯＢＯＴ" }), json!({ "user": "robot" })),
        (&user, json!({ "user": 7 }), json!({ "user": "7" })),
        (&source, json!({ "ip": "::ffff:192.0.2.1" }), json!({ "source_ip": "192.0.2.1" })),
        (&source, json!({ "source.ip": "2001:DB8::1" }), json!({ "source_ip": "2001:db8::/64" })),
        (&source, json!({ "src_endpoint.ip": "2001:db8::/64" }), json!({ "source_ip": "2001:db8::/64" })),
    ] {
        let made = except(&admin, rule, given, until).await.expect(201).json();
        assert_eq!(made["exception"]["key"], key);
    }
    for (rule, given, field, words) in [
        (&user, json!({ "resource": "inventory" }), "key.resource", "this rule's key is user"),
        (&user, json!({ "user": "robot", "ip": "192.0.2.1" }), "key.ip", "this rule's key is user"),
        (&user, json!({ "user": "robot", "username": "x" }), "key.username", "the same part of the key as user"),
        (&source, json!({ "user": "robot" }), "key.user", "this rule's key is source_ip"),
        (&source, json!({ "source_ip": "not-an-ip" }), "key.source_ip", "must be an address"),
        (&source, json!({ "ip": "192.0.2.0/24" }), "key.ip", "must be an address"),
    ] {
        let (named, message) = refused(except(&admin, rule, given, until).await);
        assert!(named == field && message.starts_with(field) && message.contains(words), "{named}: {message}");
    }
    let rules = admin.get("/api/rules").await.expect(200).rows();
    let block = rules.iter().find(|rule| rule["reports"] == false).expect("a building block")["id"].clone();
    for (rule, words) in [(block, "a building block"), (json!("other"), "the id of an active rule")] {
        let (field, message) = refused(except(&admin, &rule, json!({ "user": "x" }), until).await);
        assert!(field == "rule_id" && message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn who_reads_the_trail_knows_whom_an_exception_covered() {
    let app = TestApp::builder().frozen("2026-03-02T09:00:00Z").start().await;
    let admin = app.admin().await;
    let (user, until) = (rule(&admin, json!(["user"])).await, app.now().plus(DAY));
    let id = async |name: &str, until| {
        let made = except(&admin, &user, json!({ "user": name }), until).await.expect(201).json();
        made["exception"]["exception_id"].clone()
    };
    let (ended, expired) = (id("robot", until).await, id("Backup", app.now().plus(MINUTE)).await);
    app.pass(MINUTE / 2);
    let _ = admin.delete(&format!("/api/exceptions/{ended}")).await.expect(200);
    let acts = acts(&app).await;
    for (act, did) in [(&acts[0], "Made an exception"), (&acts[2], "Ended the exception")] {
        assert_eq!(act["resource"], format!("exceptions/{ended}"));
        let detail = act["detail"].as_str().expect("a detail");
        let rule = user.as_str().expect("an id");
        assert_eq!(detail, format!("{did} of rule {rule} for user robot until {until}: a nightly job"));
        let told = json!({
            "rule_id": user, "key": { "user": "robot" }, "until": until.to_string(), "reason": "a nightly job",
            "created_by": "admin"
        });
        assert_eq!(act["attributes"], told);
    }
    app.pass(MINUTE);
    let _ = admin.delete(&format!("/api/exceptions/{expired}")).await.expect(404);
    assert!(admin.get("/api/exceptions").await.expect(200).rows().is_empty());
    let all = admin.get("/api/exceptions?all=true").await.expect(200).rows();
    let ends: Vec<_> = all.iter().map(|row| (&row["exception_id"], row["ended_at"].as_str())).collect();
    assert_eq!(ends, [(&expired, None), (&ended, Some("2026-03-02T09:00:30Z"))]);
    let page = admin.get("/api/exceptions?all=true&limit=1").await.expect(200);
    let next = page.header("link").split(['<', '>']).nth(1).expect("a link").to_owned();
    assert_eq!((page.rows().len(), &admin.get(&next).await.expect(200).rows()[0]["exception_id"]), (1, &ended));
    let table = admin.get("/api/exceptions?all=true&format=csv").await.expect(200);
    assert!(table.text().lines().next().is_some_and(|head| head.contains("ended_at")));
}

const PROBED: &str = "title: Probed\nid: 3f1d3c1e-6f0a-4a52-9a40-1c5f7be1a002\nlogsource: {category: activity}\n\
    detection: {selection: {action: Probe}, condition: selection}\nlevel: high\n\
    analytics: {v: 1, key: [src_endpoint.ip, actor.user.name]}\n---\n\
    title: Touched\nid: 3f1d3c1e-6f0a-4a52-9a40-1c5f7be1a003\nlogsource: {category: activity}\n\
    detection: {selection: {action: Touch}, condition: selection}\nlevel: high\n";

#[tokio::test]
async fn a_rule_that_names_its_key_in_other_words_is_excepted_from_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("probed.yml");
    std::fs::write(&file, PROBED).expect("a file");
    let app = TestApp::builder().config(|config| config.rules = vec![file]).start().await;
    let (admin, system) = (app.admin().await, app.system("fw").await);
    let key = json!({ "source_ip": "2001:DB8:1:2::9", "user": "Robot" });
    let made = except(&admin, &json!("3f1d3c1e-6f0a-4a52-9a40-1c5f7be1a002"), key, app.now().plus(DAY)).await;
    let key = json!({ "src_endpoint.ip": "2001:db8:1:2::/64", "actor.user.name": "robot" });
    assert_eq!(made.expect(201).json()["exception"]["key"], key);
    let probe = |user: &str, ip: &str| json!({ "action": "Probe", "user": user, "source_ip": ip });
    let events = json!([probe("ROBOT", "2001:db8:1:2::77"), probe("robot", "2001:db8:1:3::77")]);
    let _ = system.post("/api/logs", events).await.expect(202);
    app.settled().await;
    let of = async |query: &str| {
        let rows = admin.get(&format!("/api/alerts?rule=Probed{query}")).await.expect(200).rows();
        rows.into_iter().map(|alert| alert["key"]["src_endpoint.ip"].clone()).collect::<Vec<_>>()
    };
    let kept_out = of("&suppressed=true").await;
    assert_eq!((kept_out, of("").await), (vec![json!("2001:db8:1:2::/64")], vec![json!("2001:db8:1:3::/64")]));
    // An alert of one event is about a user, else about an address.
    let touched = json!("3f1d3c1e-6f0a-4a52-9a40-1c5f7be1a003");
    let until = app.now().plus(DAY);
    let _ = except(&admin, &touched, json!({ "ip": "192.0.2.1" }), until).await.expect(201);
    let both = json!({ "user": "robot", "ip": "192.0.2.1" });
    let (field, message) = refused(except(&admin, &touched, both, until).await);
    assert!(field == "key.ip" && message.ends_with("user, or source_ip where there is no user"), "{message}");
}

#[tokio::test]
async fn an_attack_that_outlives_its_exception_is_seen() {
    let app = TestApp::start().await;
    let (admin, system) = (app.admin().await, app.system("erp").await);
    let rules = admin.get("/api/rules").await.expect(200).rows();
    let rule = rules.iter().find(|rule| rule["title"] == "Mass deletion").expect("the rule")["id"].clone();
    let made = except(&admin, &rule, json!({ "user": "robot" }), app.now().plus(30 * MINUTE)).await.expect(201).json();
    let delete = async |from: i64| {
        let event = |n| json!({ "action": "Delete", "user": "robot", "resource": format!("inventory/{n}") });
        let _ = system.post("/api/logs", (from..from + 12).map(event).collect()).await.expect(202);
        app.settled().await;
    };
    let seen = async |path: &str| {
        let rows = admin.get(path).await.expect(200).rows();
        rows.into_iter().filter(|row| row["rule"] == "Mass deletion").collect::<Vec<_>>()
    };
    let scored = async || {
        let rows = admin.get("/api/analytics/anomaly-scores").await.expect(200).rows();
        let of = |row: &&Value| row["username"] == "robot" && row.to_string().contains("Mass deletion");
        rows.iter().filter(of).count()
    };
    delete(0).await;
    let hidden = seen("/api/alerts?user=robot&suppressed=true").await;
    assert_eq!((hidden.len(), seen("/api/alerts?user=robot").await.len()), (1, 0));
    assert_eq!((seen("/api/analytics/flagged-activities").await.len(), scored().await), (0, 0));
    let _ = admin.delete(&format!("/api/exceptions/{}", made["exception"]["exception_id"])).await.expect(200);
    assert_eq!(seen("/api/alerts?user=robot").await.len(), 0, "so far it has all happened while it stood");
    delete(12).await;
    let shown = seen("/api/alerts?user=robot").await;
    assert_eq!((shown.len(), &shown[0]["alert_id"]), (1, &hidden[0]["alert_id"]));
    assert_eq!((&shown[0]["suppressed"], &shown[0]["exception_id"]), (&json!(false), &Value::Null));
    assert!(seen("/api/alerts?user=robot&suppressed=true").await.is_empty());
    assert_eq!(seen("/api/analytics/flagged-activities").await.len(), 1);
    assert_eq!(scored().await, 1);
}
