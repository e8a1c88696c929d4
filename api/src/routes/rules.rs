//! `/api/rules`: what is looked for, and a trial run of what might be.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::{DAY, Timestamp};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::both;
use crate::answer;
use crate::auth::rights::{Administer, Allowed, SeeAnalytics};
use crate::extract::{Body, Fields, FromFields, Query};
use crate::gate::Note;
use crate::problem::{Outcome, Problem};
use crate::state::AppState;

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    let router = both(OpenApiRouter::new(), routes!(list));
    let router = both(router, routes!(stats));
    let router = both(router, routes!(source));
    both(router, routes!(dry_run))
}

/// The active rules.
#[utoipa::path(
    get, path = "/api/rules", tag = "rules",
    responses((status = 200, body = [Object]), Allowed<SeeAnalytics>)
)]
async fn list(_: Allowed<SeeAnalytics>, State(app): State<AppState>) -> Response {
    answer::seen(&*app.hooks.rules)
}

/// The text of the file that a rule stands in: what a change of it begins with.
#[utoipa::path(
    get, path = "/api/rules/{rule_id}/source", tag = "rules",
    params(("rule_id" = String, Path, description = "The rule")),
    responses((status = 200, body = Object), Allowed<SeeAnalytics>)
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
    Ok(answer::seen(&json!({ "rule_id": rule_id, "file": file, "text": text })))
}

struct Month(i64);

impl FromFields for Month {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self(fields.integer_in("days", 1, 36_500)?.unwrap_or(30)))
    }
}

/// How often each rule fired, and what was made of it. Rules that found nothing are not listed.
#[utoipa::path(
    get, path = "/api/rules/stats", tag = "rules",
    params(("days" = Option<i64>, Query, description = "How far back (30)")),
    responses((status = 200, body = [Object]), Allowed<SeeAnalytics>)
)]
async fn stats(
    _: Allowed<SeeAnalytics>,
    State(app): State<AppState>,
    Query(Month(days)): Query<Month>,
) -> Outcome<Response> {
    let found = app.store.rule_stats(app.clock.now().plus(-days * DAY)).await?.into_iter();
    let rows = found.map(|stats| {
        json!({
            "rule_id": stats.rule_id,
            "alerts": stats.alerts,
            "signals": stats.signals,
            "open": stats.open,
            "true_positives": stats.true_positives,
            "false_positives": stats.false_positives,
            "benign": stats.benign,
            "suppressed": stats.suppressed,
            "last_at": stats.last_at,
        })
    });
    Ok(answer::seen(&rows.collect::<Vec<Value>>()))
}

#[derive(utoipa::ToSchema)]
struct Trial {
    rules: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
}

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

/// Runs rules over stored activities; changes nothing.
#[utoipa::path(
    post, path = "/api/rules/dry-run", tag = "rules",
    request_body = Trial,
    responses(
        (status = 200, body = Object),
        (status = 409, description = "Stored activities are being processed already."),
        Allowed<Administer>
    )
)]
async fn dry_run(_: Allowed<Administer>, State(app): State<AppState>, Body(trial): Body<Trial>) -> Outcome<Response> {
    let Some(hook) = &app.hooks.dry_run else {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Trial runs are not available on this server."));
    };
    let Ok(_turn) = app.reprocessing.try_lock() else {
        return Err(Problem::conflict("Stored activities are being processed already; try again when that is done."));
    };
    let to = trial.to.unwrap_or_else(|| app.clock.now());
    let from = trial.from.unwrap_or_else(|| to.plus(-7 * DAY));
    let found = hook(trial.rules, from, to).await.map_err(|sentence| Problem::field("rules", sentence))?;
    let mut response = answer::seen(&found);
    let detail = Some(format!("Tried rules on the activities from {from} to {to}"));
    response.extensions_mut().insert(Note { detail, ..Note::default() });
    Ok(response)
}
