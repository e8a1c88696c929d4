//! Writing scores: the only place that knows which rows follow from a user's steps.

use std::collections::HashMap;

use domain::{DAY, Timestamp};
use uuid::Uuid;

use crate::Result;
use crate::alerts::write::Stale;
use crate::alerts::{Subject, severity};
use crate::db::{Tx, in_tx};
use crate::query::{Query, hundredths, id, rows_in_tx, run_in_tx};
use crate::scores::Evidence;
use crate::scores::history::{Columns, Event, Known, events, query};
use crate::sql::{id_bytes, statements};

statements! {
    LOCK = "UPDATE user_risk SET version = version + 1 WHERE user_key = ?";
    BEGIN = "INSERT INTO user_risk (user_key, username, user_id, score, at, version) VALUES (?, ?, ?, 0, ?, 1)";
    RISK = "UPDATE user_risk SET score = ?, at = ?, user_id = COALESCE(user_id, ?) WHERE user_key = ?";
    INSERT = "INSERT INTO anomaly_scores (alert_id, step, user_key, detection_id, user_id, username, session_id, \
              risk_score, added, evidence, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    UPDATE = "UPDATE anomaly_scores SET detection_id = ?, session_id = ?, risk_score = ?, added = ?, evidence = ?, \
              at = ? WHERE score_id = ?";
    DELETE = "DELETE FROM anomaly_scores WHERE score_id = ?";
    SCOPE = "SELECT detection_id FROM detections WHERE scope = ?";
    DETECT = "INSERT INTO detections (scope, user_id, score_id, risk_score, findings, detected_at) \
              VALUES (?, ?, 0, 0, 0, ?)";
    LATEST = "SELECT score_id, risk_score, evidence, at FROM anomaly_scores WHERE detection_id = ? \
              ORDER BY at DESC, score_id DESC LIMIT 1";
    MOVE = "UPDATE detections SET score_id = ?, risk_score = ?, findings = ?, detected_at = ? WHERE detection_id = ?";
    GONE = "DELETE FROM detections WHERE detection_id = ?";
}

/// Takes the rows of the users whose scores will change, in the order of names.
pub(crate) async fn lock(tx: &mut Tx, stale: &Stale) -> Result<()> {
    for (user, (subject, from)) in stale {
        if run_in_tx!(tx, LOCK, user) == 0 {
            run_in_tx!(tx, BEGIN, user, &subject.username, subject.user_id, from.micros());
        }
    }
    Ok(())
}

/// A score row as stored.
#[derive(Debug, PartialEq)]
struct Row {
    score_id: i64,
    detection_id: i64,
    session_id: Option<String>,
    risk_score: i64,
    added: i64,
    evidence: String,
    at: i64,
}

type Stored = (Vec<u8>, i64, i64, i64, Option<String>, i64, i64, String, i64);

/// Computes a user's scores anew from a moment on, in place.
pub(crate) async fn recompute(tx: &mut Tx, user: &str, subject: &Subject, from: Timestamp) -> Result<()> {
    let rows: Vec<Columns> = rows_in_tx!(tx, query(user, from));
    let steps = events(rows)?;
    let mut before = stored(tx, user, from, &steps).await?;
    let mut known = Known::default();
    let mut touched = Vec::new();
    for event in &steps {
        known.add(event);
        // A signal counts; a row of its own it is not worth.
        if event.at < from || severity(event.severity) == domain::Severity::Informational {
            continue;
        }
        let (risk, evidence) = known.risk(event.at);
        let added = evidence.iter().find(|part| part.alert == event.alert).map_or(0.0, |part| part.added);
        let detection_id = detection(tx, user, subject, event).await?;
        let row = Row {
            score_id: 0,
            detection_id,
            session_id: event.session_id.clone(),
            risk_score: hundredths(risk.score),
            added: hundredths(added),
            evidence: serde_json::to_string(&evidence).map_err(|error| crate::Error::Fault(Box::new(error)))?,
            at: event.at.micros(),
        };
        let old = before.remove(&(event.alert, event.step));
        touched.extend(old.as_ref().map(|old| old.detection_id));
        touched.push(detection_id);
        put(tx, user, subject, event, row, old).await?;
    }
    for row in before.into_values() {
        run_in_tx!(tx, DELETE, row.score_id);
        touched.push(row.detection_id);
    }
    touched.sort_unstable();
    touched.dedup();
    for detection_id in touched {
        refresh(tx, detection_id).await?;
    }
    let at = steps.last().map_or(from, |event| event.at);
    let score = hundredths(known.risk(at).0.score);
    run_in_tx!(tx, RISK, score, at.micros(), subject.user_id, user);
    Ok(())
}

