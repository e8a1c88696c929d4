//! From changed alerts to everything that follows from them, in one transaction.

use std::collections::{BTreeMap, HashMap};

use domain::{Activity, Alert, Partition, Severity, Timestamp};
use uuid::Uuid;

use crate::alerts::detection::{Evidence, Found};
use crate::alerts::subjects::{self, Subjects};
use crate::alerts::{AlertRow, COLUMNS, Change, Columns, Detected, flags, is_void, key_digest, rank, steps, stored};
use crate::db::Tx;
use crate::exceptions::{self, Standing};
use crate::query::{Query, clipped, rows_in_tx, run_in_tx};
use crate::scores;
use crate::sql::{chunks, id_bytes, statements};
use crate::webhooks::outbox::{Happening, Listening, is_shown};
use crate::{Error, Result};

statements! {
    INSERT = "INSERT INTO alerts (alert_id, key_digest, at, rule_id, family, severity, risk, user_key, ip, \
              first_event_at, last_event_at, state, revision, found_by, crossing_event, suppressed, exception_id, \
              status, updated_at, document, log_topic, log_part) \
              VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    UPDATE = "UPDATE alerts SET at = ?, severity = ?, risk = ?, first_event_at = ?, last_event_at = ?, state = ?, \
              revision = ?, crossing_event = ?, suppressed = ?, exception_id = COALESCE(?, exception_id), updated_at = ?, \
              document = ? WHERE alert_id = ?";
}

/// The status of an alert that nobody has looked at.
const UNTOUCHED: &str = "open";

/// From which moment on a user's scores have to be computed anew.
pub(crate) type Stale = BTreeMap<String, (subjects::Subject, Timestamp)>;

/// A change with what is known of it before anything is written.
struct Plan {
    /// What is stored of it.
    before: Option<Alert>,
    /// What will be stored.
    after: Alert,
    exception: Option<i64>,
    old_subjects: Subjects,
    subjects: Subjects,
    added: Vec<steps::Step>,
    removed: Vec<steps::Step>,
}

/// An alert that is in the queue with a severity that it did not have there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Which.
    pub alert_id: Uuid,
    /// Its rule.
    pub rule_id: String,
    /// The title of its rule.
    pub rule: String,
    /// The severity.
    pub severity: Severity,
    /// Whether it was in the queue already, and rose.
    pub rose: bool,
    /// The event that crossed.
    pub crossing_event: Uuid,
}

impl News {
    fn of(before: Option<&Alert>, after: &Alert) -> Option<Self> {
        let had = before.filter(|before| is_shown(before)).map(|before| before.severity);
        (is_shown(after) && had.is_none_or(|had| after.severity > had)).then(|| Self {
            alert_id: after.alert_id,
            rule_id: after.rule_id.clone(),
            rule: after.rule.clone(),
            severity: after.severity,
            rose: had.is_some(),
            crossing_event: after.crossing_event,
        })
    }
}

/// Writes changed alerts with their steps, subjects, flags, scores and risk, and publishes them.
pub(crate) async fn changes(tx: &mut Tx, changes: &[Change], found: &Found) -> Result<Detected> {
    let mut done = Detected::default();
    if changes.is_empty() {
        return Ok(done);
    }
    let before = load(tx, changes).await?;
    let ids: Vec<Uuid> = before.keys().copied().collect();
    let mut stored = Parts { subjects: subjects::stored(tx, &ids).await?, steps: steps::stored(tx, &ids).await? };
    let events = evidence(tx, changes, &before, &found.evidence).await?;
    let mut standing = Standing::default();
    let mut plans = Vec::with_capacity(changes.len());
    let mut stale = Stale::new();
    for change in changes {
        let of = change.alert.alert_id;
        let had = (stored.subjects.remove(&of).unwrap_or_default(), stored.steps.remove(&of).unwrap_or_default());
        let plan = plan(tx, change, before.get(&of), had, &events, &mut standing).await?;
        mark(&plan, &mut stale);
        plans.push(plan);
    }
    // The users' rows before anything of theirs is written, in the order of names.
    scores::lock(tx, &stale).await?;
    for plan in &plans {
        match plan.before {
            Some(_) => done.updated += 1,
            None => {
                done.new += 1;
                done.suppressed += usize::from(plan.after.suppressed);
            }
        }
        write(tx, plan, &events, found.partition).await?;
    }
    for (user, (subject, from)) in &stale {
        scores::recompute(tx, user, subject, *from).await?;
    }
    let mut listening = Listening::default();
    for plan in &plans {
        publish(tx, &plan.after).await?;
        done.news.extend(News::of(plan.before.as_ref(), &plan.after));
        if let Some(happening) = Happening::of(plan.before.as_ref(), &plan.after, tx.now) {
            let row = before.get(&plan.after.alert_id);
            listening.tell(tx, &plan.as_row(row, tx.now), happening).await?;
        }
    }
    Ok(done)
}

