//! [`PartitionLog`]: an assigned partition as a log that workers read at their own pace.

use std::collections::VecDeque;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{JournalError, JournalRead, JournalRecord, Partition};
use tokio::sync::Notify;
use uuid::Uuid;

use super::group::Command;
use super::probe::{self, Bounds};
use super::{KafkaError, Settings};

/// A partition is paused while so much of it waits to be read, and goes on below half of that. Pausing throws away what the
/// client has fetched ahead, so it should be rare.
const MOST_RECORDS: usize = 20_000;
const MOST_BYTES: usize = 8 << 20;
/// How long a reader waits for the brokers to say that there is nothing more.
const SILENCE: Duration = Duration::from_secs(5);

/// A partition that is assigned to this member of a group. Reading starts with [`begin`](Self::begin); until then it is
/// paused. Others are never held up by it.
#[derive(Debug, Clone)]
pub struct PartitionLog {
    partition: Partition,
    buffer: Arc<Buffer>,
    commands: Sender<Command>,
    settings: Settings,
}

/// How reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// Where: the position after which the first record comes.
    pub position: i64,
    /// Offsets that retention took away before they were read, the first and the one after the last.
    pub gap: Option<(i64, i64)>,
}

/// Why reading does not begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The brokers did not answer; worth another try.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The topic is not the one that was read before.
    #[error(
        "topic {topic}, partition {partition}: {what}. The topic was recreated or truncated. If that was meant, stop \
         this role and run `security-analytics offsets reset`"
    )]
    Recreated {
        /// Its whole name.
        topic: String,
        /// The partition.
        partition: i32,
        /// What was found.
        what: String,
    },
}

impl PartitionLog {
    pub(super) fn new(partition: Partition, commands: Sender<Command>, settings: Settings) -> Self {
        Self { partition, buffer: Arc::default(), commands, settings }
    }

    pub(super) fn buffer(&self) -> &Arc<Buffer> {
        &self.buffer
    }

    /// Which one it is.
    #[must_use]
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// Begins after `position`, at which `last_event` is said to stand; 0 is the beginning of the log.
    ///
    /// # Errors
    /// The brokers do not answer, or the log is another one than `position` speaks of.
    pub async fn begin(&self, position: i64, last_event: Option<Uuid>) -> Result<Begun, BeginError> {
        let (settings, partition) = (self.settings.clone(), self.partition);
        let looked = tokio::task::spawn_blocking(move || {
            let topic = settings.name(partition.topic);
            let recreated =
                |what: String| BeginError::Recreated { topic: topic.clone(), partition: partition.number, what };
            let Bounds { first, end } = probe::bounds(&settings, partition)?;
            if position > end {
                return Err(recreated(format!(
                    "it ends at offset {end}, and offset {position} was the next to be read"
                )));
            }
            if position > first
                && let Some(expected) = last_event
                && let Some(found) = probe::event_at(&settings, partition, position - 1)?
                && found != expected
            {
                let at = position - 1;
                return Err(recreated(format!(
                    "at offset {at} stands the event {found}, and {expected} was read there"
                )));
            }
            let gap = (0 < position && position < first).then_some((position, first));
            Ok(Begun { position: position.max(first), gap })
        });
        let begun = looked.await.map_err(|error| KafkaError::Ended(error.to_string()))??;
        self.buffer.reset();
        self.tell(Command::Begin { partition, offset: begun.position });
        Ok(begun)
    }

    /// Tells the group how far its effects are stored, for tools that show lag. The database's offset is the truth.
    pub fn commit(&self, position: i64) {
        self.tell(Command::Commit { partition: self.partition, offset: position });
    }

    /// Whether it belongs to another member now.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.buffer.lock().revoked
    }

    fn tell(&self, command: Command) {
        // The thread is gone when the group was left: then nobody needs to be told.
        let _ = self.commands.send(command);
    }
}

/// Between the thread that polls and the task that reads.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    records: VecDeque<JournalRecord>,
    bytes: usize,
    /// Records before this offset are not wanted.
    from: i64,
    begun: bool,
    /// The brokers said that there is nothing behind what has come.
    at_end: bool,
    paused: bool,
    revoked: bool,
}

impl State {
    fn is_full(&self) -> bool {
        self.records.len() >= MOST_RECORDS || self.bytes >= MOST_BYTES
    }
}

impl Buffer {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked has left nothing half-done in it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing counts of what was there, and of what comes until [`begin`](Self::begin).
    fn reset(&self) {
        let mut state = self.lock();
        *state = State { revoked: state.revoked, ..State::default() };
    }

    /// What comes from now on, comes from `offset` on.
    pub(super) fn begin(&self, offset: i64) {
        let mut state = self.lock();
        *state = State { from: offset, begun: true, revoked: state.revoked, ..State::default() };
    }

