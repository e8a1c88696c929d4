//! What the roles need of Kafka, on a real broker: where `TEST_KAFKA_BROKERS` names one.

use std::time::Duration;

use bus::kafka::{
    ACTIVITY, BeginError, Group, GroupEvent, Message, PartitionLog, Producer, Replay, Settings, partition_of,
    prepare_topics,
};
use domain::{Activity, JournalRead, Partition, Timestamp};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use uuid::Uuid;

/// Topics of a test's own, on the broker of the environment.
async fn world(partitions: i32) -> Option<Settings> {
    let Ok(brokers) = std::env::var("TEST_KAFKA_BROKERS") else {
        assert!(std::env::var("TEST_REQUIRE_SERVERS").is_err(), "TEST_KAFKA_BROKERS names no broker");
        eprintln!("no broker: set TEST_KAFKA_BROKERS to run this test");
        return None;
    };
    let mut settings = Settings::of(brokers);
    settings.prefix = format!("test-{}.", Uuid::new_v4().simple());
    settings.partitions = partitions;
    settings.session_timeout = Duration::from_secs(6);
    let warnings = prepare_topics(&settings).await.expect("topics");
    assert!(warnings.iter().any(|warning| warning.contains("one broker")), "{warnings:?}");
    assert_eq!(prepare_topics(&settings).await.expect("there already").len(), 1);
    Some(settings)
}

fn activity(number: u128, user: &str) -> Activity {
    let mut activity = Activity::new(Uuid::from_u128(number), "View", Timestamp::from_micros(1_000_000));
    activity.user = Some(user.to_owned());
    activity
}

fn message(activity: &Activity) -> Message {
    Message {
        topic: ACTIVITY,
        key: domain::user_key(activity),
        payload: activity.to_json(),
        headers: vec![("ce_id", activity.event_id.to_string())],
    }
}

async fn send(settings: &Settings, messages: &[Message]) {
    let producer = Producer::new(settings).expect("producer");
    for (answer, message) in producer.send(messages).await.into_iter().zip(messages) {
        answer.unwrap_or_else(|error| panic!("{}: {error}", message.key));
    }
    producer.close().await;
}

/// The next partition of a group.
async fn assigned(group: &mut Group) -> PartitionLog {
    loop {
        match tokio::time::timeout(Duration::from_secs(30), group.next()).await.expect("an event of the group") {
            GroupEvent::Assigned(log) => return log,
            GroupEvent::Revoked(_) => {}
            GroupEvent::Failed(error) => panic!("{error}"),
        }
    }
}

