//! [`Ring`]: the events of one key that may still matter, in their order, in as few bytes as they take.
//!
//! All of it is one allocation of words. An event takes two words for its time and kind, four for its id, or two where
//! that tells the time once more ([`Form`]), and one for each value that it brings along; every event of a ring has the
//! same room, so that the one at a place is found at once. Its kind stands for the channels that it takes part in
//! ([`Kinds`]). Texts, numbers and records are numbers of tables that all rings share ([`Held`]).

use std::sync::Arc;

use hashbrown::HashSet;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::form::{BETWEEN, Form, KIND, halves, low};
use super::held::{Held, Value};
use super::kind::Kinds;
use super::past::Past;
use super::plan::{Group, Node, bits};
use super::record::Record;

/// Events of one key.
#[derive(Debug, Default)]
pub(super) struct Ring {
    words: Vec<u32>,
    /// What times count from.
    base: i64,
    /// Of events that went because later ones have their values.
    pub(super) past: Option<Box<Past>>,
    /// Channels that some of the events take part in; more than these never, but more than are left possibly.
    ever: u64,
    len: u32,
    /// Words of an event.
    stride: u8,
    form: Form,
    /// After so many more events it is thinned out.
    left: u16,
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

    /// Channels that none of the events is without.
    pub(super) fn ever(&self) -> u64 {
        self.ever
    }

    fn event(&self, at: usize) -> &[u32] {
        let stride = usize::from(self.stride);
        &self.words[at * stride..(at + 1) * stride]
    }

    /// The two words that every event begins with.
    fn first(words: &[u32]) -> u64 {
        u64::from(words[1]) << 32 | u64::from(words[0])
    }

    /// The time of the event at `at`, in microseconds.
    pub(super) fn time(&self, at: usize) -> i64 {
        let first = Self::first(self.event(at));
        self.base.wrapping_add((first >> (u64::BITS - self.form.bits())).cast_signed())
    }

    /// The number of its kind.
    pub(super) fn kind(&self, at: usize) -> u32 {
        let words = self.event(at);
        if self.form == Form::Wide { words[2] } else { words[0] & ((1 << KIND) - 1) }
    }

    /// Its id.
    pub(super) fn id(&self, at: usize) -> Uuid {
        let words = self.event(at);
        let id =
            words[self.form.head()..self.form.fixed()].iter().fold(0_u128, |id, word| id << 32 | u128::from(*word));
        if self.form != Form::Lean {
            return Uuid::from_u128(id);
        }
        let between = u128::from(Self::first(words) >> KIND & ((1 << BETWEEN) - 1));
        let millis = u128::from(self.time(at).unsigned_abs() / 1_000);
        Uuid::from_u128(millis << 80 | 7 << 76 | between << 64 | id)
    }

