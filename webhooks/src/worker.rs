//! What is due → requests → what came of them, while this process leads.
//!
//! Each webhook has so many places and no more, so a receiver that is slow holds up its own messages and nobody else's. One
//! that asks to be left alone is told nothing for so long, or a burst would use up the attempts of many messages (Slack takes
//! one a second).
//! What came of an attempt is recorded before the message can be due again; whoever dies between the two sends it once
//! more under the same id.

use std::collections::HashMap;
use std::time::Duration;

use domain::{Activity, LogType, MINUTE, Timestamp, ids, metric};
use metrics::counter;
use store::{Attempted, DueDelivery, Lease, Next, Store, WebhookTarget};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::schedule;
use crate::send::Sender;

/// Name of the lock.
const LEAD: &str = "webhooks";
/// How often who stands by asks for the lead.
const STAND_BY: Duration = Duration::from_secs(5);
/// How often the outbox is looked at: other processes, which write to it, tell nobody.
const IDLE: Duration = Duration::from_millis(500);
/// How long to wait after a database that failed.
const AGAIN: Duration = Duration::from_secs(5);
/// Requests of one webhook at once.
const AT_ONCE: usize = 4;
/// How long what is under way may take when the process is to end; what takes longer is sent again at the next start.
const GRACE: Duration = Duration::from_secs(1);
/// How often what nobody tries is looked at, in microseconds.
const SWEEP: i64 = MINUTE;

/// Delivers while this process leads, until it is asked to stop. A database that is away is waited for.
pub async fn run(store: Store, sender: Sender, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match store.try_lead(LEAD).await {
            Ok(Some(lease)) => lead(&store, &sender, lease, &stop).await,
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the lead of the webhooks could not be asked for"),
        }
        // Whether it was cancelled is asked above.
        let _ = stop.run_until_cancelled(tokio::time::sleep(STAND_BY)).await;
    }
}

/// Delivers until the lead is lost or the process is to stop.
async fn lead(store: &Store, sender: &Sender, mut lease: Lease, stop: &CancellationToken) {
    let (tasks, under_way, resting) = (JoinSet::new(), HashMap::new(), HashMap::new());
    let mut work = Work { store, sender, stop, tasks, under_way, resting, swept: None };
    while !stop.is_cancelled() {
        match lease.is_held().await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!("another process leads the webhooks now");
                break;
            }
            Err(error) => {
                tracing::warn!(%error, "the lead of the webhooks is lost");
                break;
            }
        }
        let pause = match work.round().await {
            Ok(()) => IDLE,
            Err(error) => {
                tracing::warn!(%error, "the outbox of the webhooks could not be read; trying again");
                AGAIN
            }
        };
        work.wait(pause).await;
    }
    work.finish().await;
    if let Err(error) = lease.release().await {
        tracing::debug!(%error, "the lead had ended already");
    }
}

/// A message on its way.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    webhook_id: i64,
    delivery_id: i64,
}

/// A webhook whose receiver asked to be left alone.
struct Rest {
    webhook_id: i64,
    until: Timestamp,
}

struct Work<'a> {
    store: &'a Store,
    sender: &'a Sender,
    stop: &'a CancellationToken,
    tasks: JoinSet<Option<Rest>>,
    under_way: HashMap<Id, Place>,
    /// Webhooks that are told nothing until then.
    resting: HashMap<i64, Timestamp>,
    /// When what nobody tries was last given up.
    swept: Option<Timestamp>,
}

