//! From bytes to an engine. The bytes come from a database and may be damaged: whatever an index, an order or a count
//! relies on is checked, and nothing panics.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use domain::Timestamp;
use uuid::Uuid;

use super::rows::{Head, KeyRow, NodeRow, RecordRow, Row, WhatRow};
use super::stream::Input;
use super::values::{Brought, NO_FIT};
use super::{FORMAT, SnapshotError};
use crate::engine::baseline::Baselines;
use crate::engine::decide::{Due, What};
use crate::engine::evaluate::Slot;
use crate::engine::keys::{KeyState, NodeState};
use crate::engine::plan::{Plan, bits};
use crate::engine::record::Record;
use crate::engine::ring::New;
use crate::engine::window::Window;
use crate::engine::{Engine, Gap, Settings};
use crate::rules::RuleSet;

use SnapshotError::Damaged;

/// More than there ever is of what is counted; what is counted on from there does not overflow.
const SOME: usize = 1 << 40;

impl Engine {
    /// An engine in the state that [`Self::save`] wrote, the chunks in their order.
    ///
    /// # Errors
    /// They are not, or no longer, what these rules and settings made: [`SnapshotError`].
    pub fn load(
        set: Arc<RuleSet>,
        settings: Settings,
        chunks: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<Self, SnapshotError> {
        let mut input = Input::new(chunks.into_iter());
        let mut loader = Loader { engine: Self::new(set, settings), records: HashMap::new() };
        loader.head(input.next()?.ok_or(Damaged("it is empty"))?)?;
        let mut rows = 0;
        loop {
            let bytes = input.next()?.ok_or(Damaged("its end is missing"))?;
            let row = postcard::from_bytes(bytes).map_err(|_| Damaged("a row cannot be read"))?;
            if let Row::End { rows: written } = row {
                break if written != rows { Err(Damaged("rows are missing")) } else { Ok(()) };
            }
            loader.row(row)?;
            rows += 1;
        }?;
        if input.next()?.is_some() {
            return Err(Damaged("something follows its end"));
        }
        Ok(loader.engine)
    }
}

struct Loader {
    engine: Engine,
    /// What was kept of an event, once for all the rings that it is in.
    records: HashMap<Uuid, Arc<Record>>,
}

impl Loader {
    fn head(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        let damaged = |_| Damaged("its head cannot be read");
        let (format, rest): ([u8; 4], _) = postcard::take_from_bytes(bytes).map_err(damaged)?;
        let format = u32::from_le_bytes(format);
        if format != FORMAT {
            return Err(SnapshotError::Format(format));
        }
        let (fingerprint, head): ([u8; 32], Head) = postcard::from_bytes(rest).map_err(damaged)?;
        if fingerprint != self.engine.fingerprint() {
            return Err(SnapshotError::Others);
        }
        (self.engine.settled, self.engine.observed) = (head.settled, head.observed.min(SOME));
        Ok(())
    }

    fn row(&mut self, row: Row<'_>) -> Result<(), SnapshotError> {
        let engine = &mut self.engine;
        match row {
            Row::Key(row) => return self.key(row),
            Row::Due { time, id, rule, what } => {
                if rule >= engine.set.rules.len() {
                    return Err(Damaged("there is no such rule"));
                }
                let what = match what {
                    WhatRow::Leaf { record, counts } => What::Leaf { record: self.record(id, record), counts },
                    WhatRow::Node { group, slot, node } => What::Node(self.slot(group, slot, node)?, node),
                };
                self.engine.due.push(Reverse(Due { time, id, rule, what }));
            }
            Row::Changed { group, slot, node } => {
                let slot = self.slot(group, slot, node)?;
                self.engine.changed.push((slot, node));
            }
            Row::FirstsOf { rule, sweep_at, lost } => {
                let firsts = engine.firsts.get_mut(&rule).ok_or(NO_HISTORY)?;
                (firsts.sweep_at, firsts.lost) = (sweep_at.min(SOME), lost.min(SOME as u64));
            }
            Row::First { rule, key, known } => {
                let firsts = engine.firsts.get_mut(&rule).ok_or(NO_HISTORY)?;
                if known.at_last > known.events {
                    return Err(Damaged("a key has more events than there can be"));
                }
                firsts.insert(key, &known);
            }
            Row::SilencesOf { rule, sweep_at } => {
                engine.silences.get_mut(&rule).ok_or(NO_HISTORY)?.sweep_at = sweep_at.min(SOME);
            }
            Row::Silence { rule, key, last } => {
                engine.silences.get_mut(&rule).ok_or(NO_HISTORY)?.keys.insert(key.into(), last);
            }
            Row::BaselinesOf { node, sweep_at } => self.baselines(node)?.sweep_at = sweep_at.min(SOME),
            Row::Own { node, of, figures } => {
                let figures = figures.into_iter().map(|(bucket, figure)| (bucket, figure.figure())).collect();
                self.baselines(node)?.own.insert(of.into(), figures);
            }
            Row::Peers { node, alike, bucket, figures } => {
                let learnt = self.baselines(node)?;
                let into = learnt.peers.entry(alike.into()).or_default().entry(bucket).or_default();
                for (of, figure) in figures {
                    let of = learnt.own.get_key_value(of).map_or_else(|| of.into(), |(of, _)| Arc::clone(of));
                    into.insert(of, figure.figure());
                }
            }
            Row::Alert(text) => {
                let alert = serde_json::from_str(&text).map_err(|_| Damaged("an alert cannot be read"))?;
                engine.out.push(alert);
            }
            Row::Gap { rules, key, from, to, lost, reason } => engine.gaps.push(Gap {
                rules: rules.into_iter().map(str::to_owned).collect(),
                key: key.map(str::to_owned),
                from: Timestamp::from_micros(from),
                to: Timestamp::from_micros(to),
                lost,
                reason: reason.to_owned(),
            }),
            Row::End { .. } => return Err(Damaged("it ends twice")),
        }
        Ok(())
    }

