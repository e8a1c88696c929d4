//! What log-in throttling counts. Counted by the submitted name, whether or not there is such a user, with the same
//! statements for every name; kept as a digest, because people type passwords into the field for the name.

use std::sync::Arc;

use domain::{Activity, DAY, HOUR, MINUTE, Timestamp, ids};

use crate::db::{Tx, changed, in_db};
use crate::sql::{id_bytes, statements};
use crate::{Error, Result, Store};

/// What counts for (name, source) and for a source.
const SHORT: i64 = 15 * MINUTE;
/// What counts for a name from sources that it never logged in from.
const LONG: i64 = HOUR;
/// For how long a source is known to a name.
const KNOWN: i64 = 30 * DAY;
/// More failures than this of one (name, source) change nothing any more.
const MOST: i64 = 64;

statements! {
    LAST_SUCCESS = "SELECT last_at FROM login_sources WHERE name_id = ? AND source = ?";
    OF_PAIR = "SELECT at FROM login_failures WHERE name_id = ? AND source = ? AND at > ? ORDER BY at DESC LIMIT ?";
    OF_SOURCE = "SELECT COUNT(*), MAX(at) FROM login_failures WHERE source = ? AND at > ?";
    NAMES = "SELECT COUNT(DISTINCT f.name_id) FROM login_failures f WHERE f.source = ? AND f.at > ? AND NOT EXISTS \
             (SELECT 1 FROM login_sources s WHERE s.name_id = f.name_id AND s.source = f.source AND s.last_at > ?)";
    FOREIGN = "SELECT COUNT(*), MAX(f.at) FROM login_failures f WHERE f.name_id = ? AND f.at > ? AND NOT EXISTS \
               (SELECT 1 FROM login_sources s WHERE s.name_id = f.name_id AND s.source = f.source AND s.last_at > ?)";
    FAILED = "INSERT INTO login_failures (name_id, source, at) VALUES (?, ?, ?)";
    SUCCEEDED_AGAIN = "UPDATE login_sources SET last_at = ? WHERE name_id = ? AND source = ?";
    SUCCEEDED = "INSERT INTO login_sources (last_at, name_id, source) VALUES (?, ?, ?)";
    FORGET_FAILURES = "DELETE FROM login_failures WHERE at <= ?";
    FORGET_SOURCES = "DELETE FROM login_sources WHERE last_at <= ?";
}

/// What went before an attempt to log in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Failures of this name from this source within 15 minutes and since its last success there, newest first.
    pub pair_failures: Vec<Timestamp>,
    /// Failures of the source within 15 minutes.
    pub source_failures: i64,
    /// Names that failed from the source within 15 minutes, without those that logged in from it within 30 days.
    pub source_names: i64,
    /// The newest failure of the source.
    pub last_source_failure: Option<Timestamp>,
    /// Failures of this name within 60 minutes from sources that it did not log in from within 30 days.
    pub foreign_failures: i64,
    /// The newest of them.
    pub last_foreign_failure: Option<Timestamp>,
    /// Whether this name has logged in from this source within 30 days.
    pub known_source: bool,
}

/// The digest under which a name is counted.
fn name_id(key: &str) -> Vec<u8> {
    id_bytes(ids::derived(&[b"login", key.as_bytes()]))
}

impl Store {
    /// What counts for an attempt of the compared name `key` from `source` at `now`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn login_attempts(&self, key: &str, source: &str, now: Timestamp) -> Result<Attempts> {
        let name = name_id(key);
        let name = name.as_slice();
        let (short, long, known) = (now.plus(-SHORT).micros(), now.plus(-LONG).micros(), now.plus(-KNOWN).micros());
        in_db!(self.db(), db => {
            let success: Option<i64> = sqlx::query_scalar(LAST_SUCCESS).bind(name).bind(source).fetch_optional(db).await?;
            let since = short.max(success.unwrap_or(i64::MIN));
            let pair: Vec<i64> =
                sqlx::query_scalar(OF_PAIR).bind(name).bind(source).bind(since).bind(MOST).fetch_all(db).await?;
            let (source_failures, last_source): (i64, Option<i64>) =
                sqlx::query_as(OF_SOURCE).bind(source).bind(short).fetch_one(db).await?;
            let source_names = sqlx::query_scalar(NAMES).bind(source).bind(short).bind(known).fetch_one(db).await?;
            let (foreign_failures, last_foreign): (i64, Option<i64>) =
                sqlx::query_as(FOREIGN).bind(name).bind(long).bind(known).fetch_one(db).await?;
            Ok(Attempts {
                pair_failures: pair.into_iter().map(Timestamp::from_micros).collect(),
                source_failures,
                source_names,
                last_source_failure: last_source.map(Timestamp::from_micros),
                foreign_failures,
                last_foreign_failure: last_foreign.map(Timestamp::from_micros),
                known_source: success.is_some_and(|at| at > known),
            })
        })
    }

    /// Counts a failure at the time of its activity, and stores that activity in the same transaction.
    ///
    /// # Errors
    /// Nothing was done.
    pub async fn login_failed(&self, key: &str, source: &str, activity: Activity) -> Result<()> {
        let given = Arc::new((name_id(key), source.to_owned(), activity));
        self.write(move |tx| {
            let given = Arc::clone(&given);
            Box::pin(async move {
                let (name, source, activity) = &*given;
                let at = activity.received_at;
                changed!(tx, sqlx::query(FAILED).bind(&**name).bind(source.as_str()).bind(at.micros()));
                tx.append(activity).await
            })
        })
        .await?;
        self.tidy_if_due().await;
        Ok(())
    }

    /// Makes the source known to the name and clears the failures of this pair, of nothing else.
    ///
    /// # Errors
    /// Nothing was done.
    pub async fn login_succeeded(&self, key: &str, source: &str, now: Timestamp) -> Result<()> {
        let given = Arc::new((name_id(key), source.to_owned()));
        loop {
            let given = Arc::clone(&given);
            let written = self
                .write(move |tx| {
                    let given = Arc::clone(&given);
                    Box::pin(async move {
                        for text in [SUCCEEDED_AGAIN, SUCCEEDED] {
                            let (name, source) = &*given;
                            let done =
                                changed!(tx, sqlx::query(text).bind(now.micros()).bind(&**name).bind(source.as_str()));
                            if done > 0 {
                                break;
                            }
                        }
                        Ok(())
                    })
                })
                .await;
            // Two first log-ins at once: the other one has made the row.
            if !matches!(written, Err(Error::Duplicate)) {
                return written;
            }
        }
    }
}

/// Removes what no longer counts.
pub(crate) async fn forget(tx: &mut Tx) -> Result<u64> {
    let now = tx.now;
    let mut removed = 0;
    for (text, before) in [(FORGET_FAILURES, now.plus(-LONG)), (FORGET_SOURCES, now.plus(-KNOWN))] {
        removed += changed!(tx, sqlx::query(text).bind(before.micros()));
    }
    Ok(removed)
}
