//! [`Reader`]: a log, read in batches.

use std::time::Duration;

use domain::{JournalError, JournalRead, JournalRecord, Topic};

use crate::decode::Record;

/// Consecutive records of a log.
#[derive(Debug, Default)]
pub struct Batch {
    /// The position before the first of them.
    pub from: i64,
    /// The position of the last one, those of other topics included: where the reader stands once they are done.
    pub to: i64,
    /// The activities among them.
    pub records: Vec<Record>,
}

/// The same as they are in the log.
#[derive(Debug, Default)]
pub struct RawBatch {
    /// The position before the first of them.
    pub from: i64,
    /// The position of the last one.
    pub to: i64,
    /// The records.
    pub records: Vec<JournalRecord>,
}

impl Batch {
    /// Whether the log has nothing beyond `from`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }
}

/// Reads a log from a position on. The position moves by [`done`](Self::done) alone, so a batch that was not stored is
/// read again.
#[derive(Debug)]
pub struct Reader<L> {
    log: L,
    position: i64,
    /// The last read did not fill its limit: the end was reached.
    caught_up: bool,
    /// How often in a row the log called and had nothing.
    called_for_nothing: u32,
}

/// A log that calls again and again and has nothing (its records were removed under the reader) is asked this often.
const FOR_NOTHING: Duration = Duration::from_millis(100);

impl<L: JournalRead> Reader<L> {
    /// A reader that has seen everything up to `position`.
    #[must_use]
    pub fn new(log: L, position: i64) -> Self {
        Self { log, position, caught_up: false, called_for_nothing: 0 }
    }

    /// Position of the last record that is done.
    #[must_use]
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Whether the last read reached the end of the log.
    #[must_use]
    pub fn caught_up(&self) -> bool {
        self.caught_up
    }

    /// Everything up to `position` is done.
    pub fn done(&mut self, position: i64) {
        self.position = position;
    }

    /// Returns when there may be something to read. At the end of the log it waits for the next record, and then for
    /// `linger`, in which others may join it; with a backlog it returns at once.
    pub async fn ready(&mut self, linger: Duration) {
        if self.caught_up {
            if self.called_for_nothing > 1 {
                tokio::time::sleep(FOR_NOTHING).await;
            }
            self.log.wait(self.position).await;
            self.called_for_nothing = self.called_for_nothing.saturating_add(1);
            if !linger.is_zero() {
                tokio::time::sleep(linger).await;
            }
        }
    }

    /// Up to `limit` records after the position; empty at the end of the log. Does not wait.
    ///
    /// # Errors
    /// The log cannot be reached.
    pub async fn read(&mut self, limit: usize) -> Result<Batch, JournalError> {
        let RawBatch { from, to, records } = self.read_raw(limit).await?;
        let activities = records.into_iter().filter(|record| record.topic == Topic::Activity);
        Ok(Batch { from, to, records: activities.map(Record::from).collect() })
    }

    /// The same without a look into the records.
    ///
    /// # Errors
    /// The log cannot be reached.
    pub async fn read_raw(&mut self, limit: usize) -> Result<RawBatch, JournalError> {
        let records = self.log.read_after(self.position, limit).await?;
        self.caught_up = records.len() < limit && (records.is_empty() || self.log.is_at_end());
        if !records.is_empty() {
            self.called_for_nothing = 0;
        }
        let to = records.last().map_or(self.position, |record| record.seq);
        Ok(RawBatch { from: self.position, to, records })
    }
}

#[cfg(test)]
mod tests {
    use domain::{Activity, Timestamp};
    use uuid::Uuid;

    use super::*;

    /// Ten records, the third an alert.
    struct Ten;

    impl JournalRead for Ten {
        async fn read_after(&self, after: i64, limit: usize) -> Result<Vec<JournalRecord>, JournalError> {
            let record = |seq| JournalRecord {
                seq,
                topic: if seq == 3 { Topic::Alerts } else { Topic::Activity },
                payload: Activity::new(Uuid::from_u128(1), "View", Timestamp::default()).to_json(),
                appended_at: Timestamp::default(),
            };
            Ok((after + 1..=10).take(limit).map(record).collect())
        }

        async fn wait(&self, after: i64) {
            if after >= 10 {
                std::future::pending::<()>().await;
            }
        }
    }

    #[tokio::test]
    async fn batches_follow_each_other_and_a_batch_that_is_not_done_comes_again() {
        let mut reader = Reader::new(Ten, 0);
        let first = reader.read(4).await.expect("readable");
        assert_eq!((first.from, first.to, first.records.len()), (0, 4, 3));
        assert_eq!(reader.read(4).await.expect("readable").to, 4);
        reader.done(4);
        assert!(!reader.caught_up());
        let rest = reader.read(100).await.expect("readable");
        assert_eq!((rest.from, rest.to, rest.records.len()), (4, 10, 6));
        assert!(reader.caught_up());
        reader.done(10);
        assert!(reader.read(1).await.expect("readable").is_empty());
        assert!(tokio::time::timeout(Duration::from_millis(20), reader.ready(Duration::ZERO)).await.is_err());
    }
}
