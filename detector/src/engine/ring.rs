//! [`Ring`]: the events of one key that may still matter, in their order, with the values that they bring along.

use std::sync::Arc;

use rust_decimal::Decimal;
use uuid::Uuid;

use super::record::Record;

/// An event of a key. The order is (time, id).
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Microseconds.
    pub(super) time: i64,
    /// The channels that it takes part in.
    pub(super) mask: u64,
    /// What was kept of it.
    pub(super) record: Option<Arc<Record>>,
    pub(super) id: Uuid,
}

/// What an event brings into a channel.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    None,
    /// An interned text.
    Text(u32),
    Number(Decimal),
}

/// The values of one channel, one for each event that takes part in it, in order.
#[derive(Debug)]
pub(super) enum Values {
    Texts(Vec<u32>),
    Numbers(Vec<Decimal>),
}

/// Events and values of one key.
#[derive(Debug, Default)]
pub(super) struct Ring {
    pub(super) entries: Vec<Entry>,
    pub(super) values: Vec<(u8, Values)>,
}

impl Ring {
    /// Where an event stands, or would.
    pub(super) fn find(&self, time: i64, id: Uuid) -> Result<usize, usize> {
        match self.entries.last() {
            None => Err(0),
            Some(last) if (last.time, last.id) < (time, id) => Err(self.entries.len()),
            Some(_) => self.entries.binary_search_by(|entry| (entry.time, entry.id).cmp(&(time, id))),
        }
    }

    /// The values of a channel.
    pub(super) fn values(&self, bit: u8) -> Option<&Values> {
        self.values.iter().find(|(of, _)| *of == bit).map(|(_, values)| values)
    }

    /// Lets the event at `at` take part in a channel. It must not take part yet.
    pub(super) fn set(&mut self, at: usize, bit: u8, value: Value) {
        let after = self.entries[at + 1..].iter().filter(|entry| entry.mask >> bit & 1 == 1).count();
        match value {
            Value::None => {}
            Value::Text(text) => {
                if let Values::Texts(texts) = self.values_of(bit, || Values::Texts(Vec::new())) {
                    texts.insert(texts.len() - after, text);
                }
            }
            Value::Number(number) => {
                if let Values::Numbers(numbers) = self.values_of(bit, || Values::Numbers(Vec::new())) {
                    numbers.insert(numbers.len() - after, number);
                }
            }
        }
        self.entries[at].mask |= 1 << bit;
    }

    fn values_of(&mut self, bit: u8, make: impl FnOnce() -> Values) -> &mut Values {
        let at = self.values.iter().position(|(of, _)| *of == bit).unwrap_or_else(|| {
            self.values.push((bit, make()));
            self.values.len() - 1
        });
        &mut self.values[at].1
    }

    /// Drops the events that `keep` does not want; texts that go are handed to `release`.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Entry) -> bool, mut release: impl FnMut(u32)) {
        let kept: Vec<bool> = self.entries.iter().map(&mut keep).collect();
        for (bit, values) in &mut self.values {
            let mut kept =
                self.entries.iter().zip(&kept).filter(|(entry, _)| entry.mask >> *bit & 1 == 1).map(|(_, k)| *k);
            match values {
                Values::Texts(texts) => texts.retain(|text| {
                    let stays = kept.next().unwrap_or(true);
                    if !stays {
                        release(*text);
                    }
                    stays
                }),
                Values::Numbers(numbers) => numbers.retain(|_| kept.next().unwrap_or(true)),
            }
        }
        let mut kept = kept.into_iter();
        self.entries.retain(|_| kept.next().unwrap_or(true));
        self.values.retain(|(_, values)| !values.is_empty());
        if self.entries.capacity() > 4 * self.entries.len().max(4) {
            self.entries.shrink_to(2 * self.entries.len());
        }
    }

    /// Heap memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        let values: usize = self
            .values
            .iter()
            .map(|(_, values)| match values {
                Values::Texts(texts) => texts.capacity() * size_of::<u32>(),
                Values::Numbers(numbers) => numbers.capacity() * size_of::<Decimal>(),
            })
            .sum();
        let records: usize = self.entries.iter().filter_map(|entry| entry.record.as_ref()).map(|r| r.bytes()).sum();
        self.entries.capacity() * size_of::<Entry>()
            + self.values.capacity() * size_of::<(u8, Values)>()
            + values
            + records
    }
}

impl Values {
    fn is_empty(&self) -> bool {
        match self {
            Self::Texts(texts) => texts.is_empty(),
            Self::Numbers(numbers) => numbers.is_empty(),
        }
    }
}
