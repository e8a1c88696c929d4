//! D9 and the strict pass: what is refused, where, with which hint; and that nothing crashes.

use proptest::prelude::*;

use super::{ID, correlation, detection, lines, load, loaded, refused, rules};
use crate::rules::{RuleSource, Weight};

fn base() -> String {
    detection(1, "s: {action: View}\ncondition: s")
}

#[test]
fn findings_have_file_line_column_and_hint() {
    let text = "title: A\nlogsource: {category: x}\ndetection:\n    s:\n        action|contians: x\n    condition: s\n";
    let findings = refused(&[text.to_owned()]);
    assert!(
        findings
            .starts_with("t.yml:5:9: error: `action|contians`: unknown modifier `contians` (did you mean contains?)"),
        "{findings}"
    );
    let text =
        correlation(2, "type: event_count, rules: [d1], group_by: [user], timespan: 5m, condition: {gte: 3}", "");
    let findings = refused(&[base(), text]);
    assert!(
        findings.contains(": error: unknown key in correlation: `group_by` (did you mean group-by?)"),
        "{findings}"
    );
}

#[test]
fn what_rsigma_takes_in_silence_is_refused() {
    let section = "type: event_count, rules: [d1], timespan: 5m, condition: {gte: 3}";
    for (document, message) in [
        (correlation(2, &format!("{section}, analytics: {{v: 1}}"), ""), "analytics stands at the top"),
        (correlation(2, &format!("{section}, notes: free text"), ""), "unknown key in correlation: `notes`"),
        (correlation(2, &section.replace("gte: 3", "gte: -5"), ""), "from 0 to"),
        (correlation(2, &section.replace("gte: 3", "gte: 2.5"), ""), "a whole number"),
        (correlation(2, &section.replace("gte: 3", "gte: '3'"), ""), "a number, not text"),
        (correlation(2, &section.replace("gte: 3", "gte: 3, feild: user"), ""), "did you mean field?"),
        (correlation(2, &section.replace("gte: 3", "gte: 3, field: user"), ""), "this type counts no field"),
        (correlation(2, &section.replace("gte: 3", "field: user"), ""), "the condition compares nothing"),
        (correlation(2, &section.replace(", condition: {gte: 3}", ""), ""), "correlation needs `condition`"),
        (correlation(2, &section.replace("[d1]", "[]"), ""), "rules is empty"),
        (correlation(2, &section.replace("[d1]", "[d1, d1]"), ""), "twice"),
        (correlation(2, &section.replace("[d1]", "[1]"), ""), "must be text, not a number"),
        (correlation(2, &section.replace("timespan: 5m", "timespan: 5"), ""), "needs a unit, as in 5s for seconds"),
        (correlation(2, &section.replace("timespan: 5m", "timespan: 5x"), ""), "a whole number and a unit"),
        (correlation(2, &section.replace("timespan", "timeframe"), ""), "did you mean timespan?"),
        (correlation(2, &section.replace("event_count", "value_median"), ""), "unknown type `value_median`"),
        (correlation(2, &section.replace("event_count", "value_count"), ""), "the condition needs `field`"),
        (correlation(2, &format!("{section}, window: tumbling"), ""), "(t - timespan, t]"),
        (correlation(2, &format!("{section}, gap: 5m"), ""), "(t - timespan, t]"),
        (correlation(2, section, "rsigma.window: tumbling"), "would change what the window means"),
        (correlation(2, section, "rsigma.gap: 5m"), "would change what the window means"),
        (correlation(2, section, "custom_attributes: {rsigma.gap: 5m}"), "would change what the window means"),
        (correlation(2, section, "custom_attributes: {analytics: {v: 1}}"), "no custom attribute"),
        (correlation(2, section, "generate: 1"), "must be true or false"),
        (correlation(2, &format!("{section}, generate: true"), "generate: false"), "said twice"),
        (correlation(2, &format!("{section}, group-by: [user, user]"), ""), "twice"),
        (correlation(2, &section.replace("{gte: 3}", "'d1'"), ""), "only temporal conditions are written as text"),
    ] {
        let findings = refused(&[base(), document.clone()]);
        assert!(findings.contains(message), "{document}: {findings}");
    }
}

