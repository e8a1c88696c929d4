//! `demo`: a server of its own, a month of history, and attacks that are caught while somebody watches.
//!
//! History goes the way that everything goes: into the journal, to ingest and to the detector. Only the clock is moved,
//! so that nothing of it is late; when the past has been told, it is the machine's again.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use axum::http::Method;
use chrono_tz::Tz;
use domain::{Activity, Clock, DAY, HOUR, MINUTE, SystemClock, Timestamp, ids, wire};
use serde_json::{Value, json};
use store::Store;

use super::Context;
use super::client::Client;
use super::own_server::{self, OwnServer, Temporary};
use super::simulate::attacks::ATTACKS;
use super::simulate::population::Population;
use super::simulate::{Hidden, Simulation, caught};
use crate::cli;
use crate::config::{Config, read, secret};
use crate::failure::{Failure, Outcome};
use crate::lifecycle;
use crate::output;
use crate::progress::Bar;
use crate::server::FIRST_ADMIN;

/// Bytes of the password that is made.
const PASSWORD: usize = 12;
/// Activities of one transaction.
const BATCH: usize = 500;
/// What people do while somebody watches, in events a second.
const RATE: u16 = 4;
/// After this long history is not told any more.
const PATIENCE: Duration = Duration::from_secs(120);

/// The past while it is told, then the machine's clock.
#[derive(Debug, Default)]
struct Told(AtomicI64);

impl Clock for Told {
    fn now(&self) -> Timestamp {
        match self.0.load(Ordering::SeqCst) {
            0 => SystemClock.now(),
            micros => Timestamp::from_micros(micros),
        }
    }
}

pub(crate) async fn run(args: cli::Demo, context: &Context) -> Outcome {
    let length =
        read::duration_within(&args.length, "1s", "1d").map_err(|why| Failure::usage(format!("--for {why}")))?;
    let length = Duration::from_micros(length.unsigned_abs());
    let asked = lifecycle::asked_to_end()?;
    let folder = Temporary::new()?;
    let password = secret::make(PASSWORD);
    let config = Config { time_zone: Some(Tz::UTC), ..own_server::config(&folder, &password)? };
    let clock = Arc::new(Told::default());
    let begin = midnight(SystemClock.now()).plus(-i64::from(args.days) * DAY);
    clock.0.store(begin.micros(), Ordering::SeqCst);
    let server = OwnServer::start(config, clock.clone(), folder).await?;
    let (address, store) = (server.address, server.store.clone());

    let url = format!("http://{address}");
    let watched = async {
        let begun = Instant::now();
        let mut population = Population::new(args.users, 1);
        let told = history(&store, &clock, &mut population, begin, Bar::new(context)).await?;
        clock.0.store(0, Ordering::SeqCst);
        let took = begun.elapsed().as_secs_f64();
        let shown = output::is_terminal().then_some(&password);
        if !output::is_read(screen(&url, shown, args.users, args.days, told, took))? {
            return Ok(());
        }
        live(&args, length, address, &url, &password, population).await
    };
    let outcome = tokio::select! {
        outcome = watched => outcome,
        () = asked.cancelled() => Ok(()),
    };
    let ended = server.stop().await;
    outcome.and(ended)
}

fn midnight(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.micros().div_euclid(DAY) * DAY)
}

