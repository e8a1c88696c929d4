//! What every other crate speaks of: activities, alerts, roles, time, ids and the journal. No I/O, no async runtime.
//!
//! | file | what |
//! |---|---|
//! | `activity` | [`Activity`], its [`Outcome`] and [`LogType`]: the stored and published form |
//! | [`wire`] | untrusted bytes → [`Activity`]: aliases, limits, errors that name the field |
//! | `alert` | [`Alert`], its [`AlertState`] and [`Escalation`]s |
//! | `severity` | [`Severity`] of an alert, [`risk_level`] of a user |
//! | [`risk`] | the risk of a user as a function of alerts and time |
//! | `role`, `account` | [`Role`]; rules of names and passwords |
//! | `journal` | [`JournalRead`]: the ordered log that the workers read |
//! | `partition` | [`Partition`]s of a log, and by which keys activities are split among them |
//! | [`metric`] | the names of the figures that the program keeps of itself |
//! | [`trace`] | traces across processes: an activity's `traceparent`, and who exports spans |
//! | `clock`, `time`, `ids`, `name` | the only clock, [`Timestamp`], ids, canonical user names |
//!
//! To add a member to the activity: the field in `activity`, its row in [`wire`]'s table, its column in the store.

mod account;
mod activity;
mod alert;
mod clock;
pub mod ids;
mod journal;
pub mod metric;
mod name;
mod partition;
pub mod risk;
mod role;
mod severity;
mod time;
pub mod trace;
pub mod wire;

pub use account::{check_password, check_username};
pub use activity::{Activity, LogType, Outcome};
pub use alert::{Alert, AlertState, Escalation};
pub use clock::{Clock, ManualClock, SharedClock, SystemClock};
pub use journal::{JournalError, JournalRead, JournalRecord, Topic};
pub use name::username_key;
pub use partition::{Partition, network, source_key, user_key};
pub use role::Role;
pub use severity::{Severity, risk_level};
pub use time::{DAY, HOUR, MINUTE, SECOND, Timestamp};
pub use wire::WireError;
