//! What the API is handed because it knows no detector: the active rules, and trial runs of others.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use chrono_tz::Tz;
use detector::backtest::{Backtest, Summary};
use detector::engine::Settings;
use detector::rules::{
    Body, DetectionKey, Field, GroupField, KeyPart, Kind, Rule, RuleSet, RuleSource, key_of_alerts, load, load_only,
};
use detector::worker;
use domain::{Alert, SECOND, Timestamp};
use serde_json::{Value, json};
use store::{Store, StoredRange};

use crate::config::Config;
use crate::data::database_failed;
use crate::failure::{Failure, Outcome};

/// Activities of one page: enough that the way to the database does not count, and a few MiB.
const PAGE: i64 = 5_000;
/// Alerts of a trial that are shown whole; all of them are counted.
const SHOWN: usize = 200;
/// Under this name a trial's rules stand in errors.
const TRIAL: &str = "rules.yml";

/// The rules of a server: the set in the binary with the configured ones laid over it.
///
/// # Errors
/// One of the configured ones is not valid.
pub(crate) fn rules_of(config: &Config) -> Outcome<RuleSet> {
    let sources = sources_of(config)?;
    let loaded = load(&sources).map_err(refused)?;
    for warning in loaded.warnings.iter().filter(|warning| !warning.file.starts_with("built-in/")) {
        tracing::warn!("{warning}");
    }
    Ok(loaded.rules)
}

fn sources_of(config: &Config) -> Outcome<Vec<RuleSource>> {
    let mut sources = vec![RuleSource::built_in()];
    if !config.rules.is_empty() {
        sources.push(RuleSource::from_paths(&config.rules).map_err(refused)?);
    }
    Ok(sources)
}

fn refused(findings: Vec<detector::rules::Finding>) -> Failure {
    let mut errors = findings.iter().filter(|finding| finding.is_error());
    let first = errors.next().map_or_else(|| "rules are not valid".to_owned(), ToString::to_string);
    let more = match errors.count() {
        0 => String::new(),
        more => format!("; and {more} more, which `security-analytics rules check` shows"),
    };
    Failure::usage(format!("{first}{more}"))
}

/// The texts of the files that the rules come from, by the names that the rules give; read once, at the start.
///
/// # Errors
/// A configured one cannot be read.
pub(crate) fn rule_files(config: &Config, rules: &RuleSet) -> Outcome<HashMap<String, String>> {
    let mut texts = HashMap::new();
    for source in sources_of(config)? {
        for (name, bytes) in source.files().filter(|(name, _)| rules.rules.iter().any(|rule| rule.file == *name)) {
            texts.insert(name.to_owned(), String::from_utf8_lossy(bytes).into_owned());
        }
    }
    Ok(texts)
}

/// The engine's settings on this server.
///
/// # Errors
/// The working hours are none, or the users cannot be read.
pub(crate) async fn engine_settings(config: &Config, zone: Tz, store: &Store) -> Outcome<Settings> {
    let users = store.users().await.map_err(|error| database_failed(config, &error))?;
    let zones = users.into_iter().filter_map(|user| Some((user.username_key, user.zone?.parse().ok()?))).collect();
    settings(config, zone, zones)
}

/// The same for users whose zones are known, by canonical name.
///
/// # Errors
/// The working hours are none.
pub(crate) fn settings(config: &Config, zone: Tz, zones: HashMap<String, Tz>) -> Outcome<Settings> {
    let hours = config
        .working_hours
        .parse()
        .map_err(|what| Failure::usage(format!("working_hours \"{}\": {what}", config.working_hours)))?;
    let mut settings = Settings { zone, zones, ..Settings::default() };
    settings.calendars.insert("working_hours".to_owned(), hours);
    Ok(settings)
}

/// The rules as `GET /api/rules` shows them.
pub(crate) fn shown(rules: &RuleSet) -> Value {
    rules.rules.iter().map(one).collect()
}

fn one(rule: &Rule) -> Value {
    let names = |fields: &[GroupField]| fields.iter().map(|field| field.name.clone()).collect::<Vec<_>>();
    let (kind, window, key) = match &rule.body {
        Body::Detection(detection) => {
            let key = match &detection.key {
                DetectionKey::Auto => vec!["user".to_owned(), "source_ip".to_owned()],
                DetectionKey::Fields(fields) => names(fields),
            };
            ("detection", rule.episode, key)
        }
        Body::Correlation(correlation) => {
            let kind = match correlation.kind {
                Kind::EventCount => "event_count",
                Kind::ValueCount(_) => "value_count",
                Kind::ValueSum(_) => "value_sum",
                Kind::ValueAvg(_) => "value_avg",
                Kind::ValuePercentile(..) => "value_percentile",
                Kind::Temporal(_) => "temporal",
                Kind::TemporalOrdered => "temporal_ordered",
            };
            (kind, correlation.timespan, names(&correlation.group_by))
        }
    };
    json!({
        "id": rule.id, "name": rule.name, "title": rule.title, "description": rule.description, "level": rule.level,
        "techniques": rule.techniques, "tags": rule.tags, "false_positives": rule.false_positives, "kind": kind,
        "window_s": window / SECOND, "key": key, "risk": rule.risk, "family": rule.family, "reports": rule.reports,
        "file": rule.file, "revision": rule.revision,
    })
}

