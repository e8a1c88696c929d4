//! Drawn lines: the quick reader, the general one and a parsed object say the same of all of them.

use serde_json::Value;
use uuid::Uuid;

use super::read;
use super::reader::{Reader, Texts};
use super::slots::Slots;
use super::{Incoming, MAX_ATTRIBUTE_BYTES, WireError, from_value, parse, resolve};
use crate::Timestamp;

/// xorshift: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(most).expect("small")).expect("small")
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

/// [`parse`] as it would be without the quick reader.
fn general(line: &[u8]) -> Result<Incoming, WireError> {
    let mut slots = Slots::new();
    read::fill_from_any(line, &mut slots)?;
    resolve::resolve(&mut slots, &mut Texts::default(), line.len() > MAX_ATTRIBUTE_BYTES)
}

/// Whether it is a record.
fn compare(line: &[u8], reader: &mut Reader) -> bool {
    let parsed = parse(line);
    assert_eq!(parsed, general(line), "{}", String::from_utf8_lossy(line));
    let again = reader.parse(line);
    assert_eq!(parsed, again, "{}", String::from_utf8_lossy(line));
    if let Ok(activity) = again.and_then(|incoming| incoming.into_backtest(Timestamp::MIN, Uuid::nil())) {
        reader.done_with(activity);
    }
    parsed.is_ok()
}

const NAMES: &[&str] = &[
    "v",
    "event_id",
    "id",
    "occurred_at",
    "ts",
    "@timestamp",
    "user",
    "username",
    "user.name",
    "actor.user.name",
    "actor",
    "user_id",
    "session_id",
    "session",
    "role",
    "records",
    "reason",
    "action",
    "action_type",
    "event.action",
    "event",
    "resource",
    "url",
    "outcome",
    "source_ip",
    "ip",
    "source.ip",
    "source",
    "user_agent",
    "country",
    "log_type",
    "detail",
    "page_url",
    "attributes",
    "x",
    "ünï",
    "received_at",
    "",
    r"a\tb",
    r"us\u0065r",
];

const VALUES: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "7",
    "007",
    "-12.50",
    "1.0",
    "1.",
    "-",
    "1e2",
    "1E+400",
    "123456789012345678901234567890",
    "18446744073709551615",
    r#""""#,
    r#""View""#,
    r#""success""#,
    r#""unknown""#,
    r#""data_access""#,
    r#""192.0.2.1""#,
    r#""::ffff:192.0.2.1""#,
    r#""2026-03-01T12:00:00.1234567+01:00""#,
    r#""0197a3b2-0c4d-7e5f-8a6b-1c2d3e4f5a6b""#,
    r#""a \"quoted\" path C:\\x\\""#,
    r#""\u00e9\ud83d\ude00""#,
    r#""\ud800""#,
    r#""a\u0000b""#,
    r#""éé😀é""#,
    "\"a\u{1f}b\"",
    r#""12345678""#,
    r#""1234567""#,
    r#"[]"#,
    r#"[1,null,{"a":[null,"]}"]}]"#,
    r#"["a\u0000b"]"#,
    r#"{"name":"ada","id":1}"#,
    r#"{"user":{"name":"ada"}}"#,
    r#"{"action":"Other","outcome":"failure"}"#,
    r#"{"ip":"192.0.2.1","geo":{"country_iso_code":"DE"}}"#,
    r#"{"path":"/x","user":"u"}"#,
    r#"[}"#,
    r#"{"a" 1}"#,
    "tru",
];

#[test]
fn the_quick_reader_agrees_with_the_general_one() {
    let mut reader = Reader::default();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut records = 0;
    for round in 0..40_000 {
        let blank = if round % 4 == 0 { &["", " ", "\t\r\n "][..] } else { &[""][..] };
        let mut line = String::new();
        line.push_str(random.of(blank));
        line.push('{');
        for at in 0..random.below(8) {
            if at > 0 {
                line.push(',');
            }
            // Mostly a value that fits: what is refused tells little.
            let (name, value) = match random.below(3) {
                0 => ("action", r#""View""#),
                _ => (random.of(NAMES), random.of(VALUES)),
            };
            for part in [r#"""#, name, r#"""#] {
                line.push_str(part);
            }
            for part in [random.of(blank), ":", random.of(blank), value, random.of(blank)] {
                line.push_str(part);
            }
        }
        line.push_str(random.of(&["}", "}", "}", "} ", "", "}x", ",}"]));
        records += usize::from(compare(line.as_bytes(), &mut reader));
    }
    assert!(records > 3_000, "{records} were records");
}

#[test]
fn texts_of_all_lengths_end_where_they_end() {
    let mut reader = Reader::default();
    for length in 0..40 {
        for (at, odd) in (0..length).flat_map(|at| ["\\\"", "é", "\u{1}", "\u{7f}", " ", "/"].map(|odd| (at, odd))) {
            let text = format!("{}{odd}{}", "a".repeat(at), "b".repeat(length - at));
            compare(format!(r#"{{"action":"{text}"}}"#).as_bytes(), &mut reader);
            compare(format!(r#"{{"action":"x","{text}":1}}"#).as_bytes(), &mut reader);
        }
    }
}

#[test]
fn whatever_the_bytes_nothing_panics_and_all_ways_to_read_agree() {
    let seeds = [
        r#"{"v":1,"id":"0197a3b2-0c4d-7e5f-8a6b-1c2d3e4f5a6b","ts":"2026-03-01T12:00:00.5+01:00","user":{"name":"a"},"action":"x"}"#,
        r#"{"action":"Export","records":1.5e3,"source":{"ip":"::1","geo":{"country_iso_code":"DE"}},"x":[1,{"y":null}],"z":"\u00e9\n"}"#,
        r#"{"event":{"action":"View","outcome":"unknown"},"attributes":{"a":1,"user":"u"},"a":2,"ip":"","outcome":null}"#,
    ];
    let mut reader = Reader::default();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let alphabet = b"{}[]\",:\\u0019.eE+-tfn a\x00\xff";
    let mut read = 0;
    for round in 0..60_000 {
        let mut line = seeds[round % seeds.len()].as_bytes().to_vec();
        for _ in 0..=random.below(3) {
            let at = random.below(line.len());
            match random.below(3) {
                0 => line[at] = alphabet[random.below(alphabet.len())],
                1 => drop(line.remove(at)),
                _ => line.insert(at, alphabet[random.below(alphabet.len())]),
            }
        }
        compare(&line, &mut reader);
        let parsed = parse(&line);
        let Ok(Value::Object(object)) = serde_json::from_slice(&line) else {
            assert!(parsed.is_err(), "{}", String::from_utf8_lossy(&line));
            continue;
        };
        assert_eq!(from_value(object), parsed, "{}", String::from_utf8_lossy(&line));
        read += usize::from(parsed.is_ok());
    }
    assert!(read > 1_000, "{read} of the mutations were still records");
}
