//! [`Window`]: what one rule sees of one key's ring.
//!
//! The window is the slice `lo..hi` of the ring, and an aggregate of the events in it that take part. Both ends move
//! in both directions, one event at a time, so an event that comes late is set in by rewinding to its place and going
//! forward again. Moving on is amortised constant time.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::plan::{Node, Shape};
use super::record::mean;
use super::ring::{Ring, Values};
use crate::rules::Condition;

/// A rule's window over a ring.
#[derive(Debug)]
pub(super) struct Window {
    lo: u32,
    hi: u32,
    /// How many events that take part lie before `hi`, since the beginning.
    seen: u32,
    aggregate: Aggregate,
}

#[derive(Debug)]
enum Aggregate {
    Count(u32),
    Large(Box<Large>),
}

/// Aggregates that need room, with the positions of `lo` and `hi` among the channel's values.
#[derive(Debug)]
struct Large {
    first: usize,
    next: usize,
    kind: LargeKind,
}

#[derive(Debug)]
enum LargeKind {
    Distinct(HashMap<u32, u32, BuildHasherDefault<NumberHasher>>),
    /// Sum and count.
    Sum(Decimal, usize),
    /// Sorted.
    Sorted(Vec<Decimal>),
    /// Events of each channel.
    Present(Vec<u32>),
    /// Events of each channel; and for each position in the order the latest start of a chain that reaches it, where
    /// it is known.
    Ordered(Vec<u32>, Option<Vec<i64>>),
}

/// What a rule says of one event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verdict {
    pub(super) holds: bool,
    pub(super) value: Decimal,
    /// Events that took part up to this one, this one included.
    pub(super) seen: u32,
}

impl Window {
    pub(super) fn new(node: &Node) -> Self {
        let kind = match &node.shape {
            Shape::Count => None,
            Shape::Distinct => Some(LargeKind::Distinct(HashMap::default())),
            Shape::Sum | Shape::Average => Some(LargeKind::Sum(Decimal::ZERO, 0)),
            Shape::Percentile(_) => Some(LargeKind::Sorted(Vec::new())),
            Shape::Temporal(_) => Some(LargeKind::Present(vec![0; node.bits.len()])),
            Shape::Ordered => Some(LargeKind::Ordered(vec![0; node.bits.len()], None)),
        };
        let aggregate =
            kind.map_or(Aggregate::Count(0), |kind| Aggregate::Large(Box::new(Large { first: 0, next: 0, kind })));
        Self { lo: 0, hi: 0, seen: 0, aggregate }
    }

    /// Takes back everything from `to` on, as if it had not been looked at yet.
    pub(super) fn rewind(&mut self, node: &Node, ring: &Ring, to: usize) {
        while self.hi as usize > to {
            self.hi -= 1;
            let part = ring.entries[self.hi as usize].mask & node.mask;
            let inside = self.lo <= self.hi;
            if part != 0 {
                self.seen = self.seen.wrapping_sub(1);
                if inside {
                    self.leave(node, ring, part, End::Last);
                } else if let Aggregate::Large(large) = &mut self.aggregate {
                    large.next = large.next.saturating_sub(1);
                    large.first = large.next;
                }
            }
            if !inside {
                self.lo = self.hi;
            }
        }
        if let Aggregate::Large(large) = &mut self.aggregate
            && let LargeKind::Ordered(_, chains) = &mut large.kind
        {
            *chains = None;
        }
    }

    /// Makes room for an event of which this rule sees nothing, set into the ring at `at`.
    pub(super) fn shift(&mut self, at: usize) {
        self.lo += u32::from(at < self.lo as usize);
        self.hi += u32::from(at < self.hi as usize);
    }

    /// Looks at the event at `at`; every event before it is seen or has been.
    pub(super) fn evaluate(&mut self, node: &Node, condition: &Condition, ring: &Ring, at: usize) -> Verdict {
        if self.hi as usize > at {
            self.rewind(node, ring, at);
        }
        let time = ring.entries[at].time;
        let floor = time.saturating_sub(node.window);
        while self.hi as usize <= at {
            let entry = &ring.entries[self.hi as usize];
            let part = entry.mask & node.mask;
            if part != 0 {
                self.seen = self.seen.wrapping_add(1);
                self.enter(node, ring, part, End::Last, entry.time);
            }
            self.hi += 1;
        }
        while self.lo < self.hi && ring.entries[self.lo as usize].time <= floor {
            let part = ring.entries[self.lo as usize].mask & node.mask;
            if part != 0 {
                self.leave(node, ring, part, End::First);
            }
            self.lo += 1;
        }
        while self.lo > 0 && ring.entries[self.lo as usize - 1].time > floor {
            self.lo -= 1;
            let entry = &ring.entries[self.lo as usize];
            let part = entry.mask & node.mask;
            if part != 0 {
                self.enter(node, ring, part, End::First, entry.time);
            }
        }
        let (value, holds) = self.judge(node, condition, ring, floor);
        Verdict { holds, value, seen: self.seen }
    }

