//! What has to be true in the end, whatever happened.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::clients::{STOCK, Work};
use crate::http::call;
use crate::process::program;
use crate::receiver::Receiver;

/// All members of an alert but its identity, and what the past has ended and people have judged.
const MEMBERS: [&str; 20] = [
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

/// How long the work that is left may take at the end.
const SETTLE: Duration = Duration::from_secs(90);

/// An installation at rest.
pub(crate) struct Site<'a> {
    /// Where its API is.
    pub(crate) port: u16,
    pub(crate) token: &'a str,
    /// What its processes were started with.
    pub(crate) environment: &'a [(String, String)],
}

impl Site<'_> {
    pub(crate) async fn audit(&self, work: &Work) {
        self.settle().await;
        let (events, orders) = work.done();
        assert!(events.len() > 100 && orders.len() > 10, "{} events and {} orders", events.len(), orders.len());
        self.each_activity_once(&events).await;
        self.stock_and_orders_add_up(work.item, &orders).await;
        self.alerts_are_those_of_a_backtest().await;
        self.each_alert_was_told(&work.receiver).await;
    }

    async fn each_activity_once(&self, acknowledged: &BTreeSet<String>) {
        let mut stored: BTreeMap<String, usize> = BTreeMap::new();
        for row in self.pages("/api/logs/?all=true&limit=1000").await {
            *stored.entry(row["event_id"].as_str().expect("an id").to_owned()).or_default() += 1;
        }
        let lost: Vec<_> = acknowledged.iter().filter(|id| !stored.contains_key(*id)).collect();
        assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), acknowledged.len());
        let twice: Vec<_> = stored.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "stored more than once: {twice:?}");
    }

    async fn stock_and_orders_add_up(&self, item: i64, acknowledged: &BTreeSet<i64>) {
        let orders = self.get("/api/orders/").await;
        let orders = orders.as_array().expect("a list");
        let ids: BTreeSet<i64> = orders.iter().map(|order| order["order_id"].as_i64().expect("an id")).collect();
        // Every order was asked for until it was acknowledged, so there is no other.
        let different: Vec<_> = ids.symmetric_difference(acknowledged).collect();
        assert!(different.is_empty(), "ordered or acknowledged, but not both: {different:?}");
        assert!(ids.len() < 10_000, "a list has no more rows");
        let taken: i64 = orders.iter().map(|order| order["quantity"].as_i64().expect("a number")).sum();
        let item = self.get(&format!("/api/inventory/{item}")).await;
        assert_eq!(item["quantity"].as_i64(), Some(STOCK - taken));
    }

    async fn alerts_are_those_of_a_backtest(&self) {
        // What was asked to check the stock is an activity as well.
        self.settle().await;
        let short = |alert: &Value| MEMBERS.map(|name| format!("{name}: {}", alert[name])).join(", ");
        let mut live: Vec<String> = self
            .pages("/api/alerts/?limit=1000")
            .await
            .iter()
            .filter(|alert| alert["severity"] != "Informational")
            .filter(|alert| alert["state"] != "retracted" && alert["state"] != "merged")
            .map(short)
            .collect();
        let output = Command::new(program())
            .args(["backtest", "--stored", "--alerts", "-"])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
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
        eprintln!("{} alerts, live as by backtest", live.len());
    }

    async fn each_alert_was_told(&self, receiver: &Receiver) {
        // Before what was told is looked at: one that comes meanwhile may still be on its way.
        let alerts = self.pages("/api/alerts/?limit=1000").await;
        let begun = Instant::now();
        loop {
            let webhook = self.get("/api/webhooks").await[0].clone();
            assert_eq!((&webhook["dead"], &webhook["enabled"]), (&0.into(), &true.into()), "{webhook}");
            if webhook["pending"] == 0 {
                break;
            }
            assert!(begun.elapsed() < SETTLE, "messages still wait: {webhook}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let told = receiver.told();
        for alert in alerts {
            let id = alert["alert_id"].as_str().expect("an id");
            let of = told.get(id).unwrap_or_else(|| panic!("nobody was told of {alert}"));
            let times = |event: &str| of.values().filter(|message| message["type"] == event).count();
            // One that was taken back and came again opens again.
            assert_eq!(times("alert.opened"), times("alert.retracted") + 1, "{of:#?}");
            let steps = |alert: &Value| alert["escalations"].as_array().map_or(0, Vec::len);
            let last = of.values().next_back().expect("a message");
            assert!(steps(&last["data"]) >= steps(&alert), "a step was not told: {alert} {last}");
        }
    }

    /// Waits until all acknowledged work is visible.
    async fn settle(&self) {
        let begun = Instant::now();
        loop {
            let answer = call(self.port, self.token, Method::GET, "/api/health/ready", "", &Value::Null).await;
            let ready = answer.map(|answer| answer.json()).unwrap_or_default();
            let zero = |name: &str| ready[name].as_i64() == Some(0);
            if zero("journal_pending") && zero("ingest_lag") && zero("detector_lag") {
                return;
            }
            assert!(begun.elapsed() < SETTLE, "still not done: {ready}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = call(self.port, self.token, Method::GET, path, "", &Value::Null).await.expect("an answer");
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.json());
        answer.json()
    }

    /// All rows of a list, page by page.
    async fn pages(&self, path: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let answer = call(self.port, self.token, Method::GET, &path, "", &Value::Null).await.expect("an answer");
            assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.json());
            rows.extend(answer.json().as_array().expect("a list").iter().cloned());
            next = answer.next;
        }
        rows
    }
}
