//! Our own extractors: what axum's refuse with a bare sentence, these refuse with the member's name.

mod body;
mod fields;
mod number;
mod query;

pub(crate) use body::Body;
pub(crate) use fields::{Fields, FromFields};
pub(crate) use query::{PathId, Query};
