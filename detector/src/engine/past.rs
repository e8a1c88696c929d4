//! [`Past`]: what is left of events whose values came again.
//!
//! A rule that counts different values needs of each value only the last event, once nothing can come before it any
//! more. When the others were, it still has to know: the first of them may be the first of a window, and all of them are
//! counted. So their times are kept, in two or three bytes each, and no more.
//!
//! What lies between one event and the next is written in the code of Golomb (1966) and Rice (1979): a number of
//! microseconds, or of milliseconds where all of them are whole, as its low bits behind its high part in ones and a zero.
//! Where things happen by chance that is as short as it gets, within a few hundredths of a bit. How many bits are low ones
//! follows from the mean, and is reckoned anew whenever there are four times as many.

use std::num::NonZeroU32;

/// Times and kinds of events, about in their order: one may stay longer in the ring than later ones did. Read from the
/// first to the last.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// The first of them, and the last.
    first: i64,
    last: i64,
    first_kind: u32,
    last_kind: u32,
    len: u32,
    /// So many bits at the front are over: they go when they are a ninth of all, so that dropping the first is amortised
    /// constant time.
    over: u32,
    /// Where the next bit comes.
    end: u32,
    code: Code,
    /// Each of the others: what lies between it and the one before it. The lowest bit of a byte is its first.
    bits: Box<[u8]>,
}

/// How steps are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Code {
    /// Low bits of a step.
    low: u8,
    /// They count milliseconds.
    millis: bool,
}

/// So many ones say that a kind follows, with the step behind it.
const TURNS: u32 = 12;
/// So many say that the whole step follows: it is negative, not whole, or far from the mean.
const WHOLE: u32 = 13;
/// Low bits at most: with the ones before them they have to fit into what is read at once.
const LOW: u32 = 40;

impl Code {
    /// For steps of which these are the mean, and whether all count milliseconds.
    fn of(mean: u64, millis: bool) -> Self {
        let mean = if millis { mean / 1_000 } else { mean };
        // The median of waiting times is ln 2 of their mean.
        let low = NonZeroU32::new(u32::try_from(mean / 10 * 7).unwrap_or(u32::MAX)).map_or(0, NonZeroU32::ilog2);
        Self { low: u8::try_from(low.min(LOW)).unwrap_or(0), millis }
    }

    /// A step in ones and low bits, where it has that form.
    fn split(self, step: i64) -> Option<(u32, u64)> {
        let step = u64::try_from(step).ok()?;
        let step = match self.millis {
            true if !step.is_multiple_of(1_000) => return None,
            true => step / 1_000,
            false => step,
        };
        let ones = u32::try_from(step >> self.low).ok().filter(|ones| *ones < TURNS)?;
        Some((ones, step & ((1 << self.low) - 1)))
    }

    fn joined(self, ones: u32, low: u64) -> i64 {
        let step = u64::from(ones) << self.low | low;
        (if self.millis { step * 1_000 } else { step }).cast_signed()
    }
}

impl Past {
    /// Adds one behind the others.
    pub(super) fn push(&mut self, time: i64, kind: u32) {
        if self.len == 0 {
            *self = Self { first: time, first_kind: kind, last: time, last_kind: kind, len: 1, ..Self::default() };
            return;
        }
        let grown = self.len.is_power_of_two() && self.len.ilog2().is_multiple_of(2);
        if grown {
            self.adapt(time);
        }
        self.write(time.wrapping_sub(self.last), (kind != self.last_kind).then_some(kind));
        (self.last, self.last_kind) = (time, kind);
        self.len += 1;
    }

    /// Chooses the code for the steps there are, and the one to `next`.
    fn adapt(&mut self, next: i64) {
        let mut millis = next.wrapping_sub(self.last) % 1_000 == 0;
        let mut before = self.first;
        for (time, _) in self.iter() {
            millis &= time.wrapping_sub(before) % 1_000 == 0;
            before = time;
        }
        let code = Code::of(next.abs_diff(self.first) / u64::from(self.len), millis);
        if code == self.code {
            return;
        }
        let mut new = Self { code, ..Self::default() };
        for (time, kind) in self.iter() {
            if new.len == 0 {
                (new.first, new.first_kind) = (time, kind);
            } else {
                new.write(time.wrapping_sub(new.last), (kind != new.last_kind).then_some(kind));
            }
            (new.last, new.last_kind, new.len) = (time, kind, new.len + 1);
        }
        *self = new;
    }

    fn write(&mut self, step: i64, turned: Option<u32>) {
        if let Some(kind) = turned {
            self.put((1 << TURNS) - 1, TURNS + 1);
            self.put(u64::from(kind), u32::BITS);
        }
        if let Some((ones, low)) = self.code.split(step) {
            self.put(low << (ones + 1) | ((1 << ones) - 1), ones + 1 + u32::from(self.code.low));
        } else {
            self.put((1 << WHOLE) - 1, WHOLE + 1);
            let step = step.cast_unsigned();
            self.put(step & u64::from(u32::MAX), u32::BITS);
            self.put(step >> u32::BITS, u32::BITS);
        }
    }

    /// Writes bits, not more than 56.
    fn put(&mut self, bits: u64, count: u32) {
        let bytes = (self.end + count).div_ceil(8) as usize;
        if bytes > self.bits.len() {
            self.resize(bytes + 2 + bytes / 16);
        }
        let from = (self.end / 8) as usize;
        let places = self.bits[from..bytes].iter_mut();
        places.zip((bits << (self.end % 8)).to_le_bytes()).for_each(|(place, byte)| *place |= byte);
        self.end += count;
    }

