//! [`Field`]: a name in a rule, resolved to a member of the activity.

use std::borrow::Cow;
use std::net::IpAddr;

use domain::Activity;
use rust_decimal::Decimal;
use serde_json::{Map, Value};

/// A member of an activity, or an attribute by path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Field {
    /// `event_id`
    EventId,
    /// `occurred_at`
    OccurredAt,
    /// `user`
    User,
    /// `user_id`
    UserId,
    /// `session_id`
    SessionId,
    /// `role`
    Role,
    /// `records`
    Records,
    /// `reason`
    Reason,
    /// `action`
    Action,
    /// `resource`
    Resource,
    /// `outcome`
    Outcome,
    /// `source_ip`
    SourceIp,
    /// `user_agent`
    UserAgent,
    /// `country`
    Country,
    /// `log_type`
    LogType,
    /// `detail`
    Detail,
    /// `page_url`
    PageUrl,
    /// `received_at`
    ReceivedAt,
    /// `origin`
    Origin,
    /// `known_user`
    KnownUser,
    /// `late`
    Late,
    /// `clock_skew`
    ClockSkew,
    /// Anything else: its name as written, looked up literally and then as a dotted path.
    Attribute(String),
}

impl Field {
    /// The member that a name in a rule means: the canonical name or one of its aliases in the wire schema, a name of
    /// our provenance, or else an attribute, with or without `attributes.` before it.
    #[must_use]
    pub fn resolve(name: &str) -> Self {
        match name {
            "event_id" | "id" => Self::EventId,
            "occurred_at" | "ts" | "timestamp" | "@timestamp" => Self::OccurredAt,
            "user" | "username" | "user.name" | "actor.user.name" => Self::User,
            "user_id" => Self::UserId,
            "session_id" | "session" => Self::SessionId,
            "role" => Self::Role,
            "records" => Self::Records,
            "reason" => Self::Reason,
            "action" | "action_type" | "event.action" => Self::Action,
            "resource" | "url.path" => Self::Resource,
            "outcome" | "event.outcome" => Self::Outcome,
            "source_ip" | "ip" | "ip_address" | "source.ip" | "src_endpoint.ip" => Self::SourceIp,
            "user_agent" | "user_agent.original" => Self::UserAgent,
            "country" | "geo_location" | "source.geo.country_iso_code" => Self::Country,
            "log_type" => Self::LogType,
            "detail" | "action_detail" => Self::Detail,
            "page_url" => Self::PageUrl,
            "received_at" => Self::ReceivedAt,
            "origin" => Self::Origin,
            "known_user" => Self::KnownUser,
            "late" => Self::Late,
            "clock_skew" => Self::ClockSkew,
            other => Self::Attribute(other.strip_prefix("attributes.").unwrap_or(other).to_owned()),
        }
    }

    /// The member's one value as text: numbers and booleans as their text. `None` where it is absent, null, a list, an
    /// object or within a list.
    #[must_use]
    pub fn text<'a>(&self, activity: &'a Activity) -> Option<Cow<'a, str>> {
        match self.member(activity) {
            Member::Text(text) => Some(text),
            Member::Integer(number) => Some(Cow::Owned(number.to_string())),
            Member::Json(value) => scalar_text(value),
            Member::Many(_) | Member::Absent => None,
        }
    }

    /// The member, typed ones without a copy.
    pub(super) fn member<'a>(&self, activity: &'a Activity) -> Member<'a> {
        let text = |value: &'a Option<String>| value.as_deref().map_or(Member::Absent, Member::borrowed);
        let integer = |value: Option<i64>| value.map_or(Member::Absent, Member::Integer);
        let flag = |value: bool| Member::borrowed(if value { "true" } else { "false" });
        match self {
            Self::EventId => Member::Text(Cow::Owned(activity.event_id.to_string())),
            Self::OccurredAt => Member::Text(Cow::Owned(activity.occurred_at.to_string())),
            Self::User => text(&activity.user),
            Self::UserId => integer(activity.user_id),
            Self::SessionId => text(&activity.session_id),
            Self::Role => text(&activity.role),
            Self::Records => integer(activity.records),
            Self::Reason => text(&activity.reason),
            Self::Action => Member::borrowed(&activity.action),
            Self::Resource => text(&activity.resource),
            Self::Outcome => Member::borrowed(activity.outcome.as_str()),
            Self::SourceIp => activity.source_ip.map_or(Member::Absent, |ip| Member::Text(Cow::Owned(address(ip)))),
            Self::UserAgent => text(&activity.user_agent),
            Self::Country => text(&activity.country),
            Self::LogType => activity.log_type.map_or(Member::Absent, |log_type| Member::borrowed(log_type.as_str())),
            Self::Detail => text(&activity.detail),
            Self::PageUrl => text(&activity.page_url),
            Self::ReceivedAt => Member::Text(Cow::Owned(activity.received_at.to_string())),
            Self::Origin => Member::borrowed(&activity.origin),
            Self::KnownUser => flag(activity.known_user),
            Self::Late => flag(activity.late),
            Self::ClockSkew => flag(activity.clock_skew),
            Self::Attribute(path) => match lookup(&activity.attributes, path) {
                Some(Found::Value(Value::String(text))) => Member::borrowed(text),
                Some(Found::Value(value)) => Member::Json(value),
                Some(Found::Within(list, rest)) => Member::within(list, rest),
                None => Member::Absent,
            },
        }
    }
}

