//! Who is asking.

pub(crate) mod password;
pub(crate) mod tokens;
