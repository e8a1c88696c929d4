//! The one writer of SQLite: a task that owns the write connection.
//!
//! Whoever writes hands it a unit of work. It takes all that wait, runs them in one `BEGIN IMMEDIATE … COMMIT`, each
//! under a savepoint of its own, then the plain appends in multi-row inserts, and answers after the commit: callers
//! share one fsync, and one unit's error undoes that unit alone. Its queue is bounded; a full one is `Overloaded`.

mod task;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::sync::{mpsc, oneshot};

use crate::db::{Conn, Tx};
use crate::idempotency::KeyedRequest;
use crate::journal::Entry;
use crate::{Error, Result, Shared};
use task::{Task, refined};

/// Units and appends that may wait. Beyond it callers are told to come again: 503 is better than a queue that
/// outlasts their patience.
const QUEUE: usize = 4_096;

/// A unit of work: may be run more than once (MySQL), so it takes what it needs by clones.
pub(crate) trait Unit<T>: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static {}
impl<T, F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static> Unit<T> for F {}

/// The unit, done for the request that is given: whatever it records marks that request as done.
pub(crate) fn on_behalf_of<T>(request: Option<Arc<KeyedRequest>>, unit: impl Unit<T>) -> impl Unit<T> {
    move |tx: &mut Tx| {
        tx.request.clone_from(&request);
        unit(tx)
    }
}

/// Runs a unit; a panic in it is an error of that unit and of nothing else.
pub(crate) async fn run_unit<T, F: Unit<T>>(unit: &F, tx: &mut Tx) -> Result<T> {
    let run = AssertUnwindSafe(async { unit(tx).await });
    run.catch_unwind().await.unwrap_or_else(|_| Err(Error::fault("a unit of work panicked")))
}

/// A unit that waits for its turn, with its type hidden.
trait Waiting: Send {
    /// Runs it and keeps what came of it; whether it succeeded.
    fn run<'t>(&'t mut self, tx: &'t mut Tx) -> BoxFuture<'t, bool>;
    /// Why it failed, if it has.
    fn failure(&self) -> Option<&Error>;
    /// Tells the caller what came of it, which is `failed` where the transaction failed.
    fn answer(self: Box<Self>, failed: Option<&Error>, file: &Path);
}

struct Call<T, F> {
    unit: F,
    outcome: Option<Result<T>>,
    done: oneshot::Sender<Result<T>>,
}

impl<T: Send + 'static, F: Unit<T>> Waiting for Call<T, F> {
    fn run<'t>(&'t mut self, tx: &'t mut Tx) -> BoxFuture<'t, bool> {
        Box::pin(async move {
            let outcome = run_unit(&self.unit, tx).await;
            let succeeded = outcome.is_ok();
            self.outcome = Some(outcome);
            succeeded
        })
    }

    fn failure(&self) -> Option<&Error> {
        self.outcome.as_ref().and_then(|outcome| outcome.as_ref().err())
    }

    fn answer(self: Box<Self>, failed: Option<&Error>, file: &Path) {
        let answer = match (self.outcome, failed) {
            (Some(Err(error)), _) => Err(refined(error, file)),
            (Some(Ok(_)) | None, Some(failed)) => Err(failed.again()),
            (Some(Ok(value)), None) => Ok(value),
            (None, None) => Err(Error::Overloaded),
        };
        // The caller may have gone: what was committed stays.
        drop(self.done.send(answer));
    }
}

/// An append that waits.
struct Append {
    entry: Entry,
    outcome: Result<()>,
    done: oneshot::Sender<Result<()>>,
}

enum Job {
    Append(Append),
    Unit(Box<dyn Waiting>),
    Close(oneshot::Sender<()>),
}

/// The way to the writer.
#[derive(Clone)]
pub(crate) struct Writer(mpsc::Sender<Job>);

impl Writer {
    /// Opens the write connection and starts the task; it ends with the last handle, or on [`close`](Self::close).
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) async fn start(options: SqliteConnectOptions, file: PathBuf, shared: Arc<Shared>) -> Result<Self> {
        let connection = options.connect().await?;
        let (sender, jobs) = mpsc::channel(QUEUE);
        let tx = Tx::new(Conn::Sqlite(connection), shared.clock.now());
        tokio::spawn(Task::new(jobs, tx, options, file, shared).run());
        Ok(Self(sender))
    }

    /// Runs a unit of work and returns what came of it, after the commit.
    ///
    /// # Errors
    /// The unit's own, or those of the transaction; nothing was done.
    pub(crate) async fn run<T: Send + 'static, F: Unit<T>>(&self, unit: F) -> Result<T> {
        let (done, answer) = oneshot::channel();
        self.send(Job::Unit(Box::new(Call { unit, outcome: None, done })))?;
        answer.await.map_err(|_| closed())?
    }

    /// Appends one entry to the journal; returns after the commit.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(crate) fn append(&self, entry: Entry) -> impl Future<Output = Result<()>> + use<> {
        let (done, answer) = oneshot::channel();
        let sent = self.send(Job::Append(Append { entry, outcome: Ok(()), done }));
        async move {
            sent?;
            answer.await.map_err(|_| closed())?
        }
    }

    /// Finishes what waits and closes the connection.
    pub(crate) async fn close(&self) {
        let (done, answer) = oneshot::channel();
        if self.0.send(Job::Close(done)).await.is_ok() {
            // An error says that the task has ended, which is what was asked for.
            drop(answer.await);
        }
    }

    fn send(&self, job: Job) -> Result<()> {
        self.0.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::Overloaded,
            mpsc::error::TrySendError::Closed(_) => closed(),
        })
    }
}

fn closed() -> Error {
    Error::fault("the store is closed")
}
