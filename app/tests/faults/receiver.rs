//! A receiver of webhooks that keeps what it is told, and now and then says that it cannot.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::http::call;

/// The messages of one alert, by its revision.
type Told = BTreeMap<i64, Value>;

/// What it was told.
#[derive(Default)]
pub(crate) struct Receiver(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Bodies by the id of their message.
    bodies: HashMap<String, Bytes>,
    requests: usize,
}

impl Receiver {
    /// Starts one, and has the API on a port tell it of all alerts.
    pub(crate) async fn start(port: u16, token: &str) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let receiver = Arc::new(Self::default());
        let keeps = Arc::clone(&receiver);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let keeps = Arc::clone(&keeps);
                let service = service_fn(move |request| keep(Arc::clone(&keeps), request));
                // Who sends may be killed.
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        let webhook = json!({"name": "audit", "url": format!("http://{address}/")});
        let answer = call(port, token, Method::POST, "/api/webhooks", "", &webhook).await.expect("an answer");
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json());
        receiver
    }

    /// The messages by the alerts that they are about; each once, however often it came.
    pub(crate) fn told(&self) -> HashMap<String, Told> {
        let kept = self.0.lock().expect("unpoisoned");
        let mut told: HashMap<String, Told> = HashMap::new();
        for body in kept.bodies.values() {
            let message: Value = serde_json::from_slice(body).expect("JSON");
            let alert = message["data"]["alert_id"].as_str().expect("an id").to_owned();
            let revision = message["data"]["revision"].as_i64().expect("a number");
            let twice = told.entry(alert).or_default().insert(revision, message);
            assert!(twice.is_none(), "one happening under two ids: {twice:?}");
        }
        eprintln!("{} messages to a webhook in {} requests", kept.bodies.len(), kept.requests);
        told
    }
}

async fn keep(receiver: Arc<Receiver>, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    let id = request.headers()["webhook-id"].to_str().expect("text").to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    let mut kept = receiver.0.lock().expect("unpoisoned");
    kept.requests += 1;
    let mut response = Response::new(Empty::<Bytes>::new());
    // The first time it hears of one of eight, it fails.
    let first = kept.bodies.insert(id.clone(), body.clone());
    assert!(first.as_ref().is_none_or(|first| *first == body), "{id} has another body");
    if first.is_none() && id.ends_with(['0', '8']) {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}
