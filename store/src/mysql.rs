//! Writing on MariaDB and MySQL: pooled READ COMMITTED transactions, run again after a deadlock, and the tasks that
//! gather concurrent appends into multi-row inserts.
//!
//! Each transaction runs in a task of its own: a caller that goes away half-way through `begin` would otherwise give a
//! connection with an open transaction back to the pool.

use std::sync::Arc;
use std::time::Duration;

use sqlx::MySqlPool;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::db::{Conn, Effects, Tx};
use crate::journal::{self, Entry};
use crate::writer::{Unit, run_unit};
use crate::{Error, Result, Shared};

/// Appends that may wait.
const QUEUE: usize = 4_096;
/// Rows of one insert.
const BATCH: usize = 512;
/// Appenders at work: while one waits for its fsync the next gathers, and the server shares fsyncs among them.
const APPENDERS: usize = 2;
/// Runs of one transaction before its caller is told that the database is busy.
const ATTEMPTS: u32 = 8;

type Append = (Entry, oneshot::Sender<Result<()>>);

/// The way to the appenders.
#[derive(Clone)]
pub(crate) struct MySqlWriter(mpsc::Sender<Append>);

impl MySqlWriter {
    /// Starts the appenders; they end with the last handle.
    pub(crate) fn start(pool: &MySqlPool, shared: &Arc<Shared>) -> Self {
        let (sender, waiting) = mpsc::channel(QUEUE);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..APPENDERS {
            tokio::spawn(gather(Arc::clone(&waiting), pool.clone(), Arc::clone(shared)));
        }
        Self(sender)
    }

    /// Appends one entry to the journal; returns after the commit.
    ///
    /// # Errors
    /// The queue is full, or the insert failed.
    pub(crate) async fn append(&self, entry: Entry) -> Result<()> {
        let (done, answer) = oneshot::channel();
        self.0.try_send((entry, done)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Error::fault("the store is closed"),
        })?;
        answer.await.map_err(|_| Error::fault("the store is closed"))?
    }
}

/// Takes what waits, inserts it in one transaction, answers.
async fn gather(waiting: Arc<Mutex<mpsc::Receiver<Append>>>, pool: MySqlPool, shared: Arc<Shared>) {
    loop {
        let mut batch = Vec::new();
        if waiting.lock().await.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        let (entries, callers): (Vec<Entry>, Vec<_>) = batch.into_iter().unzip();
        let entries = Arc::new(entries);
        let all = insert(&pool, &shared, &entries, 0..entries.len()).await;
        for (at, caller) in callers.into_iter().enumerate() {
            let answer = match &all {
                Ok(()) => Ok(()),
                // One of them exists already: that one's caller alone is told so.
                Err(Error::Duplicate) => insert(&pool, &shared, &entries, at..at + 1).await,
                Err(error) => Err(error.again()),
            };
            drop(caller.send(answer));
        }
    }
}

async fn insert(
    pool: &MySqlPool,
    shared: &Arc<Shared>,
    entries: &Arc<Vec<Entry>>,
    range: std::ops::Range<usize>,
) -> Result<()> {
    let entries = Arc::clone(entries);
    attempts(pool, shared, move |tx| {
        let (entries, range) = (Arc::clone(&entries), range.clone());
        Box::pin(async move { journal::insert_entries(tx, &entries[range]).await })
    })
    .await
}

/// Runs a unit of work in a transaction of its own, in a task of its own.
///
/// # Errors
/// The unit's own; `Overloaded` where it was rolled back too often; `Fault` where the commit's fate is unknown.
pub(crate) async fn run<T: Send + 'static, F: Unit<T>>(pool: &MySqlPool, shared: &Arc<Shared>, unit: F) -> Result<T> {
    let (pool, shared) = (pool.clone(), Arc::clone(shared));
    let task = tokio::spawn(async move { attempts(&pool, &shared, unit).await });
    task.await.unwrap_or_else(|error| Err(Error::Fault(error.into())))
}

async fn attempts<T: Send + 'static, F: Unit<T>>(pool: &MySqlPool, shared: &Arc<Shared>, unit: F) -> Result<T> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let error = match once(pool, shared, &unit).await {
            Ok(value) => return Ok(value),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::RolledBack(error)) => error,
        };
        if !error.is_transient() {
            return Err(error);
        }
        if attempt == ATTEMPTS {
            tracing::warn!(%error, attempt, "a transaction was given up");
            return Err(Error::Overloaded);
        }
        // Spread by the clock's last digits: who collided should not collide again.
        let spread = u64::from(shared.clock.now().micros().unsigned_abs() as u8) * 40;
        tokio::time::sleep(Duration::from_micros((1_000 << attempt.min(6)) + spread)).await;
    }
}

enum Failure {
    /// Nothing was done.
    RolledBack(Error),
    /// Not to be tried again.
    Final(Error),
}

async fn once<T, F: Unit<T>>(pool: &MySqlPool, shared: &Arc<Shared>, unit: &F) -> std::result::Result<T, Failure> {
    let begun = pool.begin().await.map_err(|error| Failure::RolledBack(error.into()))?;
    let mut tx = Tx::new(Conn::MySql(begun), shared.clock.now());
    tx.journal_full = shared.room_in_journal().is_err();
    let ran = run_unit(unit, &mut tx).await;
    let Tx { conn, effects, .. } = tx;
    let Conn::MySql(transaction) = conn else { return Err(Failure::Final(Error::fault("not MySQL"))) };
    match ran {
        Ok(value) => {
            commit(transaction, effects, shared).await?;
            Ok(value)
        }
        Err(error) => {
            // A connection that cannot even roll back is broken: the pool finds that out and drops it.
            if let Err(broken) = transaction.rollback().await {
                tracing::debug!(error = %broken, "ROLLBACK");
            }
            Err(Failure::RolledBack(error))
        }
    }
}

async fn commit(
    transaction: sqlx::Transaction<'static, sqlx::MySql>,
    effects: Effects,
    shared: &Arc<Shared>,
) -> std::result::Result<(), Failure> {
    match transaction.commit().await {
        Ok(()) => {
            shared.committed(&effects);
            Ok(())
        }
        // A server's own word that it rolled back may be believed; of a lost connection nobody knows.
        Err(error @ sqlx::Error::Database(_)) => Err(Failure::RolledBack(error.into())),
        Err(error) => Err(Failure::Final(error.into())),
    }
}
