//! The dashboard as people see it: the real program, and a real browser.
//!
//! `DASHBOARD_SCREENSHOTS=<directory>` keeps pictures of every page.

mod attackers_text;
mod browser;
mod connection;
mod keyboard;
mod looks;
mod rules;
mod watching;
mod webhooks;
