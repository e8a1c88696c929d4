//! The REST API.
#![allow(dead_code, reason = "wired up piece by piece")]

mod auth;
mod extract;
mod limit;
mod net;
mod problem;
