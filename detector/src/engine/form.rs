//! [`Form`]: how the events of a ring are written, in words.

use uuid::Uuid;

/// Bits of a kind beside a time, where both share two words.
pub(super) const KIND: u32 = 12;
/// Bits of an id that stand between them in lean events.
pub(super) const BETWEEN: u32 = 12;

/// How the events of a ring are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Form {
    /// Time, a part of the id and kind in two words, the rest of the id in two: ids are UUIDv7 of the millisecond in which
    /// the event happened, as those that are made here, and all events lie within days.
    #[default]
    Lean,
    /// Time and kind in two words, the id in four: all events lie within decades.
    Narrow,
    /// Time in two words, kind in one, the id in four.
    Wide,
}

impl Form {
    pub(super) const fn head(self) -> usize {
        match self {
            Self::Lean | Self::Narrow => 2,
            Self::Wide => 3,
        }
    }

    /// Words of head and id.
    pub(super) const fn fixed(self) -> usize {
        match self {
            Self::Lean => 4,
            Self::Narrow => 6,
            Self::Wide => 7,
        }
    }

    /// Bits of a time.
    pub(super) const fn bits(self) -> u32 {
        match self {
            Self::Lean => u64::BITS - BETWEEN - KIND,
            Self::Narrow => u64::BITS - KIND,
            Self::Wide => u64::BITS,
        }
    }

    /// The time that a ring counts from whose first event is this: a quarter of what there is lies before it.
    pub(super) const fn base(self, first: i64) -> i64 {
        match self {
            Self::Wide => 0,
            Self::Lean | Self::Narrow => first.saturating_sub(1 << (self.bits() - 2)),
        }
    }

    /// Whether a time can be counted from `base`.
    pub(super) fn reaches(self, base: i64, time: i64) -> bool {
        let offset = time.checked_sub(base).map(i64::cast_unsigned);
        self == Self::Wide || offset.is_some_and(|offset| offset >> self.bits() == 0)
    }

    /// The leanest for an event.
    pub(super) fn of(time: i64, id: Uuid, kind: u32) -> Self {
        if kind >> KIND != 0 {
            return Self::Wide;
        }
        let id = id.as_u128();
        let tells = time >= 0 && id >> 80 == u128::from(time.unsigned_abs() / 1_000) && id >> 76 & 0xf == 7;
        if tells { Self::Lean } else { Self::Narrow }
    }
}

/// The low half.
pub(super) fn low(number: u128) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "the other half is written for itself")]
    {
        number as u64
    }
}

/// Writes the low half, then the high one.
pub(super) fn halves(words: &mut [u32], number: u64) {
    #[expect(clippy::cast_possible_truncation, reason = "the other half is written for itself")]
    {
        words[0] = number as u32;
    }
    words[1] = (number >> 32) as u32;
}