/// The score rows that may change: those from that moment on, and those of steps that are now after it.
async fn stored(tx: &mut Tx, user: &str, from: Timestamp, steps: &[Event]) -> Result<HashMap<(Uuid, i64), Row>> {
    let head = "SELECT alert_id, step, score_id, detection_id, session_id, risk_score, added, evidence, at \
        FROM anomaly_scores";
    let later = Query::new(head).and("user_key = ?", [user.into()]).and("at >= ?", [from.into()]);
    let mut found = HashMap::new();
    let mut keep = |rows: Vec<Stored>| -> Result<()> {
        for (alert, step, score_id, detection_id, session_id, risk_score, added, evidence, at) in rows {
            let row = Row { score_id, detection_id, session_id, risk_score, added, evidence, at };
            found.insert((id(&alert)?, step), row);
        }
        Ok(())
    };
    keep(rows_in_tx!(tx, later))?;
    // A step that has moved to a later time has its row still at the earlier one; only moved alerts can have any.
    let mut moved: Vec<Uuid> = steps.iter().filter(|event| event.at >= from).map(|event| event.alert).collect();
    moved.sort_unstable();
    moved.dedup();
    for piece in crate::sql::chunks(&moved) {
        let earlier = Query::new(head)
            .and_ids("alert_id IN (", piece)
            .and("user_key = ?", [user.into()])
            .and("at < ?", [from.into()]);
        let rows: Vec<Stored> = rows_in_tx!(tx, earlier);
        let is_later = |row: &Stored| {
            steps.iter().any(|event| event.at >= from && event.step == row.1 && event.alert.as_bytes()[..] == row.0[..])
        };
        keep(rows.into_iter().filter(is_later).collect())?;
    }
    Ok(found)
}

async fn put(tx: &mut Tx, user: &str, subject: &Subject, event: &Event, row: Row, old: Option<Row>) -> Result<()> {
    let Row { detection_id, session_id, risk_score, added, evidence, at, .. } = &row;
    match old {
        Some(old) if old == (Row { score_id: old.score_id, ..row_of(&row) }) => Ok(()),
        Some(old) => {
            run_in_tx!(tx, UPDATE, *detection_id, session_id, *risk_score, *added, evidence, *at, old.score_id);
            Ok(())
        }
        None => {
            run_in_tx!(
                tx,
                INSERT,
                id_bytes(event.alert),
                event.step,
                user,
                *detection_id,
                subject.user_id,
                &subject.username,
                session_id,
                *risk_score,
                *added,
                evidence,
                *at,
            );
            Ok(())
        }
    }
}

fn row_of(row: &Row) -> Row {
    Row { session_id: row.session_id.clone(), evidence: row.evidence.clone(), ..*row }
}

/// The detection to which a step belongs: the user's session, or the user's day (UTC) where there is none.
async fn detection(tx: &mut Tx, user: &str, subject: &Subject, event: &Event) -> Result<i64> {
    let day = event.at.micros().div_euclid(DAY).to_be_bytes();
    let scope = match &event.session_id {
        Some(session) => domain::ids::derived(&[b"detection", user.as_bytes(), b"session", session.as_bytes()]),
        None => domain::ids::derived(&[b"detection", user.as_bytes(), b"day", &day]),
    };
    let find = |found: Option<(i64,)>| found.map(|(id,)| id);
    let found = in_tx!(tx, c => sqlx::query_as(SCOPE).bind(id_bytes(scope)).fetch_optional(c).await?);
    if let Some(detection_id) = find(found) {
        return Ok(detection_id);
    }
    run_in_tx!(tx, DETECT, id_bytes(scope), subject.user_id, event.at.micros());
    let (detection_id,): (i64,) = in_tx!(tx, c => sqlx::query_as(SCOPE).bind(id_bytes(scope)).fetch_one(c).await?);
    Ok(detection_id)
}

/// Moves a detection to the latest of its scores; one without any is no more.
async fn refresh(tx: &mut Tx, detection_id: i64) -> Result<()> {
    let latest: Option<(i64, i64, String, i64)> =
        in_tx!(tx, c => sqlx::query_as(LATEST).bind(detection_id).fetch_optional(c).await?);
    match latest {
        Some((score_id, risk_score, evidence, at)) => {
            let parts: Vec<Evidence> =
                serde_json::from_str(&evidence).map_err(|error| crate::Error::Fault(Box::new(error)))?;
            let findings = i64::try_from(parts.len()).unwrap_or(i64::MAX);
            run_in_tx!(tx, MOVE, score_id, risk_score, findings, at, detection_id);
        }
        None => {
            run_in_tx!(tx, GONE, detection_id);
        }
    }
    Ok(())
}
