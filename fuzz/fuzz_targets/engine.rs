//! Sequences of activities, watermarks and looks at the alerts, over rules of every shape. What is told has to make
//! sense on the way, and at the end has to be what the same activities give in order.

#![no_main]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};

use arbitrary::Arbitrary;
use detector::engine::{Engine, Settings};
use detector::rules::{RuleSet, RuleSource, load};
use domain::{Activity, Alert, AlertState, MINUTE, Outcome, SECOND, Severity, Timestamp};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use uuid::Uuid;

const SHAPES: &str = include_str!("shapes.yml");
const LATENESS: i64 = 5 * MINUTE;
/// Seconds by which the clock goes on: on, beside and far from the ends of the windows.
const STEPS: [i64; 16] = [0, 0, 0, 1, 1, 5, 10, 30, 59, 60, 61, 299, 300, 3_600, 36_000, 86_400];
/// Seconds by which an activity lies back when it comes.
const BACK: [i64; 8] = [0, 0, 0, 1, 60, 120, 299, 300];

static RULES: LazyLock<Arc<RuleSet>> =
    LazyLock::new(|| Arc::new(load(&[RuleSource::text("shapes.yml", SHAPES)]).expect("valid rules").rules));

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Op {
    Event { what: u8, who: u8, step: u8, back: u8, id: u8 },
    Again { what: u8, times: u8 },
    Advance,
    Drain,
}

/// What the engine was given, in the order of arrival, and the clock that says what may still come.
struct Run {
    engine: Engine,
    clock: i64,
    given: Vec<Activity>,
    told: BTreeMap<Uuid, Alert>,
}

fuzz_target!(|ops: Vec<Op>| {
    let mut run = Run {
        engine: Engine::new(Arc::clone(&RULES), Settings::default()),
        clock: Timestamp::parse("2026-03-04T21:58:00Z").expect("a time").micros(),
        given: Vec::new(),
        told: BTreeMap::new(),
    };
    for op in ops.into_iter().take(400) {
        match op {
            Op::Event { what, who, step, back, id } => {
                run.clock += STEPS[usize::from(step) % STEPS.len()] * SECOND;
                run.event(what, who, BACK[usize::from(back) % BACK.len()], id);
            }
            Op::Again { what, times } => {
                for n in 0..times % 32 {
                    run.event(what, n / 8, 0, n);
                }
            }
            Op::Advance => run.engine.advance(Timestamp::from_micros(run.clock - LATENESS - MINUTE)),
            Op::Drain => run.drain(),
        }
    }
    run.engine.finish();
    run.drain();
    assert_eq!(run.engine.gaps(), [], "nothing came too late and no bound was reached");

    let mut in_order = run.given;
    in_order.sort_by_key(|activity| (activity.occurred_at, activity.event_id));
    let mut engine = Engine::new(Arc::clone(&RULES), Settings::default());
    for activity in &in_order {
        engine.observe(activity);
    }
    engine.finish();
    let expected = last(engine.drain().iter());
    assert_eq!(last(run.told.values()), expected, "the order of arrival made a difference: {in_order:#?}");
});

impl Run {
    fn event(&mut self, what: u8, who: u8, back: i64, id: u8) {
        let at = Timestamp::from_micros(self.clock - back * SECOND);
        // The first byte decides who is first among those of one time.
        let id = Uuid::from_u128(u128::from(id) << 120 | self.given.len() as u128);
        let action = ["LoginFailed", "Login", "View", "Update", "Export", "Delete"][usize::from(what) % 6];
        let mut activity = Activity::new(id, action, at);
        activity.user = [Some("ada"), Some("bo"), Some("ADA"), None][usize::from(who) % 4].map(str::to_owned);
        activity.source_ip = ["192.0.2.1", "2001:db8::1", "2001:db8::2"]
            .get(usize::from(who >> 2) % 4)
            .map(|ip| ip.parse().expect("an address"));
        activity.session_id = (who >> 4 & 1 == 1).then(|| "s".to_owned());
        activity.resource = Some(format!("inventory/{}", what / 6 % 8));
        activity.records = (what & 1 == 1).then_some(i64::from(what) - 100);
        activity.outcome = if what > 200 { Outcome::Denied } else { Outcome::Success };
        activity.role = (who >> 5 & 1 == 1).then(|| "Employee".to_owned());
        if what & 2 == 2 {
            activity
                .attributes
                .insert("amount".to_owned(), Value::String(format!("{}.{}", what / 16, id.as_u128() % 10)));
        }
        self.engine.observe(&activity);
        self.given.push(activity);
    }

    fn drain(&mut self) {
        let mut ids = BTreeSet::new();
        for alert in self.engine.drain() {
            let id = alert.alert_id;
            assert!(ids.insert(id), "{id} was told twice at once");
            if let Some(last) = self.told.get(&id) {
                assert!(alert.revision > last.revision, "{id}: revisions rise");
                assert_eq!((&alert.rule_id, &alert.key), (&last.rule_id, &last.key), "{id} is of one rule and key");
            }
            if alive(&alert) {
                makes_sense(&alert);
            }
            self.told.insert(id, alert);
        }
        let mut open = HashMap::new();
        for alert in self.told.values().filter(|alert| alive(alert)) {
            let place = (&alert.rule_id, &alert.key, alert.crossing_event);
            assert!(open.insert(place, alert.alert_id).is_none(), "{place:?} is open twice");
        }
    }
}

fn alive(alert: &Alert) -> bool {
    matches!(alert.state, AlertState::Open | AlertState::Closed)
}

fn makes_sense(alert: &Alert) {
    // Rules with an upper bound alone tell the lowest value; a text condition asks which rules, not how many.
    let free = alert.rule.starts_with("Free");
    assert!(free || alert.observed >= alert.threshold, "{alert:#?}");
    assert!(alert.event_count >= 1 && alert.revision >= 1, "{alert:#?}");
    assert!(alert.at <= alert.last_event_at && alert.first_event_at <= alert.at, "{alert:#?}");
    assert!(alert.event_ids.len() <= 256 && !alert.event_ids.is_empty(), "{alert:#?}");
    assert_eq!(alert.event_ids.iter().collect::<BTreeSet<_>>().len(), alert.event_ids.len(), "{alert:#?}");
    assert!(alert.escalations.is_sorted_by_key(|step| (step.at, step.severity)), "{alert:#?}");
    assert!(alert.escalations.iter().all(|step| step.severity <= alert.severity), "{alert:#?}");
}

/// What does not depend on when things came: all but ids, revisions, and counts beyond what is kept.
type Told =
    (Timestamp, String, BTreeMap<String, String>, Severity, u64, [Timestamp; 2], i64, Vec<(Timestamp, Severity, u64)>);

fn last<'a>(alerts: impl Iterator<Item = &'a Alert>) -> Vec<Told> {
    let mut told: Vec<Told> = alerts
        .filter(|alert| alive(alert))
        .map(|alert| {
            assert!(alert.state == AlertState::Closed, "{} is open although nothing more will come", alert.alert_id);
            let counts = alert.rule.contains("count");
            let capped = |value: f64| if counts { value.min(8.0 * alert.threshold) } else { value }.to_bits();
            let steps = alert.escalations.iter().map(|step| (step.at, step.severity, capped(step.observed))).collect();
            (
                alert.at,
                alert.rule_id.clone(),
                alert.key.clone(),
                alert.severity,
                capped(alert.observed),
                [alert.first_event_at, alert.last_event_at],
                alert.event_count,
                steps,
            )
        })
        .collect();
    told.sort();
    told
}
