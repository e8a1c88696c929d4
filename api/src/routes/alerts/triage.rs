//! What analysts make of alerts.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use domain::wire::MAX_ATTRIBUTE_BYTES;
use domain::{Activity, LogType, Role, username_key};
use serde::Serialize;
use serde_json::Value;
use store::{AlertRow, Seen, Triage};
use uuid::Uuid;

use super::{AlertId, View, missing, tagged};
use crate::answer;
use crate::auth::caller::Caller;
use crate::auth::rights::{Allowed, SeeAnalytics};
use crate::extract::{Body, Fields, FromFields, whole_number};
use crate::openapi::changed;
use crate::problem::{Outcome, PROBLEM, Problem};
use crate::state::AppState;
use crate::words::{TriageStatus, Verdict};

/// Alerts in one request.
const MOST: usize = 500;

/// The word, if it is a status.
pub(super) fn status(word: &str) -> Outcome<String> {
    match word {
        "open" | "acknowledged" | "closed" => Ok(word.to_owned()),
        _ => Err(Problem::field("status", "status must be open, acknowledged or closed")),
    }
}

/// What is to be changed; at least a status, a verdict or an assignee.
#[derive(utoipa::ToSchema)]
#[schema(as = TriageMembers, example = json!({
    "status": "closed", "verdict": "benign", "reason": "The yearly stocktaking."
}))]
pub(super) struct Change {
    /// To close takes a verdict and a reason. Another verdict than an alert has takes a reason too.
    #[schema(value_type = Option<TriageStatus>)]
    status: Option<String>,
    #[schema(value_type = Option<Verdict>)]
    verdict: Option<String>,
    #[schema(max_length = 2_000)]
    reason: Option<String>,
    /// Who looks after it; `null` or empty: nobody.
    #[schema(max_length = 100)]
    assignee: Option<String>,
}

impl FromFields for Change {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        let verdict = fields.words("verdict", 20)?;
        if let Some(verdict) = &verdict
            && !matches!(verdict.as_str(), "true_positive" | "benign" | "false_positive")
        {
            return Err(Problem::field("verdict", "verdict must be true_positive, benign or false_positive"));
        }
        let change = Self {
            status: fields.words("status", 20)?.map(|word| status(&word)).transpose()?,
            verdict,
            reason: fields.said("reason", 2_000)?,
            assignee: match fields.said("assignee", 100)? {
                None if fields.has("assignee") => Some(String::new()),
                assignee => assignee,
            },
        };
        let closes = change.status.as_deref() == Some("closed");
        if closes && change.verdict.is_none() {
            return Err(Problem::field("verdict", "verdict is required to close an alert"));
        }
        if closes && change.reason.is_none() {
            return Err(Problem::field("reason", "reason is required to close an alert"));
        }
        if change.status.is_none() && change.verdict.is_none() && change.assignee.is_none() {
            return Err(Problem::field("status", "Send a status, a verdict or an assignee."));
        }
        Ok(change)
    }
}

impl Change {
    fn by(&self, caller: &Caller) -> Triage {
        Triage {
            status: self.status.clone(),
            verdict: self.verdict.clone(),
            reason: self.reason.clone(),
            assignee: self.assignee.clone(),
            by_user: caller.user.username.clone(),
        }
    }

    /// The act of triage is itself an activity.
    fn activity(&self, caller: &Caller, resource: &str, what: &str) -> Activity {
        let mut activity = caller.activity("Admin", resource, LogType::System);
        let parts = [("status", &self.status), ("verdict", &self.verdict), ("assignee", &self.assignee)];
        let mut told = Vec::new();
        for (name, value) in parts {
            match value.as_deref() {
                None => {}
                Some("") => {
                    activity.attributes.insert(name.into(), Value::Null);
                    told.push(format!("no {name}"));
                }
                Some(value) => {
                    activity.attributes.insert(name.into(), value.into());
                    told.push(format!("{name} {value}"));
                }
            }
        }
        let why = self.reason.as_deref().map_or_else(String::new, |reason| format!(": {reason}"));
        activity.detail = Some(format!("Triaged {what}: {}{why}", told.join(", ")));
        if let Some(reason) = &self.reason {
            activity.attributes.insert("reason".into(), reason.clone().into());
        }
        activity
    }
}

