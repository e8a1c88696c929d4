//! The same pipeline over Kafka and MariaDB: each stage alone, then all of them with requests in front.
//!
//! On the servers that `DATABASE_URL` and `KAFKA_BROKERS` name; the database has to be an empty one, since what is
//! measured is written there. Topics are of the run's own.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::Method;
use domain::{Activity, Clock, MINUTE, SystemClock, Timestamp, wire};
use serde_json::Value;
use store::{DETECTOR, Store};
use tokio_util::sync::CancellationToken;

use super::super::client::Client;
use super::events::Population;
use super::server::{Measurable, PASSWORD};
use super::table::{Table, thousands};
use super::{Context, latency};
use crate::cli;
use crate::config::{Config, Database, Secret};
use crate::data;
use crate::distributed::kafka as kafka_of;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::readiness::still_to_do;

/// Activities that the stages work on.
const ACTIVITIES: usize = 200_000;
/// The time over which they are spread, in microseconds: within the lateness.
const SPREAD: i64 = 4 * MINUTE;
/// Rows of one transaction of the preparation.
const BATCH: usize = 1_000;
/// Lines of one request at full load.
const LINES: usize = 500;
/// Requests at once at full load.
const CLIENTS: usize = 4;
/// A stage that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) async fn run(args: &cli::Bench, context: &Context) -> Outcome<Table> {
    let config = Config {
        kafka_topic_prefix: format!("bench-{}.", uuid::Uuid::new_v4().simple()),
        admin_password: Some(Secret::new(PASSWORD)),
        jwt_secret_key: Some(
            context.config.jwt_secret_key.clone().unwrap_or_else(|| Secret::new("measured, not kept: ".repeat(3))),
        ),
        rate_limit: false,
        ..context.config.clone()
    };
    let (Database::MySql(_), Some(kafka)) = (&config.database, kafka_of(&config)) else {
        return Err(Failure::usage(
            "bench kafka needs DATABASE_URL=mysql://... with an empty database, and KAFKA_BROKERS",
        ));
    };
    let store = data::open(&config, context.clock.clone()).await?;
    let failed = |error: store::Error| data::database_failed(&config, &error);
    if store.count_users().await.map_err(failed)? > 0 || store.journal_status().await.map_err(failed)?.last_seq > 0 {
        return Err(Failure::usage(
            "bench kafka writes into the database that DATABASE_URL names, and this one is in use",
        ));
    }
    let prepared = bus::kafka::prepare_topics(&kafka).await;
    prepared.map_err(|error| Failure::unavailable(error.to_string()))?;
    let stage = Stage { config: &config, store: &store, lags: bus::kafka::Lags::new(kafka.clone()) };
    let mut table = Table::default();

    output::note("  the journal is filled");
    let journaled = stage.fill().await?;
    table.row("activities journaled, 1,000 a transaction, /s", thousands(journaled), "1", "");
    output::note("  relay");
    let relay = {
        let (status, stop) = (Arc::default(), CancellationToken::new());
        let running = tokio::spawn(relay::run(store.clone(), kafka.clone(), status, stop.clone()));
        let rate = stage.until("the relay", async |stage| Ok(stage.pending().await? == 0)).await?;
        stop.cancel();
        drop(running.await);
        rate
    };
    table.row(
        "relay, catching up, activities/s",
        thousands(relay),
        format!("{:.2} of that", relay / journaled),
        "≥ 20,000",
    );
    output::note("  ingest");
    let ingest = {
        let stop = CancellationToken::new();
        let running = tokio::spawn(ingest::run_group(store.clone(), kafka.clone(), None, stop.clone()));
        let rate = stage.steady("ingest", async |stage| Ok(stage.lags().await?.0)).await?;
        stop.cancel();
        drop(running.await);
        rate
    };
    table.row("ingest, rows stored/s", thousands(ingest), format!("{:.2} of that", ingest / journaled), "≥ 45,000");
    let mut alone = 0.0;
    for processes in [1, 2] {
        output::note(format!("  detector, {processes}"));
        for (topic, part, _) in store.offsets(DETECTOR).await.map_err(failed)? {
            store.reset_offset(DETECTOR, topic, part).await.map_err(failed)?;
        }
        let mut running = Vec::new();
        for _ in 0..processes {
            running.push(stage.detector()?);
        }
        let rate = stage.steady("the detector", async |stage| Ok(stage.lags().await?.1)).await?;
        drop(running);
        if processes == 1 {
            alone = rate;
        }
        let what = format!("detector, {processes} process{}, activities/s", if processes == 1 { "" } else { "es" });
        table.row(what, thousands(rate), format!("{:.2} of one", rate / alone), "");
    }
    store.close().await;

    output::note("  all roles: action to flag");
    let server = Measurable::over(config.clone()).await?;
    caught_up(&server).await?;
    table.append(latency::on(&server, args, "over Kafka", "p99 < 250").await?);
    output::note("  all roles: as much as goes");
    let full = full_load(&server, args.seconds.max(10)).await?;
    table.row("end to end at full load, activities/s", thousands(full), "stored and looked at", "≥ 10,000");
    server.stop().await?;
    Ok(table)
}

