//! The task behind the writer: batches, transactions, savepoints, foreign writers, full disks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::{Append, Job, Waiting};
use crate::db::{Conn, Effects, Tx};
use crate::journal;
use crate::{Error, Result, Shared};

/// The most that one transaction takes in, so that nobody waits for a queue that never ends.
const BATCH: usize = 1_024;
/// How often the file is asked, while nothing is to be written, whether another process has written.
const IDLE: Duration = Duration::from_millis(200);

/// Owner of the write connection.
pub(super) struct Task {
    jobs: mpsc::Receiver<Job>,
    tx: Tx,
    options: SqliteConnectOptions,
    file: PathBuf,
    shared: Arc<Shared>,
    /// `PRAGMA data_version`: changes when anybody else has written to the file.
    version: Option<i64>,
    closing: Option<oneshot::Sender<()>>,
}

impl Task {
    pub(super) fn new(
        jobs: mpsc::Receiver<Job>,
        tx: Tx,
        options: SqliteConnectOptions,
        file: PathBuf,
        shared: Arc<Shared>,
    ) -> Self {
        Self { jobs, tx, options, file, shared, version: None, closing: None }
    }

    /// Works until the last handle has gone, or until it is told to close.
    pub(super) async fn run(mut self) {
        while self.closing.is_none() {
            match tokio::time::timeout(IDLE, self.jobs.recv()).await {
                Err(_) => {
                    if let Err(error) = self.look_for_others().await {
                        tracing::warn!(%error, "the database file cannot be asked for foreign changes");
                    }
                }
                Ok(None) => break,
                Ok(Some(job)) => self.batch(job).await,
            }
        }
        if let Conn::Sqlite(connection) = self.tx.conn
            && let Err(error) = sqlx::Connection::close(connection).await
        {
            tracing::warn!(%error, "closing the database");
        }
        if let Some(done) = self.closing
            && done.send(()).is_err()
        {
            tracing::debug!("nobody waits for the database to be closed any more");
        }
    }

