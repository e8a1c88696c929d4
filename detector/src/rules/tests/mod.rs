//! The language as its users meet it: files in, matches, rules or findings out.

mod correlations;
mod detections;
mod overlay;
mod page;
mod strict;

use domain::{Activity, Timestamp, wire};
use uuid::Uuid;

use super::{Finding, Loaded, RuleSource, Scratch, load};

const ID: &str = "0b6f1c9e-6f0e-4f0e-9a44-3a1d54a5b0";

/// An activity from a line as it comes over the wire.
fn activity(line: &str) -> Activity {
    let incoming = wire::parse(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"));
    incoming.into_activity(Timestamp::from_micros(0), Uuid::from_u128(7), "backtest")
}

/// A detection `d<number>` with a `detection` section as it stands.
fn detection(number: usize, section: &str) -> String {
    let section = section.trim_end().replace('\n', "\n    ");
    format!(
        "title: Rule {number}\nid: {ID}{number:02}\nname: d{number}\nlogsource: {{category: activity}}\ndetection:\n    \
         {section}\n"
    )
}

/// A correlation `c<number>`; `section` in flow style, `more` at the top.
fn correlation(number: usize, section: &str, more: &str) -> String {
    format!("title: Correlation {number}\nid: {ID}{number:02}\nname: c{number}\ncorrelation: {{{section}}}\n{more}\n")
}

fn loaded(documents: &[String]) -> Result<Loaded, Vec<Finding>> {
    load(&[RuleSource::text("t.yml", documents.join("---\n"))])
}

/// The rules, or a panic that says why not.
fn rules(documents: &[String]) -> Loaded {
    loaded(documents).unwrap_or_else(|findings| panic!("{}\n{:.2000}", lines(&findings), documents.join("---\n")))
}

/// The findings of what must not load.
fn refused(documents: &[String]) -> String {
    match loaded(documents) {
        Ok(_) => panic!("loaded, and must not:\n{}", documents.join("---\n")),
        Err(findings) => lines(&findings),
    }
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

/// Whether a section matches an event.
fn matches(section: &str, line: &str) -> bool {
    let loaded = rules(&[detection(1, section)]);
    let (mut scratch, mut found) = (Scratch::default(), Vec::new());
    loaded.rules.matcher.matches(&activity(line), &mut scratch, &mut found);
    found == [0]
}

/// Whether one line of a selection matches members of an event.
fn item(item: &str, members: &str) -> bool {
    let line = if members.is_empty() {
        r#"{"action":"View"}"#.to_owned()
    } else {
        format!(r#"{{"action":"View",{members}}}"#)
    };
    matches(&format!("s:\n    {item}\ncondition: s"), &line)
}
