//! `/api/rules`: what is looked for, and a trial run of what might be.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::{DAY, Timestamp};
use serde::Serialize;
use utoipa::openapi::{ObjectBuilder, Type};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::alerts::FoundAlert;
use super::both;
use crate::answer;
use crate::auth::rights::{Administer, Allowed, SeeAnalytics};
use crate::extract::{Body, Fields, FromFields, Query};
use crate::gate::Note;
use crate::problem::{Outcome, Problem};
use crate::state::AppState;
use crate::words::Severity;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    let router = both(OpenApiRouter::new(), routes!(list));
    let router = both(router, routes!(stats));
    let router = both(router, routes!(source));
    both(router, routes!(dry_run))
}

/// An active rule.
#[derive(utoipa::ToSchema)]
#[schema(example = json!({
    "id": "5f0c1f9e-3c55-4a5e-9d2c-9f5f3c1d0a02", "name": null, "title": "Many orders deleted", "description": null,
    "level": "Medium", "techniques": ["T1485"], "tags": ["attack.t1485"], "false_positives": [], "kind": "event_count",
    "window_s": 600, "key": ["user"], "risk": 47, "family": "destruction", "reports": true, "file": "deletions.yml",
    "revision": "8d3c2b1a"
}))]
#[expect(dead_code, reason = "describes what the program hands in as `Hooks::rules`")]
struct Rule {
    id: String,
    /// What other rules call it.
    #[schema(required)]
    name: Option<String>,
    title: String,
    #[schema(required)]
    description: Option<String>,
    #[schema(value_type = Severity)]
    level: String,
    /// MITRE ATT&CK.
    techniques: Vec<String>,
    tags: Vec<String>,
    false_positives: Vec<String>,
    /// What it looks for: `detection`, or the type of its correlation.
    #[schema(schema_with = kind)]
    kind: String,
    /// Its window in seconds; of a single event, how long its episode goes on.
    window_s: i64,
    /// What it groups by. Of a detection without a key of its own the user and the address: its alerts have the first of
    /// them that there is.
    key: Vec<String>,
    /// Points, 0 to 99.
    risk: i64,
    /// Alerts of one family within one episode count once for risk.
    family: String,
    /// Whether it reports, or only serves other rules.
    reports: bool,
    file: String,
    revision: String,
}

fn kind() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some([
        "detection",
        "event_count",
        "value_count",
        "value_sum",
        "value_avg",
        "value_percentile",
        "temporal",
        "temporal_ordered",
    ]))
}

/// The active rules.
#[utoipa::path(
    get, path = "/api/rules", tag = "rules",
    responses((status = 200, body = [Rule]), Allowed<SeeAnalytics>)
)]
async fn list(_: Allowed<SeeAnalytics>, State(app): State<AppState>) -> Response {
    answer::seen(&*app.hooks.rules)
}

/// The text of a rule's file.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = RuleSource, example = json!({
    "file": "deletions.yml", "rule_id": "5f0c1f9e-3c55-4a5e-9d2c-9f5f3c1d0a01", "text": TRIAL
}))]
struct SourceText {
    file: String,
    rule_id: String,
    text: String,
}

/// The text of the file that a rule stands in: what a change of it begins with.
#[utoipa::path(
    get, path = "/api/rules/{rule_id}/source", tag = "rules",
    params(("rule_id" = String, Path, description = "The rule")),
    responses((status = 200, body = SourceText), Allowed<SeeAnalytics>)
)]
async fn source(
    _: Allowed<SeeAnalytics>,
    State(app): State<AppState>,
    Path(rule_id): Path<String>,
) -> Outcome<Response> {
    let missing = || Problem::not_found("There is no active rule with this id").with_reason("not_found");
    let rules = app.hooks.rules.as_array().map(Vec::as_slice).unwrap_or_default();
    let rule = rules.iter().find(|rule| rule["id"].as_str() == Some(rule_id.as_str())).ok_or_else(missing)?;
    let file = rule["file"].as_str().unwrap_or_default();
    let text = app.hooks.rule_files.get(file).ok_or_else(missing)?;
    Ok(answer::seen(&SourceText { file: file.to_owned(), rule_id, text: text.clone() }))
}

struct Month(i64);

impl FromFields for Month {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self(fields.integer_in("days", 1, 36_500)?.unwrap_or(30)))
    }
}

