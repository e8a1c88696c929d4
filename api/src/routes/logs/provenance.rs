//! Who may report what: the rules by which a posted record becomes an activity.
//!
//! A user's browser speaks for its user only, and what it says is marked as its word (`origin: client`), so that nobody
//! plants evidence, poisons a baseline or occupies the id of a real event. Other systems (by key) and Admins speak for
//! anyone, and are named in `origin`.

use std::sync::Arc;

use domain::trace::TRACEPARENT;
use domain::wire::{Incoming, late};
use domain::{Activity, LogType, MINUTE, Outcome as Ending, Role, Timestamp, username_key};
use uuid::Uuid;

use crate::auth::caller::Caller;
use crate::problem::Outcome;
use crate::state::AppState;

/// How far back a browser may date what it reports, in microseconds.
const CLIENT_LATENESS: i64 = 5 * MINUTE;
/// What only the API itself can know of its users.
const OURS_ALONE: [&str; 4] = ["login", "loginfailed", "logout", "admin"];

/// Who posts.
pub(super) enum Reporter {
    /// A user's browser.
    Client(Arc<Caller>),
    /// An Admin, who may report for others.
    Admin(Arc<Caller>),
    /// Another system, by the name of its key.
    System { key_id: String, name: String },
}

/// Why a record is not taken.
pub(super) enum Refusal {
    /// It does not obey the schema or the rules.
    Invalid(String),
    /// It names somebody else: not a mistake, but an attempt.
    Impersonation(String),
}

/// A record and the place it had in its request.
pub(super) struct Posted {
    pub(super) line: usize,
    pub(super) incoming: Incoming,
}

/// What is the same for all records of one chunk.
pub(super) struct Receipt<'a> {
    pub(super) app: &'a AppState,
    pub(super) request_id: &'a str,
    /// `traceparent` of this request, for records that bring none.
    pub(super) trace: Option<&'a str>,
    /// Makes the ids of records that have none, so that a retry makes them again.
    pub(super) idempotency_key: Option<&'a str>,
    pub(super) received_at: Timestamp,
}

impl Reporter {
    /// Judges what can be judged without looking anything up.
    pub(super) fn check(&self, incoming: &Incoming) -> Result<(), Refusal> {
        let Some(caller) = self.speaks_for_itself(incoming) else { return Ok(()) };
        let other_name = incoming.user.as_deref().is_some_and(|name| username_key(name) != caller.user.username_key);
        if other_name || incoming.user_id.is_some_and(|id| !caller.is(id)) {
            return Err(Refusal::Impersonation("user: names another user than the one who is logged in".into()));
        }
        let action = incoming.action.trim().to_lowercase();
        if OURS_ALONE.contains(&action.as_str()) {
            return Err(Refusal::Invalid(format!("action: {} is recorded by the server alone", incoming.action)));
        }
        Ok(())
    }

    /// The caller whose own act the record is. An Admin's is one that names nobody: the frontend's own clicks.
    fn speaks_for_itself(&self, incoming: &Incoming) -> Option<&Arc<Caller>> {
        let anonymous = incoming.user.is_none()
            && incoming.user_id.is_none()
            && incoming.session_id.is_none()
            && incoming.source_ip.is_none();
        match self {
            Self::Client(caller) => Some(caller),
            Self::Admin(caller) if anonymous => Some(caller),
            Self::Admin(_) | Self::System { .. } => None,
        }
    }

    /// The activities of records that passed [`check`](Self::check).
    pub(super) async fn activities(&self, receipt: &Receipt<'_>, mut posted: Vec<Posted>) -> Outcome<Vec<Activity>> {
        let records = posted.iter_mut().map(|posted| &mut posted.incoming);
        let of_others = records.filter(|incoming| self.speaks_for_itself(incoming).is_none()).collect();
        let mut meant = receipt.app.store.users_meant(of_others).await?.into_iter();
        let mut activities = Vec::with_capacity(posted.len());
        for Posted { line, incoming } in posted {
            let mut activity = match self.speaks_for_itself(&incoming).cloned() {
                Some(caller) => own(receipt, &caller, line, incoming),
                None => self.reported(receipt, line, incoming, meant.next().flatten()),
            };
            activity.late = late(activity.occurred_at, receipt.received_at, receipt.app.config.lateness);
            activity.request_id = Some(receipt.request_id.to_owned());
            if let Some(trace) = receipt.trace {
                activity.attributes.entry(TRACEPARENT).or_insert_with(|| trace.into());
            }
            activities.push(activity);
        }
        Ok(activities)
    }

    /// A record about somebody, by somebody who may say so. `meant` is that user, where it is one of ours.
    fn reported(&self, receipt: &Receipt<'_>, line: usize, incoming: Incoming, meant: Option<(i64, Role)>) -> Activity {
        let (scope, origin) = match self {
            Self::Client(caller) | Self::Admin(caller) => {
                (caller.user.user_id.to_string(), format!("ingest:{}", caller.user.username))
            }
            Self::System { key_id, name } => (key_id.clone(), format!("ingest:{name}")),
        };
        incoming.into_reported(receipt.received_at, receipt.made_id(&[&scope], line), &origin, meant)
    }
}

impl Receipt<'_> {
    /// The id of a record that brings none.
    fn made_id(&self, scope: &[&str], line: usize) -> Uuid {
        let Some(key) = self.idempotency_key else { return domain::ids::event_id(self.received_at) };
        let line = line.to_string();
        let mut parts: Vec<&[u8]> = vec![b"line"];
        parts.extend(scope.iter().map(|part| part.as_bytes()));
        parts.extend([key.as_bytes(), line.as_bytes()]);
        domain::ids::derived(&parts)
    }
}

/// A browser's word about its own user: who, where and how come from the request, whatever the record says.
fn own(receipt: &Receipt<'_>, caller: &Caller, line: usize, mut incoming: Incoming) -> Activity {
    let session: &str = &caller.session_id;
    let id = match incoming.event_id.take() {
        Some(given) => domain::ids::derived(&[session.as_bytes(), given.as_bytes()]),
        None => receipt.made_id(&[session], line),
    };
    // What is older than that is dated now, and what was said is kept, so that a repetition is still known as one.
    let said = incoming.occurred_at.filter(|at| !(0..=CLIENT_LATENESS).contains(&receipt.received_at.since(*at)));
    if let Some(said) = said {
        incoming.occurred_at = None;
        incoming.attributes.insert("occurred_at".into(), said.to_string().into());
    }
    let mut activity = incoming.into_activity(receipt.received_at, id, "client");
    activity.clock_skew = said.is_some();
    activity.user = Some(caller.user.username.clone());
    activity.user_id = Some(caller.user.user_id);
    activity.role = Some(caller.user.role.name().to_owned());
    activity.session_id = Some(session.to_owned());
    activity.source_ip = Some(caller.origin.ip);
    activity.user_agent = caller.origin.user_agent.as_deref().map(str::to_owned);
    activity.log_type = Some(LogType::UiEvent);
    activity.outcome = Ending::Success;
    activity.known_user = true;
    activity
}
