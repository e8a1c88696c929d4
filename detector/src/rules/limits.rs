//! Where a rule can run, what it keeps for each key, and how far it counts.

use super::field::Field;
use super::model::{Body, Correlation, Detection, DetectionKey, GroupField, Kind, Rule, RuleSet};

/// Events that the engine holds for one key.
pub const EVENTS_PER_KEY: usize = 65_536;
/// Most that a rule can count to. A key that is full gives up its oldest eighth; those of the same moment go with it.
pub(super) const MOST_COUNTED: u32 = 50_000;
/// Bytes of an event in a window: its id and time, the number of its value.
const PER_EVENT: usize = 18;
/// Bytes of an event whose number is added up: the number, and where it is found, besides.
const PER_NUMBER: usize = 128;
/// Bytes of an event whose number is ranked: it stands in their order as well.
const PER_RANKED: usize = 152;
/// Bytes of a key besides its events: the key's text, its place; an open episode comes to that.
const PER_KEY: usize = 112;
/// Bytes of a value that was seen: its text, and when.
const PER_VALUE: usize = 24;
/// Most values that `first_seen` keeps for a key.
const SEEN_VALUES: usize = 64;
/// Events that are reckoned with in a window whose condition names no count.
const TYPICAL_EVENTS: u128 = 16;

/// Whether the rule finds the same in a distributed installation, where events are split by user and once more by
/// source address.
///
/// # Errors
/// A sentence that says which keys are possible.
pub fn distributable(rule: &Rule) -> Result<(), String> {
    splits(rule).map(|_| ())
}

/// The rules of a set that do not find the same in a distributed installation, each with the reason. Besides a rule's
/// own key it takes into account that a correlation sees another one's crossings in the same partition only.
#[must_use]
pub fn undistributable(rules: &RuleSet) -> Vec<(usize, String)> {
    let places = places(rules).into_iter().enumerate();
    places.filter_map(|(at, place)| Some((at, place.err()?))).collect()
}

/// For each rule by which splits of the events it finds what it finds over all of them; or why by none.
pub(super) fn places(rules: &RuleSet) -> Vec<Result<Splits, String>> {
    let mut known: Vec<Result<Splits, String>> = Vec::with_capacity(rules.rules.len());
    for rule in &rules.rules {
        let place = match (splits(rule), &rule.body) {
            (Ok(own), Body::Correlation(correlation)) => {
                let of = |target: &usize| match (&known[*target], &rules.rules[*target].body) {
                    (Ok(splits), body) => Ok(splits.as_seen_by_others(body)),
                    (Err(_), _) => {
                        Err(format!("it builds on \"{}\", which cannot run with Kafka", rules.rules[*target].title))
                    }
                };
                let together = correlation.refs.iter().try_fold(own, |own, target| Ok(own.and(of(target)?)));
                together.and_then(|together: Splits| {
                    (together.user || together.source).then_some(together).ok_or_else(|| {
                        "the rules that it names are counted by user, others by source_ip; with Kafka no partition \
                         sees both"
                            .to_owned()
                    })
                })
            }
            (own, _) => own,
        };
        known.push(place);
    }
    known
}

/// By which of the two splits of the events a rule's key stays together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Splits {
    pub(super) user: bool,
    pub(super) source: bool,
}

impl Splits {
    fn and(self, other: Self) -> Self {
        Self { user: self.user && other.user, source: self.source && other.source }
    }

    /// A detection without a key is silent by user where there is one: who counts its events by address does not see
    /// when that user was last heard of.
    fn as_seen_by_others(self, body: &Body) -> Self {
        let by_user = |detection: &Detection| detection.key == DetectionKey::Auto && detection.after_silence.is_some();
        match body {
            Body::Detection(detection) if by_user(detection) => Self { source: false, ..self },
            _ => self,
        }
    }
}

