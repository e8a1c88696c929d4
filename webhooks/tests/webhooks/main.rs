//! The worker against receivers on this machine: what is sent, what is sent again, and what is not.

mod receiver;
mod scene;

use std::time::Duration;

use domain::{DAY, HOUR, MINUTE, SECOND, Severity};
use serde_json::Value;
use store::{DeliveryState, WebhookFormat};

use receiver::{Receiver, Reply};
use scene::{Database, Scene, verified};

#[tokio::test]
async fn an_alert_is_told_signed() {
    let scene = Scene::new().await;
    let receiver = Receiver::start(|_| Reply::Status(204)).await;
    let webhook = scene.webhook("soc", &receiver.url("/hook?token=secret"), WebhookFormat::Standard).await;
    let alert = scene.raise("ada", Severity::High).await;
    let worker = scene.work();
    let request = receiver.next().await;
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook?token=secret"));
    assert_eq!(request.header("content-type"), "application/json");
    assert!(request.header("user-agent").starts_with("security-analytics/"));
    verified(&request, &scene.secret(&webhook).await);
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    assert_eq!(body["type"], "alert.opened");
    assert_eq!(body["timestamp"], scene.now().to_string());
    assert_eq!(body["data"]["alert_id"], alert.alert_id.to_string());
    assert_eq!((&body["data"]["severity"], &body["data"]["user"]), (&"High".into(), &"ada".into()));
    let row = scene.settled(&webhook, DeliveryState::Delivered).await;
    assert_eq!((row.attempts, row.last_status, row.last_error), (1, Some(204), None));
    assert_eq!(row.message_id.to_string(), request.header("webhook-id"));
    assert_eq!(receiver.count(), 1);
    worker.end().await;
}

#[tokio::test]
async fn slack_gets_a_line_of_text() {
    let scene = Scene::with(|settings| settings.public_url = Some("https://analytics.example.org".into())).await;
    let receiver = Receiver::start(|_| Reply::Status(200)).await;
    scene.webhook("chat", &receiver.url("/services/T0/B0/x"), WebhookFormat::Slack).await;
    let alert = scene.raise("ada", Severity::Critical).await;
    let worker = scene.work();
    let body: Value = serde_json::from_slice(&receiver.next().await.body).expect("JSON");
    let link = format!("<https://analytics.example.org/#/alerts/{}|Look at it>", alert.alert_id);
    assert_eq!(body["text"], format!("*Critical alert*: Rule: `ada did it` {link}"));
    worker.end().await;
}

