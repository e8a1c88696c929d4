//! Cutting a stream into lines, with a bound on each.

/// The longest line, in bytes.
pub(super) const MOST_LINE: usize = 64 * 1024;

/// One line of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Its bytes, without the end of line.
    Whole(Vec<u8>),
    /// It was longer than [`MOST_LINE`] and has been thrown away.
    TooLong,
}

/// Holds the begun line between two pieces of the stream.
#[derive(Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
    too_long: bool,
}

impl Lines {
    /// Takes a piece and hands out the lines that it completes.
    pub(super) fn feed(&mut self, piece: &[u8], mut out: impl FnMut(Line)) {
        let mut rest = piece;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            self.take(&rest[..at]);
            out(self.end());
            rest = &rest[at + 1..];
        }
        self.take(rest);
    }

    /// The last line, if the stream did not end with an end of line.
    pub(super) fn rest(&mut self) -> Option<Line> {
        (self.too_long || !self.begun.is_empty()).then(|| self.end())
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.too_long || self.begun.len() + bytes.len() > MOST_LINE + 1 {
            self.too_long = true;
            self.begun.clear();
        } else {
            self.begun.extend_from_slice(bytes);
        }
    }

    fn end(&mut self) -> Line {
        let mut line = std::mem::take(&mut self.begun);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if std::mem::take(&mut self.too_long) || line.len() > MOST_LINE { Line::TooLong } else { Line::Whole(line) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<Line> {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for piece in pieces {
            lines.feed(piece, |line| out.push(line));
        }
        out.extend(lines.rest());
        out
    }

    #[test]
    fn where_the_pieces_end_does_not_matter() {
        let whole = cut(&[b"one\r\ntwo\n\nthree"]);
        assert_eq!(whole, ["one", "two", "", "three"].map(|line| Line::Whole(line.as_bytes().to_vec())));
        let text = b"one\r\ntwo\n\nthree\n";
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(cut(&single), whole);
    }

    #[test]
    fn a_long_line_is_told_and_the_next_one_is_read() {
        let long = vec![b'x'; MOST_LINE];
        let longer = vec![b'x'; MOST_LINE + 1];
        assert_eq!(cut(&[&long, b"\r\n"]), [Line::Whole(long.clone())]);
        assert_eq!(cut(&[&longer, b"\nnext"]), [Line::TooLong, Line::Whole(b"next".to_vec())]);
        assert_eq!(cut(&[&longer, &longer]), [Line::TooLong]);
    }
}
