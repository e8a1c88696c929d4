//! Regular expressions of rules, and what they may take together.
//!
//! `\w{20}` is six characters and more than half a megabyte once compiled, as `\w` is a class of 140,000 characters. So
//! there is a bound for all regular expressions of a load, beside the bound for each.

use regex::{Regex, RegexBuilder};

use super::finding::{Mark, Report};

/// Longest regular expression in bytes: classes are written out before their size is known.
const MAX_SOURCE: usize = 4 * 1024;
/// Sizes that a compiled expression is tried with, in bytes, and counted as. Even the smallest one takes some KiB.
const SIZES: [usize; 5] = [8 << 10, 32 << 10, 128 << 10, 512 << 10, LARGEST];
/// Largest compiled expression in bytes.
const LARGEST: usize = 1 << 20;
/// What all expressions of one load may take together, in bytes; in memory it comes to some two and a half times that.
const TOGETHER: usize = 32 << 20;

/// Room for the regular expressions of one load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    left: usize,
    /// An error says that it is used up.
    told: bool,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: TOGETHER, told: false }
    }
}

/// Compiles an expression; `None` after an error, which the report has.
pub(super) fn compile(source: &str, at: Mark, report: &mut Report) -> Option<Regex> {
    if source.len() > MAX_SOURCE {
        report.error_hint(at, "a regular expression has at most 4 KiB", "several in a list mean any of them");
        return None;
    }
    for size in SIZES {
        if size > report.regexes.left {
            return beyond(at, report);
        }
        let built = RegexBuilder::new(source).size_limit(size).dfa_size_limit(LARGEST).nest_limit(64).build();
        match built {
            Ok(regex) => {
                report.regexes.left -= size;
                return Some(regex);
            }
            Err(regex::Error::CompiledTooBig(_)) => {}
            Err(error) => {
                let text = error.to_string();
                let cause = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
                report.error(at, format!("not a regular expression: {cause}"));
                return None;
            }
        }
    }
    // It was as much work as one that fits.
    report.regexes.left -= LARGEST;
    report.error_hint(at, "the regular expression is too large: compiled, it takes more than 1 MiB", FEWER);
    None
}

const FEWER: &str = "`\\w`, `\\d` and `.` repeated often take most; [A-Za-z0-9_] is a hundred times smaller than `\\w`";

fn beyond(at: Mark, report: &mut Report) -> Option<Regex> {
    report.regexes.left = 0;
    if report.regexes.told {
        report.again();
    } else {
        report.regexes.told = true;
        let message = "the regular expressions of all rules together are too large: compiled, they take at most \
                       32 MiB, which are used up here";
        report.error_hint(at, message, FEWER);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{RuleSource, load};

    /// A file with so many different expressions, two of them in a rule.
    fn file(name: &str, expression: &str, count: usize) -> RuleSource {
        let rule = |at: usize| {
            format!(
                "title: {name} {at}\nlogsource: {{a: b}}\ndetection:\n    s:\n        resource|re: ['{expression}{at}', \
                 '{expression}x{at}']\n    condition: s\n"
            )
        };
        let rules: Vec<String> = (0..count / 2).map(rule).collect();
        RuleSource::text(&format!("{name}.yml"), rules.join("---\n"))
    }

    #[test]
    fn there_is_room_for_many_small_ones_and_for_some_large_ones() {
        assert!(load(&[file("a", "^/[a-z_-]+/[0-9]+$", 1_000)]).is_ok());
        assert!(load(&[file("a", "\\w+\\.exe", 100)]).is_ok());
        assert!(load(&[file("a", "\\w{20}x", 10)]).is_ok());
    }

    #[test]
    fn those_of_a_load_share_one_room_and_one_error_says_so() {
        let (one, other) = (file("a", "\\w{20}x", 100), file("b", "\\w{20}y", 100));
        let findings = load(&[one, other]).unwrap_err();
        let [error] = &findings[..] else { panic!("{findings:?}") };
        let text = error.to_string();
        assert!(text.starts_with("a.yml:") && text.contains("all rules together are too large"), "{text}");
    }

    #[test]
    fn what_is_too_large_is_bounded_too() {
        let findings = load(&[file("a", "\\w{200}x", 800)]).unwrap_err();
        let text: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(text[0].contains("compiled, it takes more than 1 MiB (`\\w`"), "{}", text[0]);
        assert_eq!(text.iter().filter(|text| text.contains("more than 1 MiB")).count(), 32);
        assert!(text[32].contains("all rules together are too large") && text.len() == 33, "{text:?}");
        let findings = load(&[file("a", &"\\w".repeat(5_000), 2)]).unwrap_err();
        assert!(findings[0].to_string().contains("at most 4 KiB"), "{findings:?}");
    }
}
