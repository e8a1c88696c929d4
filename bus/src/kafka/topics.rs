//! [`prepare_topics`]: topics are made where they are missing, and checked where they are there.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;

use super::settings::{ACTIVITY, ACTIVITY_IN, ALERTS, BY_SOURCE};
use super::{KafkaError, Settings};

/// How long one question to the brokers may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Makes the topics that are missing and checks the others. Returns what is not as it should be and does no harm yet, in
/// sentences.
///
/// # Errors
/// The brokers cannot be reached, or a topic cannot be used as it is.
pub async fn prepare_topics(settings: &Settings) -> Result<Vec<String>, KafkaError> {
    let admin: AdminClient<DefaultClientContext> = settings.client().create()?;
    let (brokers, there) = tokio::task::spawn_blocking({
        let settings = settings.clone();
        move || present(&settings)
    })
    .await
    .map_err(|error| KafkaError::Ended(error.to_string()))??;
    let mut warnings = Vec::new();
    if brokers < 2 {
        warnings.push(
            "Kafka has one broker: what is acknowledged holds for crashes of processes, not for loss of power or of that \
             machine"
                .to_owned(),
        );
    }
    let replicas = settings.replication.unwrap_or_else(|| brokers.clamp(1, 3));
    if replicas > brokers {
        return Err(KafkaError::Refused(format!(
            "KAFKA_REPLICATION is {replicas}, and there are {brokers} brokers; start more, or set a lower number"
        )));
    }
    for topic in [ACTIVITY_IN, ACTIVITY, BY_SOURCE, ALERTS] {
        let name = settings.name(topic);
        match there.iter().find(|(known, ..)| *known == name) {
            None => make(&admin, settings, topic, replicas).await?,
            Some((_, partitions, copies)) => {
                let split = topic == ACTIVITY || topic == BY_SOURCE;
                if split && *partitions != settings.partitions {
                    return Err(KafkaError::Refused(format!(
                        "topic {name} has {partitions} partitions, and KAFKA_PARTITIONS says {}; set it to {partitions}, \
                         or use other topics by KAFKA_TOPIC_PREFIX: with another number every key goes elsewhere",
                        settings.partitions
                    )));
                }
                if *copies < replicas {
                    warnings.push(format!(
                        "topic {name} has {copies} replicas; with {brokers} brokers it should have {replicas}"
                    ));
                }
                warnings.extend(configured(&admin, settings, topic, replicas).await?);
            }
        }
    }
    Ok(warnings)
}

/// A topic's name, its partitions and its replicas.
type Present = (String, i32, i32);

/// How many brokers there are, and which of our topics.
fn present(settings: &Settings) -> Result<(i32, Vec<Present>), KafkaError> {
    use rdkafka::producer::{BaseProducer, Producer};
    let client: BaseProducer = settings.client().create()?;
    let metadata = client.client().fetch_metadata(None, TIMEOUT)?;
    let brokers = i32::try_from(metadata.brokers().len()).unwrap_or(i32::MAX);
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let topics = metadata.topics().iter().filter(|topic| topic.error().is_none()).map(|topic| {
        let copies = topic.partitions().iter().map(|part| part.replicas().len()).min().unwrap_or(0);
        (topic.name().to_owned(), number(topic.partitions().len()), number(copies))
    });
    Ok((brokers, topics.collect()))
}

async fn make(
    admin: &AdminClient<DefaultClientContext>,
    settings: &Settings,
    topic: &str,
    replicas: i32,
) -> Result<(), KafkaError> {
    let (name, retention) = (settings.name(topic), settings.retention.as_millis().to_string());
    let mut new = NewTopic::new(&name, settings.partitions, TopicReplication::Fixed(replicas));
    new = match topic {
        ALERTS => new.set("cleanup.policy", "compact"),
        _ => new.set("retention.ms", &retention),
    };
    if topic == ACTIVITY_IN {
        // When something was received is not its sender's to say.
        new = new.set("message.timestamp.type", "LogAppendTime");
    }
    if replicas >= 3 {
        new = new.set("min.insync.replicas", "2");
    }
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
    let made = admin.create_topics([&new], &options).await?;
    for result in made {
        match result {
            // Another process was quicker.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                return Err(KafkaError::Refused(format!(
                    "topic {name} is missing and cannot be made: {code}; make it with {} partitions, or grant the right to",
                    settings.partitions
                )));
            }
        }
    }
    tracing::info!(topic = name, partitions = settings.partitions, replicas, "a topic was made");
    Ok(())
}

/// What of a topic's configuration is not as it should be.
async fn configured(
    admin: &AdminClient<DefaultClientContext>,
    settings: &Settings,
    topic: &str,
    replicas: i32,
) -> Result<Vec<String>, KafkaError> {
    let (name, wanted) = (settings.name(topic), i64::try_from(settings.retention.as_millis()).unwrap_or(i64::MAX));
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let described = admin.describe_configs([&ResourceSpecifier::Topic(&name)], &options).await?;
    let mut warnings = Vec::new();
    for resource in described.into_iter().flatten() {
        let value = |key: &str| resource.get(key).and_then(|entry| entry.value.clone()).unwrap_or_default();
        let compact = value("cleanup.policy").contains("compact");
        if topic == ALERTS && !compact {
            warnings.push(format!(
                "topic {name} is not compacted: old alerts go with its retention (cleanup.policy=compact)"
            ));
        } else if topic != ALERTS && compact {
            warnings.push(format!("topic {name} is compacted: activities get lost there (cleanup.policy=delete)"));
        }
        if topic == ACTIVITY_IN && value("message.timestamp.type") != "LogAppendTime" {
            return Err(KafkaError::Refused(format!(
                "topic {name} takes its writers' word for the time at which something was written; set its \
                 message.timestamp.type to LogAppendTime"
            )));
        }
        let retention: i64 = value("retention.ms").parse().unwrap_or(-1);
        if topic != ALERTS && (0..wanted).contains(&retention) {
            warnings.push(format!(
                "topic {name} keeps messages for {} hours; a reader that is away for longer misses some (KAFKA_RETENTION says retention.ms={wanted})",
                retention / 3_600_000
            ));
        }
        if replicas >= 3 && value("min.insync.replicas") == "1" {
            warnings.push(format!("topic {name} acknowledges what one broker has (min.insync.replicas=2)"));
        }
    }
    Ok(warnings)
}
