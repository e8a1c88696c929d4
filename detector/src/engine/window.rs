//! [`Window`]: what one rule sees of one key's ring.
//!
//! A window of a few events is looked through anew at each event ([`glance`]), and nothing is kept of it. One of many is
//! the slice `lo..hi` of the ring, and an aggregate of the events in it that take part. Both ends move in both
//! directions, one event at a time, so an event that comes late is set in by rewinding to its place and going forward
//! again. Moving on is amortised constant time.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::events::Events;
use super::exact::{Figure, Wide, percentile};
use super::plan::{Node, Shape};
use super::sorted::Sorted;
use crate::rules::Condition;

/// A window of at most so many events is looked through.
const FEW: usize = 32;
/// As long as it has at most so many different values, or links.
const DIFFERENT: usize = 16;

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
    /// Nothing is kept; `lo` is `hi`.
    Idle,
    Count(u32),
    Distinct(Box<Counts>),
    /// Sum and count.
    Sum(Box<(Wide, usize)>),
    Sorted(Sorted),
    /// Events of each channel.
    Present(Box<[u32]>),
    /// Events of each channel; and for each position in the order the latest start of a chain that reaches it, where
    /// it is known.
    Ordered(Box<(Vec<u32>, Option<Vec<i64>>)>),
}

/// How often each value is there.
type Counts = HashMap<u32, u32, BuildHasherDefault<NumberHasher>>;

/// What a rule says of one event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verdict {
    pub(super) holds: bool,
    pub(super) value: Figure,
}

impl Aggregate {
    fn empty(node: &Node) -> Self {
        match &node.shape {
            Shape::Count => Self::Count(0),
            Shape::Distinct => Self::Distinct(Box::default()),
            Shape::Sum | Shape::Average => Self::Sum(Box::default()),
            Shape::Percentile(_) => Self::Sorted(Sorted::default()),
            Shape::Temporal(_) => Self::Present(vec![0; node.bits.len()].into()),
            Shape::Ordered => Self::Ordered(Box::new((vec![0; node.bits.len()], None))),
        }
    }
}

/// What a rule says of the event at `at`, by looking through its window; none where that has too many events or values
/// for that.
pub(super) fn glance(node: &Node, condition: &Condition, events: Events<'_>, at: usize) -> Option<Verdict> {
    let floor = events.ring.time(at).saturating_sub(node.window);
    if at >= FEW && events.ring.time(at - FEW) > floor {
        return None;
    }
    let window = events.back(node, at, floor);
    Some(match &node.shape {
        Shape::Count => counted(node, condition, window.count()),
        Shape::Distinct => {
            let (mut values, mut different) = ([0; DIFFERENT], 0);
            for value in events.values_back(node.bits[0], at, floor) {
                if !values[..different].contains(&value) {
                    *values.get_mut(different)? = value;
                    different += 1;
                }
            }
            counted(node, condition, different)
        }
        Shape::Sum | Shape::Average => {
            let numbers = window.filter_map(|at| events.number(at, node.bits[0]));
            let (sum, count) =
                numbers.fold((Wide::default(), 0), |(sum, n), number| (sum.plus(Wide::of(number)), n + 1));
            summed(node, condition, sum, count)
        }
        Shape::Percentile(_) => return None,
        Shape::Temporal(_) => {
            let there = window.fold(0, |there, at| there | events.mask(at)) & node.mask;
            present(node, condition, |at| node.bits.get(at).is_some_and(|bit| there >> bit & 1 == 1))
        }
        Shape::Ordered => {
            let mut chains = [i64::MIN; DIFFERENT];
            let chains = chains.get_mut(..node.bits.len())?;
            let first = window.last().unwrap_or(at);
            for at in first..=at {
                extend(chains, node, events.mask(at) & node.mask, events.ring.time(at));
            }
            let holds = chains.last().is_some_and(|start| *start > floor);
            Verdict { holds, value: Figure::count(node.bits.len()) }
        }
    })
}

fn counted(node: &Node, condition: &Condition, count: usize) -> Verdict {
    let value = Figure::count(count);
    let holds = match node.at_least {
        Some(least) => i64::try_from(count).is_ok_and(|count| count >= least),
        None => condition.holds(value.over),
    };
    Verdict { holds, value }
}

