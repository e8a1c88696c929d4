//! `tail`: the alerts of a running server, a line for each change, as they come.
//!
//! | file | what |
//! |---|---|
//! | `mod` | the connection, and that it is made again |
//! | `events` | what came over it: server-sent events |
//! | `line` | a change as a line |

mod events;
mod line;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::http::Method;
use bus::Backoff;
use domain::{Severity, Timestamp};
use tokio::time::timeout;

use super::Context;
use super::client::{self, Client, Refusal};
use crate::cli;
use crate::failure::{Failure, Outcome};
use crate::lifecycle;
use crate::output;
use events::Events;
use line::{Change, Seen};

/// The server says every 15 s that it is there; after three times that it is not.
const SILENCE: Duration = Duration::from_secs(45);

pub(crate) async fn run(args: cli::Tail, context: &Context) -> Outcome {
    let least = args.severity.parse().map_err(|why| Failure::usage(format!("--severity {why}")))?;
    let server = client::server(&args.url).await?;
    let password = client::password(context)?;
    let mut tail = Tail {
        url: args.url,
        user: args.user,
        server,
        password,
        least,
        token: None,
        last: None,
        seen: Seen::default(),
        backoff: Backoff::default(),
    };
    let asked = lifecycle::asked_to_end()?;
    let outcome = asked.run_until_cancelled(tail.go()).await;
    tail.log_out().await;
    outcome.unwrap_or(Ok(()))
}

/// Why the stream is not there.
enum End {
    /// It may be there again.
    Broken(String),
    /// It will not.
    Final(Failure),
    /// Nobody reads what is printed.
    Unread,
}

impl From<String> for End {
    fn from(why: String) -> Self {
        Self::Broken(why)
    }
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Final(failure)
    }
}

struct Tail {
    url: String,
    user: String,
    server: SocketAddr,
    password: String,
    least: Severity,
    /// Of the session, while there is one.
    token: Option<String>,
    /// The id of the last event: where to go on.
    last: Option<String>,
    seen: Seen,
    backoff: Backoff,
}

impl Tail {
    /// Follows, again and again; what cannot be reached the first time ends the command.
    async fn go(&mut self) -> Outcome {
        loop {
            let Err(end) = self.follow().await;
            match end {
                End::Final(failure) => return Err(failure),
                End::Unread => return Ok(()),
                End::Broken(why) if self.last.is_none() => {
                    return Err(Failure::unavailable(format!("{}: {why}", self.url)));
                }
                End::Broken(why) => {
                    if self.backoff.failures() == 0 {
                        output::note(format!("{}: {why}; trying again", self.url));
                    }
                    tokio::time::sleep(self.backoff.failed()).await;
                }
            }
        }
    }

    /// Follows until the connection breaks.
    async fn follow(&mut self) -> Result<Infallible, End> {
        let token = match &self.token {
            Some(token) => token.clone(),
            None => self.log_in().await?,
        };
        let from = self.last.as_ref().map_or_else(String::new, |last| format!("last-event-id: {last}\r\n"));
        let opening =
            async { Client::connect(self.server, Some(token)).await?.open("/api/alerts/stream", &from).await };
        let mut opened = timeout(SILENCE, opening).await.map_err(|_| "no answer".to_owned())??;
        match opened.status {
            200 => {}
            401 => {
                self.token = None;
                return Err(End::Broken("the session has ended".to_owned()));
            }
            403 => {
                let why = format!("{} may not see alerts; an Admin or a Supervisor may (--user)", self.user);
                return Err(End::Final(Failure::usage(why)));
            }
            status => return Err(End::Broken(format!("the answer was {status}"))),
        }
        if self.last.is_none() {
            self.begin(opened.date.as_deref())?;
            output::note(format!("following the alerts of {}; Ctrl-C ends it", self.url));
        } else if self.backoff.failures() > 0 {
            output::note(format!("{}: there again", self.url));
        }
        let mut events = Events::default();
        loop {
            let piece = timeout(SILENCE, events.next(&mut opened.body)).await;
            let event = piece.map_err(|_| "nothing is heard of it".to_owned())??;
            // Only now: a server that hangs up on everybody is not to be asked twenty times a second.
            self.backoff.succeeded();
            if let Some(event) = event {
                if !self.show(&event.data)? {
                    return Err(End::Unread);
                }
                self.last = event.id.or(self.last.take());
            }
        }
    }

    /// The stream of this moment has no last event yet. One is made of the server's time, for what happens between a
    /// break that comes before the first event and the next connection.
    fn begin(&mut self, date: Option<&str>) -> Result<(), String> {
        let date = date.and_then(|date| chrono::DateTime::parse_from_rfc2822(date).ok());
        let date = date.ok_or("the answer does not say when it was given")?;
        let from = Timestamp::from_micros(date.timestamp_micros());
        self.seen.begin(from);
        self.last = Some(format!("{}.{}", from.micros(), uuid::Uuid::nil()));
        Ok(())
    }

    /// Prints a change; whether somebody reads it.
    fn show(&mut self, data: &str) -> Outcome<bool> {
        let change: Change = match serde_json::from_str(data) {
            Ok(change) => change,
            Err(error) => {
                output::complain(&format!("an alert cannot be read: {error}"));
                return Ok(true);
            }
        };
        if self.seen.is_new(&change) && change.severity >= self.least {
            return output::is_read(change.line(output::is_coloured(&std::io::stdout())));
        }
        Ok(true)
    }

    async fn log_in(&mut self) -> Result<String, End> {
        let asking = client::ask_for_token(self.server, &self.user, &self.password);
        match timeout(SILENCE, asking).await.map_err(|_| "no answer".to_owned())? {
            Ok(token) => Ok(self.token.insert(token).clone()),
            Err(Refusal::Other(why)) => Err(End::Broken(why)),
            Err(refusal) => Err(End::Final(refusal.failure(&self.url, &self.user))),
        }
    }

    /// Ends the session. Where the server is gone it ends by itself.
    async fn log_out(&mut self) {
        let Some(token) = self.token.take() else { return };
        let leaving = async {
            Client::connect(self.server, Some(token)).await?.ask(&Method::POST, "/api/auth/logout", "{}").await
        };
        match timeout(Duration::from_secs(2), leaving).await {
            Ok(Ok(_)) => {}
            Ok(Err(why)) => output::note(format!("not logged out: {why}")),
            Err(_) => output::note("not logged out: no answer"),
        }
    }
}
