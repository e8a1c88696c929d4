//! The risk of a user: a pure function of what was found, of when it is asked for, and of nothing else.
//!
//! R = 100·(1 − Π(1 − wᵢ/100)^(1/i^1.5)) over the weights in falling order, wᵢ = points·2^(−age/[`HALF_LIFE`]).
//! One fresh alert gives exactly its points; more of the same add less and less, so lows alone never look like a
//! medium. Within one episode the alerts of one family count once, at the highest.

use uuid::Uuid;

use crate::{DAY, Timestamp};

/// After this long, in microseconds, an alert weighs half. A day would turn Friday evening's High into nothing by
/// Monday.
pub const HALF_LIFE: i64 = 7 * DAY;

/// An alert or signal that counts: neither retracted nor suppressed, and not judged benign or a false positive.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution {
    /// The alert.
    pub alert: Uuid,
    /// Its points, 0–99.
    pub points: i64,
    /// From when its weight falls: the time of its last step.
    pub at: Timestamp,
    /// Its rule's family.
    pub family: String,
    /// First and last event of its episode. Two alerts of one family whose spans touch belong to one episode.
    pub span: (Timestamp, Timestamp),
}

/// What one alert has to do with a score.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// The alert.
    pub alert: Uuid,
    /// Its points after the fall, 0–99.
    pub weight: f64,
    /// What it added to the score after those before it, with two decimals. These are the `(+n pts)` of explanations.
    pub added: f64,
}

/// A score and how it came about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Risk {
    /// 0–100, with two decimals.
    pub score: f64,
    /// One share for each contribution, in order of time, then alert id. They sum to the score to the last digit: each
    /// is the difference between the rounded score with it and the rounded score without it and those after it, so
    /// no rounding error is ever left over.
    pub shares: Vec<Share>,
}

/// The risk at `as_of`. An alert of a later time counts as if it were of then.
#[must_use]
pub fn risk(contributions: &[Contribution], as_of: Timestamp) -> Risk {
    let mut order: Vec<&Contribution> = contributions.iter().collect();
    order.sort_by_key(|contribution| (contribution.at, contribution.alert));
    // Episodes are those of the whole set: an alert that joins two of them must not take anything away again.
    let episodes = episodes(&order);
    let mut highest = vec![0.0_f64; order.len()];
    let mut falling = Falling::default();
    let mut score = 0;
    let mut shares = Vec::with_capacity(order.len());
    for (contribution, episode) in order.into_iter().zip(episodes) {
        let weight = weight(contribution, as_of);
        let before = highest[episode];
        if weight > before {
            if before > 0.0 {
                falling.remove(before);
            }
            falling.insert(weight);
            highest[episode] = weight;
        }
        let with = falling.hundredths();
        shares.push(Share { alert: contribution.alert, weight, added: decimal(with - score) });
        score = with;
    }
    Risk { score: decimal(score), shares }
}

fn weight(contribution: &Contribution, as_of: Timestamp) -> f64 {
    let age = as_of.since(contribution.at).max(0);
    // 99 at most, whatever a rule says: a factor of nothing would hide everything else.
    let points = contribution.points.clamp(0, 99);
    #[expect(clippy::cast_precision_loss, reason = "a share of a week needs no microseconds, and points are small")]
    let (age, half_life, points) = (age as f64, HALF_LIFE as f64, points as f64);
    points * (-age / half_life).exp2()
}

/// Weights that count, in falling order. The score is asked for after each of them, so what it needs of a weight and of
/// a place is worked out once: a user may have thousands of signals.
#[derive(Default)]
struct Falling {
    weights: Vec<f64>,
    /// ln(1 − w/100) of each weight.
    logarithms: Vec<f64>,
    /// i^1.5 of each place.
    places: Vec<f64>,
}

impl Falling {
    fn insert(&mut self, weight: f64) {
        let at = self.weights.partition_point(|other| *other > weight);
        self.weights.insert(at, weight);
        self.logarithms.insert(at, (1.0 - weight / 100.0).ln());
        #[expect(clippy::cast_precision_loss, reason = "a number of alerts")]
        let place = self.weights.len() as f64;
        if self.places.len() < self.weights.len() {
            self.places.push(place * place.sqrt());
        }
    }

    fn remove(&mut self, weight: f64) {
        let at = self.weights.partition_point(|other| *other > weight);
        self.weights.remove(at);
        self.logarithms.remove(at);
    }

    /// The score in hundredths of a point.
    fn hundredths(&self) -> i64 {
        let exponent: f64 = self.logarithms.iter().zip(&self.places).map(|(logarithm, place)| logarithm / place).sum();
        #[expect(clippy::cast_possible_truncation, reason = "between 0 and 10,000")]
        let score = (10_000.0 * (1.0 - exponent.exp())).round() as i64;
        score
    }
}

#[expect(clippy::cast_precision_loss, reason = "between -10,000 and 10,000")]
fn decimal(hundredths: i64) -> f64 {
    hundredths as f64 / 100.0
}