#[test]
fn documents_are_strict() {
    let text = base();
    for (document, message) in [
        (text.replace("title: Rule 1\n", ""), "there is no title"),
        (text.replace("Rule 1", "'a: b'"), "neither | nor :"),
        (text.replace("Rule 1", "a | b"), "neither | nor :"),
        (text.replace("Rule 1", "7"), "title must be text, not a number"),
        (text.replace("id: 0b6f", "id: xb6f"), "is no UUID"),
        (text.replace(&format!("id: {ID}01"), "id: 5"), "id must be text, not a number"),
        (text.replace("logsource: {category: activity}\n", ""), "there is no logsource"),
        (format!("{text}level: urgent\n"), "unknown level `urgent`"),
        (format!("{text}level: High\n"), "did you mean high?"),
        (format!("{text}status: expermental\n"), "did you mean experimental?"),
        (format!("{text}tags: 7\n"), "tags must be a list of texts"),
        (format!("{text}tags: [[x]]\n"), "tags must be text, not a list"),
        (format!("{text}description: [x]\n"), "description must be text"),
        (format!("{text}action: global\n"), "collection actions"),
        (format!("{text}sigma-version: 3\n"), "reads Sigma 2"),
        (format!("{text}correlation: {{}}\n"), "detection and correlation in one document"),
        (format!("{text}related: [{{id: x}}]\n"), "related needs `type`"),
        (text.replace("detection:", "detecton:"), "did you mean detection?"),
        ("title: x\n".to_owned(), "one of detection, correlation and filter"),
        ("- a\n".to_owned(), "a rule is a map, not a list"),
        ("".to_owned(), "the file holds no rule"),
        (text.replace("condition: s", "condition: s and"), "not a condition"),
        (text.replace("condition: s", "condition: (s"), "a parenthesis is not closed"),
        (
            format!("{text}related: [{{id: x, type: y}}]\n"),
            "t.yml:8:25: error: unknown type of `related` `y` (known: derived",
        ),
        (text.replace("    condition: s\n", ""), "there is no condition"),
        (text.replace("{action: View}", "{action|foo: View}"), "unknown modifier `foo` (known: contains, "),
        (text.replace("{action: View}", "{action|base64: View}"), "`base64` is not supported"),
        (text.replace("{action: View}", "{action|not: View}"), "not a value modifier"),
        (text.replace("{action: View}", "{action|i: View}"), "belong to re"),
        (text.replace("{action: View}", "{action|re|cidr: View}"), "exclude each other"),
        (text.replace("{action: View}", "{action|contains|endswith: View}"), "exclude each other"),
        (text.replace("{action: View}", "{action|re|cased: View}"), "minds the case already"),
        (text.replace("{action: View}", "{action|re: '('}"), "not a regular expression"),
        (text.replace("{action: View}", "{action|re: '(?=x)'}"), "not a regular expression"),
        (text.replace("{action: View}", "{action|re: 'x{1000}{1000}'}"), "the regular expression is too large"),
        (text.replace("{action: View}", "{ip|cidr: 10.0.0.1/8}"), "write 10.0.0.0/8"),
        (text.replace("{action: View}", "{ip|cidr: home}"), "is no network"),
        (text.replace("{action: View}", "{action|exists: 1}"), "exists takes true or false"),
        (text.replace("{action: View}", "{action|gte: x}"), "is no number"),
        (text.replace("{action: View}", "{action: {a: b}}"), "nested members are named by their path"),
        (text.replace("{action: View}", "{action: []}"), "an empty list"),
        (text.replace("{action: View}", "{}"), "an empty selection"),
        (text.replace("{action: View}", ""), "the selection is empty"),
        (text.replace("{action: View}", "[[a]]"), "a list in a list"),
        (text.replace("{action: View}", "{'a[any]': b}"), "neither brackets"),
        (text.replace("{action: View}", "{'': b}"), "an empty field name"),
    ] {
        let findings = refused(std::slice::from_ref(&document));
        assert!(findings.contains(message), "{document}: {findings}");
    }
}

#[test]
fn what_is_wrong_is_told_once() {
    for condition in ["gte: 2.5", "gte: -5", "gte: '3'", "GTE: 3", "gte: 99999999999999999999"] {
        let section = format!("type: event_count, rules: [d1], timespan: 5m, condition: {{{condition}}}");
        let findings = refused(&[base(), correlation(2, &section, "")]);
        assert_eq!(findings.lines().count(), 1, "{condition}: {findings}");
    }
    assert!(
        refused(&[base(), correlation(2, "type: event_count, rules: [d1], timespan: 5m, condition: {GTE: 3}", "")])
            .contains("did you mean gte?")
    );
    for id in ["5", "[x]", "true", "''"] {
        let findings = refused(&[base().replace(&format!("{ID}01"), id)]);
        assert_eq!(findings.lines().count(), 1, "{id}: {findings}");
    }
}

