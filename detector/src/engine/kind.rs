//! [`Kind`]: what events of a group have in common. There are few different ones, and a group numbers them.

use hashbrown::HashMap;

use super::plan::{Group, bits};

/// What events of a group have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// The channels that they take part in.
    pub(super) mask: u64,
    /// Those for which they have a value.
    pub(super) valued: u64,
    /// Those in which a later event of the same value can take their place.
    pub(super) distinct: u64,
    /// Whether something was kept of them.
    pub(super) record: bool,
    /// The longest window that can see them, in microseconds.
    pub(super) reach: i64,
    /// The same of channels that need each event for itself.
    pub(super) lasting: i64,
}

/// The kinds of a group's events, by number.
#[derive(Debug)]
pub(super) struct Kinds {
    kinds: Vec<Kind>,
    numbers: HashMap<(u64, bool), u32>,
    /// The one that was asked for last: mostly it is asked for again.
    last: u32,
}

/// The number of a kind that no kind goes beyond.
const ANY: u16 = 1;

impl Default for Kinds {
    /// The first is the kind of no channels, the second that of all.
    fn default() -> Self {
        let none = Kind { mask: 0, valued: 0, distinct: 0, record: false, reach: i64::MIN, lasting: i64::MIN };
        let any = Kind { mask: u64::MAX, record: true, ..none };
        Self { kinds: vec![none, any], numbers: HashMap::from_iter([((0, false), 0)]), last: 0 }
    }
}

impl Kinds {
    /// The number of a kind.
    pub(super) fn number(&mut self, group: &Group, mask: u64, record: bool) -> u32 {
        if self.kinds.get(self.last as usize).is_some_and(|last| (last.mask, last.record) == (mask, record)) {
            return self.last;
        }
        if let Some(number) = self.numbers.get(&(mask, record)) {
            self.last = *number;
            return *number;
        }
        let (mut valued, mut distinct, mut reach, mut lasting) = (0, 0, 0, i64::MIN);
        for bit in bits(mask) {
            let channel = &group.channels[usize::from(bit)];
            reach = channel.window.max(reach);
            valued |= u64::from(channel.value.is_some()) << bit;
            if channel.is_distinct() {
                distinct |= 1 << bit;
            } else {
                lasting = channel.window.max(lasting);
            }
        }
        self.kinds.push(Kind { mask, valued, distinct, record, reach, lasting });
        let number = u32::try_from(self.kinds.len() - 1).unwrap_or(u32::MAX);
        self.numbers.insert((mask, record), number);
        number
    }

    /// The number of a kind that goes beyond another by channels, and by whether something is kept.
    pub(super) fn with(&mut self, group: &Group, number: u16, mask: u64, record: bool) -> u16 {
        let had = self.of(u32::from(number));
        if had.mask | mask == had.mask && had.record >= record {
            return number;
        }
        let number = self.number(group, had.mask | mask, had.record | record);
        u16::try_from(number).unwrap_or(ANY)
    }

    pub(super) fn of(&self, number: u32) -> &Kind {
        &self.kinds[number as usize]
    }
}

impl Kind {
    /// Words behind the id.
    pub(super) fn extras(&self) -> usize {
        self.valued.count_ones() as usize + usize::from(self.record)
    }

    /// The place of a channel's value among them.
    pub(super) fn place(&self, bit: u8) -> usize {
        (self.valued & ((1 << bit) - 1)).count_ones() as usize
    }
}