/// What one rule found, and what was made of it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = RuleStats, example = json!({
    "rule_id": "5f0c1f9e-3c55-4a5e-9d2c-9f5f3c1d0a02", "alerts": 5, "signals": 0, "open": 1, "true_positives": 3,
    "false_positives": 0, "benign": 1, "suppressed": 2, "last_at": "2026-03-01T08:15:00.000000Z"
}))]
struct Stats {
    rule_id: String,
    /// Alerts that hold, signals among them; suppressed ones are not.
    alerts: i64,
    /// Of these, signals, which are never in the queue.
    signals: i64,
    /// Alerts that nobody has closed.
    open: i64,
    true_positives: i64,
    false_positives: i64,
    benign: i64,
    suppressed: i64,
    /// When it fired last.
    #[schema(value_type = String, format = DateTime)]
    last_at: Timestamp,
}

impl From<store::RuleStats> for Stats {
    fn from(stats: store::RuleStats) -> Self {
        Self {
            rule_id: stats.rule_id,
            alerts: stats.alerts,
            signals: stats.signals,
            open: stats.open,
            true_positives: stats.true_positives,
            false_positives: stats.false_positives,
            benign: stats.benign,
            suppressed: stats.suppressed,
            last_at: stats.last_at,
        }
    }
}

/// How often each rule fired, and what was made of it. Rules that found nothing are not listed.
#[utoipa::path(
    get, path = "/api/rules/stats", tag = "rules",
    params(("days" = Option<i32>, Query, minimum = 1, maximum = 36_500, description = "How far back (30)")),
    responses((status = 200, body = [Stats]), Allowed<SeeAnalytics>)
)]
async fn stats(
    _: Allowed<SeeAnalytics>,
    State(app): State<AppState>,
    Query(Month(days)): Query<Month>,
) -> Outcome<Response> {
    let found = app.store.rule_stats(app.clock.now().plus(-days * DAY)).await?.into_iter();
    Ok(answer::ordered(StatusCode::OK, &found.map(Stats::from).collect::<Vec<_>>()))
}

#[derive(utoipa::ToSchema)]
#[schema(example = json!({ "rules": TRIAL, "from": "2026-03-01T00:00:00Z", "to": "2026-03-08T00:00:00Z" }))]
struct Trial {
    /// YAML: Sigma documents.
    #[schema(min_length = 1, max_length = 500_000)]
    rules: String,
    /// A week before `to`, unless told; neither after `to` nor ahead.
    #[schema(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Now, unless told.
    #[schema(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
}

/// Rules to try, for the OpenAPI document.
const TRIAL: &str = "title: Order deleted
id: 5f0c1f9e-3c55-4a5e-9d2c-9f5f3c1d0a01
logsource: {category: activity, product: security-analytics}
detection:
    selection: {action: Delete, resource|startswith: orders/}
    condition: selection
level: low
";

impl FromFields for Trial {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        let rules = match fields.words("rules", 500_000)? {
            Some(rules) => Some(rules),
            None => fields.words("yaml", 500_000)?,
        };
        Ok(Self {
            rules: rules
                .ok_or_else(|| Problem::field("rules", "rules is required: the YAML text of the rules to try"))?,
            from: fields.time("from")?,
            to: fields.time_end("to")?,
        })
    }
}

/// What rules would have found.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what the hook for trial runs tells")]
struct Tried {
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    /// Activities that were looked at.
    #[schema(example = 12873)]
    events: u64,
    /// Of these, activities that came too late to be alerted live.
    #[schema(example = 0)]
    late: u64,
    #[schema(example = 1)]
    alerts_total: usize,
    /// The first of them.
    alerts: Vec<FoundAlert>,
}

/// Runs rules over stored activities; changes nothing.
#[utoipa::path(
    post, path = "/api/rules/dry-run", tag = "rules",
    request_body = Trial,
    responses(
        (status = 200, body = Tried),
        (status = 409, description = "Stored activities are being processed already."),
        Allowed<Administer>
    )
)]
async fn dry_run(_: Allowed<Administer>, State(app): State<AppState>, Body(trial): Body<Trial>) -> Outcome<Response> {
    let now = app.clock.now();
    let to = trial.to.unwrap_or(now);
    let from = trial.from.unwrap_or_else(|| to.min(now).plus(-7 * DAY));
    if from > now {
        return Err(Problem::field("from", "from must not lie in the future: nothing has happened there yet"));
    }
    if from > to {
        return Err(Problem::field("from", "from must not lie after to"));
    }
    let Some(hook) = &app.hooks.dry_run else {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Trial runs are not available on this server."));
    };
    let Ok(_turn) = app.reprocessing.try_lock() else {
        return Err(Problem::conflict("Stored activities are being processed already; try again when that is done."));
    };
    let found = hook(trial.rules, from, to).await.map_err(|sentence| Problem::field("rules", sentence))?;
    let mut response = answer::seen(&found);
    let detail = Some(format!("Tried rules on the activities from {from} to {to}"));
    response.extensions_mut().insert(Note { detail, ..Note::default() });
    Ok(response)
}