    fn enter(&mut self, node: &Node, ring: &Ring, part: u64, end: End, time: i64) {
        let large = match &mut self.aggregate {
            Aggregate::Count(count) => {
                *count += 1;
                return;
            }
            Aggregate::Large(large) => large,
        };
        let at = match end {
            End::Last => {
                large.next += 1;
                large.next - 1
            }
            End::First => {
                large.first -= 1;
                large.first
            }
        };
        let values = ring.values(node.bits[0]);
        match (&mut large.kind, values) {
            (LargeKind::Distinct(counts), Some(Values::Texts(texts))) => *counts.entry(texts[at]).or_insert(0) += 1,
            (LargeKind::Sum(sum, count), Some(Values::Numbers(numbers))) => {
                *sum = sum.saturating_add(numbers[at]);
                *count += 1;
            }
            (LargeKind::Sorted(sorted), Some(Values::Numbers(numbers))) => {
                let place = sorted.partition_point(|number| *number < numbers[at]);
                sorted.insert(place, numbers[at]);
            }
            (LargeKind::Present(counts), _) => count(counts, node, part, true),
            (LargeKind::Ordered(counts, chains), _) => {
                count(counts, node, part, true);
                match (end, chains) {
                    (End::Last, Some(chains)) => extend(chains, node, part, time),
                    (_, chains) => *chains = None,
                }
            }
            _ => {}
        }
    }

    fn leave(&mut self, node: &Node, ring: &Ring, part: u64, end: End) {
        let large = match &mut self.aggregate {
            Aggregate::Count(count) => {
                *count -= 1;
                return;
            }
            Aggregate::Large(large) => large,
        };
        let at = match end {
            End::Last => {
                large.next -= 1;
                large.next
            }
            End::First => {
                large.first += 1;
                large.first - 1
            }
        };
        match (&mut large.kind, ring.values(node.bits[0])) {
            (LargeKind::Distinct(counts), Some(Values::Texts(texts))) => {
                if let Some(count) = counts.get_mut(&texts[at]) {
                    *count -= 1;
                    if *count == 0 {
                        counts.remove(&texts[at]);
                    }
                }
            }
            (LargeKind::Sum(sum, count), Some(Values::Numbers(numbers))) => {
                *sum = sum.saturating_sub(numbers[at]);
                *count -= 1;
            }
            (LargeKind::Sorted(sorted), Some(Values::Numbers(numbers))) => {
                let place = sorted.partition_point(|number| *number < numbers[at]);
                if place < sorted.len() {
                    sorted.remove(place);
                }
            }
            (LargeKind::Present(counts) | LargeKind::Ordered(counts, _), _) => count(counts, node, part, false),
            _ => {}
        }
    }

    fn judge(&mut self, node: &Node, condition: &Condition, ring: &Ring, floor: i64) -> (Decimal, bool) {
        let counted = |count: usize| {
            let holds = match node.at_least {
                Some(least) => i64::try_from(count).is_ok_and(|count| count >= least),
                None => condition.holds(Decimal::from(count)),
            };
            (Decimal::from(count), holds)
        };
        let large = match &mut self.aggregate {
            Aggregate::Count(count) => return counted(*count as usize),
            Aggregate::Large(large) => large,
        };
        match (&mut large.kind, &node.shape) {
            (LargeKind::Distinct(counts), _) => counted(counts.len()),
            (LargeKind::Sum(_, 0), _) => (Decimal::ZERO, false),
            (LargeKind::Sum(sum, count), Shape::Average) => {
                // Compared without the division, which could round.
                let times = Decimal::from(*count);
                let scaled =
                    Condition(condition.0.iter().map(|(how, bound)| (*how, bound.saturating_mul(times))).collect());
                (mean(*sum, *count), scaled.holds(*sum))
            }
            (LargeKind::Sum(sum, _), _) => (*sum, condition.holds(*sum)),
            (LargeKind::Sorted(sorted), Shape::Percentile(percent)) => match percentile(sorted, *percent) {
                Some(value) => (value, condition.holds(value)),
                None => (Decimal::ZERO, false),
            },
            (LargeKind::Present(counts), Shape::Temporal(presence)) => {
                let (value, holds) = counted(counts.iter().filter(|count| **count > 0).count());
                (
                    value,
                    holds
                        && presence.as_ref().is_none_or(|presence| {
                            presence.holds(&|at| counts.get(at).is_some_and(|count| *count > 0))
                        }),
                )
            }
            (LargeKind::Ordered(counts, chains), _) => {
                let all = counts.iter().all(|count| *count > 0);
                let holds = all && {
                    let range = self.lo as usize..self.hi as usize;
                    let chains = chains.get_or_insert_with(|| {
                        let mut chains = vec![i64::MIN; node.bits.len()];
                        for entry in &ring.entries[range] {
                            extend(&mut chains, node, entry.mask & node.mask, entry.time);
                        }
                        chains
                    });
                    chains.last().is_some_and(|start| *start > floor)
                };
                (Decimal::from(node.bits.len()), holds)
            }
            _ => (Decimal::ZERO, false),
        }
    }

