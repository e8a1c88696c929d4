//! Webhooks: who is told what of an alert, in the same transaction, and what becomes of it.

use domain::{Alert, AlertState, DAY, MINUTE, SECOND, Severity};
use serde_json::Value;
use store::{
    Attempted, DeliveryRow, DeliveryState, Error, MOST_WEBHOOKS, NewWebhook, Next, WebhookChange, WebhookFormat,
    WebhookRow,
};

use crate::harness::Ground;
use crate::sample::{alert, at, change, detect, detect_changes, raised};

crate::on_both_engines!(
    a_webhook_is_made_changed_and_removed,
    there_is_an_end_to_webhooks,
    what_happens_is_told_once,
    each_webhook_hears_what_it_wants_to,
    what_is_taken_back_is_told_to_those_who_heard_of_it,
    signals_and_what_is_suppressed_are_not_told,
    what_reprocess_finds_in_the_past_wakes_nobody,
    a_find_that_is_not_stored_is_not_told,
    an_attempt_leaves_its_mark,
    what_was_given_up_is_sent_again_on_demand,
    a_webhook_that_is_off_is_told_nothing_and_its_messages_end,
    an_old_secret_signs_for_a_day,
    old_deliveries_are_forgotten,
);

pub(crate) async fn webhook(ground: &Ground, name: &str, minimum_severity: Severity) -> WebhookRow {
    let new = NewWebhook {
        name: name.to_owned(),
        url: format!("https://example.org/{name}/secret"),
        shown_url: "https://example.org/…".to_owned(),
        format: WebhookFormat::Standard,
        secret: format!("whsec_{name}"),
        minimum_severity,
        created_by: "ann".to_owned(),
    };
    let activity = ground.activity("Admin");
    ground.store.create_webhook(new, move |_| activity).await.expect("a webhook")
}

async fn deliveries(ground: &Ground, webhook: &WebhookRow) -> Vec<DeliveryRow> {
    let mut rows = ground.store.webhook_deliveries(webhook.webhook_id, None, None, 100).await.expect("deliveries");
    rows.reverse();
    rows
}

pub(crate) async fn told(ground: &Ground, webhook: &WebhookRow) -> Vec<String> {
    deliveries(ground, webhook).await.into_iter().map(|row| row.event).collect()
}

fn attempted(
    webhook: &WebhookRow,
    delivery_id: i64,
    status: Option<u16>,
    error: Option<&str>,
    next: Next,
) -> Attempted {
    Attempted { webhook_id: webhook.webhook_id, delivery_id, status, error: error.map(str::to_owned), next }
}

async fn a_webhook_is_made_changed_and_removed(ground: Ground) {
    let store = &ground.store;
    let made = webhook(&ground, "chat", Severity::Medium).await;
    assert_eq!(store.webhook(made.webhook_id).await.expect("read"), Some(made.clone()));
    assert!(made.enabled && made.minimum_severity == Severity::Medium && made.created_by == "ann");
    let other = webhook(&ground, "soc", Severity::Low).await;
    let named = |name: &str| WebhookChange { name: Some(name.to_owned()), ..WebhookChange::default() };
    let taken = store.update_webhook(other.webhook_id, named("chat"), ground.activity("Admin")).await;
    assert!(matches!(taken, Err(Error::Duplicate)));
    let change = WebhookChange {
        url: Some(("https://example.net/x".to_owned(), "https://example.net/…".to_owned())),
        minimum_severity: Some(Severity::Critical),
        enabled: Some(Err("by ann".to_owned())),
        ..named("siem")
    };
    let changed = store.update_webhook(other.webhook_id, change, ground.activity("Admin")).await.expect("changed");
    assert_eq!((changed.name.as_str(), changed.shown_url.as_str()), ("siem", "https://example.net/…"));
    assert_eq!((changed.enabled, changed.disabled_reason.as_deref()), (false, Some("by ann")));
    let target = store.webhook_target(other.webhook_id).await.expect("read").expect("a target");
    assert_eq!(
        (target.url.as_str(), target.secrets.as_slice()),
        ("https://example.net/x", &["whsec_soc".to_owned()][..])
    );
    assert!(!format!("{target:?}").contains("example") && !format!("{target:?}").contains("whsec"), "{target:?}");
    let names: Vec<String> = store.webhooks().await.expect("list").into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["chat", "siem"]);

    detect(&ground, vec![alert(1, "ada", Severity::High, 1, 0)]).await;
    store.delete_webhook(made.webhook_id, ground.activity("Admin")).await.expect("removed");
    assert!(deliveries(&ground, &made).await.is_empty());
    assert_eq!(store.outbox_status().await.expect("status").pending, 0);
    let gone = store.delete_webhook(made.webhook_id, ground.activity("Admin")).await;
    assert!(matches!(gone, Err(Error::NotFound)));
    let again = webhook(&ground, "chat", Severity::Low).await;
    assert!(again.webhook_id > other.webhook_id, "an id is never given twice");
    let missing = store.update_webhook(9_999, WebhookChange::default(), ground.activity("Admin")).await;
    assert!(matches!(missing, Err(Error::NotFound)));
}

