//! [`Sorted`]: the numbers of a window in order, for percentiles.

use rust_decimal::Decimal;

/// A piece has at most so many numbers: moving them is as little work as finding the piece.
const PIECE: usize = 512;

/// Numbers in order, in pieces of which none is empty: one more or less moves a piece and not all of them.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pieces: Vec<Vec<Decimal>>,
}

impl Sorted {
    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }

    /// The number at a place, from the smallest on.
    pub(super) fn get(&self, mut at: usize) -> Option<Decimal> {
        for piece in &self.pieces {
            match piece.get(at) {
                Some(number) => return Some(*number),
                None => at -= piece.len(),
            }
        }
        None
    }

    /// The first piece with a number that is not less, and the place of that there.
    fn place(&self, number: Decimal) -> (usize, usize) {
        let piece = self.pieces.partition_point(|piece| piece.last().is_some_and(|last| *last < number));
        let place = self.pieces.get(piece).map_or(0, |piece| piece.partition_point(|other| *other < number));
        (piece, place)
    }

    pub(super) fn insert(&mut self, number: Decimal) {
        let (mut piece, mut place) = self.place(number);
        if piece == self.pieces.len() {
            // Larger than all: behind the last, or the first of a new piece.
            match self.pieces.last() {
                Some(last) if last.len() < PIECE => (piece, place) = (piece - 1, last.len()),
                _ => self.pieces.push(Vec::new()),
            }
        }
        self.pieces[piece].insert(place, number);
        if self.pieces[piece].len() > PIECE {
            let upper = self.pieces[piece].split_off(PIECE / 2);
            self.pieces.insert(piece + 1, upper);
        }
    }

    /// Takes out a number that was put in.
    pub(super) fn remove(&mut self, number: Decimal) {
        let (piece, place) = self.place(number);
        let Some(numbers) = self.pieces.get_mut(piece) else { return };
        numbers.remove(place);
        if numbers.is_empty() {
            self.pieces.remove(piece);
        }
    }

    /// Heap memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        let pieces = self.pieces.iter().map(|piece| piece.capacity() * size_of::<Decimal>());
        self.pieces.capacity() * size_of::<Vec<Decimal>>() + pieces.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that come, and go once so many are there: it has the same as one list.
    fn like_a_list(numbers: impl Iterator<Item = u64>, most: usize) {
        let (mut sorted, mut list, mut came) = (Sorted::default(), Vec::new(), Vec::new());
        for number in numbers.map(Decimal::from) {
            sorted.insert(number);
            list.insert(list.partition_point(|other| *other < number), number);
            came.push(number);
            if list.len() > most {
                let first = came[came.len() - 1 - most];
                sorted.remove(first);
                list.remove(list.partition_point(|other| *other < first));
            }
            assert!(sorted.pieces.iter().all(|piece| (1..=PIECE).contains(&piece.len())));
            let at = list.len() / 3;
            assert_eq!((sorted.len(), sorted.get(at)), (list.len(), list.get(at).copied()));
        }
        assert_eq!(sorted.pieces.concat(), list);
        assert_eq!(sorted.get(list.len()), None);
        came[came.len() - list.len()..].iter().for_each(|number| sorted.remove(*number));
        assert!(sorted.pieces.is_empty());
    }

    #[test]
    fn it_is_a_list_in_order() {
        for most in [1, PIECE - 1, PIECE, 3 * PIECE] {
            like_a_list(0..4_000, most);
            like_a_list((0..4_000).rev(), most);
            like_a_list((0..4_000).map(|number| number * 7_919 % 1_009), most);
            like_a_list((0..4_000).map(|_| 5), most);
        }
    }
}
