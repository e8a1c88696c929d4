//! Spans of records on their way: sent, and worked on, in the words of OpenTelemetry's conventions for messaging. Only
//! records that belong to a trace have any, and only where somebody exports them.

use domain::{Partition, trace};
use tracing::Span;
use tracing::field::Empty;

use crate::Record;
use crate::kafka::Message;

/// The span of what is done with a record (`does`, in a word), from now until it is dropped; none where the record is of no
/// trace.
#[must_use]
pub fn worked_on(does: &'static str, partition: Partition, record: &Record) -> Span {
    let (true, Ok(activity)) = (trace::is_exported(), &record.activity) else { return Span::none() };
    let Some(parent) = trace::of(activity) else { return Span::none() };
    let Partition { topic, number } = partition;
    let in_kafka = partition != Partition::JOURNAL;
    let span = tracing::debug_span!(
        parent: None,
        "work",
        otel.name = format!("{does} {topic}"),
        otel.kind = "consumer",
        otel.status_code = Empty,
        messaging.system = if in_kafka { "kafka" } else { "journal" },
        messaging.operation.name = does,
        "messaging.operation.type" = "process",
        messaging.destination.name = topic,
        messaging.destination.partition.id = in_kafka.then(|| number.to_string()),
        messaging.kafka.offset = in_kafka.then(|| record.seq - 1),
        messaging.message.id = %activity.event_id,
    );
    trace::continues(&span, parent);
    span
}

/// The spans of messages that are sent, from now until they are dropped. Whoever reads a message continues its span, whose
/// `traceparent` takes the place of the one that the message had.
#[must_use]
pub fn sent(messages: &mut [Message]) -> Vec<Span> {
    if trace::is_exported() { messages.iter_mut().map(one_sent).collect() } else { Vec::new() }
}

fn one_sent(message: &mut Message) -> Span {
    let Some(at) = message.headers.iter().position(|(name, _)| *name == trace::TRACEPARENT) else {
        return Span::none();
    };
    let id = message.headers.iter().find(|(name, _)| *name == "ce_id").map(|(_, id)| id.as_str());
    let span = tracing::debug_span!(
        parent: None,
        "send",
        otel.name = format!("send {}", message.topic),
        otel.kind = "producer",
        otel.status_code = Empty,
        messaging.system = "kafka",
        messaging.operation.name = "send",
        "messaging.operation.type" = "send",
        messaging.destination.name = message.topic,
        messaging.message.id = id,
    );
    trace::continues(&span, &message.headers[at].1);
    if let Some(context) = trace::context(&span) {
        message.headers[at].1 = context;
    }
    span
}

/// What a span stands for did not come about.
pub fn failed(span: &Span) {
    span.record("otel.status_code", "ERROR");
}
