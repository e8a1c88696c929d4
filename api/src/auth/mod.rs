//! Who is asking, and what they may do.

pub(crate) mod caller;
pub(crate) mod password;
pub(crate) mod rights;
pub(crate) mod throttle;
pub(crate) mod tokens;
