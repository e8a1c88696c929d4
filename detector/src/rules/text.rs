//! [`Pattern`]: how a text of a rule is compared with a text of an event.
//!
//! Case does not matter unless the rule says `cased`: both sides are folded, each character to its lower case. Nearly all
//! texts of events are ASCII, and those are compared where they lie, without a copy.

use std::borrow::Cow;

use super::sigma::{SpecialChar, StringPart};

/// A text of a rule, compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    cased: bool,
    shape: Shape,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Whole(String),
    Start(String),
    End(String),
    Inside(String),
    Anything,
    Glob(Vec<Token>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Char(char),
    One,
    Many,
}

/// Which part of the event's text the rule's text has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Whole,
    Start,
    End,
    Inside,
}

impl Pattern {
    /// A pattern from a rule's text and its wildcards.
    pub(super) fn new(parts: &[StringPart], part: Part, cased: bool) -> Self {
        let mut tokens = Vec::new();
        if matches!(part, Part::End | Part::Inside) {
            tokens.push(Token::Many);
        }
        for part in parts {
            match part {
                StringPart::Plain(text) if cased => tokens.extend(text.chars().map(Token::Char)),
                StringPart::Plain(text) => tokens.extend(folded(text).chars().map(Token::Char)),
                StringPart::Special(SpecialChar::WildcardMulti) => tokens.push(Token::Many),
                StringPart::Special(SpecialChar::WildcardSingle) => tokens.push(Token::One),
            }
        }
        if matches!(part, Part::Start | Part::Inside) {
            tokens.push(Token::Many);
        }
        tokens.dedup_by(|one, other| *one == Token::Many && *other == Token::Many);
        Self { cased, shape: Shape::of(tokens) }
    }

    /// A pattern that is one plain text.
    pub(super) fn plain(text: &str, part: Part, cased: bool) -> Self {
        Self::new(&[StringPart::Plain(text.to_owned())], part, cased)
    }

    /// The one text, folded, that this pattern matches; `None` if it is not so simple.
    pub(super) fn whole(&self) -> Option<&str> {
        match &self.shape {
            Shape::Whole(text) if !self.cased => Some(text),
            _ => None,
        }
    }

    /// Whether it matches a text.
    pub(super) fn matches(&self, text: &str) -> bool {
        if self.cased {
            return self.shape.matches(text, &Exact);
        }
        // The part that counts decides alone if it is ASCII: long texts are not looked through for it.
        let (part, ascii) = match &self.shape {
            Shape::Start(start) => (text.as_bytes().get(..start.len()), start),
            Shape::End(end) => (text.len().checked_sub(end.len()).map(|at| &text.as_bytes()[at..]), end),
            shape if text.is_ascii() => return shape.matches(text, &Ascii),
            shape => return shape.matches(&folded(text), &Exact),
        };
        match part {
            Some(part) if part.is_ascii() => Ascii.equal(part, ascii.as_bytes()),
            None if text.is_ascii() => false,
            _ => self.shape.matches(&folded(text), &Exact),
        }
    }

    /// How much work it is, in equalities.
    pub(super) fn cost(&self) -> u32 {
        match self.shape {
            Shape::Whole(_) | Shape::Start(_) | Shape::End(_) | Shape::Anything => 1,
            Shape::Inside(_) => 4,
            Shape::Glob(_) => 8,
        }
    }
}

/// Bytes of which a text has to begin, or end, with one to match any of several patterns. One look refutes most texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edge {
    end: bool,
    bytes: [u64; 4],
}

impl Edge {
    /// The edge of patterns that all have one, at the same side.
    pub(super) fn of<'a>(patterns: impl Iterator<Item = Option<&'a Pattern>>) -> Option<Self> {
        let mut edge: Option<Self> = None;
        for pattern in patterns {
            let (end, byte) = match pattern {
                Some(Pattern { cased: false, shape: Shape::Whole(text) | Shape::Start(text) }) => {
                    (false, text.bytes().next()?)
                }
                Some(Pattern { cased: false, shape: Shape::End(text) }) => (true, text.bytes().last()?),
                _ => return None,
            };
            let edge = edge.get_or_insert(Self { end, bytes: [0; 4] });
            if edge.end != end {
                return None;
            }
            edge.bytes[usize::from(byte >> 6)] |= 1 << (byte & 63);
        }
        edge
    }

    /// False: no pattern matches. True says nothing.
    pub(super) fn admits(&self, text: &str) -> bool {
        let byte = if self.end { text.as_bytes().last() } else { text.as_bytes().first() };
        match byte {
            Some(byte) if byte.is_ascii() => {
                let byte = byte.to_ascii_lowercase();
                self.bytes[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
            }
            // Folding may change what is not ASCII.
            Some(_) => true,
            None => false,
        }
    }
}

