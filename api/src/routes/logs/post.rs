//! `POST /api/logs/`: one event, an array of them, or a stream of lines.
//!
//! The events are the activity of the request; it leaves none of its own unless nothing of it was taken.

use std::sync::Arc;

use axum::Extension;
use axum::body::{Body as RawBody, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use domain::{LogType, Outcome as Ending, Role, wire};
use futures_util::StreamExt;
use serde_json::value::RawValue;

use super::event::{LINES, Posted as Body};
use super::lines::{Line, Lines, MOST_LINE};
use super::provenance::{Posted, Receipt, Refusal, Reporter};
use super::tally::{BrokenOff, Tally};
use crate::answer;
use crate::auth::caller::{Identity, Origin};
use crate::auth::rights::{Allowed, LoggedIn};
use crate::extract::{MOST_JSON, PATIENCE, json_type, read_limited, too_slow};
use crate::gate::Note;
use crate::idempotency;
use crate::problem::{Outcome, PROBLEM, Problem};
use crate::state::AppState;

/// The longest stream, in bytes.
const MOST_STREAM: usize = 64 * 1024 * 1024;
/// One transaction: so many records, and so many bytes of them.
const CHUNK: usize = 1_000;
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// Takes events. Keys of other systems may do this, and nothing else.
#[utoipa::path(
    post, path = "/api/logs", tag = "logs", security(("bearer" = []), ("api_key" = [])),
    params((
        "Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$",
        description = "Makes the ids of events that have none, so that a retry stores nothing twice."
    )),
    request_body(
        content((Body = "application/json"), (String = "application/x-ndjson", example = json!(LINES))),
        description = "An event or an array of them (1 MiB), or lines of them (64 MiB, 64 KiB each)."
    ),
    responses(
        (status = 202, body = Tally, description = "Durable."),
        (status = 400, body = BrokenOff, content_type = PROBLEM, description = "Not an event, or none that is taken."),
        (status = 408, body = BrokenOff, content_type = PROBLEM, description = "The events did not arrive in time."),
        (status = 413, body = BrokenOff, content_type = PROBLEM, description = "The body is too large."),
        (status = 500, body = BrokenOff, content_type = PROBLEM, description = "A fault of the server."),
        (status = 503, body = BrokenOff, content_type = PROBLEM, description = "Go on from `next_line`; without it, \
            nothing was done."),
        (status = 507, body = BrokenOff, content_type = PROBLEM, description = "There is no room; nothing was done."),
        Allowed<LoggedIn>
    )
)]
pub(super) async fn post(
    State(app): State<AppState>,
    Extension(identity): Extension<Identity>,
    Extension(origin): Extension<Arc<Origin>>,
    headers: HeaderMap,
    body: RawBody,
) -> Outcome<Response> {
    let reporter = match &identity {
        Identity::User(caller) if caller.user.role == Role::Admin => Reporter::Admin(caller.clone()),
        Identity::User(caller) => Reporter::Client(caller.clone()),
        Identity::Key(key) if key.scope == "ingest" => {
            Reporter::System { key_id: key.id.clone(), name: key.name.clone() }
        }
        Identity::Key(_) => {
            return Err(Problem::forbidden("This API key may not post events.").with_reason("no_right"));
        }
    };
    let key = headers.get("idempotency-key").map(idempotency::text).transpose()?;
    let mut intake = Intake {
        app: &app,
        reporter,
        origin: &origin,
        key,
        chunk: Vec::new(),
        chunk_bytes: 0,
        line: 0,
        next_line: 1,
        undecided: Tally::default(),
        tally: Tally::default(),
        impersonated: false,
    };
    if is_ndjson(&headers) {
        if let Some(length) = content_length(&headers)
            && length > MOST_STREAM
        {
            return Err(too_long());
        }
        let done = intake.stream(body).await;
        return intake.answer(done, false).await;
    }
    json_type(&headers)?;
    let bytes = read_limited(body, MOST_JSON).await?;
    let array = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let done = if array { intake.array(&bytes).await } else { intake.one(&bytes).await };
    intake.answer(done, !array).await
}

fn is_ndjson(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(
        kind.as_str(),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines"
    )
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_long() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "The stream is larger than 64 MiB; send it in several requests.")
}

/// One request's records on their way into the journal.
struct Intake<'a> {
    app: &'a AppState,
    reporter: Reporter,
    origin: &'a Origin,
    key: Option<&'a str>,
    chunk: Vec<Posted>,
    chunk_bytes: usize,
    /// The line read last.
    line: usize,
    /// The first line that is not decided yet.
    next_line: usize,
    /// Rejections of lines from there on: they are told once the chunk around them is durable.
    undecided: Tally,
    tally: Tally,
    impersonated: bool,
}