async fn all(log: &PartitionLog, from: i64, limit: usize) -> Vec<i64> {
    let mut seen = Vec::new();
    let mut position = from;
    loop {
        let records = log.read_after(position, limit).await.expect("readable");
        let Some(last) = records.last() else { return seen };
        position = last.seq;
        seen.extend(records.iter().map(|record| record.seq));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_go_where_they_are_said_to_go_and_a_reader_begins_where_it_stopped() {
    let Some(settings) = world(4).await else { return };
    let activities: Vec<Activity> = (0..400).map(|number| activity(number, &format!("user{}", number % 40))).collect();
    send(&settings, &activities.iter().map(message).collect::<Vec<_>>()).await;
    let mut group = Group::join(&settings, "g", ACTIVITY, None).expect("group");
    let mut total = 0;
    for _ in 0..4 {
        let log = assigned(&mut group).await;
        assert_eq!(log.begin(0, None).await.expect("begun").gap, None);
        let (mut position, mut last_event) = (0, None);
        loop {
            let records = log.read_after(position, 7).await.expect("readable");
            if records.is_empty() {
                break;
            }
            for record in &records {
                assert_eq!(record.seq, position + 1, "one after the other");
                position = record.seq;
                let activity = Activity::from_json(&record.payload).expect("an activity");
                assert_eq!(partition_of(&domain::user_key(&activity), 4), log.partition().number);
                last_event = Some(activity.event_id);
            }
            total += records.len();
        }
        // Again from the middle, and from the end.
        if position > 1 {
            assert_eq!(log.begin(position - 1, None).await.expect("begun").position, position - 1);
            assert_eq!(all(&log, position - 1, 100).await, [position]);
            log.begin(position, last_event).await.expect("the event stands there");
            assert_eq!(all(&log, position, 100).await, [0_i64; 0]);
            let refused = log.begin(position, Some(Uuid::from_u128(77_777))).await;
            assert!(matches!(refused, Err(BeginError::Recreated { .. })), "{refused:?}");
        }
        let refused = log.begin(position + 1, None).await.expect_err("past the end");
        assert!(refused.to_string().contains("offsets reset"), "{refused}");
    }
    assert_eq!(total, 400);
    group.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_of_one_partition_holds_up_no_other() {
    let Some(settings) = world(2).await else { return };
    let user_of =
        |number: i32| (0..).map(|n| format!("u{n}")).find(|user| partition_of(user, 2) == number).expect("one");
    let (slow, fast) = (user_of(0), user_of(1));
    let user = |n| if n < 10_000 { &slow } else { &fast };
    let messages: Vec<Message> = (0..12_000).map(|n| message(&activity(n, user(n)))).collect();
    send(&settings, &messages).await;
    let mut group = Group::join(&settings, "g", ACTIVITY, None).expect("group");
    let logs = [assigned(&mut group).await, assigned(&mut group).await];
    for log in &logs {
        log.begin(0, None).await.expect("begun");
    }
    let of = |number: i32| logs.iter().find(|log| log.partition().number == number).expect("assigned");
    assert_eq!(of(0).read_after(0, 1).await.expect("readable").len(), 1);
    assert_eq!(all(of(1), 0, 500).await.len(), 2_000, "while nobody reads the other");
    assert_eq!(all(of(0), 0, 500).await, (1..=10_000).collect::<Vec<i64>>(), "paused and resumed, nothing lost");
    group.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_member_takes_over_a_part_and_all_when_the_first_leaves() {
    let Some(settings) = world(4).await else { return };
    send(&settings, &(0..100).map(|n| message(&activity(n, &format!("u{n}")))).collect::<Vec<_>>()).await;
    let mut one = Group::join(&settings, "g", ACTIVITY, None).expect("group");
    let mut logs = Vec::new();
    for _ in 0..4 {
        let log = assigned(&mut one).await;
        log.begin(0, None).await.expect("begun");
        logs.push(log);
    }
    let mut two = Group::join(&settings, "g", ACTIVITY, None).expect("group");
    let (first, second) = (assigned(&mut two).await, assigned(&mut two).await);
    for log in [&first, &second] {
        log.begin(0, None).await.expect("begun");
        let before = logs.iter().find(|old| old.partition() == log.partition()).expect("the other had it");
        assert!(before.is_revoked());
        assert!(before.read_after(0, 1).await.is_err(), "it belongs to another now");
        assert!(!all(log, 0, 100).await.is_empty());
    }
    let kept: Vec<&PartitionLog> = logs.iter().filter(|log| !log.is_revoked()).collect();
    assert_eq!(kept.len(), 2, "what does not move is not touched");
    for log in kept {
        assert!(!all(log, 0, 100).await.is_empty());
    }
    one.leave().await;
    let rest = [assigned(&mut two).await, assigned(&mut two).await];
    assert!(rest.iter().all(|log| log.partition() != first.partition() && log.partition() != second.partition()));
    two.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_took_is_told_and_bytes_that_are_no_text_come_as_they_can() {
    let Some(settings) = world(1).await else { return };
    send(&settings, &(0..50).map(|n| message(&activity(n, "ana"))).collect::<Vec<_>>()).await;
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &settings.brokers);
    let (raw, topic) = (client.create::<FutureProducer>().expect("client"), settings.name(ACTIVITY));
    let bytes = FutureRecord::<str, [u8]>::to(&topic).payload(b"{\"v\":1,\xff}");
    raw.send_result(bytes).expect("queued").await.expect("told").expect("delivered");
    let empty = FutureRecord::<str, [u8]>::to(&topic).key("ana");
    raw.send_result(empty).expect("queued").await.expect("told").expect("delivered");
    let admin: AdminClient<DefaultClientContext> = client.create().expect("client");
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&topic, 0, Offset::Offset(20)).expect("an offset");
    admin.delete_records(&before, &AdminOptions::new()).await.expect("deleted");

    let mut group = Group::join(&settings, "g", ACTIVITY, None).expect("group");
    let log = assigned(&mut group).await;
    let begun = log.begin(5, Some(Uuid::from_u128(4))).await.expect("begun");
    assert_eq!((begun.position, begun.gap), (20, Some((5, 20))));
    let mut records = Vec::new();
    while records.len() < 32 {
        let position = 20 + i64::try_from(records.len()).expect("few");
        records.extend(log.read_after(position, 100).await.expect("readable"));
    }
    assert_eq!((records[0].seq, records.len()), (21, 32));
    assert!(records[30].payload.starts_with("(not UTF-8 from byte 7)"), "{}", records[30].payload);
    assert_eq!(records[31].payload, "(no payload)");
    assert_eq!(log.begin(0, None).await.expect("begun").gap, None, "who never read misses nothing");
    group.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stretch_is_read_again_without_the_group() {
    let Some(settings) = world(1).await else { return };
    send(&settings, &(0..1_500).map(|n| message(&activity(n, "ana"))).collect::<Vec<_>>()).await;
    let read = tokio::task::spawn_blocking(move || {
        let partition = Partition { topic: ACTIVITY, number: 0 };
        let stretch = |mut replay: Replay| {
            let mut seen: Vec<i64> = Vec::new();
            loop {
                let records = replay.read().expect("readable");
                if records.is_empty() {
                    return seen;
                }
                seen.extend(records.iter().map(|record| record.seq));
            }
        };
        let after = |after, up_to| stretch(Replay::after(&settings, partition, after, up_to).expect("replay"));
        assert_eq!(after(0, 1_500), (1..=1_500).collect::<Vec<i64>>());
        assert_eq!(after(700, 705), (701..=705).collect::<Vec<i64>>());
        assert_eq!(after(705, 705), [0_i64; 0]);
        let since = |since, up_to| stretch(Replay::since(&settings, partition, since, up_to).expect("replay"));
        assert_eq!(since(Timestamp::MIN, 3), [1, 2, 3]);
        let tomorrow = domain::Clock::now(&domain::SystemClock).plus(domain::DAY);
        assert_eq!(since(tomorrow, 1_500), [0_i64; 0]);
    });
    read.await.expect("read");
}
