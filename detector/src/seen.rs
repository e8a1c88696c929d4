//! [`Seen`]: event ids that have come, of a file of any length.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};

use hashbrown::{HashMap, HashTable};
use uuid::Uuid;

/// Ids that have come. A line without an id of its own has its number, and is remembered as part of a run of such
/// lines, since most files have ids everywhere or nowhere.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    own: HashSet<Uuid, IdHashes>,
    timed: Timed,
    /// First and last line of each run, rising.
    unnamed: Vec<(u64, u64)>,
}

impl Seen {
    /// Whether this is the first of its id.
    pub(crate) fn insert(&mut self, own: Option<Uuid>, line: u64) -> bool {
        let Some(id) = own else {
            match self.unnamed.last_mut() {
                Some((_, last)) if *last + 1 == line => *last = line,
                _ => self.unnamed.push((line, line)),
            }
            // The number of a line tells no time.
            return self.own.is_empty() || !self.own.contains(&Uuid::from_u128(u128::from(line)));
        };
        if let Some((block, rest)) = Timed::split(id) {
            return self.timed.insert(block, rest);
        }
        let taken = u64::try_from(id.as_u128()).is_ok_and(|number| {
            let after = self.unnamed.partition_point(|(first, _)| *first <= number);
            after > 0 && number <= self.unnamed[after - 1].1
        });
        !taken && self.own.insert(id)
    }
}

/// Ids that tell the time (version 7), in blocks of some minutes: what is asked for one after the other lies in a table
/// that stays near the core, while one for a whole file would be waited for at each line. And a block's ids share what
/// says which it is.
#[derive(Debug, Default)]
struct Timed {
    blocks: Vec<HashTable<Rest>>,
    numbers: HashMap<u32, usize>,
    /// The block that was asked for last, and its number.
    last: Option<(u32, usize)>,
    hashes: IdHashes,
}

/// An id without block and version: 94 bits.
type Rest = [u32; 3];

impl Timed {
    /// Bits of the milliseconds within a block: four minutes.
    const WITHIN: u32 = 18;
    /// Bits behind the version.
    const BEHIND: u32 = 76;

    fn split(id: Uuid) -> Option<(u32, Rest)> {
        let id = id.as_u128();
        if id >> Self::BEHIND & 0xf != 7 {
            return None;
        }
        let time = id >> 80;
        let rest = (time & ((1 << Self::WITHIN) - 1)) << Self::BEHIND | id & ((1 << Self::BEHIND) - 1);
        #[expect(clippy::cast_possible_truncation, reason = "30 bits, and words of 94 bits")]
        let (block, rest) = ((time >> Self::WITHIN) as u32, [(rest >> 64) as u32, (rest >> 32) as u32, rest as u32]);
        Some((block, rest))
    }

    fn insert(&mut self, block: u32, rest: Rest) -> bool {
        let number = match self.last {
            Some((last, number)) if last == block => number,
            _ => *self.numbers.entry(block).or_insert_with(|| {
                self.blocks.push(HashTable::new());
                self.blocks.len() - 1
            }),
        };
        self.last = Some((block, number));
        let hash = |rest: &Rest| {
            let [first, second, third] = rest.map(u64::from);
            self.hashes.of(second << 32 | third, first)
        };
        let entry = self.blocks[number].entry(hash(&rest), |other| *other == rest, hash);
        match entry {
            hashbrown::hash_table::Entry::Occupied(_) => false,
            hashbrown::hash_table::Entry::Vacant(place) => {
                place.insert(rest);
                true
            }
        }
    }
}

/// Hashes of ids: one multiplication of 64 by 64 bits, folded, with secrets of this run, so that nobody who makes events
/// can make ids that meet. A file of a million lines asks for as many, and the default hash is a tenth of such a run.
#[derive(Debug, Clone, Copy)]
struct IdHashes(u64, u64);

impl Default for IdHashes {
    fn default() -> Self {
        let secret = RandomState::new();
        Self(secret.hash_one(1), secret.hash_one(2))
    }
}

impl IdHashes {
    fn of(self, high: u64, low: u64) -> u64 {
        let product = u128::from(high ^ self.0).wrapping_mul(u128::from(low ^ self.1));
        #[expect(clippy::cast_possible_truncation, reason = "the halves of the product")]
        let (upper, lower) = ((product >> 64) as u64, product as u64);
        upper ^ lower
    }
}

impl BuildHasher for IdHashes {
    type Hasher = IdHash;

    fn build_hasher(&self) -> IdHash {
        IdHash { secrets: *self, hash: 0 }
    }
}

#[derive(Debug)]
struct IdHash {
    secrets: IdHashes,
    hash: u64,
}

impl Hasher for IdHash {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_be_bytes(word)
        });
        while let Some(high) = words.next() {
            self.hash = self.secrets.of(high, words.next().unwrap_or_default() ^ self.hash);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.hash = self.secrets.of(word, self.hash);
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_a_number_and_a_line_of_that_number_are_one() {
        let mut seen = Seen::default();
        let number = |number: u128| Some(Uuid::from_u128(number));
        assert!(seen.insert(None, 1) && seen.insert(None, 2) && seen.insert(number(5), 3));
        assert!(!seen.insert(number(2), 4), "line 2 has that id");
        assert!(!seen.insert(None, 5), "line 3 had the id 5");
        assert!(seen.insert(number(3), 6) && seen.insert(number(u128::MAX), 7) && !seen.insert(number(u128::MAX), 8));
    }

    /// Ids that differ in one bit, of all versions and times.
    #[test]
    fn every_bit_of_an_id_counts() {
        let mut seen = Seen::default();
        for version in [4_u128, 7] {
            let id = 0x0191_a000_1234_0000_8000_0000_0000_00aa | version << 76;
            let near = (0..128).map(|bit| id ^ 1 << bit).chain([id]);
            let ids: HashSet<Uuid> = near.map(Uuid::from_u128).collect();
            assert_eq!(ids.len(), 129);
            for id in &ids {
                // Of 4 and of 7 a changed bit makes 5 and 6.
                let both = version == 7 && [5, 6].contains(&(id.as_u128() >> 76 & 0xf));
                assert_eq!(seen.insert(Some(*id), 0), !both, "{id}");
            }
            for id in &ids {
                assert!(!seen.insert(Some(*id), 0), "{id}");
            }
        }
        assert_eq!(seen.timed.blocks.len(), 31, "30 bits of a time say which block it is");
    }
}