impl Intake<'_> {
    async fn one(&mut self, bytes: &[u8]) -> Outcome<()> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Problem::field("body", "Send an event, an array of events, or a stream of lines."));
        }
        self.record(bytes);
        self.flush().await
    }

    async fn array(&mut self, bytes: &[u8]) -> Outcome<()> {
        let records: Vec<&RawValue> = serde_json::from_slice(bytes)
            .map_err(|error| Problem::field("body", format!("The body is not valid JSON: {error}")))?;
        for record in records {
            self.record(record.get().as_bytes());
            if self.is_full() {
                self.flush().await?;
            }
        }
        self.flush().await
    }

    async fn stream(&mut self, body: RawBody) -> Outcome<()> {
        let mut pieces = body.into_data_stream();
        let mut lines = Lines::default();
        let mut length = 0;
        loop {
            let piece = tokio::time::timeout(PATIENCE, pieces.next()).await.map_err(|_| too_slow())?;
            let Some(piece) = piece else { break };
            let piece: Bytes = piece.map_err(|_| Problem::field("body", "The stream broke off."))?;
            length += piece.len();
            if length > MOST_STREAM {
                self.flush().await?;
                return Err(too_long());
            }
            // A piece is no larger than a read from the socket, so the lines that it completes are few.
            let mut complete = Vec::new();
            lines.feed(&piece, |line| complete.push(line));
            for line in complete {
                self.line_read(line);
                if self.is_full() {
                    self.flush().await?;
                }
            }
        }
        if let Some(line) = lines.rest() {
            self.line_read(line);
        }
        self.flush().await
    }

    fn line_read(&mut self, line: Line) {
        match line {
            Line::Whole(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => self.line += 1,
            Line::Whole(bytes) => self.record(&bytes),
            Line::TooLong => {
                self.line += 1;
                self.undecided.reject(self.line, format!("line: is longer than {MOST_LINE} bytes"));
            }
        }
    }

    fn record(&mut self, bytes: &[u8]) {
        self.line += 1;
        let judged = wire::parse(bytes).map_err(|error| Refusal::Invalid(error.to_string()));
        match judged.and_then(|incoming| self.reporter.check(&incoming).map(|()| incoming)) {
            Ok(incoming) => {
                self.chunk.push(Posted { line: self.line, incoming });
                self.chunk_bytes += bytes.len();
            }
            Err(Refusal::Invalid(error)) => self.undecided.reject(self.line, error),
            Err(Refusal::Impersonation(error)) => {
                self.impersonated = true;
                self.undecided.reject(self.line, error);
            }
        }
    }

    fn is_full(&self) -> bool {
        self.line + 1 - self.next_line >= CHUNK || self.chunk_bytes >= CHUNK_BYTES
    }

    /// Makes the chunk durable.
    async fn flush(&mut self) -> Outcome<()> {
        let chunk = std::mem::take(&mut self.chunk);
        self.chunk_bytes = 0;
        if !chunk.is_empty() {
            let receipt = Receipt {
                app: self.app,
                request_id: self.origin.request.id(),
                trace: self.origin.trace.as_deref(),
                idempotency_key: self.key,
                received_at: self.app.clock.now(),
            };
            let activities = self.reporter.activities(&receipt, chunk).await?;
            let late: Vec<bool> = activities.iter().map(|activity| activity.late).collect();
            let appended = self.app.store.append_posted(activities).await?;
            for (appended, late) in appended.into_iter().zip(late) {
                self.tally.count(appended, late);
            }
        }
        self.tally.take(&mut self.undecided);
        self.next_line = self.line + 1;
        Ok(())
    }

    /// The answer, after `done` said whether the records were read to their end.
    async fn answer(self, done: Outcome<()>, single: bool) -> Outcome<Response> {
        if self.impersonated && !single {
            self.denied().await?;
        }
        if let Err(problem) = done {
            let is_stored = self.tally.durable() > 0;
            let problem = if self.line == 0 { problem } else { self.tally.broken_off(problem, self.next_line) };
            return Err(if is_stored { problem.recorded() } else { problem });
        }
        if let Some(rejected) = self.tally.rejected.first().filter(|_| single) {
            let (field, _) = rejected.error.split_once(':').unwrap_or(("body", ""));
            let mut problem = Problem::field(field, rejected.error.clone());
            if self.impersonated {
                problem.status = StatusCode::FORBIDDEN;
                return Err(problem.with_reason("impersonation"));
            }
            return Err(self.tally.beside(problem));
        }
        let response = answer::json_with(StatusCode::ACCEPTED, &self.tally);
        Ok(if self.tally.durable() > 0 || self.impersonated {
            answer::recorded(response)
        } else {
            self.nothing(response)
        })
    }

    /// Nothing of the request was taken, so it needs an activity of its own.
    fn nothing(&self, mut response: Response) -> Response {
        let detail = format!("Posted {} events, of which none was taken", self.tally.rejected_total);
        response.extensions_mut().insert(Note { records: Some(0), detail: Some(detail), ..Note::default() });
        response
    }

    /// A batch that names somebody else leaves its acceptable events and one refusal.
    async fn denied(&self) -> Outcome<()> {
        let (Reporter::Client(caller) | Reporter::Admin(caller)) = &self.reporter else { return Ok(()) };
        let mut activity = caller.activity("Create", "logs", LogType::DataAccess);
        activity.outcome = Ending::Denied;
        activity.reason = Some("impersonation".into());
        activity.detail = Some("Refused: posted events that name another user".into());
        self.app.store.append(activity).await?;
        Ok(())
    }
}
