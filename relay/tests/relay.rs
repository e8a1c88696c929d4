//! The relay between a real MariaDB and a real Kafka: where `TEST_MYSQL_URL` and `TEST_KAFKA_BROKERS` name them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::kafka::{
    ACTIVITY, ACTIVITY_IN, ALERTS, BY_SOURCE, KafkaError, Message, Producer, Replay, Settings, prepare_topics,
};
use domain::{Activity, JournalRecord, ManualClock, Partition, SystemClock, Timestamp};
use relay::{Intake, RelayError, Status, run, take_in};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection};
use store::{Appended, IngestRecord, Move, Store};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

struct World {
    store: Store,
    kafka: Settings,
    server: String,
    name: String,
}

impl World {
    /// A database and topics of the test's own.
    async fn new(clock: Arc<dyn domain::Clock>) -> Option<Self> {
        let (Ok(server), Ok(brokers)) = (std::env::var("TEST_MYSQL_URL"), std::env::var("TEST_KAFKA_BROKERS")) else {
            assert!(std::env::var("TEST_REQUIRE_SERVERS").is_err(), "TEST_MYSQL_URL or TEST_KAFKA_BROKERS is missing");
            eprintln!("no servers: set TEST_MYSQL_URL and TEST_KAFKA_BROKERS to run this test");
            return None;
        };
        let name = format!("relay_{}", Uuid::new_v4().simple());
        let server = server.trim_end_matches('/').to_owned();
        sql(&server, format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).await;
        let store = Store::connect_mysql(&format!("{server}/{name}"), clock).await.expect("a database");
        store.migrate().await.expect("schema");
        let mut kafka = Settings::of(brokers);
        kafka.prefix = format!("{name}.");
        kafka.partitions = 3;
        prepare_topics(&kafka).await.expect("topics");
        Some(Self { store, kafka, server, name })
    }

    fn relay(&self) -> (JoinHandle<Result<(), RelayError>>, Arc<Status>, CancellationToken) {
        let (status, stop) = (Arc::<Status>::default(), CancellationToken::new());
        let running = run(self.store.clone(), self.kafka.clone(), status.clone(), stop.clone());
        (tokio::spawn(running), status, stop)
    }

    fn intake(&self) -> (JoinHandle<Result<(), KafkaError>>, CancellationToken) {
        let stop = CancellationToken::new();
        let intake = Intake {
            store: self.store.clone(),
            kafka: self.kafka.clone(),
            clock: Arc::new(SystemClock),
            lateness: 5 * domain::MINUTE,
            instance: None,
        };
        (tokio::spawn(take_in(intake, stop.clone())), stop)
    }

    async fn journal_is_empty(&self) {
        eventually("the journal to be empty", async || self.store.journal_status().await.expect("journal").rows == 0)
            .await;
    }

    /// Everything in a topic, partition by partition.
    async fn topic(&self, topic: &'static str) -> Vec<Vec<JournalRecord>> {
        let kafka = self.kafka.clone();
        let read = tokio::task::spawn_blocking(move || {
            let one = |number| {
                let partition = Partition { topic, number };
                let mut replay = Replay::after(&kafka, partition, 0, i64::MAX).expect("replay");
                let mut records = Vec::new();
                loop {
                    let more = replay.read().expect("readable");
                    if more.is_empty() {
                        return records;
                    }
                    records.extend(more);
                }
            };
            (0..kafka.partitions).map(one).collect()
        });
        read.await.expect("read")
    }

    async fn gone(self) {
        self.store.close().await;
        sql(&self.server, format!("DROP DATABASE {}", self.name)).await;
    }
}