async fn there_is_an_end_to_webhooks(ground: Ground) {
    for n in 0..MOST_WEBHOOKS {
        webhook(&ground, &format!("w{n}"), Severity::Critical).await;
    }
    let new = NewWebhook {
        name: "one too many".into(),
        url: "https://example.org/".into(),
        shown_url: "https://example.org/".into(),
        format: WebhookFormat::Slack,
        secret: "whsec_".into(),
        minimum_severity: Severity::Low,
        created_by: "ann".into(),
    };
    let activity = ground.activity("Admin");
    let refused = ground.store.create_webhook(new, move |_| activity).await;
    assert!(matches!(refused, Err(Error::Conflict(said)) if said.contains("50")));
}

async fn what_happens_is_told_once(ground: Ground) {
    let chat = webhook(&ground, "chat", Severity::Low).await;
    let low = alert(1, "ada", Severity::Low, 1, 0);
    detect_changes(&ground, vec![change(low.clone(), Severity::Low)]).await;
    // The same once more, and more of the same: nothing that somebody has to know.
    detect_changes(&ground, vec![change(low.clone(), Severity::Low)]).await;
    let more = Alert { observed: 4.0, event_count: 4, last_event_at: at(1), ..low.clone() };
    detect_changes(&ground, vec![change(more, Severity::Low)]).await;
    assert_eq!(told(&ground, &chat).await, ["alert.opened"]);
    let high = raised(low.clone(), Severity::High, 2);
    detect_changes(&ground, vec![change(high.clone(), Severity::Low)]).await;
    // The next multiple of the threshold at the same severity notifies again.
    let further = raised(high.clone(), Severity::High, 3);
    detect_changes(&ground, vec![change(further.clone(), Severity::Low)]).await;
    detect_changes(&ground, vec![change(further.clone(), Severity::Low)]).await;
    let closed = Alert { state: AlertState::Closed, ..further };
    detect_changes(&ground, vec![change(closed, Severity::Low)]).await;
    assert_eq!(told(&ground, &chat).await, ["alert.opened", "alert.escalated", "alert.escalated"]);

    let rows = deliveries(&ground, &chat).await;
    assert!(rows.iter().all(|row| row.state == DeliveryState::Pending && row.attempts == 0));
    assert_eq!(rows.iter().map(|row| row.revision).collect::<Vec<_>>(), [1, 4, 5]);
    assert!(rows[0].message_id != rows[1].message_id && rows[1].message_id != rows[2].message_id);
    let due = ground.store.due_deliveries(chat.webhook_id, 100).await.expect("due");
    let (opened, escalated): (Value, Value) =
        (serde_json::from_str(&due[0].document).expect("json"), serde_json::from_str(&due[1].document).expect("json"));
    assert_eq!((&opened["severity"], &escalated["severity"]), (&"Low".into(), &"High".into()), "as it stood then");
    assert_eq!((&opened["alert_id"], &opened["status"]), (&low.alert_id.to_string().into(), &"open".into()));
    assert!(opened["assignee"].is_null() && opened["updated_at"].is_string() && opened.get("exception_id").is_some());
}

