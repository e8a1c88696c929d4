//! [`Held`]: what rings have only the numbers of. Texts are in [`Interner`].

use std::sync::Arc;

use hashbrown::HashMap;
use rust_decimal::Decimal;

use super::record::Record;
use super::text::Interner;

/// What an event brings into a channel.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    None,
    /// An interned text.
    Text(u32),
    Number(Decimal),
}

/// What rings have only the numbers of.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) texts: Interner,
    pub(super) numbers: Table<Decimal>,
    pub(super) number_of: HashMap<Decimal, u32>,
    pub(super) records: Table<Arc<Record>>,
    /// The record that was taken last: an event comes into several rings, one after the other.
    last_record: u32,
    /// Numbers of one event, on their way.
    pub(super) room: Vec<u32>,
}

/// Things by number, each held as often as it was taken.
#[derive(Debug)]
pub(super) struct Table<T> {
    pub(super) things: Vec<Option<(T, u32)>>,
    free: Vec<u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { things: Vec::new(), free: Vec::new() }
    }
}

impl<T> Table<T> {
    fn add(&mut self, thing: T) -> u32 {
        match self.free.pop() {
            Some(number) => {
                self.things[number as usize] = Some((thing, 1));
                number
            }
            None => {
                self.things.push(Some((thing, 1)));
                u32::try_from(self.things.len() - 1).unwrap_or(u32::MAX)
            }
        }
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.things.get(number as usize)?.as_ref().map(|(thing, _)| thing)
    }

    fn once_more(&mut self, number: u32) {
        if let Some(Some((_, held))) = self.things.get_mut(number as usize) {
            *held += 1;
        }
    }

    /// Lets go of a thing once; the thing, where that was the last time.
    pub(super) fn release(&mut self, number: u32) -> Option<T> {
        let place = self.things.get_mut(number as usize)?;
        let (_, held) = place.as_mut()?;
        *held -= 1;
        if *held > 0 {
            return None;
        }
        self.free.push(number);
        place.take().map(|(thing, _)| thing)
    }

    fn bytes(&self) -> usize {
        self.things.capacity() * size_of::<Option<(T, u32)>>() + self.free.capacity() * size_of::<u32>()
    }
}

impl Held {
    /// The number of a value, held once more; none where it is none.
    pub(super) fn take(&mut self, value: Value) -> Option<u32> {
        match value {
            Value::None => None,
            Value::Text(text) => Some(text),
            Value::Number(number) => Some(match self.number_of.get(&number) {
                Some(of) => {
                    self.numbers.once_more(*of);
                    *of
                }
                None => {
                    let of = self.numbers.add(number);
                    self.number_of.insert(number, of);
                    of
                }
            }),
        }
    }

    /// The number of a record, held once more.
    pub(super) fn take_record(&mut self, record: &Arc<Record>) -> u32 {
        if self.records.get(self.last_record).is_some_and(|last| Arc::ptr_eq(last, record)) {
            self.records.once_more(self.last_record);
        } else {
            self.last_record = self.records.add(Arc::clone(record));
        }
        self.last_record
    }

    pub(super) fn release_number(&mut self, number: u32) {
        if let Some(number) = self.numbers.release(number) {
            self.number_of.remove(&number);
        }
    }

    /// Heap memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        let records: usize = self.records.things.iter().flatten().map(|(record, _)| record.bytes()).sum();
        self.texts.bytes()
            + self.numbers.bytes()
            + self.number_of.capacity() * (size_of::<(Decimal, u32)>() + 1)
            + self.records.bytes()
            + records
    }
}
