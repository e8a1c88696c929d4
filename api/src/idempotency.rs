//! `Idempotency-Key` on `POST`: for 24 hours the same key gets the same answer, and the change is done once.
//!
//! `POST /api/logs` is left out: it streams, and its events have ids of their own. So is `POST /api/keys` and
//! what makes a secret of a webhook: the answer holds it and is written down nowhere, and the name is taken by the first
//! request anyway.
//! A log-in never comes here: each makes a session of its own.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dashmap::DashMap;
use sha2::{Digest, Sha256};
use store::Begun;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::auth::caller::Identity;
use crate::extract;
use crate::gate::{Recorded, Template};
use crate::problem::{Outcome, Problem};
use crate::shell::Rendered;
use crate::state::AppState;

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Whether keys mean anything for a `POST` of this address.
pub(crate) fn is_taken(path: &str) -> bool {
    !matches!(path, "/api/logs" | "/api/keys" | "/api/webhooks" | "/api/auth/login")
        && !path.ends_with("/rotate-secret")
}

/// The key that a request brings, if keys mean anything for it.
pub(crate) fn key(request: &Request) -> Option<HeaderValue> {
    let path = request.uri().path().trim_end_matches('/');
    if *request.method() != Method::POST || !is_taken(path) {
        return None;
    }
    request.headers().get("idempotency-key").cloned()
}

/// A key as text: 1 to 255 visible characters.
pub(crate) fn text(key: &HeaderValue) -> Outcome<&str> {
    let valid = |text: &&str| (1..=255).contains(&text.len());
    key.to_str()
        .ok()
        .filter(valid)
        .ok_or_else(|| Problem::field("Idempotency-Key", "Idempotency-Key must be 1 to 255 visible ASCII characters"))
}

/// Requests of one key go one after the other, so that the second finds the first one's answer.
#[derive(Default)]
pub(crate) struct Turns(DashMap<String, Arc<Mutex<()>>>);

impl Turns {
    async fn take(&self, name: &str) -> OwnedMutexGuard<()> {
        let lock = self.0.entry(name.to_owned()).or_default().clone();
        lock.lock_owned().await
    }

    /// Forgets a key that nobody waits for.
    fn leave(&self, name: &str, turn: OwnedMutexGuard<()>) {
        drop(turn);
        self.0.remove_if(name, |_, lock| Arc::strong_count(lock) == 1);
    }
}

/// Runs the request unless this key has an answer already.
pub(crate) async fn once(app: &AppState, who: &Template, key: HeaderValue, request: Request, next: Next) -> Response {
    let name = match text(&key) {
        Ok(text) => name(who, text),
        Err(problem) => return problem.into_response(),
    };
    let turn = app.turns.take(&name).await;
    let response = in_turn(app, &name, request, next).await.unwrap_or_else(IntoResponse::into_response);
    app.turns.leave(&name, turn);
    response
}

async fn in_turn(app: &AppState, name: &str, request: Request, next: Next) -> Outcome<Response> {
    let (parts, body) = request.into_parts();
    let body = extract::read_limited(body, extract::MOST_JSON).await?;
    let asked = fingerprint(&parts.method, &parts.uri, &body);
    match app.store.idempotency_begin(name, &asked).await? {
        Begun::New => {}
        Begun::Running { fingerprint, .. } if fingerprint == asked => {
            let error = "A request with this Idempotency-Key was begun and is not answered yet; send it again in a \
                         moment.";
            return Err(Problem::conflict(error).with_reason("key_running").retry_after(1));
        }
        Begun::Done(stored) if stored.fingerprint == asked => return replay(stored.status, stored.body),
        Begun::Running { .. } | Begun::Done(_) => {
            let error = "This Idempotency-Key was used for another request; use a new key.";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error).with_reason("key_reused"));
        }
    }
    let response = app.store.keyed(name, next.run(Request::from_parts(parts, Body::from(body)))).await;
    match response.status() {
        // Who is asking and what they may do is looked at anew each time, and after these nothing was done.
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::INSUFFICIENT_STORAGE => {
            app.store.idempotency_forget(name).await?;
            Ok(response)
        }
        // What was done is marked as done, and that stays. If the database cannot be asked, it is once the request is
        // old enough to be over.
        status if status.is_server_error() => {
            if let Err(error) = app.store.idempotency_forget(name).await {
                tracing::warn!(%error, "whether a request was done is not known yet");
            }
            Ok(response)
        }
        _ => remember(app, name, response).await,
    }
}

/// Keeps the answer before it is given.
async fn remember(app: &AppState, name: &str, response: Response) -> Outcome<Response> {
    let (parts, body) = response.into_parts();
    let body = match parts.extensions.get::<Problem>() {
        Some(problem) => problem.body("").into(),
        None => extract::read_limited(body, usize::MAX).await?,
    };
    if let Err(error) = app.store.idempotency_finish(name, parts.status.as_u16(), body.to_vec()).await {
        // The change is done and stays done: a repetition will be told that its outcome is not known.
        tracing::warn!(%error, "an answer could not be kept for its Idempotency-Key");
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn replay(status: u16, body: Vec<u8>) -> Outcome<Response> {
    let status = StatusCode::from_u16(status).map_err(Problem::internal)?;
    let kind = if status.is_success() { "application/json" } else { "application/problem+json" };
    let mut response = (status, [(header::CONTENT_TYPE, kind)], body).into_response();
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response.extensions_mut().insert(Rendered);
    if status.is_success() {
        // The act that the answer tells of has its activity, and nothing else was done.
        response.extensions_mut().insert(Recorded);
    }
    Ok(response)
}

/// A key belongs to whoever sent it: nobody gets another's answers.
fn name(who: &Template, key: &str) -> String {
    let owner = match &who.identity {
        Some(Identity::User(caller)) => format!("user {}", caller.user.user_id),
        Some(Identity::Key(api_key)) => format!("key {}", api_key.id),
        None => format!("source {}", crate::net::source(who.origin.ip)),
    };
    domain::ids::derived(&[b"idempotency", owner.as_bytes(), key.as_bytes()]).simple().to_string()
}

fn fingerprint(method: &Method, uri: &axum::http::Uri, body: &Bytes) -> Vec<u8> {
    let mut digest = Sha256::new();
    for part in [method.as_str(), uri.path().trim_end_matches('/'), uri.query().unwrap_or_default()] {
        digest.update(part);
        digest.update([0]);
    }
    digest.update(body);
    digest.finalize().to_vec()
}
