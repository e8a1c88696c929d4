//! What those who work on the log share: reading it in batches, making activities of its records, waiting, backing off.
//!
//! | file | what |
//! |---|---|
//! | `reader` | [`Reader`]: batches of a log, from a position that moves only when their effects are stored |
//! | `decode` | [`Record`]s: an [`Activity`](domain::Activity), or [`Poison`] with the reason |
//! | [`kafka`] | the log beyond one machine: topics, producer, consumer groups |
//! | [`trace`] | the spans of records that are sent and worked on |
//! | `backoff` | [`Backoff`]: how long to wait before trying again |
//!
//! The log itself is whatever implements [`JournalRead`](domain::JournalRead): the store's journal on one machine, a
//! partition of a Kafka topic beyond. To add another log: implement that trait for one partition of it, and hand it to
//! [`Reader::new`].

mod backoff;
mod decode;
pub mod kafka;
mod reader;
pub mod trace;

pub use backoff::Backoff;
pub use decode::{Poison, Record};
pub use reader::{Batch, RawBatch, Reader};
