//! Answers kept for requests that carry an `Idempotency-Key`: the same key gets the same answer for 24 hours, also when
//! the program dies on the way.
//!
//! A request is begun before anything is done, and forgotten if nothing was done. While it runs in [`Store::keyed`],
//! the transaction of its change marks it as done and keeps the answer that the handler has prepared
//! ([`KeyedRequest::will_answer`]). So of one that was begun by a process that died, it is known whether it was done.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use domain::{DAY, SECOND, Timestamp};

use crate::db::{Db, Tx, changed, in_db, in_tx};
use crate::sql::statements;
use crate::{Error, Result, Store};

/// For how long an answer is kept.
const KEPT: i64 = DAY;

/// How long a request may run before it is taken for dead: by another process on MySQL (if it is not, its transaction
/// finds that it is not its own any more, and is undone), and by its own, where requests of one key take turns.
const DEAD: i64 = 15 * SECOND;

statements! {
    GET = "SELECT fingerprint, begun_at, owner, done, status, body FROM idempotency WHERE request_key = ? AND begun_at > ?";
    BEGIN = "INSERT INTO idempotency (request_key, fingerprint, begun_at, owner, done) VALUES (?, ?, ?, ?, 0)";
    TAKE_OVER = "UPDATE idempotency SET fingerprint = ?, begun_at = ?, owner = ? \
                 WHERE request_key = ? AND owner = ? AND begun_at = ? AND done = 0";
    DONE = "UPDATE idempotency SET done = 1, status = ?, body = ? WHERE request_key = ? AND owner = ?";
    FINISH = "UPDATE idempotency SET done = 1, status = ?, body = ? WHERE request_key = ?";
    DROP = "DELETE FROM idempotency WHERE request_key = ? AND done = 0";
    EXPIRE = "DELETE FROM idempotency WHERE request_key = ? AND begun_at <= ?";
    FORGET = "DELETE FROM idempotency WHERE begun_at <= ?";
}

tokio::task_local! {
    static CURRENT: Arc<KeyedRequest>;
}

/// The request under way that carries a key.
#[derive(Debug)]
pub struct KeyedRequest {
    key: String,
    owner: Vec<u8>,
    answer: Mutex<Option<(u16, Vec<u8>)>>,
}

impl KeyedRequest {
    /// The one in which this task is, if it is in one. Ask in the handler, not in what it hands to the store: that
    /// runs in another task.
    #[must_use]
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Prepares the answer that is kept with the change. Call it where the activity of the change is made.
    pub fn will_answer(&self, status: u16, body: Vec<u8>) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some((status, body));
    }
}

/// An answer that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// HTTP status.
    pub status: u16,
    /// The body as it was sent.
    pub body: Vec<u8>,
    /// Digest of the request: the same key with another request is a mistake of the client's.
    pub fingerprint: Vec<u8>,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// Nothing was: the request is ours to do.
    New,
    /// A request with this key was begun and has not been answered: it runs, or it was done by a process that died
    /// before the answer was known.
    Running {
        /// Digest of that request.
        fingerprint: Vec<u8>,
        /// When it was begun.
        since: Timestamp,
    },
    /// It was answered.
    Done(StoredAnswer),
}

type Columns = (Vec<u8>, i64, Vec<u8>, i64, Option<i64>, Option<Vec<u8>>);

fn read((fingerprint, begun_at, _, _, status, body): Columns) -> Result<Begun> {
    Ok(match status {
        None => Begun::Running { fingerprint, since: Timestamp::from_micros(begun_at) },
        Some(status) => {
            let status = u16::try_from(status).map_err(|error| Error::Fault(error.into()))?;
            Begun::Done(StoredAnswer { status, body: body.unwrap_or_default(), fingerprint })
        }
    })
}