impl Plan {
    /// The row as it will be, with what people made of the one that was.
    fn as_row(&self, before: Option<&AlertRow>, updated_at: Timestamp) -> AlertRow {
        AlertRow {
            alert: self.after.clone(),
            reason: before.and_then(|row| row.reason.clone()),
            assignee: before.and_then(|row| row.assignee.clone()),
            exception_id: self.exception,
            updated_at,
        }
    }
}

/// What is stored beside some alerts.
struct Parts {
    subjects: HashMap<Uuid, Subjects>,
    steps: HashMap<Uuid, Vec<steps::Step>>,
}

/// The alerts as stored, held until the end of the transaction: a verdict given meanwhile waits.
async fn load(tx: &mut Tx, changes: &[Change]) -> Result<HashMap<Uuid, AlertRow>> {
    let mut ids: Vec<Uuid> = changes.iter().map(|change| change.alert.alert_id).collect();
    ids.sort_unstable();
    let mut before = HashMap::new();
    for piece in chunks(&ids) {
        let query = Query::new(COLUMNS).and_ids("a.alert_id IN (", piece).held(tx);
        let rows: Vec<Columns> = rows_in_tx!(tx, query);
        for row in rows {
            let row = stored(row)?;
            before.insert(row.alert.alert_id, row);
        }
    }
    Ok(before)
}

/// The events that say whom the alerts count for: of those that are new or whose evidence has changed.
async fn evidence(
    tx: &mut Tx,
    changes: &[Change],
    before: &HashMap<Uuid, AlertRow>,
    known: &Evidence,
) -> Result<HashMap<Uuid, Activity>> {
    let moved = |change: &&Change| {
        before.get(&change.alert.alert_id).is_none_or(|row| has_other_evidence(&row.alert, &change.alert))
    };
    let mut ids: Vec<Uuid> =
        changes.iter().filter(moved).flat_map(|change| subjects::evidence(&change.alert)).collect();
    ids.sort_unstable();
    ids.dedup();
    let (at_hand, others): (Vec<Uuid>, Vec<Uuid>) = ids.iter().partition(|id| known.activities.contains_key(id));
    let mut events = subjects::activities(tx, &others).await?;
    if known.will_come && events.len() < others.len() {
        let missing = others.len() - events.len();
        return Err(Error::fault(format!("{missing} events of alerts are not stored yet")));
    }
    events.extend(at_hand.into_iter().filter_map(|id| Some((id, known.activities.get(&id)?.clone()))));
    Ok(events)
}

fn has_other_evidence(before: &Alert, after: &Alert) -> bool {
    before.crossing_event != after.crossing_event
        || before.event_ids != after.event_ids
        || (rank(before.severity) == 0) != (rank(after.severity) == 0)
}

async fn plan(
    tx: &mut Tx,
    change: &Change,
    before: Option<&AlertRow>,
    (old_subjects, had): (Subjects, Vec<steps::Step>),
    events: &HashMap<Uuid, Activity>,
    standing: &mut Standing,
) -> Result<Plan> {
    let mut after = change.alert.clone();
    match (events.get(&after.crossing_event), before) {
        (Some(crossing), _) => after.tell_by(crossing.user.as_deref(), crossing.source_ip),
        (None, Some(row)) if row.alert.crossing_event == after.crossing_event => {
            after.user.clone_from(&row.alert.user);
            after.ip.clone_from(&row.alert.ip);
        }
        (None, _) => {}
    }
    match before {
        Some(row) => {
            // What people said stands; each write is a revision.
            after.revision = row.alert.revision + 1;
            after.status.clone_from(&row.alert.status);
            after.verdict.clone_from(&row.alert.verdict);
        }
        None => {
            after.revision = after.revision.max(1);
            after.status = UNTOUCHED.to_owned();
            after.verdict = None;
        }
    }
    let same = before.is_some_and(|row| !has_other_evidence(&row.alert, &after));
    let subjects = if same { old_subjects.clone() } else { subjects::resolve(tx, &after, events).await? };
    let exception;
    (after.suppressed, exception) = exceptions::kept_out(tx, change, before, &subjects, standing).await?;
    let wanted = steps::of_change(change, tx.now);
    let old = |step: &steps::Step| had.iter().find(|other| other.step == step.step);
    // Taken back once is taken back at that time.
    let unchanged = |step: &steps::Step| match old(step) {
        Some(other) => other == step || (step.step == steps::TAKEN_BACK && other.kind == step.kind),
        None => false,
    };
    let mut added: Vec<steps::Step> = wanted.iter().filter(|step| !unchanged(step)).cloned().collect();
    if before.is_some_and(|row| row.alert.suppressed) && !after.suppressed {
        added.push(steps::came_out(&after, tx.now));
    }
    let gone = |step: &&steps::Step| {
        step.step <= steps::TAKEN_BACK
            && wanted.iter().find(|other| other.step == step.step).is_none_or(|other| !unchanged(other))
    };
    let removed = had.iter().filter(gone).cloned().collect();
    let before = before.map(|row| row.alert.clone());
    Ok(Plan { before, after, exception, old_subjects, subjects, added, removed })
}

