//! Somebody who sends requests, and what comes back.

use std::net::SocketAddr;

use futures_util::{Stream, StreamExt};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use crate::contract::{Contract, Form};

type Body = http_body_util::combinators::BoxBody<Bytes, std::convert::Infallible>;

/// Somebody with a token, or without one.
#[derive(Debug, Clone)]
pub struct Actor {
    /// Where the program listens.
    pub address: SocketAddr,
    /// The access token.
    pub token: Option<String>,
    /// The session of the token.
    pub session: Option<String>,
    /// The user as the log-in showed it.
    pub user: Value,
    /// What `User-Agent` says.
    pub agent: String,
}

impl Actor {
    /// Somebody without a token.
    #[must_use]
    pub fn anonymous(address: SocketAddr) -> Self {
        Self { address, token: None, session: None, user: Value::Null, agent: "story-tests".into() }
    }

    /// The id of the user.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.user["user_id"].as_i64().expect("somebody who is logged in")
    }

    /// The user's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.user["username"].as_str().expect("somebody who is logged in")
    }

    /// Begins a request with this actor's token.
    #[must_use]
    pub fn call(&self, method: &str, path: &str) -> Call {
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", HeaderValue::from_str(&self.agent).expect("a header"));
        if let Some(token) = &self.token {
            headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {token}")).expect("a header"));
        }
        let method = method.parse().expect("a method");
        Call { address: self.address, method, path: path.to_owned(), headers, body: Full::default().boxed() }
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send().await
    }

    /// `POST` with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path).json(&body).send().await
    }

    /// `PUT` with a JSON body.
    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.call("PUT", path).json(&body).send().await
    }

    /// `PATCH` with a JSON body.
    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call("PATCH", path).json(&body).send().await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path).send().await
    }
}

/// One request being put together.
pub struct Call {
    address: SocketAddr,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Body,
}

impl Call {
    /// Sets a header; an earlier one of this name is gone.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a header's name");
        self.headers.insert(name, HeaderValue::from_str(value).expect("a header's value"));
        self
    }

    /// A JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// Any body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Full::new(body.into()).boxed();
        self
    }

    /// A body in pieces, without a length beforehand.
    #[must_use]
    pub fn pieces(self, pieces: Vec<Bytes>) -> Self {
        self.stream(futures_util::stream::iter(pieces))
    }

    /// A body that comes while it is made.
    #[must_use]
    pub fn stream(mut self, pieces: impl Stream<Item = Bytes> + Send + Sync + 'static) -> Self {
        self.body = BodyExt::boxed(StreamBody::new(pieces.map(|piece| Ok(Frame::data(piece)))));
        self
    }

    /// Sends it on a connection of its own.
    pub async fn send(self) -> Answer {
        let (address, method, path) = (self.address, self.method.clone(), self.path.clone());
        let mut open = self.unread().await;
        let mut body = Vec::new();
        while let Some(piece) = open.next().await {
            body.extend_from_slice(&piece);
        }
        let answer = Answer { status: open.status, headers: open.headers.clone(), body: body.into(), path };
        let form = told(address, &method, &answer.path, answer.status, &answer.headers).await;
        if let Some(Err(wrong)) = form.map(|form| form.hold(&answer.body)) {
            panic!(
                "{method} {} {}: not as the OpenAPI document tells: {wrong}: {}",
                answer.path,
                answer.status,
                answer.text()
            );
        }
        answer
    }

    /// Sends it, and leaves the answer to be read piece by piece.
    pub async fn open(self) -> Open {
        let (address, method, path) = (self.address, self.method.clone(), self.path.clone());
        let open = self.unread().await;
        told(address, &method, &path, open.status, &open.headers).await;
        open
    }

    async fn unread(self) -> Open {
        let Self { address, method, path, headers, body } = self;
        let stream = TcpStream::connect(address).await.expect("the program listens");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        let driver = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(&path).header("host", address.to_string());
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        let response = sender.send_request(request.body(body).expect("a request")).await.expect("an answer");
        let (parts, body) = response.into_parts();
        Open { status: parts.status.as_u16(), headers: parts.headers, body, driver }
    }
}

/// The form that the document gives the body of an answer, if it gives one.
///
/// # Panics
/// If the answer is not in the document.
async fn told(
    address: SocketAddr,
    method: &Method,
    path: &str,
    status: u16,
    headers: &HeaderMap,
) -> Option<&'static Form> {
    // Who is asked for anything else may be another program, such as a browser's driver.
    if !path.starts_with("/api") {
        return None;
    }
    /// All programs of one build have the same document.
    static CONTRACT: OnceCell<Contract> = OnceCell::const_new();
    let contract = CONTRACT.get_or_init(async || {
        let mut open = Actor::anonymous(address).call("GET", "/api/openapi.json").unread().await;
        let mut document = Vec::new();
        while let Some(piece) = open.next().await {
            document.extend_from_slice(&piece);
        }
        Contract::new(&serde_json::from_slice(&document).expect("an OpenAPI document"))
    });
    let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let form = contract.await.form(method.as_str(), path, status, kind);
    form.unwrap_or_else(|wrong| panic!("{method} {path} {status}: not as the OpenAPI document tells: {wrong}"))
}

/// An answer whose body still comes.
pub struct Open {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    driver: JoinHandle<hyper::Result<()>>,
}

impl Open {
    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            let frame = self.body.frame().await?.expect("a whole answer");
            if let Ok(data) = frame.into_data() {
                return Some(data);
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    path: String,
}

impl Answer {
    /// The answer, if its status is this one.
    ///
    /// # Panics
    /// With the answer, if it is another.
    #[track_caller]
    #[must_use]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.path, self.text());
        self
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// With the body, if it is none.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{}: {error}: {}", self.path, self.text()))
    }

    /// The body as a JSON array.
    ///
    /// # Panics
    /// With the body, if it is none.
    #[track_caller]
    #[must_use]
    pub fn rows(&self) -> Vec<Value> {
        match self.json() {
            Value::Array(rows) => rows,
            other => panic!("{}: no array: {other}", self.path),
        }
    }

    /// The sentence of an error.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    #[must_use]
    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_else(|| panic!("no error: {}", self.text())).to_owned()
    }

    /// A header as text, `""` where it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
