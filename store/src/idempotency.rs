//! Answers kept for requests that carry an `Idempotency-Key`: the same key gets the same answer for 24 hours.
//!
//! A request is begun before anything is done, finished with its answer, and forgotten if nothing was done. One that
//! was begun and never finished says that its outcome is unknown, which is more than repeating it blindly.

use std::sync::Arc;

use domain::{DAY, Timestamp};

use crate::db::{Tx, changed, in_db, in_tx};
use crate::sql::statements;
use crate::{Error, Result, Store};

/// For how long an answer is kept.
const KEPT: i64 = DAY;

statements! {
    GET = "SELECT fingerprint, begun_at, status, body FROM idempotency WHERE request_key = ? AND begun_at > ?";
    BEGIN = "INSERT INTO idempotency (request_key, fingerprint, begun_at) VALUES (?, ?, ?)";
    FINISH = "UPDATE idempotency SET status = ?, body = ? WHERE request_key = ?";
    DROP = "DELETE FROM idempotency WHERE request_key = ? AND status IS NULL";
    EXPIRE = "DELETE FROM idempotency WHERE request_key = ? AND begun_at <= ?";
    FORGET = "DELETE FROM idempotency WHERE begun_at <= ?";
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
    /// A request with this key was begun and has not been answered: it runs, or its process died.
    Running {
        /// Digest of that request.
        fingerprint: Vec<u8>,
        /// When it was begun.
        since: Timestamp,
    },
    /// It was answered.
    Done(StoredAnswer),
}

type Columns = (Vec<u8>, i64, Option<i64>, Option<Vec<u8>>);

fn read((fingerprint, begun_at, status, body): Columns) -> Result<Begun> {
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

    /// Begins a request, or says what is known of its key (up to 255 characters; make it of session or API key and the
    /// header's value). Of several at once exactly one gets `New`.
    ///
    /// # Errors
    /// Nothing was done.
    pub async fn idempotency_begin(&self, key: &str, fingerprint: &[u8]) -> Result<Begun> {
        self.tidy_if_due().await;
        let given = Arc::new((key.to_owned(), fingerprint.to_vec()));
        loop {
            let given = Arc::clone(&given);
            let begun = self
                .write(move |tx| {
                    let given = Arc::clone(&given);
                    Box::pin(async move { begin(tx, &given.0, &given.1).await })
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

async fn begin(tx: &mut Tx, key: &str, fingerprint: &[u8]) -> Result<Begun> {
    let now = tx.now;
    let since = now.plus(-KEPT).micros();
    changed!(tx, sqlx::query(EXPIRE).bind(key).bind(since));
    let row: Option<Columns> =
        in_tx!(tx, c => sqlx::query_as(GET).bind(key).bind(since).fetch_optional(&mut *c).await?);
    if let Some(row) = row {
        return read(row);
    }
    changed!(tx, sqlx::query(BEGIN).bind(key).bind(fingerprint).bind(now.micros()));
    Ok(Begun::New)
}

/// Removes what is older than 24 hours.
pub(crate) async fn forget(tx: &mut Tx) -> Result<u64> {
    let before = tx.now.plus(-KEPT).micros();
    Ok(changed!(tx, sqlx::query(FORGET).bind(before)))
}
