//! Sums, averages and what is made of them without rounding: what rounds depends on the order.
//!
//! A [`Decimal`] has up to 96 bits and 28 digits behind the point. In units of 10⁻²⁸ it is a whole number of 189 bits,
//! and [`Wide`] has room for all that is made of as many of those as a window holds.

use std::cmp::Ordering;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::sorted::Sorted;

/// Digits behind the point.
const DIGITS: u32 = 28;
/// Bits of a decimal.
const BITS: u32 = 96;
const LIMBS: usize = 8;

/// A whole number of 512 bits, the lowest first, in two's complement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wide([u64; LIMBS]);

impl Wide {
    fn whole(number: u128) -> Self {
        let mut limbs = [0; LIMBS];
        [limbs[0], limbs[1]] = halves(number);
        Self(limbs)
    }

    /// A decimal in units of 10⁻²⁸.
    pub(super) fn of(number: Decimal) -> Self {
        let magnitude =
            Self::whole(number.mantissa().unsigned_abs()).times(10_u128.pow(DIGITS.saturating_sub(number.scale())));
        if number.is_sign_negative() { magnitude.negated() } else { magnitude }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        let mut carry = false;
        let mut limbs = [0; LIMBS];
        for ((limb, a), b) in limbs.iter_mut().zip(self.0).zip(other.0) {
            let (sum, first) = a.overflowing_add(b);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, first || second);
        }
        Self(limbs)
    }

    pub(super) fn minus(self, other: Self) -> Self {
        self.plus(other.negated())
    }

    pub(super) fn negated(self) -> Self {
        Self(self.0.map(|limb| !limb)).plus(Self::whole(1))
    }

    fn magnitude(self) -> Self {
        if self.is_negative() { self.negated() } else { self }
    }

    pub(super) fn times(self, factor: u128) -> Self {
        let [low, high] = halves(factor);
        let product = self.times_limb(low, 0);
        if high == 0 { product } else { product.plus(self.times_limb(high, 1)) }
    }

    /// Times a factor that stands `up` limbs higher.
    fn times_limb(self, factor: u64, up: usize) -> Self {
        let mut carry = 0;
        let mut limbs = [0; LIMBS];
        for (limb, of) in limbs.iter_mut().skip(up).zip(self.0) {
            // At most (2⁶⁴ - 1)² + 2⁶⁴ - 1, which has 128 bits.
            [*limb, carry] = halves(u128::from(of) * u128::from(factor) + u128::from(carry));
        }
        Self(limbs)
    }

    fn is_negative(self) -> bool {
        self.0[LIMBS - 1] >> 63 == 1
    }

    /// Units of 10⁻²⁸ as a decimal: exactly where it has room for them, else to the nearest; at most the largest there is.
    pub(super) fn rounded(self) -> Decimal {
        let magnitude = self.magnitude();
        let bits = magnitude.0.iter().rposition(|limb| *limb != 0).map_or(0, |top| {
            u32::try_from(top).unwrap_or(0) * u64::BITS + u64::BITS - magnitude.0[top].leading_zeros()
        });
        // Digits too many, at least: log₁₀ 2 is 0.30103.
        let excess = bits.saturating_sub(BITS) * 30 / 100;
        let found = (excess..=DIGITS).find_map(|excess| {
            let mantissa = i128::try_from(magnitude.shortened(excess)?).ok()?;
            Decimal::try_from_i128_with_scale(mantissa, DIGITS - excess).ok()
        });
        let mut number = found.unwrap_or(Decimal::MAX).normalize();
        number.set_sign_negative(self.is_negative());
        number
    }

    /// Without its last digits, rounded half up; none where more than 128 bits are left. Not negative.
    fn shortened(self, digits: u32) -> Option<u128> {
        let mut left = self.plus(Self::whole(10_u128.pow(digits) / 2));
        for digits in [digits.min(19), digits.saturating_sub(19)] {
            left = left.over(10_u64.pow(digits));
        }
        let [low, high, rest @ ..] = left.0;
        rest.iter().all(|limb| *limb == 0).then_some(u128::from(high) << u64::BITS | u128::from(low))
    }

    /// Divided, without what is left.
    pub(super) fn over(self, divisor: u64) -> Self {
        if self.is_negative() {
            return self.negated().over(divisor).negated();
        }
        let mut rest = 0;
        let mut limbs = [0; LIMBS];
        for (limb, of) in limbs.iter_mut().zip(self.0).rev() {
            let part = u128::from(rest) << u64::BITS | u128::from(of);
            [*limb, _] = halves(part / u128::from(divisor));
            [rest, _] = halves(part % u128::from(divisor));
        }
        Self(limbs)
    }
}