impl Shape {
    fn of(tokens: Vec<Token>) -> Self {
        let text = |tokens: &[Token]| -> Option<String> {
            tokens.iter().map(|token| if let Token::Char(c) = token { Some(*c) } else { None }).collect()
        };
        let simple = match tokens.as_slice() {
            [Token::Many] => Some(Self::Anything),
            [Token::Many, middle @ .., Token::Many] => text(middle).map(Self::Inside),
            [Token::Many, rest @ ..] => text(rest).map(Self::End),
            [rest @ .., Token::Many] => text(rest).map(Self::Start),
            all => text(all).map(Self::Whole),
        };
        simple.unwrap_or(Self::Glob(tokens))
    }

    fn matches(&self, text: &str, case: &impl Case) -> bool {
        match self {
            Self::Whole(whole) => whole.len() == text.len() && case.equal(text.as_bytes(), whole.as_bytes()),
            Self::Start(start) => {
                text.as_bytes().get(..start.len()).is_some_and(|head| case.equal(head, start.as_bytes()))
            }
            Self::End(end) => {
                text.len().checked_sub(end.len()).is_some_and(|at| case.equal(&text.as_bytes()[at..], end.as_bytes()))
            }
            Self::Inside(inside) => contains(text.as_bytes(), inside.as_bytes(), case),
            Self::Anything => true,
            Self::Glob(tokens) => glob(tokens, text, case),
        }
    }
}

/// How bytes and characters of an event are compared with those of a pattern. UTF-8 is such that a whole text never
/// begins in the midst of another's character, so parts can be compared as bytes.
trait Case {
    fn equal(&self, event: &[u8], pattern: &[u8]) -> bool;
    fn same(&self, event: char, pattern: char) -> bool;
}

/// As they are.
struct Exact;

impl Case for Exact {
    fn equal(&self, event: &[u8], pattern: &[u8]) -> bool {
        event == pattern
    }

    fn same(&self, event: char, pattern: char) -> bool {
        event == pattern
    }
}

/// An ASCII text with a folded pattern.
struct Ascii;

impl Case for Ascii {
    fn equal(&self, event: &[u8], pattern: &[u8]) -> bool {
        // The last byte differs more often than the first: prefixes are shared.
        event.last().map(u8::to_ascii_lowercase) == pattern.last().copied() && event.eq_ignore_ascii_case(pattern)
    }

    fn same(&self, event: char, pattern: char) -> bool {
        event.to_ascii_lowercase() == pattern
    }
}

fn contains(text: &[u8], inside: &[u8], case: &impl Case) -> bool {
    let Some(first) = inside.first() else {
        return true;
    };
    // The first byte decides nearly always.
    text.windows(inside.len()).any(|here| here[0].eq_ignore_ascii_case(first) && case.equal(here, inside))
}

/// Wildcards without recursion: on a mismatch, the last `*` takes one character more.
fn glob(tokens: &[Token], text: &str, case: &impl Case) -> bool {
    let mut rest = text.chars();
    let mut at = 0;
    let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        match tokens.get(at) {
            Some(Token::Many) => {
                at += 1;
                retry = Some((at, rest.clone()));
                continue;
            }
            Some(token) => {
                let mut next = rest.clone();
                let fits = match (token, next.next()) {
                    (_, None) => return false,
                    (Token::Char(c), Some(d)) => case.same(d, *c),
                    (Token::One | Token::Many, Some(_)) => true,
                };
                if fits {
                    rest = next;
                    at += 1;
                    continue;
                }
            }
            None if rest.as_str().is_empty() => return true,
            None => {}
        }
        let Some((after, from)) = &mut retry else {
            return false;
        };
        if from.next().is_none() {
            return false;
        }
        at = *after;
        rest = from.clone();
    }
}