fn splits(rule: &Rule) -> Result<Splits, String> {
    let keyed = |what: &str, fields: &[GroupField]| {
        let all = |wanted: &[Field]| fields.iter().any(|part| part.fields.iter().all(|field| wanted.contains(field)));
        let splits = Splits { user: all(&[Field::User]) || all(&[Field::SessionId]), source: all(&[Field::SourceIp]) };
        if splits.user || splits.source {
            return Ok(splits);
        }
        Err(format!(
            "with Kafka, events are split by user and by source address: {what} must contain user, session_id or \
             source_ip (for every rule, where aliases say which field)"
        ))
    };
    match &rule.body {
        Body::Correlation(correlation) => {
            let mut splits = keyed("group-by", &correlation.group_by)?;
            if let Some(baseline) = &correlation.baseline {
                if baseline.peers.is_some() {
                    return Err("with Kafka no partition sees all peers: `peers` of baseline cannot be used".to_owned());
                }
                let of = GroupField { name: String::new(), fields: vec![baseline.of.clone()] };
                splits = splits.and(keyed("`of` of baseline", &[of])?);
            }
            if splits.user || splits.source {
                return Ok(splits);
            }
            Err("its group-by and `of` of baseline are split differently with Kafka".to_owned())
        }
        Body::Detection(detection) => {
            let mut splits = match &detection.key {
                // One event alone needs no company.
                DetectionKey::Auto => Splits { user: true, source: true },
                DetectionKey::Fields(fields) => keyed("key", fields)?,
            };
            if let Some(first) = &detection.first_seen {
                let of = GroupField { name: String::new(), fields: vec![first.of.clone()] };
                splits = splits.and(keyed("`of` of first_seen", &[of])?);
                if detection.key == DetectionKey::Auto {
                    // Its alerts are a user's where there is one, and those of a source see only the others' events.
                    splits.source = false;
                }
            }
            if splits.user || splits.source {
                Ok(splits)
            } else {
                Err("its key and `of` of first_seen are split differently with Kafka".to_owned())
            }
        }
    }
}

/// Bytes that a rule keeps for one of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// So many while its window is as full as its condition asks for; more events in it take more.
    About(usize),
    /// It grows with the events in the window: no condition says how many there will be.
    UpTo(usize),
}

/// What the rule keeps for one of its keys, estimated.
#[must_use]
pub fn memory_per_key(rule: &Rule) -> Memory {
    let bytes = match &rule.body {
        Body::Detection(detection) => {
            let seen = detection.first_seen.as_ref().map_or(0, |_| SEEN_VALUES * PER_VALUE);
            let silence = detection.after_silence.map_or(0, |_| PER_VALUE);
            PER_KEY + seen + silence
        }
        Body::Correlation(correlation) => match correlation.kind {
            Kind::ValueSum(_) | Kind::ValueAvg(_) => return Memory::UpTo(PER_KEY + EVENTS_PER_KEY * PER_NUMBER),
            Kind::ValuePercentile(..) => return Memory::UpTo(PER_KEY + EVENTS_PER_KEY * PER_RANKED),
            _ => PER_KEY + events(rule, correlation) * PER_EVENT,
        },
    };
    Memory::About(bytes)
}

/// Why a number cannot be counted to.
pub(super) fn too_many(what: &str) -> String {
    format!("{what} must be at most {MOST_COUNTED}: of one key the last {EVENTS_PER_KEY} events are held, not more")
}

