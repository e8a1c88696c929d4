//! [`WireError`]: why a record was refused, in words for whoever sent it.

use std::fmt;

/// Which member of a record is wrong, and a sentence that says what to do. Never holds what was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError {
    /// The member, by the name under which it was sent.
    pub field: String,
    /// The sentence, which continues after the member's name and a colon.
    pub message: String,
}

impl WireError {
    /// An error about `field`.
    #[must_use]
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl std::error::Error for WireError {}
