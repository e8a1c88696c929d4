//! Numbers and texts in as few bytes as they take: seven bits a byte, the lowest first (LEB128); a text behind its length.

/// Writes a number.
pub(super) fn put(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(low(number) | 0x80);
        number >>= 7;
    }
    into.push(low(number));
}

/// Writes a text behind its length.
pub(super) fn put_text(into: &mut Vec<u8>, text: &[u8]) {
    put(into, text.len() as u64);
    into.extend_from_slice(text);
}

fn low(number: u64) -> u8 {
    #[expect(clippy::cast_possible_truncation, reason = "the bits above are written for themselves")]
    {
        number as u8
    }
}

/// Reads what was written; zero and no text where nothing is left.
#[derive(Debug, Clone)]
pub(super) struct Unpacked<'a>(pub(super) &'a [u8]);

impl<'a> Unpacked<'a> {
    pub(super) fn number(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        while let Some((byte, rest)) = self.0.split_first() {
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 || shift > 63 {
                break;
            }
        }
        number
    }

    pub(super) fn text(&mut self) -> &'a [u8] {
        let len = usize::try_from(self.number()).unwrap_or(usize::MAX).min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let numbers = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit]).chain([u64::MAX]);
        let mut bytes = Vec::new();
        for number in numbers.clone() {
            put(&mut bytes, number);
            put_text(&mut bytes, "ä".repeat(usize::try_from(number % 90).expect("small")).as_bytes());
        }
        let mut from = Unpacked(&bytes);
        for number in numbers {
            assert_eq!(from.number(), number);
            assert_eq!(from.text(), "ä".repeat(usize::try_from(number % 90).expect("small")).as_bytes());
        }
        assert!(from.is_empty());
        assert_eq!((from.number(), from.text()), (0, &[][..]));
    }
}
