//! Snapshots of the detection engine: its state at an offset, in chunks that belong together.
//!
//! A snapshot may be large, so nothing of it is written in one long transaction: chunk after chunk, and then the row
//! that makes them one. What stopped half-way is never read, and is removed by whoever removes older ones.

use std::sync::Arc;

use domain::{Partition, Timestamp};

use crate::db::{in_db, in_tx, inserted};
use crate::query::run_in_tx;
use crate::sql::statements;
use crate::{Error, Result, Store};

statements! {
    BEGIN = "INSERT INTO engine_snapshots (topic, part, next_offset, digest, made_at, chunks, complete) \
             VALUES (?, ?, ?, ?, ?, 0, 0)";
    ADD = "INSERT INTO engine_snapshot_chunks (snapshot_id, number, bytes) VALUES (?, ?, ?)";
    COUNT = "SELECT COUNT(*) FROM engine_snapshot_chunks WHERE snapshot_id = ? AND number < ?";
    COMPLETE = "UPDATE engine_snapshots SET chunks = ?, complete = 1 WHERE snapshot_id = ?";
    NEWEST = "SELECT snapshot_id, next_offset, made_at, chunks FROM engine_snapshots \
              WHERE topic = ? AND part = ? AND digest = ? AND complete = 1 AND next_offset <= ? \
              ORDER BY next_offset DESC, snapshot_id DESC LIMIT 1";
    READ = "SELECT bytes FROM engine_snapshot_chunks WHERE snapshot_id = ? AND number = ?";
    OTHERS = "SELECT snapshot_id FROM engine_snapshots WHERE topic = ? AND part = ? AND snapshot_id <> ?";
    LAST = "SELECT MAX(number) FROM engine_snapshot_chunks WHERE snapshot_id = ?";
    FORGET_CHUNKS = "DELETE FROM engine_snapshot_chunks WHERE snapshot_id = ? AND number > ?";
    FORGET = "DELETE FROM engine_snapshots WHERE snapshot_id = ?";
}

/// Chunks that are removed at once.
const SOME: i64 = 16;

/// A snapshot of which all chunks are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotRow {
    /// Id of the row.
    pub snapshot_id: i64,
    /// The position in the log up to which the engine had been fed.
    pub offset: i64,
    /// When it was made.
    pub made_at: Timestamp,
    /// How many chunks it has, numbered from 0.
    pub chunks: i64,
}

impl Store {
    /// Begins a snapshot of the engine as it is at `offset` of a partition; its id. `digest` says by what the state was made.
    ///
    /// # Errors
    /// The database failed.
    pub async fn begin_snapshot(&self, partition: Partition, offset: i64, digest: [u8; 32]) -> Result<i64> {
        self.write(move |tx| {
            Box::pin(async move {
                let now = tx.now.micros();
                let (digest, part) = (digest.to_vec(), i64::from(partition.number));
                Ok(inserted!(
                    tx,
                    sqlx::query(BEGIN).bind(partition.topic).bind(part).bind(offset).bind(digest).bind(now)
                ))
            })
        })
        .await
    }

    /// Adds a chunk, well below 16 MiB.
    ///
    /// # Errors
    /// The database failed.
    pub async fn add_snapshot_chunk(&self, snapshot_id: i64, number: i64, bytes: Vec<u8>) -> Result<()> {
        let bytes = Arc::new(bytes);
        self.write(move |tx| {
            let bytes = Arc::clone(&bytes);
            Box::pin(async move {
                run_in_tx!(tx, ADD, snapshot_id, number, bytes.as_slice());
                Ok(())
            })
        })
        .await
    }

