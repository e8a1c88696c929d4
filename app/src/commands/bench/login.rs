//! Log-ins a second, beside what the machine can hash, and what they leave to everybody else.

use std::time::Instant;

use axum::http::Method;
use serde_json::json;

use super::blocking;
use super::server::{Measurable, PASSWORD, run as load};
use super::table::Table;
use crate::cli;
use crate::failure::{Failure, Outcome};
use crate::server::FIRST_ADMIN;

/// Cost of the hashes that are made by default.
const COST: u32 = 12;
/// Reads a second meanwhile.
const READS: f64 = 500.0;

pub(super) async fn run(args: &cli::Bench) -> Outcome<Table> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    #[expect(clippy::cast_precision_loss, reason = "a number of cores")]
    let physics = blocking(hashes_a_second).await? * cores as f64;
    let server = Measurable::start().await?;
    let made = server.ask(Method::POST, "/api/inventory/", json!({"item_name": "Bolt"})).await?;
    let item = made["item"]["item_id"].as_i64().unwrap_or(1);

    let mut log_ins = server.get("/api/auth/login", 8, args.seconds);
    log_ins.method = Method::POST;
    log_ins.token = None;
    log_ins.bodies = [json!({"username": FIRST_ADMIN, "password": PASSWORD}).to_string()].into();
    let mut reads = server.get(&format!("/api/inventory/{item}"), 16, args.seconds);
    reads.rate = Some(READS);
    let (log_ins, reads) = tokio::try_join!(load(log_ins), load(reads))?;
    server.stop().await?;

    let mut table = Table::default();
    let ratio = format!("{:.2} of what {cores} cores can hash ({physics:.1}/s)", log_ins.rate / physics);
    table.row("log-ins at bcrypt cost 12, /s", format!("{:.1}", log_ins.rate), ratio, "7.5");
    let times = format!("{:.1} / {:.1}", reads.quantile(0.5), reads.quantile(0.99));
    let what = format!("  GET one item meanwhile at {READS:.0}/s: p50 / p99, ms");
    table.row(what, times, format!("{:.0} answers/s", reads.rate), "p99 < 20");
    Ok(table)
}

/// On one core.
fn hashes_a_second() -> Outcome<f64> {
    let begun = Instant::now();
    let rounds = 4;
    for _ in 0..rounds {
        bcrypt::hash(PASSWORD, COST).map_err(|error| Failure::internal(format!("bcrypt: {error}")))?;
    }
    Ok(f64::from(rounds) / begun.elapsed().as_secs_f64())
}