    fn extra(&self, at: usize) -> &[u32] {
        &self.event(at)[self.form.fixed()..]
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
                std::cmp::Ordering::Less => {
                    from += half + 1;
                    len -= half + 1;
                }
                std::cmp::Ordering::Equal => return Ok(from + half),
                std::cmp::Ordering::Greater => len = half,
            }
        }
        Err(from)
    }

    /// Sets an event in at `at`, where [`Self::find`] says that it belongs.
    pub(super) fn insert(&mut self, at: usize, new: New<'_>, kinds: &mut Kinds, group: &Group, held: &mut Held) {
        let mask = new.values.iter().fold(0, |mask, (bit, _)| mask | 1 << bit);
        let number = kinds.number(group, mask, new.record.is_some());
        self.fit(new.time, new.id, number, kinds.of(number).extras());
        self.put(at, new.time, new.id, number);
        let from = at * usize::from(self.stride) + self.form.fixed();
        let mut extra = self.words[from..].iter_mut();
        for value in new.values.iter().filter_map(|(_, value)| held.take(*value)) {
            extra.next().into_iter().for_each(|word| *word = value);
        }
        if let Some(record) = new.record {
            let record = held.take_record(record);
            extra.next().into_iter().for_each(|word| *word = record);
        }
        self.left = self.left.saturating_sub(1);
        self.ever |= mask;
    }

    /// Sets in an event, without values yet.
    fn put(&mut self, at: usize, time: i64, id: Uuid, kind: u32) {
        let stride = usize::from(self.stride);
        let end = self.words.len();
        if end + stride > self.words.capacity() {
            // Doubling would leave half of the memory of many small rings unused.
            self.words.reserve_exact(stride * (2 + self.len() / 8));
        }
        self.words.resize(end + stride, 0);
        self.words.copy_within(at * stride..end, (at + 1) * stride);
        self.len += 1;
        self.write(at, time, id, kind, &[]);
    }

    fn write(&mut self, at: usize, time: i64, id: Uuid, kind: u32, extra: &[u32]) {
        let (form, id) = (self.form, id.as_u128());
        let mut first = time.wrapping_sub(self.base).cast_unsigned() << (u64::BITS - form.bits());
        let stride = usize::from(self.stride);
        let event = &mut self.words[at * stride..(at + 1) * stride];
        match form {
            Form::Lean => first |= low(id >> 64 & ((1 << BETWEEN) - 1)) << KIND | u64::from(kind),
            Form::Narrow => first |= u64::from(kind),
            Form::Wide => event[2] = kind,
        }
        halves(&mut event[..2], first);
        let ids = &mut event[form.head()..form.fixed()];
        let high = ids.len() - 2;
        halves(&mut ids[high..], low(id));
        ids[high..].swap(0, 1);
        if high == 2 {
            halves(&mut ids[..2], low(id >> 64));
            ids[..2].swap(0, 1);
        }
        event[form.fixed()..form.fixed() + extra.len()].copy_from_slice(extra);
    }

    /// Makes room in every event for one of this time, id and kind with so many values.
    fn fit(&mut self, time: i64, id: Uuid, kind: u32, extras: usize) {
        let mut form = Form::of(time, id, kind);
        if self.len == 0 {
            (self.form, self.base) = (form, form.base(time));
            self.stride = u8::try_from(form.fixed() + extras).unwrap_or(u8::MAX);
            if form.reaches(self.base, time) {
                return;
            }
        }
        let old_extras = usize::from(self.stride) - self.form.fixed();
        form = form.max(self.form);
        if form == self.form && extras <= old_extras && form.reaches(self.base, time) {
            return;
        }
        let mut base = self.base;
        let (first, last) = match self.len() {
            0 => (time, time),
            len => (self.time(0).min(time), self.time(len - 1).max(time)),
        };
        if form != self.form || !form.reaches(base, time) {
            // From its first event on, or else in a wider form.
            base = form.base(first);
            while !(form.reaches(base, first) && form.reaches(base, last)) {
                form = if form == Form::Lean { Form::Narrow } else { Form::Wide };
                base = form.base(first);
            }
        }
        let stride = form.fixed() + extras.max(old_extras);
        if form == self.form && base == self.base && stride == usize::from(self.stride) {
            return;
        }
        let old = std::mem::take(self);
        self.words = Vec::with_capacity(stride * (old.len() + 2));
        (self.base, self.ever, self.form, self.left) = (base, old.ever, form, old.left);
        self.stride = u8::try_from(stride).unwrap_or(u8::MAX);
        for at in 0..old.len() {
            let (time, id, kind) = (old.time(at), old.id(at), old.kind(at));
            self.put(at, time, id, kind);
            self.write(at, time, id, kind, old.extra(at));
        }
        self.past = old.past;
    }

    /// Lets the event at `at` take part in one more channel.
    pub(super) fn join(&mut self, at: usize, bit: u8, value: Value, kinds: &mut Kinds, group: &Group, held: &mut Held) {
        let kind = *kinds.of(self.kind(at));
        let mut extra: Vec<u32> = self.extra(at)[..kind.extras()].to_vec();
        if let Some(number) = held.take(value) {
            extra.insert(kind.place(bit), number);
        }
        self.turn(at, kinds.number(group, kind.mask | 1 << bit, kind.record), &extra);
        self.ever |= 1 << bit;
    }

    /// Keeps something of the event at `at`, of which nothing was kept yet.
    pub(super) fn keep(&mut self, at: usize, record: &Arc<Record>, kinds: &mut Kinds, group: &Group, held: &mut Held) {
        let kind = *kinds.of(self.kind(at));
        if kind.record {
            return;
        }
        let mut extra: Vec<u32> = self.extra(at)[..kind.extras()].to_vec();
        extra.push(held.take_record(record));
        self.turn(at, kinds.number(group, kind.mask, true), &extra);
    }

    /// Keeps nothing of the event at `at` any longer.
    pub(super) fn strip(&mut self, at: usize, kinds: &mut Kinds, group: &Group, held: &mut Held) {
        let kind = *kinds.of(self.kind(at));
        if !kind.record {
            return;
        }
        let mut extra = self.extra(at)[..kind.extras()].to_vec();
        if let Some(record) = extra.pop() {
            held.records.release(record);
        }
        self.turn(at, kinds.number(group, kind.mask, false), &extra);
    }

    /// Makes an event one of another kind.
    fn turn(&mut self, at: usize, kind: u32, extra: &[u32]) {
        let (time, id) = (self.time(at), self.id(at));
        self.fit(time, id, kind, extra.len());
        self.write(at, time, id, kind, extra);
    }

    /// Lets go of what the event at `at` holds of the tables.
    pub(super) fn release(&self, at: usize, kinds: &Kinds, group: &Group, held: &mut Held) {
        let kind = kinds.of(self.kind(at));
        let extra = self.extra(at);
        for (bit, number) in bits(kind.valued).zip(extra) {
            match group.channels[usize::from(bit)].has_texts() {
                true => held.texts.release(*number),
                false => held.release_number(*number),
            }
        }
        if kind.record {
            held.records.release(extra[kind.extras() - 1]);
        }
    }

    /// Drops the events that are not `kept`; what they held has been released. The others have no more room than they
    /// need.
    pub(super) fn retain(&mut self, kept: &[bool], kinds: &Kinds) {
        let stays = |at: &usize| kept.get(*at).copied().unwrap_or(true);
        let extras = (0..self.len()).filter(stays).map(|at| kinds.of(self.kind(at)).extras()).max().unwrap_or(0);
        let stride = usize::from(self.stride);
        let new = stride.min(self.form.fixed() + extras);
        let mut to = 0;
        self.ever = 0;
        for at in (0..self.len()).filter(stays) {
            self.ever |= kinds.of(self.kind(at)).mask;
            if at * stride != to * new {
                self.words.copy_within(at * stride..at * stride + new, to * new);
            }
            to += 1;
        }
        self.stride = u8::try_from(new).unwrap_or(u8::MAX);
        self.words.truncate(to * new);
        self.len = u32::try_from(to).unwrap_or(u32::MAX);
    }

    /// Gives back memory beyond what the events take, but for one or two more.
    pub(super) fn shrink(&mut self) {
        let room = self.words.len() + 2 * usize::from(self.stride);
        if self.words.capacity() > room {
            self.words.shrink_to(room);
        }
    }

    /// Heap memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.words.capacity() * size_of::<u32>() + self.past.as_ref().map_or(0, |past| past.bytes())
    }
}