async fn each_webhook_hears_what_it_wants_to(ground: Ground) {
    let all = webhook(&ground, "all", Severity::Low).await;
    let high = webhook(&ground, "high", Severity::High).await;
    let medium = alert(1, "ada", Severity::Medium, 1, 0);
    detect(&ground, vec![medium.clone()]).await;
    assert_eq!((told(&ground, &all).await.len(), told(&ground, &high).await.len()), (1, 0));
    detect_changes(&ground, vec![change(raised(medium, Severity::High, 1), Severity::Medium)]).await;
    assert_eq!(told(&ground, &high).await, ["alert.escalated"], "now it is worth a message");
    assert_eq!(told(&ground, &all).await, ["alert.opened", "alert.escalated"]);
    let (of_all, of_high) = (deliveries(&ground, &all).await, deliveries(&ground, &high).await);
    assert_ne!(of_all[1].message_id, of_high[0].message_id, "a receiver of both takes both");
    let row = ground.store.webhook(all.webhook_id).await.expect("read").expect("there");
    assert_eq!((row.pending, row.dead), (2, 0));
}

async fn what_is_taken_back_is_told_to_those_who_heard_of_it(ground: Ground) {
    let all = webhook(&ground, "all", Severity::Low).await;
    let critical = webhook(&ground, "critical", Severity::Critical).await;
    let (one, two) = (alert(1, "ada", Severity::Medium, 1, 0), alert(2, "bob", Severity::Medium, 2, 0));
    detect(&ground, vec![one.clone(), two.clone()]).await;
    let gone = Alert { state: AlertState::Retracted, ..one.clone() };
    let merged = Alert { state: AlertState::Merged, merged_into: Some(one.alert_id), ..two };
    detect(&ground, vec![gone.clone(), merged]).await;
    detect(&ground, vec![gone]).await;
    assert_eq!(told(&ground, &all).await, ["alert.opened", "alert.opened", "alert.retracted", "alert.retracted"]);
    assert!(told(&ground, &critical).await.is_empty());
    // It was one after all.
    detect(&ground, vec![one]).await;
    assert_eq!(told(&ground, &all).await.last().map(String::as_str), Some("alert.opened"));
}

async fn signals_and_what_is_suppressed_are_not_told(ground: Ground) {
    let all = webhook(&ground, "all", Severity::Low).await;
    let known = store::NewException {
        rule_id: "rule-2".into(),
        key: [("user".to_owned(), "bob".to_owned())].into(),
        until: at(100),
        reason: "known".into(),
        by_user: "ann".into(),
    };
    let activity = ground.activity("Admin");
    ground.store.create_exception(known, move |_| activity).await.expect("an exception");
    let signal = alert(1, "ada", Severity::Informational, 1, 0);
    let known = alert(2, "bob", Severity::High, 2, 0);
    detect(&ground, vec![signal.clone(), known.clone()]).await;
    detect_changes(&ground, vec![change(raised(known, Severity::Critical, 1), Severity::High)]).await;
    assert!(told(&ground, &all).await.is_empty());
    let alert = Alert { severity: Severity::Medium, risk: 47, ..signal };
    detect(&ground, vec![alert]).await;
    assert_eq!(told(&ground, &all).await, ["alert.opened"], "a signal that has become an alert is new in the queue");
}

async fn what_reprocess_finds_in_the_past_wakes_nobody(ground: Ground) {
    let all = webhook(&ground, "all", Severity::Low).await;
    let found = |n, minutes| {
        let alert = Alert { found_by: "reprocess".into(), ..alert(n, "ada", Severity::High, n, minutes) };
        change(alert, Severity::High)
    };
    let (old, new) = (found(1, -2 * 24 * 60), found(2, -60));
    let stored = ground.store.store_alerts(vec![old, new.clone()]).await.expect("stored");
    assert_eq!(stored.new.len(), 2);
    let rows = deliveries(&ground, &all).await;
    assert_eq!(rows.iter().map(|row| row.alert_id).collect::<Vec<_>>(), [new.alert.alert_id]);
    ground.store.store_alerts(vec![new]).await.expect("known");
    assert_eq!(deliveries(&ground, &all).await.len(), 1);
}

async fn a_find_that_is_not_stored_is_not_told(ground: Ground) {
    let all = webhook(&ground, "all", Severity::Low).await;
    let batch = store::DetectionBatch {
        step: store::Move::journal(77, 78),
        changes: vec![change(alert(1, "ada", Severity::High, 1, 0), Severity::High)],
        ..store::DetectionBatch::default()
    };
    assert!(ground.store.apply_detection(batch).await.is_err(), "the offset is another's");
    assert!(told(&ground, &all).await.is_empty());
}

