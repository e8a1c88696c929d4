//! What the API lets others do: it depends on no detector, so whoever puts the program together hands these in.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use domain::Timestamp;
use serde_json::{Map, Value};
use store::WebhookTarget;

/// A future as the hooks return it.
pub type HookFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a reprocess did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reprocessed {
    /// Activities that went through the engine.
    pub analyzed: u64,
    /// Alerts that were stored.
    pub new_alerts: u64,
    /// Alerts that were there already.
    pub known_alerts: u64,
}

/// Runs the engine over the stored activities from a time to a time and stores the alerts that lateness kept out.
/// The error is a cause for the log.
pub type Reprocess = Arc<dyn Fn(Timestamp, Timestamp) -> HookFuture<Result<Reprocessed, String>> + Send + Sync>;

/// Compiles the rules of a YAML text and runs them over the stored activities of a span; the answer is shown as it
/// is. The error is a sentence for the author of the rules.
pub type DryRun = Arc<dyn Fn(String, Timestamp, Timestamp) -> HookFuture<Result<Value, String>> + Send + Sync>;

/// The key of an active rule's alerts, by the rule's id and the key as somebody wrote it: under any names of its fields,
/// with values in any form.
pub type AlertKey = Arc<dyn Fn(&str, &BTreeMap<String, String>) -> Result<Vec<KeyPart>, NoKey> + Send + Sync>;

/// A part of the key of a rule's alerts, as it stands in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPart {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// What it names.
    pub names: Named,
}

/// What a part of a key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// A user by canonical name.
    User,
    /// A user by id.
    UserId,
    /// A session.
    Session,
    /// An IPv4 address, or the network of an IPv6 one.
    Source,
    /// Nobody for sure.
    Other,
}

/// Why there is no such key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoKey {
    /// No active rule has the id.
    NoRule,
    /// The rule only serves others and has no alerts.
    NoAlerts,
    /// A part, as it was written, and what is wrong with it: goes on where the name ends.
    Part(String, String),
}

/// Whether the database takes changes (`database`), and how far the workers are: the members of `/api/health/ready`
/// beside `status`. The error is that the database does not answer.
pub type Readiness = Arc<dyn Fn() -> HookFuture<store::Result<Map<String, Value>>> + Send + Sync>;

/// The text of `GET /metrics`.
pub type Metrics = Arc<dyn Fn() -> HookFuture<String> + Send + Sync>;

/// Reads the address of a webhook: the whole of it, and as much of it as people may see. The error is a sentence about
/// `url`.
pub type CheckUrl = Arc<dyn Fn(&str) -> Result<(String, String), String> + Send + Sync>;

/// Sends a message that says nothing but that it came to a webhook, by its name; none where too many are being sent.
pub type TestWebhook = Arc<dyn Fn(WebhookTarget, String) -> HookFuture<Option<WebhookTest>> + Send + Sync>;

/// What came of a message that was sent as a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookTest {
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why it is no success; none where it is one. Holds no secret of the address.
    pub error: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// What only the sender of webhooks can do.
#[derive(Clone)]
pub struct Webhooks {
    /// Whether an address may be given.
    pub check: CheckUrl,
    /// Makes a secret.
    pub new_secret: fn() -> String,
    /// `POST /api/webhooks/{webhook_id}/test`.
    pub test: TestWebhook,
}

/// All hooks; absent ones make their endpoints answer 503.
#[derive(Clone)]
pub struct Hooks {
    /// The active rules, as `GET /api/rules` shows them: an array of objects that have an `id`.
    pub rules: Arc<Value>,
    /// The texts of the files that they come from, by each rule's `file`.
    pub rule_files: Arc<HashMap<String, String>>,
    /// The keys of exceptions.
    pub alert_key: AlertKey,
    /// `POST /api/analytics/run-rule-detection` with `force_reprocess`.
    pub reprocess: Option<Reprocess>,
    /// `POST /api/rules/dry-run`.
    pub dry_run: Option<DryRun>,
    /// `GET /api/health/ready` and the workers in `GET /api/system`.
    pub readiness: Readiness,
    /// `/api/webhooks`, as far as it is not the store's.
    pub webhooks: Option<Webhooks>,
    /// `GET /metrics`; absent, there is nothing at that address.
    pub metrics: Option<Metrics>,
}
