//! Untrusted bytes → activities: wire schema v1.
//!
//! | file | what |
//! |---|---|
//! | `table` | the schema as data: members, their aliases in order, limits |
//! | `read` | JSON → one slot for each known key and attributes, in one pass, borrowing where it can |
//! | `scan` | the same for the lines that most are, without a general JSON reader |
//! | `slots` | a record, sorted |
//! | `value` | an attribute's value: as it came, with bounds |
//! | `resolve` | slots → [`Incoming`]: which alias wins, what its type must be, what is kept besides |
//! | `reader` | many lines of one source |
//! | `address` | addresses, the usual ones quickly |
//! | `incoming` | [`Incoming`] → [`Activity`](crate::Activity), in a live system and in a backtest |
//!
//! This is on the path of every event. Known members never become a [`serde_json::Value`], and a record without
//! nested objects costs no look-up of paths.

mod address;
mod error;
mod incoming;
mod read;
mod reader;
mod resolve;
mod scan;
mod slots;
mod table;
mod value;

pub use error::WireError;
pub use incoming::{Incoming, MAX_AHEAD, late};
pub use reader::Reader;
pub use table::{
    MAX_ACTION, MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES, MAX_DEPTH, MAX_DETAIL, MAX_NAME, MAX_RESOURCE, MAX_TEXT,
};

use reader::Texts;
use serde_json::{Map, Value};

/// Reads one JSON object; [`Reader`] is faster for many. Of a key that stands twice, the last counts; what no record may hold is refused in all of
/// them.
///
/// # Errors
/// What is no JSON object, lacks `action`, or has a member of a wrong type or beyond its limit.
pub fn parse(line: &[u8]) -> Result<Incoming, WireError> {
    Reader::default().parse(line)
}

/// The same from an object that has been parsed already.
///
/// # Errors
/// As [`parse`].
pub fn from_value(object: Map<String, Value>) -> Result<Incoming, WireError> {
    resolve::resolve(&mut read::from_map(object)?, &mut Texts::default(), true)
}

#[cfg(test)]
mod drawn;
#[cfg(test)]
mod tests;