fn summed(node: &Node, condition: &Condition, sum: Wide, count: usize) -> Verdict {
    if count == 0 {
        return NOTHING;
    }
    let over = if matches!(node.shape, Shape::Average) { count } else { 1 };
    // Compared without the division, which could round.
    let holds = condition.holds_by(|bound| sum.cmp(&Wide::of(bound).times(over as u128)));
    if holds || node.baseline.is_some() { Verdict { holds, value: Figure::mean(sum.rounded(), over) } } else { NOTHING }
}

fn present(node: &Node, condition: &Condition, there: impl Fn(usize) -> bool) -> Verdict {
    let verdict = counted(node, condition, (0..node.bits.len()).filter(|at| there(*at)).count());
    match &node.shape {
        Shape::Temporal(Some(presence)) => Verdict { holds: verdict.holds && presence.holds(&there), ..verdict },
        _ => verdict,
    }
}

impl Window {
    /// The window of a rule that has looked at the first events of a ring, and keeps nothing of them.
    pub(super) fn after(looked_at: usize, seen: u32) -> Self {
        let hi = u32::try_from(looked_at).unwrap_or(u32::MAX);
        Self { lo: hi, hi, seen, aggregate: Aggregate::Idle }
    }

    /// Takes back everything from `to` on, as if it had not been looked at yet.
    pub(super) fn rewind(&mut self, node: &Node, events: Events<'_>, to: usize) {
        while self.hi as usize > to {
            self.hi -= 1;
            let at = self.hi as usize;
            let part = events.mask(at) & node.mask;
            let inside = self.lo <= self.hi;
            if part != 0 {
                self.seen = self.seen.wrapping_sub(1);
                if inside {
                    self.leave(node, events, part, at);
                }
            }
            if !inside {
                self.lo = self.hi;
            }
        }
        if let Aggregate::Ordered(ordered) = &mut self.aggregate {
            ordered.1 = None;
        }
    }

    /// Makes room for an event of which this rule sees nothing, set into the ring at `at`.
    pub(super) fn shift(&mut self, at: usize) {
        self.lo += u32::from(at < self.lo as usize);
        self.hi += u32::from(at < self.hi as usize);
    }

    /// Looks at the event at `at`; every event before it is seen or has been.
    pub(super) fn evaluate(&mut self, node: &Node, condition: &Condition, events: Events<'_>, at: usize) -> Verdict {
        if self.hi as usize > at {
            self.rewind(node, events, at);
        }
        if matches!(self.aggregate, Aggregate::Idle) {
            if let Some(verdict) = glance(node, condition, events, at) {
                self.pass(node, events, at + 1);
                return verdict;
            }
            self.aggregate = Aggregate::empty(node);
        }
        let floor = events.ring.time(at).saturating_sub(node.window);
        while self.hi as usize <= at {
            let next = self.hi as usize;
            let part = events.mask(next) & node.mask;
            if part != 0 {
                self.seen = self.seen.wrapping_add(1);
                self.enter(node, events, part, next, End::Last);
            }
            self.hi += 1;
        }
        while self.lo < self.hi && events.ring.time(self.lo as usize) <= floor {
            let part = events.mask(self.lo as usize) & node.mask;
            if part != 0 {
                self.leave(node, events, part, self.lo as usize);
            }
            self.lo += 1;
        }
        while self.lo > 0 && events.ring.time(self.lo as usize - 1) > floor {
            self.lo -= 1;
            let part = events.mask(self.lo as usize) & node.mask;
            if part != 0 {
                self.enter(node, events, part, self.lo as usize, End::First);
            }
        }
        self.judge(node, condition, events, floor)
    }

    /// Counts the events before `to` that were not looked at, because the rule could not hold there, and keeps nothing.
    pub(super) fn pass(&mut self, node: &Node, events: Events<'_>, to: usize) {
        let passed = (self.hi as usize..to).filter(|at| events.mask(*at) & node.mask != 0).count();
        let seen = self.seen.wrapping_add(u32::try_from(passed).unwrap_or(u32::MAX));
        *self = Self::after(to.max(self.hi as usize), seen);
    }

