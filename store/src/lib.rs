//! Everything that is kept: SQL on SQLite (one file, embedded) and on MariaDB/MySQL. The only user of sqlx.
//!
//! | file | what |
//! |---|---|
//! | `db` | the two engines; **how to write a read and a unit of work for both** |
//! | `sql` | how statement texts are declared, repeated and checked |
//! | `writer`, `mysql` | transactions: SQLite's one writer with group commit; MySQL's pool with retry |
//! | `cache` | hot rows in memory, exact because this process is the one writer |
//! | `open`, `schema` | opening, checks at the start; migrations and what they are compatible with |
//! | `journal` | the ordered log: appends, [`JournalRead`](domain::JournalRead), trimming |
//! | `posted`, `by_id` | activities that others post, each id once; activities by their ids |
//! | `lease` | one leader among many processes |
//! | `users`, `sessions_auth`, `login_attempts`, `api_keys` | who may come in |
//! | `items`, `orders` | the inventory |
//! | `settings`, `idempotency` | values kept by name; answers kept for repeated requests |
//! | `query` | statements put together from filters |
//! | `offsets`, `ingest` | how far readers of the log have come; activities → `user_logs`, sessions, counts |
//! | `logs`, `log_sessions`, `dead_letters`, `retention` | what ingest stored, read and forgotten |
//! | `alerts`, `exceptions`, `gaps` | what the rules found, what people made of it, what was not seen |
//! | `snapshots` | the state of the detection engine, for its restart |
//! | `scores`, `analytics` | the risk of users, and what the analytics pages show |
//! | `webhooks` | where alerts are told over HTTP, and the outbox of what is still to be told |
//! | `import` | rows of an existing installation, taken over once |
//! | `overview` | what the dashboard shows at a glance |
//!
//! To add a resource: its table in a new pair of migrations (`migrations/sqlite`, `migrations/mysql`, twins), its file
//! here with its texts in `statements!`, which makes the test that prepares them, its calls in the conformance suite.

mod alerts;
mod analytics;
mod api_keys;
mod by_id;
mod cache;
mod db;
mod dead_letters;
mod error;
mod exceptions;
mod gaps;
mod idempotency;
mod import;
mod ingest;
mod items;
mod journal;
mod lease;
mod log_sessions;
mod login_attempts;
mod logs;
mod mysql;
mod offsets;
mod open;
mod orders;
mod overview;
mod posted;
mod query;
mod retention;
mod schema;
mod scores;
mod sessions_auth;
mod settings;
mod snapshots;
mod sql;
mod users;
mod webhooks;
mod writer;

/// The tests' databases; they call the crate by its name, from inside as from outside.
#[cfg(test)]
#[path = "../tests/harness/mod.rs"]
mod harness;
#[cfg(test)]
extern crate self as store;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use domain::SharedClock;
use tokio::sync::watch;
use tracing::Instrument;

pub use alerts::{
    AlertFilter, AlertOrder, AlertRow, Change, Detected, DetectionBatch, Evidence, HistoryRow, News, Seen, Stored,
    Triage,
};
pub use analytics::{DashboardStats, DetectionRow, FlagFilter, FlagRow, RiskProfile, TopAnomaly};
pub use api_keys::{ApiKey, NewApiKey};
pub use dead_letters::DeadLetterRow;
pub use error::{BoxedCause, Error, Result};
pub use exceptions::{ExceptionRow, NewException};
pub use gaps::{GapRow, NewGap};
pub use idempotency::{Begun, KeyedRequest, StoredAnswer};
pub use import::{
    ImportedItem, ImportedOrder, ImportedSession, ImportedUser, Legacy, LegacyItem, LegacyLog, LegacyOrder,
    LegacySession, LegacyUser, Taken,
};
pub use ingest::{IngestRecord, Ingested};
pub use items::{ItemChange, ItemList, ItemRow, NewItem};
pub use journal::JournalStatus;
pub use lease::Lease;
pub use log_sessions::{SessionFilter, SessionRow};
pub use login_attempts::Attempts;
pub use logs::{LogFilter, LogRow, StoredActivity, StoredRange};
pub use offsets::{ApplyError, DETECTOR, INGEST, INTAKE, Move, Position};
pub use orders::{OrderError, OrderRow};
pub use overview::{RiskyUser, RuleStats};
pub use posted::{Appended, Intake, Readable, TakenIn};
pub use query::Cursor;
pub use schema::SchemaState;
pub use scores::{Finding, ScoreFilter, ScoreRow, UserRisk};
pub use sessions_auth::LiveSession;
pub use snapshots::SnapshotRow;
pub use users::{NewUser, UserChange, UserRow};
pub use webhooks::{
    Attempted, DeliveryRow, DeliveryState, DueDelivery, MOST_WEBHOOKS, NewWebhook, Next, OutboxStatus, WebhookChange,
    WebhookFormat, WebhookRow, WebhookTarget,
};

