//! [`Producer`]: messages in order, each answered when the brokers have it.

use std::time::Duration;

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};
use tokio::sync::Mutex;

use super::{KafkaError, Settings};

/// How long a message is tried before the caller is told that it failed.
const DELIVERY: Duration = Duration::from_secs(30);
/// How long what was sent may take to leave at the end.
const FLUSH: Duration = Duration::from_secs(5);
/// While the client's queue is full, it is tried again this often.
const FULL: Duration = Duration::from_millis(10);

/// A message.
#[derive(Debug, Clone)]
pub struct Message {
    /// Our name of the topic.
    pub topic: &'static str,
    /// Messages with the same key stay in order.
    pub key: String,
    /// The body.
    pub payload: String,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
}

/// Writes to topics. Idempotent: a message that is tried again by the client is there once.
pub struct Producer {
    settings: Settings,
    /// Made anew when it has failed for good.
    client: Mutex<FutureProducer>,
}

impl Producer {
    /// A producer; does not wait for the brokers.
    ///
    /// # Errors
    /// A setting is not understood.
    pub fn new(settings: &Settings) -> Result<Self, KafkaError> {
        Ok(Self { client: Mutex::new(made(settings)?), settings: settings.clone() })
    }

    /// Sends messages in order and waits until the brokers have them; what became of each. After a failure others behind
    /// it may have arrived: who needs their order sends them again.
    pub async fn send(&self, messages: &[Message]) -> Vec<Result<(), KafkaError>> {
        self.queue(messages).await.answers().await
    }

    /// Queues messages in order; others may be queued behind them before these are answered. Waits while the queue is
    /// full. A client that has failed for good is given up for another first.
    pub async fn queue(&self, messages: &[Message]) -> Deliveries {
        let mut client = self.client.lock().await;
        if client.client().fatal_error().is_some() {
            self.renew(&mut client);
        }
        let mut deliveries = Vec::with_capacity(messages.len());
        for message in messages {
            deliveries.push(self.hand_over(&client, message).await);
        }
        Deliveries(deliveries)
    }

    async fn hand_over(&self, client: &FutureProducer, message: &Message) -> Result<DeliveryFuture, ClientError> {
        let topic = self.settings.name(message.topic);
        let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
        for (key, value) in &message.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let mut record = FutureRecord::to(&topic).key(&message.key).payload(&message.payload).headers(headers);
        loop {
            match client.send_result(record) {
                Ok(delivery) => return Ok(delivery),
                Err((ClientError::MessageProduction(RDKafkaErrorCode::QueueFull), same)) => record = same,
                Err((error, _)) => return Err(error),
            }
            tokio::time::sleep(FULL).await;
        }
    }

    fn renew(&self, client: &mut FutureProducer) {
        match made(&self.settings) {
            Ok(new) => {
                tracing::warn!("Kafka's producer has failed for good and is made anew");
                give_up(std::mem::replace(client, new));
            }
            Err(error) => tracing::error!(%error, "Kafka's producer cannot be made anew"),
        }
    }

    /// Waits until everything that was sent has left, for a few seconds at most.
    pub async fn close(self) {
        let client = self.client.into_inner();
        let flushed = tokio::task::spawn_blocking(move || {
            if let Err(error) = client.flush(FLUSH) {
                tracing::warn!(%error, "messages were still on their way to Kafka at the end; they are sent again");
            }
        });
        if flushed.await.is_err() {
            tracing::warn!("Kafka's producer did not end in order");
        }
    }
}

/// Messages on their way.
#[must_use = "what became of them is to be asked"]
pub struct Deliveries(Vec<Result<DeliveryFuture, ClientError>>);

impl Deliveries {
    /// What became of each, in their order, once all are answered.
    pub async fn answers(self) -> Vec<Result<(), KafkaError>> {
        let mut answers = Vec::with_capacity(self.0.len());
        for waiting in self.0 {
            answers.push(match waiting {
                Err(error) => Err(error.into()),
                Ok(delivery) => match delivery.await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err((error, _))) => Err(error.into()),
                    Err(_) => Err(KafkaError::Client(ClientError::Canceled)),
                },
            });
        }
        answers
    }
}

/// Dropping a client waits for its threads.
fn give_up(client: FutureProducer) {
    drop(tokio::task::spawn_blocking(move || drop(client)));
}

fn made(settings: &Settings) -> Result<FutureProducer, KafkaError> {
    let mut client = settings.client();
    client
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .set("compression.type", "lz4")
        .set("delivery.timeout.ms", DELIVERY.as_millis().to_string())
        .set("queue.buffering.max.kbytes", "65536")
        .set("partitioner", "murmur2_random");
    Ok(client.create()?)
}
