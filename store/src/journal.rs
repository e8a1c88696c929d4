//! The journal: every activity, and every change of an alert, in the order of commits.

use std::sync::Arc;

use domain::{Activity, JournalError, JournalRead, JournalRecord, Timestamp, Topic};
use sqlx::{MySqlConnection, SqliteConnection};
use tracing::Instrument;

use crate::db::{Conn, Db, Tx, changed, in_db};
use crate::sql::{SIZES, chunks, id_bytes, lists, statements};
use crate::{Error, Result, Store, idempotency};

statements! {
    SPAN = "SELECT COALESCE(MIN(seq), 0), COALESCE(MAX(seq), 0) FROM journal";
    COUNT = "SELECT COUNT(*) FROM journal";
    READ = "SELECT seq, topic, payload, appended_at FROM journal WHERE seq > ? ORDER BY seq LIMIT ?";
    OLDEST = "SELECT appended_at FROM journal ORDER BY seq LIMIT 1";
    FIRST = "SELECT MIN(seq) FROM journal WHERE seq <= ?";
    TRIM = "DELETE FROM journal WHERE seq >= ? AND seq <= ?";
}

/// SQLite's own account of positions given, which outlives the rows.
pub(crate) const LAST: &str = "SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'journal'";
const SEQUENCES: &str = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'sqlite_sequence'";

lists! {
    INSERT = "INSERT INTO journal (topic, event_id, payload, appended_at) VALUES ", "(?,?,?,?)", "";
    DELETE = "DELETE FROM journal WHERE seq IN (", "?", ")";
}

/// Rows that one transaction of `trim_journal` deletes, so that others get their turn between.
const TRIM_ROWS: i64 = 2_000;

/// Bytes of one insert on MySQL; `max_allowed_packet` is 16 MiB on a MariaDB that nobody has touched.
const PACKET: usize = 4 * 1024 * 1024;

/// A row to be appended.
#[derive(Debug)]
pub(crate) struct Entry {
    topic: Topic,
    /// Unique among the rows; alerts, which come in revisions, have none.
    event_id: Option<Vec<u8>>,
    payload: String,
}

impl Entry {
    pub(crate) fn activity(activity: &Activity) -> Self {
        Self { topic: Topic::Activity, event_id: Some(id_bytes(activity.event_id)), payload: activity.to_json() }
    }
}

/// How much the journal holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalStatus {
    /// Rows that nobody has removed yet.
    pub rows: i64,
    /// The newest position given, also when its row has been removed; 0 while there has been none. On MySQL it is the
    /// newest that is there or that this process has made.
    pub last_seq: i64,
}

macro_rules! bound {
    ($rows:expr, $count:expr, $now:expr) => {
        $rows.fold(sqlx::query(INSERT.of($count)), |query, entry| {
            query.bind(entry.topic.as_str()).bind(entry.event_id.as_deref()).bind(&*entry.payload).bind($now.micros())
        })
    };
}

/// Inserts exactly `count` rows, one of the fixed sizes; returns the position of the last.
pub(crate) async fn insert_sqlite(
    connection: &mut SqliteConnection,
    rows: impl Iterator<Item = &Entry>,
    count: usize,
    now: Timestamp,
) -> Result<i64> {
    Ok(bound!(rows, count, now).execute(connection).await?.last_insert_rowid())
}

/// Inserts rows in a transaction.
pub(crate) async fn insert_entries(tx: &mut Tx, entries: &[Entry]) -> Result<()> {
    let now = tx.now;
    for piece in chunks(entries) {
        let last = match &mut tx.conn {
            Conn::Sqlite(connection) => insert_sqlite(connection, piece.iter(), piece.len(), now).await?,
            Conn::MySql(transaction) => insert_mysql(transaction, piece, now).await?,
        };
        tx.effects.last_seq = tx.effects.last_seq.max(last);
    }
    Ok(())
}

/// Inserts a piece of one of the fixed sizes, in smaller ones where it would not go into one packet; returns about the
/// position of the last row (MySQL names the first of a statement).
async fn insert_mysql(connection: &mut MySqlConnection, piece: &[Entry], now: Timestamp) -> Result<i64> {
    let bytes: usize = piece.iter().map(|entry| entry.payload.len()).sum();
    let size = if bytes > PACKET { piece.len().min(SIZES[1]) } else { piece.len() };
    let mut last = 0;
    for part in piece.chunks(size) {
        let first = bound!(part.iter(), part.len(), now).execute(&mut *connection).await?.last_insert_id();
        last = i64::try_from(first).unwrap_or(i64::MAX).saturating_add(i64::try_from(part.len()).unwrap_or(1) - 1);
    }
    Ok(last)
}

/// The newest position ever given, 0 for none; also before the table exists.
pub(crate) async fn last_seq_sqlite(connection: &mut SqliteConnection) -> Result<i64> {
    let tables: i64 = sqlx::query_scalar(SEQUENCES).fetch_one(&mut *connection).await?;
    Ok(if tables == 0 { 0 } else { sqlx::query_scalar(LAST).fetch_one(connection).await? })
}

