//! What is said of a webhook when it is made or changed.

use domain::Severity;
use store::WebhookFormat;

use crate::extract::{Fields, FromFields};
use crate::problem::{Outcome, Problem};
use crate::words::{self, QueueSeverity};

/// A webhook to be made.
#[derive(utoipa::ToSchema)]
#[schema(as = WebhookMembers, example = json!({
    "name": "on-call", "url": "https://hooks.slack.com/services/T0/B0/XXXX", "format": "slack", "minimum_severity": "High"
}))]
pub(super) struct Members {
    /// What people call it; unique.
    #[schema(max_length = 64, pattern = r"\S")]
    pub(super) name: String,
    /// Where messages go: `https://`, to a public address or one in `WEBHOOK_ALLOWED_NETWORKS`.
    #[schema(min_length = 1, max_length = 2_000)]
    pub(super) url: String,
    /// `standard` unless told.
    #[schema(value_type = Option<words::WebhookFormat>)]
    pub(super) format: WebhookFormat,
    /// Alerts below it are not told (`Low`: all are).
    #[schema(value_type = Option<QueueSeverity>)]
    pub(super) minimum_severity: Severity,
}

/// What is to be changed of a webhook; what is left out stays as it is.
#[derive(utoipa::ToSchema)]
#[schema(as = WebhookChanges, example = json!({ "minimum_severity": "Critical", "enabled": true }))]
pub(super) struct Changes {
    #[schema(max_length = 64)]
    pub(super) name: Option<String>,
    #[schema(max_length = 2_000)]
    pub(super) url: Option<String>,
    /// Only as it is: another format is another webhook.
    #[schema(value_type = Option<words::WebhookFormat>)]
    pub(super) format: Option<WebhookFormat>,
    #[schema(value_type = Option<QueueSeverity>)]
    pub(super) minimum_severity: Option<Severity>,
    pub(super) enabled: Option<bool>,
}

impl FromFields for Members {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self {
            name: name(fields)?.ok_or_else(|| Problem::field("name", "name is required"))?,
            url: fields.required("url", LONGEST)?,
            format: format(fields)?.unwrap_or(WebhookFormat::Standard),
            minimum_severity: minimum(fields)?.unwrap_or(Severity::Low),
        })
    }
}

impl FromFields for Changes {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self {
            name: name(fields)?,
            url: fields.words("url", LONGEST)?,
            format: format(fields)?,
            minimum_severity: minimum(fields)?,
            enabled: fields.flag("enabled")?,
        })
    }
}

/// Characters of an address.
const LONGEST: usize = 2_000;

fn name(fields: &Fields) -> Outcome<Option<String>> {
    let name = fields.words("name", 64)?.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    if name.as_deref().is_some_and(|name| name.chars().any(char::is_control)) {
        return Err(Problem::field("name", "name must be one line of text"));
    }
    Ok(name)
}

fn format(fields: &Fields) -> Outcome<Option<WebhookFormat>> {
    let Some(word) = fields.words("format", 20)? else { return Ok(None) };
    let format = WebhookFormat::from_name(&word.to_ascii_lowercase());
    format.map(Some).ok_or_else(|| Problem::field("format", "format must be standard or slack"))
}

fn minimum(fields: &Fields) -> Outcome<Option<Severity>> {
    const NAME: &str = "minimum_severity";
    let Some(word) = fields.words(NAME, 20)? else { return Ok(None) };
    match word.parse() {
        // Signals are for risk only and never told.
        Ok(Severity::Informational) | Err(_) => {
            Err(Problem::field(NAME, "minimum_severity must be Low, Medium, High or Critical"))
        }
        Ok(severity) => Ok(Some(severity)),
    }
}
