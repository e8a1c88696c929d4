//! [`Client`]: a connection to a server, for the commands that speak to one. It does as little as it can: `bench` shares
//! the cores with what it measures.

use std::net::SocketAddr;

use axum::http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::Context;
use crate::data;
use crate::failure::{Failure, Outcome};

const LOG_IN: &str = "/api/auth/login";

/// One connection, which asks again only when it was answered.
pub(crate) struct Client {
    stream: TcpStream,
    /// What follows the first line of every request.
    head: String,
    /// What was read; an answer's bytes are dropped with the next one.
    read: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(server: SocketAddr, token: Option<String>) -> Result<Self, String> {
        let stream = TcpStream::connect(server).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let bearer = token.map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
        Ok(Self { stream, head: format!("host: {server}\r\n{bearer}"), read: Vec::with_capacity(4096) })
    }

    /// Logs in; a connection of that session, and its token.
    pub(crate) async fn log_in(server: SocketAddr, user: &str, password: &str) -> Result<(Self, String), String> {
        let token = ask_for_token(server, user, password).await.map_err(|refusal| match refusal {
            Refusal::Password => format!("the password of {user} is not this one"),
            Refusal::Other(why) => why,
        })?;
        Ok((Self::connect(server, Some(token.clone())).await?, token))
    }

    /// A request as it goes over the wire.
    pub(crate) fn request(&self, method: &Method, path: &str, body: &str) -> Vec<u8> {
        let content = match body.len() {
            0 => String::new(),
            length => format!("content-type: application/json\r\ncontent-length: {length}\r\n"),
        };
        format!("{method} {path} HTTP/1.1\r\n{}{content}\r\n{body}", self.head).into_bytes()
    }

    /// Sends a request and reads its answer: status and body.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<(u16, &[u8]), String> {
        self.stream.write_all(request).await.map_err(|error| error.to_string())?;
        self.read.clear();
        let (mut whole, mut answer) = (usize::MAX, None);
        while self.read.len() < whole {
            let more = self.stream.read_buf(&mut self.read).await.map_err(|error| error.to_string())?;
            if more == 0 {
                return Err("the server ended the connection in the middle of an answer".to_owned());
            }
            if answer.is_none() {
                answer = head(&self.read)?;
                whole = answer.map_or(usize::MAX, |answer| answer.body + answer.length);
            }
        }
        let answer = answer.ok_or("an answer without a head")?;
        Ok((answer.status, &self.read[answer.body..whole]))
    }

    /// The same, where anything but 2xx is an error, and the answer is JSON.
    pub(crate) async fn ask(&mut self, method: &Method, path: &str, body: &str) -> Result<Value, String> {
        let request = self.request(method, path, body);
        let (status, answer) = self.exchange(&request).await?;
        if !is_success(status) {
            return Err(format!("{method} {path}: {status}"));
        }
        serde_json::from_slice(answer).map_err(|error| format!("{method} {path}: {error}"))
    }

    /// Asks for something that does not end, with `more` lines of head. It is asked for in HTTP/1.0, where a body goes
    /// on until the connection ends and is not cut into chunks.
    pub(super) async fn open(mut self, path: &str, more: &str) -> Result<Opened, String> {
        let request = format!("GET {path} HTTP/1.0\r\n{}{more}\r\n", self.head);
        self.stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
        let mut body = BufReader::new(self.stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if body.read_line(&mut head).await.map_err(|error| error.to_string())? == 0 {
                return Err("the server ended the connection before it answered".to_owned());
            }
        }
        let status = status(&head)?;
        Ok(Opened { status, date: member(&head, "date").map(str::to_owned), body })
    }
}

/// Why there is no session.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Name or password is wrong, and will be the next time.
    Password,
    /// Anything else; it may be another thing the next time.
    Other(String),
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self::Other(why)
    }
}

impl Refusal {
    /// What it is to whoever typed the command.
    pub(super) fn failure(self, url: &str, user: &str) -> Failure {
        match self {
            Self::Password => {
                Failure::usage(format!("{url}: the password of {user} is not this one; set ADMIN_PASSWORD"))
            }
            Self::Other(why) => Failure::unavailable(format!("{url}: {why}")),
        }
    }
}