#[tokio::test]
async fn what_failed_is_sent_again_under_the_same_id() {
    let scene = Scene::new().await;
    let receiver = Receiver::start(|n| Reply::Status(if n == 0 { 500 } else { 200 })).await;
    let webhook = scene.webhook("soc", &receiver.url("/"), WebhookFormat::Standard).await;
    scene.raise("ada", Severity::High).await;
    let worker = scene.work();
    let first = receiver.next().await;
    let row = scene.eventually(&webhook, |row| row.attempts == 1).await;
    assert_eq!((row.state, row.last_status), (DeliveryState::Pending, Some(500)));
    assert_eq!(row.last_error.as_deref(), Some("answered 500 Internal Server Error"));
    let wait = row.next_at.expect("a time").since(scene.now());
    assert!((4 * SECOND..=6 * SECOND).contains(&wait), "{wait}");
    let failing = scene.store.webhook(webhook).await.expect("read").expect("there");
    assert_eq!((failing.failing_since, failing.pending), (Some(scene.now()), 1));
    // Not before its time.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(receiver.count(), 1);
    scene.clock.advance(6 * SECOND);
    let second = receiver.next().await;
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(first.body, second.body);
    assert_ne!(first.header("webhook-timestamp"), second.header("webhook-timestamp"), "signed anew");
    verified(&second, &scene.secret(&webhook).await);
    scene.settled(&webhook, DeliveryState::Delivered).await;
    assert_eq!(scene.store.webhook(webhook).await.expect("read").expect("there").failing_since, None);
    worker.end().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_not_asked_again() {
    let scene = Scene::new().await;
    let receiver = Receiver::start(|_| Reply::Status(410)).await;
    let webhook = scene.webhook("soc", &receiver.url("/"), WebhookFormat::Standard).await;
    scene.raise("ada", Severity::High).await;
    let worker = scene.work();
    scene.settled(&webhook, DeliveryState::Dead).await;
    let disabled = async || !scene.store.webhook(webhook).await.expect("read").expect("there").enabled;
    while !disabled().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let row = scene.store.webhook(webhook).await.expect("read").expect("there");
    assert_eq!(row.disabled_reason.as_deref(), Some("its receiver answered 410 Gone"));
    let acts = scene.activities().await;
    assert_eq!(acts.last().and_then(|act| act.resource.clone()), Some(format!("webhooks/{webhook}")));
    scene.raise("bob", Severity::High).await;
    scene.clock.advance(HOUR);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(receiver.count(), 1);
    worker.end().await;
}

#[tokio::test]
async fn a_redirect_leads_nowhere() {
    let scene = Scene::new().await;
    let elsewhere = Receiver::start(|_| Reply::Status(200)).await;
    let to = elsewhere.url("/stolen");
    let receiver = Receiver::start(move |_| Reply::Redirect(to.clone())).await;
    let webhook = scene.webhook("soc", &receiver.url("/"), WebhookFormat::Standard).await;
    scene.raise("ada", Severity::High).await;
    let worker = scene.work();
    let row = scene.eventually(&webhook, |row| row.attempts == 1).await;
    assert_eq!(row.last_error.as_deref(), Some("answered 307: redirects are not followed"));
    assert_eq!((receiver.count(), elsewhere.count()), (1, 0));
    worker.end().await;
}

#[tokio::test]
async fn one_that_is_slow_holds_up_nobody_else() {
    let scene = Scene::new().await;
    let slow = Receiver::start(|_| Reply::Never).await;
    let quick = Receiver::start(|_| Reply::Status(200)).await;
    scene.webhook("slow", &slow.url("/"), WebhookFormat::Standard).await;
    let fine = scene.webhook("quick", &quick.url("/"), WebhookFormat::Standard).await;
    for n in 0..20 {
        scene.raise(&format!("u{n}"), Severity::High).await;
    }
    let worker = scene.work();
    for _ in 0..20 {
        quick.next().await;
    }
    let told = async || scene.store.webhook(fine).await.expect("read").expect("there").pending == 0;
    while !told().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(slow.count(), 4, "it has its places and no more");
    worker.end().await;
}

#[tokio::test]
async fn one_that_does_not_answer_is_left() {
    let scene = Scene::with(|settings| settings.timeout = Duration::from_millis(300)).await;
    let receiver = Receiver::start(|_| Reply::Never).await;
    let webhook = scene.webhook("slow", &receiver.url("/"), WebhookFormat::Standard).await;
    scene.raise("ada", Severity::High).await;
    let worker = scene.work();
    let row = scene.eventually(&webhook, |row| row.attempts == 1).await;
    assert_eq!((row.last_status, row.last_error.as_deref()), (None, Some("no answer within 0.3 s")));
    worker.end().await;
}

#[tokio::test]
async fn an_answer_without_an_end_is_left() {
    let scene = Scene::new().await;
    let receiver = Receiver::start(|_| Reply::Endless).await;
    let webhook = scene.webhook("chatty", &receiver.url("/"), WebhookFormat::Standard).await;
    scene.raise("ada", Severity::High).await;
    let worker = scene.work();
    let row = scene.settled(&webhook, DeliveryState::Delivered).await;
    assert_eq!(row.last_status, Some(200));
    worker.end().await;
}

#[tokio::test]
async fn who_dies_before_it_is_recorded_sends_it_again_under_the_same_id() {
    let scene = Scene::new().await;
    // The first is taken, but the answer never comes: the process dies meanwhile.
    let receiver = Receiver::start(|n| if n == 0 { Reply::Never } else { Reply::Status(200) }).await;
    let webhook = scene.webhook("soc", &receiver.url("/"), WebhookFormat::Standard).await;
    scene.raise("ada", Severity::High).await;
    let worker = scene.work();
    let first = receiver.next().await;
    worker.kill().await;
    let worker = scene.work();
    let second = receiver.next().await;
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(first.body, second.body);
    let row = scene.settled(&webhook, DeliveryState::Delivered).await;
    assert_eq!(row.attempts, 1, "nobody knows of the first");
    worker.end().await;
}

#[tokio::test]
async fn an_end_does_not_wait_for_who_is_slow() {
    // Longer than the end may take, on any machine.
    let scene = Scene::with(|settings| settings.timeout = Duration::from_secs(600)).await;
    let receiver = Receiver::start(|_| Reply::Never).await;
    let webhook = scene.webhook("slow", &receiver.url("/"), WebhookFormat::Standard).await;
    scene.raise("ada", Severity::High).await;
    let worker = scene.work();
    receiver.next().await;
    let begun = std::time::Instant::now();
    worker.end().await;
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    let row = scene.eventually(&webhook, |_| true).await;
    assert_eq!((row.state, row.attempts), (DeliveryState::Pending, 0), "the next start sends it again");
}

#[tokio::test]
async fn what_nobody_takes_for_a_day_is_given_up_and_can_be_sent_again() {
    let scene = Scene::new().await;
    let receiver = Receiver::start(|n| Reply::Status(if n < 8 { 503 } else { 200 })).await;
    let webhook = scene.webhook("soc", &receiver.url("/"), WebhookFormat::Standard).await;
    scene.raise("ada", Severity::High).await;
    let begun = scene.now();
    let worker = scene.work();
    for attempts in 1..=7 {
        let row = scene.eventually(&webhook, |row| row.attempts == attempts).await;
        let next = row.next_at.expect("it is tried again");
        scene.clock.set(next);
    }
    assert_eq!(scene.now().since(begun), DAY, "the last attempt is made when the day is over");
    let row = scene.settled(&webhook, DeliveryState::Dead).await;
    assert_eq!((row.attempts, row.last_error.as_deref()), (8, Some("answered 503 Service Unavailable")));
    assert_eq!(scene.store.outbox_status().await.expect("status").dead, 1);
    scene.clock.advance(DAY);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(receiver.count(), 8);
    let act = domain::Activity::new(domain::ids::event_id(scene.now()), "Admin", scene.now());
    scene.store.retry_delivery(webhook, row.delivery_id, act).await.expect("sent again");
    let row = scene.settled(&webhook, DeliveryState::Delivered).await;
    assert_eq!((row.attempts, receiver.count()), (1, 9));
    worker.end().await;
}

#[tokio::test]
async fn a_receiver_may_ask_for_patience() {
    let scene = Scene::new().await;
    let receiver = Receiver::start(|_| Reply::After(429, "120")).await;
    let webhook = scene.webhook("soc", &receiver.url("/"), WebhookFormat::Standard).await;
    scene.raise("ada", Severity::High).await;
    let worker = scene.work();
    let row = scene.eventually(&webhook, |row| row.attempts == 1).await;
    let wait = row.next_at.expect("a time").since(scene.now());
    assert!((120 * SECOND..=144 * SECOND).contains(&wait), "{wait}");
    let date = Receiver::start(|_| Reply::After(503, "Mon, 02 Mar 2026 09:10:00 GMT")).await;
    let other = scene.webhook("other", &date.url("/"), WebhookFormat::Standard).await;
    scene.raise("bob", Severity::High).await;
    let row = scene.eventually(&other, |row| row.attempts == 1).await;
    let wait = row.next_at.expect("a time").since(scene.now());
    assert!((10 * MINUTE..=12 * MINUTE).contains(&wait), "{wait}");
    worker.end().await;
}

#[tokio::test]
async fn one_that_asks_to_be_left_alone_is_told_nothing_for_so_long() {
    let scene = Scene::new().await;
    // One of a burst, and no more until somebody has waited.
    let receiver = Receiver::start(|n| if n == 1 { Reply::After(429, "30") } else { Reply::Status(200) }).await;
    let webhook = scene.webhook("chat", &receiver.url("/"), WebhookFormat::Slack).await;
    scene.raise("ada", Severity::High).await;
    let worker = scene.work();
    scene.settled(&webhook, DeliveryState::Delivered).await;
    scene.raise("bob", Severity::High).await;
    let failed = async || scene.store.webhook(webhook).await.expect("read").expect("there").last_error;
    while failed().await.is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    scene.raise("eve", Severity::High).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(receiver.count(), 2, "a message that would fail as well is not sent");
    scene.clock.advance(40 * SECOND);
    let told = async || scene.store.webhook(webhook).await.expect("read").expect("there").pending == 0;
    while !told().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(receiver.count(), 4);
    worker.end().await;
}

#[tokio::test]
async fn a_network_that_is_not_allowed_any_more_is_not_reached() {
    let scene = Scene::with(|settings| settings.networks = webhooks::Networks::default()).await;
    let receiver = Receiver::start(|_| Reply::Status(200)).await;
    let literal = scene.webhook("literal", &receiver.url("/secret"), WebhookFormat::Standard).await;
    let named = receiver.url("/secret").replace("127.0.0.1", "localhost");
    let named = scene.webhook("named", &named, WebhookFormat::Standard).await;
    scene.raise("ada", Severity::High).await;
    let worker = scene.work();
    for webhook in [literal, named] {
        let row = scene.eventually(&webhook, |row| row.attempts == 1).await;
        let said = row.last_error.expect("a reason");
        assert!(said.contains("WEBHOOK_ALLOWED_NETWORKS") && !said.contains("secret"), "{said}");
    }
    assert_eq!(receiver.count(), 0);
    worker.end().await;
}

#[tokio::test]
async fn what_cannot_be_reached_is_told_in_words_without_the_secret() {
    let scene = Scene::new().await;
    // Nobody listens there, and nobody else is given it.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let closed = socket.local_addr().expect("an address");
    let silent = Receiver::start(|_| Reply::Nonsense).await;
    let plain = silent.url("/secret").replace("http://", "https://");
    for (name, url, said) in [
        ("closed", format!("http://{closed}/secret"), "the connection was refused"),
        ("nonsense", silent.url("/secret"), "the connection ended without an answer in HTTP"),
        ("plain", plain, "TLS: received corrupt message of type InvalidContentType"),
        ("nowhere", "https://receiver.invalid/secret".to_owned(), "its name cannot be resolved"),
    ] {
        let webhook = scene.webhook(name, &url, WebhookFormat::Standard).await;
        scene.raise(name, Severity::High).await;
        let worker = scene.work();
        let row = scene.eventually(&webhook, |row| row.attempts == 1).await;
        assert_eq!(row.last_error.as_deref(), Some(said), "{name}");
        worker.end().await;
    }
}

#[tokio::test]
async fn of_two_processes_one_tells_and_the_other_takes_over() {
    let Some(database) = Database::new().await else { return };
    let (one, other) = (database.process().await, database.process().await);
    let receiver = Receiver::start(|_| Reply::Status(204)).await;
    let webhook = one.webhook("soc", &receiver.url("/"), WebhookFormat::Standard).await;
    one.raise("ada", Severity::High).await;
    let leads = one.work();
    receiver.next().await;
    let stands_by = other.work();
    for n in 0..10 {
        other.raise(&format!("u{n}"), Severity::High).await;
    }
    let told = async || one.store.webhook(webhook).await.expect("read").expect("there").pending == 0;
    while !told().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(receiver.count(), 11, "each once");
    leads.end().await;
    one.raise("bob", Severity::High).await;
    while !told().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(receiver.count(), 12);
    stands_by.end().await;
    one.store.close().await;
    other.store.close().await;
    database.gone().await;
}