/// The value of a member, as it is held.
#[derive(Debug)]
pub(super) enum Member<'a> {
    Absent,
    Text(Cow<'a, str>),
    Integer(i64),
    /// An attribute that is no text: a number, a boolean, a list or an object.
    Json(&'a Value),
    /// What the objects of a list have at the path, one value or more.
    Many(Box<[&'a Value]>),
}

impl<'a> Member<'a> {
    fn borrowed(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    fn within(list: &'a [Value], path: &str) -> Self {
        let mut found = Vec::new();
        collect(list, path, &mut found);
        if found.is_empty() { Self::Absent } else { Self::Many(found.into()) }
    }
}

/// A value's text, where it has one.
pub(super) fn scalar_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Borrowed(number.as_str())),
        Value::Bool(true) => Some(Cow::Borrowed("true")),
        Value::Bool(false) => Some(Cow::Borrowed("false")),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Where a path leads.
enum Found<'a, 'p> {
    Value(&'a Value),
    /// To a list, and what is left of the path is to be looked up in each of its elements.
    Within(&'a [Value], &'p str),
}

/// An attribute by its literal name, else by the path that the name may be.
fn lookup<'a, 'p>(object: &'a Map<String, Value>, path: &'p str) -> Option<Found<'a, 'p>> {
    if let Some(value) = object.get(path).filter(|value| !value.is_null()) {
        return Some(Found::Value(value));
    }
    let (head, rest) = path.split_once('.')?;
    match object.get(head)? {
        Value::Object(inner) => lookup(inner, rest),
        Value::Array(list) => Some(Found::Within(list, rest)),
        _ => None,
    }
}

/// What the elements of a list have at a path, lists in lists too. Each value is come by once, and the wire schema bounds
/// how deep they are.
fn collect<'a>(list: &'a [Value], path: &str, found: &mut Vec<&'a Value>) {
    for element in list {
        match element {
            Value::Array(inner) => collect(inner, path, found),
            Value::Object(object) => match lookup(object, path) {
                Some(Found::Value(value)) => found.push(value),
                Some(Found::Within(inner, rest)) => collect(inner, rest, found),
                None => {}
            },
            _ => {}
        }
    }
}

/// Text as an exact number, the way JSON and people write them: `12`, `-0.5`, `1e3`.
pub(super) fn number(text: &str) -> Option<Decimal> {
    if !is_number(text) {
        return None;
    }
    exact(text).or_else(|| text.parse().ok())
}

/// A number with all of its digits; `None` where it has more than 28.
pub(super) fn exact(text: &str) -> Option<Decimal> {
    if text.contains(['e', 'E']) { Decimal::from_scientific(text).ok() } else { Decimal::from_str_exact(text).ok() }
}

/// Whether a text is a number: sign, digits with a point somewhere, exponent.
pub(super) fn is_number(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| {
            let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            !exponent.is_empty() && digits(exponent)
        })
}

/// The canonical text of an address; the usual ones without a formatter, as this is for every event.
fn address(ip: IpAddr) -> String {
    let IpAddr::V4(v4) = ip else { return ip.to_string() };
    let mut text = String::with_capacity(15);
    for (at, octet) in v4.octets().into_iter().enumerate() {
        if at > 0 {
            text.push('.');
        }
        for (unit, least) in [(100, 100), (10, 10), (1, 0)] {
            if octet >= least {
                text.push(char::from(b'0' + octet / unit % 10));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn activity() -> Activity {
        let mut activity = Activity::new(Uuid::from_u128(7), "View", Timestamp::from_micros(0));
        activity.user = Some("Ada".into());
        activity.records = Some(12);
        activity.source_ip = Some("2001:db8::1".parse().unwrap());
        let attributes = r#"{
            "a.b": "literal", "a": {"b": "path", "c": {"d.e": 1}}, "n": 1.50, "t": "1e3", "list": [1, 2], "none": null,
            "origin": "claimed", "flag": true, "of": [{"one": "x"}]
        }"#;
        activity.attributes = serde_json::from_str(attributes).unwrap();
        activity
    }

    #[test]
    fn names_and_aliases() {
        for (name, field) in [
            ("user.name", Field::User),
            ("ip_address", Field::SourceIp),
            ("event.outcome", Field::Outcome),
            ("origin", Field::Origin),
            ("attributes.origin", Field::Attribute("origin".into())),
            ("target_user", Field::Attribute("target_user".into())),
            ("User", Field::Attribute("User".into())),
        ] {
            assert_eq!(Field::resolve(name), field, "{name}");
        }
    }

    #[test]
    fn texts() {
        let activity = activity();
        for (name, text) in [
            ("user", Some("Ada")),
            ("records", Some("12")),
            ("ip", Some("2001:db8::1")),
            ("outcome", Some("success")),
            ("known_user", Some("false")),
            ("origin", Some("api")),
            ("attributes.origin", Some("claimed")),
            ("a.b", Some("literal")),
            ("a.c.d.e", Some("1")),
            ("n", Some("1.50")),
            ("flag", Some("true")),
            ("list", None),
            ("a", None),
            ("none", None),
            ("reason", None),
            // One key, one counted value: not something out of a list, were it the only one.
            ("of.one", None),
        ] {
            assert_eq!(Field::resolve(name).text(&activity).as_deref(), text, "{name}");
        }
    }

    #[test]
    fn what_the_objects_of_a_list_have_is_found_once_each() {
        let inner = r#"[{"b": 1}, {"b": [2, 3]}, {"b": null}, "b", [[{"b": {"c": 4}}]], {"x": 5}]"#;
        let mut activity = activity();
        activity.attributes = serde_json::from_str(&format!(r#"{{"a": {inner}, "o": {{"a": {inner}}}}}"#)).unwrap();
        let found = |path: &str| match Field::resolve(path).member(&activity) {
            Member::Many(values) => values.iter().map(ToString::to_string).collect(),
            Member::Absent => Vec::new(),
            other => panic!("{path}: {other:?}"),
        };
        for path in ["a.b", "o.a.b"] {
            assert_eq!(found(path), ["1", "[2,3]", r#"{"c":4}"#], "{path}");
        }
        assert_eq!(found("a.b.c"), ["4"]);
        assert!(found("a.none").is_empty() && found("a.b.c.d").is_empty());
    }

    #[test]
    fn of_lists_in_lists_each_value_is_found_once() {
        // As wide at each level as an event has room for.
        let (mut value, mut depth) = (r#"[{"a":1},{"a":1}]"#.to_owned(), 1);
        while value.len() < 8_000 {
            value = format!(r#"[{{"a":{value}}},{{"a":{value}}}]"#);
            depth += 1;
        }
        let mut activity = activity();
        activity.attributes = serde_json::from_str(&format!(r#"{{"a": {value}}}"#)).unwrap();
        let found = |levels: usize| match Field::resolve(&vec!["a"; levels].join(".")).member(&activity) {
            Member::Many(values) => values.len(),
            other => panic!("{other:?}"),
        };
        assert_eq!((found(2), found(depth + 1)), (2, 1 << depth));
        assert!(matches!(Field::resolve(&vec!["a"; 32].join(".")).member(&activity), Member::Absent));
    }

    #[test]
    fn addresses_are_written_as_they_are_elsewhere() {
        for octet in 0..=255 {
            let ip = IpAddr::from([octet, 255 - octet, octet / 7, 1]);
            assert_eq!(address(ip), ip.to_string());
        }
        assert_eq!(address("2001:DB8::1".parse().unwrap()), "2001:db8::1");
    }

    #[test]
    fn numbers_are_exact_and_nothing_else_is_one() {
        for (text, value) in
            [("12", "12"), ("-0.50", "-0.50"), ("1e3", "1000"), ("+5", "5"), (".5", "0.5"), ("0012", "12")]
        {
            assert_eq!(number(text), value.parse().ok(), "{text}");
        }
        for text in ["", ".", "1_000", " 1", "0x10", "NaN", "inf", "1e", "--1", "1.2.3", "1e999999999999"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
