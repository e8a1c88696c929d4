//! What the core of the store promises, on both engines: each test runs on SQLite, and on MariaDB or MySQL where
//! `TEST_MYSQL_URL` is set (`mysql://test:test@127.0.0.1:13306`). `TEST_REQUIRE_SERVERS=1` fails without it.

#[path = "../harness/mod.rs"]
mod harness;

mod aborts;
mod inventory;
mod journal;
mod login;
mod orders;
mod schema;
mod small;
mod users;