    /// Takes a record in; whether the partition is to be paused now.
    pub(super) fn push(&self, record: JournalRecord) -> bool {
        let mut state = self.lock();
        if !state.begun || record.seq <= state.from {
            return false;
        }
        state.from = record.seq;
        state.at_end = false;
        state.bytes += record.payload.len();
        state.records.push_back(record);
        let pause = state.is_full() && !state.paused;
        state.paused |= pause;
        drop(state);
        self.changed.notify_waiters();
        pause
    }

    /// There is nothing behind what has come.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        if state.begun {
            state.at_end = true;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Somebody else has it now.
    pub(super) fn revoke(&self) {
        self.lock().revoked = true;
        self.changed.notify_waiters();
    }
}

impl JournalRead for PartitionLog {
    async fn read_after(&self, after: i64, limit: usize) -> Result<Vec<JournalRecord>, JournalError> {
        let waited = tokio::time::timeout(SILENCE, async {
            loop {
                let changed = self.buffer.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(records) = self.look(after, limit)? {
                    return Ok(records);
                }
                changed.await;
            }
        });
        waited.await.unwrap_or_else(|_| Err(JournalError(format!("{}: Kafka does not answer", self.partition))))
    }

    fn is_at_end(&self) -> bool {
        self.buffer.lock().at_end
    }

    async fn wait(&self, after: i64) {
        loop {
            let changed = self.buffer.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = self.buffer.lock();
                if state.revoked || state.records.back().is_some_and(|last| last.seq > after) {
                    return;
                }
            }
            changed.await;
        }
    }
}

impl PartitionLog {
    /// What is there after a position; none while nothing is and the end is not known to be reached.
    fn look(&self, after: i64, limit: usize) -> Result<Option<Vec<JournalRecord>>, JournalError> {
        let mut state = self.buffer.lock();
        if state.revoked {
            return Err(JournalError(format!("{} belongs to another process now", self.partition)));
        }
        while state.records.front().is_some_and(|first| first.seq <= after) {
            if let Some(done) = state.records.pop_front() {
                state.bytes -= done.payload.len();
            }
        }
        let resume = state.paused && state.records.len() < MOST_RECORDS / 2 && state.bytes < MOST_BYTES / 2;
        state.paused &= !resume;
        let found: Vec<JournalRecord> = state.records.iter().take(limit).cloned().collect();
        let at_end = state.at_end;
        drop(state);
        if resume {
            self.tell(Command::Resume { partition: self.partition });
        }
        Ok((!found.is_empty() || at_end).then_some(found))
    }
}

#[cfg(test)]
mod tests {
    use domain::{Timestamp, Topic};

    use super::*;

    fn record(seq: i64) -> JournalRecord {
        JournalRecord { seq, topic: Topic::Activity, payload: "x".repeat(100), appended_at: Timestamp::MIN }
    }

    fn log() -> (PartitionLog, std::sync::mpsc::Receiver<Command>) {
        let (commands, heard) = std::sync::mpsc::channel();
        let partition = Partition { topic: super::super::ACTIVITY, number: 3 };
        (PartitionLog::new(partition, commands, Settings::of("nobody:1")), heard)
    }

    #[tokio::test]
    async fn what_waits_is_bounded_and_goes_on_when_half_is_read() {
        let (log, heard) = log();
        assert!(!log.buffer.push(record(1)), "not begun: not wanted");
        log.buffer.begin(0);
        let pauses = (1..=20_000).filter(|seq| log.buffer.push(record(*seq))).count();
        assert_eq!(pauses, 1);
        assert_eq!(log.read_after(0, 10).await.expect("there").len(), 10);
        assert_eq!(log.read_after(0, 10).await.expect("there")[0].seq, 1, "not done: it comes again");
        assert!(heard.try_recv().is_err());
        assert_eq!(log.read_after(10_001, 10).await.expect("there")[0].seq, 10_002);
        assert!(matches!(heard.try_recv(), Ok(Command::Resume { .. })));
    }

    #[tokio::test]
    async fn an_empty_answer_means_the_end_and_a_revoked_one_is_an_error() {
        let (log, _heard) = log();
        log.buffer.begin(7);
        assert!(!log.buffer.push(record(7)), "before the beginning");
        let reader = log.clone();
        let reading = tokio::spawn(async move { reader.read_after(7, 10).await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!reading.is_finished());
        log.buffer.end();
        assert_eq!(reading.await.expect("ran").expect("the end"), []);
        log.buffer.push(record(9));
        assert_eq!(log.read_after(7, 10).await.expect("there").len(), 1);
        log.buffer.revoke();
        assert!(log.is_revoked() && log.read_after(7, 10).await.is_err());
    }
}