impl Ord for Wide {
    fn cmp(&self, other: &Self) -> Ordering {
        // Of two with the same sign, what is more as bits is more.
        other.is_negative().cmp(&self.is_negative()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

impl PartialOrd for Wide {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The low half and the high one.
fn halves(number: u128) -> [u64; 2] {
    #[expect(clippy::cast_possible_truncation, reason = "each is a half")]
    [number as u64, (number >> u64::BITS) as u64]
}

/// A rule's value as a fraction: an average of three is no decimal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figure {
    pub(super) over: Decimal,
    /// Never 0.
    pub(super) under: u32,
}

impl Figure {
    pub(super) const ZERO: Self = Self::of(Decimal::ZERO);

    pub(super) const fn of(number: Decimal) -> Self {
        Self { over: number, under: 1 }
    }

    pub(super) fn count(count: usize) -> Self {
        Self::of(Decimal::from(count))
    }

    /// A sum over a count.
    pub(super) fn mean(sum: Decimal, count: usize) -> Self {
        Self { over: sum, under: u32::try_from(count).unwrap_or(u32::MAX).max(1) }
    }

    /// As a decimal, as far as 28 digits go.
    pub(super) fn rounded(self) -> Decimal {
        if self.under == 1 {
            return self.over;
        }
        self.over.checked_div(Decimal::from(self.under)).unwrap_or(self.over)
    }
}

impl Ord for Figure {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.under == other.under {
            return self.over.cmp(&other.over);
        }
        let [one, another] = [(self, other.under), (other, self.under)]
            .map(|(figure, times)| Wide::of(figure.over).times(u128::from(times)));
        one.cmp(&another)
    }
}

impl PartialOrd for Figure {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Figure {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Figure {}

/// Linear interpolation between the closest ranks (Hyndman and Fan 1996, definition 7), exactly.
pub(super) fn percentile(sorted: &Sorted, percent: Decimal) -> Option<Decimal> {
    let last = sorted.len().checked_sub(1)?;
    let rank = Decimal::from(last).checked_mul(percent)?.checked_div(Decimal::ONE_HUNDRED)?;
    let below = rank.floor().to_usize()?.min(last);
    let above = (below + 1).min(last);
    let part = rank - rank.floor();
    let (below, above) = (sorted.get(below)?, sorted.get(above)?);
    Some(below.saturating_add(above.saturating_sub(below).saturating_mul(part)))
}

/// The double that is nearest. By way of the text: `Decimal::to_f64` is wrong in the last digits.
pub(super) fn double(number: Decimal) -> f64 {
    match number.to_i32().filter(|_| number.scale() == 0) {
        Some(whole) => f64::from(whole),
        None => number.to_string().parse().unwrap_or(f64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn sum(texts: &[&str]) -> Wide {
        texts.iter().fold(Wide::default(), |sum, text| sum.plus(Wide::of(decimal(text))))
    }

    #[test]
    fn what_comes_and_goes_leaves_nothing_behind() {
        let far = ["79228162514264337593543950335", "0.0000000000000000000000000001", "-1000000000000000000000000.3"];
        let all = sum(&far);
        for order in [[0, 1, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            assert_eq!(sum(&order.map(|at| far[at])), all);
        }
        let left = all.minus(Wide::of(decimal(far[0]))).minus(Wide::of(decimal(far[2])));
        assert_eq!((left, left.rounded()), (Wide::of(decimal(far[1])), decimal(far[1])));
        assert_eq!(left.minus(Wide::of(decimal(far[1]))), Wide::default());
    }

    #[test]
    fn a_number_comes_back_as_it_was() {
        for text in [
            "0",
            "1",
            "-1",
            "0.1",
            "27009076.397992026",
            "-0.0000000000000000000000000001",
            "79228162514264337593543950335",
            "-79228162514264337593543950335",
            "7.9228162514264337593543950335",
            "10000",
        ] {
            assert_eq!(Wide::of(decimal(text)).rounded(), decimal(text), "{text}");
        }
    }

    #[test]
    fn what_has_too_many_digits_is_rounded_and_what_is_too_large_is_the_largest() {
        assert_eq!(sum(&["1000000000000000000000000000", "0.06"]).rounded(), decimal("1000000000000000000000000000.1"));
        assert_eq!(
            sum(&["-10000000000000000000000000000", "0.5"]).rounded(),
            decimal("-10000000000000000000000000000")
        );
        assert_eq!(sum(&["79228162514264337593543950334", "0.5"]).rounded(), Decimal::MAX);
        assert_eq!(sum(&["79228162514264337593543950335", "1"]).rounded(), Decimal::MAX);
        assert_eq!(sum(&["-79228162514264337593543950335", "-1"]).rounded(), Decimal::MIN);
    }

    #[test]
    fn wide_numbers_are_in_order() {
        let texts =
            ["-79228162514264337593543950335", "-1.5", "-1", "0", "0.0000000000000000000000000001", "2", "3e20"];
        let numbers: Vec<Wide> = texts
            .iter()
            .map(|text| Wide::of(Decimal::from_scientific(text).unwrap_or_else(|_| decimal(text))))
            .collect();
        assert!(numbers.is_sorted() && numbers.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(numbers[1].times(1 << 100).minus(numbers[1].times((1 << 100) - 2)), numbers[1].times(2));
    }

    #[test]
    fn fractions_are_compared_as_such() {
        let third = Figure::mean(Decimal::ONE, 3);
        assert_eq!(third, Figure::mean(Decimal::TWO, 6));
        assert!(third > Figure::of(third.rounded()), "what is rounded down is less");
        assert!(Figure::mean(Decimal::TWO, 3) < Figure::of(Figure::mean(Decimal::TWO, 3).rounded()));
        assert_eq!(Figure::mean(Decimal::from(8), 4), Figure::count(2));
    }

    #[test]
    fn the_nearest_double_is_told() {
        assert_eq!(double(decimal("27009076.397992026")), 27_009_076.397_992_026);
        assert_eq!(double(Figure::mean(Decimal::from(4), 3).rounded()), 4.0 / 3.0);
        assert_eq!(double(decimal("-0.1")), -0.1);
        assert_eq!(double(decimal("12")), 12.0);
        assert_eq!(double(Decimal::MAX), 2_f64.powi(96));
    }

    #[test]
    fn percentiles_interpolate_exactly() {
        let mut numbers = Sorted::default();
        [4, 1, 8, 2].map(Decimal::from).into_iter().for_each(|number| numbers.insert(number));
        for (percent, value) in [(0, "1"), (50, "3"), (90, "6.8"), (100, "8")] {
            assert_eq!(percentile(&numbers, Decimal::from(percent)), Some(value.parse().unwrap()), "{percent}");
        }
        assert_eq!(percentile(&Sorted::default(), Decimal::ONE), None);
    }
}
