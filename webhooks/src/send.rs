//! One request to a receiver, and what came of it, in words that hold nothing of a secret address.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use domain::{SECOND, Timestamp};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, Response, StatusCode, redirect};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use store::{DueDelivery, WebhookTarget};
use uuid::Uuid;

use crate::address::Networks;
use crate::resolve::{Filtering, Refused};
use crate::target::check;
use crate::{message, sign};

/// How much of an answer is read, so that the connection ends in order; what it says does not matter.
const MOST_READ: usize = 16 * 1024;

/// How webhooks are spoken to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Networks that may be reached beside the public ones.
    pub networks: Networks,
    /// Where the dashboard is, for links: `https://analytics.example.org`, without a slash at its end.
    pub public_url: Option<String>,
    /// How long a request may take, from the look-up of the name to the end of the answer.
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { networks: Networks::default(), public_url: None, timeout: Duration::from_secs(15) }
    }
}

/// Why nothing can be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The client cannot be made.
    #[error("the HTTP client cannot be made: {0}")]
    Client(#[from] reqwest::Error),
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why it is no success; none where it is one.
    pub error: Option<String>,
    /// How long the receiver asks to be left alone, in microseconds.
    pub(crate) asked: Option<i64>,
}

impl Answer {
    fn failed(error: impl Into<String>) -> Self {
        Self { status: None, error: Some(error.into()), asked: None }
    }

    /// Whether the receiver says that it is gone for good.
    pub(crate) fn is_gone(&self) -> bool {
        self.status == Some(StatusCode::GONE.as_u16())
    }
}

/// Sends messages. Cheap to clone.
#[derive(Clone)]
pub struct Sender {
    /// Over TLS: to public addresses, and to networks that were named.
    encrypted: Client,
    /// In plain text: to networks that were named.
    plain: Client,
    settings: Arc<Settings>,
}

impl Sender {
    /// A sender that trusts the certificates that the system trusts.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "certificates that the system trusts cannot be read");
        }
        if found.certs.is_empty() {
            tracing::warn!(
                "the system trusts no certificates, so no webhook with https:// can be told; install ca-certificates"
            );
        }
        Self::trusting(found.certs, settings)
    }

    /// A sender that trusts these certificates.
    pub(crate) fn trusting(roots: Vec<CertificateDer<'static>>, settings: Settings) -> Result<Self, SetupError> {
        let mut trusted = RootCertStore::empty();
        let (_, ignored) = trusted.add_parsable_certificates(roots);
        if ignored > 0 {
            tracing::debug!(ignored, "certificates that the system trusts cannot be used");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(trusted)
            .with_no_client_auth();
        let networks = Arc::new(settings.networks.clone());
        let client = |encrypted| {
            let resolver = Filtering { networks: Arc::clone(&networks), encrypted };
            careful(settings.timeout)
                .tls_backend_preconfigured(tls.clone())
                .https_only(encrypted)
                .dns_resolver(resolver)
        };
        let (encrypted, plain) = (client(true).build()?, client(false).build()?);
        Ok(Self { encrypted, plain, settings: Arc::new(settings) })
    }

    /// Which networks may be reached.
    #[must_use]
    pub fn networks(&self) -> &Networks {
        &self.settings.networks
    }

    /// Sends a message that is due.
    pub(crate) async fn deliver(&self, target: &WebhookTarget, due: &DueDelivery, now: Timestamp) -> Answer {
        let link = self.settings.public_url.as_deref();
        let body = message::about(target.format, &due.event, due.created_at, &due.document, link);
        self.send(target, due.message_id, now, body).await
    }

    /// Sends a message that says nothing but that it came.
    pub async fn test(&self, target: &WebhookTarget, name: &str, now: Timestamp) -> Answer {
        let id = domain::ids::event_id(now);
        self.send(target, id, now, message::test(target.format, name, now)).await
    }

    async fn send(
        &self,
        target: &WebhookTarget,
        id: Uuid,
        now: Timestamp,
        body: serde_json::Result<Vec<u8>>,
    ) -> Answer {
        // The settings may be others than when it was made.
        let checked = match check(&target.url, &self.settings.networks) {
            Ok(checked) => checked,
            Err(said) => return Answer::failed(said),
        };
        let body = match body {
            Ok(body) => body,
            Err(error) => return Answer::failed(format!("the message cannot be written: {error}")),
        };
        let (id, seconds) = (id.to_string(), now.micros() / SECOND);
        let signatures = match sign::signatures(&target.secrets, &id, seconds, &body) {
            Ok(signatures) => signatures,
            Err(error) => return Answer::failed(error.to_string()),
        };
        let client = if checked.is_encrypted() { &self.encrypted } else { &self.plain };
        let request = client
            .post(checked.url)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signatures)
            .body(body);
        match request.send().await {
            Ok(response) => self.judge(response, now).await,
            Err(error) => Answer::failed(self.reason(&error)),
        }
    }

    async fn judge(&self, response: Response, now: Timestamp) -> Answer {
        let (status, asked) = (response.status(), asked(response.headers(), now));
        read(response).await;
        let error = match status {
            status if status.is_success() => None,
            status if status.is_redirection() => {
                Some(format!("answered {}: redirects are not followed", status.as_u16()))
            }
            // The number alone: what a receiver writes beside it is its own.
            status => Some(match status.canonical_reason() {
                Some(words) => format!("answered {} {words}", status.as_u16()),
                None => format!("answered {}", status.as_u16()),
            }),
        };
        let asked = asked.filter(|_| error.is_some());
        Answer { status: Some(status.as_u16()), error, asked }
    }

    /// Why there was no answer.
    fn reason(&self, error: &reqwest::Error) -> String {
        if let Some(refused) = cause::<Refused>(error) {
            return refused.to_string();
        }
        if error.is_timeout() {
            return format!("no answer within {} s", self.settings.timeout.as_secs_f64());
        }
        if let Some(tls) = cause::<rustls::Error>(error) {
            return format!("TLS: {tls}");
        }
        if error.is_dns() {
            return "its name cannot be resolved".to_owned();
        }
        match cause::<io::Error>(error).map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => "the connection was refused".to_owned(),
            Some(kind) if error.is_connect() => format!("no connection: {kind}"),
            _ if error.is_connect() => "no connection".to_owned(),
            _ => "the connection ended without an answer in HTTP".to_owned(),
        }
    }
}

/// A client that goes nowhere but where it is sent, and leaves no connection open: each request looks anew at where its
/// name leads.
fn careful(timeout: Duration) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("security-analytics/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .http1_only()
        .pool_max_idle_per_host(0)
        .timeout(timeout)
}

/// Reads a bounded part of the answer. That it breaks off does not matter: the status says what became of the message.
async fn read(mut response: Response) {
    let mut left = MOST_READ;
    while let Ok(Some(piece)) = response.chunk().await {
        left = left.saturating_sub(piece.len());
        if left == 0 {
            return;
        }
    }
}

/// The wait that `Retry-After` names: seconds, or a date.
fn asked(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(i64::from(seconds) * SECOND);
    }
    let at = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    Some(Timestamp::from_micros(at.timestamp_micros()).since(now).max(0))
}

/// The cause of that type, wherever it stands in the chain; an I/O error hides its own.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| cause(inner)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}
