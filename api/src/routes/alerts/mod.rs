//! `/api/alerts`: the queue of those who watch.

mod found;
mod stream;
mod triage;

use axum::extract::{RawPathParams, State};
use axum::http::{HeaderValue, Uri, header};
use axum::response::Response;
use domain::{Severity, Timestamp};
use serde::Serialize;
use serde_json::Value;
use store::{AlertFilter, AlertOrder, AlertRow, HistoryRow};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

pub(super) use self::found::FoundAlert;
use super::both;
use super::logs::Log;
use crate::answer::{self, Form};
use crate::auth::rights::{Allowed, SeeAnalytics};
use crate::extract::{Fields, FromFields, Query};
use crate::paging::{self, Page};
use crate::problem::{Outcome, Problem};
use crate::state::AppState;
use crate::words::{OrderOfAlerts, QueueSeverity, TriageStatus, Verdict};

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    let router = both(OpenApiRouter::new(), routes!(list));
    let router = both(router, routes!(stream::stream));
    let router = both(router, routes!(triage::many));
    both(router, routes!(one, triage::one))
}

/// An alert as clients see it: the members that it has everywhere, and its triage.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Alert, example = View::example)]
pub(crate) struct View {
    #[serde(flatten)]
    #[schema(value_type = FoundAlert)]
    alert: domain::Alert,
    /// Triage: why.
    #[schema(required)]
    reason: Option<String>,
    /// Triage: who looks after it.
    #[schema(required)]
    assignee: Option<String>,
    /// The exception that keeps it out of the queue.
    #[schema(required)]
    exception_id: Option<i64>,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl View {
    /// An alert, for the OpenAPI document.
    fn example() -> Value {
        let mut whole = FoundAlert::example();
        for (name, value) in [("reason", Value::Null), ("assignee", "sam".into()), ("exception_id", Value::Null)] {
            whole[name] = value;
        }
        whole["updated_at"] = whole["last_event_at"].clone();
        whole
    }
}

impl From<AlertRow> for View {
    fn from(row: AlertRow) -> Self {
        let AlertRow { alert, reason, assignee, exception_id, updated_at } = row;
        Self { alert, reason, assignee, exception_id, updated_at }
    }
}

/// The address of one alert; the id in the path.
struct AlertId(Uuid);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for AlertId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::field("path", "The path is not valid UTF-8"))?;
        let text = params.iter().next().map_or("", |(_, text)| text);
        let id = text.parse().map_err(|_| Problem::field("alert_id", "alert_id in the path must be a UUID"))?;
        Ok(Self(id))
    }
}

fn missing() -> Problem {
    Problem::not_found("Alert not found").with_reason("not_found")
}

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// One or several, with commas between.
    #[param(inline, explode = false, value_type = Option<Vec<TriageStatus>>)]
    status: Vec<String>,
    /// One or several, with commas between.
    #[param(inline, explode = false, value_type = Option<Vec<QueueSeverity>>)]
    severity: Vec<Severity>,
    /// A name, also one that no account has.
    #[param(max_length = 255)]
    user: Option<String>,
    /// By id or by title.
    #[param(max_length = 255)]
    rule: Option<String>,
    /// Found for a time from this one on; a bare date is from its midnight on, in UTC.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Up to this time; a bare date is that whole day.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// Those that an exception or a verdict keeps out of the queue, instead (false).
    suppressed: Option<bool>,
    /// The newest first, or the most severe first and of these the newest (newest).
    #[param(inline, rename = "order", value_type = Option<OrderOfAlerts>)]
    severest: bool,
    #[param(ignore)]
    evidence: Evidence,
    #[param(ignore)]
    page: Page,
    #[param(ignore)]
    form: Form,
}

impl FromFields for Filter {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self {
            status: listed(fields, "status", |word| triage::status(&word.to_ascii_lowercase()))?,
            severity: listed(fields, "severity", super::analytics::severity_of)?,
            user: fields.words("user", 255)?,
            rule: fields.words("rule", 255)?,
            from: fields.time("from")?,
            to: fields.time_end("to")?,
            suppressed: fields.flag("suppressed")?,
            severest: match fields.words("order", 20)?.as_deref() {
                None | Some("newest") => false,
                Some("severity") => true,
                Some(_) => return Err(Problem::field("order", "order must be newest or severity")),
            },
            evidence: Evidence::from_fields(fields)?,
            page: Page::from_fields(fields)?,
            form: Form::from_fields(fields)?,
        })
    }
}

/// The words of a parameter that takes several, with commas between.
fn listed<T>(fields: &Fields, name: &str, read: impl Fn(&str) -> Outcome<T>) -> Outcome<Vec<T>> {
    let text = fields.words(name, 100)?.unwrap_or_default();
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(read).collect()
}

