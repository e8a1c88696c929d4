//! Who is asking: a user in a live session, or another system with its key.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use domain::trace::TRACEPARENT;
use domain::{Activity, LogType, Timestamp};
use sha2::{Digest, Sha256};
use store::{ApiKey, UserRow};

use crate::problem::{Outcome, Problem};
use crate::shell::RequestId;
use crate::state::AppState;

/// Where a request came from, known before anybody has logged in.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) request: RequestId,
    pub(crate) ip: IpAddr,
    pub(crate) user_agent: Option<Arc<str>>,
    /// `traceparent` of what is done in this request, where it belongs to a trace.
    pub(crate) trace: Option<Arc<str>>,
    pub(crate) now: Timestamp,
}

impl Origin {
    /// An activity of this request without a user.
    pub(crate) fn activity(&self, action: &str, resource: &str, log_type: LogType) -> Activity {
        let mut activity = Activity::new(domain::ids::event_id(self.now), action, self.now);
        self.request.made(activity.event_id);
        activity.resource = Some(resource.to_owned());
        activity.log_type = Some(log_type);
        activity.source_ip = Some(self.ip);
        activity.user_agent = self.user_agent.as_deref().map(str::to_owned);
        activity.request_id = Some(self.request.id().to_owned());
        if let Some(trace) = &self.trace {
            activity.attributes.insert(TRACEPARENT.to_owned(), trace.as_ref().into());
        }
        activity
    }
}

/// A user in a live session.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) user: Arc<UserRow>,
    pub(crate) session_id: Arc<str>,
    pub(crate) session_started: Timestamp,
    pub(crate) origin: Arc<Origin>,
}

impl Caller {
    /// An activity of this user in this request.
    pub(crate) fn activity(&self, action: &str, resource: &str, log_type: LogType) -> Activity {
        let mut activity = self.origin.activity(action, resource, log_type);
        activity.user = Some(self.user.username.clone());
        activity.user_id = Some(self.user.user_id);
        activity.role = Some(self.user.role.name().to_owned());
        activity.session_id = Some(self.session_id.to_string());
        activity.known_user = true;
        activity
    }

    /// Whether the id is the caller's own.
    pub(crate) fn is(&self, user_id: i64) -> bool {
        self.user.user_id == user_id
    }
}

/// Who is asking.
#[derive(Debug, Clone)]
pub(crate) enum Identity {
    /// A user in a live session.
    User(Arc<Caller>),
    /// Another system.
    Key(Arc<ApiKey>),
}

/// The token of the `Authorization` header, if there is one.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Finds out who is asking, or says with a 401 that logging in again helps.
pub(crate) async fn identify(app: &AppState, headers: &HeaderMap, origin: &Arc<Origin>) -> Outcome<Identity> {
    let refuse = |error: &str| {
        app.limits.anonymous(crate::net::source(origin.ip))?;
        Err(Problem::unauthorized(error))
    };
    let Some(token) = bearer(headers) else { return refuse("Log in to continue.") };
    if let Some(key) = token.strip_prefix("sa_") {
        return match key_of(app, key, origin.now).await? {
            Some(key) => {
                app.limits.session(&key.id)?;
                Ok(Identity::Key(Arc::new(key)))
            }
            None => refuse("This API key is unknown, revoked or expired."),
        };
    }
    let claims = app.tokens.read(token).and_then(|claims| Some((claims.user_id()?, claims)));
    let Some((user_id, claims)) = claims else { return refuse("Your log-in has expired. Log in again.") };
    app.limits.session(&claims.sid)?;
    let live = app.store.live_session(&claims.sid, origin.now).await?;
    let Some(live) = live.filter(|live| live.user.user_id == user_id) else {
        return refuse("Your session has ended. Log in again.");
    };
    Ok(Identity::User(Arc::new(Caller {
        user: Arc::new(live.user),
        session_id: live.session_id.into(),
        session_started: live.started_at,
        origin: origin.clone(),
    })))
}

/// `<id>_<secret>`, compared by digest.
async fn key_of(app: &AppState, text: &str, now: Timestamp) -> Outcome<Option<ApiKey>> {
    let Some((id, secret)) = text.split_once('_').filter(|(_, secret)| secret.len() == 43) else { return Ok(None) };
    let Some(key) = app.store.api_key(id).await? else { return Ok(None) };
    let alive = key.expires_at.is_none_or(|at| at > now);
    Ok((alive && Sha256::digest(secret)[..] == key.sha256).then_some(key))
}
