//! `when.baseline`: what is usual for somebody, and for those like them, learnt from closed buckets.
//!
//! The figure of a bucket is the largest value that the rule's window had in it; buckets in which nothing took part do
//! not count. What is usual is the median, and how much it varies the median absolute deviation (MAD: Hampel 1974,
//! "The influence curve and its role in robust estimation"): a few extraordinary days in the past move neither.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use super::exact::Figure;
use super::usual::Usual;
use crate::rules::Baseline;

/// Of peers at most so many figures are compared with, the latest.
const PEERS: usize = 10_000;

/// Figures of one bucket, by whose they are.
type Figures = BTreeMap<Arc<str>, Figure>;

/// What one rule has learnt.
#[derive(Debug, Default)]
pub(super) struct Baselines {
    pub(super) own: HashMap<Arc<str>, VecDeque<(i64, Figure)>>,
    /// Those alike → bucket → whose figure.
    pub(super) peers: HashMap<Box<str>, BTreeMap<i64, Figures>>,
    pub(super) sweep_at: usize,
}

/// Whose value is looked at.
#[derive(Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) of: &'a str,
    /// What makes others alike; none where the rule names no peers or the event has nothing there.
    pub(super) peers: Option<&'a str>,
}

impl Baselines {
    /// Notes a value, the values of a rule in the order of their events. Where `asked`, says what it was compared with
    /// if it is beyond what is usual.
    pub(super) fn note(
        &mut self,
        baseline: &Baseline,
        whose: Whose<'_>,
        time: i64,
        value: Figure,
        asked: bool,
    ) -> Option<Arc<Value>> {
        let bucket = time.div_euclid(baseline.bucket);
        let oldest = time.saturating_sub(baseline.history).div_euclid(baseline.bucket);
        let beyond = if asked { self.compare(baseline, whose, bucket, oldest, value) } else { None };
        self.learn(whose, bucket, oldest, value);
        beyond.map(Arc::new)
    }

    fn compare(&self, baseline: &Baseline, whose: Whose<'_>, bucket: i64, oldest: i64, value: Figure) -> Option<Value> {
        let closed = |at: &i64| (oldest..bucket).contains(at);
        let own = self.own.get(whose.of)?.iter().filter(|(at, _)| closed(at)).map(|(_, figure)| *figure);
        let own = Usual::of(own.collect(), baseline)?;
        if !own.is_below(value, baseline.above) {
            return None;
        }
        let mut told = own.told(baseline.above);
        if let Some(peers) = whose.peers.and_then(|peers| self.peers.get(peers)) {
            let figures = peers
                .range(oldest..bucket)
                .rev()
                .flat_map(|(_, figures)| figures)
                .filter(|(other, _)| ***other != *whose.of)
                .map(|(_, figure)| *figure)
                .take(PEERS);
            if let Some(usual) = Usual::of(figures.collect(), baseline) {
                if !usual.is_below(value, baseline.above) {
                    return None;
                }
                told["peers"] = usual.told(baseline.above);
            }
        }
        Some(told)
    }

    fn learn(&mut self, whose: Whose<'_>, bucket: i64, oldest: i64, value: Figure) {
        if self.own.len() >= self.sweep_at {
            self.own.retain(|_, figures| figures.back().is_some_and(|(at, _)| *at >= oldest));
            self.peers.retain(|_, buckets| buckets.last_key_value().is_some_and(|(at, _)| *at >= oldest));
            self.sweep_at = (2 * self.own.len()).max(1_024);
        }
        let of: Arc<str> = match self.own.get_key_value(whose.of) {
            Some((of, _)) => of.clone(),
            None => whose.of.into(),
        };
        let figures = self.own.entry(of.clone()).or_default();
        while figures.front().is_some_and(|(at, _)| *at < oldest) {
            figures.pop_front();
        }
        match figures.back_mut() {
            Some((at, figure)) if *at == bucket => *figure = (*figure).max(value),
            _ => figures.push_back((bucket, value)),
        }
        if let Some(peers) = whose.peers {
            let buckets = self.peers.entry(peers.into()).or_default();
            while buckets.first_key_value().is_some_and(|(at, _)| *at < oldest) {
                buckets.pop_first();
            }
            let figure = buckets.entry(bucket).or_default().entry(of).or_insert(value);
            *figure = (*figure).max(value);
        }
    }

    /// Heap memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        let own: usize = self.own.iter().map(|(of, f)| of.len() + f.capacity() * size_of::<(i64, Figure)>()).sum();
        let figures: usize = self.peers.values().flat_map(BTreeMap::values).map(BTreeMap::len).sum();
        own + self.own.capacity() * 64 + figures * (size_of::<(Arc<str>, Figure)>() + 8)
    }
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;
    use serde_json::json;

    use super::*;
    use crate::rules::Field;

    fn baseline() -> Baseline {
        Baseline {
            of: Field::User,
            peers: Some(Field::Role),
            bucket: 10,
            history: 100,
            ready: 3,
            above: Decimal::from(2),
        }
    }

    fn note(learnt: &mut Baselines, of: &str, time: i64, value: i64) -> Option<Arc<Value>> {
        let whose = Whose { of, peers: Some("Employee") };
        learnt.note(&baseline(), whose, time, Figure::of(Decimal::from(value)), true)
    }

    #[test]
    fn only_closed_buckets_count_and_only_when_there_are_enough() {
        let mut learnt = Baselines::default();
        for (time, value) in [(0, 3), (1, 5), (10, 6), (15, 4)] {
            assert!(note(&mut learnt, "ann", time, value).is_none(), "{time}");
        }
        assert!(note(&mut learnt, "ann", 20, 100).is_none(), "two closed buckets are too few");
        assert!(note(&mut learnt, "ann", 29, 100).is_none());
        // 5, 6, 100: median 6, deviations 1, 0, 94, so the bound is 6 + 2·1.
        assert!(note(&mut learnt, "ann", 30, 8).is_none());
        let told = note(&mut learnt, "ann", 31, 9).expect("beyond");
        assert_eq!(*told, json!({"n": 3, "median": 6, "spread": 1, "bound": 8}));
    }

    #[test]
    fn what_is_usual_for_peers_is_usual() {
        let mut learnt = Baselines::default();
        for bucket in 0..4 {
            note(&mut learnt, "ann", bucket * 10, 2);
            note(&mut learnt, "bob", bucket * 10, 50);
        }
        assert!(note(&mut learnt, "ann", 45, 20).is_none(), "bob does that every day");
        assert_eq!(note(&mut learnt, "ann", 46, 51).expect("beyond both")["peers"]["median"], 50);
        assert!(note(&mut learnt, "ann", 400, 99).is_none(), "the history is over");
    }
}
