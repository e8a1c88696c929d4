//! [`Usual`]: the median of figures, and how much they vary, exactly: figures are fractions, and a value that is just as
//! usual is not beyond it because thirds were rounded.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::exact::{Figure, Wide};
use crate::rules::Baseline;

/// What is told of the usual has so many digits: more say nothing to people.
const TOLD: u32 = 15;

/// What is usual: twice the median is `twice / share`, four times the median absolute deviation `four / (share · parts)`.
pub(super) struct Usual {
    n: usize,
    twice: Wide,
    share: u64,
    four: Wide,
    parts: u64,
}

impl Usual {
    /// Of figures; none where there are too few.
    pub(super) fn of(mut figures: Vec<Figure>, baseline: &Baseline) -> Option<Self> {
        let n = figures.len();
        if n < baseline.ready.max(1) {
            return None;
        }
        figures.sort_unstable();
        let (low, high) = (figures[(n - 1) / 2], figures[n / 2]);
        let share = u64::from(low.under) * u64::from(high.under);
        let twice = scaled(low, high.under.into()).plus(scaled(high, low.under.into()));
        let deviation = |rank| deviation(&figures, twice, share, rank);
        let ((low, under), (high, over)) = (deviation((n - 1) / 2), deviation(n / 2));
        let four = low.times(over.into()).plus(high.times(under.into()));
        Some(Self { n, twice, share, four, parts: u64::from(under) * u64::from(over) })
    }

    /// Whether a value is more than the median and so many deviations.
    pub(super) fn is_below(&self, value: Figure, above: Decimal) -> bool {
        // value > twice / 2·share + above · four / 4·share·parts, all of it times 4·share·parts·value.under.
        let median = self.twice.times(2 * u128::from(value.under));
        let beyond = scaled(value, 4 * u128::from(self.share)).minus(median).times(self.parts.into());
        let bound = self.four.times(value.under.into());
        beyond.times(10_u128.pow(above.scale())) > bound.times(above.mantissa().unsigned_abs())
    }

    pub(super) fn told(&self, above: Decimal) -> Value {
        let median = self.twice.over(2).over(self.share).rounded();
        let spread = self.four.over(4).over(self.share).over(self.parts).rounded();
        let bound = median.saturating_add(above.saturating_mul(spread));
        let number = |value: Decimal| {
            let told = value.round_sf(TOLD).unwrap_or(value).normalize();
            serde_json::from_str::<Value>(&told.to_string()).unwrap_or_default()
        };
        json!({ "n": self.n, "median": number(median), "spread": number(spread), "bound": number(bound) })
    }
}

fn scaled(figure: Figure, times: u128) -> Wide {
    Wide::of(figure.over).times(times)
}

/// The deviation from the median that has a rank among all, of figures in order: twice it is the first number over `share`
/// times the second. What deviates least stands together, around the median, so its range is searched for by halves.
fn deviation(figures: &[Figure], twice: Wide, share: u64, rank: usize) -> (Wide, u32) {
    // How far below the median a figure lies, twice and times `share` and its own denominator.
    let below = |figure: Figure| twice.times(figure.under.into()).minus(scaled(figure, 2 * u128::from(share)));
    let further =
        |low: Figure, high: Figure| below(low).times(high.under.into()) > below(high).negated().times(low.under.into());
    let (mut from, mut last) = (0, figures.len() - 1 - rank);
    while from < last {
        let middle = (from + last) / 2;
        // One more is compared than are in the range.
        if further(figures[middle], figures[middle + rank + 1]) {
            from = middle + 1;
        } else {
            last = middle;
        }
    }
    let (low, high) = (figures[from], figures[from + rank]);
    if further(low, high) { (below(low), low.under) } else { (below(high).negated(), high.under) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Field;

    fn baseline(above: &str) -> Baseline {
        let above = above.parse().expect("a number");
        Baseline { of: Field::User, peers: None, bucket: 1, history: 9, ready: 1, above }
    }

    fn mean(over: i64, under: usize) -> Figure {
        Figure::mean(Decimal::from(over), under)
    }

    #[test]
    fn a_third_is_a_third() {
        let (above, figures) = (Decimal::ONE, vec![mean(7, 3), mean(14, 6), mean(7, 3)]);
        let usual = Usual::of(figures, &baseline("1")).expect("enough");
        assert!(!usual.is_below(mean(7, 3), above) && !usual.is_below(mean(21, 9), above));
        assert!(usual.is_below(Figure::of("2.3333333333333333333333333334".parse().expect("a number")), above));
        // 1, 4/3: median 7/6, deviations of 1/6; with 2/3 more the median is 1, deviations 0, 1/3, 1/3.
        let usual = Usual::of(vec![mean(1, 1), mean(4, 3)], &baseline("1")).expect("enough");
        assert!(!usual.is_below(mean(4, 3), above) && usual.is_below(mean(13, 9), above));
        let usual = Usual::of(vec![mean(4, 3), mean(2, 3), mean(1, 1)], &baseline("1")).expect("enough");
        assert!(!usual.is_below(mean(4, 3), above) && usual.is_below(mean(4_001, 3_000), above));
        assert_eq!(
            usual.told(above),
            json!({"n": 3, "median": 1, "spread": 0.333_333_333_333_333, "bound": 1.333_333_333_333_33})
        );
    }

    /// The deviation of every rank against all deviations in order.
    #[test]
    fn deviations_are_found_without_making_all_of_them() {
        let mut state = 7_u64;
        let mut random = move |below: i64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i64::try_from(state >> 33).expect("31 bits") % below
        };
        for round in 0..2_000 {
            let n = 1 + usize::try_from(random(12)).expect("small");
            let mut figures: Vec<Figure> = (0..n).map(|_| mean(random(9) - 3, 1)).collect();
            figures.sort_unstable();
            // Twice as large, so that halves are whole.
            let twice = figures[(n - 1) / 2].over + figures[n / 2].over;
            let mut all: Vec<Decimal> =
                figures.iter().map(|figure| (figure.over * Decimal::TWO - twice).abs()).collect();
            all.sort_unstable();
            for (rank, expected) in all.iter().enumerate() {
                let (found, under) = deviation(&figures, Wide::of(twice), 1, rank);
                assert_eq!((found.rounded(), under), (*expected, 1), "{round}: {figures:?}");
            }
        }
    }
}
