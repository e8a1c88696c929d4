//! Kafka, for installations beyond one machine. The only user of rdkafka.
//!
//! | file | what |
//! |---|---|
//! | `settings` | [`Settings`]: brokers, names, partitions; what every client is made with |
//! | `topics` | [`prepare_topics`]: they are made or checked at the start |
//! | `producer` | [`Producer`]: messages in order, each answered when the brokers have it |
//! | `group` | [`Group`]: a member of a consumer group, on a thread of its own |
//! | `partition` | [`PartitionLog`]: an assigned partition as a log that workers read |
//! | `drive` | [`drive`]: a task for every partition that is assigned, as long as it is |
//! | `probe` | [`Replay`], [`Lags`] and looks at single records, by consumers without a group |
//! | `murmur` | [`partition_of`]: where a key goes |
//!
//! Positions are those of [`JournalRead`](domain::JournalRead): the position of a record is its offset plus one, so that
//! the position of the last record that is done is the offset of the next one.

mod drive;
mod group;
mod murmur;
mod partition;
mod probe;
mod producer;
mod settings;
mod topics;

pub use drive::{Ended, drive};
pub use group::{Group, GroupEvent};
pub use murmur::partition_of;
pub use partition::{BeginError, Begun, PartitionLog};
pub use probe::{Lags, Replay};
pub use producer::{Deliveries, Message, Producer};
pub use settings::{ACTIVITY, ACTIVITY_IN, ALERTS, BY_SOURCE, Settings};
pub use topics::prepare_topics;

use domain::Partition;

/// Why Kafka did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// The client could not be made, or a call failed.
    #[error("Kafka: {0}")]
    Client(#[from] rdkafka::error::KafkaError),
    /// Something that trying again does not mend, with a sentence that says what to do.
    #[error("{0}")]
    Refused(String),
    /// No broker answers for a partition; trying again may mend it.
    #[error("{0}: Kafka does not answer")]
    Silent(Partition),
    /// A part of this program that speaks to Kafka has ended.
    #[error("Kafka: {0}")]
    Ended(String),
}
