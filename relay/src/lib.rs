//! Between the database and Kafka: the journal goes out, and what other systems write comes in by the same journal.
//!
//! | file | what |
//! |---|---|
//! | `outward` | [`run`]: the journal → topics `activity`, `activity.by-source` and `alerts`; one process at a time |
//! | `message` | a row of the journal as messages: topic, key, CloudEvents headers |
//! | `inward` | [`take_in`]: topic `activity.in` → the journal, or the dead letters; [`read_again`]: one of those once more |
//! | `status` | [`Status`]: how far it is, for whoever asks |
//!
//! Everything that is in `activity` came through the journal, so a rule that counts by address sees what one sees that
//! counts by user, and an id cannot come twice under two keys.

mod inward;
mod message;
mod outward;
mod status;

pub use inward::{Again, Intake, read_again, take_in};
pub use outward::{RelayError, run};
pub use status::Status;
