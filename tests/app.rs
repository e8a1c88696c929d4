//! [`TestApp`]: the program on a random port, in a directory of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use domain::{Activity, JournalRead, ManualClock, Role, SharedClock, SystemClock, Timestamp, Topic};
use security_analytics::cli::Settings;
use security_analytics::config::layers::{Layers, Surroundings};
use security_analytics::config::{Config, Secret};
use security_analytics::{ProcessRole, Server};
use serde_json::{Value, json};
use store::{NewUser, Store, StoredRange};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Actor;

/// Everybody's password.
pub const PASSWORD: &str = "correct horse 1";

/// What a story may want to be different.
pub struct Builder {
    clock: Option<Arc<ManualClock>>,
    config: Config,
    dir: TempDir,
}

impl Builder {
    /// Time stands still, at this moment (RFC 3339), until the story moves [`TestApp::clock`].
    #[must_use]
    pub fn frozen(mut self, at: &str) -> Self {
        self.clock = Some(Arc::new(ManualClock::at(Timestamp::parse(at).expect("a time"))));
        self
    }

    /// Changes settings.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Starts the program.
    pub async fn start(self) -> TestApp {
        let clock: SharedClock = match &self.clock {
            Some(clock) => clock.clone(),
            None => Arc::new(SystemClock),
        };
        let server =
            Server::prepare(self.config, clock, ProcessRole::All).await.unwrap_or_else(|failure| panic!("{failure}"));
        let store = server.store().clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        tokio::spawn(server.run(listener, shutdown.clone()));
        let app = TestApp { address, store, clock: self.clock, shutdown, _dir: self.dir };
        for (name, role) in
            [("sam", Role::Supervisor), ("erin", Role::Employee), ("emil", Role::Employee), ("cora", Role::Contractor)]
        {
            app.create(name, role).await;
        }
        app
    }
}

/// The program, with one Admin, one Supervisor, two Employees and one Contractor.
pub struct TestApp {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its database, for what no actor can see.
    pub store: Store,
    /// Its clock, where it was frozen.
    pub clock: Option<Arc<ManualClock>>,
    shutdown: CancellationToken,
    _dir: TempDir,
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl TestApp {
    /// With the settings of most stories: no rate limit, cheap password hashes, self-registration on.
    #[must_use]
    pub fn builder() -> Builder {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let layers = Layers::collect(&Settings::default(), &Surroundings::default()).expect("the defaults");
        let config = Config {
            data_dir: dir.path().to_owned(),
            admin_password: Some(Secret::new(PASSWORD)),
            rate_limit: false,
            self_registration: true,
            bcrypt_cost: 4,
            ..Config::read(&layers).expect("valid defaults")
        };
        Builder { clock: None, config, dir }
    }

    /// Starts with those settings.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Makes a user beside the API.
    pub async fn create(&self, name: &str, role: Role) -> i64 {
        static HASH: OnceLock<String> = OnceLock::new();
        let password_hash = HASH.get_or_init(|| bcrypt::hash(PASSWORD, 4).expect("a hash")).clone();
        let user = NewUser { username: name.to_owned(), password_hash, email: None, full_name: None, role };
        let now = self.now();
        let journal = move |_: &store::UserRow| Activity::new(domain::ids::event_id(now), "Create", now);
        self.store.create_user(user, journal).await.expect("a new user").user_id
    }

    /// The time by the program's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.clock {
            Some(clock) => domain::Clock::now(&**clock),
            None => domain::Clock::now(&SystemClock),
        }
    }

    /// Lets time pass, in microseconds; the clock must be frozen.
    pub fn pass(&self, micros: i64) {
        self.clock.as_ref().expect("a frozen clock").advance(micros);
    }

    /// Somebody without a token.
    #[must_use]
    pub fn anonymous(&self) -> Actor {
        Actor::anonymous(self.address)
    }

    /// Logs in.
    pub async fn login(&self, name: &str) -> Actor {
        let credentials = json!({ "username": name, "password": PASSWORD });
        let body = self.anonymous().post("/api/auth/login", credentials).await.expect(200).json();
        let text = |member: &str| body[member].as_str().map(str::to_owned);
        Actor {
            token: text("token"),
            session: text("session_id"),
            user: body["user"].clone(),
            ..Actor::anonymous(self.address)
        }
    }

    /// The Admin.
    pub async fn admin(&self) -> Actor {
        self.login("admin").await
    }

    /// The Supervisor.
    pub async fn supervisor(&self) -> Actor {
        self.login("sam").await
    }

    /// An Employee.
    pub async fn employee(&self) -> Actor {
        self.login("erin").await
    }

    /// The Contractor.
    pub async fn contractor(&self) -> Actor {
        self.login("cora").await
    }

    /// Another system with an ingest key of this name.
    pub async fn system(&self, name: &str) -> Actor {
        let body = self.admin().await.post("/api/keys", json!({ "name": name })).await.expect(201).json();
        let token = body["api_key"].as_str().map(str::to_owned);
        Actor { token, ..Actor::anonymous(self.address) }
    }

    /// Makes an item; its id.
    pub async fn item(&self, name: &str, quantity: i64) -> i64 {
        let body = json!({ "item_name": name, "quantity": quantity, "unit_price": "2.50", "category": "Tools" });
        let answer = self.supervisor().await.post("/api/inventory/", body).await.expect(201).json();
        answer["item"]["item_id"].as_i64().expect("an id")
    }

    /// All activities, in the order in which they were recorded, as the wire has them: what is in the journal, and
    /// what has left it for the log.
    pub async fn journal(&self) -> Vec<Value> {
        const MANY: usize = 1_000_000;
        let range = StoredRange { from: Timestamp::MIN, to: Timestamp::MAX, up_to_seq: None, late: true };
        let waiting = self.store.read_after(0, MANY).await.expect("a journal");
        let stored = self.store.stored_activities(&range, None, 1_000_000).await.expect("a log");
        let mut all: BTreeMap<i64, Value> = stored
            .into_iter()
            .map(|stored| (stored.seq, serde_json::from_str(&stored.activity.to_json()).expect("JSON")))
            .collect();
        for record in waiting.into_iter().filter(|record| record.topic == Topic::Activity) {
            all.insert(record.seq, serde_json::from_str(&record.payload).expect("JSON"));
        }
        all.into_values().collect()
    }

    /// Waits until the workers have seen everything that was recorded.
    pub async fn settled(&self) {
        self.eventually("the workers are done", async || {
            let body = self.anonymous().get("/api/health/ready").await.expect(200).json();
            (body["ingest_lag"] == 0 && body["detector_lag"] == 0).then_some(())
        })
        .await;
    }

    /// What `look` finds, as soon as it finds something; within a minute: machines that test are busy.
    ///
    /// # Panics
    /// If it does not.
    pub async fn eventually<T, F: Future<Output = Option<T>>>(&self, what: &str, mut look: impl FnMut() -> F) -> T {
        for _ in 0..3_000 {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("not within a minute: {what}");
    }
}