/// Each character's lower case.
pub(super) fn folded(text: &str) -> Cow<'_, str> {
    if !text.is_ascii() {
        Cow::Owned(text.chars().flat_map(char::to_lowercase).collect())
    } else if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sigma::wildcards;
    use super::*;

    fn matches(pattern: &str, part: Part, text: &str) -> bool {
        Pattern::new(&wildcards(pattern), part, false).matches(text)
    }

    #[test]
    fn whole_values_wildcards_and_escapes() {
        for (pattern, yes, no) in [
            ("Login", vec!["login", "LOGIN"], vec!["logins", "alogin", ""]),
            ("inv*", vec!["inv", "INVENTORY/1"], vec!["in", "xinv"]),
            ("*/17", vec!["a/17", "/17"], vec!["a/17/", "17"]),
            ("*mid*", vec!["mid", "aMIDb"], vec!["mi", ""]),
            ("*", vec!["", "x"], vec![]),
            ("a?c", vec!["abc", "aéc"], vec!["ac", "abbc"]),
            ("a*b*c", vec!["abc", "aXbYbc", "abcbc"], vec!["abcb", "ab"]),
            ("?", vec!["x", "é"], vec!["", "xy"]),
            (r"a\*c", vec!["a*c"], vec!["abc"]),
            (r"a\\*", vec![r"a\", r"a\b"], vec!["ab"]),
            (r"\Windows\", vec![r"\windows\"], vec!["windows"]),
            ("", vec![""], vec!["x"]),
            ("ÄRGER*", vec!["ärger", "Ärger/1"], vec!["arger", "aerger"]),
            ("kelvin", vec!["\u{212a}elvin"], vec!["ⓚelvin"]),
        ] {
            for text in yes {
                assert!(matches(pattern, Part::Whole, text), "{pattern} ~ {text}");
            }
            for text in no {
                assert!(!matches(pattern, Part::Whole, text), "{pattern} !~ {text}");
            }
        }
    }

    #[test]
    fn parts() {
        assert!(matches("users/", Part::Start, "Users/3") && !matches("users/", Part::Start, "xusers/3"));
        assert!(matches(".COM", Part::End, "a.com") && !matches(".com", Part::End, "a.comx"));
        assert!(matches("word", Part::Inside, "PassWord1") && !matches("word", Part::Inside, "wor"));
        assert!(matches("a?c", Part::Inside, "xxabcxx") && matches("a*z", Part::Start, "abzq"));
        assert!(matches("", Part::Inside, "") && matches("", Part::Start, "x"));
        assert!(matches("é", Part::Inside, "CAFÉ"));
    }

    #[test]
    fn cased() {
        let pattern = Pattern::plain("Root", Part::Whole, true);
        assert!(pattern.matches("Root") && !pattern.matches("root"));
        let inside = Pattern::plain("Ab", Part::Inside, true);
        assert!(inside.matches("xAb") && !inside.matches("xab"));
    }

    #[test]
    fn edges_refute_only_what_cannot_match() {
        let pattern = |text: &str, part| Pattern::new(&wildcards(text), part, false);
        let starts = [pattern("users/", Part::Start), pattern("Öl", Part::Whole), pattern("k*", Part::Whole)];
        let edge = Edge::of(starts.iter().map(Some)).unwrap();
        for text in ["Users/3", "ÖL", "öl", "\u{212a}x", "kx"] {
            assert!(edge.admits(text), "{text}");
        }
        assert!(!edge.admits("xusers/") && !edge.admits(""));
        let ends = [pattern("]", Part::End), pattern("É", Part::End)];
        let edge = Edge::of(ends.iter().map(Some)).unwrap();
        assert!(edge.admits("a]") && edge.admits("É") && !edge.admits("]a"));
        for none in [
            pattern("", Part::Whole),
            pattern("x", Part::Inside),
            pattern("*", Part::Whole),
            pattern("a*b", Part::Whole),
        ] {
            assert_eq!(Edge::of([Some(&none)].into_iter()), None);
        }
        assert_eq!(Edge::of([Some(&starts[0]), Some(&ends[0])].into_iter()), None);
        assert_eq!(Edge::of([Some(&starts[0]), None].into_iter()), None);
    }

    #[test]
    fn many_stars_end_in_time() {
        let pattern = format!("{}b", "a*".repeat(200));
        assert!(!matches(&pattern, Part::Whole, &"a".repeat(20_000)));
    }

    proptest::proptest! {
        #[test]
        fn globs_agree_with_regular_expressions(pattern in "[ab*?é]{0,8}", text in "[abé]{0,10}") {
            let source: String = pattern.chars().map(|c| match c { '*' => ".*".into(), '?' => ".".into(), c => c.to_string() }).collect();
            let regex = regex::Regex::new(&format!("(?s)^(?:{source})$")).unwrap();
            proptest::prop_assert_eq!(matches(&pattern, Part::Whole, &text), regex.is_match(&text));
        }
    }
}
