//! YAML → [`Node`]: every value with its place, nothing that could be read in two ways.
//!
//! What reads Sigma elsewhere differs in corners of YAML, and a rule must mean the same everywhere. So tags, merge keys,
//! keys that are no text and double keys are refused here. Depth and size are bounded before anything is built, so
//! no input can exhaust stack or memory, through aliases neither.

use std::collections::{HashMap, HashSet};

use rust_decimal::Decimal;
use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::finding::{Mark, Report, quoted};
use super::node::{Key, Node, Value};

/// Most lists and maps inside each other; rules need six.
const MAX_DEPTH: usize = 24;
/// Most values of a file, aliases counted as what they stand for.
const MAX_NODES: usize = 100_000;
/// Longest key in bytes.
const MAX_KEY: usize = 256;

/// A list or map under construction.
struct Frame {
    at: Mark,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, seen: HashSet<String>, key: Option<Key> },
}

/// Reads the documents of a file. What is found wrong stands in the report; then the documents must not be used.
pub(super) fn read(text: &str, report: &mut Report) -> Vec<Node> {
    let mut reader = Reader { report, documents: Vec::new(), stack: Vec::new(), anchors: HashMap::new(), nodes: 0 };
    let mut parser = Parser::new_from_str(text);
    loop {
        match parser.next_event() {
            Some(Ok((event, span))) => {
                if reader.take(event, mark(&span)).is_none() {
                    break;
                }
            }
            Some(Err(error)) => {
                let at = error.marker();
                reader.report.error(Mark { line: at.line().max(1), column: at.col() + 1 }, error.info());
                break;
            }
            None => break,
        }
    }
    reader.documents
}

fn mark(span: &Span) -> Mark {
    Mark { line: span.start.line().max(1), column: span.start.col() + 1 }
}

struct Reader<'r> {
    report: &'r mut Report,
    documents: Vec<Node>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl Reader<'_> {
    /// Takes an event; `None` ends the reading, after an error or at the end.
    fn take(&mut self, event: Event<'_>, at: Mark) -> Option<()> {
        match event {
            Event::Nothing | Event::StreamStart | Event::DocumentEnd => Some(()),
            Event::StreamEnd => None,
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Some(())
            }
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id) else {
                    return self.refuse(at, "an alias stands inside of what it stands for");
                };
                if self.stack.len() + node.depth() > MAX_DEPTH {
                    return self.refuse(at, "nested too deeply");
                }
                // The size is asked before the copy is made.
                let size = node.size();
                self.count(size, at)?;
                let mut node = self.anchors.get(&id)?.clone();
                node.at = at;
                self.put(node, 0)
            }
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                self.refuse(at, "tags (`!…`) mean different things to different readers; write the plain value")
            }
            Event::Scalar(text, style, anchor, None) => {
                self.count(1, at)?;
                if self.wants_key() {
                    return self.put_key(&text, style, at);
                }
                let value =
                    if style == ScalarStyle::Plain { plain(&text) } else { Some(Value::Text(text.into_owned())) };
                match value {
                    Some(value) => self.put(Node { at, value }, anchor),
                    None => self.refuse(at, "numbers have at most 28 digits"),
                }
            }
            Event::SequenceStart(anchor, None) => self.open(at, anchor, Content::List(Vec::new())),
            Event::MappingStart(anchor, None) => {
                self.open(at, anchor, Content::Map { entries: Vec::new(), seen: HashSet::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let frame = self.stack.pop()?;
                let value = match frame.content {
                    Content::List(items) => Value::List(items),
                    Content::Map { entries, .. } => Value::Map(entries),
                };
                self.put(Node { at: frame.at, value }, frame.anchor)
            }
        }
    }

    fn refuse(&mut self, at: Mark, message: &str) -> Option<()> {
        self.report.error(at, message);
        None
    }

    fn count(&mut self, nodes: usize, at: Mark) -> Option<()> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return self.refuse(at, "more than 100,000 values in one file; split it");
        }
        Some(())
    }

    fn wants_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame { content: Content::Map { key: None, .. }, .. }))
    }

    fn open(&mut self, at: Mark, anchor: usize, content: Content) -> Option<()> {
        if self.wants_key() {
            return self.refuse(at, "a key must be text");
        }
        if self.stack.len() >= MAX_DEPTH {
            return self.refuse(at, "nested too deeply");
        }
        self.count(1, at)?;
        self.stack.push(Frame { at, anchor, content });
        Some(())
    }

    fn put_key(&mut self, text: &str, style: ScalarStyle, at: Mark) -> Option<()> {
        if style == ScalarStyle::Plain && !matches!(plain(text), Some(Value::Text(_))) {
            self.report.error_hint(at, format!("the key {} is no text", quoted(text)), "quote it");
        } else if text == "<<" {
            self.report.error_hint(at, "merge keys are not read by every tool", "write the values out");
        } else if text.len() > MAX_KEY {
            self.report.error(at, "keys have at most 256 bytes");
        }
        if let Some(Frame { content: Content::Map { seen, key, .. }, .. }) = self.stack.last_mut() {
            if !seen.insert(text.to_owned()) {
                self.report.error(at, format!("the key {} stands here twice", quoted(text)));
            }
            *key = Some(Key { at, text: text.to_owned() });
        }
        Some(())
    }

    fn put(&mut self, node: Node, anchor: usize) -> Option<()> {
        if self.wants_key() {
            return self.refuse(node.at, "a key must be text");
        }
        if anchor != 0 {
            self.count(node.size(), node.at)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut().map(|frame| &mut frame.content) {
            None => self.documents.push(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { entries, key, .. }) => entries.push((key.take()?, node)),
        }
        Some(())
    }
}

