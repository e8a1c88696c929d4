//! From an action to the flag that can be read over REST, while a thousand other activities come each second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::Method;
use serde_json::json;

use super::super::client::Client;
use super::load::quantile;
use super::server::{Measurable, run as load};
use super::table::Table;
use crate::cli;
use crate::failure::{Failure, Outcome};

/// Other activities a second.
const RATE: f64 = 1_000.0;
/// Between two actions that are measured.
const PAUSE: Duration = Duration::from_millis(50);
/// After this long a flag does not come any more.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn run(args: &cli::Bench) -> Outcome<Table> {
    let server = Measurable::start().await?;
    let table = on(&server, args, "over REST", "p99 < 50").await?;
    server.stop().await?;
    Ok(table)
}

/// The same on a server that runs.
pub(super) async fn on(server: &Measurable, args: &cli::Bench, how: &str, goal: &str) -> Outcome<Table> {
    let mut others = server.get("/api/logs/", args.connections.min(32), args.seconds);
    others.method = Method::POST;
    others.rate = Some(RATE);
    others.bodies = bodies();
    let others = tokio::spawn(load(others));

    let mut client = Client::connect(server.address, Some(server.token.clone())).await.map_err(Failure::internal)?;
    let mut times = Vec::new();
    let until = Instant::now() + Duration::from_secs(args.seconds);
    while Instant::now() < until {
        let user = format!("probe-{}", times.len());
        let took = flagged(&mut client, &user).await?;
        times.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        tokio::time::sleep(PAUSE).await;
    }
    let others = others.await.map_err(|error| Failure::internal(format!("the load fell over: {error}")))??;
    times.sort_unstable();
    let (half, most) = (quantile(&times, 0.5), quantile(&times, 0.99));
    let mut table = Table::default();
    let ratio = format!("p99 is {:.1} times p50", most / half.max(0.001));
    let what = format!("action to flag {how}, {} times: p50 / p99, ms", times.len());
    table.row(what, format!("{half:.1} / {most:.1}"), ratio, goal);
    table.row(
        "  meanwhile activities/s",
        format!("{:.0}", others.rate),
        format!("{:.2} of those sent", others.rate / RATE),
        "1",
    );
    Ok(table)
}

/// What goes on elsewhere: people who look at things. Each connection takes these in turn.
fn bodies() -> Arc<[String]> {
    (0..500)
        .map(|turn| {
            json!({"user": format!("user-{}", turn % 250), "action": "View", "resource": format!("inventory/{turn}"),
                   "source_ip": format!("10.0.0.{}", turn % 250)})
            .to_string()
        })
        .collect()
}

/// Posts what the tripwire is for, and asks until the alert is there.
async fn flagged(client: &mut Client, user: &str) -> Outcome<Duration> {
    let action = json!({"user": user, "role": "Contractor", "action": "Export", "resource": "inventory"}).to_string();
    let path = format!("/api/alerts/?user={user}&severity=Critical");
    let begun = Instant::now();
    client.ask(&Method::POST, "/api/logs/", &action).await.map_err(Failure::internal)?;
    loop {
        let alerts = client.ask(&Method::GET, &path, "").await.map_err(Failure::internal)?;
        if alerts.as_array().is_some_and(|alerts| !alerts.is_empty()) {
            return Ok(begun.elapsed());
        }
        if begun.elapsed() > PATIENCE {
            return Err(Failure::internal("no alert came of an export by a contractor"));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
