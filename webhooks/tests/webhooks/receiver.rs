//! A receiver on this machine that does as it is told and keeps what it got.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

/// What it answers.
pub(crate) enum Reply {
    /// A status.
    Status(u16),
    /// A status with `Retry-After`.
    After(u16, &'static str),
    /// Another address.
    Redirect(String),
    /// Nothing, and the connection stays.
    Never,
    /// 200, and a body without an end.
    Endless,
    /// Bytes that are no HTTP.
    Nonsense,
}

/// A request that came.
pub(crate) struct Got {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_else(|| panic!("{name} is missing"))
    }
}

pub(crate) struct Receiver {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
    got: Mutex<mpsc::UnboundedReceiver<Got>>,
}

/// A body of one piece after another.
struct Endless;

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 1024])))))
    }
}

impl Receiver {
    /// Starts one; `reply` is asked with the number of the request.
    pub(crate) async fn start(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, got) = mpsc::unbounded_channel();
        let (count, reply) = (Arc::new(AtomicUsize::new(0)), Arc::new(reply));
        let counted = count.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let (sender, counted, reply) = (sender.clone(), counted.clone(), reply.clone());
                tokio::spawn(async move {
                    if matches!(reply(counted.load(Ordering::SeqCst)), Reply::Nonsense) {
                        stream.write_all(b"what?\r\n\r\n").await.expect("written");
                        return;
                    }
                    let service =
                        service_fn(move |request| answer(request, sender.clone(), counted.clone(), reply.clone()));
                    // Whoever has had enough goes away.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, count, got: Mutex::new(got) }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many requests came.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// The next request.
    pub(crate) async fn next(&self) -> Got {
        let mut got = self.got.lock().await;
        let next = tokio::time::timeout(Duration::from_secs(60), got.recv()).await;
        next.expect("a request in time").expect("a request")
    }
}

async fn answer(
    request: Request<Incoming>,
    sender: mpsc::UnboundedSender<Got>,
    count: Arc<AtomicUsize>,
    reply: Arc<impl Fn(usize) -> Reply>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.expect("a whole request").to_bytes();
    let reply = reply(count.fetch_add(1, Ordering::SeqCst));
    let (method, path) = (parts.method.to_string(), parts.uri.to_string());
    // A story may have seen enough.
    let _ = sender.send(Got { method, path, headers: parts.headers, body });
    let empty = || Full::default().boxed();
    let response = match reply {
        Reply::Status(status) => Response::builder().status(status).body(empty()),
        Reply::After(status, wait) => Response::builder().status(status).header("retry-after", wait).body(empty()),
        Reply::Redirect(to) => Response::builder().status(307).header("location", to).body(empty()),
        Reply::Endless => Response::builder().status(200).body(Endless.boxed()),
        Reply::Never | Reply::Nonsense => std::future::pending().await,
    };
    Ok(response.expect("an answer"))
}
