//! Standard output and standard error: the only place that writes to them, apart from the log.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use crate::failure::{Failure, Outcome};

/// Writes `text` and a line end to standard output. A reader that has gone away (`| head`) ends the command quietly.
///
/// # Errors
/// Standard output cannot be written, on a full disk for instance.
pub(crate) fn print(text: impl Display) -> Outcome {
    wrote(writeln!(io::stdout().lock(), "{text}"))
}

/// What came of a write to standard output, as [`print`] sees it.
///
/// # Errors
/// As [`print`].
pub(crate) fn wrote(result: io::Result<()>) -> Outcome {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::no(""),
        _ => Failure::unavailable(format!("standard output cannot be written: {error}")),
    })
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
