//! `simulate`: a population at work, posted to a running server, and attacks hidden in it. Says which were caught, by
//! which rule, and after how long.

pub(super) mod attacks;
pub(super) mod population;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::http::Method;
use domain::{MINUTE, Timestamp};
use serde_json::{Value, json};

use super::Context;
use super::client::{self, Client};
use crate::cli;
use crate::config::read;
use crate::data;
use crate::failure::{Failure, Outcome};
use crate::hooks;
use crate::lifecycle;
use crate::output;
use crate::progress::Bar;
use attacks::{AT_NIGHT, ATTACKS, Attack};
use population::Population;

/// How often something is posted and the alerts are looked at: well within what one session may ask.
const TICK: Duration = Duration::from_millis(100);
/// How long an alert may take, also from a server that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// For how long the key is good after the run: should this be killed before it revokes it, it ends by itself.
const LEFT: i64 = 10 * MINUTE;

pub(crate) async fn run(args: cli::Simulate, context: &Context) -> Outcome {
    let micros =
        read::duration_within(&args.length, "1s", "1d").map_err(|why| Failure::usage(format!("--for {why}")))?;
    let length = Duration::from_micros(micros.unsigned_abs());
    let attacks = wanted(&args.attacks, context)?;
    let server = client::server(&args.url).await?;
    let failed = |error: String| Failure::unavailable(format!("{}: {error}", args.url));

    let password = client::password(context)?;
    let asked = lifecycle::asked_to_end()?;
    let token = client::ask_for_token(server, &args.user, &password).await;
    let token = token.map_err(|refusal| refusal.failure(&args.url, &args.user))?;
    let mut admin = Client::connect(server, Some(token.clone())).await.map_err(failed)?;
    let run = format!("{:08x}", rand::random::<u32>());
    let name = format!("simulate-{run}");
    let key = match make_key(&mut admin, &args, &name, context.clock.now().plus(micros + LEFT)).await {
        Ok(key) => key,
        Err(failure) => {
            // The refusal is what there is to tell.
            drop(log_out(&mut admin).await);
            return Err(failure);
        }
    };

    output::note(format!("{} people at work on {} for {}, run {run}", args.users, args.url, args.length));
    let mut simulation = Simulation {
        population: Population::new(args.users, args.seed),
        attacks: attacks.into_iter().map(Hidden::new).collect(),
        run,
        posted: 0,
        told: None,
        bar: Some(Bar::new(context)),
    };
    let outcome = tokio::select! {
        outcome = simulation.go(server, key, &mut admin, args.rate, length) => outcome.map_err(failed),
        () = asked.cancelled() => Ok(()),
    };
    // However it ended, on a connection of its own: that of the simulation may wait for an answer.
    let revoked = revoke(server, token, &name).await;
    outcome?;
    revoked.map_err(|error| Failure::unavailable(format!("the key {name} was not revoked, revoke it: {error}")))?;
    simulation.bar = None;
    simulation.report()
}

/// The attacks that were named, or all that can be made now.
fn wanted(names: &[String], context: &Context) -> Outcome<Vec<Attack>> {
    let named = |attack: &&Attack| names.is_empty() || names.iter().any(|name| name == attack.name);
    let mut attacks: Vec<Attack> = ATTACKS.iter().filter(named).copied().collect();
    if named(&&AT_NIGHT) {
        let config = &context.config;
        let zone = config.time_zone.unwrap_or_else(data::machine_zone);
        let settings = hooks::settings(config, zone, HashMap::new())?;
        let why = format!("these are working hours ({}, {zone})", config.working_hours);
        let hours = settings.calendars.get("working_hours");
        match hours.is_some_and(|hours| hours.contains(context.clock.now(), zone)) {
            false => attacks.push(AT_NIGHT),
            true if names.is_empty() => output::note(format!("{} is left out: {why}", AT_NIGHT.name)),
            true => return Err(Failure::usage(format!("--attack {}: {why}", AT_NIGHT.name))),
        }
    }
    Ok(attacks)
}

/// A key to post with.
async fn make_key(admin: &mut Client, args: &cli::Simulate, name: &str, expires_at: Timestamp) -> Outcome<String> {
    let failed = |why: String| Failure::unavailable(format!("{}: {why}", args.url));
    let body = json!({"name": name, "expires_at": expires_at}).to_string();
    let request = admin.request(&Method::POST, "/api/keys", &body);
    match admin.exchange(&request).await.map_err(failed)? {
        (403, _) => Err(Failure::usage(format!(
            "{}: {} is no Admin, and it takes one to make a key; name one with --user",
            args.url, args.user
        ))),
        (status, answer) if client::is_success(status) => {
            let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
            Ok(answer["api_key"].as_str().unwrap_or_default().to_owned())
        }
        (status, answer) => Err(failed(client::said(status, answer))),
    }
}

/// Ends the key, and the session that made it.
async fn revoke(server: SocketAddr, token: String, name: &str) -> Result<(), String> {
    let mut client = Client::connect(server, Some(token)).await?;
    client.ask(&Method::DELETE, &format!("/api/keys/{name}"), "").await?;
    log_out(&mut client).await
}

async fn log_out(client: &mut Client) -> Result<(), String> {
    client.ask(&Method::POST, "/api/auth/logout", "{}").await.map(drop)
}

