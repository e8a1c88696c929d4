//! [`Group`]: a member of a consumer group.
//!
//! The client is polled on a thread of its own and does nothing else there: whatever takes time happens in the tasks
//! that read the [`PartitionLog`]s. A partition is paused from its assignment until somebody begins to read it, and
//! while much of it waits. Assignment is cooperative: a rebalance takes away what moves, and leaves the rest alone.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::{JournalRecord, Partition, Timestamp, Topic};
use rdkafka::bindings::rd_kafka_resp_err_t;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::partition::{Buffer, PartitionLog};
use super::{KafkaError, Settings};

/// How long the client is waited for before commands are looked at.
const POLL: Duration = Duration::from_millis(20);
/// How long leaving may take.
const LEAVE: Duration = Duration::from_secs(3);
/// How often it is said that no broker answers.
const AWAY: Duration = Duration::from_secs(10);

/// What happens to a member.
#[derive(Debug)]
pub enum GroupEvent {
    /// It has another partition now.
    Assigned(PartitionLog),
    /// It has lost one.
    Revoked(Partition),
    /// It cannot go on.
    Failed(KafkaError),
}

/// What is asked of the thread.
#[derive(Debug)]
pub(super) enum Command {
    Begin { partition: Partition, offset: i64 },
    Resume { partition: Partition },
    Commit { partition: Partition, offset: i64 },
    Leave,
}