/// Whose scores change, and from when on.
fn mark(plan: &Plan, stale: &mut Stale) {
    let mut from = plan.added.iter().chain(&plan.removed).map(|step| step.at).min();
    if plan.old_subjects != plan.subjects {
        from = Some(from.map_or(plan.after.at, |at| at.min(plan.after.at)));
    }
    // A suppressed alert has no part in anybody's score.
    let Some(from) = from.filter(|_| !plan.after.suppressed) else { return };
    for (user, subject) in plan.old_subjects.iter().chain(&plan.subjects) {
        let entry = stale.entry(user.clone()).or_insert_with(|| (subject.clone(), from));
        entry.0.user_id = entry.0.user_id.or(subject.user_id);
        entry.1 = entry.1.min(from);
    }
}

async fn write(tx: &mut Tx, plan: &Plan, events: &HashMap<Uuid, Activity>, partition: Option<Partition>) -> Result<()> {
    let alert = &plan.after;
    let (of, now) = (id_bytes(alert.alert_id), tx.now.micros());
    let document = serde_json::to_string(alert).map_err(|error| Error::Fault(Box::new(error)))?;
    let (first, last, at) = (alert.first_event_at.micros(), alert.last_event_at.micros(), alert.at.micros());
    let crossing = id_bytes(alert.crossing_event);
    if plan.before.is_some() {
        let state = alert.state.as_str();
        let (severity, risk, revision) = (rank(alert.severity), alert.risk, alert.revision);
        let (suppressed, exception) = (i64::from(alert.suppressed), plan.exception);
        run_in_tx!(
            tx, UPDATE, at, severity, risk, first, last, state, revision, crossing, suppressed, exception, now,
            &document, of
        );
    } else {
        let user = alert.user.as_deref().map(|user| clipped(&domain::username_key(user), 255));
        run_in_tx!(
            tx,
            INSERT,
            of,
            key_digest(alert).as_bytes().to_vec(),
            at,
            clipped(&alert.rule_id, 255),
            clipped(&alert.family, 255),
            rank(alert.severity),
            alert.risk,
            user,
            alert.ip.as_deref().map(|ip| clipped(ip, 64)),
            first,
            last,
            alert.state.as_str(),
            alert.revision,
            clipped(&alert.found_by, 64),
            crossing,
            i64::from(alert.suppressed),
            plan.exception,
            UNTOUCHED,
            now,
            &document,
            partition.map(|partition| partition.topic),
            partition.map(|partition| i64::from(partition.number)),
        );
    }
    if plan.subjects != plan.old_subjects {
        if !plan.old_subjects.is_empty() {
            subjects::clear(tx, alert.alert_id).await?;
        }
        subjects::add_all(tx, alert.alert_id, &plan.subjects).await?;
    }
    for step in &plan.removed {
        steps::remove(tx, alert.alert_id, step.step).await?;
    }
    for step in &plan.added {
        steps::add(tx, alert.alert_id, step).await?;
    }
    if let Some(stale) = stale_flag(plan.before.as_ref(), alert) {
        flags::write(tx, alert, stale, &plan.subjects, events).await?;
    }
    Ok(())
}

/// What of the flag of an alert is out of date. A signal that has become an alert had none.
fn stale_flag(before: Option<&Alert>, after: &Alert) -> Option<flags::Stale> {
    let Some(before) = before.filter(|before| before.severity != Severity::Informational) else {
        return Some(flags::Stale::Missing);
    };
    let looks = before.severity != after.severity
        || is_void(before.state) != is_void(after.state)
        || before.suppressed != after.suppressed;
    if before.crossing_event != after.crossing_event || before.at != after.at {
        return Some(flags::Stale::Moved);
    }
    looks.then_some(flags::Stale::Look)
}

/// Appends the present state of an alert to the log, for whoever follows it. Signals are for risk only.
pub(crate) async fn publish(tx: &mut Tx, alert: &Alert) -> Result<()> {
    if alert.severity == Severity::Informational {
        return Ok(());
    }
    let document = serde_json::to_string(alert).map_err(|error| Error::Fault(Box::new(error)))?;
    tx.append_alert(document).await
}
