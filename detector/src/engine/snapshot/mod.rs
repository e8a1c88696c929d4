//! The engine's state as bytes, so that a restart need not read again what its windows and histories reach.
//!
//! | file | what |
//! |---|---|
//! | `rows` | what is written, and in which form |
//! | `stream` | rows in chunks of one size, each with a checksum |
//! | `load` | from bytes to an engine, everything checked |
//!
//! What can be made from the rest is not written: windows start over as they do where a ring was thinned out, copies of
//! live episodes are taken again, when to look after episodes stands with them. Texts that the engine numbers are written as texts. How often activities came behind
//! the watermark is counted from the start of a process, so it is not part of the state.
//!
//! A snapshot belongs to the rules, zones and calendars by which it was made, and to how this program lays rules out:
//! [`Engine::fingerprint`] says so, and another fingerprint is refused. Whoever changes the form of a row or of what is
//! derived in `episode` and `history` raises [`FORMAT`]; a test watches.

mod load;
pub(super) mod rows;
mod stream;
mod values;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use self::rows::{EntryRow, Fraction, Head, KeyRow, NodeRow, Number, RecordRow, Row, ValuesRow, WhatRow};
use self::stream::Output;
use super::Engine;
use super::decide::{Due, What};
use super::events::Events;
use super::held::Held;
use super::keys::KeyState;
use super::kind::Kinds;
use super::plan::{Channel, ValueOf};
use super::record::Record;

/// The form of what is written.
const FORMAT: u32 = 6;
/// Figures of peers in one row.
const FIGURES: usize = 4_096;

/// Why bytes are not an engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Another version of the program made it.
    #[error("the snapshot has format {0}, this program reads {FORMAT}")]
    Format(u32),
    /// It was made by other rules, or with other zones or calendars.
    #[error("the snapshot belongs to other rules or settings")]
    Others,
    /// What is read is not what was written.
    #[error("the snapshot is damaged: {0}")]
    Damaged(&'static str),
    /// Something in the engine has no form as bytes.
    #[error("the state of the engine cannot be written")]
    Unwritable,
}

