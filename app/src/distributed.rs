//! Beyond one machine: the roles over Kafka and a database server that they share.

use std::time::{Duration, Instant};

use bus::kafka;
use detector::distributed::Distributed;

use crate::config::Config;
use crate::data::database_failed;
use crate::failure::{Failure, Outcome};
use crate::hooks;
use crate::lifecycle::{Stage, Tasks};
use crate::roles::{Parts, ProcessRole, detector_failed};

/// How long a role waits at its start for what it depends on.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it looks meanwhile.
const AGAIN: Duration = Duration::from_secs(2);
/// The setting in the database that keeps the number of partitions.
const PARTITIONS: &str = "kafka_partitions";

/// How Kafka is used by this configuration; none where everything is in one process.
pub(crate) fn kafka(config: &Config) -> Option<kafka::Settings> {
    Some(kafka::Settings {
        brokers: config.kafka_brokers.clone()?,
        prefix: config.kafka_topic_prefix.clone(),
        partitions: config.kafka_partitions,
        replication: config.kafka_replication,
        retention: Duration::from_micros(config.kafka_retention.unsigned_abs()),
        session_timeout: Duration::from_micros(config.kafka_session_timeout.unsigned_abs()),
        extra: config.kafka_settings.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned())).collect(),
    })
}

/// Tries until it works, for a minute.
///
/// # Errors
/// The last failure; at once where trying again does not help.
pub(crate) async fn patiently<T, F: Future<Output = Outcome<T>>>(
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> Outcome<T> {
    let begun = Instant::now();
    loop {
        match attempt().await {
            Err(failure) if failure.is_unavailable() && begun.elapsed() < PATIENCE => {
                tracing::warn!(%failure, "waiting for {what}");
                tokio::time::sleep(AGAIN).await;
            }
            other => return other,
        }
    }
}

/// Starts what of a role works on Kafka. The API alone does without: it goes on while Kafka is away.
///
/// # Errors
/// Kafka cannot be reached, or its topics cannot be used.
pub(crate) async fn start(parts: &Parts, kafka: &kafka::Settings, role: ProcessRole, tasks: &mut Tasks) -> Outcome<()> {
    if !(role.ingests() || role.detects()) {
        return Ok(());
    }
    for warning in patiently("Kafka", || prepare(kafka)).await? {
        tracing::warn!("{warning}");
    }
    same_partitions(parts, kafka).await?;
    let instance = parts.config.kafka_instance.clone();
    if role.ingests() {
        let (store, settings, named) = (parts.store.clone(), kafka.clone(), instance.clone());
        tasks.spawn("ingest", Stage::Back, move |stop| async move {
            ingest::run_group(store, settings, named, stop).await.map_err(failed)
        });
        let (store, settings, status) = (parts.store.clone(), kafka.clone(), parts.relay.clone());
        tasks.spawn("the relay", Stage::Back, move |stop| async move {
            relay::run(store, settings, status, stop).await.map_err(|error| Failure::unavailable(error.to_string()))
        });
        let intake = relay::Intake {
            store: parts.store.clone(),
            kafka: kafka.clone(),
            clock: parts.clock.clone(),
            lateness: parts.config.lateness,
            instance: instance.clone(),
        };
        tasks.spawn("the intake", Stage::Back, move |stop| async move {
            relay::take_in(intake, stop).await.map_err(failed)
        });
    }
    if role.detects() {
        let detector = Distributed {
            store: parts.store.clone(),
            rules: parts.rules.clone(),
            settings: hooks::engine_settings(&parts.config, parts.zone, &parts.store).await?,
            lateness: parts.config.lateness,
            clock: parts.clock.clone(),
            kafka: kafka.clone(),
            instance,
            fleet: parts.fleet.clone(),
        };
        tasks.spawn("the detector", Stage::Back, move |stop| async move {
            detector::distributed::run(detector, stop).await.map_err(detector_failed)
        });
    }
    Ok(())
}

/// The exit code of what Kafka answered, the same for every role.
pub(crate) fn failed(error: kafka::KafkaError) -> Failure {
    match error {
        kafka::KafkaError::Refused(sentence) => Failure::usage(sentence),
        kafka::KafkaError::Client(_) | kafka::KafkaError::Silent(_) => Failure::unavailable(error.to_string()),
        kafka::KafkaError::Ended(_) => Failure::internal(error.to_string()),
    }
}

async fn prepare(kafka: &kafka::Settings) -> Outcome<Vec<String>> {
    let reached = |error: kafka::KafkaError| match failed(error) {
        failure if failure.is_unavailable() => {
            Failure::unavailable(format!("{}: {failure}; is KAFKA_BROKERS right?", kafka.brokers))
        }
        other => other,
    };
    kafka::prepare_topics(kafka).await.map_err(reached)
}

/// With another number of partitions every key would go elsewhere, and no window would be whole.
async fn same_partitions(parts: &Parts, kafka: &kafka::Settings) -> Outcome {
    let now = kafka.partitions.to_string();
    let kept = parts.store.first_setting(PARTITIONS, &now).await;
    let kept = kept.map_err(|error| database_failed(&parts.config, &error))?;
    if kept == now {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "KAFKA_PARTITIONS is {now}, and this database has been used with {kept}; set it to {kept}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Partition;
    use kafka::KafkaError;

    #[test]
    fn whoever_starts_it_again_learns_by_the_exit_code_whether_that_helps() {
        let partition = Partition { topic: kafka::ACTIVITY, number: 3 };
        assert_eq!(failed(KafkaError::Refused("run `offsets reset`".to_owned())).code(), 2);
        assert_eq!(failed(KafkaError::Silent(partition)).code(), 3);
        assert_eq!(failed(KafkaError::Ended("no thread".to_owned())).code(), 70);
        let detector = detector::worker::WorkerError::Kafka(KafkaError::Refused("the same for every role".to_owned()));
        assert_eq!(detector_failed(detector).code(), 2);
    }
}
