//! The product as those see it who use it: one file a subject.

mod activities;
mod alerts;
mod analytics;
mod conventions;
mod examples;
mod exceptions;
mod idempotency;
mod input;
mod inventory;
mod keys;
mod lists;
mod logging_in;
mod logs;
mod metrics;
mod openapi;
mod orders;
mod overview;
mod posting;
mod rights;
mod sessions;
mod throttling;
mod users;
mod watching;
mod webhooks;
