//! `/api/analytics`: scores, flags and detections, for those who watch.

pub(crate) mod view;

mod detection;
mod people;
mod risk;
mod run;
mod stats;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use domain::{DAY, Severity, Timestamp};
use serde::Serialize;
use store::{FlagFilter, ScoreFilter};

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::detection::{Detection, Top};
use self::view::{Flag, Score};
use super::both;
use crate::answer::{self, Form};
use crate::auth::rights::{Allowed, SeeAnalytics};
use crate::extract::{Fields, FromFields, PathId, Query};
use crate::paging::{self, Page};
use crate::problem::{Outcome, Problem};
use crate::state::AppState;
use crate::words::{QueueSeverity, RiskLevel};

pub(crate) fn routes() -> OpenApiRouter<AppState> {
    let router = both(OpenApiRouter::new(), routes!(scores));
    let router = both(router, routes!(flags));
    let router = both(router, routes!(stats::dashboard));
    let router = both(router, routes!(profile));
    let router = both(router, routes!(detections));
    let router = both(router, routes!(top));
    let router = both(router, routes!(people::top));
    let router = both(router, routes!(people::one));
    let router = both(router, routes!(run::rule_detection));
    let router = both(router, routes!(run::detection));
    both(router, routes!(risk::of_user))
}

/// How far back to look, in days.
struct Days(i64);

impl Days {
    fn read(fields: &Fields, usual: i64) -> Outcome<Self> {
        Self::read_up_to(fields, usual, 36_500)
    }

    fn read_up_to(fields: &Fields, usual: i64, most: i64) -> Outcome<Self> {
        Ok(Self(fields.integer_in("days", 1, most)?.unwrap_or(usual)))
    }

    fn since(&self, app: &AppState) -> Timestamp {
        app.clock.now().plus(-self.0 * DAY)
    }
}

/// The lower bound of a level and, where there is one, the score from which the next begins.
fn level(word: &str) -> Outcome<(Option<f64>, Option<f64>)> {
    let word = word.to_lowercase();
    Ok(match word.strip_suffix("alert").unwrap_or(&word).trim() {
        "normal" => (None, Some(20.0)),
        "low" => (Some(20.0), Some(40.0)),
        "medium" => (Some(40.0), Some(70.0)),
        "high" => (Some(70.0), Some(90.0)),
        "critical" => (Some(90.0), None),
        _ => {
            let levels = "Normal, Low Alert, Medium Alert, High Alert or Critical Alert";
            return Err(Problem::field("risk_level", format!("risk_level must be {levels}")));
        }
    })
}

fn severity(fields: &Fields) -> Outcome<Option<Severity>> {
    fields.words("severity", 20)?.map(|word| severity_of(&word)).transpose()
}

/// The severity of a word, if it is one that the queue has.
pub(super) fn severity_of(word: &str) -> Outcome<Severity> {
    match word.parse() {
        Ok(Severity::Informational) | Err(_) => {
            Err(Problem::field("severity", "severity must be Low, Medium, High or Critical"))
        }
        Ok(severity) => Ok(severity),
    }
}

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ScoreQuery {
    /// Only scores of this user.
    #[param(value_type = Option<i32>)]
    user_id: Option<i64>,
    /// Only scores of this level.
    #[param(inline, rename = "risk_level", value_type = Option<RiskLevel>)]
    level: (Option<f64>, Option<f64>),
    /// How far back, in days (30).
    #[param(value_type = Option<i32>, minimum = 1, maximum = 36_500)]
    days: Days,
    #[param(ignore)]
    page: Page,
    #[param(ignore)]
    form: Form,
}

impl FromFields for ScoreQuery {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self {
            user_id: fields.integer("user_id")?,
            level: fields.words("risk_level", 20)?.map_or(Ok((None, None)), |word| level(&word))?,
            days: Days::read(fields, 30)?,
            page: Page::from_fields(fields)?,
            form: Form::from_fields(fields)?,
        })
    }
}