use cache::Caches;
use db::{Db, Effects};
use writer::Unit;

/// The database. Cheap to clone; every method is one whole transaction, or one statement that reads.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    db: Db,
    shared: Arc<Shared>,
    /// When [`Store::tidy`] last ran by itself.
    tidied: AtomicI64,
    /// Names this opening of the database among all.
    owner: Vec<u8>,
}

/// What the store shares with the task that writes.
pub(crate) struct Shared {
    pub(crate) clock: SharedClock,
    pub(crate) caches: Caches,
    /// The highest journal position that is committed.
    tail: watch::Sender<i64>,
    /// From how many rows on the journal takes no more activities.
    journal_limit: AtomicI64,
    /// Whether it had so many when it was last looked at.
    journal_full: AtomicBool,
}

impl Shared {
    pub(crate) fn new(clock: SharedClock, caches: Caches) -> Arc<Self> {
        let (journal_limit, journal_full) = (AtomicI64::new(i64::MAX), AtomicBool::new(false));
        Arc::new(Self { clock, caches, tail: watch::Sender::new(0), journal_limit, journal_full })
    }

    /// Refuses an activity while the journal is full.
    pub(crate) fn room_in_journal(&self) -> Result<()> {
        if self.journal_full.load(Ordering::Relaxed) { Err(Error::Overloaded) } else { Ok(()) }
    }

    /// Takes note of how many rows the journal has.
    pub(crate) fn journal_has(&self, rows: i64) {
        self.journal_full.store(rows >= self.journal_limit.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// What follows a commit, before anybody is answered.
    pub(crate) fn committed(&self, effects: &Effects) {
        if effects.last_seq > 0 {
            self.tail.send_if_modified(|last| {
                let later = effects.last_seq > *last;
                *last = effects.last_seq.max(*last);
                later
            });
        }
    }
}

impl Store {
    pub(crate) fn db(&self) -> &Db {
        &self.0.db
    }

    pub(crate) fn caches(&self) -> &Caches {
        &self.0.shared.caches
    }

    pub(crate) fn clock(&self) -> &SharedClock {
        &self.0.shared.clock
    }

    /// The time of the clock that the store was opened with.
    #[must_use]
    pub fn now(&self) -> domain::Timestamp {
        self.clock().now()
    }

    pub(crate) fn owner(&self) -> &[u8] {
        &self.0.owner
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    /// From `rows` rows on the journal takes no more activities: changes and reads are answered with `Overloaded` until
    /// its readers have caught up. Looked at by [`journal_status`](Self::journal_status), so call that now and then.
    pub fn limit_journal(&self, rows: i64) {
        self.shared().journal_limit.store(rows, Ordering::Relaxed);
    }

    pub(crate) fn tail(&self) -> watch::Receiver<i64> {
        self.0.shared.tail.subscribe()
    }

    /// Runs a unit of work in a transaction (see `db`).
    ///
    /// # Errors
    /// The unit's own, or the transaction's.
    pub(crate) async fn write<T: Send + 'static>(&self, unit: impl Unit<T>) -> Result<T> {
        let unit = writer::on_behalf_of(KeyedRequest::current(), unit);
        let span = self.db().commit_span();
        match self.db() {
            Db::Sqlite { writer, .. } => writer.run(unit).instrument(span).await,
            Db::MySql { pool, .. } => mysql::run(pool, &self.0.shared, unit).instrument(span).await,
        }
    }
}