/// A member of a group.
#[derive(Debug)]
pub struct Group {
    events: UnboundedReceiver<GroupEvent>,
    commands: Sender<Command>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Group {
    /// Joins a group that shares a topic (one: the client tells the end of a partition by its number alone). `instance`
    /// is a name that stays over restarts: who is back within the session's time gets what it had.
    ///
    /// # Errors
    /// A setting is not understood.
    pub fn join(
        settings: &Settings,
        group: &str,
        topic: &'static str,
        instance: Option<&str>,
    ) -> Result<Self, KafkaError> {
        let (to_thread, commands) = channel();
        let (events, from_thread) = unbounded_channel();
        let context = Context {
            settings: settings.clone(),
            commands: to_thread.clone(),
            events: events.clone(),
            assigned: Mutex::default(),
            away: Mutex::default(),
        };
        let mut client = settings.consumer();
        client
            .set("group.id", settings.name(group))
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", settings.session_timeout.as_millis().to_string())
            .set("heartbeat.interval.ms", (settings.session_timeout.as_millis() / 4).max(1).to_string())
            .set("max.poll.interval.ms", (settings.session_timeout.as_millis().max(30_000)).to_string());
        if let Some(instance) = instance {
            client.set("group.instance.id", instance);
        }
        let consumer: BaseConsumer<Context> = client.create_with_context(context)?;
        consumer.subscribe(&[&settings.name(topic)])?;
        let thread = std::thread::Builder::new()
            .name(format!("kafka {group}"))
            .spawn(move || Poller { consumer, commands, topic, begin: Vec::new() }.run())
            .map_err(|error| KafkaError::Ended(format!("no thread for a consumer: {error}")))?;
        Ok(Self { events: from_thread, commands: to_thread, thread: Some(thread) })
    }

    /// What happens next; waits for it. Cancel-safe.
    pub async fn next(&mut self) -> GroupEvent {
        self.events
            .recv()
            .await
            .unwrap_or_else(|| GroupEvent::Failed(KafkaError::Ended("the thread of a consumer has ended".to_owned())))
    }

    /// Leaves the group, so that others get its partitions at once.
    pub async fn leave(mut self) {
        // The thread may have ended by itself.
        let _ = self.commands.send(Command::Leave);
        if let Some(thread) = self.thread.take() {
            let left = tokio::task::spawn_blocking(move || thread.join());
            match tokio::time::timeout(LEAVE, left).await {
                Ok(Ok(Ok(()))) => {}
                Ok(_) => tracing::warn!("the thread that speaks to Kafka did not end in order"),
                Err(_) => tracing::warn!("leaving the group took too long; its partitions are given away by time"),
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Leave);
    }
}

/// What the client calls from within a poll.
struct Context {
    settings: Settings,
    commands: Sender<Command>,
    events: UnboundedSender<GroupEvent>,
    assigned: Mutex<HashMap<Partition, Arc<Buffer>>>,
    /// When it was last said that no broker answers.
    away: Mutex<Option<Instant>>,
}

impl ClientContext for Context {
    fn error(&self, error: ClientError, reason: &str) {
        match error.rdkafka_error_code() {
            // The end of a partition is told as if it were an error.
            Some(RDKafkaErrorCode::PartitionEOF) => {}
            // Each of its connections, again and again: that all are gone is said below.
            Some(RDKafkaErrorCode::BrokerTransportFailure) => tracing::debug!(%error, reason, "Kafka"),
            Some(RDKafkaErrorCode::AllBrokersDown) => self.away(),
            _ => tracing::warn!(%error, reason, "Kafka"),
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: rd_kafka_resp_err_t, list: &mut TopicPartitionList) {
        match event {
            rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            _ => self.revoke(consumer, list),
        }
    }
}

impl Context {
    /// No broker answers: said now and then, as long as it lasts.
    fn away(&self) {
        let mut said = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|said| said.elapsed() >= AWAY) {
            *said = Some(Instant::now());
            tracing::warn!(brokers = self.settings.brokers, "no broker of Kafka answers");
        }
    }

    /// Begins nothing yet: where to begin is the database's to say, and to ask it takes time.
    fn assign(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) {
        let started = list
            .set_all_offsets(Offset::Beginning)
            .and_then(|()| consumer.incremental_assign(list))
            .and_then(|()| consumer.pause(list));
        if let Err(error) = started {
            self.failed(error.into());
            return;
        }
        for partition in self.partitions(list) {
            let log = PartitionLog::new(partition, self.commands.clone(), self.settings.clone());
            self.buffers().insert(partition, Arc::clone(log.buffer()));
            tracing::info!(%partition, "a partition is ours");
            let _ = self.events.send(GroupEvent::Assigned(log));
        }
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        for partition in self.partitions(list) {
            if let Some(buffer) = self.buffers().remove(&partition) {
                buffer.revoke();
            }
            tracing::info!(%partition, "a partition is given back");
            let _ = self.events.send(GroupEvent::Revoked(partition));
        }
        if let Err(error) = consumer.incremental_unassign(list) {
            tracing::warn!(%error, "partitions could not be given back");
        }
    }

    fn partitions(&self, list: &TopicPartitionList) -> Vec<Partition> {
        let of = |topic: &str, number| Some(Partition { topic: self.settings.short(topic)?, number });
        list.elements().iter().filter_map(|element| of(element.topic(), element.partition())).collect()
    }

    fn buffers(&self) -> std::sync::MutexGuard<'_, HashMap<Partition, Arc<Buffer>>> {
        self.assigned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn buffer(&self, partition: Partition) -> Option<Arc<Buffer>> {
        self.buffers().get(&partition).map(Arc::clone)
    }

    fn failed(&self, error: KafkaError) {
        let _ = self.events.send(GroupEvent::Failed(error));
    }
}

/// The thread.
struct Poller {
    consumer: BaseConsumer<Context>,
    commands: Receiver<Command>,
    topic: &'static str,
    /// Where to begin, as long as the client was not ready for it.
    begin: Vec<(Partition, i64)>,
}

impl Poller {
    fn run(mut self) {
        loop {
            if let Some(event) = self.consumer.poll(POLL) {
                match event {
                    Ok(message) => self.take(&message),
                    Err(error) => {
                        if !self.is_survived(&error) {
                            self.consumer.context().failed(error.into());
                            break;
                        }
                    }
                }
            }
            if !self.obey() {
                break;
            }
            self.begin_some();
        }
        // Closing calls back for what is still assigned.
        self.consumer.unsubscribe();
    }

    fn take(&self, message: &BorrowedMessage<'_>) {
        let partition = Partition { topic: self.topic, number: message.partition() };
        let Some(buffer) = self.consumer.context().buffer(partition) else { return };
        if buffer.push(record(message)) {
            self.log_failure(partition, self.consumer.pause(&list(&self.consumer, partition, None)));
        }
    }

    /// Whether polling goes on after an error.
    fn is_survived(&self, error: &ClientError) -> bool {
        match error {
            ClientError::PartitionEOF(number) => {
                if let Some(buffer) = self.consumer.context().buffer(Partition { topic: self.topic, number: *number }) {
                    buffer.end();
                }
                true
            }
            ClientError::MessageConsumptionFatal(_) => false,
            ClientError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset) => {
                tracing::error!(%error, "an offset is no longer in the log; the partition is begun anew");
                self.begin_anew();
                true
            }
            // What is wrong with brokers is told by the client's own call.
            ClientError::MessageConsumption(
                RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure,
            ) => true,
            other => {
                tracing::warn!(error = %other, "Kafka");
                true
            }
        }
    }

    /// Takes the partitions away and gives them back: whoever reads them begins again and sees what is there.
    fn begin_anew(&self) {
        let context = self.consumer.context();
        let all: Vec<Partition> = context.buffers().keys().copied().collect();
        for partition in all {
            let log = PartitionLog::new(partition, context.commands.clone(), context.settings.clone());
            if let Some(old) = context.buffers().insert(partition, Arc::clone(log.buffer())) {
                old.revoke();
            }
            self.log_failure(partition, self.consumer.pause(&list(&self.consumer, partition, None)));
            let _ = context.events.send(GroupEvent::Revoked(partition));
            let _ = context.events.send(GroupEvent::Assigned(log));
        }
    }

    /// Does what was asked; whether to go on.
    fn obey(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Begin { partition, offset }) => {
                    self.begin.retain(|(other, _)| *other != partition);
                    self.begin.push((partition, offset));
                }
                Ok(Command::Resume { partition }) => {
                    self.log_failure(partition, self.consumer.resume(&list(&self.consumer, partition, None)));
                }
                Ok(Command::Commit { partition, offset }) => {
                    let offsets = list(&self.consumer, partition, Some(offset));
                    if let Err(error) = self.consumer.commit(&offsets, CommitMode::Async) {
                        tracing::debug!(%partition, %error, "the group was not told how far it is");
                    }
                }
                Ok(Command::Leave) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    /// Goes to where reading begins; the client refuses as long as it has not taken the partition up.
    fn begin_some(&mut self) {
        let consumer = &self.consumer;
        self.begin.retain(|(partition, offset)| {
            let Some(buffer) = consumer.context().buffer(*partition) else { return false };
            let topic = consumer.context().settings.name(partition.topic);
            let went = consumer
                .seek(&topic, partition.number, Offset::Offset(*offset), Duration::ZERO)
                .and_then(|()| consumer.resume(&list(consumer, *partition, None)));
            match &went {
                Ok(()) => buffer.begin(*offset),
                Err(error) => tracing::debug!(%partition, %error, "not ready yet"),
            }
            went.is_err()
        });
    }

    fn log_failure(&self, partition: Partition, result: Result<(), ClientError>) {
        if let Err(error) = result {
            // Between two polls a partition may have gone to another member.
            tracing::debug!(%partition, %error, "the partition could not be paused or resumed");
        }
    }
}

fn list(consumer: &BaseConsumer<Context>, partition: Partition, offset: Option<i64>) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(1);
    let mut element = list.add_partition(&consumer.context().settings.name(partition.topic), partition.number);
    if let Some(offset) = offset {
        // Any number that is none of the client's signs is an offset.
        let _ = element.set_offset(Offset::Offset(offset));
    }
    list
}

/// A message as a record. What is no text is kept as well as a text can, behind words that make it no activity.
pub(super) fn record(message: &impl Message) -> JournalRecord {
    let payload = match message.payload() {
        None => "(no payload)".to_owned(),
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(error) => format!("(not UTF-8 from byte {}) {}", error.valid_up_to(), String::from_utf8_lossy(bytes)),
        },
    };
    let appended = message.timestamp().to_millis().unwrap_or(0);
    JournalRecord {
        seq: message.offset() + 1,
        topic: Topic::Activity,
        payload,
        appended_at: Timestamp::from_micros(appended.saturating_mul(1_000)),
    }
}
