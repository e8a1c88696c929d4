//! [`Ring`]: the events of one key that may still matter, in their order, in as few bytes as they take.
//!
//! All of it is one allocation. An event takes 14 or 15 bytes for its time, kind and id where that tells the time once more
//! ([`Form`]), and two or three for each value that it brings along; every event of a ring has the same room, so that the
//! one at a place is found at once. Its kind stands for the channels that it takes part in ([`Kinds`]). Texts, numbers and
//! records are numbers of tables that all rings share ([`Held`]).

use std::cmp::Ordering;
use std::sync::Arc;

use uuid::Uuid;

use super::form::{Base, Form, Reader};
use super::held::{Held, Value};
use super::kind::Kinds;
use super::past::Past;
use super::plan::{Group, bits};
use super::record::Record;

/// Events of one key.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// The events, and room for some more.
    bytes: Box<[u8]>,
    /// What times count from.
    base: Base,
    /// Of events that went because later ones have their values.
    pub(super) past: Option<Box<Past>>,
    len: u32,
    /// A kind that has all channels that some of the events take part in, possibly more than are left, and of which
    /// something is kept where it is of one of them.
    ever: u16,
    /// Bytes of an event.
    stride: u16,
    /// After so many more events it is thinned out.
    left: u16,
    form: Form,
    /// Bytes of a value's number.
    width: u8,
}

/// An event that is set into a ring.
#[derive(Debug, Clone, Copy)]
pub(super) struct New<'a> {
    pub(super) time: i64,
    pub(super) id: Uuid,
    /// Channels, rising, each with what the event brings into it.
    pub(super) values: &'a [(u8, Value)],
    pub(super) record: Option<&'a Arc<Record>>,
}

impl Ring {
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether it has grown so much that it should be thinned out.
    pub(super) fn is_grown(&self) -> bool {
        self.left == 0
    }

