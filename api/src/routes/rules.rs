//! `/api/rules`: what is looked for, and a trial run of what might be.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use domain::{DAY, Timestamp};
use serde_json::{Value, json};

use super::both;
use crate::answer;
use crate::auth::rights::{Administer, Allowed, SeeAnalytics};
use crate::extract::{Body, Fields, FromFields, Query};
use crate::gate::Note;
use crate::problem::{Outcome, Problem};
use crate::state::AppState;

pub(crate) fn routes() -> Router<AppState> {
    let router = both(Router::new(), "/api/rules", get(list));
    let router = both(router, "/api/rules/stats", get(stats));
    let router = both(router, "/api/rules/{rule_id}/source", get(source));
    both(router, "/api/rules/dry-run", post(dry_run))
}

async fn list(_: Allowed<SeeAnalytics>, State(app): State<AppState>) -> Response {
    answer::seen(&*app.hooks.rules)
}

/// The text of the file that a rule stands in: what a change of it begins with.
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

struct Trial {
    rules: String,
    from: Option<Timestamp>,
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
