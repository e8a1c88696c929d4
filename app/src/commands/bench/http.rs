//! Requests a second, beside those of a handler that does nothing, and how long they take at half of that.

use axum::Router;
use axum::http::Method;
use axum::routing::get;
use serde_json::json;

use super::super::own_server::loopback;
use super::server::{Measurable, run as load};
use super::table::{Table, thousands};
use crate::cli;
use crate::failure::Outcome;

/// Objects in the list that is read.
const ITEMS: usize = 100;

pub(super) async fn run(args: &cli::Bench) -> Outcome<Table> {
    let server = Measurable::start().await?;
    let mut first = 0;
    for item in 0..ITEMS {
        let item = json!({
            "item_name": format!("Bolt M{item}"), "category": "Fasteners", "description": "Zinc plated, DIN 933",
            "quantity": 1_000, "unit_price": "0.12",
        });
        let made = server.ask(Method::POST, "/api/inventory/", item).await?;
        first = made["item"]["item_id"].as_i64().unwrap_or(first);
    }
    let (listener, empty) = loopback().await?;
    let nothing = tokio::spawn(async move { axum::serve(listener, Router::new().route("/", get(|| async {}))).await });

    let mut table = Table::default();
    let mut load_of = server.get("/", args.connections, args.seconds);
    load_of.server = empty;
    let most = load(load_of).await?.rate;
    nothing.abort();
    table.row("an empty handler, answers/s", thousands(most), "1", "");
    let one = format!("/api/inventory/{first}");
    for (name, path, goal) in [
        ("health", "/api/health", "50,000"),
        ("GET one item", one.as_str(), "10,000 and 0.18"),
        ("GET a list of 100 items", "/api/inventory/", "3,000 and 0.055"),
    ] {
        let full = load(server.get(path, args.connections, args.seconds)).await?;
        let ratio = format!("{:.3} of an empty handler", full.rate / most);
        table.row(format!("{name}, answers/s"), thousands(full.rate), ratio, goal);
        let mut half = server.get(path, args.connections, args.seconds);
        half.rate = Some(full.rate / 2.0);
        let half = load(half).await?;
        let times = format!("{:.2} / {:.2}", half.quantile(0.5), half.quantile(0.99));
        table.row("  at half of that rate: p50 / p99, ms", times, format!("{} answers/s", thousands(half.rate)), "");
    }
    server.stop().await?;
    Ok(table)
}