    /// Takes what waits, runs it, answers.
    async fn batch(&mut self, first: Job) {
        let (mut units, mut appends) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Append(append) => appends.push(append),
                Job::Unit(unit) => units.push(unit),
                Job::Close(done) => {
                    self.closing = Some(done);
                    break;
                }
            }
            next = if units.len() + appends.len() < BATCH { self.jobs.try_recv().ok() } else { None };
        }
        if units.is_empty() && appends.is_empty() {
            return;
        }
        let failed = match self.transaction(&mut units, &mut appends).await {
            Ok(effects) => {
                self.shared.committed(&effects);
                None
            }
            Err(error) => {
                let error = refined(error, &self.file);
                tracing::debug!(%error, "a transaction failed");
                Some(error)
            }
        };
        for unit in units {
            unit.answer(failed.as_ref(), &self.file);
        }
        for append in appends {
            let answer = match &failed {
                Some(error) => append.outcome.and_then(|()| Err(error.again())),
                None => append.outcome,
            };
            drop(append.done.send(answer));
        }
    }

    /// One transaction for the whole batch. An error is everybody's who has none of their own.
    async fn transaction(&mut self, units: &mut [Box<dyn Waiting>], appends: &mut [Append]) -> Result<Effects> {
        self.begin().await?;
        let ran = self.body(units, appends).await;
        let committed = match ran {
            Ok(Some(effects)) => {
                self.shared.caches.change_begins(&effects.touched);
                let committed = self.execute("COMMIT").await;
                self.shared.caches.change_ends(&effects.touched);
                committed.map(|()| effects)
            }
            Ok(None) => return Ok(Effects::default()),
            Err(error) => Err(error),
        };
        if committed.is_err() {
            self.roll_back().await;
        }
        committed
    }

    /// Everything between `BEGIN` and `COMMIT`; `None` where nothing is left to commit.
    async fn body(&mut self, units: &mut [Box<dyn Waiting>], appends: &mut [Append]) -> Result<Option<Effects>> {
        self.look_for_others().await?;
        let mut effects = Effects::default();
        // A unit alone needs no savepoint: it goes first, and the whole transaction is its savepoint.
        let alone = units.len() == 1;
        for unit in units {
            if !alone {
                self.execute("SAVEPOINT unit").await?;
            }
            self.tx.now = self.shared.clock.now();
            self.tx.journal_full = self.shared.room_in_journal().is_err();
            let succeeded = unit.run(&mut self.tx).await;
            let left = std::mem::take(&mut self.tx.effects);
            match (succeeded, alone) {
                (true, true) => effects.absorb(left),
                (true, false) => {
                    self.execute("RELEASE unit").await?;
                    effects.absorb(left);
                }
                (false, true) => {
                    self.roll_back().await;
                    if appends.is_empty() {
                        return Ok(None);
                    }
                    self.begin().await?;
                }
                (false, false) => {
                    if let Err(error) = self.execute("ROLLBACK TO unit").await {
                        // SQLite has rolled everything back by itself (disk full): that is why the batch failed.
                        let cause = unit.failure().map(|cause| match is_full(cause, &self.file) {
                            true => Error::DiskFull,
                            false => cause.again(),
                        });
                        return Err(cause.unwrap_or(error));
                    }
                    self.execute("RELEASE unit").await?;
                }
            }
        }
        self.append(appends, &mut effects).await?;
        Ok(Some(effects))
    }

    /// The plain appends, in multi-row inserts. A row that exists already fails its own caller only: SQLite undoes the
    /// one statement, and its rows are then tried one by one.
    async fn append(&mut self, appends: &mut [Append], effects: &mut Effects) -> Result<()> {
        let Conn::Sqlite(connection) = &mut self.tx.conn else { return Err(Error::fault("not SQLite")) };
        let now = self.shared.clock.now();
        let mut rest = appends;
        while let Some(size) = crate::sql::SIZES.into_iter().find(|size| *size <= rest.len()) {
            let (piece, more) = rest.split_at_mut(size);
            rest = more;
            match journal::insert_sqlite(connection, piece.iter().map(|append| &append.entry), size, now).await {
                Ok(seq) => effects.last_seq = effects.last_seq.max(seq),
                Err(Error::Duplicate) => {
                    for append in piece {
                        match journal::insert_sqlite(connection, std::iter::once(&append.entry), 1, now).await {
                            Ok(seq) => effects.last_seq = effects.last_seq.max(seq),
                            Err(Error::Duplicate) => append.outcome = Err(Error::Duplicate),
                            Err(error) => return Err(error),
                        }
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Begins, on a fresh connection if this one has broken.
    async fn begin(&mut self) -> Result<()> {
        match self.execute("BEGIN IMMEDIATE").await {
            Err(error @ Error::Fault(_)) => {
                tracing::warn!(%error, "the write connection is opened again");
                self.tx.conn = Conn::Sqlite(self.options.connect().await?);
                self.version = None;
                self.execute("BEGIN IMMEDIATE").await
            }
            other => other,
        }
    }

    async fn roll_back(&mut self) {
        self.tx.effects = Effects::default();
        if let Err(error) = self.execute("ROLLBACK").await {
            // SQLite rolls back by itself on some errors and then has nothing left to roll back.
            tracing::debug!(%error, "ROLLBACK");
        }
    }

    async fn execute(&mut self, text: &'static str) -> Result<()> {
        sqlx::query(text).execute(self.connection()?).await?;
        Ok(())
    }

    /// Drops all caches and wakes the readers if another process has written since the last look.
    async fn look_for_others(&mut self) -> Result<()> {
        let version: i64 = sqlx::query_scalar("PRAGMA data_version").fetch_one(self.connection()?).await?;
        let before = self.version.replace(version);
        if before != Some(version) {
            self.shared.caches.clear();
            let last = journal::last_seq_sqlite(self.connection()?).await?;
            self.shared.committed(&Effects { touched: Vec::new(), last_seq: last });
        }
        Ok(())
    }

    fn connection(&mut self) -> Result<&mut SqliteConnection> {
        match &mut self.tx.conn {
            Conn::Sqlite(connection) => Ok(connection),
            Conn::MySql(_) => Err(Error::fault("not SQLite")),
        }
    }
}

/// The error, or `DiskFull` where that is what it means.
pub(super) fn refined(error: Error, file: &Path) -> Error {
    if is_full(&error, file) { Error::DiskFull } else { error }
}

/// On a full disk SQLite says IOERR as often as FULL; whether it is full is found out by writing beside it.
fn is_full(error: &Error, file: &Path) -> bool {
    if !error.is_io() {
        return matches!(error, Error::DiskFull);
    }
    let probe = file.with_extension("probe");
    let written = std::fs::write(&probe, [0_u8; 64 * 1024]);
    if let Err(error) = std::fs::remove_file(&probe)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "removing the probe file");
    }
    written
        .is_err_and(|error| matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded))
}

#[cfg(test)]
mod tests {
    use super::super::QUEUE;
    use super::*;
    use crate::db::changed;
    use crate::harness::{self, Ground};

    /// A unit that sets a setting and then fails, panics or succeeds.
    async fn set(ground: &Ground, name: String, then: u8) -> Result<()> {
        let unit_name = Arc::new(name);
        ground
            .store
            .write(move |tx| {
                let name = Arc::clone(&unit_name);
                Box::pin(async move {
                    const TEXT: &str = "INSERT INTO settings (name, value) VALUES (?, 'x')";
                    changed!(tx, sqlx::query(TEXT).bind(name.as_str()));
                    match then {
                        0 => Ok(()),
                        1 => Err(Error::NotFound),
                        _ => panic!("a unit that panics"),
                    }
                })
            })
            .await
    }

    async fn a_units_error_undoes_that_unit_alone(ground: Ground) {
        let tasks: Vec<_> = (0..90_u8)
            .map(|n| {
                let ground = ground.clone();
                tokio::spawn(async move {
                    if n % 4 == 3 {
                        return ground.store.append(ground.activity("View")).await;
                    }
                    set(&ground, format!("{n}"), n % 4).await
                })
            })
            .collect();
        for (n, task) in tasks.into_iter().enumerate() {
            let (answer, kept) = (task.await.expect("task"), ground.store.setting(&n.to_string()).await.expect("read"));
            match n % 4 {
                0 => assert!(answer.is_ok() && kept.is_some(), "{n}"),
                1 => assert!(matches!(answer, Err(Error::NotFound)) && kept.is_none(), "{n}"),
                2 => assert!(matches!(answer, Err(Error::Fault(_))) && kept.is_none(), "{n}"),
                _ => assert!(answer.is_ok(), "{n}"),
            }
        }
        assert_eq!(ground.actions().await.len(), 22);
    }
    crate::on_both_engines!(a_units_error_undoes_that_unit_alone);

    async fn pages(ground: &Ground, text: &'static str) {
        let unit = ground.store.write(move |tx| {
            Box::pin(async move {
                crate::db::in_tx!(tx, c => sqlx::query(text).fetch_all(c).await.map(drop)?);
                Ok(())
            })
        });
        unit.await.expect("pragma");
    }

    #[tokio::test]
    async fn a_full_disk_is_said_and_what_was_acknowledged_is_there() {
        harness::sqlite(|ground| async move {
            pages(&ground, "PRAGMA max_page_count = 80").await;
            let mut acknowledged = 0;
            let full = loop {
                match ground.store.append(ground.activity("View")).await {
                    Ok(()) => acknowledged += 1,
                    Err(error) => break error,
                }
                assert!(acknowledged < 10_000, "80 pages hold less");
            };
            assert!(matches!(full, Error::DiskFull), "{full:?}");
            let both = tokio::join!(set(&ground, "a".repeat(9_000), 0), set(&ground, "b".repeat(9_000), 0));
            assert!(matches!(both, (Err(Error::DiskFull), Err(Error::DiskFull))), "{both:?}");
            assert_eq!(ground.actions().await.len(), acknowledged);
            pages(&ground, "PRAGMA max_page_count = 100000").await;
            ground.store.append(ground.activity("View")).await.expect("room again");
            assert_eq!(ground.actions().await.len(), acknowledged + 1);
        })
        .await;
    }

    #[tokio::test]
    async fn a_full_queue_is_overloaded_and_loses_nothing() {
        harness::sqlite(|ground| async move {
            let gate = Arc::new(tokio::sync::Semaphore::new(0));
            let (held, entered) = (Arc::clone(&gate), Arc::new(tokio::sync::Notify::new()));
            let (store, inside) = (ground.store.clone(), Arc::clone(&entered));
            let blocker = tokio::spawn(async move {
                let unit = store.write(move |_| {
                    let (held, inside) = (Arc::clone(&held), Arc::clone(&inside));
                    Box::pin(async move {
                        inside.notify_one();
                        held.acquire().await.map(drop).map_err(|error| Error::Fault(error.into()))
                    })
                });
                unit.await
            });
            entered.notified().await;
            let callers = ground.clone();
            let answers = tokio::spawn(async move {
                let appends = (0..QUEUE + 10).map(|_| callers.store.append(callers.activity("View")));
                futures_util::future::join_all(appends).await
            });
            tokio::time::sleep(Duration::from_millis(300)).await;
            gate.add_permits(1);
            blocker.await.expect("task").expect("blocker");
            let answers = answers.await.expect("task");
            let refused = answers.iter().filter(|answer| matches!(answer, Err(Error::Overloaded))).count();
            assert_eq!(refused, 10);
            assert_eq!(ground.actions().await.len(), QUEUE);
        })
        .await;
    }
}
