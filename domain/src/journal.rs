//! [`JournalRead`]: the ordered log between those who record and those who work on the records.
//!
//! On one machine the store's own table is the log; beyond one machine Kafka's topics are. Workers know neither.

use std::fmt;
use std::future::Future;

use crate::Timestamp;

/// The stream that a record belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Activities, as [`Activity::to_json`](crate::Activity::to_json) writes them.
    Activity,
    /// Alerts, one message for each revision.
    Alerts,
}

impl Topic {
    /// Name of the topic.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::Alerts => "alerts",
        }
    }

    /// The topic of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Activity, Self::Alerts].into_iter().find(|topic| topic.as_str() == name)
    }
}

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRecord {
    /// Position: rises with every record, with gaps where a transaction was rolled back.
    pub seq: i64,
    /// The stream.
    pub topic: Topic,
    /// One JSON object.
    pub payload: String,
    /// When it was appended.
    pub appended_at: Timestamp,
}

/// Why the log could not be read; the reader waits and tries again.
#[derive(Debug)]
pub struct JournalError(pub String);

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the journal cannot be read: {}", self.0)
    }
}

impl std::error::Error for JournalError {}

/// The readable side of the log.
pub trait JournalRead: Send + Sync {
    /// Up to `limit` records after position `after`, in order; every record at or before the last one returned is
    /// committed, so that a reader who remembers that position misses nothing.
    ///
    /// # Errors
    /// The log cannot be reached.
    fn read_after(
        &self,
        after: i64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<JournalRecord>, JournalError>> + Send;

    /// Whether an answer of fewer records than were asked for means that the log had no more. A log that is fetched from
    /// elsewhere may have more than has arrived.
    fn is_at_end(&self) -> bool {
        true
    }

    /// Returns when there may be records after `after`, at once where there are some already.
    fn wait(&self, after: i64) -> impl Future<Output = ()> + Send;
}