    fn baselines(&mut self, node: usize) -> Result<&mut Baselines, SnapshotError> {
        match self.engine.plan.nodes.get(node) {
            Some(of) if of.baseline.is_some() => Ok(self.engine.baselines.entry(node).or_default()),
            _ => Err(NO_HISTORY),
        }
    }

    /// A slot that a node of its group is said to have something in.
    fn slot(&self, group: usize, slot: usize, node: usize) -> Result<Slot, SnapshotError> {
        let fits = self.engine.plan.nodes.get(node).is_some_and(|node| node.group == group);
        let known = fits && self.engine.keys[group].get(slot).is_some();
        if known { Ok(Slot { group, slot }) } else { Err(Damaged("there is no such key")) }
    }

    fn record(&mut self, id: Uuid, row: RecordRow<'_>) -> Arc<Record> {
        if let Some(record) = self.records.get(&id)
            && record.texts().eq(row.iter().copied())
        {
            return Arc::clone(record);
        }
        let record = Arc::new(Record::of(row));
        self.records.insert(id, Arc::clone(&record));
        record
    }

    fn key(&mut self, row: KeyRow<'_>) -> Result<(), SnapshotError> {
        let plan = Arc::clone(&self.engine.plan);
        let Some(group) = plan.groups.get(row.group) else { return Err(Damaged("there is no such group")) };
        let mut state = KeyState::new(row.key);
        let known =
            1_u64.checked_shl(u32::try_from(group.channels.len()).unwrap_or(u32::MAX)).map_or(u64::MAX, |n| n - 1);
        let mut values = Brought::new(group, row.values)?;
        let mut brought = Vec::new();
        let mut before: Option<(i64, Uuid)> = None;
        for entry in row.entries {
            let time = before.map_or(0, |(time, _)| time).wrapping_add(entry.since);
            if before.is_some_and(|before| before >= (time, entry.id)) || entry.mask & !known != 0 {
                return Err(Damaged("an event stands where it cannot"));
            }
            before = Some((time, entry.id));
            brought.clear();
            for bit in bits(entry.mask) {
                brought.push((bit, values.next(bit, &mut self.engine.held)?));
            }
            let record = entry.record.map(|row| self.record(entry.id, row));
            let new = New { time, id: entry.id, values: &brought, record: record.as_ref() };
            let kinds = &mut self.engine.keys[row.group].kinds;
            state.ring.insert(state.ring.len(), new, kinds, group, &mut self.engine.held);
        }
        if !values.is_empty() {
            return Err(NO_FIT);
        }
        let mut time = 0_i64;
        for (since, mask) in row.past {
            time = time.wrapping_add(since);
            if mask & !known != 0 {
                return Err(Damaged("an event stands where it cannot"));
            }
            let kind = self.engine.keys[row.group].kinds.number(group, mask, false);
            state.ring.past.get_or_insert_default().push(time, kind);
        }
        for node in row.nodes {
            let node = resumed(&plan, row.group, &state, node)?;
            state.nodes.push(node);
        }
        state.thinned(self.engine.settings.events_per_key);
        let keys = &mut self.engine.keys[row.group];
        let slot = keys.restore(state).ok_or(Damaged("a key stands there twice"))?;
        let nodes = keys.get(slot).into_iter().flat_map(|state| state.nodes.iter());
        let timed = nodes.filter_map(|node| Some((node.episodes.as_ref()?.timed?, node.node as usize)));
        for (at, node) in timed.collect::<Vec<_>>() {
            self.engine.close_at(at, Slot { group: row.group, slot }, node);
        }
        Ok(())
    }
}

const NO_HISTORY: SnapshotError = Damaged("there is no such history");

/// What a rule knows of a key; its window starts over.
fn resumed(plan: &Plan, group: usize, state: &KeyState, row: NodeRow<'_>) -> Result<NodeState, SnapshotError> {
    if plan.nodes.get(row.node as usize).is_none_or(|node| node.group != group) {
        return Err(Damaged("there is no such rule"));
    }
    if state.state(row.node as usize).is_some() || row.looked_at > state.ring.len() {
        return Err(Damaged("a rule has looked at what is not there"));
    }
    let window = Window::after(row.looked_at, row.seen);
    Ok(NodeState { node: row.node, window, episodes: row.episodes.map(|episodes| Box::new(episodes.into_owned())) })
}

#[cfg(test)]
mod tests {
    use domain::{Activity, DAY, HOUR, SECOND};