#[test]
fn what_is_near_is_something_else_than_the_author_and_no_filter() {
    let filter = |title: &str, rule: &str| {
        format!(
            "title: {title}\nlogsource: {{category: x}}\nfilter: {{rules: [{rule}], s: {{a: b}}, condition: not s}}\n"
        )
    };
    let findings = refused(&[base(), filter("F", "q")]);
    assert_eq!(findings, "t.yml:11:18: error: there is no rule `q`\n", "not F, which is the filter itself");
    let findings = refused(&[base(), filter("d11", "d1"), filter("Other", "d12")]);
    assert!(findings.contains("there is no rule `d12` (did you mean d1?)"), "{findings}");
    let section = "type: event_count, rules: [c22], timespan: 5m, condition: {gte: 3}";
    let findings = refused(&[base(), correlation(2, section, "")]);
    assert!(!findings.contains("c2?"), "{findings}");
}

#[test]
fn what_may_be_other_than_it_was_meant_is_a_warning() {
    let section =
        |timespan: &str| format!("type: event_count, rules: [d1], timespan: {timespan}, condition: {{gte: 3}}");
    for (timespan, told) in [
        ("5M", "timespan 5M is 5 months of 30.44 days; minutes are 5m (in days, as in 30d, it cannot be mistaken)"),
        ("1M", "timespan 1M is 1 month of 30.44 days; minutes are 1m"),
    ] {
        let warnings = lines(&rules(&[base(), correlation(2, &section(timespan), "")]).warnings);
        assert!(warnings.contains(told) && warnings.lines().count() == 1, "{warnings}");
    }
    for timespan in ["5m", "30d", "1y"] {
        assert_eq!(lines(&rules(&[base(), correlation(2, &section(timespan), "")]).warnings), "");
    }
    for (length, told) in
        [(80, ""), (81, "t.yml:1:8: warning: the title has 81 characters; what explains a score shows the first 80\n")]
    {
        assert_eq!(lines(&rules(&[base().replace("Rule 1", &"ä".repeat(length))]).warnings), told);
    }
}

#[test]
fn numbers_that_other_readers_refuse_are_told_where_they_stand() {
    let large = "99999999999999999999";
    for (section, place) in [
        (format!("s: {{action: x, records: {large}}}\ncondition: s"), "t.yml:6:29: error"),
        (format!("s:\n    action: x\n    records|lt: [1, -{large}]\ncondition: s"), "t.yml:8:25: error"),
    ] {
        let findings = refused(&[detection(1, &section)]);
        assert!(
            findings.starts_with(place) && findings.contains("to 18446744073709551615; in quotes it is text"),
            "{findings}"
        );
    }
    // What they read, and what changes nothing, is fine.
    for number in ["18446744073709551615", "-9223372036854775808", "1e20", "'99999999999999999999'"] {
        let _ = rules(&[detection(1, &format!("s: {{records: {number}}}\ncondition: s"))]);
    }
    let warnings = lines(&rules(&[format!("{}x-note: {large}\n", base())]).warnings);
    assert!(warnings.contains("unknown key `x-note`") && warnings.lines().count() == 1, "{warnings}");
    let sum = "type: value_sum, rules: [d1], timespan: 5m, condition: {field: records, gte: 1}";
    let escalate = |at: &str| correlation(2, sum, &format!("analytics: {{v: 1, escalate: [{{at: {at}, to: high}}]}}"));
    let _ = rules(&[base(), escalate("5e20")]);
    let findings = refused(&[base(), escalate(large)]);
    assert!(findings.starts_with("t.yml:13:35: error: the whole number `99999999999999999999`"), "{findings}");
}

#[test]
fn keys_that_belong_elsewhere_are_sent_there() {
    let count = "type: event_count, rules: [d1], timespan: 5m, condition: {gte: 3}";
    for (documents, message) in [
        (
            vec![format!("{}generate: true\n", base())],
            "`generate` says something of a correlation; a detection has none",
        ),
        (vec![format!("{}condition: s\n", base())], "`condition` stands under `detection`; here it changes nothing"),
        (vec![base(), correlation(2, count, "logsource: {category: x}")], "a correlation has no `logsource`"),
        (vec![base(), correlation(2, count, "group-by: [user]")], "`group-by` stands under `correlation`"),
    ] {
        let warnings = lines(&rules(&documents).warnings);
        assert!(warnings.contains(message) && !warnings.contains("did you mean"), "{warnings}");
    }
}