    /// After how many more events it should be thinned out.
    pub(super) fn set_left(&mut self, events: usize) {
        self.left = u16::try_from(events).unwrap_or(u16::MAX);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A kind that none of the events goes beyond.
    pub(super) fn ever(&self) -> u32 {
        u32::from(self.ever)
    }

    #[inline]
    fn event(&self, at: usize) -> &[u8] {
        let stride = usize::from(self.stride);
        &self.bytes[at * stride..(at + 1) * stride]
    }

    /// The time of the event at `at`, in microseconds.
    #[inline]
    pub(super) fn time(&self, at: usize) -> i64 {
        self.form.reader(self.base).time(self.event(at))
    }

    /// The number of its kind.
    #[inline]
    pub(super) fn kind(&self, at: usize) -> u32 {
        self.form.reader(self.base).kind(self.event(at))
    }

    /// Its id.
    pub(super) fn id(&self, at: usize) -> Uuid {
        self.form.id_of(self.event(at), self.base)
    }

    /// The number at a place among its values.
    #[inline]
    pub(super) fn number(&self, at: usize, place: usize) -> u32 {
        self.number_of(self.event(at), place)
    }

    #[inline]
    pub(super) fn number_of(&self, event: &[u8], place: usize) -> u32 {
        let width = usize::from(self.width);
        let from = self.form.fixed() + place * width;
        match event[from..from + width] {
            [a, b] => u32::from_le_bytes([a, b, 0, 0]),
            [a, b, c] => u32::from_le_bytes([a, b, c, 0]),
            [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
            _ => 0,
        }
    }

    /// The events up to the one at `at` that lie after `floor`, from the last to the first, and what reads them. Many
    /// events are looked at in this way, so what is the same for all is asked once.
    #[inline]
    pub(super) fn back(&self, at: usize, floor: i64) -> (Reader, impl Iterator<Item = (usize, &[u8])>) {
        let (stride, reader) = (usize::from(self.stride), self.form.reader(self.base));
        let events = self.bytes[..(at + 1) * stride].rchunks_exact(stride);
        let inside = move |(_, event): &(usize, &[u8])| reader.time(event) > floor;
        (reader, (0..=at).rev().zip(events).take_while(inside))
    }

    /// Its first numbers.
    fn numbers(&self, at: usize, count: usize) -> Vec<u32> {
        (0..count).map(|place| self.number(at, place)).collect()
    }

    /// Where an event stands, or would.
    pub(super) fn find(&self, time: i64, id: Uuid) -> Result<usize, usize> {
        let place = |at: usize| self.time(at).cmp(&time).then_with(|| self.id(at).cmp(&id));
        let mut len = self.len();
        if len == 0 || place(len - 1).is_lt() {
            return Err(len);
        }
        let mut from = 0;
        while len > 0 {
            let half = len / 2;
            match place(from + half) {
                Ordering::Less => {
                    from += half + 1;
                    len -= half + 1;
                }
                Ordering::Equal => return Ok(from + half),
                Ordering::Greater => len = half,
            }
        }
        Err(from)
    }

    /// Sets an event in at `at`, where [`Self::find`] says that it belongs.
    pub(super) fn insert(&mut self, at: usize, new: New<'_>, kinds: &mut Kinds, group: &Group, held: &mut Held) {
        let mask = new.values.iter().fold(0, |mask, (bit, _)| mask | 1 << bit);
        let kind = kinds.number(group, mask, new.record.is_some());
        let mut numbers = std::mem::take(&mut held.room);
        numbers.clear();
        numbers.extend(new.values.iter().filter_map(|(_, value)| held.take(*value)));
        numbers.extend(new.record.map(|record| held.take_record(record)));
        self.fit(new.time, new.id, kind, &numbers);
        self.put(at);
        self.write(at, new.time, new.id, kind, &numbers);
        held.room = numbers;
        self.left = self.left.saturating_sub(1);
        self.ever = kinds.with(group, self.ever, mask, new.record.is_some());
    }

    /// Makes place for an event.
    fn put(&mut self, at: usize) {
        let stride = usize::from(self.stride);
        let end = self.len() * stride;
        if end + stride > self.bytes.len() {
            // As many as come before it is thinned out: doubling would leave half of the memory of many small rings unused.
            let more = if self.left > 0 { usize::from(self.left) } else { self.len() / 4 + 1 };
            self.resize(self.len() + more);
        }
        self.bytes.copy_within(at * stride..end, (at + 1) * stride);
        self.len += 1;
    }

    /// Gives it room for so many events.
    fn resize(&mut self, events: usize) {
        let mut bytes = Vec::from(std::mem::take(&mut self.bytes));
        let room = events * usize::from(self.stride);
        bytes.reserve_exact(room.saturating_sub(bytes.len()));
        bytes.resize(room, 0);
        self.bytes = bytes.into_boxed_slice();
    }

    fn write(&mut self, at: usize, time: i64, id: Uuid, kind: u32, numbers: &[u32]) {
        let (form, stride, width) = (self.form, usize::from(self.stride), usize::from(self.width));
        let event = &mut self.bytes[at * stride..(at + 1) * stride];
        form.write(event, self.base, time, id, kind);
        for (place, number) in event[form.fixed()..].chunks_exact_mut(width).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes()[..width]);
        }
    }

    /// Makes room in every event for one of this time, id and kind with these numbers.
    fn fit(&mut self, time: i64, id: Uuid, kind: u32, numbers: &[u32]) {
        let mut form = Form::of(time, id, kind);
        let mut width = numbers.iter().fold(2, |width, number| width.max(bytes_of(*number)));
        if self.len > 0 {
            (form, width) = (form.max(self.form), width.max(self.width));
        }
        let has_room = form.fixed() + numbers.len() * usize::from(width) <= usize::from(self.stride);
        let reaches = self.len > 0 && form.reaches(self.base, time);
        if reaches && form == self.form && width == self.width && has_room {
            return;
        }
        let had = match self.len {
            0 => 0,
            _ => (usize::from(self.stride) - self.form.fixed()) / usize::from(self.width),
        };
        let (first, last) = match self.len() {
            0 => (time, time),
            len => (self.time(0).min(time), self.time(len - 1).max(time)),
        };
        let mut base = self.base;
        if !reaches || form != self.form {
            // From its first event on, or else in a wider form.
            base = form.base(first);
            while !(form.reaches(base, first) && form.reaches(base, last)) {
                form = form.wider();
                base = form.base(first);
            }
        }
        let stride = form.fixed() + numbers.len().max(had) * usize::from(width);
        let stride = u16::try_from(stride).unwrap_or(u16::MAX);
        if self.len > 0 && (form, base, width, stride) == (self.form, self.base, self.width, self.stride) {
            return;
        }
        let new = Self { base, ever: self.ever, stride, left: self.left, form, width, ..Self::default() };
        let old = std::mem::replace(self, new);
        self.resize(old.len() + usize::from(self.left.max(1)));
        for at in 0..old.len() {
            self.len += 1;
            self.write(at, old.time(at), old.id(at), old.kind(at), &old.numbers(at, had));
        }
        self.past = old.past;
    }

