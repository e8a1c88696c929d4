//! [`Form`]: how the events of a ring are written, in bytes.
//!
//! | form | time, kind | id | together |
//! |---|---|---|---|
//! | milli | 29 bits of milliseconds, 9 bits | 74 bits | 14 bytes |
//! | lean | 37 and 9 bits | 74 bits | 15 bytes |
//! | usual | 42 and 12 bits | 74 bits | 16 bytes |
//! | narrow | 52 and 12 bits | whole | 24 bytes |
//! | wide | 64 and 32 bits | whole | 28 bytes |
//!
//! Of an id 74 bits are enough where it is a UUIDv7 of the millisecond in which the event happened, as those are that are
//! made here: the rest is its time once more, its version and its variant.

use uuid::Uuid;

/// Bits of an id that stand beside time and kind, where it is not written whole.
const BESIDE: u32 = 10;
/// Bits of the id's low half that are its own: two say the variant.
const OWN: u32 = 62;

/// How the events of a ring are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Form {
    /// All events lie within days, each at a whole millisecond, as most sources tell times.
    #[default]
    Milli,
    /// All events lie within a day and a half.
    Lean,
    /// All events lie within weeks.
    Usual,
    /// All events lie within decades; ids are any.
    Narrow,
    Wide,
}

/// Where things stand in the events of a form. Time, kind and a part of the id share one number, the head, from the highest
/// bits to the lowest.
struct Layout {
    /// Bytes of time, kind and id.
    fixed: u8,
    /// Bits of a time.
    time: u32,
    /// Bits of a kind.
    kind: u32,
    /// Bits of the eight bytes at the front that stand above the head: they belong to the id.
    above: u32,
    /// Bits of the head that stand below the time.
    below: u32,
    /// Of the eight bytes in which the kind stands, the first, and the bits below it.
    kind_at: (usize, u32),
    /// Microseconds that a time counts.
    unit: i64,
}

const LAYOUTS: [Layout; 5] = [
    Layout { fixed: 14, time: 29, kind: 9, above: 16, below: 9 + BESIDE, kind_at: (0, BESIDE), unit: 1_000 },
    Layout { fixed: 15, time: 37, kind: 9, above: 8, below: 9 + BESIDE, kind_at: (0, BESIDE), unit: 1 },
    Layout { fixed: 16, time: 42, kind: 12, above: 0, below: 12 + BESIDE, kind_at: (0, BESIDE), unit: 1 },
    Layout { fixed: 24, time: 52, kind: 12, above: 0, below: 12, kind_at: (0, 0), unit: 1 },
    Layout { fixed: 28, time: 64, kind: 32, above: 0, below: 0, kind_at: (20, 32), unit: 1 },
];

