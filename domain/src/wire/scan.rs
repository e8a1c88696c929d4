//! The line as nearly all are: an object of plain texts and numbers. Its members are found without a general JSON
//! reader; a value that is not plain (escapes, lists, objects) is cut out and handed to that one. What is wrong or strange
//! is left to it as a whole, so that there is one place that judges, and one wording.

use std::borrow::Cow;

use serde::de::DeserializeSeed;
use serde_json::Value;

use super::reader::Habit;
use super::slots::Slots;
use super::table::Key;
use super::value::{Raw, ValueSeed};

/// Sorts the members of a record into empty slots. `None`: the general reader has to look, at the whole line.
pub(super) fn fill<'a>(line: &'a str, slots: &mut Slots<'a>, habit: &mut Habit) -> Option<()> {
    // One look over the whole line, in which compilers use wide registers, spares two at each of its texts.
    let strange = line.bytes().fold(false, |strange, byte| strange | (byte == b'\\') | (byte < 0x20));
    let mut scan = Scan { line, at: 0, strange };
    scan.blanks();
    scan.take(b'{')?;
    scan.blanks();
    if scan.take(b'}').is_none() {
        for place in 0.. {
            scan.take(b'"')?;
            let name = scan.name(habit, place)?;
            scan.blanks();
            scan.take(b':')?;
            scan.blanks();
            let raw = scan.value()?;
            match name {
                Ok(key) => slots.put(key, raw),
                Err(name) => slots.put_attribute(Cow::Borrowed(name), raw),
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
    /// Whether there are escapes, or what texts must not have.
    strange: bool,
}

impl<'a> Scan<'a> {
    #[inline]
    fn here(&self) -> Option<u8> {
        self.line.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn take(&mut self, byte: u8) -> Option<()> {
        (self.here()? == byte).then(|| self.at += 1)
    }

    #[inline]
    fn blanks(&mut self) {
        if self.here() <= Some(b' ') {
            self.some_blanks();
        }
    }

    #[cold]
    fn some_blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.here() {
            self.at += 1;
        }
    }

    /// The rest of a name, behind its opening quote: a key, or else the name.
    #[inline]
    fn name(&mut self, habit: &mut Habit, place: usize) -> Option<Result<Key, &'a str>> {
        if let Some(key) = habit.expected(place)
            && key.quoted_at_start(&self.line.as_bytes()[self.at..])
        {
            self.at += key.name().len() + 1;
            return Some(Ok(key));
        }
        let name = self.plain_text()?;
        let key = Key::of(name);
        habit.learn(place, key);
        Some(key.ok_or(name))
    }

    /// A value; the inner `None` is null.
    #[inline]
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
    #[inline]
    fn plain_text(&mut self) -> Option<&'a str> {
        let from = self.at;
        if self.strange {
            self.find(special)?;
        } else {
            self.find(|word| zeros(word ^ each(b'"')))?;
        }
        let text = self.line.get(from..self.at)?;
        self.take(b'"').map(|()| text)
    }

    /// Goes behind the quote that ends a text.
    fn end_of_text(&mut self) -> Option<()> {
        loop {
            self.find(special)?;
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

    /// Goes to the next byte that `marks` finds in a word, by its highest bit: eight at once. Marks may be wrong behind
    /// the first.
    #[inline]
    fn find(&mut self, marks: impl Fn(u64) -> u64) -> Option<()> {
        let bytes = self.line.as_bytes();
        loop {
            let rest = bytes.get(self.at..)?;
            let Some(chunk) = rest.first_chunk() else {
                // Blanks are never marked.
                let mut chunk = [b' '; 8];
                chunk[..rest.len()].copy_from_slice(rest);
                let found = marks(u64::from_le_bytes(chunk));
                self.at += found.trailing_zeros() as usize / 8;
                return (found != 0).then_some(());
            };
            let found = marks(u64::from_le_bytes(*chunk));
            if found != 0 {
                self.at += found.trailing_zeros() as usize / 8;
                return Some(());
            }
            self.at += chunk.len();
        }
    }
}

/// Each byte of a word.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Marks the bytes of a word that are zero, and perhaps some behind the first of them.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(each(1)) & !word & each(0x80)
}

/// Marks quotes, backslashes and what is below a blank.
const fn special(word: u64) -> u64 {
    let control = word.wrapping_sub(each(0x20)) & !word & each(0x80);
    zeros(word ^ each(b'"')) | zeros(word ^ each(b'\\')) | control
}
