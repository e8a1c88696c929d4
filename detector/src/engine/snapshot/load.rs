//! From bytes to an engine. The bytes come from a database and may be damaged: whatever an index, an order or a count
//! relies on is checked, and nothing panics.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use domain::Timestamp;
use uuid::Uuid;

use super::rows::{Head, KeyRow, NodeRow, Number, RecordRow, Row, ValuesRow, WhatRow};
use super::stream::Input;
use super::{FORMAT, SnapshotError};
use crate::engine::baseline::Baselines;
use crate::engine::decide::{Due, What};
use crate::engine::evaluate::Slot;
use crate::engine::keys::{KeyState, NodeState};
use crate::engine::plan::{Plan, ValueOf};
use crate::engine::record::Record;
use crate::engine::ring::{Entry, Values};
use crate::engine::window::Window;
use crate::engine::{Engine, Gap, Settings};
use crate::rules::RuleSet;

use SnapshotError::Damaged;

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
        (self.engine.settled, self.engine.observed) = (head.settled, head.observed);
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
                    WhatRow::Leaf(record) => What::Leaf(self.record(id, record)),
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
                (firsts.sweep_at, firsts.lost) = (sweep_at, lost);
            }
            Row::First { rule, key, known } => {
                let firsts = engine.firsts.get_mut(&rule).ok_or(NO_HISTORY)?;
                if known.at_last > known.events {
                    return Err(Damaged("a key has more events at once than at all"));
                }
                firsts.keys.insert(key.into(), known.into_owned());
            }
            Row::SilencesOf { rule, sweep_at } => {
                engine.silences.get_mut(&rule).ok_or(NO_HISTORY)?.sweep_at = sweep_at;
            }
            Row::Silence { rule, key, last } => {
                engine.silences.get_mut(&rule).ok_or(NO_HISTORY)?.keys.insert(key.into(), last);
            }
            Row::BaselinesOf { node, sweep_at } => self.baselines(node)?.sweep_at = sweep_at,
            Row::Own { node, of, figures } => {
                let figures = figures.into_iter().map(|(bucket, Number(figure))| (bucket, figure)).collect();
                self.baselines(node)?.own.insert(of.into(), figures);
            }
            Row::Peers { node, alike, bucket, figures } => {
                let learnt = self.baselines(node)?;
                let into = learnt.peers.entry(alike.into()).or_default().entry(bucket).or_default();
                for (of, Number(figure)) in figures {
                    let of = learnt.own.get_key_value(of).map_or_else(|| of.into(), |(of, _)| Arc::clone(of));
                    into.insert(of, figure);
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
        let mut state = KeyState::new(row.key.into());
        state.ring.entries.reserve_exact(row.entries.len());
        let known =
            1_u64.checked_shl(u32::try_from(group.channels.len()).unwrap_or(u32::MAX)).map_or(u64::MAX, |n| n - 1);
        let mut before: Option<(i64, Uuid)> = None;
        for entry in row.entries {
            let time = before.map_or(0, |(time, _)| time).wrapping_add(entry.since);
            if before.is_some_and(|before| before >= (time, entry.id)) || entry.mask & !known != 0 {
                return Err(Damaged("an event stands where it cannot"));
            }
            before = Some((time, entry.id));
            let record = entry.record.map(|row| self.record(entry.id, row));
            state.ring.entries.push(Entry { time, mask: entry.mask, record, id: entry.id });
        }
        for (bit, values) in row.values {
            let values = match values {
                ValuesRow::Texts(texts) => {
                    Values::Texts(texts.into_iter().map(|text| self.engine.texts.take(text)).collect())
                }
                ValuesRow::Numbers(numbers) => Values::Numbers(numbers.into_iter().map(|Number(n)| n).collect()),
            };
            state.ring.values.push((bit, values));
        }
        values_fit(&plan, row.group, &state)?;
        for node in row.nodes {
            let node = resumed(&plan, row.group, &state, node)?;
            state.nodes.push(node);
        }
        state.thinned(self.engine.settings.events_per_key);
        let keys = &mut self.engine.keys[row.group];
        let slot = keys.restore(state).ok_or(Damaged("a key stands there twice"))?;
        for node in keys.get(slot).into_iter().flat_map(|state| &state.nodes) {
            if let Some(at) = node.episodes.as_ref().and_then(|episodes| episodes.timed) {
                self.engine.closings.push(Reverse((at, row.group, slot, node.node as usize)));
            }
        }
        Ok(())
    }
}

const NO_HISTORY: SnapshotError = Damaged("there is no such history");

/// Whether each channel that wants values has one for each of its events, of its kind, and no other has any.
fn values_fit(plan: &Plan, group: usize, state: &KeyState) -> Result<(), SnapshotError> {
    let wrong = Err(Damaged("values and events do not fit"));
    let mut channels = 0_u64;
    for (bit, values) in &state.ring.values {
        let wanted = plan.groups[group].channels.get(usize::from(*bit)).and_then(|channel| channel.value.as_ref());
        let count = match (wanted, values) {
            (Some(ValueOf::Texts(_)), Values::Texts(texts)) => texts.len(),
            (Some(ValueOf::Number(_)), Values::Numbers(numbers)) => numbers.len(),
            _ => return wrong,
        };
        let events = state.ring.entries.iter().filter(|entry| entry.mask >> bit & 1 == 1).count();
        if count != events || channels >> bit & 1 == 1 {
            return wrong;
        }
        channels |= 1 << bit;
    }
    for (bit, channel) in plan.groups[group].channels.iter().enumerate() {
        let missing = channel.value.is_some() && channels >> bit & 1 == 0;
        if missing && state.ring.entries.iter().any(|entry| entry.mask >> bit & 1 == 1) {
            return wrong;
        }
    }
    Ok(())
}

/// What a rule knows of a key; its window starts over.
fn resumed(plan: &Plan, group: usize, state: &KeyState, row: NodeRow<'_>) -> Result<NodeState, SnapshotError> {
    let of = plan.nodes.get(row.node as usize).filter(|node| node.group == group);
    let of = of.ok_or(Damaged("there is no such rule"))?;
    if state.state(row.node as usize).is_some() || row.looked_at > state.ring.entries.len() {
        return Err(Damaged("a rule has looked at what is not there"));
    }
    let with_value = state.ring.entries[..row.looked_at].iter().filter(|entry| entry.mask & of.mask != 0).count();
    let window = Window::resumed(of, row.looked_at, with_value, row.seen);
    Ok(NodeState { node: row.node, window, episodes: row.episodes.map(|episodes| Box::new(episodes.into_owned())) })
}