/// An attack, and what came of it.
pub(super) struct Hidden {
    attack: Attack,
    begun: Option<Instant>,
    caught: Option<(String, Duration)>,
}

impl Hidden {
    /// One that has not begun.
    pub(super) fn new(attack: Attack) -> Self {
        Self { attack, begun: None, caught: None }
    }
}

/// People at work, and attacks hidden in it.
pub(super) struct Simulation {
    pub(super) population: Population,
    pub(super) attacks: Vec<Hidden>,
    pub(super) run: String,
    pub(super) posted: usize,
    /// Where the dashboard is, if each catch is to be told as it happens.
    pub(super) told: Option<String>,
    /// How far it is, where nothing else is told meanwhile.
    pub(super) bar: Option<Bar>,
}

impl Simulation {
    /// Posts for so long, and waits for the last attack to be caught.
    pub(super) async fn go(
        &mut self,
        server: SocketAddr,
        key: String,
        admin: &mut Client,
        rate: u16,
        length: Duration,
    ) -> Result<(), String> {
        let mut poster = Client::connect(server, Some(key)).await?;
        let start = Instant::now();
        let mut normal = 0.0;
        let gap = length / u32::try_from(self.attacks.len() + 1).unwrap_or(1);
        loop {
            let now = start.elapsed();
            let mut events = Vec::new();
            if now < length {
                while normal < now.as_secs_f64() * f64::from(rate) {
                    events.push(self.population.act());
                    normal += 1.0;
                }
            }
            for (number, hidden) in (1_u32..).zip(&mut self.attacks) {
                if hidden.begun.is_none() && now >= gap * number {
                    hidden.begun = Some(Instant::now());
                    events.extend(hidden.attack.events(&self.run));
                }
            }
            if !events.is_empty() {
                self.posted += events.len();
                let answer = poster.ask(&Method::POST, "/api/logs/", &Value::from(events).to_string()).await?;
                if answer["rejected_total"] != 0 {
                    return Err(format!("the server refused events: {answer}"));
                }
            }
            self.look(admin).await?;
            self.show(start.elapsed(), length);
            let open = |hidden: &Hidden| {
                hidden.caught.is_none() && hidden.begun.is_none_or(|begun| begun.elapsed() < PATIENCE)
            };
            if start.elapsed() >= length && !self.attacks.iter().any(open) {
                return Ok(());
            }
            tokio::time::sleep(TICK).await;
        }
    }

    fn show(&mut self, now: Duration, length: Duration) {
        let (posted, attacks) = (self.posted, self.attacks.len());
        let caught = self.attacks.iter().filter(|hidden| hidden.caught.is_some()).count();
        if let Some(bar) = &mut self.bar {
            let share = now.as_secs_f64() / length.as_secs_f64();
            bar.show(Some(share), || format!("{posted} events, {caught} of {attacks} attacks caught"));
        }
    }

    /// Looks for the alerts of attacks that were begun and not caught yet.
    async fn look(&mut self, admin: &mut Client) -> Result<(), String> {
        if !self.attacks.iter().any(|hidden| hidden.begun.is_some() && hidden.caught.is_none()) {
            return Ok(());
        }
        let alerts = admin.ask(&Method::GET, "/api/alerts/?limit=200", "").await?;
        for hidden in &mut self.attacks {
            let (Some(begun), None) = (hidden.begun, &hidden.caught) else { continue };
            let mut found = alerts.as_array().into_iter().flatten();
            if let Some(alert) = found.find(|alert| hidden.attack.is_caught_by(alert, &self.run)) {
                let after = begun.elapsed();
                if let Some(url) = &self.told {
                    let when = format!("after {:.2} s", after.as_secs_f64());
                    // A terminal that has gone away ends nothing here.
                    drop(output::print(caught(hidden.attack.name, alert, &when, url)));
                }
                let rule = alert["rule"].as_str().unwrap_or_default().to_owned();
                hidden.caught = Some((rule, after));
            }
        }
        Ok(())
    }

    /// The table, and the answer: no, if an attack that was begun was not caught.
    pub(super) fn report(&self) -> Outcome {
        let mut missed = 0;
        for hidden in &self.attacks {
            let target = hidden.attack.target(&self.run);
            let what = match (&hidden.caught, hidden.begun) {
                (Some((rule, after)), _) => format!("caught after {:.1} s by {rule}", after.as_secs_f64()),
                (None, Some(_)) => {
                    missed += 1;
                    "not caught".to_owned()
                }
                (None, None) => "not begun".to_owned(),
            };
            output::print(format!("{:<16} {target:<26} {what}", hidden.attack.name))?;
        }
        output::note(format!("{} events posted", self.posted));
        if missed > 0 {
            return Err(Failure::no(format!("{missed} attacks were not caught; are the built-in rules active?")));
        }
        Ok(())
    }
}

/// What an attack was caught by and when, and where that is shown.
pub(super) fn caught(attack: &str, alert: &Value, when: &str, url: &str) -> String {
    let text = |member: &str| alert[member].as_str().unwrap_or_default();
    let (severity, rule, id) = (text("severity"), text("rule"), text("alert_id"));
    format!("  {attack:<16} {severity:<9} {rule}, {when}\n{:28}{url}/#/alerts/{id}", "")
}
