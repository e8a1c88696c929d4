//! What a fault of the store means over HTTP.

use axum::http::StatusCode;

use crate::problem::Problem;

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::NotFound => Self::not_found("There is no such object."),
            store::Error::Duplicate => Self::conflict("This already exists."),
            store::Error::Conflict(sentence) => Self::conflict(sentence),
            store::Error::Outdated(_) => Self::conflict("This has changed meanwhile; nothing was done. Load it again."),
            store::Error::Missing(member) => Self::field(member, format!("{member} is required")),
            store::Error::Overloaded => {
                Self::overloaded("The server is busy; nothing was done. Try again in a moment.")
                    .because("store overloaded")
            }
            store::Error::DiskFull => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "The server's disk is full; nothing was done.")
                    .retry_after(60)
                    .because("disk full")
            }
            fault @ store::Error::Fault(_) => Self::internal(fault),
        }
    }
}