#[test]
fn a_small_text_is_no_large_work() {
    let begun = std::time::Instant::now();
    let words = |count: usize, word: &str| (0..count).map(|at| format!("{word}{at}")).collect::<Vec<_>>().join(", ");
    // Many actions; a long list that a condition names often; many conditions of many parts.
    let _ = rules(&[detection(1, &format!("s: {{action: [{}]}}\ncondition: s", words(8_000, "v")))]);
    let often = vec!["s"; 3_000].join(" or ");
    let _ = rules(&[detection(1, &format!("s: {{user: [{}]}}\ncondition: {often}", words(20_000, "v")))]);
    let parts: String = (0..4_000).map(|at| format!("s{at}: {{action: v{at}, outcome: denied}}\n")).collect();
    let _ = rules(&[detection(1, &format!("{parts}condition: 1 of s*"))]);
    // Names of nobody, and the same name of many.
    let section = format!("type: temporal, timespan: 5m, rules: [{}]", words(40_000, "d"));
    assert_eq!(refused(&[base(), correlation(2, &section, "")]).lines().count(), 51);
    let section = format!("type: temporal, timespan: 5m, rules: [d1], group-by: [{}]", words(40_000, "f"));
    assert!(refused(&[base(), correlation(2, &section, "")]).contains("group-by has at most 16 fields"));
    // Filters that are long, over rules that are many.
    let filter = format!(
        "title: F\nlogsource: {{category: x}}\nfilter: {{rules: [{}], s: [{}], condition: not s}}\n",
        (0..90).map(|at| format!("d{at}")).collect::<Vec<_>>().join(", "),
        (0..9_000).map(|at| format!("{{a: {at}}}")).collect::<Vec<_>>().join(", ")
    );
    let mut documents: Vec<String> = (0..90).map(|at| detection(at, "s: {action: View}\ncondition: s")).collect();
    documents.push(filter);
    assert!(refused(&documents).contains("written out with their filters, are too long"));
    assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn ids_and_names_stand_once() {
    let other = base().replace("Rule 1", "Other");
    assert!(refused(&[base(), other.replace("name: d1", "name: d2")]).contains("the id `0b6f"));
    assert!(
        refused(&[base(), other.replace("b001", "b009")]).contains("the name `d1` is taken (by the rule in t.yml:1)")
    );
}

#[test]
fn filters_are_strict() {
    let filter = |section: &str| format!("title: F\nlogsource: {{category: x}}\nfilter: {{{section}}}\n");
    let count = correlation(2, "type: event_count, rules: [d1], timespan: 5m, condition: {gte: 3}", "");
    for (document, message) in [
        (filter("s: {user: x}, condition: not s"), "a filter needs `rules`"),
        (filter("rules: any, s: {user: x}, condition: not s"), "names its rules"),
        (filter("rules: [], s: {user: x}, condition: not s"), "names its rules"),
        (filter("rules: [d7], s: {user: x}, condition: not s"), "there is no rule `d7`"),
        (filter("rules: [c2], s: {user: x}, condition: not s"), "is no detection"),
        (filter("rules: [d1], s: {user: x}"), "there is no condition"),
        (format!("{}analytics: {{v: 1}}\n", filter("rules: [d1], s: {user: x}, condition: not s")), "no analytics"),
    ] {
        let findings = refused(&[base(), count.clone(), document.clone()]);
        assert!(findings.contains(message), "{document}: {findings}");
    }
}

#[test]
fn unknown_keys_at_the_top_are_warnings() {
    let loaded = rules(&[format!("{}falsepositive: [x]\nrsigma.suppress: 5m\nfoo: 1\n", base())]);
    let warnings = lines(&loaded.warnings);
    assert!(
        warnings.contains("unknown key `falsepositive`, which changes nothing (did you mean falsepositives?)"),
        "{warnings}"
    );
    assert!(warnings.contains("`rsigma.suppress`") && warnings.contains("`foo`"), "{warnings}");
    assert!(loaded.warnings.iter().all(|finding| finding.severity == Weight::Warning));
}

#[test]
fn one_error_refuses_everything_and_all_are_told() {
    let bad = detection(2, "s: {action|foo: x, user|bar: y}\ncondition: s");
    let findings = loaded(&[base(), bad, "title: x\n".to_owned()]).unwrap_err();
    assert_eq!(findings.len(), 3, "{}", lines(&findings));
}

#[test]
fn bytes_that_are_no_text_are_an_error_with_a_line() {
    let findings = load(&[RuleSource::text("t.yml", b"title: a\nx: \xff\n".to_vec())]).unwrap_err();
    assert_eq!(findings[0].to_string(), "t.yml:2:1: error: the file is not UTF-8 text");
}

#[test]
fn a_condition_that_grows_when_written_out_is_refused() {
    let selection = format!("s: [{}]", vec!["{a: 1}"; 200].join(", "));
    let condition = vec!["s"; 500].join(" and ");
    assert!(refused(&[detection(1, &format!("{selection}\ncondition: {condition}"))]).contains("too long"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A good file with a piece cut out or put in: it loads or it does not, and never crashes.
    #[test]
    fn damaged_files_are_read_or_refused(
        at in 0..2_000_usize, cut in 0..40_usize, put in "[-a-z:&*?!|>'\"%@`{}\\[\\], \n#0-9\\\\]{0,12}"
    ) {
        let mut text = include_str!("../../../../rules/account_seized.yml").to_owned();
        let from = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let to = (from + cut..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        text.replace_range(from..to, &put);
        let _ = load(&[RuleSource::text("t.yml", text)]);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = load(&[RuleSource::text("t.yml", bytes)]);
    }
}

#[test]
fn a_count_that_no_key_can_hold_is_refused() {
    let counting = |kind: &str, condition: &str, more: &str| {
        let section = format!("type: {kind}, rules: [d1], group-by: [user], timespan: 1d, condition: {{{condition}}}");
        [base(), correlation(2, &section, more)]
    };
    let escalating = |at: &str| format!("analytics: {{v: 1, escalate: [{{at: {at}, to: high}}]}}");
    let refusal = "must be at most 50000: of one key the last 65536 events are held, not more";
    for (kind, condition, more) in [
        ("event_count", "gte: 50001", ""),
        ("event_count", "gt: 70000", ""),
        ("event_count", "eq: 900000000", ""),
        ("event_count", "gte: 5, lte: 50001", ""),
        ("value_count", "field: resource, gte: 70000", ""),
        ("event_count", "gte: 5", &escalating("50001")),
        ("value_count", "field: resource, gte: 5", &escalating("50000.5")),
    ] {
        let findings = refused(&counting(kind, condition, more));
        assert!(findings.contains(refusal), "{condition} {more}: {findings}");
    }
    let detection = base() + &escalating("60000");
    assert!(refused(&[detection]).contains(refusal), "a detection counts too");
    for (kind, condition, more) in [
        ("event_count", "gte: 6250", escalating("50000").as_str()),
        ("value_sum", "field: records, gte: 70000", escalating("9000000").as_str()),
        ("value_avg", "field: records, gte: 70000", ""),
    ] {
        let loaded = rules(&counting(kind, condition, more));
        assert!(loaded.warnings.is_empty(), "{}", lines(&loaded.warnings));
    }
    let warnings = lines(&rules(&counting("event_count", "gte: 9000", "")).warnings);
    assert!(warnings.contains("2, 4 and 8 times gte, but not beyond 50000"), "{warnings}");
}

#[test]
fn a_signal_does_not_rise() {
    let analytics = "level: informational\nanalytics: {v: 1, escalate: [{at: 3, to: high}]}";
    let section = "type: event_count, rules: [d1], timespan: 5m, condition: {gte: 3}";
    for documents in [vec![base() + analytics], vec![base(), correlation(2, section, analytics)]] {
        let findings = refused(&documents);
        assert!(findings.contains("a signal does not rise (write a correlation that counts it"), "{findings}");
    }
}

#[test]
fn which_rules_there_are_is_no_value() {
    let analytics = "analytics: {v: 1, when: {baseline: {of: user, bucket: 1d, history: 7d, above: 3}}}";
    let section = "type: temporal_ordered, rules: [d1, d3], timespan: 5m";
    let findings =
        refused(&[base(), detection(3, "s: {action: Login}\ncondition: s"), correlation(2, section, analytics)]);
    assert!(findings.contains("temporal_ordered has none: it never holds"), "{findings}");
    let analytics = "analytics: {v: 1, escalate: [{at: 2, to: high}, {at: 3, to: critical}]}";
    let loaded = rules(&[base(), detection(3, "s: {action: Login}\ncondition: s"), correlation(2, section, analytics)]);
    assert!(lines(&loaded.warnings).contains("there are 2 rules, so the severity does not rise at more"));
}
