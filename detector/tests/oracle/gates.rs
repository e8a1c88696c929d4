//! `analytics.when`: whether an event counts, by looking back over everything before it.

use chrono::{Datelike, Timelike};
use detector::rules::{Body, Detection, FirstSeen, TimeGate, ZoneOf};
use domain::username_key;

use crate::reference::{World, detection_key, key_text};

/// Whether the detection stands for the event: its selection matches, and every member of `when` is true.
pub(crate) fn passes(world: &World<'_>, rule: usize, event: usize) -> bool {
    let Body::Detection(detection) = &world.rules[rule].body else { return false };
    world.matched[event].contains(&rule)
        && world.rules[rule].time.as_ref().is_none_or(|gate| in_time(world, gate, event))
        && detection.first_seen.as_ref().is_none_or(|new| is_new(world, rule, new, event))
        && detection.after_silence.is_none_or(|quiet| is_first(world, rule, detection, quiet, event))
}

/// Monday to Friday, 06:00 to 22:00, where the user is.
pub(crate) fn in_time(world: &World<'_>, gate: &TimeGate, event: usize) -> bool {
    assert_eq!(gate.calendar, "working_hours", "the only calendar drawn");
    let activity = &world.events[event];
    let user = activity.user.as_deref().map(username_key);
    let zone = match gate.zone {
        ZoneOf::Named(zone) => zone,
        ZoneOf::User => user.and_then(|user| world.zones.users.get(&user)).copied().unwrap_or(world.zones.default),
    };
    let local = activity.occurred_at.to_utc().with_timezone(&zone);
    let working = local.weekday().num_days_from_monday() < 5 && (6..22).contains(&local.hour());
    working == gate.inside
}

/// The detection's earlier events, with their distance: those strictly before this one's time.
fn earlier<'a>(world: &'a World<'_>, rule: usize, event: usize) -> impl Iterator<Item = (usize, i64)> + 'a {
    let now = world.events[event].occurred_at;
    (0..world.events.len())
        .filter(move |other| world.matched[*other].contains(&rule) && world.events[*other].occurred_at < now)
        .map(move |other| (other, now.since(world.events[other].occurred_at)))
}

/// `of` had no such value within, and learning is done. An event that lacks either teaches nothing and is not new.
fn is_new(world: &World<'_>, rule: usize, new: &FirstSeen, event: usize) -> bool {
    let pair = |event: usize| {
        let activity = &world.events[event];
        let value = new.field.text(activity).filter(|text| !text.is_empty())?;
        Some((key_text(&new.of, activity)?, value.into_owned()))
    };
    let Some((of, value)) = pair(event) else { return false };
    let mine: Vec<(String, i64)> = earlier(world, rule, event)
        .filter_map(|(other, age)| pair(other).filter(|(whose, _)| *whose == of).map(|(_, value)| (value, age)))
        .collect();
    let learnt = mine.len() as u64 >= new.after_events
        && (new.after_age == 0 || mine.iter().any(|(_, age)| *age >= new.after_age));
    learnt && !mine.iter().any(|(other, age)| *other == value && *age <= new.within)
}

/// No earlier match of the key for that long.
fn is_first(world: &World<'_>, rule: usize, detection: &Detection, quiet: i64, event: usize) -> bool {
    let Some(key) = detection_key(&detection.key, &world.events[event]) else { return false };
    !earlier(world, rule, event)
        .any(|(other, age)| age <= quiet && detection_key(&detection.key, &world.events[other]).as_ref() == Some(&key))
}
