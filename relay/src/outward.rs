//! The journal → Kafka.
//!
//! On MariaDB a lower position can be committed after a higher one, so nothing is ever read by `seq > last`: reading
//! begins some thousand positions below the highest that was seen, and every few seconds at the very beginning. A row is
//! deleted by its position once the brokers have confirmed its messages; what is on its way is remembered, and not sent
//! twice. Two who publish at once cost duplicates, which readers know by their ids; a named lock keeps it to one.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bus::Backoff;
use bus::kafka::{Deliveries, KafkaError, Message, Producer, Settings};
use store::{Lease, Store};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::message::messages;
use crate::status::Status;

/// Name of the lock.
const LEAD: &str = "relay";
/// How often who stands by asks for the lead.
const STAND_BY: Duration = Duration::from_secs(1);
/// Rows of one page.
const PAGE: usize = 1_000;
/// Pages on their way: the next is read while the brokers work on those before it.
const AHEAD: usize = 4;
/// So far below the highest position that was seen, reading begins.
const BELOW: i64 = 3_000;
/// How often it begins at the very beginning.
const SWEEP: Duration = Duration::from_secs(5);
/// How often an empty journal is looked at: most of what comes is committed by other processes, which tell nobody.
const IDLE: Duration = Duration::from_millis(20);

/// Why the relay cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The producer cannot be made.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

/// Publishes the journal while this process leads, until it is asked to stop.
///
/// # Errors
/// [`RelayError`]. Brokers and databases that are away are waited for.
pub async fn run(
    store: Store,
    kafka: Settings,
    status: Arc<Status>,
    stop: CancellationToken,
) -> Result<(), RelayError> {
    let producer = Producer::new(&kafka)?;
    let mut backoff = Backoff::default();
    while !stop.is_cancelled() {
        let pause = match store.try_lead(LEAD).await {
            Ok(Some(lease)) => {
                backoff.succeeded();
                status.set_leads(true);
                tracing::info!("this process publishes the journal now");
                lead(&store, &producer, lease, &status, &stop).await;
                status.set_leads(false);
                STAND_BY
            }
            Ok(None) => STAND_BY,
            Err(error) => {
                tracing::warn!(%error, "the lead of the relay could not be asked for");
                backoff.failed()
            }
        };
        // Whether it was cancelled is asked above.
        let _ = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    producer.close().await;
    Ok(())
}

/// Publishes until the lead is lost or the process is to stop.
async fn lead(store: &Store, producer: &Producer, mut lease: Lease, status: &Status, stop: &CancellationToken) {
    let mut relay = Relay::new(store, producer, status);
    let mut backoff = Backoff::default();
    while !stop.is_cancelled() {
        match lease.is_held().await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!("another process leads the relay now");
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "the lead of the relay is lost");
                return;
            }
        }
        let pause = match relay.round().await {
            Ok(0) => IDLE,
            Ok(_) => {
                backoff.succeeded();
                continue;
            }
            Err(fault) => {
                let pause = backoff.failed();
                tracing::warn!(
                    fault,
                    again_in_ms = pause.as_millis(),
                    "the journal could not be published; trying again"
                );
                relay.start_over();
                pause
            }
        };
        let _ = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    relay.finish().await;
    if let Err(error) = lease.release().await {
        tracing::debug!(%error, "the lead had ended already");
    }
}

/// A page on its way: positions, each with the number of its messages, in the order of the deliveries, and their spans where
/// somebody exports them.
struct Page {
    rows: Vec<(i64, usize)>,
    deliveries: Deliveries,
    spans: Vec<Span>,
}

struct Relay<'a> {
    store: &'a Store,
    producer: &'a Producer,
    status: &'a Status,
    highest: i64,
    /// Rows that are in the journal and sent.
    on_the_way: HashSet<i64>,
    pages: VecDeque<Page>,
    swept: Option<Instant>,
}

impl<'a> Relay<'a> {
    fn new(store: &'a Store, producer: &'a Producer, status: &'a Status) -> Self {
        let (on_the_way, pages) = (HashSet::new(), VecDeque::new());
        Self { store, producer, status, highest: 0, on_the_way, pages, swept: None }
    }

    /// Sends what is there; how many rows that were.
    async fn round(&mut self) -> Result<usize, String> {
        let sweep = self.swept.is_none_or(|swept| swept.elapsed() >= SWEEP);
        let mut cursor = if sweep { 0 } else { (self.highest - BELOW).max(0) };
        if sweep {
            self.swept = Some(Instant::now());
        }
        let mut sent = 0;
        loop {
            let mut page = self.store.journal_page(cursor, PAGE).await.map_err(|error| error.to_string())?;
            let whole = page.len() == PAGE;
            let Some(last) = page.last() else { break };
            cursor = last.seq;
            self.highest = self.highest.max(cursor);
            page.retain(|row| !self.on_the_way.contains(&row.seq));
            if !page.is_empty() {
                sent += page.len();
                let mut rows = Vec::with_capacity(page.len());
                let mut all: Vec<Message> = Vec::with_capacity(page.len() * 2);
                for row in page {
                    let (seq, before) = (row.seq, all.len());
                    all.extend(messages(row));
                    rows.push((seq, all.len() - before));
                    self.on_the_way.insert(seq);
                }
                let spans = bus::trace::sent(&mut all);
                let deliveries = self.producer.queue(&all).await;
                self.pages.push_back(Page { rows, deliveries, spans });
            }
            while self.pages.len() >= AHEAD {
                self.confirm().await?;
            }
            if !whole {
                break;
            }
        }
        while !self.pages.is_empty() {
            self.confirm().await?;
        }
        Ok(sent)
    }

    /// Waits for the oldest page and deletes what the brokers have of it.
    async fn confirm(&mut self) -> Result<(), String> {
        let Some(Page { rows, deliveries, spans }) = self.pages.pop_front() else { return Ok(()) };
        let answers = deliveries.answers().await;
        for (span, _) in spans.iter().zip(&answers).filter(|(_, answer)| answer.is_err()) {
            bus::trace::failed(span);
        }
        drop(spans);
        let mut answers = answers.into_iter();
        let (mut confirmed, mut failed, mut why) = (Vec::with_capacity(rows.len()), 0, None);
        for (seq, messages) in rows {
            let errors: Vec<KafkaError> = answers.by_ref().take(messages).filter_map(Result::err).collect();
            if errors.is_empty() {
                confirmed.push(seq);
            } else {
                failed += 1;
                self.on_the_way.remove(&seq);
                why = errors.into_iter().next().or(why);
            }
        }
        self.status.count(confirmed.len(), failed);
        if !confirmed.is_empty() {
            let deleted = self.store.journal_delete(confirmed.clone()).await;
            for seq in &confirmed {
                self.on_the_way.remove(seq);
            }
            deleted.map_err(|error| error.to_string())?;
        }
        match why {
            Some(error) => Err(format!("{failed} rows were not confirmed: {error}")),
            None => Ok(()),
        }
    }

    /// After a failure the next round begins at the beginning: what was not confirmed lies anywhere.
    fn start_over(&mut self) {
        self.swept = None;
    }

    /// At the end: what is on its way is waited for, so that the next one need not send it again.
    async fn finish(&mut self) {
        while !self.pages.is_empty() {
            if let Err(error) = self.confirm().await {
                tracing::warn!(error, "rows are left in the journal for the next relay");
            }
        }
    }
}