impl Store {
    /// The answer that was given to a key within 24 hours.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn idempotent(&self, key: &str) -> Result<Option<StoredAnswer>> {
        let since = self.clock().now().plus(-KEPT).micros();
        let row: Option<Columns> =
            in_db!(self.db(), db => sqlx::query_as(GET).bind(key).bind(since).fetch_optional(db).await?);
        match row.map(read).transpose()? {
            Some(Begun::Done(answer)) => Ok(Some(answer)),
            _ => Ok(None),
        }
    }

    /// Runs a request that was begun, so that its change and the mark that it is done are one transaction.
    pub async fn keyed<F: Future>(&self, key: &str, request: F) -> F::Output {
        let (key, owner) = (key.to_owned(), self.owner().to_vec());
        CURRENT.scope(Arc::new(KeyedRequest { key, owner, answer: Mutex::new(None) }), request).await
    }

    /// Begins a request, or says what is known of its key (up to 255 characters; make it of session or API key and the
    /// header's value). Of several at once exactly one gets `New`. One that a dead process had begun and not done is
    /// new again: on SQLite any of another process, because one at a time serves requests; else after some seconds.
    ///
    /// # Errors
    /// Nothing was done.
    pub async fn idempotency_begin(&self, key: &str, fingerprint: &[u8]) -> Result<Begun> {
        self.tidy_if_due().await;
        let patience = if matches!(self.db(), Db::Sqlite { .. }) { 0 } else { DEAD };
        let given = Arc::new((key.to_owned(), fingerprint.to_vec(), self.owner().to_vec()));
        loop {
            let given = Arc::clone(&given);
            let begun = self
                .write(move |tx| {
                    let given = Arc::clone(&given);
                    Box::pin(async move { begin(tx, &given.0, &given.1, &given.2, patience).await })
                })
                .await;
            // Another request with this key was first: look at it.
            if !matches!(begun, Err(Error::Duplicate)) {
                return begun;
            }
        }
    }

    /// Keeps the answer of a request that was begun.
    ///
    /// # Errors
    /// `NotFound` where it was not begun.
    pub async fn idempotency_finish(&self, key: &str, status: u16, body: Vec<u8>) -> Result<()> {
        let given = Arc::new((key.to_owned(), body));
        self.write(move |tx| {
            let given = Arc::clone(&given);
            Box::pin(async move {
                let (key, body) = &*given;
                let done =
                    changed!(tx, sqlx::query(FINISH).bind(i64::from(status)).bind(body.as_slice()).bind(key.as_str()));
                if done == 0 { Err(Error::NotFound) } else { Ok(()) }
            })
        })
        .await
    }

    /// Forgets a request that was begun and of which nothing was done (503, 507): it may be tried again.
    ///
    /// # Errors
    /// The key stays as it is.
    pub async fn idempotency_forget(&self, key: &str) -> Result<()> {
        let key = Arc::new(key.to_owned());
        self.write(move |tx| {
            let key = Arc::clone(&key);
            Box::pin(async move {
                changed!(tx, sqlx::query(DROP).bind(key.as_str()));
                Ok(())
            })
        })
        .await
    }
}

async fn begin(tx: &mut Tx, key: &str, fingerprint: &[u8], owner: &[u8], patience: i64) -> Result<Begun> {
    let now = tx.now;
    let since = now.plus(-KEPT).micros();
    changed!(tx, sqlx::query(EXPIRE).bind(key).bind(since));
    let row: Option<Columns> =
        in_tx!(tx, c => sqlx::query_as(GET).bind(key).bind(since).fetch_optional(&mut *c).await?);
    let Some(row) = row else {
        changed!(tx, sqlx::query(BEGIN).bind(key).bind(fingerprint).bind(now.micros()).bind(owner));
        return Ok(Begun::New);
    };
    let (begun_at, holder, done) = (row.1, &row.2, row.3 != 0);
    let patience = if holder == owner { DEAD } else { patience };
    if done || now.since(Timestamp::from_micros(begun_at)) < patience {
        return read(row);
    }
    let taken = changed!(
        tx,
        sqlx::query(TAKE_OVER)
            .bind(fingerprint)
            .bind(now.micros())
            .bind(owner)
            .bind(key)
            .bind(holder.as_slice())
            .bind(begun_at)
    );
    // Another try was faster: look again.
    if taken == 0 { Err(Error::Duplicate) } else { Ok(Begun::New) }
}

/// Marks the request as done, with the answer that was prepared, in the transaction of what it did.
pub(crate) async fn done(tx: &mut Tx, request: &KeyedRequest) -> Result<()> {
    let answer = request.answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (status, body) = answer.map_or((None, None), |(status, body)| (Some(i64::from(status)), Some(body)));
    let marked = changed!(
        tx,
        sqlx::query(DONE).bind(status).bind(body.as_deref()).bind(request.key.as_str()).bind(request.owner.as_slice())
    );
    if marked == 0 {
        return Err(Error::Conflict("Another try of this request has taken its place.".into()));
    }
    Ok(())
}

/// Removes what is older than 24 hours.
pub(crate) async fn forget(tx: &mut Tx) -> Result<u64> {
    let before = tx.now.plus(-KEPT).micros();
    Ok(changed!(tx, sqlx::query(FORGET).bind(before)))
}