    /// Says that a snapshot has all its chunks: from now on it counts.
    ///
    /// # Errors
    /// `Conflict` where some are missing, because somebody else has removed it meanwhile.
    pub async fn complete_snapshot(&self, snapshot_id: i64, chunks: i64) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let (there,): (i64,) = in_tx!(tx, c => {
                    sqlx::query_as(COUNT).bind(snapshot_id).bind(chunks).fetch_one(c).await?
                });
                if there != chunks || run_in_tx!(tx, COMPLETE, chunks, snapshot_id) == 0 {
                    return Err(Error::Conflict("the snapshot was removed while it was written".to_owned()));
                }
                Ok(())
            })
        })
        .await
    }

    /// The newest complete snapshot of a partition and a digest at or before an offset.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn newest_snapshot(
        &self,
        partition: Partition,
        digest: [u8; 32],
        up_to: i64,
    ) -> Result<Option<SnapshotRow>> {
        let part = i64::from(partition.number);
        let row: Option<(i64, i64, i64, i64)> = in_db!(self.db(), db => {
            sqlx::query_as(NEWEST).bind(partition.topic).bind(part).bind(digest.to_vec()).bind(up_to).fetch_optional(db).await?
        });
        Ok(row.map(|(snapshot_id, offset, made_at, chunks)| SnapshotRow {
            snapshot_id,
            offset,
            made_at: Timestamp::from_micros(made_at),
            chunks,
        }))
    }

    /// A chunk of a snapshot.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn snapshot_chunk(&self, snapshot_id: i64, number: i64) -> Result<Option<Vec<u8>>> {
        let row: Option<(Vec<u8>,)> = in_db!(self.db(), db => {
            sqlx::query_as(READ).bind(snapshot_id).bind(number).fetch_optional(db).await?
        });
        Ok(row.map(|(bytes,)| bytes))
    }

    /// Removes all snapshots of a partition but one, also those that stopped half-way, a few chunks at a time; how many.
    ///
    /// # Errors
    /// The database failed; what was removed so far is gone.
    pub async fn forget_snapshots_but(&self, partition: Partition, kept: Option<i64>) -> Result<u64> {
        let part = i64::from(partition.number);
        let others: Vec<(i64,)> = in_db!(self.db(), db => {
            sqlx::query_as(OTHERS).bind(partition.topic).bind(part).bind(kept.unwrap_or(0)).fetch_all(db).await?
        });
        for (snapshot_id,) in &others {
            self.forget_snapshot(*snapshot_id).await?;
        }
        Ok(others.len() as u64)
    }

    async fn forget_snapshot(&self, snapshot_id: i64) -> Result<()> {
        let mut more = true;
        while more {
            more = self
                .write(move |tx| {
                    Box::pin(async move {
                        // Of no use from its first missing chunk on.
                        let (last,): (Option<i64>,) =
                            in_tx!(tx, c => sqlx::query_as(LAST).bind(snapshot_id).fetch_one(c).await?);
                        match last {
                            Some(last) => run_in_tx!(tx, FORGET_CHUNKS, snapshot_id, last - SOME),
                            None => run_in_tx!(tx, FORGET, snapshot_id),
                        };
                        Ok(last.is_some())
                    })
                })
                .await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::Ground;

    const OTHER: Partition = Partition { topic: "activity", number: 0 };

    const RULES: [u8; 32] = [7; 32];

    async fn made(ground: &Ground, offset: i64, chunks: i64) -> i64 {
        let id = ground.store.begin_snapshot(Partition::JOURNAL, offset, RULES).await.expect("begun");
        for number in 0..chunks {
            let bytes = vec![number.to_le_bytes()[0]; 300_000];
            ground.store.add_snapshot_chunk(id, number, bytes).await.expect("added");
        }
        id
    }

    async fn newest(ground: &Ground, up_to: i64) -> Option<(i64, i64)> {
        let row = ground.store.newest_snapshot(Partition::JOURNAL, RULES, up_to).await.expect("read");
        row.map(|row| (row.offset, row.chunks))
    }

    async fn a_snapshot_counts_when_it_is_complete(ground: Ground) {
        let id = made(&ground, 10, 3).await;
        assert_eq!(newest(&ground, 100).await, None);
        assert!(matches!(ground.store.complete_snapshot(id, 4).await, Err(Error::Conflict(_))), "one is missing");
        ground.store.complete_snapshot(id, 3).await.expect("complete");
        assert_eq!(newest(&ground, 10).await, Some((10, 3)));
        assert_eq!(newest(&ground, 9).await, None, "it knows what the offset does not");
        for (partition, digest) in [(Partition::JOURNAL, [8; 32]), (OTHER, RULES)] {
            let other = ground.store.newest_snapshot(partition, digest, 10).await.expect("read");
            assert_eq!(other, None, "of other rules, of another partition");
        }
        assert_eq!(ground.store.snapshot_chunk(id, 2).await.expect("read"), Some(vec![2; 300_000]));
        assert_eq!(ground.store.snapshot_chunk(id, 3).await.expect("read"), None);
    }

    async fn older_ones_and_halves_are_removed(ground: Ground) {
        for (offset, chunks) in [(10, 2), (20, 40), (30, 1)] {
            let id = made(&ground, offset, chunks).await;
            ground.store.complete_snapshot(id, chunks).await.expect("complete");
        }
        assert_eq!(newest(&ground, 25).await, Some((20, 40)));
        let half = made(&ground, 40, 2).await;
        let kept = ground.store.newest_snapshot(Partition::JOURNAL, RULES, 40).await.expect("read").expect("one");
        assert_eq!(ground.store.forget_snapshots_but(OTHER, None).await.expect("removed"), 0);
        assert_eq!(
            ground.store.forget_snapshots_but(Partition::JOURNAL, Some(kept.snapshot_id)).await.expect("removed"),
            3
        );
        assert_eq!((newest(&ground, 29).await, newest(&ground, 40).await), (None, Some((30, 1))));
        assert!(matches!(ground.store.complete_snapshot(half, 2).await, Err(Error::Conflict(_))));
        assert_eq!(ground.store.forget_snapshots_but(Partition::JOURNAL, None).await.expect("removed"), 1);
        assert_eq!(newest(&ground, 40).await, None);
    }

    crate::on_both_engines!(a_snapshot_counts_when_it_is_complete, older_ones_and_halves_are_removed);
}
