//! [`Past`]: what is left of events whose values came again.
//!
//! A rule that counts different values needs of each value only the last event, once nothing can come before it any
//! more. When the others were, it still has to know: the first of them may be the first of a window, and all of them are
//! counted. So their times are kept, three or four bytes each where people do one thing after the other, and no more.

/// Times and kinds of events, about in their order: one may stay longer in the ring than later ones did. Read from the
/// first to the last.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// The first of them, and the last.
    first: (i64, u32),
    last: (i64, u32),
    len: u32,
    /// So many bytes at the front of `steps` are over: they go when they are a ninth of all, so that dropping the first is
    /// amortised constant time.
    over: u32,
    /// Each of the others: what lies between it and the one before it.
    steps: Vec<u8>,
}

/// Small numbers of either sign as small numbers without one.
fn zigzag(step: i64) -> u128 {
    u128::from((step << 1 ^ step >> 63).cast_unsigned())
}

fn unzigzag(number: u128) -> i64 {
    // Nothing that was written has more than 64 bits.
    let number = u64::try_from(number).unwrap_or(0);
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// A step ends with a kind of its own.
const TURNS: u128 = 1;
/// It counts milliseconds.
const MILLIS: u128 = 2;

impl Past {
    /// Adds one behind the others.
    pub(super) fn push(&mut self, time: i64, kind: u32) {
        if self.len == 0 {
            self.first = (time, kind);
        } else {
            let (before, of) = self.last;
            let step = time.wrapping_sub(before);
            let (step, unit) = if step % 1_000 == 0 { (step / 1_000, MILLIS) } else { (step, 0) };
            let turns = if kind == of { 0 } else { TURNS };
            self.write(zigzag(step) << 2 | unit | turns);
            if kind != of {
                self.write(u128::from(kind));
            }
        }
        self.last = (time, kind);
        self.len += 1;
    }

    /// Seven bits a byte, the lowest first (LEB128).
    fn write(&mut self, mut number: u128) {
        // A number of 128 bits has 19 bytes; beyond the room there is, a vector would double.
        if self.steps.capacity() - self.steps.len() < (128 - number.leading_zeros()) as usize / 7 + 1 {
            self.steps.reserve_exact(8 + self.steps.len() / 8);
        }
        while number >= 0x80 {
            #[expect(clippy::cast_possible_truncation, reason = "seven bits")]
            self.steps.push((number as u8) | 0x80);
            number >>= 7;
        }
        #[expect(clippy::cast_possible_truncation, reason = "what is left is below 128")]
        self.steps.push(number as u8);
    }

    /// Times and kinds.
    pub(super) fn iter(&self) -> Steps<'_> {
        Steps { next: (self.len > 0).then_some(self.first), steps: &self.steps[self.over as usize..], left: self.len }
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
        if steps.left == self.len {
            return;
        }
        let (next, rest, left) = (steps.next, steps.steps.len(), steps.left);
        match next {
            Some(first) => {
                (self.first, self.len) = (first, left);
                let over = self.steps.len() - rest;
                if over <= rest / 8 {
                    self.over = u32::try_from(over).unwrap_or(u32::MAX);
                } else {
                    self.steps.drain(..over);
                    self.steps.shrink_to(rest / 8 * 9 + 8);
                    self.over = 0;
                }
            }
            None => *self = Self::default(),
        }
    }

    /// Heap memory in bytes, its own included.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.steps.capacity()
    }
}

/// Walks over a [`Past`].
#[derive(Debug, Clone)]
pub(super) struct Steps<'a> {
    next: Option<(i64, u32)>,
    steps: &'a [u8],
    /// How many are still to come, the next one included.
    left: u32,
}

impl Steps<'_> {
    fn read(&mut self) -> Option<u128> {
        let (mut number, mut shift) = (0_u128, 0_u32);
        loop {
            let (byte, rest) = self.steps.split_first()?;
            self.steps = rest;
            number |= u128::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
    }

    fn step(&mut self, (time, kind): (i64, u32)) -> Option<(i64, u32)> {
        let step = self.read()?;
        let scale = if step & MILLIS == 0 { 1 } else { 1_000 };
        let kind = if step & TURNS == 0 { kind } else { u32::try_from(self.read()?).ok()? };
        Some((time.wrapping_add(unzigzag(step >> 2).wrapping_mul(scale)), kind))
    }
}

impl Iterator for Steps<'_> {
    type Item = (i64, u32);

    fn next(&mut self) -> Option<Self::Item> {
        let now = self.next?;
        self.left -= 1;
        self.next = if self.left == 0 { None } else { self.step(now) };
        Some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_from_any_place_on() {
        let all = [
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
        let mut past = Past::default();
        for (time, kind) in all {
            past.push(time, kind);
        }
        for from in 0..=all.len() {
            past.drop_while(|time, kind| all[..from].contains(&(time, kind)));
            assert_eq!(past.iter().collect::<Vec<_>>(), all[from..]);
            assert_eq!(past.len(), all.len() - from);
        }
        past.push(7, 7);
        assert_eq!(past.iter().collect::<Vec<_>>(), [(7, 7)]);
    }

    #[test]
    fn a_person_at_work_takes_four_bytes_an_event() {
        let mut past = Past::default();
        (0..1_000_i64).for_each(|number| past.push(number * 30_000_001, 1));
        assert!(past.steps.len() <= 4_000, "{}", past.steps.len());
        let mut past = Past::default();
        (0..1_000_i64).for_each(|number| past.push(number * 200_000_000, 1));
        assert!(past.steps.len() <= 3_000, "{}", past.steps.len());
    }
}