async fn sql(server: &str, text: String) {
    let mut admin = MySqlConnection::connect(server).await.expect("TEST_MYSQL_URL");
    sqlx::query(AssertSqlSafe(text)).execute(&mut admin).await.expect("a statement");
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(40), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn activity(number: u128, user: &str) -> Activity {
    let mut activity = Activity::new(Uuid::from_u128(number + 1), "View", Timestamp::from_micros(1_000_000));
    activity.user = Some(user.to_owned());
    activity.records = i64::try_from(number).ok();
    activity
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_out_in_order_and_a_relay_that_is_cut_off_loses_nothing() {
    let Some(world) = World::new(Arc::new(ManualClock::at(Timestamp::from_micros(0)))).await else { return };
    let one = |number: u128| {
        let mut one = activity(number, &format!("u{}", number % 7));
        one.source_ip = number.is_multiple_of(2).then(|| "192.0.2.1".parse().expect("an address"));
        one
    };
    let (mut written, count) = (0, 6_000);
    let (mut running, mut relay_of) = (None::<JoinHandle<_>>, 0);
    while written < count {
        let batch: Vec<Activity> = (written..written + 500).map(one).collect();
        world.store.append_posted(batch).await.expect("appended");
        written += 500;
        if written % 1_500 == 0 {
            // Cut off wherever it is; another one goes on.
            if let Some(running) = running.take() {
                running.abort();
                let _ = running.await;
            }
            running = Some(world.relay().0);
            relay_of += 1;
        }
    }
    assert_eq!(relay_of, 4);
    world.journal_is_empty().await;
    let (mut seen, mut last_of) = (BTreeMap::<Uuid, usize>::new(), BTreeMap::<String, i64>::new());
    for record in world.topic(ACTIVITY).await.into_iter().flatten() {
        let activity = Activity::from_json(&record.payload).expect("an activity");
        let times = seen.entry(activity.event_id).or_default();
        *times += 1;
        if *times == 1 {
            let (user, number) = (activity.user.expect("a user"), activity.records.expect("a number"));
            let before = last_of.insert(user.clone(), number);
            assert!(before.is_none_or(|before| before < number), "{user}: {number} after {before:?}");
        }
    }
    assert_eq!(seen.len(), usize::try_from(count).expect("few"), "nothing is lost");
    let mut by_source: Vec<Uuid> = Vec::new();
    for record in world.topic(BY_SOURCE).await.into_iter().flatten() {
        by_source.push(Activity::from_json(&record.payload).expect("an activity").event_id);
    }
    by_source.sort_unstable();
    by_source.dedup();
    assert_eq!(by_source.len(), usize::try_from(count / 2).expect("few"));
    if let Some(running) = running {
        running.abort();
    }
    world.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_and_another_takes_over() {
    let Some(world) = World::new(Arc::new(SystemClock)).await else { return };
    let (first, of_first, stop) = world.relay();
    eventually("a leader", async || of_first.leads()).await;
    let (second, of_second, stop_second) = world.relay();
    world.store.append_posted(vec![activity(1, "ana")]).await.expect("appended");
    world.journal_is_empty().await;
    assert!(of_first.published() == 1 && !of_second.leads());
    stop.cancel();
    first.await.expect("no panic").expect("ends in order");
    eventually("the next leader", async || of_second.leads()).await;
    world.store.append_posted(vec![activity(2, "ana")]).await.expect("appended");
    world.journal_is_empty().await;
    assert_eq!((of_second.published(), of_second.failed()), (1, 0));
    assert!(world.topic(ALERTS).await.into_iter().flatten().next().is_none());
    stop_second.cancel();
    second.await.expect("no panic").expect("ends in order");
    world.gone().await;
}

/// What others write: twenty kinds of poison among what is good.
#[tokio::test(flavor = "multi_thread")]
async fn poison_is_put_aside_with_its_reason_and_stops_nobody() {
    let Some(world) = World::new(Arc::new(SystemClock)).await else { return };
    let long = format!("{{\"action\":\"View\",\"x\":\"{}\"}}", "y".repeat(70_000));
    let deep = format!("{{\"action\":\"View\",\"x\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    let many: Vec<String> = (0..40).map(|n| format!("\"a{n}\":{n}")).collect();
    let many = format!("{{\"action\":\"View\",{}}}", many.join(","));
    let poison: [(&str, &str); 20] = [
        ("nothing", ""),
        ("half an object", "{\"action\":\"View\""),
        ("a list", "[1,2]"),
        ("a text", "\"View\""),
        ("a number", "17"),
        ("null", "null"),
        ("no action", "{\"user\":\"ana\"}"),
        ("an empty action", "{\"action\":\"\"}"),
        ("an action that is no text", "{\"action\":7}"),
        (
            "an action beyond its length",
            "{\"action\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
        ),
        ("an id that is none", "{\"action\":\"View\",\"event_id\":\"seven\"}"),
        ("a time that is none", "{\"action\":\"View\",\"occurred_at\":\"yesterday\"}"),
        ("an address that is none", "{\"action\":\"View\",\"source_ip\":\"999.1.1.1\"}"),
        ("an outcome that is none", "{\"action\":\"View\",\"outcome\":\"perhaps\"}"),
        ("a log type that is none", "{\"action\":\"View\",\"log_type\":\"gossip\"}"),
        ("records that are no number", "{\"action\":\"View\",\"records\":\"many\"}"),
        ("an unknown major version", "{\"action\":\"View\",\"v\":2}"),
        ("too long a record", &long),
        ("too deep a value", &deep),
        ("too many members", &many),
    ];
    let good = |number: usize| Message {
        topic: ACTIVITY_IN,
        key: "a".to_owned(),
        payload: format!(
            "{{\"action\":\"View\",\"user\":\"ana\",\"event_id\":\"{}\"}}",
            Uuid::from_u128(number as u128 + 1)
        ),
        headers: Vec::new(),
    };
    let bad = |(_, text): &(&str, &str)| Message { payload: (*text).to_owned(), ..good(0) };
    let mut messages = Vec::new();
    for (number, poison) in poison.iter().enumerate() {
        messages.extend([good(number), bad(poison)]);
    }
    messages.push(good(poison.len()));
    // Once more, as a client does that was not sure, and one with the id of another.
    messages.push(good(0));
    messages.push(Message {
        payload: format!("{{\"action\":\"Delete\",\"user\":\"eve\",\"event_id\":\"{}\"}}", Uuid::from_u128(1)),
        ..good(0)
    });
    let producer = Producer::new(&world.kafka).expect("producer");
    for answer in producer.send(&messages).await {
        answer.expect("delivered");
    }
    producer.close().await;
    let (running, stop) = world.intake();
    let expected = poison.len() + 1;
    eventually("all of it", async || {
        world.store.count_dead_letters().await.expect("letters") >= i64::try_from(expected).expect("few")
    })
    .await;
    let letters = world.store.dead_letters(None, 100).await.expect("letters");
    assert_eq!(letters.len(), expected);
    for (what, text) in &poison {
        let letter = letters.iter().find(|letter| letter.payload == *text);
        let letter = letter.unwrap_or_else(|| panic!("{what} is not among the dead letters"));
        assert_eq!(letter.topic, ACTIVITY_IN);
        assert!(letter.reason.len() > 5, "{what}: {}", letter.reason);
    }
    let conflict = letters.iter().find(|letter| letter.reason.contains("another activity has the id"));
    let conflict = conflict.expect("the one with the id of another");
    assert_eq!(conflict.payload, messages[messages.len() - 1].payload, "the text, as it was");
    assert_eq!(
        letters.iter().filter(|one| (one.partition, one.offset) == (conflict.partition, conflict.offset)).count(),
        1
    );
    let journal = world.store.journal_page(0, 1_000).await.expect("journal");
    let activities: Vec<Activity> =
        journal.iter().map(|row| Activity::from_json(&row.payload).expect("an activity")).collect();
    assert_eq!(activities.len(), poison.len() + 1, "what is good, each once");
    assert!(activities.iter().all(|activity| activity.origin == "ingest:kafka" && !activity.late));
    stop.cancel();
    running.await.expect("no panic").expect("ends in order");
    // Begun again, it goes on where it was.
    let (running, stop) = world.intake();
    let producer = Producer::new(&world.kafka).expect("producer");
    producer.send(&[good(1_000)]).await.remove(0).expect("delivered");
    eventually("the next one", async || {
        world.store.journal_status().await.expect("journal").rows == i64::try_from(activities.len() + 1).expect("few")
    })
    .await;
    assert_eq!(world.store.count_dead_letters().await.expect("letters"), i64::try_from(expected).expect("few"));
    stop.cancel();
    running.await.expect("no panic").expect("ends in order");
    producer.close().await;
    world.gone().await;
}

/// Between the journal and the logs an activity is in Kafka alone; its id is taken all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_with_an_id_that_is_under_way_is_never_lost_in_silence() {
    let Some(world) = World::new(Arc::new(ManualClock::at(Timestamp::from_micros(0)))).await else { return };
    let (running, _, stop) = world.relay();
    world.store.append_posted(vec![activity(1, "ana")]).await.expect("appended");
    world.journal_is_empty().await;
    let other = Activity { action: "Delete".to_owned(), ..activity(1, "eve") };
    let second = world.store.append_posted(vec![other]).await.expect("answered");
    // A repetition is harmless.
    world.store.append_posted(vec![activity(1, "ana")]).await.expect("answered");
    world.journal_is_empty().await;
    let mut stored = 0;
    for (number, records) in (0..).zip(world.topic(ACTIVITY).await) {
        let next = records.last().map_or(0, |last| last.seq);
        let one = |record: JournalRecord| IngestRecord::Activity {
            seq: record.seq,
            activity: Box::new(Activity::from_json(&record.payload).expect("an activity")),
            payload: record.payload,
        };
        let batch: Vec<IngestRecord> = records.into_iter().map(one).collect();
        if batch.is_empty() {
            continue;
        }
        let partition = Partition { topic: ACTIVITY, number };
        let step = Move { partition, expected: 0, next, last_event: None };
        stored += world.store.apply_ingest(step, batch.into()).await.expect("stored").stored;
    }
    let letters = world.store.count_dead_letters().await.expect("letters");
    stop.cancel();
    running.await.expect("no panic").expect("ends in order");
    world.gone().await;
    assert!(
        second == [Appended::Conflict] || (stored == 1 && letters == 1),
        "acknowledged as {second:?}; {stored} stored, {letters} put aside"
    );
}
