//! What the story tests share: the real program on a port of its own, and actors who send requests to it.
//!
//! - [`TestApp`]: store, API and workers in a temporary directory; nothing is mocked.
//! - [`Actor`]: somebody with a token, or without one. [`Call`]: one request being put together. [`Answer`]: its answer;
//!   [`Open`]: one that still comes. Each is held against the program's OpenAPI document (`contract.rs`).
//! - The stories stand in `tests/stories`, one file a subject.
//!
//! # How to add a story
//! A function with `#[tokio::test]` in the file of its subject: start a [`TestApp`], let actors act, look at what other
//! actors see. Times come from the app's own [`ManualClock`](domain::ManualClock) where a story has to wait.

mod actor;
mod app;
mod contract;

pub use actor::{Actor, Answer, Call, Open};
pub use app::{Builder, PASSWORD, TestApp};
pub use contract::Form;
