//! Rules as Sigma text, within what the loader accepts.

use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Case, Focus};

/// A rule about single events.
#[derive(Clone, Debug)]
pub(crate) struct DrawnDetection {
    selection: u8,
    key: u8,
    gate: u8,
    within: u8,
    days: u8,
    learn: u8,
    common: Common,
}

/// A rule about several.
#[derive(Clone, Debug)]
pub(crate) struct DrawnCorrelation {
    kind: u8,
    refs: Vec<u8>,
    group_by: u8,
    timespan: u8,
    condition: u8,
    bound: u8,
    gate: u8,
    generate: bool,
    usual: Option<Usual>,
    common: Common,
}

/// `when.baseline`.
#[derive(Clone, Debug)]
struct Usual {
    of: u8,
    peers: u8,
    bucket: u8,
    history: u8,
    ready: u8,
    above: u8,
}

/// What both kinds may say.
#[derive(Clone, Debug)]
struct Common {
    level: u8,
    episode: u8,
    escalate: u8,
}

fn usual() -> impl Strategy<Value = Usual> {
    (0..4_u8, 0..4_u8, 0..4_u8, 0..5_u8, 0..4_u8, 0..4_u8)
        .prop_map(|(of, peers, bucket, history, ready, above)| Usual { of, peers, bucket, history, ready, above })
}

fn common() -> impl Strategy<Value = Common> {
    (0..5_u8, 0..8_u8, 0..16_u8).prop_map(|(level, episode, escalate)| Common { level, episode, escalate })
}

pub(crate) fn detection(focus: Focus) -> impl Strategy<Value = DrawnDetection> {
    // From seven on nothing looks back and no clock is read.
    let gate = match focus {
        Focus::All => 0..12_u8,
        Focus::Waiting => 0..8_u8,
        Focus::Crowds | Focus::Chains | Focus::Amounts | Focus::Usual => 5..24_u8,
    };
    (0..8_u8, 0..8_u8, gate, 0..6_u8, 0..3_u8, 0..5_u8, common()).prop_map(
        |(selection, key, gate, within, days, learn, common)| DrawnDetection {
            selection,
            key,
            gate,
            within,
            days,
            learn,
            common,
        },
    )
}

pub(crate) fn correlation(focus: Focus) -> impl Strategy<Value = DrawnCorrelation> {
    let loud = if matches!(focus, Focus::Chains) { 0.7 } else { 0.4 };
    // Sums thrice: nothing else is reported at once and may be untrue a moment later.
    let kinds = match focus {
        Focus::Amounts => vec![2, 2, 2, 3, 4],
        Focus::Usual => vec![0, 1, 2, 3, 3, 4, 5],
        _ => (0..9).collect(),
    };
    let usual = prop::option::weighted(
        match focus {
            Focus::Usual => 0.9,
            Focus::All => 0.1,
            _ => f64::EPSILON,
        },
        usual(),
    );
    let what = (prop::sample::select::<u8>(kinds), vec(any::<u8>(), 1..4), 0..8_u8, 0..6_u8, 0..10_u8, 1..5_u8);
    (what, 0..8_u8, prop::bool::weighted(loud), usual, common()).prop_map(|(what, gate, generate, usual, common)| {
        let (kind, refs, group_by, timespan, condition, bound) = what;
        DrawnCorrelation { kind, refs, group_by, timespan, condition, bound, gate, generate, usual, common }
    })
}

/// All rules as one file of several documents. Rule number `n` is called `r<n>`.
pub(crate) fn yaml(case: &Case) -> String {
    let mut text = String::new();
    for (index, detection) in case.detections.iter().enumerate() {
        head(&mut text, index);
        detection.write(&mut text, case);
    }
    for (index, correlation) in case.correlations.iter().enumerate() {
        let index = case.detections.len() + index;
        head(&mut text, index);
        correlation.write(&mut text, case, index);
    }
    text
}

/// Which rules alert by themselves: those that nobody refers to, or only correlations with `generate: true`.
pub(crate) fn reporting(case: &Case) -> Vec<bool> {
    let first = case.detections.len();
    let mut reporting = vec![true; first + case.correlations.len()];
    for (index, correlation) in (first..).zip(&case.correlations) {
        for referred in correlation.referred(index) {
            reporting[referred] &= correlation.generate;
        }
    }
    reporting
}

fn head(text: &mut String, index: usize) {
    if index > 0 {
        text.push_str("---\n");
    }
    let _ = writeln!(text, "title: Rule {index}\nid: 00000000-0000-4000-8000-{index:012}\nname: r{index}");
}