/// The keys of alerts as people write them, for the API.
pub(crate) fn alert_key(rules: Arc<RuleSet>) -> api::AlertKey {
    Arc::new(move |rule_id, given| {
        let rule = rules.rules.iter().find(|rule| rule.id == rule_id).ok_or(api::NoKey::NoRule)?;
        if !rule.reports {
            return Err(api::NoKey::NoAlerts);
        }
        let parts = key_of_alerts(rule, given).map_err(|part| api::NoKey::Part(part.name, part.why))?;
        let names = |field: Option<Field>| match field {
            Some(Field::User) => api::Named::User,
            Some(Field::UserId) => api::Named::UserId,
            Some(Field::SessionId) => api::Named::Session,
            Some(Field::SourceIp) => api::Named::Source,
            _ => api::Named::Other,
        };
        let part = |part: KeyPart| api::KeyPart { name: part.name, value: part.value, names: names(part.field) };
        Ok(parts.into_iter().map(part).collect())
    })
}

/// `reprocess` for the API.
pub(crate) fn reprocess(parts: worker::Parts) -> api::Reprocess {
    Arc::new(move |from, to| {
        let parts = parts.clone();
        Box::pin(async move {
            let done =
                detector::reprocess::reprocess(&parts, from, to, |_| ()).await.map_err(|error| error.to_string())?;
            let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
            Ok(api::Reprocessed { analyzed: done.events, new_alerts: count(done.new), known_alerts: count(done.known) })
        })
    })
}

/// Runs the rules of a YAML text over stored activities, and nothing else: no alert is stored. A text may lean on the
/// rules of the server.
///
/// # Errors
/// A sentence for the author: the rules are not valid.
pub(crate) async fn dry_run(
    config: &Config,
    store: &Store,
    zone: Tz,
    text: String,
    (from, to): (Timestamp, Timestamp),
) -> Result<Value, String> {
    let paths = config.rules.clone();
    // Reading and compiling hold up no request.
    let rules = tokio::task::spawn_blocking(move || on_trial(&paths, text)).await.map_err(|error| {
        tracing::error!(%error, "a trial run of rules broke off");
        "these rules could not be read; the server's log says why".to_owned()
    })??;
    let rules = Arc::new(rules);
    let settings = engine_settings(config, zone, store).await.map_err(|failure| failure.to_string())?;
    let backtest = Backtest::new(rules.clone(), settings, config.lateness);
    let (alerts, summary) = replay(store, backtest, from, to).await.map_err(|error| {
        tracing::warn!(%error, "a trial run of rules stopped");
        "the stored activities cannot be read at the moment; try again".to_owned()
    })?;
    let ours = |alert: &&Alert| rules.rules.iter().any(|rule| rule.id == alert.rule_id && rule.file == TRIAL);
    let alerts: Vec<&Alert> = alerts.iter().filter(ours).collect();
    Ok(json!({
        "from": from, "to": to, "events": summary.events, "late": summary.late, "alerts_total": alerts.len(),
        "alerts": alerts.iter().take(SHOWN).collect::<Vec<_>>(),
    }))
}

/// The rules of a text; what they build on is taken from those of the server, and does not report.
fn on_trial(configured: &[PathBuf], text: String) -> Result<RuleSet, String> {
    let mut base = vec![RuleSource::built_in()];
    // They were fine at the start; what has become of the files since then is not this author's fault.
    if !configured.is_empty()
        && let Ok(source) = RuleSource::from_paths(configured)
        && load(&[RuleSource::built_in(), source.clone()]).is_ok()
    {
        base.push(source);
    }
    let loaded = load_only(&base, &RuleSource::text(TRIAL, text)).map_err(|findings| {
        let errors = findings.iter().filter(|finding| finding.is_error()).map(ToString::to_string);
        errors.collect::<Vec<_>>().join("; ")
    })?;
    if loaded.rules.rules.iter().any(|rule| rule.reports) {
        return Ok(loaded.rules);
    }
    Err("These rules find nothing by themselves: a filter leaves events out of the rules that it names. Put those into \
         the text as well."
        .to_owned())
}

/// The engine over the stored activities of a span. The engine's part runs where it holds up no request.
async fn replay(
    store: &Store,
    mut backtest: Backtest,
    from: Timestamp,
    to: Timestamp,
) -> Result<(Vec<Alert>, Summary), Box<dyn std::error::Error + Send + Sync>> {
    let range = StoredRange { from, to, up_to_seq: None, late: true };
    let mut after = None;
    loop {
        let page = store.stored_activities(&range, after, PAGE).await?;
        after = page.last().map(store::StoredActivity::cursor);
        if page.is_empty() {
            break;
        }
        backtest = tokio::task::spawn_blocking(move || {
            page.iter().for_each(|row| backtest.stored(&row.activity));
            backtest
        })
        .await?;
    }
    Ok(tokio::task::spawn_blocking(move || backtest.finish()).await?)
}
