//! Clients that post activities and orders. One that gets no answer does what clients should: it sends the same again,
//! with the same ids.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use domain::{Clock, SECOND, SystemClock};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::http::call;
use crate::process::PASSWORD;
use crate::receiver::Receiver;

const CLIENTS: usize = 4;
/// How much of the item there is.
pub(crate) const STOCK: i64 = 1_000_000;
/// How long a client tries.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the clients do, and what they were told was done.
pub(crate) struct Work {
    ports: Vec<u16>,
    pub(crate) token: String,
    pub(crate) item: i64,
    /// Is told of the alerts.
    pub(crate) receiver: Arc<Receiver>,
    over: AtomicBool,
    events: Mutex<BTreeSet<String>>,
    orders: Mutex<BTreeSet<i64>>,
}

impl Work {
    /// Logs in and makes the item that is ordered, by an API on one of these ports.
    pub(crate) async fn begin(ports: Vec<u16>) -> Arc<Self> {
        let login = json!({"username": "admin", "password": PASSWORD});
        let answer = call(ports[0], "", Method::POST, "/api/auth/login", "", &login).await.expect("an answer");
        let token = answer.json()["token"].as_str().expect("a token").to_owned();
        let receiver = Receiver::start(ports[0], &token).await;
        let item = json!({"item_name": "Bolt", "quantity": STOCK});
        let answer = call(ports[0], &token, Method::POST, "/api/inventory/", "", &item).await.expect("an answer");
        let item = answer.json()["item"]["item_id"].as_i64().expect("an item");
        let over = AtomicBool::new(false);
        Arc::new(Self { ports, token, item, receiver, over, events: Mutex::default(), orders: Mutex::default() })
    }

    /// Starts the clients.
    pub(crate) fn clients(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        (0..CLIENTS).map(|client| tokio::spawn(Arc::clone(self).go_on(client))).collect()
    }

    /// Ends them, each after its last acknowledgement.
    pub(crate) async fn end(&self, clients: Vec<JoinHandle<()>>) {
        self.over.store(true, Ordering::SeqCst);
        for client in clients {
            client.await.expect("no client panics");
        }
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.events.lock().expect("unpoisoned").len()
    }

    /// Waits until so many more events and orders are acknowledged. How long that takes is the machine's matter.
    pub(crate) async fn progress(&self, events: usize, orders: usize) {
        let done = || {
            let (events, orders) = (&self.events, &self.orders);
            (events.lock().expect("unpoisoned").len(), orders.lock().expect("unpoisoned").len())
        };
        let (begun, before) = (Instant::now(), done());
        while done().0 < before.0 + events || done().1 < before.1 + orders {
            assert!(begun.elapsed() < PATIENCE, "{before:?} events and orders, {:?} after {PATIENCE:?}", done());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The events and the orders that were acknowledged.
    pub(crate) fn done(&self) -> (BTreeSet<String>, BTreeSet<i64>) {
        (self.events.lock().expect("unpoisoned").clone(), self.orders.lock().expect("unpoisoned").clone())
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

            // A list of orders has ten thousand rows at most.
            if !turn.is_multiple_of(8) {
                continue;
            }
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
        // Where one API does not answer, another may.
        for (attempt, port) in self.ports.iter().copied().cycle().enumerate() {
            let request = call(port, &self.token, Method::POST, path, key, body);
            // Now and then somebody goes away at some point of a request, and comes back.
            let digits = u64::try_from(SystemClock.now().micros() % 1_000).expect("small");
            let patience = if attempt == 0 && digits < 100 { Duration::from_micros(digits * 300) } else { PATIENCE };
            match tokio::time::timeout(patience, request).await.unwrap_or_else(|_| Err("gone away".to_owned())) {
                Ok(answer) if answer.status == wanted => return answer.json(),
                // Not now, or unknown whether it was done: the contract says to send it again.
                Ok(answer) if answer.status.is_server_error() => {}
                // Another API had begun it when it died: some seconds later it is known whether it was done.
                Ok(answer) if answer.status == StatusCode::CONFLICT && !key.is_empty() => {}
                Ok(answer) => panic!("{path}: {} {}", answer.status, answer.json()),
                Err(_) => {}
            }
            assert!(begun.elapsed() < PATIENCE, "no answer to {path} for {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        unreachable!("there is a port")
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
