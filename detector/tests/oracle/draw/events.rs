//! Events: few users, addresses and values, so that they meet; times on a grid, so that windows are hit exactly.

use domain::{Activity, SECOND, Timestamp};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Case, Focus, Run};

/// What stands as `n` in an event, as JSON; the first is nothing.
const NUMBERS: [&str; 29] = [
    "",
    "0",
    "1",
    "2",
    "-1",
    "-2",
    "0.1",
    "0.2",
    "0.7",
    "\"3\"",
    "\"x\"",
    "null",
    "1e0",
    "\"+1\"",
    "\"1_0\"",
    "\".5\"",
    "\" 1\"",
    "true",
    "27009076.397992026",
    "0.3333333333333333",
    "-0.00001234567890123456",
    "\"12345678901.23\"",
    // Together they have more digits than a decimal, and the last are too large for one.
    "1e24",
    "-1e24",
    "1e-20",
    "-1e-20",
    "1e300",
    "123456789012345678901234567890",
    "\"-9e28\"",
];
/// So many of them are small.
const SMALL: usize = 18;

/// One event, or a burst of equal ones.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    slot: u8,
    micro: u8,
    burst: u8,
    id: u8,
    user: u8,
    source: u8,
    session: u8,
    action: u8,
    resource: u8,
    number: usize,
    role: u8,
    denied: bool,
    target: u8,
    delay: u8,
    /// Whether the watermark is told after it, and how tightly.
    pub(crate) advance: u8,
}

pub(crate) fn event(focus: Focus) -> impl Strategy<Value = Event> {
    let slots = if matches!(focus, Focus::Waiting | Focus::Usual) { 0..160_u8 } else { 0..48_u8 };
    let numbers = if matches!(focus, Focus::Amounts | Focus::Crowds) { NUMBERS.len() } else { SMALL };
    let micro = prop::sample::select(vec![0_u8, 0, 0, 0, 0, 1, 2]);
    let time = (slots, micro, burst(focus), any::<u8>(), 0..13_u8, 0..5_u8);
    let who = (0..6_u8, 0..6_u8, 0..3_u8, 0..3_u8);
    let what = (0..3_u8, 0..6_u8, 0..numbers, 0..4_u8, any::<bool>());
    (time, who, what).prop_map(|(time, who, what)| {
        let (slot, micro, burst, id, delay, advance) = time;
        let (user, source, session, target) = who;
        let (action, resource, number, role, denied) = what;
        Event {
            slot,
            micro,
            burst,
            id,
            user,
            source,
            session,
            action,
            resource,
            number,
            role,
            denied,
            target,
            delay,
            advance,
        }
    })
}

fn burst(focus: Focus) -> impl Strategy<Value = u8> {
    let most = if matches!(focus, Focus::Crowds) { 40 } else { 12 };
    prop::sample::select(vec![1_u8, 1, 1, 1, 1, 1, 1, 2, 3, most])
}

/// Friday, a minute before working hours end in UTC.
fn start() -> Timestamp {
    Timestamp::parse("2026-03-06T21:59:00Z").expect("a time")
}

/// An event on its way.
pub(crate) struct Arrival {
    pub(crate) activity: Activity,
    /// As a line of NDJSON would have it.
    pub(crate) line: Value,
    pub(crate) advance: u8,
}

/// The events in the order of their arrival, `received_at` and `late` stamped as a backtest does.
pub(crate) fn arrivals(case: &Case, run: &Run) -> Vec<Arrival> {
    let unit = case.unit() * SECOND;
    let mut all: Vec<(i64, Arrival)> = Vec::new();
    for event in &run.events {
        for copy in 0..event.burst {
            let at = start().plus(i64::from(event.slot) * unit + i64::from(event.micro));
            // Now and then one unit more than may be.
            let delay = i64::from(event.delay % (run.lateness + 2).min(13));
            // Ids of any kind, and those that tell the millisecond, which the engine keeps in less room; both in one run.
            let told = u128::from(at.micros().unsigned_abs() / 1_000) << 80 | 7 << 76;
            let told = if run.lateness.is_multiple_of(2) || event.id > 250 { 0 } else { told };
            let id = uuid::Uuid::from_u128(told | u128::from(event.id) << 64 | all.len() as u128);
            let line = event.line(at, id, copy);
            let arrival = Arrival { activity: event.activity(at, id, &line), line, advance: event.advance };
            all.push((at.micros() + delay * unit, arrival));
        }
    }
    all.sort_by_key(|(arrival, _)| *arrival);
    let mut arrivals: Vec<Arrival> = all.into_iter().map(|(_, arrival)| arrival).collect();
    let mut newest = Timestamp::MIN;
    for Arrival { activity, .. } in &mut arrivals {
        newest = newest.max(activity.occurred_at);
        activity.received_at = newest;
        activity.late = newest.since(activity.occurred_at) > i64::from(run.lateness) * unit;
    }
    arrivals
}

impl Event {
    fn line(&self, at: Timestamp, id: uuid::Uuid, copy: u8) -> Value {
        let mut line = Map::new();
        let mut put = |name: &str, value: Value| {
            line.insert(name.to_owned(), value);
        };
        put("event_id", json!(id));
        put("occurred_at", json!(at));
        put("action", json!(["a", "b", "c"][usize::from(self.action)]));
        if let Some(user) =
            [None, Some("ada"), Some("ada"), Some("bob"), Some(" ADA "), Some("")][usize::from(self.user)]
        {
            put("user", json!(user));
        }
        let sources = [
            None,
            Some("192.0.2.1"),
            Some("192.0.2.1"),
            Some("2001:db8::1"),
            Some("2001:db8::2"),
            Some("2001:db8:1::1"),
        ];
        if let Some(source) = sources[usize::from(self.source)] {
            put("source_ip", json!(source));
        }
        if self.session > 0 {
            put("session_id", json!(["", "s", "t"][usize::from(self.session)]));
        }
        // A burst has different values, or nothing distinct would ever be many.
        let resources = [None, Some("x"), Some("y"), Some("X"), Some(""), Some("burst")];
        if let Some(resource) = resources[usize::from(self.resource)] {
            put("resource", if resource == "burst" { json!(format!("x{copy}")) } else { json!(resource) });
        }
        if let Ok(number) = serde_json::from_str(NUMBERS[self.number]) {
            put("n", number);
        }
        if let Some(role) = [None, Some("Employee"), Some("Employee"), Some("Admin")][usize::from(self.role)] {
            put("role", json!(role));
        }
        if self.denied {
            put("outcome", json!("denied"));
        }
        if self.target > 0 {
            put("target", json!(["", "ada", "bob"][usize::from(self.target)]));
        }
        Value::Object(line)
    }

    /// The same as the wire makes of the line; built here so that a fault of the wire is not a fault of the engine.
    fn activity(&self, at: Timestamp, id: uuid::Uuid, line: &Value) -> Activity {
        let text = |name: &str| line[name].as_str().map(str::to_owned);
        let mut activity = Activity::new(id, line["action"].as_str().expect("an action"), at);
        activity.user = text("user");
        activity.source_ip = text("source_ip").map(|text| text.parse().expect("an address"));
        activity.session_id = text("session_id");
        activity.resource = text("resource");
        activity.role = text("role");
        activity.origin = "backtest".to_owned();
        if self.denied {
            activity.outcome = domain::Outcome::Denied;
        }
        for name in ["n", "target"] {
            if let Some(value) = line.get(name).filter(|value| !value.is_null()) {
                activity.attributes.insert(name.to_owned(), value.clone());
            }
        }
        activity
    }
}
