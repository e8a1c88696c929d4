//! Killed at any moment, again and again: what was acknowledged is there, once, and found what it had to find.
//!
//! Four clients post activities and orders while the program is killed with SIGKILL and started again on the same
//! data. A client that gets no answer does what clients should: it sends the same again, with the same ids.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use domain::{Clock, SECOND, SystemClock};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

/// Times that the program is killed.
const ROUNDS: usize = 4;
const CLIENTS: usize = 4;
const STOCK: i64 = 1_000_000;
const PASSWORD: &str = "correct-horse-battery";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_doubled_by_kill_nine() {
    let data = tempfile::tempdir().expect("a folder");
    let program = PathBuf::from(env!("CARGO_BIN_EXE_security-analytics"));
    let mut server = Server::start(&program, data.path()).await;
    let port = server.port;
    let login = json!({"username": "admin", "password": PASSWORD});
    let answer = call(port, "", Method::POST, "/api/auth/login", "", &login).await.expect("an answer");
    let token = answer.json()["token"].as_str().expect("a token").to_owned();
    let item = json!({"item_name": "Bolt", "quantity": STOCK});
    let answer = call(port, &token, Method::POST, "/api/inventory/", "", &item).await.expect("an answer");
    let item = answer.json()["item"]["item_id"].as_i64().expect("an item");

    let work = Arc::new(Work { port: AtomicUsize::new(usize::from(port)), token, item, ..Work::default() });
    let clients: Vec<_> = (0..CLIENTS).map(|client| tokio::spawn(Arc::clone(&work).go_on(client))).collect();
    for round in 0..ROUNDS {
        // The clock's last digits are as good as a die here: the moment must not be always the same.
        let die = u64::try_from(SystemClock.now().micros() % 500).expect("small");
        tokio::time::sleep(Duration::from_millis(300 + die)).await;
        server.kill();
        println!("round {round}: killed after {die} ms more, {} acknowledged", work.acknowledged());
        server = Server::start(&program, data.path()).await;
        work.port.store(usize::from(server.port), Ordering::SeqCst);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    work.over.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.expect("no client panics");
    }

    server.settle(&work.token).await;
    let events = work.events.lock().expect("unpoisoned").clone();
    let orders = work.orders.lock().expect("unpoisoned").clone();
    assert!(events.len() > 100 && orders.len() > 10, "{} events and {} orders", events.len(), orders.len());
    each_activity_once(&server, &work.token, &events).await;
    stock_and_orders_add_up(&server, &work, &orders).await;
    alerts_are_those_of_a_backtest(&server, &work.token, &program, data.path()).await;
    server.kill();
}

async fn each_activity_once(server: &Server, token: &str, acknowledged: &BTreeSet<String>) {
    let mut stored: BTreeMap<String, usize> = BTreeMap::new();
    for row in server.pages(token, "/api/logs/?all=true&limit=1000").await {
        *stored.entry(row["event_id"].as_str().expect("an id").to_owned()).or_default() += 1;
    }
    let lost: Vec<_> = acknowledged.iter().filter(|id| !stored.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), acknowledged.len());
    let twice: Vec<_> = stored.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "stored more than once: {twice:?}");
}

async fn stock_and_orders_add_up(server: &Server, work: &Work, acknowledged: &BTreeSet<i64>) {
    let orders =
        call(server.port, &work.token, Method::GET, "/api/orders/", "", &Value::Null).await.expect("an answer");
    let orders = orders.json();
    let orders = orders.as_array().expect("a list");
    let ids: BTreeSet<i64> = orders.iter().map(|order| order["order_id"].as_i64().expect("an id")).collect();
    // Every order was asked for until it was acknowledged, so there is no other.
    assert_eq!(&ids, acknowledged);
    let taken: i64 = orders.iter().map(|order| order["quantity"].as_i64().expect("a number")).sum();
    let path = format!("/api/inventory/{}", work.item);
    let item = call(server.port, &work.token, Method::GET, &path, "", &Value::Null).await.expect("an answer");
    assert_eq!(item.json()["quantity"].as_i64(), Some(STOCK - taken));
}

async fn alerts_are_those_of_a_backtest(server: &Server, token: &str, program: &PathBuf, data: &std::path::Path) {
    // What was asked to check the stock is an activity as well.
    server.settle(token).await;
    // All but identity, and what the past has ended and people have judged.
    let members = [
        "at",
        "rule",
        "rule_id",
        "severity",
        "risk",
        "techniques",
        "user",
        "ip",
        "session",
        "key",
        "observed",
        "threshold",
        "window_s",
        "first_event_at",
        "last_event_at",
        "event_ids",
        "baseline",
        "explanation",
        "escalations",
        "event_count",
    ];
    let short = |alert: &Value| members.map(|name| format!("{name}: {}", alert[name])).join(", ");
    let mut live: Vec<String> = server
        .pages(token, "/api/alerts/?limit=1000")
        .await
        .iter()
        .filter(|alert| alert["severity"] != "Informational")
        .filter(|alert| alert["state"] != "retracted" && alert["state"] != "merged")
        .map(short)
        .collect();
    let output = Command::new(program)
        .args(["backtest", "--stored", "--alerts", "-"])
        .env("DATA_DIR", data)
        .env("TIME_ZONE", "UTC")
        .output()
        .expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let mut offline: Vec<String> =
        text.lines().map(|line| short(&serde_json::from_str(line).expect("an alert"))).collect();
    assert!(offline.len() > 5, "only {} alerts", offline.len());
    live.sort_unstable();
    offline.sort_unstable();
    let twice: Vec<_> = live.windows(2).filter(|two| two[0] == two[1]).map(|two| &two[0]).collect();
    assert!(twice.is_empty(), "found more than once: {twice:#?}");
    let missing: Vec<_> = offline.iter().filter(|alert| live.binary_search(alert).is_err()).collect();
    let more: Vec<_> = live.iter().filter(|alert| offline.binary_search(alert).is_err()).collect();
    assert!(missing.is_empty() && more.is_empty(), "not found live: {missing:#?}\nfound live only: {more:#?}");
}

