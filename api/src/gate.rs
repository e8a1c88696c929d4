//! The gate: every route behind it has an identity, and every request through it leaves exactly one activity, durable
//! before the answer.
//!
//! A handler that changes something journals its activity in the transaction of the change and says so with
//! [`Recorded`]. For everything else the gate writes it: what was seen (with the [`Note`] of the handler), what was
//! refused, what did not exist. A 401, a 429 and a 5xx leave none: nobody acted, or nothing was done.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::{Activity, LogType, Outcome as Ending};

use crate::auth::caller::{Caller, Identity, Origin, identify};
use crate::config::Peer;
use crate::problem::Problem;
use crate::shell::RequestId;
use crate::state::AppState;

/// Says that the activity of this request is already in the journal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recorded;

/// What a handler knows about its own activity; the rest follows from method and path.
#[derive(Debug, Clone, Default)]
pub(crate) struct Note {
    pub(crate) action: Option<&'static str>,
    pub(crate) resource: Option<String>,
    pub(crate) records: Option<usize>,
    pub(crate) log_type: Option<LogType>,
    pub(crate) detail: Option<String>,
}

/// Where the request came from; behind this, [`Origin`] is in its extensions.
pub(crate) async fn locate(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().map_or(std::net::IpAddr::from([127, 0, 0, 1]), |peer| peer.0);
    let headers = request.headers();
    let origin = Origin {
        request_id: request.extensions().get::<RequestId>().map_or_else(|| "".into(), |id| id.0.clone()),
        ip: crate::net::client(peer, headers, &app.config.trusted_proxies),
        user_agent: headers
            .get(header::USER_AGENT)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).chars().filter(|c| *c != '\0').take(255).collect()),
        now: app.clock.now(),
    };
    request.extensions_mut().insert(origin);
    // Log-in answers carry tokens, so this holds before the gate as well as behind it.
    let mut response = detached(request, next).await;
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A change runs in a task of its own: a client that goes away must not stop it half-way.
async fn detached(request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(error) => Problem::internal(error).into_response(),
    }
}

/// Identity in, activity out.
pub(crate) async fn pass(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let Some(origin) = request.extensions().get::<Origin>().cloned() else {
        return Problem::internal("no origin").into_response();
    };
    let identity = match identify(&app, request.headers(), &origin).await {
        Ok(identity) => identity,
        Err(problem) => return problem.into_response(),
    };
    request.extensions_mut().insert(identity.clone());
    let attempt = Attempt::of(&request);
    let response = next.run(request).await;
    let Identity::User(caller) = &identity else { return response };
    if let Some(activity) = attempt.ended(caller, &response)
        && let Err(error) = app.store.append(activity).await
    {
        return Problem::from(error).into_response();
    }
    response
}

/// What the request tries, as its method and path say.
struct Attempt {
    action: &'static str,
    resource: String,
    log_type: LogType,
}

impl Attempt {
    fn of(request: &Request) -> Self {
        let path = request.uri().path();
        let path = path.strip_prefix("/api/").unwrap_or(path).trim_matches('/');
        let group = path.split('/').next().unwrap_or_default();
        let last = path.rsplit('/').next().unwrap_or_default();
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let action = match *request.method() {
            _ if group == "analytics" => "View",
            _ if !reads && matches!(group, "alerts" | "exceptions" | "rules" | "keys") => "Admin",
            Method::POST => "Create",
            Method::PUT | Method::PATCH => "Update",
            Method::DELETE => "Delete",
            _ => "View",
        };
        let business = matches!(group, "inventory" | "orders" | "users" | "logs");
        let look_up = matches!(last, "categories" | "roles" | "risk" | "activity-summary");
        let log_type = if business && !look_up { LogType::DataAccess } else { LogType::System };
        Self { action, resource: path.chars().take(255).collect(), log_type }
    }

    /// The activity that the answer leaves to the gate, if it leaves one.
    fn ended(&self, caller: &Caller, response: &Response) -> Option<Activity> {
        let status = response.status();
        let quiet =
            status.is_server_error() || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS);
        if quiet || response.extensions().get::<Recorded>().is_some() {
            return None;
        }
        let mut activity = self.activity(caller);
        if status.is_client_error() {
            let denied = status == StatusCode::FORBIDDEN;
            activity.outcome = if denied { Ending::Denied } else { Ending::Failure };
            activity.attributes.insert("status".into(), status.as_u16().into());
            let problem = response.extensions().get::<Problem>();
            activity.reason = problem.and_then(|problem| problem.reason).map(str::to_owned);
            let why = problem.map_or("", |problem| problem.error.as_str());
            let word = if denied { "Refused" } else { "Failed" };
            activity.detail = Some(format!("{word}: {} {}: {why}", self.action, self.resource));
        } else if let Some(note) = response.extensions().get::<Note>() {
            self.complete(&mut activity, note);
        }
        Some(activity)
    }

    fn activity(&self, caller: &Caller) -> Activity {
        let mut activity = caller.activity(self.action, &self.resource, self.log_type);
        activity.detail = Some(format!("{} {}", self.action, self.resource));
        activity
    }

    fn complete(&self, activity: &mut Activity, note: &Note) {
        activity.action = note.action.unwrap_or(self.action).to_owned();
        activity.log_type = note.log_type.or(activity.log_type);
        if let Some(resource) = &note.resource {
            activity.resource = Some(resource.clone());
        }
        activity.records = note.records.map(|records| i64::try_from(records).unwrap_or(i64::MAX));
        let resource = activity.resource.as_deref().unwrap_or_default();
        activity.detail = Some(note.detail.clone().unwrap_or_else(|| match note.records {
            Some(records) => format!("{} {resource} ({records} records)", activity.action),
            None => format!("{} {resource}", activity.action),
        }));
    }
}