struct Stage<'a> {
    config: &'a Config,
    store: &'a Store,
    lags: bus::kafka::Lags,
}

impl Stage<'_> {
    /// Journals the activities; how many a second.
    async fn fill(&self) -> Outcome<f64> {
        let (mut made, mut batches) = (Made::new(), Vec::new());
        for batch in 0..ACTIVITIES / BATCH {
            // As if they had come within the last minutes: many at once would be an attack.
            let before = SPREAD / i64::try_from(ACTIVITIES / BATCH).unwrap_or(1) * i64::try_from(batch).unwrap_or(0);
            batches.push(made.some(BATCH, SystemClock.now().plus(before - SPREAD))?);
        }
        let begun = Instant::now();
        for batch in batches {
            let appended = self.store.append_posted(batch).await;
            appended.map_err(|error| data::database_failed(self.config, &error))?;
        }
        Ok(rate(begun))
    }

    async fn pending(&self) -> Outcome<i64> {
        let status = self.store.journal_status().await;
        Ok(status.map_err(|error| data::database_failed(self.config, &error))?.rows)
    }

    async fn lags(&self) -> Outcome<(i64, i64)> {
        let lags = still_to_do(self.store, &self.lags).await;
        let lags = lags.map_err(|error| data::database_failed(self.config, &error))?;
        lags.map_err(|error| Failure::unavailable(error.to_string()))
    }

    /// Waits until a stage is done; activities a second from its beginning on.
    async fn until(&self, what: &str, mut done: impl AsyncFnMut(&Self) -> Outcome<bool>) -> Outcome<f64> {
        let begun = Instant::now();
        while !done(self).await? {
            if begun.elapsed() > PATIENCE {
                return Err(Failure::internal(format!("{what} does not come to its end")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(rate(begun))
    }

    /// Waits until little is left of what a stage has to do; activities a second after it has begun: joining a group takes
    /// a while, and how long is not what is measured.
    async fn steady(&self, what: &str, mut left: impl AsyncFnMut(&Self) -> Outcome<i64>) -> Outcome<f64> {
        let whole = left(self).await?;
        let (hung, mut begun) = (Instant::now(), None);
        loop {
            let now = left(self).await?;
            if begun.is_none() && now < whole {
                begun = Some((Instant::now(), now));
            }
            if let Some((since, at)) = begun.filter(|_| now * 50 < whole) {
                #[expect(clippy::cast_precision_loss, reason = "counts of records")]
                let share = (at - now) as f64 / whole as f64;
                return Ok(share * rate(since));
            }
            if hung.elapsed() > PATIENCE {
                return Err(Failure::internal(format!("{what} does not come to its end")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A detector in a process of its own.
    fn detector(&self) -> Outcome<Running> {
        let Database::MySql(url) = &self.config.database else { return Err(Failure::internal("no server")) };
        let program = std::env::current_exe().map_err(|error| Failure::internal(error.to_string()))?;
        let secret = self.config.jwt_secret_key.as_ref().map(Secret::reveal).unwrap_or_default();
        let child = Command::new(program)
            .arg("detector")
            .env("LISTEN", "127.0.0.1:0")
            .env("DATABASE_URL", url.reveal())
            .env("KAFKA_BROKERS", self.config.kafka_brokers.as_deref().unwrap_or_default())
            .env("KAFKA_PARTITIONS", self.config.kafka_partitions.to_string())
            .env("KAFKA_TOPIC_PREFIX", &self.config.kafka_topic_prefix)
            .env("JWT_SECRET_KEY", secret)
            .env("RUST_LOG", "error")
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| Failure::internal(format!("a detector cannot be started: {error}")))?;
        Ok(Running(child))
    }
}

/// A process of ours, asked to end when it is done with: it leaves its group in order, and the next one need not wait for
/// its partitions.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

#[expect(clippy::cast_precision_loss, reason = "a round number")]
fn rate(begun: Instant) -> f64 {
    ACTIVITIES as f64 / begun.elapsed().as_secs_f64()
}

/// The made population, in other people each time it has done so many things.
struct Made {
    population: Population,
    count: usize,
}

impl Made {
    fn new() -> Self {
        Self { population: Population::new(), count: 0 }
    }

    /// The next activities, at a moment.
    fn some(&mut self, count: usize, at: Timestamp) -> Outcome<Vec<Activity>> {
        let (now, mut line) = (SystemClock.now(), String::new());
        let mut one = |number: usize| {
            line.clear();
            self.population.line(&mut line);
            let mut incoming = wire::parse(line.as_bytes()).map_err(|error| Failure::internal(error.to_string()))?;
            incoming.event_id = Some(domain::ids::event_id(now));
            incoming.occurred_at = Some(at.plus(i64::try_from(number).unwrap_or(0)));
            // Others than before, or they would be reported for doing so much.
            let turn = (self.count + number) / ACTIVITIES;
            incoming.user = incoming.user.map(|user| format!("{user}-{turn}"));
            incoming.session_id = incoming.session_id.map(|session| format!("{session}-{turn}"));
            Ok(incoming.into_activity(now, domain::ids::event_id(now), "bench"))
        };
        let made = (0..count).map(&mut one).collect();
        self.count += count;
        made
    }
}

/// Posts as much as is taken, and waits until all of it is stored and looked at; activities a second over both.
async fn full_load(server: &Measurable, seconds: u64) -> Outcome<f64> {
    let begun = Instant::now();
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let (address, token) = (server.address, server.token.clone());
        clients.push(tokio::spawn(async move {
            let mut made = Made { count: ACTIVITIES * (number + 1), ..Made::new() };
            let mut client = Client::connect(address, Some(token)).await.map_err(Failure::internal)?;
            let mut sent = 0;
            while begun.elapsed() < Duration::from_secs(seconds) {
                let lines: Vec<Value> = made
                    .some(LINES, SystemClock.now())?
                    .iter()
                    .filter_map(|activity| serde_json::from_str(&activity.to_json()).ok())
                    .collect();
                let answer = client.ask(&Method::POST, "/api/logs/", &Value::Array(lines).to_string()).await;
                sent += answer.map_err(Failure::internal)?["accepted"].as_u64().unwrap_or(0);
            }
            Ok::<u64, Failure>(sent)
        }));
    }
    let mut sent = 0;
    for client in clients {
        sent += client.await.map_err(|error| Failure::internal(error.to_string()))??;
    }
    caught_up(server).await?;
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    Ok(sent as f64 / begun.elapsed().as_secs_f64())
}

/// Waits until all partitions are worked on and nothing is left to do.
async fn caught_up(server: &Measurable) -> Outcome {
    let begun = Instant::now();
    let mut client = Client::connect(server.address, None).await.map_err(Failure::internal)?;
    loop {
        let ready = client.ask(&Method::GET, "/api/health/ready", "").await.map_err(Failure::internal)?;
        let nothing =
            ["journal_pending", "ingest_lag", "detector_lag"].iter().all(|name| ready[*name].as_i64() == Some(0));
        if nothing && !ready["watermark"].is_null() {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            return Err(Failure::internal("the pipeline does not come to an end"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
