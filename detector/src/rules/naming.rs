//! The key of a rule's alerts as people write it: each part under any name that its field has, its value as it came to
//! hand. What comes out is what the engine writes into alerts (`model::key_text`), or why no alert can have it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use domain::{LogType, Outcome, network, username_key};

use super::field::Field;
use super::model::{Body, DetectionKey, GroupField, Rule};

/// A part of the key of a rule's alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPart {
    /// Its name in alerts.
    pub name: String,
    /// Its value in alerts.
    pub value: String,
    /// What it is read from, where that is one field for all rules that the key is of.
    pub field: Option<Field>,
}

/// Why a key is none of a rule's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misnamed {
    /// The part, as it was written.
    pub name: String,
    /// What is wrong with it: goes on where the name ends.
    pub why: String,
}

/// The parts of the key of a rule's alerts that somebody named, in the rule's order.
///
/// # Errors
/// The first one that no alert of the rule has.
pub fn key_of_alerts(rule: &Rule, given: &BTreeMap<String, String>) -> Result<Vec<KeyPart>, Misnamed> {
    let parts = parts(rule);
    let mut found: Vec<Option<(&str, KeyPart)>> = vec![None; parts.len()];
    for (name, text) in given {
        let misnamed = |why: String| Misnamed { name: name.clone(), why };
        let at = place(&parts, name).ok_or_else(|| misnamed(format!("is not in this rule's key; {}", told(rule))))?;
        if let Some((other, _)) = &found[at] {
            return Err(misnamed(format!("is the same part of the key as {other}; name it once")));
        }
        let part = &parts[at];
        let value = value(part, text).map_err(|why| misnamed(why.to_owned()))?;
        found[at] = Some((name, KeyPart { name: part.name.clone(), value, field: one(part).cloned() }));
    }
    // An alert of such a rule has one of the two.
    if is_either(rule)
        && let [Some(_), Some((second, _))] = &found[..]
    {
        return Err(Misnamed { name: (*second).to_owned(), why: format!("is one too many: {}", told(rule)) });
    }
    Ok(found.into_iter().flatten().map(|(_, part)| part).collect())
}

fn is_either(rule: &Rule) -> bool {
    matches!(&rule.body, Body::Detection(detection) if detection.key == DetectionKey::Auto)
}

fn parts(rule: &Rule) -> Vec<GroupField> {
    let auto = |name: &str, field| GroupField { name: name.to_owned(), fields: vec![field] };
    match &rule.body {
        Body::Correlation(correlation) => correlation.group_by.clone(),
        Body::Detection(detection) => match &detection.key {
            DetectionKey::Fields(fields) => fields.clone(),
            DetectionKey::Auto => vec![auto("user", Field::User), auto("source_ip", Field::SourceIp)],
        },
    }
}

/// The rule's key in words.
fn told(rule: &Rule) -> String {
    let names: Vec<String> = parts(rule).into_iter().map(|part| part.name).collect();
    match names.as_slice() {
        [] => "this rule counts everybody together, by no key".to_owned(),
        _ if is_either(rule) => "this rule's key is user, or source_ip where there is no user".to_owned(),
        _ => format!("this rule's key is {}", names.join(" and ")),
    }
}

/// The part that a name means: the one of that name, else the one that is read from what the name stands for.
fn place(parts: &[GroupField], name: &str) -> Option<usize> {
    let named = parts.iter().position(|part| part.name == name);
    let field = Field::resolve(name);
    named.or_else(|| parts.iter().position(|part| part.fields.contains(&field)))
}

/// The field of a part, where it is one.
fn one(part: &GroupField) -> Option<&Field> {
    part.fields.first().filter(|first| part.fields.iter().all(|field| field == *first))
}

/// The value of a part as the engine writes it.
fn value(part: &GroupField, text: &str) -> Result<String, &'static str> {
    if let Some(field) = one(part) {
        return canonical(field, text);
    }
    // Read from several fields, a value that all of them can have is in the form of the strictest.
    let strict = part.fields.iter().filter(|field| matches!(field, Field::User | Field::SourceIp));
    Ok(strict.filter_map(|field| canonical(field, text).ok()).next().unwrap_or_else(|| text.to_owned()))
}