/// Asks for a session; its token.
pub(super) async fn ask_for_token(server: SocketAddr, user: &str, password: &str) -> Result<String, Refusal> {
    let mut client = Client::connect(server, None).await?;
    let request = client.request(&Method::POST, LOG_IN, &json!({"username": user, "password": password}).to_string());
    let (status, answer) = client.exchange(&request).await?;
    match status {
        401 | 403 => Err(Refusal::Password),
        status if is_success(status) => {
            let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
            let token = answer["token"].as_str().map(str::to_owned);
            token.ok_or_else(|| Refusal::Other("the answer to the log-in has no token".to_owned()))
        }
        status => Err(Refusal::Other(said(status, answer))),
    }
}

/// Why a request was refused, in the server's own words if it has any.
pub(super) fn said(status: u16, answer: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    match answer["error"].as_str() {
        Some(sentence) => format!("{sentence} ({status})"),
        None => format!("the answer was {status}"),
    }
}

/// An answer that goes on.
pub(super) struct Opened {
    pub(super) status: u16,
    /// When the server answered, in its own words.
    pub(super) date: Option<String>,
    pub(super) body: BufReader<TcpStream>,
}

/// The password to log in with, from the environment or from the file of a server on this machine: never from the command
/// line, where other users could read it.
pub(super) fn password(context: &Context) -> Outcome<String> {
    if let Some(password) = &context.config.admin_password {
        return Ok(password.reveal().to_owned());
    }
    let file = data::password_file(&context.config);
    std::fs::read_to_string(&file).map(|text| text.trim().to_owned()).map_err(|error| {
        Failure::usage(format!("set ADMIN_PASSWORD to the Admin's password; {}: {error}", file.display()))
    })
}

/// Where the server listens: the first of the addresses of that name where one does.
pub(super) async fn server(url: &str) -> Outcome<SocketAddr> {
    let host = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let Some(host) = host.filter(|host| !host.contains('/')) else {
        return Err(Failure::usage(format!("--url {url} is not of the form http://HOST:PORT")));
    };
    let host = if host.rsplit(']').next().is_some_and(|end| end.contains(':')) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let failed = |why: String| Failure::unavailable(format!("{url}: {why}"));
    let found = tokio::net::lookup_host(host).await.map_err(|error| failed(error.to_string()))?;
    let mut why = failed("no such host".to_owned());
    for address in found {
        match TcpStream::connect(address).await {
            Ok(_) => return Ok(address),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                why = failed("no server listens there; start it, or name another with --url".to_owned());
            }
            Err(error) => why = failed(error.to_string()),
        }
    }
    Err(why)
}

/// Whether a status is one of success.
pub(super) const fn is_success(status: u16) -> bool {
    status / 100 == 2
}

/// What the head of an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Where the body begins.
    body: usize,
    length: usize,
}

/// The head of an answer, as soon as all of it is there.
fn head(read: &[u8]) -> Result<Option<Head>, String> {
    let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = str::from_utf8(&read[..end]).map_err(|error| format!("the head of an answer: {error}"))?;
    let status = status(text)?;
    let length = member(text, "content-length").and_then(|length| length.parse().ok());
    match length {
        Some(length) => Ok(Some(Head { status, body: end + 4, length })),
        None if status == 204 => Ok(Some(Head { status, body: end + 4, length: 0 })),
        None => Err("an answer that does not say its length cannot be measured".to_owned()),
    }
}

/// The status in the first line of a head.
fn status(head: &str) -> Result<u16, String> {
    head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(|| "an answer without a status".to_owned())
}

/// What a head says of something.
fn member<'a>(head: &'a str, wanted: &str) -> Option<&'a str> {
    let mut members = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    members.find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then(|| value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_far_as_it_says() {
        assert_eq!(head(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n").unwrap(), None);
        let all = b"HTTP/1.1 202 Accepted\r\nx: y\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(head(all).unwrap(), Some(Head { status: 202, body: all.len() - 2, length: 2 }));
        assert_eq!(head(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap().length, 0);
        assert!(head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        assert_eq!(said(429, br#"{"error": "Too many attempts."}"#), "Too many attempts. (429)");
        assert_eq!(said(502, b"<html>"), "the answer was 502");
    }

    #[tokio::test]
    async fn where_nobody_listens_is_said_once_with_what_to_do() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port");
        let said = server(&format!("http://{free}/")).await.expect_err("nobody is there").to_string();
        assert!(said.contains("--url") && said.matches("127.0.0.1").count() == 1, "{said}");
        assert_eq!(server("https://x").await.expect_err("not ours").code(), 2);
    }
}