/// Says which alerts an activity is about, as many as have room in it, and how many more there are.
fn name_alerts(activity: &mut Activity, ids: &[Uuid]) {
    /// An id in quotes with its comma.
    const ONE: usize = 39;
    /// The names of both members, and a number.
    const NAMES: usize = 50;
    let used = serde_json::to_vec(&activity.attributes).map_or(MAX_ATTRIBUTE_BYTES, |text| text.len());
    let room = MAX_ATTRIBUTE_BYTES.saturating_sub(used + NAMES) / ONE;
    let named: Vec<Value> = ids.iter().take(room).map(|id| id.to_string().into()).collect();
    let more = ids.len() - named.len();
    activity.attributes.insert("alert_ids".into(), named.into());
    if more > 0 {
        activity.attributes.insert("alert_ids_more".into(), more.into());
    }
}

pub(super) struct Many {
    ids: Vec<Uuid>,
    seen: BTreeMap<Uuid, i64>,
    change: Change,
}

/// The ids beside the members of the change.
#[derive(utoipa::ToSchema)]
#[schema(example = json!({ "ids": ["7d1f8a52-90c1-5c56-9f0e-2f8f3a6d5b11"], "status": "acknowledged", "assignee": "sam" }))]
#[expect(dead_code, reason = "describes what `Many` reads")]
struct TriageOfMany {
    #[schema(min_items = 1, max_items = 500)]
    ids: Vec<Uuid>,
    /// The `revision` in which each was seen. If one of them has another by now, nothing is done; what is not named here
    /// is changed however it stands.
    #[schema(value_type = Option<HashMap<String, i64>>)]
    revisions: Option<BTreeMap<Uuid, i64>>,
    #[serde(flatten)]
    change: Change,
}

impl FromFields for Many {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        let bad = || Problem::field("ids", format!("ids must be an array of 1 to {MOST} alert ids"));
        let Some(Value::Array(ids)) = fields.raw("ids") else { return Err(bad()) };
        if ids.is_empty() || ids.len() > MOST {
            return Err(bad());
        }
        let mut parsed: Vec<Uuid> =
            ids.iter().map(|id| id.as_str().and_then(|id| id.parse().ok()).ok_or_else(bad)).collect::<Outcome<_>>()?;
        parsed.sort_unstable();
        parsed.dedup();
        let seen = revisions(fields.raw("revisions"))?;
        if seen.keys().any(|id| !parsed.contains(id)) {
            return Err(Problem::field("revisions", "revisions names an alert that is not among ids"));
        }
        Ok(Self { ids: parsed, seen, change: Change::from_fields(fields)? })
    }
}

fn revisions(given: Option<&Value>) -> Outcome<BTreeMap<Uuid, i64>> {
    let bad = || Problem::field("revisions", "revisions must be an object of alert ids and their revisions");
    let Some(given) = given else { return Ok(BTreeMap::new()) };
    let members = given.as_object().ok_or_else(bad)?;
    let read = |(id, revision): (&String, &Value)| {
        let text = revision.as_str().map_or_else(|| revision.to_string(), str::to_owned);
        Some((id.parse().ok()?, whole_number(&text)?))
    };
    members.iter().map(|member| read(member).ok_or_else(bad)).collect()
}

changed!(AlertChanged { alert: View });

/// The revision that the client saw, if it says one; `*` is any.
fn if_match(headers: &HeaderMap) -> Outcome<Option<i64>> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let text = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
    text.parse().map(Some).map_err(|_| outdated())
}

fn outdated() -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, "The alert has changed since you read it; load it again.")
        .with_reason("outdated")
}

/// Says which alerts are not as they were seen.
fn some_outdated(ids: &[Uuid]) -> Problem {
    let what = if ids.len() == 1 { "One of these alerts has" } else { "Some of these alerts have" };
    let error = format!("{what} changed since you read them; nothing was done. Load them again.");
    let changed = ids.iter().map(|id| id.to_string().into()).collect::<Vec<Value>>();
    let problem = Problem::new(StatusCode::PRECONDITION_FAILED, error).with_reason("outdated");
    problem.with_extra([("changed".to_owned(), changed.into())].into_iter().collect())
}

/// An error that names what has changed.
#[derive(utoipa::ToSchema)]
#[schema(as = ProblemOfTriage)]
#[expect(dead_code, reason = "describes what `some_outdated` writes")]
struct SomeOutdated {
    #[serde(flatten)]
    problem: crate::problem::Body,
    /// The alerts that are not as they were seen.
    changed: Vec<Uuid>,
}

fn unreasoned() -> Problem {
    Problem::field("reason", "reason is required to give an alert another verdict than it has")
}

