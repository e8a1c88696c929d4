//! The detector: rules, the engine that evaluates them in event time, and what stands around it.
//!
//! | module | what |
//! |---|---|
//! | [`rules`] | from Sigma documents to compiled rules, and which detections an activity matches |
//! | [`engine`] | pure: activities in, alerts out |
//! | [`worker`], `recovery`, `sink` | live: the journal → the engine → alerts and offset; coming back after a restart |
//! | [`distributed`], `rebuild` | the worker once for each partition that falls to this process; the engine of one that falls to it anew |
//! | `recent` | the activities read last, for alerts that name them |
//! | `traces` | under which span an event was looked at, for alerts that name it |
//! | `snapshots` | the engine's state in the database, so that coming back is quick |
//! | [`mod@reprocess`] | the engine over stored activities, and the alerts that are missing |
//! | [`backtest`] | the engine over events, with a summary; changes nothing |
//! | `seen`, `wording` | the ids that a file has brought; whom an alert is about, as its event says it |
//! | [`scenario`] | folders of events and expected alerts beside the rules |
//!
//! To add a type of rule see [`engine`]; a built-in rule is a file in `rules/` and a line in `rules::built_in`.

pub mod backtest;
pub mod distributed;
pub mod engine;
mod rebuild;
mod recent;
mod recovery;
pub mod reprocess;
pub mod rules;
pub mod scenario;
mod seen;
mod sink;
mod snapshots;
mod traces;
mod wording;
pub mod worker;