    fn enter(&mut self, node: &Node, events: Events<'_>, part: u64, at: usize, end: End) {
        let bit = node.bits[0];
        match &mut self.aggregate {
            Aggregate::Idle => {}
            Aggregate::Count(count) => *count += 1,
            Aggregate::Distinct(counts) => {
                if let Some(value) = events.value(at, bit) {
                    *counts.entry(value).or_insert(0) += 1;
                }
            }
            Aggregate::Sum(sum) => {
                if let Some(number) = events.number(at, bit) {
                    **sum = (sum.0.plus(Wide::of(number)), sum.1 + 1);
                }
            }
            Aggregate::Sorted(sorted) => {
                if let Some(number) = events.number(at, bit) {
                    sorted.insert(number);
                }
            }
            Aggregate::Present(counts) => count(counts, node, part, true),
            Aggregate::Ordered(ordered) => {
                count(&mut ordered.0, node, part, true);
                match (end, &mut ordered.1) {
                    (End::Last, Some(chains)) => extend(chains, node, part, events.ring.time(at)),
                    (_, chains) => *chains = None,
                }
            }
        }
    }

    fn leave(&mut self, node: &Node, events: Events<'_>, part: u64, at: usize) {
        let bit = node.bits[0];
        match &mut self.aggregate {
            Aggregate::Idle => {}
            Aggregate::Count(count) => *count -= 1,
            Aggregate::Distinct(counts) => {
                let Some(value) = events.value(at, bit) else { return };
                if let Some(count) = counts.get_mut(&value) {
                    *count -= 1;
                    if *count == 0 {
                        counts.remove(&value);
                    }
                }
            }
            Aggregate::Sum(sum) => {
                if let Some(number) = events.number(at, bit) {
                    **sum = (sum.0.minus(Wide::of(number)), sum.1 - 1);
                }
            }
            Aggregate::Sorted(sorted) => {
                if let Some(number) = events.number(at, bit) {
                    sorted.remove(number);
                }
            }
            Aggregate::Present(counts) => count(counts, node, part, false),
            Aggregate::Ordered(ordered) => count(&mut ordered.0, node, part, false),
        }
    }

    fn judge(&mut self, node: &Node, condition: &Condition, events: Events<'_>, floor: i64) -> Verdict {
        match &mut self.aggregate {
            Aggregate::Count(count) => counted(node, condition, *count as usize),
            Aggregate::Distinct(counts) => counted(node, condition, counts.len()),
            Aggregate::Sum(sum) => summed(node, condition, sum.0, sum.1),
            Aggregate::Sorted(sorted) => {
                let Shape::Percentile(percent) = node.shape else { return NOTHING };
                percentile(sorted, percent)
                    .map_or(NOTHING, |value| Verdict { holds: condition.holds(value), value: Figure::of(value) })
            }
            Aggregate::Present(counts) => present(node, condition, |at| counts.get(at).is_some_and(|count| *count > 0)),
            Aggregate::Ordered(ordered) => {
                let (counts, chains) = &mut **ordered;
                let holds = counts.iter().all(|count| *count > 0) && {
                    let chains = chains.get_or_insert_with(|| {
                        let mut chains = vec![i64::MIN; node.bits.len()];
                        for at in self.lo as usize..self.hi as usize {
                            extend(&mut chains, node, events.mask(at) & node.mask, events.ring.time(at));
                        }
                        chains
                    });
                    chains.last().is_some_and(|start| *start > floor)
                };
                Verdict { holds, value: Figure::count(node.bits.len()) }
            }
            Aggregate::Idle => NOTHING,
        }
    }

    /// Starts over where the ring was thinned out: `kept` of the events before `hi` are left.
    pub(super) fn thinned(&mut self, kept: usize) {
        *self = Self::after(kept, self.seen);
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
        match &self.aggregate {
            Aggregate::Idle | Aggregate::Count(_) => 0,
            Aggregate::Distinct(counts) => size_of::<Counts>() + counts.capacity() * (2 * size_of::<u32>() + 1),
            Aggregate::Sum(sum) => size_of_val(&**sum),
            Aggregate::Sorted(sorted) => sorted.bytes(),
            Aggregate::Present(counts) => size_of_val(&**counts),
            Aggregate::Ordered(ordered) => {
                size_of_val(&**ordered)
                    + ordered.0.capacity() * size_of::<u32>()
                    + ordered.1.as_ref().map_or(0, |chains| chains.capacity() * size_of::<i64>())
            }
        }
    }
}

const NOTHING: Verdict = Verdict { holds: false, value: Figure::ZERO };

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