impl Engine {
    /// Says by what the state was made: rules, their layout, zones and calendars.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut of = format!("{FORMAT} {:?} {}", self.plan, self.settings.zone);
        let mut zones: Vec<_> = self.settings.zones.iter().collect();
        zones.sort_by_key(|(user, _)| *user);
        let mut calendars: Vec<_> = self.settings.calendars.iter().collect();
        calendars.sort_by_key(|(name, _)| *name);
        // Writing to a text does not fail.
        let _ = write!(of, " {zones:?} {calendars:?}");
        Sha256::new().chain_update(self.set.digest).chain_update(of).finalize().into()
    }

    /// Writes the whole state, in chunks of about 256 KiB that belong together in their order. Nothing changes by that.
    ///
    /// # Errors
    /// [`SnapshotError::Unwritable`]: a key has more than can be written (4 GiB).
    pub fn save(&self, chunk: &mut dyn FnMut(Vec<u8>)) -> Result<(), SnapshotError> {
        let mut writer = Writer { output: Output::new(chunk), rows: 0 };
        let head = Head { settled: self.settled, observed: self.observed };
        writer.output.put(&(FORMAT.to_le_bytes(), self.fingerprint(), head))?;
        let slots = self.save_keys(&mut writer)?;
        let slot = |group: usize, slot: usize| slots[group].get(slot).copied().filter(|slot| *slot != usize::MAX);
        for Reverse(Due { time, id, rule, what }) in &self.due {
            let what = match what {
                What::Leaf { record, counts } => WhatRow::Leaf { record: kept(record), counts: *counts },
                What::Node(of, node) => match slot(of.group, of.slot) {
                    Some(slot) => WhatRow::Node { group: of.group, slot, node: *node },
                    None => continue,
                },
            };
            writer.put(&Row::Due { time: *time, id: *id, rule: *rule, what })?;
        }
        for (of, node) in &self.changed {
            if let Some(slot) = slot(of.group, of.slot) {
                writer.put(&Row::Changed { group: of.group, slot, node: *node })?;
            }
        }
        self.save_histories(&mut writer)?;
        self.save_baselines(&mut writer)?;
        for alert in &self.out {
            let text = serde_json::to_string(alert).map_err(|_| SnapshotError::Unwritable)?;
            writer.put(&Row::Alert(Cow::Owned(text)))?;
        }
        for gap in &self.gaps {
            writer.put(&Row::Gap {
                rules: gap.rules.iter().map(String::as_str).collect(),
                key: gap.key.as_deref(),
                from: gap.from.micros(),
                to: gap.to.micros(),
                lost: gap.lost,
                reason: &gap.reason,
            })?;
        }
        let rows = writer.rows;
        writer.put(&Row::End { rows })?;
        writer.output.finish();
        Ok(())
    }

    /// Writes the keys; for each group, which slot each of its slots becomes.
    fn save_keys(&self, writer: &mut Writer<'_>) -> Result<Vec<Vec<usize>>, SnapshotError> {
        let mut slots = Vec::with_capacity(self.keys.len());
        for (group, keys) in self.keys.iter().enumerate() {
            let mut becomes = Vec::new();
            for (next, (slot, state)) in keys.iter().enumerate() {
                becomes.resize(slot, usize::MAX);
                becomes.push(next);
                let channels = &self.plan.groups[group].channels;
                writer.put(&Row::Key(key_row(group, channels, state, &keys.kinds, &self.held)))?;
            }
            slots.push(becomes);
        }
        Ok(slots)
    }

    fn save_histories(&self, writer: &mut Writer<'_>) -> Result<(), SnapshotError> {
        for (rule, firsts) in &self.firsts {
            writer.put(&Row::FirstsOf { rule: *rule, sweep_at: firsts.sweep_at, lost: firsts.lost })?;
            for (key, known) in firsts.iter() {
                writer.put(&Row::First { rule: *rule, key, known: Cow::Owned(known) })?;
            }
        }
        for (rule, silences) in &self.silences {
            writer.put(&Row::SilencesOf { rule: *rule, sweep_at: silences.sweep_at })?;
            for (key, last) in &silences.keys {
                writer.put(&Row::Silence { rule: *rule, key, last: *last })?;
            }
        }
        Ok(())
    }

    fn save_baselines(&self, writer: &mut Writer<'_>) -> Result<(), SnapshotError> {
        for (node, learnt) in &self.baselines {
            writer.put(&Row::BaselinesOf { node: *node, sweep_at: learnt.sweep_at })?;
            for (of, figures) in &learnt.own {
                let figures = figures.iter().map(|(bucket, figure)| (*bucket, Fraction::of(*figure))).collect();
                writer.put(&Row::Own { node: *node, of, figures })?;
            }
            for (alike, buckets) in &learnt.peers {
                for (bucket, figures) in buckets {
                    let figures: Vec<_> = figures.iter().map(|(of, figure)| (&**of, Fraction::of(*figure))).collect();
                    for some in figures.chunks(FIGURES) {
                        let figures = some.to_vec();
                        writer.put(&Row::Peers { node: *node, alike, bucket: *bucket, figures })?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Writes rows and counts them.
struct Writer<'a> {
    output: Output<'a>,
    rows: u64,
}

impl Writer<'_> {
    fn put(&mut self, row: &Row<'_>) -> Result<(), SnapshotError> {
        self.rows += 1;
        self.output.put(row)
    }
}

fn key_row<'a>(
    group: usize,
    channels: &[Channel],
    state: &'a KeyState,
    kinds: &'a Kinds,
    held: &'a Held,
) -> KeyRow<'a> {
    let events = Events { ring: &state.ring, kinds, held };
    let all = 0..state.ring.len();
    let since = |before: &mut i64, time: i64| time.wrapping_sub(std::mem::replace(before, time));
    let mut before = 0_i64;
    let entries = all.clone().map(|at| EntryRow {
        since: since(&mut before, state.ring.time(at)),
        mask: events.mask(at),
        id: state.ring.id(at),
        record: events.record(at).map(|record| kept(record)),
    });
    let entries = entries.collect();
    let values = channels.iter().zip(0_u8..).filter_map(|(channel, bit)| {
        let mut those = all.clone().filter(|at| events.mask(*at) >> bit & 1 == 1).peekable();
        those.peek()?;
        let values = match channel.value.as_ref()? {
            ValueOf::Texts(_) => ValuesRow::Texts(
                those.filter_map(|at| events.value(at, bit)).map(|text| held.texts.text(text)).collect(),
            ),
            ValueOf::Number(_) => {
                ValuesRow::Numbers(those.filter_map(|at| events.number(at, bit)).map(Number).collect())
            }
        };
        Some((bit, values))
    });
    // What a rule without an episode knows of a key can be made again.
    let nodes = state.nodes.iter().filter(|node| node.episodes.is_some()).map(|node| NodeRow {
        node: node.node,
        looked_at: node.window.looked_at(),
        seen: node.window.seen(),
        episodes: node.episodes.as_deref().map(Cow::Borrowed),
    });
    let mut before = 0_i64;
    let past = state.ring.past.iter().flat_map(|past| past.iter());
    let past = past.map(|(time, kind)| (since(&mut before, time), kinds.of(kind).mask)).collect();
    KeyRow { group, key: state.key.text(), values: values.collect(), nodes: nodes.collect(), entries, past }
}

fn kept(record: &Record) -> RecordRow<'_> {
    record.texts().collect()
}
