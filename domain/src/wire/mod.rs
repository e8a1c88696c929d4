//! Untrusted bytes → activities.
mod error;
pub use error::WireError;
