//! Any bytes as a line of NDJSON: never a panic, the same by both ways in, within the limits, and what is kept comes
//! back from the journal as it was.

#![no_main]

use domain::{Activity, Timestamp, wire};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use uuid::Uuid;

fuzz_target!(|line: &[u8]| {
    let now = Timestamp::parse("2026-03-04T12:00:00Z").expect("a time");
    let parsed = wire::parse(line);
    // The other way in: a body that serde has read already. Of a key that stands twice it knows the last alone, so what
    // is refused for the first is compared without it.
    if let Ok(object) = serde_json::from_slice::<Map<String, Value>>(line) {
        let once = serde_json::to_vec(&object).expect("an object is written");
        let other = wire::from_value(object).ok();
        assert_eq!(other, wire::parse(&once).ok(), "both ways in agree");
        if let Ok(incoming) = &parsed {
            assert_eq!(other.as_ref(), Some(incoming), "the last of a key counts");
        }
    }
    let Ok(incoming) = parsed else { return };
    assert!(!incoming.action.is_empty() && incoming.action.chars().count() <= wire::MAX_ACTION);
    assert!(incoming.attributes.len() <= wire::MAX_ATTRIBUTES + 1, "one more may be a time that was kept");

    let live = incoming.clone().into_activity(now, Uuid::from_u128(1), "ingest:fuzz");
    assert!(live.occurred_at.since(live.received_at) <= wire::MAX_AHEAD);
    assert_eq!(live.origin, "ingest:fuzz");
    assert!(!live.late && !live.known_user, "provenance is not read from a line");
    round_trip(&live);
    if let Ok(past) = incoming.into_backtest(now, Uuid::from_u128(2)) {
        assert!(!past.clock_skew);
        round_trip(&past);
    }
});

fn round_trip(activity: &Activity) {
    let text = activity.to_json();
    assert!(!text.contains('\n'), "one line");
    let back = Activity::from_json(&text).expect("what was written is read");
    assert_eq!(&back, activity);
    assert!(back.same_content(activity));
    assert_eq!(back.to_json(), text);
    assert!(!activity.partition_key().is_empty());
}
