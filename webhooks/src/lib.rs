//! Webhooks: alerts told over HTTP, signed, tried again until they are taken, and never to where they should not go.
//!
//! | file | what |
//! |---|---|
//! | `worker` | [`run`]: what is due in the store's outbox → requests → what came of them; one process at a time |
//! | `schedule` | when an attempt that failed is made again |
//! | `send` | [`Sender`]: one request, and why it failed in words that hold no secret |
//! | `message` | the bodies: Standard Webhooks, Slack |
//! | `sign` | signatures, secrets |
//! | `target` | [`check`]: addresses that may be given |
//! | `address`, `resolve` | [`Networks`]: which IP addresses may be spoken to, also when a name leads there |
//!
//! The outbox is written by the store in the transaction of the alert (`store::webhooks`), so what this crate does can
//! be done again: a message has the same id each time, and the receiver knows it by that.
//!
//! To add a format: its word in `store::WebhookFormat`, its body in `message`.

mod address;
mod message;
mod resolve;
mod schedule;
mod send;
mod sign;
mod target;
#[cfg(test)]
mod tls_tests;
mod worker;

pub use address::Networks;
pub use send::{Answer, Sender, Settings, SetupError};
pub use sign::new_secret;
pub use target::{Checked, check};
pub use worker::run;
