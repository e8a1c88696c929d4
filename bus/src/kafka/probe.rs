//! Looks at a partition by consumers without a group: its bounds, a record, a stretch of it. They block, each for as
//! long as the brokers take, so they are called where that is allowed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::{JournalRecord, Partition, Timestamp};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

use super::group::record;
use super::{KafkaError, Settings};

/// How long the brokers may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The same where somebody waits who has little time.
const QUICK: Duration = Duration::from_millis(1_500);
/// Records that are read at once.
const CHUNK: usize = 1_000;

/// The first offset that is there, and the one that will be given next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) first: i64,
    pub(super) end: i64,
}

fn alone(settings: &Settings) -> Result<BaseConsumer, KafkaError> {
    Ok(settings.consumer().set("group.id", settings.name("security-analytics.probe")).create()?)
}

/// The bounds of a partition.
pub(super) fn bounds(settings: &Settings, partition: Partition) -> Result<Bounds, KafkaError> {
    bounds_by(&alone(settings)?, settings, partition)
}

fn bounds_by(consumer: &BaseConsumer, settings: &Settings, partition: Partition) -> Result<Bounds, KafkaError> {
    let (first, end) = consumer.fetch_watermarks(&settings.name(partition.topic), partition.number, TIMEOUT)?;
    Ok(Bounds { first, end })
}

/// The event at an offset, by its member `event_id`; none where that record has none.
pub(super) fn event_at(settings: &Settings, partition: Partition, offset: i64) -> Result<Option<Uuid>, KafkaError> {
    let consumer = alone(settings)?;
    assign(&consumer, settings, partition, Offset::Offset(offset))?;
    let until = Instant::now() + TIMEOUT;
    while Instant::now() < until {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) if message.offset() == offset => return Ok(event_of(&message)),
            Some(Ok(_)) => return Ok(None),
            Some(Err(ClientError::PartitionEOF(_))) => return Ok(None),
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
    }
    Err(KafkaError::Silent(partition))
}

fn event_of(message: &impl Message) -> Option<Uuid> {
    let value: serde_json::Value = serde_json::from_slice(message.payload()?).ok()?;
    Uuid::parse_str(value.get("event_id")?.as_str()?).ok()
}

fn assign(
    consumer: &BaseConsumer,
    settings: &Settings,
    partition: Partition,
    offset: Offset,
) -> Result<(), KafkaError> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(&settings.name(partition.topic), partition.number, offset)?;
    Ok(consumer.assign(&list)?)
}

/// A stretch of a partition, read by itself: to bring an engine to where the one before it was.
pub struct Replay {
    consumer: BaseConsumer,
    partition: Partition,
    /// Records up to here, by position.
    up_to: i64,
    done: bool,
    from: i64,
}

impl Replay {
    /// From the first record appended at or after `since` up to position `up_to`. Blocks while the brokers are asked.
    ///
    /// # Errors
    /// They do not answer.
    pub fn since(settings: &Settings, partition: Partition, since: Timestamp, up_to: i64) -> Result<Self, KafkaError> {
        let consumer = alone(settings)?;
        let topic = settings.name(partition.topic);
        let mut asked = TopicPartitionList::with_capacity(1);
        let millis = since.micros().div_euclid(1_000).max(0);
        asked.add_partition_offset(&topic, partition.number, Offset::Offset(millis))?;
        let found = consumer.offsets_for_times(asked, TIMEOUT)?;
        let from = match found.find_partition(&topic, partition.number).map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => offset,
            // Nothing was appended since.
            _ => bounds_by(&consumer, settings, partition)?.end,
        };
        Self::open(consumer, settings, partition, from, up_to)
    }

    /// From behind position `after`, or the beginning of the log if that is later, up to position `up_to`.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub fn after(settings: &Settings, partition: Partition, after: i64, up_to: i64) -> Result<Self, KafkaError> {
        let consumer = alone(settings)?;
        let first = bounds_by(&consumer, settings, partition)?.first;
        Self::open(consumer, settings, partition, after.max(first), up_to)
    }

    fn open(
        consumer: BaseConsumer,
        settings: &Settings,
        partition: Partition,
        from: i64,
        up_to: i64,
    ) -> Result<Self, KafkaError> {
        let done = from >= up_to;
        if !done {
            assign(&consumer, settings, partition, Offset::Offset(from))?;
        }
        Ok(Self { consumer, partition, up_to, done, from })
    }

    /// The first offset of the stretch.
    #[must_use]
    pub fn from(&self) -> i64 {
        self.from
    }

    /// The next records, none at the end of the stretch. Blocks.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub fn read(&mut self) -> Result<Vec<JournalRecord>, KafkaError> {
        let mut records = Vec::new();
        let mut until = Instant::now() + TIMEOUT;
        while !self.done && records.len() < CHUNK {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let record = record(&message);
                    self.done = record.seq >= self.up_to;
                    if record.seq <= self.up_to {
                        records.push(record);
                    }
                    until = Instant::now() + TIMEOUT;
                }
                Some(Err(ClientError::PartitionEOF(_))) => self.done = true,
                Some(Err(error)) => return Err(error.into()),
                None if Instant::now() >= until => {
                    return Err(KafkaError::Silent(self.partition));
                }
                None => {}
            }
        }
        Ok(records)
    }
}

/// Asks the brokers, from time to time, how long the partitions of topics are.
pub struct Lags {
    settings: Settings,
    client: Arc<Mutex<Option<BaseConsumer>>>,
}

impl Lags {
    /// Asks nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, client: Arc::default() }
    }

    /// Of each partition of a topic its number, its first offset and the one that will be given next.
    ///
    /// # Errors
    /// The brokers do not answer within a second or two.
    pub async fn ends(&self, topic: &'static str) -> Result<Vec<(i32, i64, i64)>, KafkaError> {
        let (settings, client) = (self.settings.clone(), Arc::clone(&self.client));
        let asked = tokio::task::spawn_blocking(move || {
            let mut client = client.lock().unwrap_or_else(PoisonError::into_inner);
            if client.is_none() {
                *client = Some(alone(&settings)?);
            }
            let Some(consumer) = client.as_ref() else { return Ok(Vec::new()) };
            let name = settings.name(topic);
            let one = |number| {
                let (first, end) = consumer.fetch_watermarks(&name, number, QUICK)?;
                Ok((number, first, end))
            };
            (0..settings.partitions).map(one).collect()
        });
        asked.await.map_err(|error| KafkaError::Ended(error.to_string()))?
    }
}
