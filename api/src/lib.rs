//! The REST API.
#![allow(dead_code, reason = "wired up piece by piece")]

mod auth;
mod extract;
mod limit;
mod net;
mod problem;
mod config;
mod cors;
mod csv;
mod serve;
mod shell;

pub use config::Config;
pub use serve::serve;