/// Risk scores after each step of an alert, the newest first.
#[utoipa::path(
    get, path = "/api/analytics/anomaly-scores", tag = "analytics",
    params(ScoreQuery, Page, Form),
    responses((status = 200, body = [Score]), Allowed<SeeAnalytics>)
)]
async fn scores(
    _: Allowed<SeeAnalytics>,
    State(app): State<AppState>,
    uri: Uri,
    Query(query): Query<ScoreQuery>,
) -> Outcome<Response> {
    let page = query.page;
    let filter = ScoreFilter {
        user_id: query.user_id,
        min_score: query.level.0,
        below: query.level.1,
        since: query.days.since(&app),
        limit: page.ask(),
        cursor: page.numbered()?,
    };
    let mut rows = app.store.anomaly_scores(filter).await?;
    let next = page.cut(&mut rows, |row| (row.created_at, row.score_id.to_string()));
    let rows: Vec<Score> = rows.into_iter().map(Score::from).collect();
    let response = answer::list(query.form, "analytics/anomaly-scores", &view::SCORE_COLUMNS, &rows);
    Ok(paging::link(response, &uri, next.as_deref()))
}

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct FlagQuery {
    /// Only activities flagged by alerts of this severity.
    #[param(inline, value_type = Option<QueueSeverity>)]
    severity: Option<Severity>,
    /// Only this user's activities.
    #[param(value_type = Option<i32>)]
    user_id: Option<i64>,
    /// How far back, in days (30).
    #[param(value_type = Option<i32>, minimum = 1, maximum = 36_500)]
    days: Days,
    #[param(ignore)]
    page: Page,
    #[param(ignore)]
    form: Form,
}

impl FromFields for FlagQuery {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self {
            severity: severity(fields)?,
            user_id: fields.integer("user_id")?,
            days: Days::read(fields, 30)?,
            page: Page::from_fields(fields)?,
            form: Form::from_fields(fields)?,
        })
    }
}

/// Flags: one an alert, at the event that crossed.
#[utoipa::path(
    get, path = "/api/analytics/flagged-activities", tag = "analytics",
    params(FlagQuery, Page, Form),
    responses((status = 200, body = [Flag]), Allowed<SeeAnalytics>)
)]
async fn flags(
    _: Allowed<SeeAnalytics>,
    State(app): State<AppState>,
    uri: Uri,
    Query(query): Query<FlagQuery>,
) -> Outcome<Response> {
    let page = query.page;
    let filter = FlagFilter {
        severity: query.severity,
        user_id: query.user_id,
        since: query.days.since(&app),
        limit: page.ask(),
        cursor: page.numbered()?,
    };
    let mut rows = app.store.flagged_activities(filter).await?;
    let next = page.cut(&mut rows, |row| (row.flagged_at, row.flag_id.to_string()));
    let rows: Vec<Flag> = rows.into_iter().map(Flag::from).collect();
    let response = answer::list(query.form, "analytics/flagged-activities", &view::FLAG_COLUMNS, &rows);
    Ok(paging::link(response, &uri, next.as_deref()))
}

struct Month(Days);

impl FromFields for Month {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Days::read(fields, 30).map(Self)
    }
}

/// A user's risk over the last days.
#[derive(Serialize, utoipa::ToSchema)]
struct RiskProfile {
    #[schema(example = 6)]
    user_id: i64,
    #[schema(example = "ann")]
    username: String,
    #[schema(example = 30)]
    period_days: i64,
    #[schema(example = 41.25)]
    average_risk_score: f64,
    #[schema(example = 2)]
    total_anomaly_detections: i64,
    #[schema(example = 2)]
    total_flagged_activities: i64,
    /// The newest ten.
    recent_scores: Vec<Score>,
}

/// A user's risk over the last days.
#[utoipa::path(
    get, path = "/api/analytics/user-risk-profile/{user_id}", tag = "analytics",
    params(
        ("user_id" = i32, Path, description = "The user"),
        ("days" = Option<i32>, Query, minimum = 1, maximum = 36_500, description = "How far back (30)")
    ),
    responses((status = 200, body = RiskProfile), Allowed<SeeAnalytics>)
)]
async fn profile(
    _: Allowed<SeeAnalytics>,
    State(app): State<AppState>,
    PathId(user_id): PathId,
    Query(Month(days)): Query<Month>,
) -> Outcome<Response> {
    let user = app.store.user(user_id).await?;
    let user = user.ok_or_else(|| Problem::not_found("User not found").with_reason("not_found"))?;
    let profile = app.store.user_risk_profile(user_id, days.since(&app)).await?;
    let profile = RiskProfile {
        user_id,
        username: user.username,
        period_days: days.0,
        average_risk_score: view::rounded(profile.average_risk_score),
        total_anomaly_detections: profile.total_anomaly_detections,
        total_flagged_activities: profile.total_flagged_activities,
        recent_scores: profile.recent.into_iter().take(10).map(Score::from).collect(),
    };
    Ok(answer::ordered(StatusCode::OK, &profile))
}