/// Whether alerts come with the ids of their events: up to 256 each, and a page that lists alerts shows none of them.
#[derive(Debug, Clone, Copy, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Evidence {
    /// With the ids of the events (true); without them `event_ids` is empty, and `event_count` says how many there are.
    #[param(value_type = Option<bool>)]
    event_ids: bool,
}

impl FromFields for Evidence {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self { event_ids: fields.flag("event_ids")?.unwrap_or(true) })
    }
}

impl Evidence {
    fn view(self, row: AlertRow) -> View {
        let mut view = View::from(row);
        if !self.event_ids {
            view.alert.event_ids.clear();
        }
        view
    }
}

const COLUMNS: [&str; 15] = [
    "alert_id",
    "at",
    "rule",
    "rule_id",
    "severity",
    "risk",
    "user",
    "ip",
    "session",
    "observed",
    "threshold",
    "explanation",
    "state",
    "status",
    "verdict",
];

/// Alerts, the newest first or the most severe first.
#[utoipa::path(
    get, path = "/api/alerts", tag = "alerts",
    params(Filter, Evidence, Page, Form),
    responses((status = 200, body = [View]), Allowed<SeeAnalytics>)
)]
async fn list(
    _: Allowed<SeeAnalytics>,
    State(app): State<AppState>,
    uri: Uri,
    Query(query): Query<Filter>,
) -> Outcome<Response> {
    let page = query.page;
    let filter = AlertFilter {
        status: query.status,
        severity: query.severity,
        user: query.user,
        rule_id: query.rule.map(|rule| id_of(&app, rule)),
        from: query.from,
        to: query.to,
        suppressed: query.suppressed.unwrap_or(false),
        state: None,
        limit: page.ask(),
        order: if query.severest {
            AlertOrder::Severest(page.ranked()?)
        } else {
            AlertOrder::Newest(page.identified()?)
        },
    };
    let mut rows = app.store.alerts(filter).await?;
    let next = page.cut(&mut rows, |row| {
        let id = row.alert.alert_id.to_string();
        (row.alert.at, if query.severest { paging::ranked(row.alert.severity, &id) } else { id })
    });
    let rows: Vec<View> = rows.into_iter().map(|row| query.evidence.view(row)).collect();
    Ok(paging::link(answer::list(query.form, "alerts", &COLUMNS, &rows), &uri, next.as_deref()))
}

/// Rules are asked for by id or by title.
fn id_of(app: &AppState, rule: String) -> String {
    let rules = app.hooks.rules.as_array().map(Vec::as_slice).unwrap_or_default();
    let titled =
        rules.iter().find(|known| known["title"].as_str().is_some_and(|title| title.eq_ignore_ascii_case(&rule)));
    titled.and_then(|known| known["id"].as_str()).map_or(rule, str::to_owned)
}

/// An alert with its evidence and with what was made of it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = AlertInFull)]
struct Whole {
    #[serde(flatten)]
    view: View,
    events: Vec<Log>,
    history: Vec<Act>,
}

/// One act of triage: who, when and why, and what held from then on.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ActOfTriage, example = json!({
    "assignee": "sam", "at": "2026-03-01T08:20:00.000000Z", "by": "sam", "reason": null, "status": "acknowledged",
    "verdict": null
}))]
struct Act {
    #[schema(required)]
    assignee: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    by: String,
    /// Why, in the words of this act; `null` where it gave no reason.
    #[schema(required)]
    reason: Option<String>,
    #[schema(value_type = TriageStatus)]
    status: String,
    #[schema(required, value_type = Option<Verdict>)]
    verdict: Option<String>,
}

impl From<HistoryRow> for Act {
    fn from(row: HistoryRow) -> Self {
        let HistoryRow { at, by_user: by, status, verdict, reason, assignee } = row;
        Self { assignee, at, by, reason, status, verdict }
    }
}

/// One alert with its events and its history.
#[utoipa::path(
    get, path = "/api/alerts/{alert_id}", tag = "alerts",
    params(("alert_id" = Uuid, Path, description = "The alert")),
    responses(
        (status = 200, body = Whole, headers(("ETag" = String, description = "The revision, for `If-Match`"))),
        Allowed<SeeAnalytics>
    )
)]
async fn one(_: Allowed<SeeAnalytics>, State(app): State<AppState>, AlertId(id): AlertId) -> Outcome<Response> {
    let row = app.store.alert(id).await?.ok_or_else(missing)?;
    let events = app.store.alert_events(&row.alert).await?.into_iter().map(Log::from).collect();
    let history = app.store.alert_history(id).await?.into_iter().map(Act::from).collect();
    let revision = row.alert.revision;
    Ok(tagged(answer::seen(&Whole { view: row.into(), events, history }), revision))
}

/// The revision as an entity tag, for `If-Match`.
fn tagged(mut response: Response, revision: i64) -> Response {
    if let Ok(tag) = HeaderValue::try_from(format!("\"{revision}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
