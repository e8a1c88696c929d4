//! How far long work is: one line on standard error, renewed in place.
//!
//! For a person at a terminal alone. In a pipe, a file, a journal or a log of JSON it would tell nobody anything, and
//! `--quiet` is for those who do not want it.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use domain::Timestamp;

use crate::commands::Context;
use crate::config::LogFormat;
use crate::output;

/// Characters of the bar.
const BAR: usize = 30;
/// How often the line is renewed: an eye sees no more.
const AGAIN: Duration = Duration::from_millis(100);
/// How much has to be done before it is guessed how long the rest takes.
const ENOUGH: Duration = Duration::from_secs(2);
/// Back to the beginning of the line, and clear it.
const CLEAR: &str = "\r\x1b[K";

/// A line that says how far the work is, until it is dropped.
pub(crate) struct Bar {
    shown: bool,
    begun: Instant,
    drawn: Option<Instant>,
}

impl Bar {
    /// For the work of a command that begins now.
    pub(crate) fn new(context: &Context) -> Self {
        let wanted = !context.flags.quiet && context.config.log_format != Some(LogFormat::Json);
        let able = io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { shown: wanted && able, begun: Instant::now(), drawn: None }
    }

    /// So much of the work is done, where that is known, and what that is in words.
    pub(crate) fn show(&mut self, share: Option<f64>, words: impl FnOnce() -> String) {
        if !self.shown || self.drawn.is_some_and(|drawn| drawn.elapsed() < AGAIN) {
            return;
        }
        let line = line(share, &words(), self.begun.elapsed());
        let width = terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| usize::from(width.0));
        // A line that reaches the edge would be two.
        let line: String = line.chars().take(width.saturating_sub(1)).collect();
        // Nobody is there to see it if that fails.
        drop(write!(io::stderr().lock(), "{CLEAR}{line}"));
        self.drawn = Some(Instant::now());
    }

    /// Whether anybody sees it.
    pub(crate) fn is_shown(&self) -> bool {
        self.shown
    }

    /// The same of so many of so many.
    pub(crate) fn show_count(&mut self, done: u64, total: u64, words: impl FnOnce() -> String) {
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = done as f64 / total.max(1) as f64;
        self.show(Some(share), words);
    }

    /// The same of work that goes through event time, from `first` to `to`.
    pub(crate) fn show_time(&mut self, first: Timestamp, at: Timestamp, to: Timestamp, words: impl FnOnce() -> String) {
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = at.since(first) as f64 / to.since(first).max(1) as f64;
        self.show(Some(share), words);
    }

    /// A line of its own, above.
    pub(crate) fn note(&mut self, text: impl std::fmt::Display) {
        self.clear();
        output::note(text);
    }

    /// Makes room for other lines.
    pub(crate) fn clear(&mut self) {
        if self.drawn.take().is_some() {
            drop(write!(io::stderr().lock(), "{CLEAR}"));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share between 0 and 1"
)]
fn line(share: Option<f64>, words: &str, taken: Duration) -> String {
    let Some(share) = share.map(|share| share.clamp(0.0, 1.0)) else { return words.to_owned() };
    let full = (share * BAR as f64) as usize;
    let rest = (taken > ENOUGH && share > 0.01 && share < 1.0).then(|| taken.as_secs_f64() * (1.0 - share) / share);
    let rest = rest.map(|seconds| format!(", about {} left", about(seconds))).unwrap_or_default();
    format!("[{}{}] {:3.0} %  {words}{rest}", "#".repeat(full), " ".repeat(BAR - full), share * 100.0)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a guess")]
fn about(seconds: f64) -> String {
    match seconds.ceil() as u64 {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7_200 => format!("{} min", s.div_ceil(60)),
        s => format!("{} h", s.div_ceil(3_600)),
    }
}

/// A number of bytes, for people.
pub(crate) fn mebibytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    format!("{mebibytes:.1} MiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_and_guesses_the_rest() {
        let half = line(Some(0.5), "7 activities", Duration::from_secs(1));
        assert_eq!(half, format!("[{}{}]  50 %  7 activities", "#".repeat(15), " ".repeat(15)));
        assert!(line(Some(0.25), "x", Duration::from_secs(30)).ends_with("x, about 90 s left"));
        assert!(line(Some(0.0), "x", Duration::from_secs(30)).ends_with("  0 %  x"));
        assert!(line(Some(7.0), "x", Duration::ZERO).contains("100 %"));
        assert!(line(Some(f64::NAN), "x", Duration::ZERO).contains('x'));
        assert_eq!(line(None, "3 MiB", Duration::ZERO), "3 MiB");
        assert_eq!([about(0.2), about(119.0), about(121.0), about(9_000.0)], ["1 s", "119 s", "3 min", "3 h"]);
        assert_eq!(mebibytes(3 << 19), "1.5 MiB");
    }
}
