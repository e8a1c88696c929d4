//! Webhooks: where alerts are told over HTTP, and the outbox of what is still to be told.
//!
//! | file | what |
//! |---|---|
//! | `manage` | [`Store::create_webhook`] and what else an Admin does with one |
//! | `outbox` | a changed alert → a row for each webhook that is to hear of it, in the alert's own transaction |
//! | `deliver` | what is due, and what came of an attempt |
//! | `deliveries` | looking at deliveries, sending a dead one again, forgetting old ones |
//!
//! Address and secret of a webhook are read by the sender alone ([`WebhookTarget`], whose `Debug` tells neither); lists
//! show [`WebhookRow`].

mod deliver;
mod deliveries;
mod manage;
pub(crate) mod outbox;

pub use deliver::{Attempted, DueDelivery, Next, WebhookTarget};
pub use deliveries::{DeliveryRow, DeliveryState, OutboxStatus};
pub use manage::{NewWebhook, WebhookChange, WebhookFormat, WebhookRow};

/// How many webhooks there may be: each may have connections of its own open.
pub const MOST_WEBHOOKS: i64 = 50;
