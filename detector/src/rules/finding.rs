//! [`Finding`]: what is wrong with a rule file, and where.

use std::fmt;

use super::regular::Budget;

/// Most errors of a file that are told one by one; beyond these they are counted.
const MAX_ERRORS: usize = 50;

/// Whether a finding refuses the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// The file is refused.
    Error,
    /// The file is taken; what the author meant may be something else.
    Warning,
}

/// One thing that is wrong with a rule file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file, as its source names it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Error or warning.
    pub severity: Weight,
    /// What is wrong.
    pub message: String,
    /// What to write instead, where that can be said.
    pub hint: Option<String>,
}

impl Finding {
    /// Whether it refuses the file.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Weight::Error
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Weight::Error => "error",
            Weight::Warning => "warning",
        };
        write!(f, "{}:{}:{}: {severity}: {}", self.file, self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// A place in a file, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Mark {
    /// The file's first character: where nothing better is known.
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

/// Findings as they come; of the errors the first [`MAX_ERRORS`], and how many more.
#[derive(Debug, Default)]
pub(super) struct Findings {
    kept: Vec<Finding>,
    errors: usize,
    /// The first error that is counted only.
    beyond: Option<Finding>,
}

impl Findings {
    pub(super) fn push(&mut self, finding: Finding) {
        if finding.is_error() {
            self.errors += 1;
            if self.errors > MAX_ERRORS {
                self.beyond.get_or_insert(finding);
                return;
            }
        }
        self.kept.push(finding);
    }

    /// How many errors there are so far.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// Whether further errors are counted only: looking for a hint is not worth the while then.
    pub(super) fn is_full(&self) -> bool {
        self.errors >= MAX_ERRORS
    }

    pub(super) fn into_vec(mut self) -> Vec<Finding> {
        if let Some(first) = self.beyond {
            let more = self.errors - MAX_ERRORS;
            let message = format!("{more} more error{}, from here on", if more == 1 { "" } else { "s" });
            self.kept.push(Finding { message, hint: None, ..first });
        }
        self.kept
    }
}

/// Collects the findings of one file.
#[derive(Debug)]
pub(super) struct Report {
    file: String,
    findings: Findings,
    /// What was refused without a finding of its own, as one that says so stands in the report.
    unsaid: usize,
    /// What is left for regular expressions.
    pub(super) regexes: Budget,
}

impl Report {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), findings: Findings::default(), unsaid: 0, regexes: Budget::default() }
    }

    pub(super) fn error(&mut self, at: Mark, message: impl Into<String>) {
        self.put(Weight::Error, at, message.into(), None);
    }

    pub(super) fn error_hint(&mut self, at: Mark, message: impl Into<String>, hint: impl Into<String>) {
        self.put(Weight::Error, at, message.into(), Some(hint.into()));
    }

    pub(super) fn warn(&mut self, at: Mark, message: impl Into<String>, hint: Option<String>) {
        self.put(Weight::Warning, at, message.into(), hint);
    }

    /// One more error for a reason that an error of this load names already.
    pub(super) fn again(&mut self) {
        self.unsaid += 1;
    }

    /// An unknown word among known ones: an error, with the nearest as a hint.
    pub(super) fn unknown(&mut self, at: Mark, what: &str, word: &str, known: &[&str]) {
        let hint = match nearest(word, known.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("known: {}", known.join(", ")),
        };
        self.error_hint(at, format!("unknown {what} {}", quoted(word)), hint);
    }

    /// How many errors there are so far: a step has failed if there are more than before it.
    pub(super) fn errors(&self) -> usize {
        self.findings.errors() + self.unsaid
    }

    pub(super) fn into_findings(self) -> Vec<Finding> {
        self.findings.into_vec()
    }

    fn put(&mut self, severity: Weight, at: Mark, message: String, hint: Option<String>) {
        let file = self.file.clone();
        self.findings.push(Finding { file, line: at.line, column: at.column, severity, message, hint });
    }
}

/// A word of a file in a message: short, and without characters that would break the line.
pub(super) fn quoted(word: &str) -> String {
    let shown: String = word.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if word.chars().nth(60).is_some() { format!("`{shown}…`") } else { format!("`{shown}`") }
}

/// The known word that is nearest to a mistyped one, if any is near.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    let word = word.to_lowercase().replace('_', "-");
    known
        .map(|candidate| (distance(&word, &candidate.to_lowercase().replace('_', "-")), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().min(word.len()).div_ceil(3).min(3))
        // Of two that are equally near the first by name: the known ones come in no order.
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edits (Levenshtein) between two short words.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, c) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, d) in other.iter().enumerate() {
            let substituted = diagonal + usize::from(c != *d);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_equally_near_words_it_is_always_the_same() {
        let known = ["repeated_logins", "repeated_l[ogin", "repeated_loginx"];
        let nearest_of = |order: [usize; 3]| nearest("repeated_login", order.into_iter().map(|at| known[at]));
        for order in [[0, 1, 2], [1, 2, 0], [2, 0, 1]] {
            assert_eq!(nearest_of(order), Some("repeated_l[ogin"));
        }
    }

    #[test]
    fn a_finding_reads_like_a_compiler_message() {
        let mut report = Report::new("my/rule.yml");
        report.unknown(Mark { line: 3, column: 5 }, "key", "group_by", &["group-by", "timespan"]);
        report.warn(Mark::START, "odd", None);
        let findings = report.into_findings();
        assert_eq!(findings[0].to_string(), "my/rule.yml:3:5: error: unknown key `group_by` (did you mean group-by?)");
        assert_eq!(findings[1].to_string(), "my/rule.yml:1:1: warning: odd");
    }

    #[test]
    fn of_many_errors_the_first_are_told_and_the_rest_counted() {
        let told = |errors: usize| {
            let mut report = Report::new("t.yml");
            for line in 1..=errors {
                report.warn(Mark { line, column: 1 }, "odd", None);
                report.error_hint(Mark { line, column: 1 }, "wrong", "right");
            }
            assert_eq!(report.errors(), errors);
            let findings = report.into_findings();
            assert_eq!(findings.iter().filter(|finding| !finding.is_error()).count(), errors);
            let told: Vec<String> =
                findings.iter().filter(|finding| finding.is_error()).map(Finding::to_string).collect();
            (told.len(), told[told.len() - 1].clone())
        };
        assert_eq!(told(MAX_ERRORS), (50, "t.yml:50:1: error: wrong (right)".to_owned()));
        assert_eq!(told(MAX_ERRORS + 1), (51, "t.yml:51:1: error: 1 more error, from here on".to_owned()));
        assert_eq!(told(800), (51, "t.yml:51:1: error: 750 more errors, from here on".to_owned()));
    }

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let known = ["timespan", "condition", "group-by"];
        assert_eq!(nearest("timspan", known.into_iter()), Some("timespan"));
        assert_eq!(nearest("Condition", known.into_iter()), Some("condition"));
        assert_eq!(nearest("notes", known.into_iter()), None);
    }

    #[test]
    fn messages_stay_on_one_line() {
        assert_eq!(quoted("a\nb"), "`a\u{fffd}b`");
        assert_eq!(quoted(&"x".repeat(99)).chars().count(), 63);
    }
}