    /// Lets the event at `at` take part in one more channel.
    pub(super) fn join(&mut self, at: usize, bit: u8, value: Value, kinds: &mut Kinds, group: &Group, held: &mut Held) {
        let kind = *kinds.of(self.kind(at));
        let mut numbers = self.numbers(at, kind.extras());
        if let Some(number) = held.take(value) {
            numbers.insert(kind.place(bit), number);
        }
        self.turn(at, kinds.number(group, kind.mask | 1 << bit, kind.record), &numbers);
        self.ever = kinds.with(group, self.ever, 1 << bit, kind.record);
    }

    /// Keeps something of the event at `at`, of which nothing was kept yet.
    pub(super) fn keep(&mut self, at: usize, record: &Arc<Record>, kinds: &mut Kinds, group: &Group, held: &mut Held) {
        let kind = *kinds.of(self.kind(at));
        if kind.record {
            return;
        }
        let mut numbers = self.numbers(at, kind.extras());
        numbers.push(held.take_record(record));
        self.turn(at, kinds.number(group, kind.mask, true), &numbers);
        self.ever = kinds.with(group, self.ever, kind.mask, true);
    }

    /// Keeps nothing of the event at `at` any longer.
    pub(super) fn strip(&mut self, at: usize, kinds: &mut Kinds, group: &Group, held: &mut Held) {
        let kind = *kinds.of(self.kind(at));
        if !kind.record {
            return;
        }
        let mut numbers = self.numbers(at, kind.extras());
        if let Some(record) = numbers.pop() {
            held.records.release(record);
        }
        self.turn(at, kinds.number(group, kind.mask, false), &numbers);
    }

    /// Makes an event one of another kind.
    fn turn(&mut self, at: usize, kind: u32, numbers: &[u32]) {
        let (time, id) = (self.time(at), self.id(at));
        self.fit(time, id, kind, numbers);
        self.write(at, time, id, kind, numbers);
    }

    /// Lets go of what the event at `at` holds of the tables.
    pub(super) fn release(&self, at: usize, kinds: &Kinds, group: &Group, held: &mut Held) {
        let kind = kinds.of(self.kind(at));
        for (place, bit) in bits(kind.valued).enumerate() {
            let number = self.number(at, place);
            match group.channels[usize::from(bit)].has_texts() {
                true => held.texts.release(number),
                false => held.release_number(number),
            }
        }
        if kind.record {
            held.records.release(self.number(at, kind.extras() - 1));
        }
    }

    /// Drops the events that are not `kept`; what they held has been released. The others have no more room than they
    /// need.
    pub(super) fn retain(&mut self, kept: &[bool], kinds: &mut Kinds, group: &Group) {
        let stays = |at: &usize| kept.get(*at).copied().unwrap_or(true);
        let (mut extras, mut mask, mut record) = (0, 0, false);
        for at in (0..self.len()).filter(stays) {
            let kind = kinds.of(self.kind(at));
            (extras, mask, record) = (kind.extras().max(extras), mask | kind.mask, record | kind.record);
        }
        let stride = usize::from(self.stride);
        let new = stride.min(self.form.fixed() + extras * usize::from(self.width));
        let mut to = 0;
        for at in (0..self.len()).filter(stays) {
            if at * stride != to * new {
                self.bytes.copy_within(at * stride..at * stride + new, to * new);
            }
            to += 1;
        }
        self.ever = kinds.with(group, 0, mask, record);
        self.stride = u16::try_from(new).unwrap_or(u16::MAX);
        self.len = u32::try_from(to).unwrap_or(u32::MAX);
    }

