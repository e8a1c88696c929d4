//! [`Failure`]: why a command did not do what was asked, as one line and an exit code.

use std::fmt;
use std::process::ExitCode;

/// The exit codes that scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The answer is no: a rule is invalid, a test differs. Exit code 1.
    No,
    /// A flag, a value or a file that was named is wrong. Exit code 2.
    Usage,
    /// Something the command depends on cannot be reached: a database, a port, a disk. Exit code 3.
    Unavailable,
    /// A fault of the program itself, such as a role that ended by itself. Exit code 70, as in `sysexits.h`.
    Internal,
}

/// A command's failure: one sentence that says what, where, and what to do.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which exit code.
    pub kind: Kind,
    /// The sentence; empty where the command has already said everything.
    pub message: String,
}

impl Failure {
    /// The answer is no.
    pub fn no(message: impl Into<String>) -> Self {
        Self { kind: Kind::No, message: message.into() }
    }

    /// Wrong usage or configuration.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, message: message.into() }
    }

    /// A dependency is unavailable.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { kind: Kind::Unavailable, message: message.into() }
    }

    /// A fault of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self { kind: Kind::Internal, message: message.into() }
    }

    /// The code that the process ends with.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self.kind {
            Kind::No => 1,
            Kind::Usage => 2,
            Kind::Unavailable => 3,
            Kind::Internal => 70,
        }
    }

    /// Whether something that the program depends on was not there.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self.kind, Kind::Unavailable)
    }

    /// The same as an [`ExitCode`].
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

impl fmt::Display for Failure {
    /// One line, whatever the cause had to say.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = self.message.split_whitespace();
        if let Some(first) = words.next() {
            f.write_str(first)?;
        }
        words.try_for_each(|word| write!(f, " {word}"))
    }
}

impl std::error::Error for Failure {}

/// What a command answers.
pub type Outcome<T = ()> = Result<T, Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_with_the_contracts_code() {
        let failure = Failure::usage("config.toml:\n  listen is\tnot an address");
        assert_eq!(failure.to_string(), "config.toml: listen is not an address");
        assert_eq!(failure.code(), 2);
        assert_eq!(Failure::no("").code(), 1);
        assert_eq!(Failure::unavailable("").code(), 3);
    }
}
