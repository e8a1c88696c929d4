//! The dashboard as people see it: the real program, and a real browser.
//!
//! `DASHBOARD_SCREENSHOTS=<directory>` keeps pictures of every page.

mod attackers_text;
mod between;
mod browser;
mod busy;
mod connection;
mod keyboard;
mod looks;
mod queue;
mod rules;
mod typed;
mod watching;
mod webhooks;