async fn an_attempt_leaves_its_mark(ground: Ground) {
    let store = &ground.store;
    let all = webhook(&ground, "all", Severity::Low).await;
    detect(&ground, vec![alert(1, "ada", Severity::High, 1, 0), alert(2, "bob", Severity::High, 2, 0)]).await;
    assert_eq!(store.webhooks_with_due().await.expect("due"), [all.webhook_id]);
    let due = store.due_deliveries(all.webhook_id, 1).await.expect("due");
    assert_eq!((due.len(), due[0].attempts, due[0].give_up_at), (1, 0, store.now().plus(DAY)));
    let first = due[0].delivery_id;
    let failed = attempted(&all, first, Some(500), Some("answered 500"), Next::At(store.now().plus(5 * SECOND)));
    assert!(store.webhook_attempted(failed).await.expect("recorded"));
    let row = store.webhook(all.webhook_id).await.expect("read").expect("there");
    assert_eq!((row.failing_since, row.last_error.as_deref()), (Some(store.now()), Some("answered 500")));
    let due: Vec<i64> =
        store.due_deliveries(all.webhook_id, 9).await.expect("due").iter().map(|due| due.delivery_id).collect();
    assert_eq!(due.len(), 1, "the other one");
    ground.clock.advance(5 * SECOND);
    let both = store.due_deliveries(all.webhook_id, 9).await.expect("due");
    assert_eq!(both.iter().map(|due| due.attempts).collect::<Vec<_>>(), [0, 1]);
    assert!(store.webhook_attempted(attempted(&all, first, Some(204), None, Next::Delivered)).await.expect("recorded"));
    assert!(!store.webhook_attempted(attempted(&all, first, None, Some("x"), Next::Dead)).await.expect("known"));
    let row = store.webhook(all.webhook_id).await.expect("read").expect("there");
    assert_eq!((row.failing_since, row.last_error, row.last_success_at), (None, None, Some(store.now())));
    let rows = store.webhook_deliveries(all.webhook_id, Some(DeliveryState::Delivered), None, 9).await.expect("rows");
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].attempts, rows[0].last_status, rows[0].next_at), (2, Some(204), None));
    let status = store.outbox_status().await.expect("status");
    assert_eq!((status.pending, status.oldest, status.dead), (1, Some(at(0)), 0));
    let older = store.webhook_deliveries(all.webhook_id, None, Some(rows[0].delivery_id + 1), 1).await.expect("rows");
    assert_eq!(older[0].delivery_id, rows[0].delivery_id, "pages go by the id");
}

async fn what_was_given_up_is_sent_again_on_demand(ground: Ground) {
    let store = &ground.store;
    let all = webhook(&ground, "all", Severity::Low).await;
    detect(&ground, vec![alert(1, "ada", Severity::High, 1, 0)]).await;
    let id = deliveries(&ground, &all).await[0].delivery_id;
    let again = || store.retry_delivery(all.webhook_id, id, ground.activity("Admin"));
    assert!(matches!(again().await, Err(Error::Conflict(said)) if said.contains("pending")));
    assert!(store.webhook_attempted(attempted(&all, id, None, Some("no"), Next::Dead)).await.expect("recorded"));
    assert_eq!(store.webhook(all.webhook_id).await.expect("read").expect("there").dead, 1);
    assert!(store.due_deliveries(all.webhook_id, 9).await.expect("due").is_empty());
    ground.clock.advance(2 * DAY);
    again().await.expect("sent again");
    let due = store.due_deliveries(all.webhook_id, 9).await.expect("due");
    assert_eq!((due[0].attempts, due[0].give_up_at), (0, store.now().plus(DAY)));
    let missing = store.retry_delivery(all.webhook_id + 1, id, ground.activity("Admin")).await;
    assert!(matches!(missing, Err(Error::NotFound)));
}