/// So many units, as a timespan.
fn span(case: &Case, units: i64) -> String {
    format!("{}s", units * case.unit())
}

impl Common {
    /// `level`, `analytics`, with the lines of `more` in it. `lowest` as an `escalate` needs rising levels above it.
    fn write(&self, text: &mut String, case: &Case, when: &[String], key: Option<&str>) {
        if let Some(level) = ["low", "low", "high", "informational"].get(usize::from(self.level)) {
            let _ = writeln!(text, "level: {level}");
        }
        let mut lines = Vec::new();
        if let Some(units) = [1, 2, 3, 12, 60].get(usize::from(self.episode)) {
            lines.push(format!("    episode: {}", span(case, *units)));
        }
        let steps = match self.escalate {
            0 => "{at: 2, to: critical}",
            1 => "{at: 3, to: high}, {at: 5, to: critical}",
            2 => "{at: 7, to: critical}",
            3 => "{at: 40, to: critical}",
            4 => "{at: 1, to: critical}",
            _ => "",
        };
        if !steps.is_empty() && self.level != 3 {
            // A high rule can only rise to critical.
            let steps = if self.level == 2 { steps.replace("{at: 3, to: high}, ", "") } else { steps.to_owned() };
            lines.push(format!("    escalate: [{steps}]"));
        }
        if let Some(key) = key {
            lines.push(format!("    key: [{key}]"));
        }
        if !when.is_empty() {
            lines.push("    when:".to_owned());
            lines.extend(when.iter().map(|line| format!("        {line}")));
        }
        if !lines.is_empty() {
            text.push_str("analytics:\n    v: 1\n");
            lines.iter().for_each(|line| {
                let _ = writeln!(text, "{line}");
            });
        }
    }
}

/// `when.time` for some numbers.
fn time_gate(gate: u8) -> Option<String> {
    let words = match gate {
        0 => "outside: working_hours, zone: user",
        1 => "inside: working_hours, zone: user",
        2 => "outside: working_hours, zone: Asia/Tokyo",
        _ => return None,
    };
    Some(format!("time: {{{words}}}"))
}

impl Usual {
    fn words(&self, case: &Case) -> String {
        let of = ["user", "user", "source_ip", "session_id"][usize::from(self.of)];
        let peers = ["", "", "peers: role, ", "peers: role, "][usize::from(self.peers)];
        let bucket = [1, 2, 4, 9][usize::from(self.bucket)];
        // Not always a whole number of buckets.
        let history = bucket * [2, 3, 5, 12][usize::from(self.history % 4)] + i64::from(self.history % 2);
        let ready = i64::from(self.ready).min(history / bucket);
        let ready = if ready > 0 { format!("ready: {ready}, ") } else { String::new() };
        let above = ["1", "0.5", "3", "0.001"][usize::from(self.above)];
        let (bucket, history) = (span(case, bucket), span(case, history));
        format!("baseline: {{of: {of}, {peers}bucket: {bucket}, history: {history}, {ready}above: {above}}}")
    }
}

impl DrawnDetection {
    fn write(&self, text: &mut String, case: &Case) {
        let selection = match self.selection {
            0 | 1 => "action: a",
            2 => "action: b",
            3 => "action: [a, b]",
            4 => "action: [b, c]",
            5 => "outcome: denied",
            6 => "n|gte: 0",
            _ => "action: '*'",
        };
        text.push_str("logsource: {category: activity, product: security-analytics}\ndetection:\n");
        let _ = writeln!(text, "    selection: {{{selection}}}\n    condition: selection");
        let mut when: Vec<String> = time_gate(self.gate).into_iter().collect();
        if matches!(self.gate, 2..=4) {
            let field = ["resource", "source_ip", "action"][usize::from(self.within % 3)];
            let of = if field == "source_ip" || self.learn.is_multiple_of(2) { "user" } else { "source_ip" };
            let within = span(case, [1, 2, 8, 30, 4, 12][usize::from(self.within)]);
            let (days, events) = (self.days * u8::from(case.long), self.learn);
            when.push(format!(
                "first_seen: {{field: {field}, of: {of}, within: {within}, after: {{days: {days}, events: {events}}}}}"
            ));
        }
        if matches!(self.gate, 4..=6) {
            when.push(format!("after_silence: {}", span(case, [1, 2, 3, 5, 8, 20][usize::from(self.within)])));
        }
        let key = ["source_ip", "user", "session_id", "user, resource"].get(usize::from(self.key)).copied();
        self.common.write(text, case, &when, key);
    }
}

