//! Standard output and standard error: the only place that writes to them, apart from the log.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use crate::failure::{Failure, Outcome};

/// Writes `text` and a line end to standard output. A reader that has had enough (`| head`) changes nothing: the command
/// does what it is there for, and its exit code says what came of that.
///
/// # Errors
/// Standard output cannot be written, on a full disk for instance.
pub(crate) fn print(text: impl Display) -> Outcome {
    is_read(text).map(drop)
}

/// The same for a command that goes on until it is ended: whether somebody still reads.
///
/// # Errors
/// As [`print`].
pub(crate) fn is_read(text: impl Display) -> Outcome<bool> {
    wrote(writeln!(io::stdout().lock(), "{text}"))
}

/// What came of a write to standard output, as [`is_read`] sees it.
///
/// # Errors
/// As [`print`].
pub(crate) fn wrote(result: io::Result<()>) -> Outcome<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::unavailable(format!("standard output cannot be written: {error}"))),
    }
}

/// One line on standard error. There is nobody to tell if that fails.
pub(crate) fn complain(text: &impl Display) {
    drop(writeln!(io::stderr().lock(), "security-analytics: {text}"));
}

/// A line of progress or of a summary on standard error; what a command answers goes to standard output.
pub(crate) fn note(text: impl Display) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Whether a person reads standard output.
#[must_use]
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether colours help whoever reads a stream: on a terminal, unless `NO_COLOR` says otherwise (<https://no-color.org>).
#[must_use]
pub(crate) fn is_coloured(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