async fn a_webhook_that_is_off_is_told_nothing_and_its_messages_end(ground: Ground) {
    let store = &ground.store;
    let all = webhook(&ground, "all", Severity::Low).await;
    detect(&ground, vec![alert(1, "ada", Severity::High, 1, 0)]).await;
    let before = store.journal_page(0, 100).await.expect("journal").len();
    assert!(store.disable_webhook(all.webhook_id, "gone".into(), ground.activity("Admin")).await.expect("off"));
    assert!(!store.disable_webhook(all.webhook_id, "gone".into(), ground.activity("Admin")).await.expect("off"));
    assert_eq!(store.journal_page(0, 100).await.expect("journal").len(), before + 1, "one activity for one act");
    assert!(store.webhooks_with_due().await.expect("due").is_empty());
    detect(&ground, vec![alert(2, "bob", Severity::High, 2, 0)]).await;
    assert_eq!(told(&ground, &all).await.len(), 1, "what happens meanwhile is not told");
    assert_eq!(store.expire_deliveries().await.expect("nothing yet"), 0);
    let on = || WebhookChange { enabled: Some(Ok(())), ..WebhookChange::default() };
    let row = store.update_webhook(all.webhook_id, on(), ground.activity("Admin")).await.expect("on");
    assert_eq!((row.enabled, row.disabled_reason), (true, None));
    assert_eq!(store.webhooks_with_due().await.expect("due"), [all.webhook_id], "what waited goes on");
    ground.clock.advance(DAY);
    assert_eq!(store.expire_deliveries().await.expect("it is tried once more"), 0);
    assert!(store.disable_webhook(all.webhook_id, "gone".into(), ground.activity("Admin")).await.expect("off"));
    assert_eq!(store.expire_deliveries().await.expect("expired"), 1);
    let row = &deliveries(&ground, &all).await[0];
    assert_eq!((row.state, row.last_error.as_deref()), (DeliveryState::Dead, Some("the webhook was disabled")));
}

async fn an_old_secret_signs_for_a_day(ground: Ground) {
    let store = &ground.store;
    let all = webhook(&ground, "all", Severity::Low).await;
    let rotate = |to: &str| store.rotate_webhook_secret(all.webhook_id, to.to_owned(), ground.activity("Admin"));
    rotate("whsec_new").await.expect("changed");
    let secrets = async || store.webhook_target(all.webhook_id).await.expect("read").expect("a target").secrets;
    assert_eq!(secrets().await, ["whsec_new", "whsec_all"]);
    // A third would end the first, which the receiver may still have.
    let early = rotate("whsec_third").await;
    assert!(matches!(&early, Err(Error::Conflict(sentence)) if sentence.contains("signs until")), "{early:?}");
    ground.clock.advance(DAY - MINUTE);
    assert_eq!(secrets().await, ["whsec_new", "whsec_all"]);
    ground.clock.advance(MINUTE);
    assert_eq!(secrets().await, ["whsec_new"]);
    rotate("whsec_third").await.expect("a day later");
    assert_eq!(secrets().await, ["whsec_third", "whsec_new"]);
    let missing = store.rotate_webhook_secret(9_999, "x".into(), ground.activity("Admin")).await;
    assert!(matches!(missing, Err(Error::NotFound)));
}

async fn old_deliveries_are_forgotten(ground: Ground) {
    let store = &ground.store;
    let all = webhook(&ground, "all", Severity::Low).await;
    let alerts = (1..=6).map(|n| alert(n, "ada", Severity::High, n, 0)).collect();
    detect(&ground, alerts).await;
    for (at, row) in deliveries(&ground, &all).await.iter().enumerate() {
        let next = if at < 4 { Next::Delivered } else { Next::Dead };
        let error = (next == Next::Dead).then_some("no");
        assert!(store.webhook_attempted(attempted(&all, row.delivery_id, None, error, next)).await.expect("recorded"));
    }
    let purge = |state, before, chunk| store.purge_deliveries(state, before, chunk);
    assert_eq!(purge(DeliveryState::Delivered, store.now(), 9).await.expect("purged"), 0, "not that old");
    ground.clock.advance(MINUTE);
    assert_eq!(purge(DeliveryState::Delivered, store.now(), 3).await.expect("purged"), 3);
    assert_eq!(purge(DeliveryState::Delivered, store.now(), 3).await.expect("purged"), 1);
    assert_eq!(purge(DeliveryState::Pending, store.now(), 3).await.expect("purged"), 0);
    assert_eq!(deliveries(&ground, &all).await.len(), 2, "the dead are kept");
}
