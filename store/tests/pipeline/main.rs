//! What the pipeline's side of the store promises, on both engines: activities stored once, alerts with everything that
//! follows from them, and what the analytics pages read. As in the conformance suite, `TEST_MYSQL_URL` names a server.

#[path = "../harness/mod.rs"]
mod harness;

mod detection;
mod exceptions;
mod ingest;
mod logs;
mod overview;
mod pages;
mod reprocess;
mod sample;
mod triage;
mod webhooks;