/// What an unquoted word is, by YAML 1.2's core schema; `None` for a number that does not fit.
fn plain(text: &str) -> Option<Value> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => match radix(text).or_else(|| decimal(text)) {
            Some(number) => Value::Number(number?, text.to_owned()),
            None => Value::Text(text.to_owned()),
        },
    })
}

/// `0x1f`, `0o17`.
fn radix(text: &str) -> Option<Option<Decimal>> {
    let (digits, radix) = match text.get(..2)? {
        "0x" => (&text[2..], 16),
        "0o" => (&text[2..], 8),
        _ => return None,
    };
    let all_digits = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    all_digits.then(|| u64::from_str_radix(digits, radix).ok().map(Decimal::from))
}

/// A decimal number. The outer `None`: it is none; digits with a leading zero are text, as in `007`.
fn decimal(text: &str) -> Option<Option<Decimal>> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    super::field::is_number(text).then(|| super::field::exact(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(text: &str) -> Result<Vec<Node>, String> {
        let mut report = Report::new("t");
        let documents = read(text, &mut report);
        match report.into_findings().first() {
            None => Ok(documents),
            Some(finding) => Err(finding.to_string()),
        }
    }

    #[test]
    fn words_are_read_by_the_core_schema() {
        for (word, json) in [
            ("~", "null"),
            ("True", "true"),
            ("yes", r#""yes""#),
            ("12", "12"),
            ("-1.50", "-1.5"),
            ("1e3", "1000"),
            ("0x1F", "31"),
            ("007", r#""007""#),
            ("1_000", r#""1_000""#),
            ("'12'", r#""12""#),
            ("2026-11-24", r#""2026-11-24""#),
            ("\"\\u00e9\\x07\\U0001F600\"", r#""é\u0007😀""#),
        ] {
            assert_eq!(
                documents(&format!("a: {word}")).unwrap()[0].canonical(),
                format!("{{\"a\": {json}}}"),
                "{word}"
            );
        }
    }

    #[test]
    fn documents_and_their_places() {
        let docs = documents("a: 1\n---\n# note\nb:\n    - x\n    - {c: *d}\n".replace("*d", "d").as_str()).unwrap();
        assert_eq!(docs.len(), 2);
        assert_eq!(docs[1].at, Mark { line: 4, column: 1 });
        let list = docs[1].get("b").unwrap();
        assert_eq!(list.canonical(), r#"["x",{"c": "d"}]"#);
        let Value::List(items) = &list.value else { panic!("a list") };
        assert_eq!(items[1].at, Mark { line: 6, column: 7 });
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (text, message) in [
            ("a: 1\na: 2", "t:2:1: error: the key `a` stands here twice"),
            ("1: a", "t:1:1: error: the key `1` is no text (quote it)"),
            ("a: !!str 1", "t:1:4: error: tags"),
            ("x: &x {a: 1}\ny:\n  <<: *x", "t:3:3: error: merge keys"),
            ("? [a]\n: b", "t:1:3: error: a key must be text"),
            ("a: &a [*a]", "t:1:8: error: an alias stands inside"),
            ("a: 1e99", "t:1:4: error: numbers have at most 28 digits"),
            ("a: [", "t:"),
            ("a: *x", "t:1:4: error"),
        ] {
            let error = documents(text).expect_err(text);
            assert!(error.starts_with(message), "{text}: {error}");
        }
    }

    #[test]
    fn aliases_are_values_and_no_bombs() {
        assert_eq!(documents("a: &x [1]\nb: *x").unwrap()[0].canonical(), r#"{"a": [1],"b": [1]}"#);
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for i in 1..12 {
            let row = vec![format!("*a{}", i - 1); 10].join(",");
            bomb.push_str(&format!("a{i}: &a{i} [{row}]\n"));
        }
        assert!(documents(&bomb).unwrap_err().contains("100,000 values"));
        let tower: String =
            (1..99).fold("a0: &a0 [x]\n".to_owned(), |text, i| format!("{text}a{i}: &a{i} [*a{}]\n", i - 1));
        assert!(documents(&tower).unwrap_err().contains("nested too deeply"));
    }

    #[test]
    fn depth_is_an_error_and_no_crash() {
        for text in ["[".repeat(100_000), "{a: ".repeat(50_000), "- ".repeat(100_000), "? ".repeat(100_000)] {
            assert!(documents(&text).is_err());
        }
        let block: String = (0..2_000).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
        assert!(documents(&block).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(?s)[-a:&*?!|>'\"%@`{}\\[\\], \n\t#0-9\\\\~<é\u{0}\u{feff}]{0,80}") {
            let _ = documents(&text);
        }

        #[test]
        fn any_unicode_is_read_or_refused(text in "(?s).{0,60}") {
            let _ = documents(&text);
        }
    }
}
