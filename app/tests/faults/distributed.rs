//! Two of each role over Kafka and MariaDB. First all are restarted one after the other while requests go on; then, in each
//! round, something is killed, stopped, taken away or added.
//!
//! `FAULTS_ROUNDS` says how many rounds (as many as there are faults, unless it is set), `FAULTS_SEED` in which order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::audit::Site;
use crate::clients::Work;
use crate::http::call;
use crate::port::free_port;
use crate::process::{PASSWORD, Process};
use crate::servers::Servers;

/// What a round does.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// SIGKILL, and started again.
    Killed(&'static str),
    /// SIGTERM, and started again.
    Restarted(&'static str),
    /// SIGSTOP for longer than the session lasts, and SIGCONT: others have its partitions when it goes on.
    Frozen(&'static str),
    /// One more, and away again.
    Joined(&'static str),
    BrokerKilled,
    DatabaseKilled,
    /// The server answers nobody for some seconds.
    DatabaseSlow,
}

const FAULTS: [Fault; 13] = [
    Fault::Killed("ingest"),
    Fault::Killed("detector"),
    Fault::Killed("api"),
    Fault::BrokerKilled,
    Fault::Frozen("detector"),
    Fault::Restarted("detector"),
    Fault::DatabaseKilled,
    Fault::Joined("detector"),
    Fault::Frozen("ingest"),
    Fault::Restarted("ingest"),
    Fault::Joined("ingest"),
    Fault::Restarted("api"),
    Fault::DatabaseSlow,
];

/// A member that says nothing for so long loses its partitions.
const SESSION: Duration = Duration::from_secs(6);
/// What each client is answered between two restarts.
const ANSWERS: usize = 10;

struct Installation {
    servers: Servers,
    environment: Vec<(String, String)>,
    processes: Vec<(&'static str, Process)>,
}

impl Installation {
    async fn start(servers: Servers) -> Self {
        let set = |name: &str, value: String| (name.to_owned(), value);
        let environment = vec![
            set("DATABASE_URL", servers.database("faults")),
            set("KAFKA_BROKERS", format!("127.0.0.1:{}", servers.kafka)),
            set("KAFKA_PARTITIONS", "4".to_owned()),
            set("KAFKA_SESSION_TIMEOUT", "6s".to_owned()),
            set("JWT_SECRET_KEY", "a secret of at least thirty-two bytes, for tests".to_owned()),
            set("ADMIN_PASSWORD", PASSWORD.to_owned()),
            set("TIME_ZONE", "UTC".to_owned()),
        ];
        let mut processes = Vec::new();
        for role in ["api", "api", "ingest", "ingest", "detector", "detector"] {
            processes.push((role, Process::launch(role, free_port(), &environment)));
        }
        // At once on an empty database and a Kafka without topics, as the README starts them.
        for (_, process) in &mut processes {
            process.answers().await;
        }
        Self { servers, environment, processes }
    }

    fn ports(&self) -> Vec<u16> {
        self.processes.iter().filter(|(role, _)| *role == "api").map(|(_, process)| process.port).collect()
    }

    /// One of the processes of a role; which one changes from round to round.
    fn one(&mut self, role: &str, round: usize) -> &mut Process {
        let mut of: Vec<&mut Process> =
            self.processes.iter_mut().filter(|(other, _)| *other == role).map(|(_, process)| process).collect();
        let which = round % of.len();
        of.swap_remove(which)
    }

    /// A new version: every process ends and comes back, and no request is refused. A client tries the other API when it
    /// cannot connect, and nothing else.
    async fn restart_one_after_the_other(&mut self, token: &str) {
        let (over, ports) = (Arc::new(AtomicBool::new(false)), self.ports());
        let answered = [0, 1].map(|_| Arc::new(AtomicUsize::new(0)));
        let client = |first: usize| {
            let (over, answered) = (Arc::clone(&over), Arc::clone(&answered[first]));
            let (ports, token) = (ports.clone(), token.to_owned());
            tokio::spawn(async move {
                let mut turn = first;
                while !over.load(Ordering::SeqCst) {
                    turn += 1;
                    let events = json!([{"action": "View", "user": "ann", "event_id": uuid::Uuid::new_v4()}]);
                    let (method, path, body) = match turn % 2 {
                        0 => (Method::GET, "/api/inventory/", Value::Null),
                        _ => (Method::POST, "/api/logs/", events),
                    };
                    let mut at = turn / 2;
                    loop {
                        match call(ports[at % ports.len()], &token, method.clone(), path, "", &body).await {
                            Ok(answer) => {
                                assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.json());
                                break;
                            }
                            Err(_) => at += 1,
                        }
                    }
                    answered.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
        };
        let clients = [client(0), client(1)];
        let environment = self.environment.clone();
        for (role, process) in &mut self.processes {
            process.end().await;
            *process = Process::start(role, process.port, &environment).await;
            go_on(&clients, &answered).await;
        }
        over.store(true, Ordering::SeqCst);
        for client in clients {
            client.await.expect("no request is refused");
        }
    }

    async fn strike(&mut self, fault: Fault, round: usize) {
        let environment = self.environment.clone();
        match fault {
            Fault::Killed(role) => {
                let process = self.one(role, round);
                process.kill();
                *process = Process::start(role, process.port, &environment).await;
            }
            Fault::Restarted(role) => {
                let process = self.one(role, round);
                process.end().await;
                *process = Process::start(role, process.port, &environment).await;
            }
            Fault::Frozen(role) => {
                let process = self.one(role, round);
                process.signal("STOP");
                tokio::time::sleep(SESSION + Duration::from_secs(3)).await;
                process.signal("CONT");
            }
            Fault::Joined(role) => {
                let mut more = Process::start(role, free_port(), &environment).await;
                tokio::time::sleep(Duration::from_secs(2)).await;
                more.end().await;
            }
            Fault::BrokerKilled => {
                self.servers.run("kafka", "kill", None);
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.servers.run("kafka", "restart", None);
            }
            Fault::DatabaseSlow => {
                self.servers.signal("mariadb", "STOP");
                tokio::time::sleep(SESSION / 2).await;
                self.servers.signal("mariadb", "CONT");
            }
            Fault::DatabaseKilled => {
                self.servers.run("mariadb", "kill", None);
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.servers.run("mariadb", "restart", None);
            }
        }
        for (role, process) in &mut self.processes {
            assert!(process.runs(), "after {fault:?} {role} has ended by itself");
        }
    }
}

/// Waits until each client was answered some more, or one has ended: it was refused something. How long that takes is the
/// machine's matter.
async fn go_on(clients: &[JoinHandle<()>], answered: &[Arc<AtomicUsize>]) {
    let now = || answered.iter().map(|answered| answered.load(Ordering::SeqCst)).collect::<Vec<_>>();
    let (begun, before) = (Instant::now(), now());
    while now().iter().zip(&before).any(|(now, before)| *now < before + ANSWERS) {
        if clients.iter().any(JoinHandle::is_finished) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{before:?} answers, {:?} a minute later", now());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_whatever_is_killed() {
    let Some(servers) = Servers::start() else { return };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
    let rounds = number("FAULTS_ROUNDS").unwrap_or(FAULTS.len());
    let seed = number("FAULTS_SEED").unwrap_or(0);
    let mut installation = Installation::start(servers).await;
    let work = Work::begin(installation.ports()).await;
    installation.restart_one_after_the_other(&work.token).await;
    let clients = work.clients();
    for round in 0..rounds {
        // Five is prime to the number of faults: every one comes, in another order with another seed.
        let fault = FAULTS[(round * if seed % 2 == 1 { 5 } else { 1 } + seed) % FAULTS.len()];
        tokio::time::sleep(Duration::from_millis(500)).await;
        let begun = Instant::now();
        installation.strike(fault, round + seed).await;
        println!(
            "round {round}: {fault:?}, {:.1} s, {} acknowledged",
            begun.elapsed().as_secs_f64(),
            work.acknowledged()
        );
    }
    work.progress(100, 12).await;
    work.end(clients).await;
    let (port, environment) = (installation.ports()[0], &installation.environment);
    Site { port, token: &work.token, environment }.audit(&work).await;
    for (_, process) in &mut installation.processes {
        process.end().await;
    }
}
