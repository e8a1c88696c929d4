//! A collector of the test's own: takes OTLP over HTTP and keeps the spans, read from the bytes themselves by the numbers
//! of `opentelemetry/proto/trace/v1/trace.proto`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;

/// A span as it was sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) name: String,
    /// 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub(crate) kind: u64,
    pub(crate) attributes: BTreeMap<String, String>,
    /// 0 unset, 2 error.
    pub(crate) status: u64,
}

#[derive(Default)]
struct Kept {
    spans: Vec<Span>,
    resource: BTreeMap<String, String>,
    authorization: Option<String>,
}

/// Runs on a thread of its own until the test is over.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener");
        let address = listener.local_addr().expect("bound");
        let kept = Arc::<Mutex<Kept>>::default();
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&kept));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                axum::serve(listener, router).await.expect("it serves");
            });
        });
        Self { address, kept }
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.kept.lock().expect("kept").spans.clone()
    }

    pub(crate) fn resource(&self) -> BTreeMap<String, String> {
        self.kept.lock().expect("kept").resource.clone()
    }

    pub(crate) fn authorization(&self) -> Option<String> {
        self.kept.lock().expect("kept").authorization.clone()
    }

    /// Waits until the spans are as they should be; what they show then.
    pub(crate) fn until<T>(&self, what: &str, look: impl Fn(&[Span]) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            let spans = self.spans();
            if let Some(seen) = look(&spans) {
                return seen;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {spans:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

async fn take(State(kept): State<Arc<Mutex<Kept>>>, headers: HeaderMap, body: Bytes) {
    let mut kept = kept.lock().expect("kept");
    let header = headers.get("authorization").and_then(|value| value.to_str().ok());
    kept.authorization = header.map(str::to_owned);
    for of_resource in all(&body, 1) {
        for resource in all(of_resource, 1) {
            kept.resource.extend(attributes(resource, 1));
        }
        for of_scope in all(of_resource, 2) {
            kept.spans.extend(all(of_scope, 2).into_iter().map(span));
        }
    }
}

fn span(bytes: &[u8]) -> Span {
    let hex = |number| {
        let bytes = all(bytes, number).first().copied().unwrap_or_default();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let status = all(bytes, 15).first().map_or(0, |status| number(status, 3));
    Span {
        trace: hex(1),
        id: hex(2),
        parent: hex(4),
        name: text(all(bytes, 5).first().expect("a name")),
        kind: number(bytes, 6),
        attributes: attributes(bytes, 9),
        status,
    }
}

fn attributes(bytes: &[u8], field: u64) -> BTreeMap<String, String> {
    let one = |pair: &[u8]| {
        let value = all(pair, 2).first().copied().expect("a value");
        let value = match all(value, 1).first() {
            Some(words) => text(words),
            None => number(value, 3).to_string(),
        };
        (text(all(pair, 1).first().expect("a key")), value)
    };
    all(bytes, field).into_iter().map(one).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// The fields of a message (protobuf's wire format): number, and what it holds.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => Field::Bytes(split(&mut bytes, 8)),
            2 => {
                let length = usize::try_from(varint(&mut bytes)).expect("a length");
                Field::Bytes(split(&mut bytes, length))
            }
            5 => Field::Bytes(split(&mut bytes, 4)),
            other => panic!("no such type of wire: {other}"),
        };
        fields.push((tag >> 3, field));
    }
    fields
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn all(bytes: &[u8], number: u64) -> Vec<&[u8]> {
    let of = |(of, field)| match field {
        Field::Bytes(bytes) if of == number => Some(bytes),
        _ => None,
    };
    fields(bytes).into_iter().filter_map(of).collect()
}

fn number(bytes: &[u8], number: u64) -> u64 {
    let of = |(of, field)| match field {
        Field::Number(value) if of == number => Some(value),
        _ => None,
    };
    fields(bytes).into_iter().find_map(of).unwrap_or_default()
}

fn split<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (part, rest) = bytes.split_at(length);
    *bytes = rest;
    part
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = split(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}
