//! D1–D9: which events a detection matches.

use super::{activity, detection, item, lines, matches, refused, rules};
use crate::rules::Scratch;

/// Each line: an item, members of an event, whether it matches.
fn table(rows: &[(&str, &str, bool)]) {
    for (line, members, expected) in rows {
        assert_eq!(item(line, members), *expected, "{line}  on  {members}");
    }
}

#[test]
fn d1_text() {
    table(&[
        ("action: view", "", true),
        ("action|cased: view", "", false),
        ("action|cased: View", "", true),
        ("action: Vie", "", false),
        ("resource: users/*", r#""resource":"USERS/3""#, true),
        ("resource: users/?", r#""resource":"users/33""#, false),
        (r"resource: a\*b", r#""resource":"a*b""#, true),
        (r"resource: a\*b", r#""resource":"axb""#, false),
        ("status: '404'", r#""status":404"#, true),
        ("status|startswith: 4", r#""status":404"#, true),
        ("flag: true", r#""flag":true"#, true),
        ("flag: 'true'", r#""flag":true"#, true),
        ("flag: true", r#""flag":"TRUE""#, true),
        ("flag: true", r#""flag":false"#, false),
        ("known_user: false", "", true),
        ("resource|re: '/[0-9]+$'", r#""resource":"users/3""#, true),
        ("resource|re: USERS", r#""resource":"users/3""#, false),
        ("resource|re|i: USERS", r#""resource":"users/3""#, true),
        ("detail|re: 'a.b'", r#""detail":"a\nb""#, false),
        ("detail|re|s: 'a.b'", r#""detail":"a\nb""#, true),
        ("detail|re|m: '^b$'", r#""detail":"a\nb""#, true),
        ("resource|contains: ser", r#""resource":"users/3""#, true),
        ("resource|endswith: /3", r#""resource":"users/3""#, true),
        ("resource|startswith: ''", r#""resource":"users/3""#, true),
        ("detail: ''", r#""detail":"""#, true),
        ("detail: '*'", r#""detail":"""#, true),
        ("detail: '*'", "", false),
        ("user: 'JÜRGEN'", r#""user":"jürgen""#, true),
        ("resource|contains: 'a*c'", r#""resource":"xxabbcx""#, true),
    ]);
}

#[test]
fn d2_numbers() {
    table(&[
        ("status: 404", r#""status":404"#, true),
        ("status: 404", r#""status":404.0"#, true),
        ("status: 404", r#""status":"404.0""#, true),
        ("status: 404", r#""status":"404a""#, false),
        ("status: 4.04e2", r#""status":404"#, true),
        ("records|gte: 10", r#""records":10"#, true),
        ("records|gt: 10", r#""records":10"#, false),
        ("records|lt: 10", r#""records":9"#, true),
        ("records|lte: 9", r#""records":10"#, false),
        ("size|gte: '10'", r#""size":"11""#, true),
        ("size|gte: 9", r#""size":"10""#, true),
        ("size|gte: 9", r#""size":"x""#, false),
        ("size|gt: 0.3", r#""size":0.30000000000000000001"#, true),
        ("size|gt: 5", r#""size":1e40"#, true),
        ("size|lt: 5", r#""size":-1e40"#, true),
        ("size|gt: 5", r#""size":true"#, false),
        ("size|gte: -5", r#""size":-4"#, true),
    ]);
}

#[test]
fn d3_lists() {
    table(&[
        ("action: [Login, View]", "", true),
        ("action: [Login, Logout]", "", false),
        ("detail|contains|all: [pass, reset]", r#""detail":"Password reset""#, true),
        ("detail|contains|all: [pass, reset]", r#""detail":"Password""#, false),
        ("groups: admin", r#""groups":["users","ADMIN"]"#, true),
        ("groups: admin", r#""groups":["users"]"#, false),
        ("groups: 7", r#""groups":["users",7]"#, true),
        ("groups|contains|all: [use, adm]", r#""groups":["users","admins"]"#, true),
        ("groups|neq: admin", r#""groups":["users","admin"]"#, false),
        ("groups|neq: [a, b]", r#""groups":["c"]"#, true),
        ("action|neq: [Login, View]", "", false),
        ("action|neq: Login", "", true),
        ("detail|contains|neq: [a, b]", r#""detail":"xbx""#, false),
        ("detail|contains|all|neq: [a, b]", r#""detail":"xbx""#, true),
        ("groups|gte: 5", r#""groups":[1,9]"#, true),
        ("groups|exists: true", r#""groups":[]"#, true),
        ("groups: '*'", r#""groups":[]"#, false),
    ]);
    assert!(refused(&[detection(1, "s: {detail|contains|all: [a]}\ncondition: s")]).contains("two values or more"));
}

#[test]
fn d3_lists_of_objects() {
    let changed = r#""target":[{"id":1,"props":[{"name":"Role","new":"User"},{"name":"role","new":"\"Admin\""}]},
        {"id":2,"ip":"10.1.2.3","tags":["A","b"]},"x",null,[[{"id":"7.0"}]]]"#
        .replace("\n        ", "");
    for (line, expected) in [
        ("target.id: 1", true),
        ("target.id: '2'", true),
        ("target.id: 7", true),
        ("target.id: 3", false),
        ("target.id: [3, 2]", true),
        ("target.id|gte: 7", true),
        ("target.id|gt: 7", false),
        ("target.id|lt: 2", true),
        ("target.id|all: [1, 2]", true),
        ("target.id|all: [1, 3]", false),
        ("target.id|neq: 3", true),
        ("target.id|neq: 2", false),
        ("target.id|exists: true", true),
        ("target.id|exists: false", false),
        ("target.ip|exists: true", true),
        ("target.ip|cidr: 10.0.0.0/8", true),
        ("target.ip|cidr: 11.0.0.0/8", false),
        ("target.props.name: role", true),
        ("target.props.name|cased: Role", true),
        ("target.props.name|cased: ROLE", false),
        ("target.props.new|contains: admin", true),
        ("target.props.new|re: '^\"Admin\"$'", true),
        ("target.props.new|re: '^Admin$'", false),
        ("target.props.new|contains|all: [admin, use]", true),
        ("target.props.new: '*'", true),
        ("target.props.old|exists: false", true),
        ("target.props.old: null", true),
        ("target.props.new: null", false),
        ("target.props.old|neq: x", false),
        ("target.props: '*'", false),
        ("target.props|exists: true", true),
        ("target.tags: B", true),
        ("target.x|exists: true", false),
        ("attributes.target.id: 2", true),
    ] {
        assert_eq!(item(line, &changed), expected, "{line}");
    }
    table(&[
        ("user|fieldref: to.name", r#""user":"ada","to":[{"name":"bob"},{"name":"ADA"}]"#, true),
        ("to.name|fieldref: user", r#""user":"ada","to":[{"name":"bob"},{"name":"ADA"}]"#, true),
        ("to.name|fieldref|cased: user", r#""user":"ada","to":[{"name":"bob"},{"name":"ADA"}]"#, false),
        ("to.name|fieldref|neq: user", r#""user":"ada","to":[{"name":"bob"}]"#, true),
        ("a.b|fieldref: c.d", r#""a":[{"b":1},{"b":2}],"c":{"d":[2,3]}"#, true),
        ("a.b|fieldref: c", r#""a":[{"b":"X"},{"b":"Ü"}],"c":["ü"]"#, true),
        ("a.b|fieldref|cased: c", r#""a":[{"b":"X"},{"b":"Ü"}],"c":["ü","x"]"#, false),
        ("a.b|fieldref|contains: c", r#""a":[{"b":"xyz"}],"c":["u","Y"]"#, true),
        // What lies there counts, not what could: a null is absent, an empty list is there and has no value.
        ("a.b|exists: true", r#""a":[{"b":null},{}]"#, false),
        ("a.b|exists: true", r#""a":[{"b":[]}]"#, true),
        ("a.b: '*'", r#""a":[{"b":[]}]"#, false),
        ("a.b: null", r#""a":[]"#, true),
        ("a.b.c: x", r#""a":{"b":[{"c":"x"}]}"#, true),
        ("a.b.c: x", r#""a":[{"b.c":"x"}]"#, true),
        ("a.b: x", r#""a.b":"y","a":[{"b":"x"}]"#, false),
        ("a.b: x", r#""a.b":null,"a":[{"b":"x"}]"#, true),
        ("a.b: x", r#""a":["x",{"b":["y",["X"]]}]"#, true),
    ]);
    let of_none = "s: {action: View}\nt: {target.id: 2}\ncondition: s and not t";
    assert!(!matches(of_none, &format!(r#"{{"action":"View",{changed}}}"#)));
    assert!(matches(of_none, r#"{"action":"View","target":[{"id":3},{"id":4}]}"#));
}

#[test]
fn d4_absence() {
    table(&[
        ("reason: null", "", true),
        ("reason: null", r#""reason":"x""#, false),
        ("reason: [null, x]", "", true),
        ("reason|exists: false", "", true),
        ("reason|exists: true", "", false),
        ("reason|exists: true", r#""reason":"""#, true),
        ("reason|neq: x", "", false),
        ("reason|neq: x", r#""reason":"y""#, true),
        ("reason|neq: null", r#""reason":"y""#, true),
        ("reason|neq: null", "", false),
        ("other: null", r#""other":null"#, true),
        ("source_ip|exists: false", r#""source_ip":"""#, true),
        ("outcome: success", "", true),
        ("outcome: success", r#""event.outcome":"unknown""#, true),
        ("records|lt: 5", "", false),
        ("user|fieldref: target_user", r#""user":"ada""#, false),
    ]);
}

#[test]
fn d5_keywords() {
    for (section, line, expected) in [
        ("s: [boto, curl]\ncondition: s", r#"{"action":"View","user_agent":"Boto3/1.26"}"#, true),
        ("s: [boto, curl]\ncondition: s", r#"{"action":"View","deep":{"er":["x","CURL/8"]}}"#, true),
        ("s: [boto, curl]\ncondition: s", r#"{"action":"View"}"#, false),
        ("s: boto\ncondition: s", r#"{"action":"View","detail":"a boto b"}"#, true),
        (
            "s: {'|all': [boto, bucket]}\ncondition: s",
            r#"{"action":"View","user_agent":"boto","resource":"bucket/1"}"#,
            true,
        ),
        ("s: {'|all': [boto, bucket]}\ncondition: s", r#"{"action":"View","user_agent":"boto"}"#, false),
        ("s: ['b*o']\ncondition: s", r#"{"action":"View","detail":"a boto b"}"#, true),
        ("s: {'|re': '^b.t'}\ncondition: s", r#"{"action":"View","detail":"boto"}"#, true),
        ("s: [4625]\ncondition: s", r#"{"action":"View","detail":"id 4625 x"}"#, true),
        // Words and maps in one list: any of them.
        ("s: [boto, {action: View}]\ncondition: s", r#"{"action":"View"}"#, true),
        // What we wrote ourselves is no text of the event.
        ("s: [backtest]\ncondition: s", r#"{"action":"View"}"#, false),
    ] {
        assert_eq!(matches(section, line), expected, "{section}  on  {line}");
    }
}

#[test]
fn d6_names() {
    let both = "a1: {action: View}\na2: {user: ada}\n_b: {user: nobody}\n";
    for (condition, expected) in [
        ("1 of a*", true),
        ("all of a*", false),
        ("any of them", true),
        ("all of them", false),
        ("a1 and not a2", true),
        ("a1 or a2 and a2", true),
        ("(a1 or a2) and a2", false),
        ("not a2 and not _b", true),
        ("1 of _*", false),
    ] {
        assert_eq!(matches(&format!("{both}condition: {condition}"), r#"{"action":"View"}"#), expected, "{condition}");
    }
    assert!(matches(&format!("{both}condition: all of them"), r#"{"action":"View","user":"ada"}"#), "without _b");
    assert!(matches("a: {action: x}\nb: {action: view}\ncondition: [a, b]", r#"{"action":"View"}"#), "a list: any");
    for (condition, message) in [
        ("1 of x*", "nothing has such a name"),
        ("a3", "names `a3`, which is not there (did you mean a1?)"),
        ("2 of a*", "only `1 of` and `all of`"),
        ("a1 | count() > 3", "write a correlation"),
    ] {
        let findings = refused(&[detection(1, &format!("{both}condition: {condition}"))]);
        assert!(findings.contains(message), "{condition}: {findings}");
    }
}

#[test]
fn d7_the_logsource_selects_nothing() {
    assert!(matches("s: {action: View}\ncondition: s", r#"{"action":"View","log_type":"auth"}"#));
}

#[test]
fn d8_filters_are_anded_as_they_stand() {
    let filter = |condition: &str| {
        format!(
            "title: F\nlogsource: {{category: x}}\nfilter:\n    rules: [d1]\n    s: {{user: ada}}\n    condition: {condition}\n"
        )
    };
    for (condition, user, expected) in
        [("not s", "ada", false), ("not s", "bob", true), ("s", "ada", true), ("s", "bob", false)]
    {
        let loaded = rules(&[detection(1, "s: {action: View}\ncondition: s"), filter(condition)]);
        let (mut scratch, mut found) = (Scratch::default(), Vec::new());
        let event = activity(&format!(r#"{{"action":"View","user":"{user}"}}"#));
        loaded.rules.matcher.matches(&event, &mut scratch, &mut found);
        assert_eq!(found == [0], expected, "{condition} {user}");
    }
    let plain = rules(&[detection(1, "s: {action: View}\ncondition: s")]).rules;
    let filtered = rules(&[detection(1, "s: {action: View}\ncondition: s"), filter("not s")]).rules;
    assert_ne!(plain.rules[0].revision, filtered.rules[0].revision, "a filter decides what a rule finds");
}

#[test]
fn addresses_and_other_fields() {
    table(&[
        ("source_ip|cidr: 10.0.0.0/8", r#""ip":"10.1.2.3""#, true),
        ("source_ip|cidr: [10.0.0.0/8, '2001:db8::/32']", r#""ip":"2001:db8::1""#, true),
        ("source_ip|cidr: 10.0.0.0/8", r#""ip":"::ffff:10.1.2.3""#, true),
        ("source_ip|cidr: 10.0.0.0/8", r#""ip":"11.1.2.3""#, false),
        ("peer|cidr: 10.0.0.0/8", r#""peer":["x","::ffff:10.1.2.3"]"#, true),
        ("peer|cidr: 10.0.0.1", r#""peer":"10.0.0.1""#, true),
        ("source_ip: '2001:db8::1'", r#""source.ip":"2001:DB8:0::1""#, true),
        ("user|fieldref: target_user", r#""user":"ada","target_user":"ADA""#, true),
        ("user|fieldref|cased: target_user", r#""user":"ada","target_user":"ADA""#, false),
        ("user|fieldref: target_user", r#""user":"ada","target_user":["bob","ada"]"#, true),
        ("user|fieldref|neq: target_user", r#""user":"ada","target_user":"bob""#, true),
        ("page_url|startswith|fieldref: resource", r#""page_url":"users/3/edit","resource":"users/3""#, true),
        ("n|fieldref: records", r#""n":5,"records":5"#, true),
        ("user.name: ada", r#""user":{"name":"ada"}"#, true),
        ("attributes.origin: x", r#""origin":"x""#, true),
        ("origin: x", r#""origin":"x""#, false),
        ("a.b.c: 1", r#""a":{"b":{"c":1}}"#, true),
        ("a.b.c: 1", r#""a.b.c":1"#, true),
        ("a: '*'", r#""a":{"b":1}"#, false),
        ("a|exists: true", r#""a":{"b":1}"#, true),
    ]);
}

#[test]
fn maps_and_lists_of_maps() {
    for (section, line, expected) in [
        ("s: {action: View, user: ada}\ncondition: s", r#"{"action":"View"}"#, false),
        ("s: [{action: Login}, {user: ada}]\ncondition: s", r#"{"action":"View","user":"ada"}"#, true),
        ("s: [{action: Login}, {user: ada}]\ncondition: not s", r#"{"action":"View","user":"ada"}"#, false),
    ] {
        assert_eq!(matches(section, line), expected, "{section}");
    }
}

#[test]
fn the_index_by_action_leaves_nothing_out() {
    let sections = [
        "s: {action: View}\ncondition: s",
        "s: {action: [login, view]}\ncondition: s",
        "s: {action: Login}\ncondition: not s",
        "s: {action|startswith: Vi}\ncondition: s",
        "s: {action: View}\nt: {user: ada}\ncondition: s or t",
        "s: {action: View}\nt: {action: Login}\ncondition: s and t",
        "s: {user: ada}\ncondition: s",
        "s: {action|neq: Login}\ncondition: s",
        "s: {action|all: [View, 'V*']}\ncondition: s",
        "s: {action: Äb}\ncondition: s",
    ];
    let documents: Vec<String> = sections.iter().enumerate().map(|(at, section)| detection(at, section)).collect();
    let loaded = rules(&documents);
    let mut scratch = Scratch::default();
    for (line, expected) in [
        (r#"{"action":"VIEW"}"#, vec![0, 1, 2, 3, 4, 7, 8]),
        (r#"{"action":"Login","user":"ada"}"#, vec![1, 4, 6]),
        (r#"{"action":"other"}"#, vec![2, 7]),
        (r#"{"action":"äB"}"#, vec![2, 7, 9]),
    ] {
        let mut found = vec![99];
        loaded.rules.matcher.matches(&activity(line), &mut scratch, &mut found);
        assert_eq!(found, expected, "{line}");
    }
}

#[test]
fn odd_but_taken() {
    for (section, warning) in [
        ("s: {action: yes}\ncondition: s", "readers of YAML 1.1"),
        ("s: {source_ip: '2001:DB8:0::1'}\ncondition: s", "write 2001:db8::1"),
        ("s: {action: a}\nt: {action: b}\ncondition: s", "the condition does not use `t`"),
    ] {
        let warnings = lines(&rules(&[detection(1, section)]).warnings);
        assert!(warnings.contains(warning), "{section}: {warnings}");
    }
}