    use super::super::stream::{opened, sealed};
    use super::*;
    use crate::rules::{RuleSource, load};

    /// Something of every kind of row.
    const RULES: &str = "
title: Read
id: 00000000-0000-4000-8000-000000000001
name: read
logsource: {category: activity, product: security-analytics}
detection:
    selection: {action: Read}
    condition: selection
level: low
analytics: {v: 1, escalate: [{at: 2, to: high}], when: {after_silence: 3d}}
---
title: New
id: 00000000-0000-4000-8000-000000000002
name: new
logsource: {category: activity, product: security-analytics}
detection:
    selection: {action: Read}
    condition: selection
level: low
analytics: {v: 1, when: {first_seen: {field: resource, of: user, within: 20d, after: {days: 1}}}}
---
title: More than usual
id: 00000000-0000-4000-8000-000000000003
name: more
correlation:
    type: value_sum
    rules: [all]
    group-by: [user]
    timespan: 1h
    condition: {field: records, gte: 10}
level: high
analytics: {v: 1, when: {baseline: {of: user, peers: role, bucket: 1h, history: 2d, ready: 2, above: 3}}}
---
title: Many
id: 00000000-0000-4000-8000-000000000004
correlation:
    type: value_count
    rules: [all]
    group-by: [source_ip]
    timespan: 1d
    condition: {field: resource, gte: 3}
level: medium
---
title: All
id: 00000000-0000-4000-8000-000000000005
name: all
logsource: {category: activity, product: security-analytics}
detection:
    selection: {action: Read}
    condition: selection
level: informational
---
title: On and on
id: 00000000-0000-4000-8000-000000000006
correlation:
    type: temporal_ordered
    rules: [more, new]
    group-by: [user]
    timespan: 1d
level: low
";

    fn rules() -> Arc<RuleSet> {
        Arc::new(load(&[RuleSource::text("r.yml", RULES)]).expect("valid").rules)
    }

    fn read(user: &str, at: i64, n: u128) -> Activity {
        let mut activity = Activity::new(Uuid::from_u128(n), "Read", Timestamp::from_micros(at));
        activity.user = Some(user.to_owned());
        activity.role = Some("Employee".to_owned());
        activity.source_ip = "192.0.2.1".parse().ok();
        activity.resource = Some(format!("/{}", n % 7));
        activity.records = Some(20 + i64::try_from(n * n % 31).expect("small"));
        activity
    }

    fn fed(users: &[&str]) -> Engine {
        let mut engine = Engine::new(rules(), Settings::default());
        let mut n = 0;
        for hour in 0..40 {
            for user in users {
                n += 1;
                engine.observe(&read(user, hour * HOUR + i64::try_from(n % 3).expect("small") * SECOND, n));
            }
            engine.advance(Timestamp::from_micros((hour - 2) * HOUR));
            if hour % 20 == 7 {
                engine.drain();
            }
        }
        engine
    }

    fn saved(engine: &Engine) -> Vec<u8> {
        let mut bytes = Vec::new();
        engine.save(&mut |chunk| bytes.extend(opened(&chunk))).expect("saved");
        bytes
    }

    /// What was written for one user, whose maps have one key and so one order.
    #[test]
    fn who_changes_the_form_raises_the_format() {
        // Without the fingerprint, which knows of the rules' form.
        let form = saved(&fed(&["ann"])).split_off(64);
        let sum = form.iter().fold(0_u32, |sum, byte| sum.rotate_left(5) ^ u32::from(*byte));
        assert_eq!(
            (FORMAT, form.len(), sum),
            (6, 2_856, 1_254_020_613),
            "if rows have another form, raise FORMAT, then change this"
        );
    }

    /// Behind a true checksum anything may stand: it is refused, or makes an engine that works.
    #[test]
    fn no_bytes_make_it_panic() {
        let (rules, whole) = (rules(), saved(&fed(&["ann", "bob"])));
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 8).unwrap_or(0) % below
        };
        let (mut refused, mut loaded) = (0, 0);
        for _ in 0..1_000 {
            let mut bytes = whole.clone();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                bytes[at] = [0, 1, 0x7f, 0x80, 0xff, bytes[at].wrapping_add(1)][random(6)];
            }
            if random(8) == 0 {
                bytes.truncate(random(bytes.len()));
            }
            match Engine::load(Arc::clone(&rules), Settings::default(), [sealed(0, &bytes)]) {
                Ok(mut engine) => {
                    loaded += 1;
                    engine.observe(&read("ann", 41 * HOUR, 9_999));
                    engine.advance(Timestamp::from_micros(3 * DAY));
                    engine.drain();
                }
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 100 && loaded > 100, "{refused} {loaded}");
    }
}
