//! Our own extractors: what axum's refuse with a bare sentence, these refuse with the member's name.

mod body;
mod fields;
mod number;
mod query;

pub(crate) use body::{Body, MOST_JSON, PATIENCE, json_type, read_limited, too_slow};
pub(crate) use fields::{Fields, FromFields};
pub(crate) use query::{PathId, PathIds, Query, decoded};

/// The whole number that a text is, in any spelling.
pub(crate) fn whole_number(text: &str) -> Option<i64> {
    number::whole(text).ok()
}