/// What the clients do, and what they were told was done.
#[derive(Default)]
struct Work {
    port: AtomicUsize,
    token: String,
    item: i64,
    over: AtomicBool,
    events: Mutex<BTreeSet<String>>,
    orders: Mutex<BTreeSet<i64>>,
}

impl Work {
    fn acknowledged(&self) -> usize {
        self.events.lock().expect("unpoisoned").len()
    }

    async fn go_on(self: Arc<Self>, client: usize) {
        let mut turn = 0_u32;
        while !self.over.load(Ordering::SeqCst) {
            turn += 1;
            let batch = batch(client, turn);
            let answer = self.until_answered("/api/logs/", "", &batch, StatusCode::ACCEPTED).await;
            assert_eq!(answer["rejected_total"], 0, "{answer}");
            assert_eq!(answer["conflicts"], 0, "{answer}");
            let ids = batch.as_array().expect("a list").iter().map(|event| event["event_id"].as_str().expect("an id"));
            self.events.lock().expect("unpoisoned").extend(ids.map(str::to_owned));

            let order = json!({"item_id": self.item, "quantity": 1 + turn % 3});
            let key = format!("client-{client}-order-{turn}");
            let answer = self.until_answered("/api/orders/", &key, &order, StatusCode::CREATED).await;
            let id = answer["order"]["order_id"].as_i64().expect("an order");
            assert!(self.orders.lock().expect("unpoisoned").insert(id), "order {id} was given out twice");
        }
    }

    /// Sends the same until there is an answer that says what became of it.
    async fn until_answered(&self, path: &str, key: &str, body: &Value, wanted: StatusCode) -> Value {
        let begun = Instant::now();
        loop {
            let port = u16::try_from(self.port.load(Ordering::SeqCst)).expect("a port");
            match call(port, &self.token, Method::POST, path, key, body).await {
                Ok(answer) if answer.status == wanted => return answer.json(),
                // Not now, or unknown whether it was done: the contract says to send it again.
                Ok(answer) if answer.status.is_server_error() => {}
                Ok(answer) => panic!("{path}: {} {}", answer.status, answer.json()),
                Err(_) => {}
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "no answer to {path} for half a minute");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Ten failed log-ins in the name of two users, up to a minute ago and not in order.
fn batch(client: usize, turn: u32) -> Value {
    let now = SystemClock.now();
    let events: Vec<Value> = (0..10_u32)
        .map(|event| {
            let user = format!("user-{client}-{}", (turn * 10 + event) / 12);
            let ago = i64::from((event * 7 + turn) % 10) * 6 * SECOND + i64::from(event);
            json!({
                "event_id": domain::ids::event_id(now),
                "occurred_at": now.plus(-ago),
                "user": user,
                "action": "LoginFailed",
                "outcome": "failure",
                "reason": "bad_password",
                "source_ip": format!("192.0.2.{}", client * 50 + turn as usize % 50),
            })
        })
        .collect();
    Value::Array(events)
}

/// The program under test.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    async fn start(program: &PathBuf, data: &std::path::Path) -> Self {
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let child = Command::new(program)
            .env("LISTEN", format!("127.0.0.1:{port}"))
            .env("DATA_DIR", data)
            .env("ADMIN_PASSWORD", PASSWORD)
            .env("RATE_LIMIT", "off")
            .env("TIME_ZONE", "UTC")
            .env("RUST_LOG", "warn")
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the program starts");
        let mut server = Self { child, port };
        let begun = Instant::now();
        while call(port, "", Method::GET, "/api/health", "", &Value::Null).await.is_err() {
            if let Some(status) = server.child.try_wait().expect("a child") {
                panic!("the program ended by itself: {status}");
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "the program does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server
    }

    fn kill(&mut self) {
        // SIGKILL: no handler, no flush.
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Waits until all acknowledged work is visible.
    async fn settle(&self, token: &str) {
        let begun = Instant::now();
        loop {
            let answer =
                call(self.port, token, Method::GET, "/api/health/ready", "", &Value::Null).await.expect("an answer");
            let ready = answer.json();
            let zero = |name: &str| ready[name].as_i64() == Some(0);
            if answer.status == StatusCode::OK && zero("ingest_lag") && zero("detector_lag") {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "still not done: {ready}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// All rows of a list, page by page.
    async fn pages(&self, token: &str, path: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let answer = call(self.port, token, Method::GET, &path, "", &Value::Null).await.expect("an answer");
            assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.json());
            rows.extend(answer.json().as_array().expect("a list").iter().cloned());
            next = answer.next;
        }
        rows
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A failed test leaves nothing running; that it may have ended already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Answer {
    status: StatusCode,
    body: Bytes,
    next: Option<String>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }
}

/// One request on a connection of its own. An error is a connection that broke.
async fn call(port: u16, token: &str, method: Method, path: &str, key: &str, body: &Value) -> Result<Answer, String> {
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
