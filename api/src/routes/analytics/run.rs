//! The old page's "run detection". Detection is continuous here, so these answer from what is stored, and create
//! nothing; an Admin may have the engine run over the stored window once more.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::{DAY, HOUR};
use serde::Serialize;
use store::ScoreFilter;

use super::detection::Detection;
use super::view::Score;
use crate::answer;
use crate::auth::rights::{Allowed, SeeAnalytics};
use crate::extract::{Body, Fields, FromFields};
use crate::gate::Note;
use crate::hooks::Reprocessed;
use crate::problem::{Outcome, Problem};
use crate::state::AppState;

/// Rows of an answer.
const MOST: i64 = 1_000;

#[derive(utoipa::ToSchema)]
#[schema(example = json!({ "window_hours": 24 }))]
pub(super) struct Window {
    /// 24 unless told.
    #[schema(rename = "window_hours", value_type = Option<i64>, minimum = 1, maximum = 876_000)]
    hours: i64,
    /// Has the engine run over the stored window once more; for an Admin.
    #[schema(rename = "force_reprocess", value_type = Option<bool>)]
    force: bool,
}

impl FromFields for Window {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self {
            hours: fields.integer_in("window_hours", 1, 876_000)?.unwrap_or(24),
            force: fields.flag("force_reprocess")?.unwrap_or(false),
        })
    }
}

/// What the rules found, under the names that the old page knows.
#[derive(Serialize, utoipa::ToSchema)]
struct Findings {
    message: &'static str,
    detections: Vec<Detection>,
    /// Activities of the window; after a reprocess, those that went through the engine.
    #[schema(example = 1843)]
    total_analyzed: u64,
    /// Alerts that a reprocess has stored.
    #[schema(example = 0)]
    new_alerts: u64,
    /// Findings that were there already.
    #[schema(example = 1)]
    skipped_duplicates: u64,
    #[schema(example = 24)]
    window_hours: i64,
}

/// What the rules found in the last hours; an Admin may have the engine run over them again.
#[utoipa::path(
    post, path = "/api/analytics/run-rule-detection", tag = "analytics",
    request_body = Option<Window>,
    responses(
        (status = 200, body = Findings),
        (status = 409, description = "Stored activities are being processed already."),
        Allowed<SeeAnalytics>
    )
)]
pub(super) async fn rule_detection(
    Allowed(caller, _): Allowed<SeeAnalytics>,
    State(app): State<AppState>,
    Body(window): Body<Window>,
) -> Outcome<Response> {
    let now = app.clock.now();
    let since = now.plus(-window.hours * HOUR);
    let forced = if window.force {
        if caller.user.role != domain::Role::Admin {
            let refusal = "Only an Admin may have stored activities processed again.";
            return Err(Problem::forbidden(refusal).with_reason("no_right"));
        }
        Some(reprocess(&app, since, now).await?)
    } else {
        None
    };
    let rows = app.store.detections(since, MOST, 0.0).await?;
    let detections: Vec<Detection> = rows.into_iter().map(Detection::from).collect();
    let (message, analyzed, new, known) = match forced {
        Some(done) => ("Stored activities were processed again", done.analyzed, done.new_alerts, done.known_alerts),
        None => {
            let counts = app.store.activity_summary(None, since).await?;
            let total: i64 = counts.iter().map(|(_, count)| count).sum();
            let known = u64::try_from(detections.len()).unwrap_or(u64::MAX);
            ("Detection is continuous; these are its findings", total.unsigned_abs(), 0, known)
        }
    };
    let findings = Findings {
        message,
        detections,
        total_analyzed: analyzed,
        new_alerts: new,
        skipped_duplicates: known,
        window_hours: window.hours,
    };
    let mut response = answer::ordered(StatusCode::OK, &findings);
    if forced.is_some() {
        let detail = format!("Reprocessed {} hours: {new} new alerts", window.hours);
        response.extensions_mut().insert(Note { action: Some("Admin"), detail: Some(detail), ..Note::default() });
    }
    Ok(response)
}

async fn reprocess(app: &AppState, from: domain::Timestamp, to: domain::Timestamp) -> Outcome<Reprocessed> {
    let Some(hook) = &app.hooks.reprocess else {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Reprocessing is not available on this server."));
    };
    // One at a time: a second would do the same work over, and the first one's result serves both.
    let Ok(_turn) = app.reprocessing.try_lock() else {
        return Err(Problem::conflict("Stored activities are being processed already; try again when that is done."));
    };
    hook(from, to).await.map_err(Problem::internal)
}

pub(super) struct Nothing;

impl FromFields for Nothing {
    fn from_fields(_: &Fields) -> Outcome<Self> {
        Ok(Self)
    }
}

/// The scores of the last 30 days.
#[derive(Serialize, utoipa::ToSchema)]
struct Anomalies {
    anomalies: Vec<Score>,
}

/// The scores of the last 30 days.
#[utoipa::path(
    post, path = "/api/analytics/run-detection", tag = "analytics",
    responses((status = 200, body = Anomalies), Allowed<SeeAnalytics>)
)]
pub(super) async fn detection(
    _: Allowed<SeeAnalytics>,
    State(app): State<AppState>,
    Body(Nothing): Body<Nothing>,
) -> Outcome<Response> {
    let since = app.clock.now().plus(-30 * DAY);
    let filter = ScoreFilter { user_id: None, min_score: None, below: None, since, limit: MOST, cursor: None };
    let anomalies: Vec<Score> = app.store.anomaly_scores(filter).await?.into_iter().map(Score::from).collect();
    Ok(answer::ordered(StatusCode::OK, &Anomalies { anomalies }))
}
