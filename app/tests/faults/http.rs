//! Requests.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    body: Bytes,
    /// The next page of a list.
    pub(crate) next: Option<String>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }
}

/// One request on a connection of its own. An error is a connection that broke.
pub(crate) async fn call(
    port: u16,
    token: &str,
    method: Method,
    path: &str,
    key: &str,
    body: &Value,
) -> Result<Answer, String> {
    let fault = |error: &dyn std::fmt::Display| error.to_string();
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| fault(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| fault(&error))?;
    let connection = tokio::spawn(connection);
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, format!("127.0.0.1:{port}"))
        .header(header::CONTENT_TYPE, "application/json");
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if !key.is_empty() {
        request = request.header("Idempotency-Key", key);
    }
    let request = request.body(Full::new(Bytes::from(body))).expect("a request");
    let response = sender.send_request(request).await.map_err(|error| fault(&error))?;
    let status = response.status();
    let link = response.headers().get(header::LINK).and_then(|link| link.to_str().ok()).map(str::to_owned);
    let body = response.into_body().collect().await.map_err(|error| fault(&error))?.to_bytes();
    connection.abort();
    let next = link.and_then(|link| {
        let part = link.split(',').find(|part| part.contains("rel=\"next\""))?;
        let target = part.split_once('<')?.1.split_once('>')?.0;
        // Absolute or not: the path is what matters.
        Some(target.find("/api/").map_or(target, |at| &target[at..]).to_owned())
    });
    Ok(Answer { status, body, next })
}