/// For each contribution the number of its episode: those of one family whose spans touch, directly or through others.
fn episodes(contributions: &[&Contribution]) -> Vec<usize> {
    let mut by_start: Vec<usize> = (0..contributions.len()).collect();
    by_start.sort_by(|a, b| {
        let (a, b) = (contributions[*a], contributions[*b]);
        (&a.family, a.span.0).cmp(&(&b.family, b.span.0))
    });
    let mut episodes = vec![0; contributions.len()];
    let mut open: Option<(usize, &str, Timestamp)> = None;
    for at in by_start {
        let Contribution { family, span, .. } = contributions[at];
        open = match open {
            Some((episode, of, end)) if of == family && span.0 <= end => Some((episode, of, end.max(span.1))),
            Some((episode, ..)) => Some((episode + 1, family, span.1)),
            None => Some((0, family, span.1)),
        };
        episodes[at] = open.map_or(0, |(episode, ..)| episode);
    }
    episodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HOUR, MINUTE};

    fn alert(id: u128, points: i64, minute: i64) -> Contribution {
        let at = Timestamp::from_micros(minute * MINUTE);
        Contribution { alert: Uuid::from_u128(id), points, at, family: format!("family-{id}"), span: (at, at) }
    }

    fn fresh(points: &[i64]) -> Risk {
        let alerts: Vec<_> = (0..).zip(points).map(|(id, points)| alert(id, *points, 0)).collect();
        risk(&alerts, Timestamp::default())
    }

    fn near(score: f64, wanted: f64) {
        assert!((score - wanted).abs() <= 0.05, "{score} is not {wanted}");
    }

    #[test]
    fn the_anchors_hold() {
        assert_eq!(fresh(&[]), Risk::default());
        for points in [5, 21, 47, 73, 99] {
            near(fresh(&[points]).score, fresh(&[points]).shares[0].weight);
        }
        near(fresh(&[47, 47]).score, 57.7);
        near(fresh(&[47; 3]).score, 62.5);
        near(fresh(&[73; 3]).score, 86.8);
        near(fresh(&[73; 5]).score, 90.0);
    }

    #[test]
    fn many_of_one_level_stay_below_the_next() {
        assert!(fresh(&[21; 1_000]).score <= 46.0);
        assert!(fresh(&[47; 1_000]).score <= 81.0);
        assert!(fresh(&[i64::MAX, -7]).score < 100.0);
    }

    #[test]
    fn half_the_weight_is_gone_after_a_week() {
        let alerts = [alert(1, 73, 0)];
        near(risk(&alerts, Timestamp::from_micros(HALF_LIFE)).score, 36.5);
        near(risk(&alerts, Timestamp::from_micros(2 * HALF_LIFE)).score, 18.25);
        near(risk(&alerts, Timestamp::from_micros(-HOUR)).score, 73.0);
    }

    #[test]
    fn one_family_counts_once_within_an_episode_at_the_highest() {
        let of = |id, points, from, to| Contribution {
            family: "guessing".into(),
            span: (Timestamp::from_micros(from * MINUTE), Timestamp::from_micros(to * MINUTE)),
            ..alert(id, points, 0)
        };
        let now = Timestamp::default();
        assert_eq!(risk(&[of(1, 21, 0, 5), of(2, 47, 3, 9), of(3, 21, 9, 9)], now).score, fresh(&[47]).score);
        assert_eq!(risk(&[of(1, 21, 0, 5), of(2, 47, 6, 9)], now).score, fresh(&[21, 47]).score);
        // A third that touches both makes one episode of them.
        assert_eq!(risk(&[of(1, 21, 0, 5), of(2, 47, 6, 9), of(3, 5, 5, 6)], now).score, fresh(&[47]).score);
        assert_eq!(risk(&[of(1, 47, 0, 5), alert(2, 47, 0)], now).score, fresh(&[47, 47]).score);
    }

    #[test]
    fn shares_are_never_negative_and_sum_to_the_score_in_whatever_order_they_are_given() {
        let alerts: Vec<_> = (0..60)
            .map(|id| {
                let minute = i64::try_from(id * 7919 % 400).unwrap_or(0);
                let end = Timestamp::from_micros((minute + 30) * MINUTE);
                let mut alert = alert(id, [5, 21, 47, 73, 99][usize::try_from(id % 5).unwrap_or(0)], minute);
                alert.span.1 = end;
                alert.family = format!("{}", id % 7);
                alert
            })
            .collect();
        let whole = risk(&alerts, Timestamp::from_micros(3 * DAY));
        assert!(whole.shares.iter().all(|share| share.added >= 0.0));
        let sum: f64 = whole.shares.iter().map(|share| (share.added * 100.0).round()).sum();
        assert_eq!(sum, (whole.score * 100.0).round());
        let turned: Vec<_> = alerts.into_iter().rev().collect();
        assert_eq!(risk(&turned, Timestamp::from_micros(3 * DAY)), whole);
    }

    #[test]
    fn a_share_is_what_came_on_top_of_those_before() {
        let shares = risk(&[alert(1, 47, 1), alert(2, 47, 0)], Timestamp::from_micros(MINUTE)).shares;
        assert_eq!(shares[0].alert, Uuid::from_u128(2));
        near(shares[0].added, 47.0);
        near(shares[1].added, 10.7);
    }
}