impl Tx {
    /// Writes an activity into the journal, in this transaction; a request with an `Idempotency-Key` is thereby done.
    ///
    /// # Errors
    /// `Duplicate` where its id is there already; `Overloaded` where the journal is full.
    pub(crate) async fn append(&mut self, activity: &Activity) -> Result<()> {
        if self.journal_full {
            return Err(Error::Overloaded);
        }
        insert_entries(self, &[Entry::activity(activity)]).await?;
        match self.request.clone() {
            Some(request) => idempotency::done(self, &request).await,
            None => Ok(()),
        }
    }

    /// Writes a revision of an alert (its JSON) into the journal, in this transaction.
    ///
    /// # Errors
    /// The insert failed.
    pub(crate) async fn append_alert(&mut self, payload: String) -> Result<()> {
        insert_entries(self, &[Entry { topic: Topic::Alerts, event_id: None, payload }]).await
    }
}

impl Store {
    /// Appends an activity of our own, with an id made for it. Concurrent calls share one insert and one commit; the
    /// call returns after that commit.
    ///
    /// # Errors
    /// `Overloaded`, `DiskFull`: nothing was done. `Duplicate`: the id was not a new one.
    pub async fn append(&self, activity: Activity) -> Result<()> {
        self.shared().room_in_journal()?;
        let entry = Entry::activity(&activity);
        let span = self.db().commit_span();
        match self.db() {
            Db::Sqlite { writer, .. } => writer.append(entry).instrument(span).await,
            Db::MySql { writer, .. } => writer.append(entry).instrument(span).await,
        }
    }

    /// How much the journal holds.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn journal_status(&self) -> Result<JournalStatus> {
        let (first, last): (i64, i64) = in_db!(self.db(), db => sqlx::query_as(SPAN).fetch_one(db).await?);
        let rows = match self.db() {
            _ if last == 0 => 0,
            // Here the positions have no holes: rows are removed from the front only.
            Db::Sqlite { .. } => last - first + 1,
            Db::MySql { pool, .. } => sqlx::query_scalar(COUNT).fetch_one(pool).await?,
        };
        // The rows may all have been removed.
        let last_seq = last.max(*self.tail().borrow());
        self.shared().journal_has(rows);
        Ok(JournalStatus { rows, last_seq })
    }

    /// Removes the rows up to and with `up_to_seq`, which all readers have worked on. Returns how many.
    ///
    /// # Errors
    /// Some rows may be left; trimming again goes on.
    pub async fn trim_journal(&self, up_to_seq: i64) -> Result<u64> {
        let mut removed = 0;
        loop {
            let first: Option<i64> =
                in_db!(self.db(), db => sqlx::query_scalar(FIRST).bind(up_to_seq).fetch_one(db).await?);
            let Some(first) = first else { return Ok(removed) };
            let last = up_to_seq.min(first.saturating_add(TRIM_ROWS - 1));
            removed += self
                .write(move |tx| Box::pin(async move { Ok(changed!(tx, sqlx::query(TRIM).bind(first).bind(last))) }))
                .await?;
        }
    }

    /// Rows after `after` for the relay, in order of their positions. On MySQL a lower position can be committed
    /// later: whoever reads there keeps looking below what it has seen.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn journal_page(&self, after: i64, limit: usize) -> Result<Vec<JournalRecord>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<(i64, String, String, i64)> =
            in_db!(self.db(), db => sqlx::query_as(READ).bind(after).bind(limit).fetch_all(db).await?);
        rows.into_iter()
            .map(|(seq, topic, payload, at)| {
                let topic = Topic::from_name(&topic)
                    .ok_or_else(|| Error::fault(format!("journal row {seq} has an unknown topic")))?;
                Ok(JournalRecord { seq, topic, payload, appended_at: Timestamp::from_micros(at) })
            })
            .collect()
    }

    /// When about the oldest row was appended that is still there; none in an empty journal.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn journal_oldest(&self) -> Result<Option<Timestamp>> {
        let oldest: Option<i64> = in_db!(self.db(), db => sqlx::query_scalar(OLDEST).fetch_optional(db).await?);
        Ok(oldest.map(Timestamp::from_micros))
    }

    /// Removes the rows at exactly these positions: what the relay has had confirmed.
    ///
    /// # Errors
    /// None of them was removed.
    pub async fn journal_delete(&self, seqs: Vec<i64>) -> Result<()> {
        let seqs = Arc::new(seqs);
        self.write(move |tx| {
            let seqs = Arc::clone(&seqs);
            Box::pin(async move {
                for piece in chunks(&seqs) {
                    changed!(tx, piece.iter().fold(sqlx::query(DELETE.of(piece.len())), |query, seq| query.bind(*seq)));
                }
                Ok(())
            })
        })
        .await
    }
}

impl JournalRead for Store {
    async fn read_after(&self, after: i64, limit: usize) -> std::result::Result<Vec<JournalRecord>, JournalError> {
        if let Db::MySql { .. } = self.db() {
            return Err(JournalError("on MySQL positions are not in the order of commits; the relay reads it".into()));
        }
        self.journal_page(after, limit).await.map_err(|error| JournalError(error.to_string()))
    }

    async fn wait(&self, after: i64) {
        let mut tail = self.tail();
        // The sender lives as long as this store does.
        drop(tail.wait_for(|last| *last > after).await);
    }
}