    /// Gives back memory beyond what is filled before it is thinned out next.
    pub(super) fn shrink(&mut self) {
        let events = self.len() + usize::from(self.left);
        if self.bytes.len() > events * usize::from(self.stride) {
            self.resize(if self.len == 0 { 0 } else { events });
        }
    }

    /// Heap memory of its events in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// In how many bytes a number can be written.
fn bytes_of(number: u32) -> u8 {
    match number {
        0..=0xffff => 2,
        0x1_0000..=0xff_ffff => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::super::events::Events;
    use super::super::plan::{Channel, KeyOf, ValueOf};
    use super::*;

    fn group() -> Group {
        let channel = |value| Channel { value, window: 10, ..Channel::default() };
        let texts = || Some(ValueOf::Texts(vec![0]));
        let channels = vec![channel(None), channel(texts()), channel(texts()), channel(Some(ValueOf::Number(1)))];
        Group { key: KeyOf::Fields { names: Vec::new(), variants: vec![Vec::new()] }, channels }
    }

    /// Whatever comes, in whatever order, stands where it belongs with what it brought.
    #[test]
    fn events_keep_their_place_and_their_values_however_wide_they_become() {
        let (group, mut kinds, mut held, mut ring) = (group(), Kinds::default(), Held::default(), Ring::default());
        let year = 366 * domain::DAY;
        let near = 60 * year;
        let times =
            [near, near - 1, near + 900, near, near - 4 * domain::DAY, 9, 3, i64::MAX, -200 * year, 4, i64::MIN];
        let record = Arc::new(Record::default());
        let mut forms = vec![Form::Milli, Form::Lean, Form::Lean, Form::Lean];
        forms.extend([Form::Usual, Form::Narrow, Form::Narrow]);
        forms.resize(times.len(), Form::Wide);
        let mut expected = Vec::new();
        for (number, time) in times.into_iter().enumerate() {
            let tells = u128::from(time.unsigned_abs() / 1_000) << 80 | 7 << 76;
            let id = if number < 5 { tells | 0b10 << 62 } else { 7 << 100 };
            let id = Uuid::from_u128(id + (0xabc_u128 << 64) + 50 - number as u128);
            let text = held.texts.take(&format!("text {number}"));
            let amount = Decimal::from(number);
            let values = [(0, Value::None), (2, Value::Text(text)), (3, Value::Number(amount))];
            let values = &values[..1 + number % 3];
            if values.len() < 2 {
                held.texts.release(text);
            }
            let record = (number % 4 == 1).then_some(&record);
            let at = ring.find(time, id).expect_err("new");
            ring.insert(at, New { time, id, values, record }, &mut kinds, &group, &mut held);
            expected.push((time, id, number, values.len()));
            let form = forms[number];
            assert_eq!(ring.form, form, "{number}");
        }
        expected.sort_unstable();
        assert_eq!(ring.len(), times.len());
        for (at, (time, id, number, values)) in expected.iter().enumerate() {
            assert_eq!((ring.time(at), ring.id(at), ring.find(*time, *id)), (*time, *id, Ok(at)));
            let events = Events { ring: &ring, kinds: &kinds, held: &held };
            let text = events.value(at, 2).map(|text| held.texts.text(text).to_owned());
            assert_eq!(text, (*values > 1).then(|| format!("text {number}")));
            assert_eq!(events.number(at, 3), (*values > 2).then(|| Decimal::from(*number)));
            assert_eq!(events.record(at).is_some(), number % 4 == 1);
        }
        let more = held.texts.take("more");
        ring.join(1, 1, Value::Text(more), &mut kinds, &group, &mut held);
        ring.keep(1, &record, &mut kinds, &group, &mut held);
        let events = Events { ring: &ring, kinds: &kinds, held: &held };
        assert_eq!((events.value(1, 1), events.record(1).is_some()), (Some(more), true));
        for at in 0..ring.len() {
            ring.release(at, &kinds, &group, &mut held);
        }
        ring.retain(&[false; 11], &mut kinds, &group);
        assert!(ring.is_empty() && held.number_of.is_empty(), "everything is given back");
        assert!(held.records.things.iter().all(Option::is_none));
    }
}
