//! Faults: processes and servers are killed, stopped and started again at any moment while clients work; then it is
//! audited: what was acknowledged is there, once, stock and orders add up, and the alerts are those that a backtest over
//! what is stored finds; a webhook has heard of each.
//!
//! | file | what |
//! |---|---|
//! | `embedded`, `full_disk` | one process on SQLite |
//! | `distributed` | two of each role over a Kafka and a MariaDB of the test's own |
//! | `clients`, `http` | who works meanwhile |
//! | `receiver` | who is told of alerts |
//! | `process`, `servers` | what is killed |
//! | `audit` | what has to be true in the end |

mod audit;
mod clients;
mod distributed;
mod embedded;
mod full_disk;
mod http;
#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "../common/port.rs"]
mod port;
mod process;
mod receiver;
mod servers;
