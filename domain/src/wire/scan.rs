//! The line as nearly all are: an object of plain texts and numbers. Its members are found without a general JSON
//! reader; a value that is not plain (escapes, lists, objects) is cut out and handed to that one. What is wrong or strange
//! is left to it as a whole, so that there is one place that judges, and one wording.

use std::borrow::Cow;

use serde::de::DeserializeSeed;
use serde_json::Value;

use super::read::Slots;
use super::table::Key;
use super::value::{Raw, ValueSeed};

/// Sorts the members of a record into empty slots. `None`: the general reader has to look, at the whole line.
pub(super) fn fill<'a>(line: &'a str, slots: &mut Slots<'a>) -> Option<()> {
    let mut scan = Scan { line, at: 0 };
    scan.blanks();
    scan.take(b'{')?;
    scan.blanks();
    if scan.take(b'}').is_none() {
        loop {
            scan.take(b'"')?;
            let name = scan.plain_text()?;
            scan.blanks();
            scan.take(b':')?;
            scan.blanks();
            let raw = scan.value()?;
            match Key::of(name) {
                Some(key) => slots.put(key, raw),
                None => slots.put_attribute(Cow::Borrowed(name), raw),
            }
            scan.blanks();
            if scan.take(b',').is_none() {
                break;
            }
            scan.blanks();
        }
        scan.take(b'}')?;
    }
    scan.blanks();
    (scan.at == line.len()).then_some(())
}

struct Scan<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn here(&self) -> Option<u8> {
        self.line.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.here()? == byte).then(|| self.at += 1)
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.here() {
            self.at += 1;
        }
    }

    /// A value; the inner `None` is null.
    fn value(&mut self) -> Option<Option<Raw<'a>>> {
        let from = self.at;
        match self.here()? {
            b'"' => {
                self.at += 1;
                match self.plain_text() {
                    Some(text) => return Some(Some(Raw::Text(Cow::Borrowed(text)))),
                    None => self.end_of_text()?,
                }
            }
            b'{' | b'[' => self.end_of_nested()?,
            b'n' => return self.word("null").map(|()| None),
            b't' => return self.word("true").map(|()| Some(Raw::Other(Value::Bool(true)))),
            b'f' => return self.word("false").map(|()| Some(Raw::Other(Value::Bool(false)))),
            _ => return self.number().map(|digits| Some(Raw::Digits(digits))),
        }
        let mut json = serde_json::Deserializer::from_str(self.line.get(from..self.at)?);
        let raw = ValueSeed { depth: 0, bad: &mut None }.deserialize(&mut json).ok()?;
        json.end().ok()?;
        Some(raw)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.line.as_bytes()[self.at..].starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    /// The rest of a text without escapes, behind its opening quote. Stops at what is none.
    fn plain_text(&mut self) -> Option<&'a str> {
        let from = self.at;
        self.find(special, |byte| matches!(byte, b'"' | b'\\' | ..0x20))?;
        let text = self.line.get(from..self.at)?;
        self.take(b'"').map(|()| text)
    }

    /// Goes behind the quote that ends a text.
    fn end_of_text(&mut self) -> Option<()> {
        loop {
            self.find(special, |byte| matches!(byte, b'"' | b'\\' | ..0x20))?;
            match self.here()? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.at += 2,
                _ => return None,
            }
        }
    }

    /// Goes behind the bracket that ends a list or an object. Whether the brackets within fit is not asked here.
    fn end_of_nested(&mut self) -> Option<()> {
        let mut open = 0_u32;
        loop {
            match self.here()? {
                b'{' | b'[' => open += 1,
                b'}' | b']' => open -= 1,
                b'"' => {
                    self.at += 1;
                    self.end_of_text()?;
                    continue;
                }
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return Some(());
            }
        }
    }

    /// A number that stands for itself as it is written: no exponent, which the general reader writes anew.
    fn number(&mut self) -> Option<&'a str> {
        let from = self.at;
        if self.here()? == b'-' {
            self.at += 1;
        }
        let leading_zero = self.here()? == b'0';
        let digits = self.digits();
        if digits == 0 || leading_zero && digits > 1 {
            return None;
        }
        if self.take(b'.').is_some() && self.digits() == 0 {
            return None;
        }
        self.line.get(from..self.at)
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while self.here().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - from
    }

    /// Goes to the next byte of a kind: eight at once, which `among` marks by their highest bits, as long as there are so
    /// many. Marks may be wrong behind the first.
    fn find(&mut self, among: impl Fn(u64) -> u64, is: impl Fn(u8) -> bool) -> Option<()> {
        let bytes = self.line.as_bytes();
        while let Some(chunk) = bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            let marks = among(u64::from_le_bytes(*chunk));
            if marks != 0 {
                self.at += marks.trailing_zeros() as usize / 8;
                return Some(());
            }
            self.at += chunk.len();
        }
        let rest = bytes.get(self.at..)?.iter().position(|byte| is(*byte))?;
        self.at += rest;
        Some(())
    }
}

/// Each byte of a word.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Marks quotes, backslashes and what is below a blank, by the well-known way to find a zero in a word.
const fn special(word: u64) -> u64 {
    let (quote, backslash) = (word ^ each(b'"'), word ^ each(b'\\'));
    let zero = (quote.wrapping_sub(each(1)) & !quote) | (backslash.wrapping_sub(each(1)) & !backslash);
    let control = word.wrapping_sub(each(0x20)) & !word;
    (zero | control) & each(0x80)
}