    /// Starts over where the ring was thinned out: `kept` of the events before `hi` are left, `with_value` of them
    /// with a value in this rule's channel.
    pub(super) fn thinned(&mut self, kept: usize, with_value: usize) {
        self.hi = u32::try_from(kept).unwrap_or(u32::MAX);
        self.lo = self.hi;
        match &mut self.aggregate {
            Aggregate::Count(count) => *count = 0,
            Aggregate::Large(large) => {
                large.first = with_value;
                large.next = with_value;
                match &mut large.kind {
                    LargeKind::Distinct(counts) => *counts = HashMap::default(),
                    LargeKind::Sum(sum, count) => (*sum, *count) = (Decimal::ZERO, 0),
                    LargeKind::Sorted(sorted) => sorted.clear(),
                    LargeKind::Present(counts) => counts.fill(0),
                    LargeKind::Ordered(counts, chains) => {
                        counts.fill(0);
                        *chains = None;
                    }
                }
            }
        }
    }

    /// A window that has looked at the first events of a ring, `with_value` of them with a value in this rule's channel,
    /// and holds none of them: it goes back for those that it needs.
    pub(super) fn resumed(node: &Node, looked_at: usize, with_value: usize, seen: u32) -> Self {
        let mut window = Self::new(node);
        window.thinned(looked_at, with_value);
        window.seen = seen;
        window
    }

    /// How many events that take part have been looked at, since the beginning.
    pub(super) fn seen(&self) -> u32 {
        self.seen
    }

    /// How much of the ring has been looked at.
    pub(super) fn looked_at(&self) -> usize {
        self.hi as usize
    }

    /// Heap memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        let Aggregate::Large(large) = &self.aggregate else { return 0 };
        size_of::<Large>()
            + match &large.kind {
                LargeKind::Distinct(counts) => counts.capacity() * (2 * size_of::<u32>() + 1),
                LargeKind::Sum(..) => 0,
                LargeKind::Sorted(sorted) => sorted.capacity() * size_of::<Decimal>(),
                LargeKind::Present(counts) => counts.capacity() * size_of::<u32>(),
                LargeKind::Ordered(counts, chains) => {
                    counts.capacity() * size_of::<u32>()
                        + chains.as_ref().map_or(0, |c| c.capacity() * size_of::<i64>())
                }
            }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    First,
    Last,
}

fn count(counts: &mut [u32], node: &Node, part: u64, more: bool) {
    for (count, bit) in counts.iter_mut().zip(&node.bits) {
        if part >> bit & 1 == 1 {
            *count = if more { *count + 1 } else { count.saturating_sub(1) };
        }
    }
}

/// Lets an event extend the chains: the chain to a position begins as late as it can. From the last position down, so
/// that one event is one link.
fn extend(chains: &mut [i64], node: &Node, part: u64, time: i64) {
    for at in (0..chains.len()).rev() {
        if part >> node.bits[at] & 1 == 1 {
            let start = if at == 0 { time } else { chains[at - 1] };
            chains[at] = chains[at].max(start);
        }
    }
}

/// Linear interpolation between the closest ranks (Hyndman and Fan 1996, definition 7), exactly.
fn percentile(sorted: &[Decimal], percent: Decimal) -> Option<Decimal> {
    let last = sorted.len().checked_sub(1)?;
    let rank = Decimal::from(last).checked_mul(percent)?.checked_div(Decimal::ONE_HUNDRED)?;
    let below = rank.floor().to_usize()?.min(last);
    let above = (below + 1).min(last);
    let part = rank - rank.floor();
    Some(sorted[below].saturating_add(sorted[above].saturating_sub(sorted[below]).saturating_mul(part)))
}

/// Interned numbers need no protection against chosen collisions: they are given out in turn.
#[derive(Debug, Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        // Fibonacci hashing (Knuth, TAOCP 6.4): spreads numbers that follow each other over the high bits.
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_interpolate_exactly() {
        let numbers: Vec<Decimal> = [1, 2, 4, 8].map(Decimal::from).to_vec();
        for (percent, value) in [(0, "1"), (50, "3"), (90, "6.8"), (100, "8")] {
            assert_eq!(percentile(&numbers, Decimal::from(percent)), Some(value.parse().unwrap()), "{percent}");
        }
        assert_eq!(percentile(&[], Decimal::ONE), None);
    }
}