/// Events that a window holds when its condition is about to hold; counts saturate at eight times that, and where a key is
/// full.
fn events(rule: &Rule, correlation: &Correlation) -> usize {
    use rust_decimal::prelude::ToPrimitive;
    let counts = !matches!(correlation.kind, Kind::Temporal(_) | Kind::TemporalOrdered);
    let threshold = correlation.condition.0.iter().filter_map(|(_, bound)| bound.to_u128()).max().filter(|_| counts);
    let escalated = rule.escalate.last().and_then(|(at, _)| at.to_u128()).filter(|_| counts).unwrap_or(0);
    let refs = correlation.refs.len() as u128;
    let most = threshold.map_or(TYPICAL_EVENTS.max(refs), |bound| bound.saturating_mul(8)).max(escalated);
    usize::try_from(most).unwrap_or(EVENTS_PER_KEY).min(EVENTS_PER_KEY)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::{Activity, Timestamp};
    use uuid::Uuid;

    use super::super::{RuleSource, load};
    use super::*;
    use crate::engine::{Engine, Settings};

    fn set(group_by: &str, more: &str) -> RuleSet {
        let text = format!(
            "title: A\nname: a\nlogsource: {{category: x}}\ndetection: {{s: {{action: x}}, condition: s}}\n---\n\
             title: B\nname: b\nlogsource: {{category: x}}\ndetection: {{s: {{action: x}}, condition: s}}\n---\n\
             title: C\nname: c\ncorrelation: {{type: temporal, rules: [a, b], timespan: 5m{group_by}}}\n{more}"
        );
        load(&[RuleSource::text("t.yml", text)]).unwrap_or_else(|findings| panic!("{findings:?}")).rules
    }

    #[test]
    fn keys_that_one_partition_sees() {
        for (group_by, possible) in [
            (", group-by: [user]", true),
            (", group-by: [session]", true),
            (", group-by: [resource, ip]", true),
            (", group-by: [resource]", false),
            ("", false),
            (", group-by: [v], aliases: {v: {a: user, b: user}}", true),
            (", group-by: [v], aliases: {v: {a: user, b: target_user}}", false),
            (", group-by: [user], aliases: {user: {a: target_user, b: user}}", false),
            (", group-by: [v, ip], aliases: {v: {a: user, b: target_user}}", true),
        ] {
            let rules = set(group_by, "");
            assert_eq!(distributable(&rules.rules[2]).is_ok(), possible, "{group_by}");
            assert_eq!(undistributable(&rules).is_empty(), possible, "{group_by}");
        }
    }

    #[test]
    fn a_chain_stays_in_one_partition() {
        let chain = |key: &str| {
            let count = "type: event_count, rules: [c], timespan: 5m, condition: {gte: 2}";
            let rules = set(
                ", group-by: [user]",
                &format!("---\ntitle: D\nname: d\ncorrelation: {{{count}, group-by: [{key}]}}\n"),
            );
            undistributable(&rules).len()
        };
        assert_eq!((chain("user"), chain("source_ip")), (0, 1));
    }

    #[test]
    fn no_key_is_reckoned_with_more_events_than_it_can_hold() {
        for (condition, events) in [("{gte: 100}", 800), ("{gte: 8192}", 65_536), ("{gte: 50000}", 65_536)] {
            let count = format!(
                "---\ntitle: D\ncorrelation: {{type: event_count, rules: [a], timespan: 1d, condition: {condition}}}\n"
            );
            let rule = set("", &count).rules.remove(3);
            assert_eq!(memory_per_key(&rule), Memory::About(PER_KEY + events * PER_EVENT), "{condition}");
        }
    }

    #[test]
    fn what_adds_up_or_ranks_takes_what_its_window_holds() {
        for kind in ["value_sum", "value_avg", "value_percentile"] {
            let rule = format!(
                "---\ntitle: D\ncorrelation: {{type: {kind}, rules: [a], timespan: 1y, condition: {{field: n, gte: 1e15}}}}\n"
            );
            let rules = Arc::new(set("", &rule));
            let Memory::UpTo(most) = memory_per_key(&rules.rules[3]) else { panic!("{kind} grows") };
            let mut engine = Engine::new(rules, Settings::default());
            for number in 0..70_000_u32 {
                let at = Timestamp::from_micros(i64::from(number) * 60_000_000);
                // An id that tells no time.
                let mut activity = Activity::new(Uuid::from_u128(u128::from(number) << 96 | 7), "x", at);
                activity.attributes.insert("n".into(), number.into());
                engine.observe(&activity);
                if number.is_multiple_of(4_096) {
                    engine.advance(at);
                }
            }
            let takes = engine.footprint().bytes;
            assert!(takes <= most && takes > most / 2, "{kind}: {takes} of {most}");
        }
    }

    #[test]
    fn the_built_in_set_runs_anywhere() {
        let rules = load(&[RuleSource::built_in()]).unwrap_or_else(|findings| panic!("{findings:?}")).rules;
        assert_eq!(undistributable(&rules), []);
        let few = |rule: &Rule| match memory_per_key(rule) {
            Memory::About(bytes) => (PER_KEY..=100_000).contains(&bytes),
            Memory::UpTo(bytes) => bytes <= 10 << 20,
        };
        assert!(rules.rules.iter().all(few));
    }
}
