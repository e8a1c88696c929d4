//! Ingest: from the journal to `user_logs`, sessions, counts and dead letters, each activity once.
//!
//! | file | what |
//! |---|---|
//! | `worker` | [`run`]: batches, each stored with ingest's offset in one transaction |
//! | `group` | [`run_group`]: the same for the partitions of Kafka's topic that fall to this process |
//! | `halving` | what cannot be stored, found and put aside |
//!
//! What cannot be stored however often it is tried (poison) is isolated by halving its batch and goes to the dead
//! letters. What is worth another try (a full disk, a lost connection) is tried again, with growing pauses; nothing is
//! passed over. The two are different types: `store::ApplyError::Poison` and `Transient`.

mod group;
mod halving;
mod worker;

pub use group::run_group;
pub use worker::{IngestError, run};
