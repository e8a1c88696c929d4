//! Looks at a partition by consumers without a group: its bounds, a record, a stretch of it. They block, each for as
//! long as the brokers take, so they are called where that is allowed.

use std::time::{Duration, Instant};

use domain::{JournalRecord, Partition, Timestamp};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

use super::group::record;
use super::{KafkaError, Settings};

/// How long the brokers may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);
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

/// The event at an offset, by its header `ce_id` or its member `event_id`; none where that record names none.
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
    Err(KafkaError::Refused(format!("{partition}: Kafka does not answer")))
}

fn event_of(message: &impl Message) -> Option<Uuid> {
    let header = message.headers().and_then(|headers| {
        let id = headers.iter().find(|header| header.key == "ce_id")?;
        Uuid::try_parse_ascii(id.value?).ok()
    });
    header.or_else(|| {
        let value: serde_json::Value = serde_json::from_slice(message.payload()?).ok()?;
        Uuid::parse_str(value.get("event_id")?.as_str()?).ok()
    })
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
    first_at: Option<Timestamp>,
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
        Ok(Self { consumer, partition, up_to, done, first_at: None })
    }

    /// When the first record of the stretch was appended; none before one was read.
    #[must_use]
    pub fn first_at(&self) -> Option<Timestamp> {
        self.first_at
    }

    /// The next records, none at the end of the stretch. Blocks.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub fn next(&mut self) -> Result<Vec<JournalRecord>, KafkaError> {
        let mut records = Vec::new();
        let mut until = Instant::now() + TIMEOUT;
        while !self.done && records.len() < CHUNK {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let record = record(&message);
                    self.first_at = self.first_at.or(Some(record.appended_at));
                    self.done = record.seq >= self.up_to;
                    if record.seq <= self.up_to {
                        records.push(record);
                    }
                    until = Instant::now() + TIMEOUT;
                }
                Some(Err(ClientError::PartitionEOF(_))) => self.done = true,
                Some(Err(error)) => return Err(error.into()),
                None if Instant::now() >= until => {
                    return Err(KafkaError::Refused(format!("{}: Kafka does not answer", self.partition)));
                }
                None => {}
            }
        }
        Ok(records)
    }
}