/// Tells the past, day by day, and waits until the rules have seen it; how many activities that were.
async fn history(
    store: &Store,
    clock: &Told,
    population: &mut Population,
    begin: Timestamp,
    mut bar: Bar,
) -> Outcome<usize> {
    let (now, mut told) = (SystemClock.now(), 0);
    let mut midnight = begin;
    while midnight < now {
        // 1970 began on a Thursday.
        let weekday = (midnight.micros() / DAY + 3) % 7;
        let mut day = if weekday < 5 { population.day(midnight) } else { Vec::new() };
        if midnight.plus(DAY) > now.plus(-DAY) && midnight.plus(DAY) <= now {
            day.extend(insider(midnight));
            day.sort_by_key(|(at, _)| *at);
        }
        day.retain(|(at, _)| *at < now.plus(-MINUTE));
        told += day.len();
        for batch in day.chunks(BATCH) {
            let activities: Vec<Activity> =
                batch.iter().map(|(at, event)| activity(*at, event)).collect::<Outcome<_>>()?;
            if let Some((last, _)) = batch.last() {
                clock.0.store(last.micros(), Ordering::SeqCst);
            }
            let appended = store.append_posted(activities).await;
            appended.map_err(|error| Failure::unavailable(format!("history cannot be kept: {error}")))?;
        }
        midnight = midnight.plus(DAY);
        bar.show_time(begin, midnight, now, || format!("{told} activities of the past"));
    }
    let failed = |error: store::Error| Failure::unavailable(format!("the database cannot be read: {error}"));
    let (last, begun) = (store.journal_status().await.map_err(failed)?.last_seq, Instant::now());
    for reader in [store::INGEST, store::DETECTOR] {
        while store.offset(reader).await.map_err(failed)? < last {
            if begun.elapsed() > PATIENCE {
                return Err(Failure::internal("history takes too long"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(told)
}

/// Somebody of the house who comes at night and takes what there is.
fn insider(midnight: Timestamp) -> Vec<(Timestamp, Value)> {
    let at = |minute: i64| midnight.plus(2 * HOUR + minute * MINUTE);
    let who = |action: &str, resource: &str, records: u32| {
        json!({"action": action, "resource": resource, "records": records, "log_type": "data_access",
               "user": "insider", "role": "Employee", "session_id": "insider-at-night", "source_ip": "10.20.9.9"})
    };
    let taken = (1..=6)
        .map(|number| (at(number * 2), who("Export", ["inventory", "orders", "users"][number as usize % 3], 2_000)));
    std::iter::once((at(0), who("Login", "auth", 0))).chain(taken).collect()
}

fn activity(at: Timestamp, event: &Value) -> Outcome<Activity> {
    let Value::Object(members) = event.clone() else { return Err(Failure::internal("an event is an object")) };
    let mut incoming = wire::from_value(members).map_err(|error| Failure::internal(error.to_string()))?;
    incoming.occurred_at = Some(at);
    Ok(incoming.into_activity(at, ids::event_id(at), "ingest:demo"))
}

fn screen(url: &str, password: Option<&String>, users: u16, days: u16, told: usize, took: f64) -> String {
    let password = match password {
        Some(password) => format!("{password}   (of this run only)"),
        None => "shown on a terminal only".to_owned(),
    };
    format!(
        "Security Analytics, a demonstration: {users} people, {days} days, {told} activities, told in {took:.1} s\n\n  \
         Dashboard   {url}/\n  Log in as   {FIRST_ADMIN}\n  Password    {password}\n\n\
         People are at work. Attacks come now, hidden among them:\n"
    )
}

/// Lets people work and attacks happen.
async fn live(
    args: &cli::Demo,
    length: Duration,
    server: std::net::SocketAddr,
    url: &str,
    password: &str,
    population: Population,
) -> Outcome {
    let failed = Failure::internal;
    let (mut admin, _) = Client::log_in(server, FIRST_ADMIN, password).await.map_err(failed)?;
    let made = admin.ask(&Method::POST, "/api/keys", r#"{"name":"demo"}"#).await.map_err(failed)?;
    let key = made["api_key"].as_str().unwrap_or_default().to_owned();
    let mut simulation = Simulation {
        population,
        attacks: ATTACKS.into_iter().map(Hidden::new).collect(),
        run: format!("{:08x}", rand::random::<u32>()),
        posted: 0,
        told: Some(url.to_owned()),
        bar: None,
    };
    simulation.go(server, key.clone(), &mut admin, RATE, length).await.map_err(failed)?;
    let night = admin.ask(&Method::GET, "/api/alerts/?user=insider", "").await.map_err(failed)?;
    let at_night = |alert: &&Value| alert["rule"].as_str().is_some_and(|rule| rule.contains("outside working hours"));
    if let Some(alert) = night.as_array().and_then(|alerts| alerts.iter().find(at_night).or(alerts.first())) {
        output::print(caught("insider", alert, "last night", url))?;
    }
    if args.no_wait {
        return simulation.report();
    }
    if !output::is_read(
        "\nOpen one of the links, judge it, look around. Ctrl-C ends the demonstration and removes its data.",
    )? {
        return Ok(());
    }
    simulation.attacks.clear();
    loop {
        simulation.go(server, key.clone(), &mut admin, RATE, Duration::from_secs(600)).await.map_err(failed)?;
    }
}
