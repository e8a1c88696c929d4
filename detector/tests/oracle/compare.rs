//! What of an alert has to agree, and by how much.

use std::fmt::Write as _;

use domain::{Alert, AlertState, Severity};
use num::ToPrimitive;
use rust_decimal::Decimal;

use crate::episodes::Found;
use crate::reference::{Value, decimal};

/// The alerts that count, in the order of the contract.
pub(crate) fn final_alerts(alerts: impl IntoIterator<Item = Alert>) -> Vec<Alert> {
    let counts = |alert: &Alert| {
        !matches!(alert.state, AlertState::Retracted | AlertState::Merged) && alert.severity > Severity::Informational
    };
    let mut alerts: Vec<Alert> = alerts.into_iter().filter(counts).collect();
    alerts.sort_by(|a, b| (a.at, &a.rule_id, &a.key).cmp(&(b.at, &b.rule_id, &b.key)));
    alerts
}

/// `None` where both say the same.
pub(crate) fn difference(expected: &[Found], got: &[Alert]) -> Option<String> {
    let agree = expected.len() == got.len() && expected.iter().zip(got).all(|(found, alert)| same(found, alert));
    (!agree).then(|| {
        let mut text = String::from("the oracle says:\n");
        for found in expected {
            let steps: Vec<String> = found
                .escalations
                .iter()
                .map(|step| format!("{} {} {}", step.at, step.severity, double(&step.observed)))
                .collect();
            let observed = double(&found.observed);
            let cap = found.cap.map_or_else(String::new, |cap| format!(" (kept up to {cap})"));
            let (at, first, last, severity) = (found.at, found.first, found.last, found.severity);
            let (id, key) = (&found.rule_id, &found.key);
            let _ = writeln!(text, "  {at} {id} {key:?} {severity} {observed}{cap} {first}..{last} {steps:?}");
        }
        text.push_str("the engine says:\n");
        for alert in got {
            let steps: Vec<String> = alert
                .escalations
                .iter()
                .map(|step| format!("{} {} {}", step.at, step.severity, step.observed))
                .collect();
            let (at, severity, observed) = (alert.at, alert.severity, alert.observed);
            let (first, last, id, key) = (alert.first_event_at, alert.last_event_at, &alert.rule_id, &alert.key);
            let _ = writeln!(text, "  {at} {id} {key:?} {severity} {observed} {first}..{last} {steps:?}");
        }
        text
    })
}

fn same(found: &Found, alert: &Alert) -> bool {
    found.at == alert.at
        && found.rule_id == alert.rule_id
        && found.key == alert.key
        && found.severity == alert.severity
        && found.first == alert.first_event_at
        && found.last == alert.last_event_at
        && within(&found.observed, found.cap, alert.observed)
        && found.escalations.len() == alert.escalations.len()
        && found.escalations.iter().zip(&alert.escalations).all(|(step, other)| {
            step.at == other.at && step.severity == other.severity && within(&step.observed, found.cap, other.observed)
        })
}

/// Equal, or between the cap and the true count. An alert's numbers are doubles, the nearest, of what has 28 digits behind
/// the point.
fn within(truth: &Value, cap: Option<Decimal>, got: f64) -> bool {
    let least = cap.map(decimal).filter(|cap| cap < truth);
    let least = least.as_ref().unwrap_or(truth);
    let last_digits = decimal(Decimal::new(2, 28));
    (got >= double(least) && got <= double(truth))
        || Value::from_float(got).is_some_and(|got| got >= least - &last_digits && got <= truth + &last_digits)
}

fn double(value: &Value) -> f64 {
    value.to_f64().expect("finite")
}