impl Work<'_> {
    /// Sends what is due, as far as there are places.
    async fn round(&mut self) -> store::Result<()> {
        let now = self.store.now();
        if self.swept.is_none_or(|swept| now.since(swept) >= SWEEP) {
            let expired = self.store.expire_deliveries().await?;
            if expired > 0 {
                tracing::warn!(expired, "messages to webhooks that are disabled were given up");
                counter!(metric::WEBHOOK_DELIVERIES, "outcome" => "dead").increment(expired);
            }
            self.swept = Some(now);
        }
        self.resting.retain(|_, until| *until > now);
        for webhook_id in self.store.webhooks_with_due().await? {
            if !self.resting.contains_key(&webhook_id) {
                self.fill(webhook_id).await?;
            }
        }
        Ok(())
    }

    async fn fill(&mut self, webhook_id: i64) -> store::Result<()> {
        let busy = self.under_way.values().filter(|place| place.webhook_id == webhook_id).count();
        if busy >= AT_ONCE {
            return Ok(());
        }
        // What is under way is still due by the table.
        let some = i64::try_from(AT_ONCE + busy).unwrap_or(i64::MAX);
        let due = self.store.due_deliveries(webhook_id, some).await?;
        let Some(target) = self.store.webhook_target(webhook_id).await? else { return Ok(()) };
        for due in due {
            let place = Place { webhook_id, delivery_id: due.delivery_id };
            let places = self.under_way.values().filter(|other| other.webhook_id == webhook_id).count();
            if places >= AT_ONCE {
                break;
            }
            if self.under_way.values().all(|other| *other != place) {
                let task = attempt(self.store.clone(), self.sender.clone(), target.clone(), due, self.stop.clone());
                self.under_way.insert(self.tasks.spawn(task).id(), place);
            }
        }
        Ok(())
    }

    /// Waits until there is a place, or for so long.
    async fn wait(&mut self, pause: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
            () = tokio::time::sleep(pause) => {}
        }
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.ended(ended);
        }
    }

    fn ended(&mut self, ended: Result<(Id, Option<Rest>), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, rest)) => {
                self.resting.extend(rest.map(|rest| (rest.webhook_id, rest.until)));
                id
            }
            Err(error) => {
                tracing::error!(%error, "an attempt to tell a webhook failed; it is made again");
                error.id()
            }
        };
        self.under_way.remove(&id);
    }

    /// Lets what is under way end, within bounds.
    async fn finish(&mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, all).await.is_err() {
            tracing::info!("messages to webhooks are under way; they are sent again at the next start");
        }
    }
}

/// One attempt, and what came of it into the store.
async fn attempt(
    store: Store,
    sender: Sender,
    target: WebhookTarget,
    due: DueDelivery,
    stop: CancellationToken,
) -> Option<Rest> {
    let answer = sender.deliver(&target, &due, store.now()).await;
    let now = store.now();
    let next = match answer.error {
        None => Next::Delivered,
        Some(_) if answer.is_gone() => Next::Dead,
        Some(_) => schedule::next(due.attempts + 1, now, due.give_up_at, answer.asked, rand::random()),
    };
    let webhook_id = target.webhook_id;
    let attempted = Attempted {
        webhook_id,
        delivery_id: due.delivery_id,
        status: answer.status,
        error: answer.error.clone(),
        next,
    };
    tell(&attempted, &due);
    // Until it is recorded the place stays taken: a full disk must not have the same sent again and again.
    while let Err(error) = store.webhook_attempted(attempted.clone()).await {
        tracing::warn!(%error, "what came of a message to a webhook could not be recorded; trying again");
        stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await?;
    }
    if answer.is_gone() {
        disable(&store, webhook_id).await;
    }
    answer.asked.map(|asked| Rest { webhook_id, until: schedule::rest(now, asked) })
}

/// Counts and logs it. An alert is named by its id alone.
fn tell(attempted: &Attempted, due: &DueDelivery) {
    let Attempted { webhook_id, delivery_id, status, error, next } = attempted;
    let (attempt, error) = (due.attempts + 1, error.as_deref().unwrap_or_default());
    let outcome = match next {
        Next::Delivered => {
            tracing::debug!(webhook_id, delivery_id, attempt, "a webhook was told");
            "delivered"
        }
        Next::At(again) => {
            tracing::warn!(webhook_id, delivery_id, attempt, status, error, %again, "a webhook could not be told");
            "failed"
        }
        Next::Dead => {
            tracing::error!(webhook_id, delivery_id, attempt, status, error, "a message to a webhook was given up");
            "dead"
        }
    };
    counter!(metric::WEBHOOK_DELIVERIES, "outcome" => outcome).increment(1);
}

/// A receiver that says it is gone is not asked again. That alerts are no longer told is an activity itself.
async fn disable(store: &Store, webhook_id: i64) {
    let now = store.now();
    let mut activity = Activity::new(ids::event_id(now), "Admin", now);
    activity.log_type = Some(LogType::System);
    activity.resource = Some(format!("webhooks/{webhook_id}"));
    activity.detail = Some(format!("Disabled webhook {webhook_id}: its receiver answered 410 Gone"));
    activity.attributes.insert("by".to_owned(), "webhooks".into());
    match store.disable_webhook(webhook_id, "its receiver answered 410 Gone".to_owned(), activity).await {
        Ok(true) => tracing::warn!(webhook_id, "a webhook is disabled: its receiver answered 410 Gone"),
        Ok(false) => {}
        // Its next message is answered in the same way.
        Err(error) => tracing::warn!(%error, webhook_id, "a webhook whose receiver is gone could not be disabled"),
    }
}