impl Form {
    const fn layout(self) -> &'static Layout {
        &LAYOUTS[self as usize]
    }

    /// Bytes of time, kind and id.
    pub(super) const fn fixed(self) -> usize {
        self.layout().fixed as usize
    }

    /// The next one that takes more.
    pub(super) const fn wider(self) -> Self {
        match self {
            Self::Milli => Self::Lean,
            Self::Lean => Self::Usual,
            Self::Usual => Self::Narrow,
            Self::Narrow | Self::Wide => Self::Wide,
        }
    }

    /// What a ring counts from whose first event is at `first`: of the time that can be told a quarter lies before it.
    pub(super) const fn base(self, first: i64) -> Base {
        let Layout { time, unit, .. } = *self.layout();
        match self {
            Self::Wide => Base(0),
            _ => Base::before(first.saturating_sub(unit << (time - 2))),
        }
    }

    /// Whether a time can be counted from `base`.
    pub(super) fn reaches(self, base: Base, time: i64) -> bool {
        let Layout { time: bits, unit, .. } = *self.layout();
        let since = time.checked_sub(base.micros()).and_then(|since| u64::try_from(since / unit).ok());
        self == Self::Wide || since.is_some_and(|since| since >> bits == 0)
    }

    /// The leanest for an event.
    pub(super) fn of(time: i64, id: Uuid, kind: u32) -> Self {
        let id = id.as_u128();
        let tells = time >= 0
            && id >> 80 == u128::from(time.unsigned_abs() / 1_000)
            && id >> 76 & 0xf == 7
            && id >> OWN & 0b11 == 0b10;
        let mut form = match tells {
            true if time % 1_000 == 0 => Self::Milli,
            true => Self::Lean,
            false => Self::Narrow,
        };
        while u64::from(kind) >> form.layout().kind != 0 {
            form = form.wider();
        }
        form
    }

    /// Writes an event; its time counts from `base`.
    pub(super) fn write(self, event: &mut [u8], base: Base, time: i64, id: Uuid, kind: u32) {
        let Layout { kind: bits, unit, .. } = *self.layout();
        let since = (time.wrapping_sub(base.micros()) / unit).cast_unsigned();
        let (id, kind) = (id.as_u128(), u64::from(kind));
        match self {
            Self::Milli | Self::Lean | Self::Usual => {
                // The twelve bits between version and variant: ten beside the kind, two in the place of the variant.
                let between = low(id >> 64) & 0xfff;
                let head = (since << bits | kind) << BESIDE | between >> 2;
                let own = low(id) & ((1 << OWN) - 1) | between << OWN;
                let place = self.fixed() - 8;
                event[..place].copy_from_slice(&head.to_le_bytes()[..place]);
                event[place..place + 8].copy_from_slice(&own.to_le_bytes());
            }
            Self::Narrow => {
                event[..8].copy_from_slice(&(since << bits | kind).to_le_bytes());
                event[8..24].copy_from_slice(&id.to_le_bytes());
            }
            Self::Wide => {
                event[..8].copy_from_slice(&since.to_le_bytes());
                event[8..24].copy_from_slice(&id.to_le_bytes());
                event[24..28].copy_from_slice(&kind.to_le_bytes()[..4]);
            }
        }
    }

    /// What reads events of this form whose times count from `base`.
    #[inline]
    pub(super) const fn reader(self, base: Base) -> Reader {
        Reader { layout: self.layout(), base: base.micros() }
    }

    /// The id of an event.
    pub(super) fn id_of(self, event: &[u8], base: Base) -> Uuid {
        if self >= Self::Narrow {
            return Uuid::from_u128(u128::from(word(event, 16)) << 64 | u128::from(word(event, 8)));
        }
        let own = word(event, self.fixed() - 8);
        let between = (word(event, 0) & ((1 << BESIDE) - 1)) << 2 | own >> OWN;
        let millis = self.reader(base).time(event).unsigned_abs() / 1_000;
        let high = millis << 16 | 7 << 12 | between;
        Uuid::from_u64_pair(high, 0b10 << OWN | own & ((1 << OWN) - 1))
    }
}

/// Reads events.
#[derive(Clone, Copy)]
pub(super) struct Reader {
    layout: &'static Layout,
    base: i64,
}

impl Reader {
    /// The time of an event.
    #[inline]
    pub(super) fn time(self, event: &[u8]) -> i64 {
        let Layout { above, below, unit, .. } = *self.layout;
        let since = (word(event, 0) << above) >> (above + below);
        self.base.wrapping_add(since.cast_signed().wrapping_mul(unit))
    }

    /// The number of its kind.
    #[inline]
    pub(super) fn kind(self, event: &[u8]) -> u32 {
        let Layout { kind, kind_at: (at, below), .. } = *self.layout;
        #[expect(clippy::cast_possible_truncation, reason = "what is no kind is cut off")]
        {
            (word(event, at) >> below & ((1 << kind) - 1)) as u32
        }
    }
}

/// What the times of a ring count from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Base(i32);

impl Base {
    /// It is a multiple of this, some 70 minutes, and so of a millisecond.
    const UNIT: i64 = 1_000 << 22;

    /// The last one that is not after a time, as far as there are any.
    const fn before(time: i64) -> Self {
        match time.div_euclid(Self::UNIT) {
            ..=-0x8000_0000 => Self(i32::MIN),
            #[expect(clippy::cast_possible_truncation, reason = "it has 31 bits and a sign")]
            multiple @ ..0x8000_0000 => Self(multiple as i32),
            _ => Self(i32::MAX),
        }
    }

    const fn micros(self) -> i64 {
        self.0 as i64 * Self::UNIT
    }
}

/// Eight bytes from a place on.
#[inline]
fn word(event: &[u8], from: usize) -> u64 {
    event[from..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The low half.
fn low(number: u128) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "the other half is written for itself")]
    {
        number as u64
    }
}