/// The members of the two lists of the highest.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Highest {
    /// How far back (7 for detections, else 30).
    #[param(value_type = Option<i32>, minimum = 1, maximum = 36_500)]
    days: Option<i64>,
    /// How many, at most 1,000.
    #[param(value_type = Option<i32>, minimum = 1)]
    top: Option<i64>,
    /// From which score on (0).
    #[param(value_type = Option<f64>)]
    min_score: f64,
    #[param(ignore)]
    form: Form,
}

impl FromFields for Highest {
    fn from_fields(fields: &Fields) -> Outcome<Self> {
        Ok(Self {
            days: fields.integer_in("days", 1, 36_500)?,
            top: fields.integer_in("top", 1, i64::from(i32::MAX))?.map(|top| top.min(1_000)),
            min_score: fields.decimal("min_score")?.unwrap_or(0.0),
            form: Form::from_fields(fields)?,
        })
    }
}

/// The findings of each session, the highest first.
#[derive(Serialize, utoipa::ToSchema)]
struct Detections {
    detections: Vec<Detection>,
}

/// The findings of each session, the highest first.
#[utoipa::path(
    get, path = "/api/analytics/rule-based-detections", tag = "analytics",
    params(Highest, Form),
    responses((status = 200, body = Detections), Allowed<SeeAnalytics>)
)]
async fn detections(
    _: Allowed<SeeAnalytics>,
    State(app): State<AppState>,
    Query(query): Query<Highest>,
) -> Outcome<Response> {
    let since = Days(query.days.unwrap_or(7)).since(&app);
    let rows = app.store.detections(since, query.top.unwrap_or(50), query.min_score).await?;
    let detections: Vec<Detection> = rows.into_iter().map(Detection::from).collect();
    Ok(match query.form {
        Form::Json => answer::ordered(StatusCode::OK, &Detections { detections }),
        form => answer::list(form, "analytics/rule-based-detections", &detection::DETECTION_COLUMNS, &detections),
    })
}

/// The highest scores and detections.
#[derive(Serialize, utoipa::ToSchema)]
struct TopAnomalies {
    anomalies: Vec<Top>,
}

/// The highest scores and detections.
#[utoipa::path(
    get, path = "/api/analytics/top-anomalies", tag = "analytics",
    params(Highest, Form),
    responses((status = 200, body = TopAnomalies), Allowed<SeeAnalytics>)
)]
async fn top(_: Allowed<SeeAnalytics>, State(app): State<AppState>, Query(query): Query<Highest>) -> Outcome<Response> {
    let since = Days(query.days.unwrap_or(30)).since(&app);
    let rows = app.store.top_anomalies(since, query.top.unwrap_or(15), query.min_score).await?;
    let anomalies: Vec<Top> = rows.into_iter().map(Top::from).collect();
    Ok(match query.form {
        Form::Json => answer::ordered(StatusCode::OK, &TopAnomalies { anomalies }),
        form => answer::list(form, "analytics/top-anomalies", &detection::TOP_COLUMNS, &anomalies),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_the_spans_of_their_scores() {
        for (word, bounds) in [
            ("Normal", (None, Some(20.0))),
            ("High Alert", (Some(70.0), Some(90.0))),
            ("critical alert", (Some(90.0), None)),
            ("Medium", (Some(40.0), Some(70.0))),
        ] {
            assert_eq!(level(word).unwrap(), bounds, "{word}");
            if let Some(low) = bounds.0 {
                assert!(domain::risk_level(low).to_lowercase().starts_with(&word.to_lowercase()), "{word}");
            }
        }
        assert_eq!(level("Severe").unwrap_err().errors[0].field, "risk_level");
    }
}