/// A ring with what its numbers stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Events<'a> {
    pub(super) ring: &'a Ring,
    pub(super) kinds: &'a Kinds,
    pub(super) held: &'a Held,
}

impl<'a> Events<'a> {
    /// The channels that the event at `at` takes part in.
    pub(super) fn mask(self, at: usize) -> u64 {
        self.kinds.of(self.ring.kind(at)).mask
    }

    /// What it brings into a channel, as its number.
    pub(super) fn value(self, at: usize, bit: u8) -> Option<u32> {
        let kind = self.kinds.of(self.ring.kind(at));
        (kind.valued >> bit & 1 == 1).then(|| self.ring.extra(at)[kind.place(bit)])
    }

    /// What the last events up to the one at `at` that lie after `floor` bring into a channel, from the last to the
    /// first. Events of one kind follow each other, so where the value stands is looked up when the kind changes.
    pub(super) fn values_back(self, bit: u8, at: usize, floor: i64) -> impl Iterator<Item = u32> + use<'a> {
        let inside = move |at: &usize| self.ring.time(*at) > floor;
        let mut known = (u32::MAX, None);
        (0..=at).rev().take_while(inside).filter_map(move |at| {
            let number = self.ring.kind(at);
            if number != known.0 {
                let kind = self.kinds.of(number);
                known = (number, (kind.valued >> bit & 1 == 1).then(|| kind.place(bit)));
            }
            known.1.map(|place| self.ring.extra(at)[place])
        })
    }

    /// The number that it brings into a channel of numbers.
    pub(super) fn number(self, at: usize, bit: u8) -> Option<Decimal> {
        self.held.numbers.get(self.value(at, bit)?).copied()
    }

    /// What was kept of it.
    pub(super) fn record(self, at: usize) -> Option<&'a Arc<Record>> {
        let kind = self.kinds.of(self.ring.kind(at));
        if kind.record { self.held.records.get(self.ring.extra(at)[kind.extras() - 1]) } else { None }
    }

    /// The last events up to the one at `at` that a rule sees and that lie after `floor`, from the last to the first.
    pub(super) fn back(self, node: &'a Node, at: usize, floor: i64) -> impl Iterator<Item = usize> + use<'a> {
        let inside = move |at: &usize| self.ring.time(*at) > floor;
        let seen = move |at: &usize| self.mask(*at) & node.mask != 0;
        (0..=at).rev().take_while(inside).filter(seen)
    }
}

/// Values that have been met: few mostly, so they are looked through.
#[derive(Debug, Default)]
pub(super) struct Met {
    few: Vec<(u8, u32)>,
    many: HashSet<(u8, u32)>,
}

impl Met {
    /// More than so many are hashed.
    const FEW: usize = 24;

    /// Notes a value of a channel. Says whether it is the first of its kind.
    pub(super) fn add(&mut self, bit: u8, value: u32) -> bool {
        if self.few.contains(&(bit, value)) {
            return false;
        }
        if self.few.len() < Self::FEW {
            self.few.push((bit, value));
            return true;
        }
        self.many.insert((bit, value))
    }
}

#[cfg(test)]
mod tests {
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
        let mut expected = Vec::new();
        for (number, time) in times.into_iter().enumerate() {
            let tells = u128::from(time.unsigned_abs() / 1_000) << 80 | 7 << 76;
            let id = if number < 5 { tells } else { 7 << 100 };
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
            let form = [Form::Lean, Form::Narrow, Form::Wide][usize::from(number > 4) + usize::from(number > 6)];
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
        ring.retain(&[false; 11], &kinds);
        assert!(ring.is_empty() && held.number_of.is_empty(), "everything is given back");
        assert!(held.records.things.iter().all(Option::is_none));
    }
}