    fn resize(&mut self, bytes: usize) {
        let mut bits = Vec::from(std::mem::take(&mut self.bits));
        bits.reserve_exact(bytes.saturating_sub(bits.len()));
        bits.resize(bytes, 0);
        self.bits = bits.into_boxed_slice();
    }

    /// Times and kinds.
    pub(super) fn iter(&self) -> Steps<'_> {
        let next = (self.len > 0).then_some((self.first, self.first_kind));
        Steps { next, bits: &self.bits, at: self.over, left: self.len, code: self.code }
    }

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Drops the first `count` ones.
    pub(super) fn drop_first(&mut self, count: usize) {
        let left = std::cell::Cell::new(count);
        self.drop_while(|_, _| left.replace(left.get().saturating_sub(1)) > 0);
    }

    /// Drops the first ones as long as `gone` says so.
    pub(super) fn drop_while(&mut self, gone: impl Fn(i64, u32) -> bool) {
        let mut steps = self.iter();
        while steps.next.is_some_and(|(time, kind)| gone(time, kind)) {
            steps.next();
        }
        let Steps { next, at, left, .. } = steps;
        let Some((first, kind)) = next else { return *self = Self::default() };
        if left == self.len {
            return;
        }
        (self.first, self.first_kind, self.len, self.over) = (first, kind, left, at);
        if self.over > (self.end - self.over) / 8 {
            let bytes = self.over / 8;
            let used = self.end.div_ceil(8) as usize;
            self.bits.copy_within(bytes as usize..used, 0);
            (self.over, self.end) = (self.over - 8 * bytes, self.end - 8 * bytes);
            let used = self.end.div_ceil(8) as usize;
            self.bits[used..].fill(0);
            self.resize(used + 2 + used / 16);
        }
    }

    /// Heap memory in bytes, its own included.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.bits.len()
    }
}

/// Walks over a [`Past`].
#[derive(Debug, Clone)]
pub(super) struct Steps<'a> {
    next: Option<(i64, u32)>,
    bits: &'a [u8],
    /// The next bit.
    at: u32,
    /// How many are still to come, the next one included.
    left: u32,
    code: Code,
}

impl Steps<'_> {
    /// At least the next 56 bits; zeros behind the last.
    fn peek(&self) -> u64 {
        let rest = &self.bits[(self.at / 8) as usize..];
        let word = match rest.first_chunk() {
            Some(bytes) => *bytes,
            None => std::array::from_fn(|at| rest.get(at).copied().unwrap_or(0)),
        };
        u64::from_le_bytes(word) >> (self.at % 8)
    }

    fn take(&mut self, count: u32) -> u64 {
        let bits = self.peek() & ((1 << count) - 1);
        self.at += count;
        bits
    }

    fn half(&mut self) -> u32 {
        u32::try_from(self.take(u32::BITS)).unwrap_or(0)
    }

    fn ones(&mut self) -> u32 {
        let ones = self.peek().trailing_ones();
        self.at += ones + 1;
        ones
    }

    fn step(&mut self, (time, mut kind): (i64, u32)) -> (i64, u32) {
        let mut ones = self.ones();
        if ones == TURNS {
            kind = self.half();
            ones = self.ones();
        }
        let step = if ones == WHOLE {
            let (low, high) = (u64::from(self.half()), u64::from(self.half()));
            (high << u32::BITS | low).cast_signed()
        } else {
            let low = self.take(u32::from(self.code.low));
            self.code.joined(ones, low)
        };
        (time.wrapping_add(step), kind)
    }
}

impl Iterator for Steps<'_> {
    type Item = (i64, u32);

    fn next(&mut self) -> Option<Self::Item> {
        let now = self.next?;
        self.left -= 1;
        self.next = if self.left == 0 { None } else { Some(self.step(now)) };
        Some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_from_any_place_on() {
        let mut all = vec![
            (i64::MIN, 3),
            (-5, 3),
            (-5, 4),
            (0, 4),
            (1_000, 4),
            (1_001, 4),
            (200_001_000, 70_000),
            (199_000_000, 70_000),
            (i64::MAX, 0),
            (i64::MIN + 1, 0),
        ];
        // Then steps of every length.
        for bit in 0..62 {
            let (last, kind) = all[all.len() - 1];
            all.push((last + (1 << bit) - 1, kind + u32::from(bit % 7 == 0)));
        }
        let mut past = Past::default();
        for (at, (time, kind)) in all.iter().enumerate() {
            past.push(*time, *kind);
            assert_eq!(past.iter().collect::<Vec<_>>(), all[..=at]);
        }
        for from in 0..all.len() {
            past.drop_first(usize::from(from > 0));
            assert_eq!(past.iter().collect::<Vec<_>>(), all[from..]);
            assert_eq!(past.len(), all.len() - from);
        }
        past.push(7, 7);
        assert_eq!(past.iter().skip(1).collect::<Vec<_>>(), [(7, 7)]);
        past.drop_first(2);
        past.push(8, 8);
        assert_eq!(past.iter().collect::<Vec<_>>(), [(8, 8)]);
    }

    /// Waiting times as chance makes them, and some that come back to be whole.
    #[test]
    fn a_person_at_work_takes_two_and_a_half_bytes_an_event() {
        let (mut state, mut time, mut past) = (1_u64, 0, Past::default());
        let mut all = Vec::new();
        for number in 0..1_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a number by chance")]
            let wait = (-200_000.0 * (((state >> 11) as f64 + 1.0) / 2_f64.powi(53)).ln()) as i64;
            time += wait * 1_000;
            past.push(time, 1);
            all.push((time, 1));
            if number >= 500 {
                past.drop_first(1);
            }
        }
        assert_eq!(past.iter().collect::<Vec<_>>(), all[500..]);
        assert!(past.bits.len() <= 500 * 5 / 2 * 9 / 8, "{}", past.bits.len());
    }
}