impl DrawnCorrelation {
    /// Numbers of the rules that rule number `index` refers to, each once.
    fn referred(&self, index: usize) -> Vec<usize> {
        let mut refs: Vec<usize> = Vec::new();
        for drawn in &self.refs {
            let referred = usize::from(*drawn) % index;
            if !refs.contains(&referred) {
                refs.push(referred);
            }
        }
        refs
    }

    fn write(&self, text: &mut String, case: &Case, index: usize) {
        let refs = self.referred(index);
        let kind = [
            "event_count",
            "value_count",
            "value_sum",
            "value_avg",
            "value_percentile",
            "temporal",
            "temporal_ordered",
            "temporal",
            "event_count",
        ][usize::from(self.kind)];
        let names: Vec<String> = refs.iter().map(|referred| format!("r{referred}")).collect();
        let _ = writeln!(text, "correlation:\n    type: {kind}\n    rules: [{}]", names.join(", "));
        let group_by = ["user", "user", "user", "source_ip", "user, source_ip", "session_id", "who", ""];
        let group_by = group_by[usize::from(self.group_by)];
        if !group_by.is_empty() {
            let _ = writeln!(text, "    group-by: [{group_by}]");
        }
        if group_by == "who" {
            text.push_str("    aliases:\n        who:\n");
            for (position, name) in names.iter().enumerate() {
                let field = if position % 2 == 0 { "user" } else { "target" };
                let _ = writeln!(text, "            {name}: {field}");
            }
        }
        let _ = writeln!(text, "    timespan: {}", span(case, [1, 2, 3, 6, 12, 48][usize::from(self.timespan)]));
        if let Some(condition) = self.condition(kind, &names) {
            let _ = writeln!(text, "    condition: {condition}");
        }
        if self.generate {
            text.push_str("generate: true\n");
        }
        let mut when: Vec<String> = time_gate(self.gate).into_iter().collect();
        // An ordered one has no value that could be usual.
        when.extend(self.usual.as_ref().filter(|_| kind != "temporal_ordered").map(|usual| usual.words(case)));
        self.common.write(text, case, &when, None);
    }

    /// Never one that no events at all would satisfy.
    fn condition(&self, kind: &str, names: &[String]) -> Option<String> {
        let n = self.bound;
        let numeric = |low: u8| match self.condition {
            0..=3 => format!("gte: {low}"),
            4 => format!("gt: {}", low - 1),
            5 => format!("gte: {low}, lte: {}", low + 2),
            6 => format!("eq: {low}"),
            7 => format!("gte: {low}, neq: {}", low + 1),
            8 => format!("gt: {}, lt: {}", low - 1, low + 4),
            _ => format!("gte: {low}, lt: {}", low + 12),
        };
        // Of numbers in a field.
        let amount = |upper_alone: &str| match self.condition {
            0 => format!("gte: {n}"),
            1 => format!("gt: {n}"),
            2 => "gte: 0.5".to_owned(),
            3 => "gt: 1.0".to_owned(),
            4 => "gte: 1, lt: 3".to_owned(),
            5 => "eq: 1".to_owned(),
            6 => "gt: 0.3".to_owned(),
            7 => "gte: 0.1, neq: 0.3".to_owned(),
            8 => format!("lt: {upper_alone}"),
            _ => format!("lte: {upper_alone}"),
        };
        Some(match kind {
            "event_count" => format!("{{{}}}", numeric(n)),
            "value_count" => {
                let field = ["resource", "user", "source_ip", "n", "[user, action]"][usize::from(n)];
                format!("{{field: {field}, {}}}", numeric(n))
            }
            "value_sum" => format!("{{field: n, {}}}", amount("-1")),
            "value_avg" => format!("{{field: n, {}}}", amount("0.4")),
            "value_percentile" => {
                let percent = ["", "percentile: 90, ", "percentile: 25, ", "percentile: 0, ", "percentile: 100, "];
                format!("{{field: n, {}{}}}", percent[usize::from(n)], amount("0.4"))
            }
            "temporal" if self.kind == 7 => match (names, self.condition % 4) {
                ([a, b, ..], 0) => format!("{a} and not {b}"),
                ([a, b, c], 1) => format!("({a} or {b}) and not {c}"),
                ([a, b, ..], 2) => format!("{a} or {b}"),
                ([a, b, ..], _) => format!("{a} and {b}"),
                ([a], _) => a.clone(),
                ([], _) => return None,
            },
            "temporal" if self.condition > 4 => {
                format!("{{gte: {}}}", usize::from(n).min(names.len()))
            }
            _ => return None,
        })
    }
}