fn canonical(field: &Field, text: &str) -> Result<String, &'static str> {
    let word = || text.trim().to_ascii_lowercase();
    match field {
        Field::User => Some(username_key(text)).filter(|key| !key.is_empty()).ok_or("must be a name"),
        Field::SourceIp => {
            address(text.trim()).ok_or("must be an address, such as 192.0.2.1 or 2001:db8::1, which stands for its /64")
        }
        Field::UserId | Field::Records => {
            text.trim().parse::<i64>().map(|number| number.to_string()).map_err(|_| "must be an integer")
        }
        Field::Outcome => {
            word().parse().map(|outcome: Outcome| outcome.to_string()).map_err(|_| "must be success, failure or denied")
        }
        Field::LogType => word()
            .parse()
            .map(|log_type: LogType| log_type.to_string())
            .map_err(|_| "must be ui_event, system, auth or data_access"),
        Field::KnownUser | Field::Late | Field::ClockSkew => {
            Some(word()).filter(|word| word == "true" || word == "false").ok_or("must be true or false")
        }
        _ => Ok(text.to_owned()),
    }
}

/// An address, or the network that one stands for in keys.
fn address(text: &str) -> Option<String> {
    match text.split_once('/') {
        None => text.parse().ok().map(network),
        Some((of, "64")) => of.parse().ok().map(|of| network(IpAddr::V6(of))).filter(|key| key.ends_with("/64")),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::{Activity, Timestamp};
    use uuid::Uuid;

    use super::super::{RuleSet, RuleSource, load};
    use super::*;
    use crate::engine::{Engine, Settings};

    fn set(text: &str) -> Arc<RuleSet> {
        Arc::new(load(&[RuleSource::text("t.yml", text)]).unwrap_or_else(|findings| panic!("{findings:?}")).rules)
    }

    /// A rule that one event is enough for, with a key.
    fn single(key: &str) -> Arc<RuleSet> {
        set(&format!(
            "title: One\nlogsource: {{category: x}}\ndetection: {{s: {{action: x}}, condition: s}}\nlevel: low\n\
             analytics: {{v: 1{key}}}\n"
        ))
    }

    fn named(rules: &RuleSet, given: &[(&str, &str)]) -> Result<BTreeMap<String, String>, Misnamed> {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let parts = key_of_alerts(&rules.rules[rules.rules.len() - 1], &given)?;
        Ok(parts.into_iter().map(|part| (part.name, part.value)).collect())
    }

    fn why(rules: &RuleSet, given: &[(&str, &str)]) -> String {
        let Misnamed { name, why } = named(rules, given).unwrap_err();
        format!("{name} {why}")
    }

    #[test]
    fn every_spelling_is_what_the_engine_writes() {
        for (key, user, ip, given) in [
            ("", Some("Ada "), "192.0.2.1", [("username", "ADA")]),
            ("", None, "192.0.2.1", [("ip_address", "192.0.2.1")]),
            ("", None, "::ffff:192.0.2.1", [("source.ip", "::ffff:c000:201")]),
            (", key: [actor.user.name]", Some("ＡＤＡ"), "192.0.2.1", [("user", "Ada")]),
            (", key: [username]", Some("ada"), "192.0.2.1", [("user.name", " ada ")]),
            (", key: [src_endpoint.ip]", None, "2001:DB8:1:2:3::4", [("source_ip", "2001:db8:1:2::77")]),
            (", key: [ip]", None, "2001:DB8:1:2:3::4", [("ip", "2001:0db8:0001:0002::/64")]),
            (", key: [session]", None, "192.0.2.1", [("session_id", "S-1")]),
            (", key: [user_id]", None, "192.0.2.1", [("user_id", "007")]),
            (", key: [outcome]", None, "192.0.2.1", [("event.outcome", "Success")]),
            (", key: [attributes.host]", None, "192.0.2.1", [("host", "A b")]),
        ] {
            let rules = single(key);
            let mut activity = Activity::new(Uuid::from_u128(1), "x", Timestamp::from_micros(0));
            activity.user = user.map(str::to_owned);
            activity.source_ip = ip.parse().ok().map(|ip: IpAddr| ip.to_canonical());
            (activity.session_id, activity.user_id) = (Some("S-1".into()), Some(7));
            activity.attributes.insert("host".into(), "A b".into());
            let mut engine = Engine::new(rules.clone(), Settings::default());
            engine.observe(&activity);
            engine.finish();
            let alert = engine.drain().into_iter().next().expect("an alert");
            assert_eq!(named(&rules, &given), Ok(alert.key), "{key} {given:?}");
        }
    }

    #[test]
    fn what_no_alert_of_the_rule_has_is_refused_by_name() {
        let address = single(", key: [source_ip]");
        assert_eq!(why(&address, &[("user", "ada")]), "user is not in this rule's key; this rule's key is source_ip");
        for text in ["not-an-ip", "", "192.0.2.0/24", "2001:db8::/48", "192.0.2.1/64", "::ffff:192.0.2.1/64"] {
            assert!(why(&address, &[("ip", text)]).starts_with("ip must be an address"), "{text}");
        }
        let either = single("");
        let words = "this rule's key is user, or source_ip where there is no user";
        assert_eq!(why(&either, &[("session", "s")]), format!("session is not in this rule's key; {words}"));
        assert_eq!(why(&either, &[("ip", "::1"), ("user", "a")]), format!("ip is one too many: {words}"));
        let both = single(", key: [user, source_ip]");
        assert!(named(&both, &[("ip", "192.0.2.1"), ("user", "a")]).is_ok());
        assert!(why(&both, &[("host", "a")]).ends_with("this rule's key is user and source_ip"));
        let twice = why(&both, &[("user", "a"), ("username", "b")]);
        assert_eq!(twice, "username is the same part of the key as user; name it once");
        assert_eq!(why(&both, &[("user", " ")]), "user must be a name");
        assert_eq!(why(&single(", key: [user_id]"), &[("user_id", "x")]), "user_id must be an integer");
        let all = set("title: A\nname: a\nlogsource: {category: x}\ndetection: {s: {action: x}, condition: s}\n---\n\
            title: B\ncorrelation: {type: event_count, rules: [a], timespan: 5m, condition: {gte: 2}}\nlevel: low\n");
        assert!(why(&all, &[("user", "a")]).ends_with("this rule counts everybody together, by no key"));
    }

    #[test]
    fn a_part_of_several_fields_has_its_own_name_and_is_nobodys() {
        let text = |alias: &str| {
            let detection = |name: &str| {
                format!(
                    "title: {name}\nname: {name}\nlogsource: {{category: x}}\ndetection: {{s: {{action: {name}}}, \
                     condition: s}}\n---\n"
                )
            };
            format!(
                "{}{}title: C\ncorrelation: {{type: temporal, rules: [a, b], timespan: 5m, group-by: [{alias}], \
                 aliases: {{{alias}: {{a: target_user, b: user}}}}}}\nlevel: low\n",
                detection("a"),
                detection("b")
            )
        };
        let rules = set(&text("victim"));
        let parts = |name: &str| {
            let given = BTreeMap::from([(name.to_owned(), "Ada".to_owned())]);
            key_of_alerts(&rules.rules[2], &given).expect("named")
        };
        let part = KeyPart { name: "victim".into(), value: "ada".into(), field: None };
        for name in ["victim", "user", "username", "target_user"] {
            assert_eq!(parts(name), std::slice::from_ref(&part), "{name}");
        }
        // The name that the rule gives goes before what it means elsewhere.
        assert_eq!(named(&set(&text("user")), &[("user", "Ada")]), Ok(BTreeMap::from([("user".into(), "ada".into())])));
    }
}
