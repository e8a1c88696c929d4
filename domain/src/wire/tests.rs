//! The activity table of the contract, line by line.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Incoming, MAX_DEPTH, WireError, from_value, late, parse};
use crate::{Activity, LogType, MINUTE, Outcome, SECOND, Timestamp};

fn read(line: &str) -> Incoming {
    let incoming = parse(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"));
    // What is read from a parsed object must be the same.
    if let Ok(Value::Object(object)) = serde_json::from_str(line) {
        assert_eq!(from_value(object).as_ref(), Ok(&incoming), "{line}");
    }
    incoming
}

fn refused(line: &str) -> WireError {
    let error = parse(line.as_bytes()).expect_err(line);
    if let Ok(Value::Object(object)) = serde_json::from_str(line) {
        assert_eq!(from_value(object).as_ref(), Err(&error), "{line}");
    }
    error
}

/// `members` beside an action.
fn with(members: &str) -> String {
    format!(r#"{{"action":"View",{members}}}"#)
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("valid")
}

#[test]
fn every_member_is_read_under_its_own_name() {
    let incoming = read(
        r#"{"v":1,"event_id":"0197A3B20C4D7E5F8A6B1C2D3E4F5A6B","occurred_at":"2026-03-01T12:00:00.1234567+01:00","user":"Ada",
        "user_id":7,"session_id":"s","role":"Admin","records":12,"reason":"r","action":"Export","resource":"inventory",
        "outcome":"denied","source_ip":"2001:DB8:0::1","user_agent":"curl","country":"DE","log_type":"data_access",
        "detail":"d","page_url":"/p"}"#,
    );
    assert_eq!(incoming.event_id, Uuid::try_parse("0197a3b2-0c4d-7e5f-8a6b-1c2d3e4f5a6b").ok());
    assert_eq!(incoming.occurred_at, Some(at("2026-03-01T11:00:00.123456Z")));
    assert_eq!(incoming.user.as_deref(), Some("Ada"));
    assert_eq!((incoming.user_id, incoming.records), (Some(7), Some(12)));
    assert_eq!(incoming.session_id.as_deref(), Some("s"));
    assert_eq!(incoming.role.as_deref(), Some("Admin"));
    assert_eq!(incoming.reason.as_deref(), Some("r"));
    assert_eq!(incoming.action, "Export");
    assert_eq!(incoming.resource.as_deref(), Some("inventory"));
    assert_eq!(incoming.outcome, Some(Outcome::Denied));
    assert_eq!(incoming.source_ip.expect("there").to_string(), "2001:db8::1");
    assert_eq!(incoming.user_agent.as_deref(), Some("curl"));
    assert_eq!(incoming.country.as_deref(), Some("DE"));
    assert_eq!(incoming.log_type, Some(LogType::DataAccess));
    assert_eq!(incoming.detail.as_deref(), Some("d"));
    assert_eq!(incoming.page_url.as_deref(), Some("/p"));
    assert!(incoming.attributes.is_empty());
}

#[test]
fn every_alias_is_read_and_leaves_nothing_behind() {
    let user = |incoming: &Incoming| incoming.user.clone();
    let ip = |incoming: &Incoming| incoming.source_ip.map(|ip| ip.to_string());
    let resource = |incoming: &Incoming| incoming.resource.clone();
    let agent = |incoming: &Incoming| incoming.user_agent.clone();
    let country = |incoming: &Incoming| incoming.country.clone();
    let session = |incoming: &Incoming| incoming.session_id.clone();
    let detail = |incoming: &Incoming| incoming.detail.clone();
    let time = |incoming: &Incoming| incoming.occurred_at.map(|time| time.to_string());
    let id = |incoming: &Incoming| incoming.event_id.map(|id| id.to_string());
    type Get<'a> = &'a dyn Fn(&Incoming) -> Option<String>;
    let cases: &[(&str, Get<'_>, &str)] = &[
        (r#""id":"{00000000-0000-0000-0000-00000000000A}""#, &id, "00000000-0000-0000-0000-00000000000a"),
        (r#""ts":"2026-01-01T00:00:00Z""#, &time, "2026-01-01T00:00:00Z"),
        (r#""timestamp":"2026-01-01T00:00:00Z""#, &time, "2026-01-01T00:00:00Z"),
        (r#""@timestamp":"2026-01-01T00:00:00Z""#, &time, "2026-01-01T00:00:00Z"),
        (r#""username":"a""#, &user, "a"),
        (r#""user.name":"a""#, &user, "a"),
        (r#""user":{"name":"a"}"#, &user, "a"),
        (r#""actor.user.name":"a""#, &user, "a"),
        (r#""actor":{"user":{"name":"a"}}"#, &user, "a"),
        (r#""session":"s""#, &session, "s"),
        (r#""url.path":"/x""#, &resource, "/x"),
        (r#""url":{"path":"/x"}"#, &resource, "/x"),
        (r#""ip":"::ffff:192.0.2.1""#, &ip, "192.0.2.1"),
        (r#""ip_address":"192.0.2.1""#, &ip, "192.0.2.1"),
        (r#""source.ip":"192.0.2.1""#, &ip, "192.0.2.1"),
        (r#""source":{"ip":"192.0.2.1"}"#, &ip, "192.0.2.1"),
        (r#""src_endpoint.ip":"192.0.2.1""#, &ip, "192.0.2.1"),
        (r#""src_endpoint":{"ip":"192.0.2.1"}"#, &ip, "192.0.2.1"),
        (r#""user_agent.original":"x""#, &agent, "x"),
        (r#""user_agent":{"original":"x"}"#, &agent, "x"),
        (r#""geo_location":"DE""#, &country, "DE"),
        (r#""source.geo.country_iso_code":"DE""#, &country, "DE"),
        (r#""source":{"geo":{"country_iso_code":"DE"}}"#, &country, "DE"),
        (r#""action_detail":"x""#, &detail, "x"),
    ];
    for (members, get, value) in cases {
        let incoming = read(&with(members));
        assert_eq!(get(&incoming).as_deref(), Some(*value), "{members}");
        assert!(incoming.attributes.is_empty(), "{members}");
    }
    for action in [r#"{"action_type":"x"}"#, r#"{"event.action":"x"}"#, r#"{"event":{"action":"x"}}"#] {
        assert_eq!(read(action).action, "x");
    }
    for outcome in [r#""event.outcome":"failure""#, r#""event":{"outcome":"failure"}"#] {
        assert_eq!(read(&with(outcome)).outcome, Some(Outcome::Failure));
    }
}

#[test]
fn the_first_in_the_tables_order_wins_and_another_that_differs_is_kept() {
    let incoming = read(&with(r#""username":"b","user":"a","user.name":"a","actor":{"user":{"name":"c","id":1}}"#));
    assert_eq!(incoming.user.as_deref(), Some("a"));
    assert_eq!(json!(incoming.attributes), json!({"username":"b","actor":{"user":{"name":"c","id":1}}}));

    let incoming = read(&with(r#""user":{"name":"path"},"user.name":"literal""#));
    assert_eq!(incoming.user.as_deref(), Some("literal"));
    assert_eq!(json!(incoming.attributes), json!({"user":{"name":"path"}}));

    // The same moment, the same number, the same address: nothing differs.
    let incoming = read(&with(
        r#""occurred_at":"2026-01-01T00:00:00Z","ts":"2026-01-01T01:00:00+01:00","ip":"::ffff:192.0.2.1","source":{"ip":"192.0.2.1"},
        "event_id":"00000000-0000-0000-0000-00000000000a","id":"0000000000000000000000000000000A""#,
    ));
    assert!(incoming.attributes.is_empty(), "{:?}", incoming.attributes);

    // Who does not win may be anything.
    let incoming = read(&with(
        r#""event_id":"00000000-0000-0000-0000-00000000000a","id":17,"timestamp":"noon","ts":"2026-01-01T00:00:00Z""#,
    ));
    assert_eq!(json!(incoming.attributes), json!({"id":17,"timestamp":"noon"}));
}

#[test]
fn what_is_not_consumed_of_an_object_stays_readable_by_path() {
    let incoming = read(
        r#"{"event":{"action":"x","outcome":"unknown","kind":"event"},"source":{"ip":"192.0.2.1","port":22,"geo":{"country_iso_code":"DE","city":"Ulm"}},
        "user":{"name":"a","id":"7"},"user_agent":{"original":"x","device":{"name":"y"}},"url":{"path":"/x","query":"q"}}"#,
    );
    assert_eq!(incoming.outcome, Some(Outcome::Success));
    assert_eq!(
        json!(incoming.attributes),
        json!({"event":{"kind":"event"},"source":{"port":22,"geo":{"city":"Ulm"}},"user":{"id":"7"},"user_agent":{"device":{"name":"y"}},"url":{"query":"q"}})
    );
    let incoming = read(&with(r#""source":"text","url":["x"],"actor":{},"event":{"action":"Other"}"#));
    assert_eq!(incoming.action, "View");
    assert_eq!(json!(incoming.attributes), json!({"source":"text","url":["x"],"actor":{},"event":{"action":"Other"}}));
}

#[test]
fn null_and_an_empty_address_are_absent_and_other_empty_texts_are_values() {
    let incoming = read(&with(
        r#""user":null,"username":"","session":null,"source_ip":"","ip":"192.0.2.1","outcome":null,"country":null,"detail":"","x":null,"records":"""#,
    ));
    assert_eq!(incoming.user.as_deref(), Some(""));
    assert_eq!(incoming.detail.as_deref(), Some(""));
    assert_eq!((incoming.session_id, incoming.outcome, incoming.country, incoming.records), (None, None, None, None));
    assert_eq!(incoming.source_ip.expect("the alias").to_string(), "192.0.2.1");
    assert!(incoming.attributes.is_empty());
    assert_eq!(read(&with(r#""ip":"""#)).source_ip, None);
}

#[test]
fn everything_else_is_kept_as_it_came() {
    let incoming = read(&with(
        r#""n":0.70,"big":123456789012345678901234567890,"exp":1E400,"list":[1,null,{"a":null}],"flag":true,"text":"\u00e9\ud83d\ude00""#,
    ));
    let text = serde_json::to_string(&incoming.attributes).expect("json");
    assert_eq!(
        text,
        r#"{"big":123456789012345678901234567890,"exp":1e+400,"flag":true,"list":[1,null,{"a":null}],"n":0.70,"text":"é😀"}"#
    );
}

#[test]
fn names_of_provenance_are_attributes() {
    let incoming = read(&with(
        r#""received_at":"2020-01-01T00:00:00Z","origin":"api","known_user":true,"late":true,"clock_skew":true,"request_id":"r""#,
    ));
    let activity = incoming.into_activity(at("2026-01-01T00:00:00Z"), Uuid::from_u128(1), "ingest:fw");
    assert_eq!(
        json!(activity.attributes),
        json!({"received_at":"2020-01-01T00:00:00Z","origin":"api","known_user":true,"late":true,"clock_skew":true,"request_id":"r"})
    );
    assert_eq!(activity.origin, "ingest:fw");
    assert_eq!((activity.known_user, activity.late, activity.clock_skew), (false, false, false));
    assert_eq!((activity.request_id, activity.received_at), (None, at("2026-01-01T00:00:00Z")));
}

#[test]
fn our_own_published_form_reads_back() {
    let mut activity = Activity::new(Uuid::from_u128(9), "View", at("2026-01-01T00:00:00Z"));
    activity.user = Some("ada".into());
    activity.attributes = serde_json::from_str(r#"{"dept":"x","origin":"y"}"#).expect("valid");
    let incoming = read(&activity.to_json());
    assert_eq!(incoming.event_id, Some(activity.event_id));
    assert_eq!(incoming.attributes["dept"], "x");
    // Provenance stands outside, so the attribute of the same name stays inside.
    assert_eq!(incoming.attributes["origin"], "api");
    assert_eq!(incoming.attributes["attributes"], json!({"origin":"y"}));
    assert_eq!(read(&with(r#""attributes":[1]"#)).attributes["attributes"], json!([1]));
}

#[test]
fn what_no_record_may_hold_is_refused_in_a_key_that_is_overwritten() {
    // A parsed object knows the last of a key alone; the line is the stricter way in.
    let line = with(r#""user":"a\u0000b","user":"ada""#);
    assert_eq!(parse(line.as_bytes()).expect_err("a NUL").field, "user");
    let object = serde_json::from_str(&line).expect("valid JSON");
    assert_eq!(from_value(object).expect("the last one").user.as_deref(), Some("ada"));
}

#[test]
fn of_a_key_that_stands_twice_the_last_counts() {
    let incoming = read(r#"{"action":"a","x":1,"user":"u","action":"b","x":null,"y":1,"y":2,"user":null}"#);
    assert_eq!((incoming.action.as_str(), incoming.user), ("b", None));
    assert_eq!(json!(incoming.attributes), json!({"y":2}));
}

#[test]
fn numbers_may_come_as_texts() {
    let incoming = read(&with(r#""user_id":"007","records":"1e2""#));
    assert_eq!((incoming.user_id, incoming.records), (Some(7), Some(100)));
    assert_eq!(read(&with(r#""records":10.0"#)).records, Some(10));
}

#[test]
fn what_is_wrong_is_refused_by_the_name_it_was_sent_under() {
    for (line, field) in [
        (r#"{"user":"a"}"#.to_owned(), "action"),
        (r#"{"action":null}"#.to_owned(), "action"),
        (r#"{"action":""}"#.to_owned(), "action"),
        (r#"{"event":{"action":7}}"#.to_owned(), "event.action"),
        (format!(r#"{{"action_type":"{}"}}"#, "x".repeat(65)), "action_type"),
        (with(r#""v":2"#), "v"),
        (with(r#""v":"x""#), "v"),
        (with(r#""id":7"#), "id"),
        (with(r#""event_id":"7""#), "event_id"),
        (with(r#""ts":"2026-01-01T00:00:00""#), "ts"),
        (with(r#""occurred_at":1767225600"#), "occurred_at"),
        (with(r#""user":["a"]"#), "user"),
        (with(r#""user":{"name":1}"#), "user.name"),
        (with(r#""user_id":1.5"#), "user_id"),
        (with(r#""records":"many""#), "records"),
        (with(r#""outcome":"unknown""#), "outcome"),
        (with(r#""log_type":"other""#), "log_type"),
        (with(r#""source_ip":"1.2.3""#), "source_ip"),
        (with(r#""source":{"ip":"x"}"#), "source.ip"),
        (with(r#""user":"a\u0000b""#), "user"),
        (with(r#""x":["a\u0000b"]"#), "x"),
        (with(r#""x":{"a\u0000b":1}"#), "x"),
        (with(r#""a\u0000b":1"#), "a\u{fffd}b"),
        (with(&format!(r#""user":"{}""#, "x".repeat(256))), "user"),
        ("[]".to_owned(), "line"),
        ("7".to_owned(), "line"),
        (String::new(), "line"),
        (r#"{"action":"View""#.to_owned(), "line"),
        (r#"{"action":"View"} x"#.to_owned(), "line"),
        (r#"{"action":"\ud800"}"#.to_owned(), "line"),
    ] {
        let error = refused(&line);
        assert_eq!(error.field, field, "{line}: {error}");
        assert!(error.message.len() > 10 && !error.message.contains('\n'), "{error}");
    }
    assert_eq!(parse(b"{\"action\":\"\xff\"}").expect_err("no UTF-8").field, "line");
    for version in ["1", "1.0", "1.7", "\"1\"", "\"1.2\"", "null"] {
        read(&with(&format!(r#""v":{version}"#)));
    }
}

#[test]
fn limits_count_characters_members_and_bytes() {
    assert_eq!(read(&format!(r#"{{"action":"{}"}}"#, "é".repeat(64))).action.chars().count(), 64);
    let many = |n: usize| with(&(0..n).map(|i| format!(r#""a{i}":{i}"#)).collect::<Vec<_>>().join(","));
    assert_eq!(read(&many(32)).attributes.len(), 32);
    assert_eq!(refused(&many(33)).field, "attributes");
    // {"x":"…"} has eight bytes beside the text.
    let long = |n: usize| with(&format!(r#""x":"{}""#, "x".repeat(n)));
    read(&long(16 * 1024 - 8));
    assert_eq!(refused(&long(16 * 1024 - 7)).field, "attributes");
    // Known members do not count towards the bytes.
    read(&with(&format!(r#""x":"{}","detail":"{}""#, "x".repeat(16_000), "d".repeat(8_192))));
}

#[test]
fn nesting_is_bounded_so_that_what_is_stored_can_be_read_again() {
    let nested = |n: usize| with(&format!(r#""x":{}0{}"#, "[".repeat(n), "]".repeat(n)));
    let incoming = read(&nested(MAX_DEPTH));
    let activity = incoming.into_activity(at("2026-01-01T00:00:00Z"), Uuid::from_u128(1), "api");
    assert_eq!(Activity::from_json(&activity.to_json()), Ok(activity));
    assert_eq!(refused(&nested(MAX_DEPTH + 1)).field, "x");
    let deep = with(&format!(r#""x":{}"#, r#"{"a":"#.repeat(100_000)));
    assert_eq!(parse(deep.as_bytes()).expect_err("deep").field, "x");
}

#[test]
fn words_of_the_json_reader_mean_nothing_special() {
    let incoming =
        read(&with(r#""x":{"$serde_json::private::RawValue":"[[["},"y":{"$serde_json::private::Number":"1"}"#));
    assert_eq!(incoming.attributes["x"], json!({"$serde_json::private::RawValue":"[[["}));
    assert!(parse(with(r#""y":{"$serde_json::private::Number":"x"}"#).as_bytes()).is_err());
}

#[test]
fn a_time_ahead_is_replaced_live_and_taken_as_it_is_in_a_backtest() {
    let now = at("2026-01-01T00:00:00Z");
    let said = |seconds: i64| read(&with(&format!(r#""ts":"{}""#, now.plus(seconds * SECOND))));
    let live = |seconds| said(seconds).into_activity(now, Uuid::from_u128(1), "api");
    assert_eq!(live(120).occurred_at, now.plus(2 * MINUTE));
    assert!(!live(120).clock_skew);
    assert_eq!((live(121).occurred_at, live(121).clock_skew), (now, true));
    assert_eq!(live(121).attributes["occurred_at"], "2026-01-01T00:02:01Z");
    assert_eq!(read(r#"{"action":"x"}"#).into_activity(now, Uuid::from_u128(1), "api").occurred_at, now);

    let line = said(86_400).into_backtest(now, Uuid::from_u128(3)).expect("has a time");
    assert_eq!((line.occurred_at, line.clock_skew, line.received_at), (now.plus(86_400 * SECOND), false, now));
    assert_eq!(line.event_id, Uuid::from_u128(3));
    assert_eq!(
        read(r#"{"action":"x"}"#).into_backtest(now, Uuid::from_u128(1)).expect_err("none").field,
        "occurred_at"
    );
}

#[test]
fn exactly_as_old_as_allowed_is_in_time() {
    let now = at("2026-01-01T00:05:00Z");
    assert!(!late(now.plus(-5 * MINUTE), now, 5 * MINUTE));
    assert!(late(now.plus(-5 * MINUTE - 1), now, 5 * MINUTE));
}

#[test]
fn a_line_of_the_labelled_data_is_an_activity() {
    let incoming = read(
        r#"{"ts":"2021-04-26T16:42:57.600Z","user":"a@b","session":"4f","action":"Update","resource":"azure:Update x","ip":"52.232.188.154","user_agent":"","country":null,"label":1,"label_kind":"takeover"}"#,
    );
    assert_eq!(incoming.session_id.as_deref(), Some("4f"));
    assert_eq!(json!(incoming.attributes), json!({"label":1,"label_kind":"takeover"}));
}