/// A Supervisor judges others only. What has no user is theirs if one of its events is.
async fn refuse_own(app: &AppState, caller: &Caller, row: &AlertRow) -> Outcome<()> {
    if caller.user.role == Role::Admin {
        return Ok(());
    }
    let own = match (&row.alert.user, &row.alert.session) {
        (Some(user), _) => username_key(user) == caller.user.username_key,
        (None, Some(session)) => **session == *caller.session_id || acted(app, caller, row).await?,
        (None, None) => acted(app, caller, row).await?,
    };
    if own {
        Err(Problem::forbidden("You may not judge alerts about yourself.").with_reason("own_alert"))
    } else {
        Ok(())
    }
}

async fn acted(app: &AppState, caller: &Caller, row: &AlertRow) -> Outcome<bool> {
    let events = app.store.alert_events(&row.alert).await?;
    Ok(events.iter().any(|event| event.user_id == Some(caller.user.user_id)))
}

/// Triages one alert.
#[utoipa::path(
    patch, path = "/api/alerts/{alert_id}", tag = "alerts",
    params(
        ("alert_id" = Uuid, Path, description = "The alert"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what was seen")
    ),
    request_body = Change,
    responses(
        (status = 200, body = AlertChanged, headers(("ETag" = String, description = "The revision, for `If-Match`"))),
        (status = 412, description = "The alert has changed since it was seen."),
        Allowed<SeeAnalytics>
    )
)]
pub(super) async fn one(
    Allowed(caller, _): Allowed<SeeAnalytics>,
    State(app): State<AppState>,
    AlertId(id): AlertId,
    headers: HeaderMap,
    Body(change): Body<Change>,
) -> Outcome<Response> {
    let row = app.store.alert(id).await?.ok_or_else(missing)?;
    refuse_own(&app, &caller, &row).await?;
    let revision = if_match(&headers)?;
    let what = format!("alert {id} ({})", row.alert.rule);
    let activity = change.activity(&caller, &format!("alerts/{id}"), &what);
    let rows =
        app.store.triage(vec![id], revision, change.by(&caller), activity).await.map_err(|error| match error {
            store::Error::NotFound => missing(),
            store::Error::Outdated(_) => outdated(),
            store::Error::Missing(_) => unreasoned(),
            other => other.into(),
        })?;
    let row = rows.into_iter().next().ok_or_else(missing)?;
    let revision = row.alert.revision;
    let response = answer::changed(StatusCode::OK, "Alert updated successfully", "alert", &View::from(row));
    Ok(tagged(response, revision))
}

/// What became of many alerts.
#[derive(Serialize, utoipa::ToSchema)]
struct AlertsChanged {
    message: &'static str,
    /// How many.
    #[schema(example = 1)]
    updated: usize,
    alerts: Vec<View>,
}

/// Triages up to 500 alerts: all or none.
#[utoipa::path(
    post, path = "/api/alerts/triage", tag = "alerts",
    request_body = TriageOfMany,
    responses(
        (status = 200, body = AlertsChanged),
        (status = 404, description = "There is no alert of one of the ids."),
        (status = 412, body = SomeOutdated, content_type = PROBLEM, description = "Some have changed since they were \
            seen; nothing was done."),
        Allowed<SeeAnalytics>
    )
)]
pub(super) async fn many(
    Allowed(caller, _): Allowed<SeeAnalytics>,
    State(app): State<AppState>,
    Body(Many { ids, seen, change }): Body<Many>,
) -> Outcome<Response> {
    if caller.user.role != Role::Admin {
        for id in &ids {
            let row = app.store.alert(*id).await?.ok_or_else(missing)?;
            refuse_own(&app, &caller, &row).await?;
        }
    }
    let mut activity = change.activity(&caller, "alerts/triage", &format!("{} alerts", ids.len()));
    activity.records = i64::try_from(ids.len()).ok();
    name_alerts(&mut activity, &ids);
    let rows =
        app.store.triage(ids, Seen::Revisions(seen), change.by(&caller), activity).await.map_err(
            |error| match error {
                store::Error::NotFound => missing(),
                store::Error::Outdated(ids) => some_outdated(&ids),
                store::Error::Missing(_) => unreasoned(),
                other => other.into(),
            },
        )?;
    let alerts: Vec<View> = rows.into_iter().map(View::from).collect();
    let body = AlertsChanged { message: "Alerts updated successfully", updated: alerts.len(), alerts };
    Ok(answer::recorded(answer::ordered(StatusCode::OK, &body)))
}
