//! Spans to a collector, over OTLP: the only place that knows OpenTelemetry.
//!
//! The crates make spans with `tracing`; here they become OpenTelemetry's, batched by its SDK and sent over HTTP. All is
//! set by the standard variables of the environment: without an endpoint nothing is exported and nothing is paid.
//!
//! Nothing waits for the collector. While it does not take spans they queue up, and beyond the queue they are lost: counted,
//! and said once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use domain::{metric, trace};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter as Otlp, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor,
};
use tokio::runtime::Handle;
use tracing::{Metadata, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::failure::{Failure, Outcome};
use crate::tls;

/// The name of the service, where the environment gives none.
const SERVICE: &str = "security-analytics";
/// Crates whose spans are exported.
const CRATES: [&str; 5] = ["api", "store", "bus", "detector", "security_analytics"];
/// Spans that wait for the collector, where the environment says nothing: some seconds of a busy server.
const QUEUE: usize = 8_192;
/// How long the last spans may take to leave at the end: as much as the second stage of the end has.
const FLUSH: Duration = Duration::from_millis(1_200);

/// What exports the spans of this process.
pub(crate) struct Telemetry(SdkTracerProvider);

impl Telemetry {
    /// Begins to export, where the environment, `env`, says so. The spans leave on `runtime`.
    ///
    /// # Errors
    /// A variable cannot be understood.
    pub(crate) fn start(env: impl Fn(&str) -> Option<String>, runtime: &Handle) -> Outcome<Option<Self>> {
        let env = |name: &str| env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let Some(queue) = wanted(env)? else { return Ok(None) };
        tls::use_ring();
        // Endpoint, headers, timeout and compression it reads from the environment itself.
        let otlp = Otlp::builder().with_http().with_protocol(Protocol::HttpBinary).build();
        let otlp = otlp.map_err(|error| Failure::usage(format!("traces cannot be exported (OTEL_...): {error}")))?;
        let waiting = Arc::new(Waiting { spans: AtomicUsize::new(0), is_told: AtomicBool::new(false) });
        let exporter = Exporter { otlp: Arc::new(otlp), runtime: runtime.clone(), waiting: Arc::clone(&waiting) };
        let config = BatchConfigBuilder::default().with_max_queue_size(queue).build();
        let batches = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(env))
            .with_span_processor(Bounded { batches, queue, waiting })
            .build();
        if !trace::install(trace::Bridge { continues, context }) {
            return Err(Failure::internal("spans are exported already"));
        }
        Ok(Some(Self(provider)))
    }

    /// Refuses an environment that [`start`](Self::start) would refuse.
    ///
    /// # Errors
    /// A variable cannot be understood.
    pub(crate) fn check(env: impl Fn(&str) -> Option<String>) -> Outcome {
        wanted(|name| env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())).map(drop)
    }

    /// Says, once the log is there, what came of the environment's wish.
    pub(crate) fn say(telemetry: Option<&Self>, _: impl Fn(&str) -> Option<String>) {
        if telemetry.is_some() {
            tracing::info!("traces are exported, as the environment says (OTEL_...)");
        }
    }

    /// Makes OpenTelemetry's spans of `tracing`'s. Of events nothing goes out: what is logged is for the log.
    pub(crate) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(SERVICE))
            .with_context_activation(false)
            .with_tracked_inactivity(false)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_filter(filter_fn(is_exported))
    }

    /// Sends what is left, for as long as the end may take.
    pub(crate) fn end(self) {
        match self.0.shutdown_with_timeout(FLUSH) {
            Ok(()) | Err(OTelSdkError::AlreadyShutdown) => {}
            Err(error) => tracing::warn!(%error, "the last spans did not reach the collector of traces"),
        }
    }
}

/// Whether spans are to be exported, and then how many may wait.
fn wanted(env: impl Fn(&str) -> Option<String>) -> Outcome<Option<usize>> {
    if !is_wanted(&env)? {
        return Ok(None);
    }
    match env("OTEL_BSP_MAX_QUEUE_SIZE") {
        None => Ok(Some(QUEUE)),
        Some(text) => text
            .parse()
            .ok()
            .filter(|size| *size > 0)
            .map(Some)
            .ok_or_else(|| Failure::usage(format!("OTEL_BSP_MAX_QUEUE_SIZE \"{text}\": must be a number of spans"))),
    }
}

/// Whether spans are to be exported.
fn is_wanted(env: impl Fn(&str) -> Option<String>) -> Outcome<bool> {
    if env("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(false);
    }
    match env("OTEL_TRACES_EXPORTER").as_deref() {
        None | Some("otlp") => {}
        Some("none") => return Ok(false),
        Some(other) => {
            return Err(Failure::usage(format!("OTEL_TRACES_EXPORTER \"{other}\": must be otlp or none")));
        }
    }
    if env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| env("OTEL_EXPORTER_OTLP_ENDPOINT")).is_none() {
        return Ok(false);
    }
    for name in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
        if let Some(other) = env(name).filter(|protocol| protocol != "http/protobuf") {
            return Err(Failure::usage(format!(
                "{name} \"{other}\": must be http/protobuf, which collectors take on port 4318"
            )));
        }
    }
    Ok(true)
}

/// Spans, and of ours alone: those of other crates may say what they like.
fn is_exported(metadata: &Metadata<'_>) -> bool {
    let of = metadata.target().split("::").next().unwrap_or_default();
    let is_ours = metadata.is_span() && CRATES.contains(&of) && *metadata.level() == tracing::Level::DEBUG;
    // What lines of the log say of a request is no span of its own.
    is_ours && metadata.name() != "request"
}

fn resource(env: impl Fn(&str) -> Option<String>) -> Resource {
    let named = env("OTEL_SERVICE_NAME").is_some()
        || env("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|all| all.contains("service.name="));
    let resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if named { resource } else { resource.with_service_name(SERVICE) }.build()
}

/// [`trace::Bridge::continues`].
fn continues(span: &tracing::Span, traceparent: &str) {
    let Some(parent) = parsed(traceparent) else { return };
    // An error says that the span is not exported.
    if let Err(error) = span.set_parent(Context::new().with_remote_span_context(parent)) {
        tracing::debug!(%error, "a span begins a trace of its own");
    }
}

/// [`trace::Bridge::context`].
fn context(span: &tracing::Span) -> Option<String> {
    let context = span.context();
    let span = context.span();
    let span = span.span_context();
    let flags = span.trace_flags() & TraceFlags::SAMPLED;
    span.is_valid().then(|| format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), flags))
}

/// The span that a well-formed `traceparent` names.
fn parsed(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-').skip(1);
    let trace = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(parts.next()?, 16).ok()?);
    Some(SpanContext::new(trace, span, flags, true, TraceState::default()))
}

/// The spans that have ended and that the collector has not answered for.
struct Waiting {
    spans: AtomicUsize,
    /// Whether it was said that spans are lost.
    is_told: AtomicBool,
}

impl Waiting {
    fn lost(&self, spans: usize, why: &dyn fmt::Display) {
        metrics::counter!(metric::SPANS_LOST).increment(spans as u64);
        if !self.is_told.swap(true, Ordering::Relaxed) {
            tracing::warn!("spans are lost: {why}; said once until the collector of traces takes them again");
        }
    }
}

/// Sends batches on the runtime: the SDK calls from a thread of its own.
struct Exporter {
    otlp: Arc<Otlp>,
    runtime: Handle,
    waiting: Arc<Waiting>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let (spans, otlp) = (batch.len(), Arc::clone(&self.otlp));
        let sent = self.runtime.spawn(async move { otlp.export(batch).await }).await;
        self.waiting.spans.fetch_sub(spans, Ordering::Relaxed);
        match sent {
            Ok(Ok(())) => self.waiting.is_told.store(false, Ordering::Relaxed),
            Ok(Err(error)) => self.waiting.lost(spans, &error),
            Err(error) => self.waiting.lost(spans, &error),
        }
        // It is counted and said; the SDK has nothing to add.
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(otlp) = Arc::get_mut(&mut self.otlp) {
            otlp.set_resource(resource);
        }
    }
}

/// Lets no more spans wait than the queue takes, so that what is lost is counted here and not in silence.
#[derive(Debug)]
struct Bounded {
    batches: BatchSpanProcessor,
    queue: usize,
    waiting: Arc<Waiting>,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("spans", &self.spans).finish_non_exhaustive()
    }
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if self.waiting.spans.fetch_add(1, Ordering::Relaxed) >= self.queue {
            self.waiting.spans.fetch_sub(1, Ordering::Relaxed);
            self.waiting.lost(1, &"more come than the collector of traces takes");
            return;
        }
        self.batches.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(env: &[(&str, &str)]) -> Outcome<bool> {
        is_wanted(|name| env.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn only_an_endpoint_starts_it_and_the_standard_switches_stop_it() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
        assert!(!wanted(&[]).expect("valid"));
        assert!(wanted(&[endpoint]).expect("valid"));
        assert!(wanted(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/v1/traces")]).expect("valid"));
        assert!(wanted(&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]).expect("valid"));
        assert!(!wanted(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]).expect("valid"));
        assert!(!wanted(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]).expect("valid"));
        for (name, wrong) in [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_TRACES_EXPORTER", "zipkin")] {
            let failure = wanted(&[endpoint, (name, wrong)]).expect_err("refused");
            assert!(failure.code() == 2 && failure.message.starts_with(name), "{failure}");
        }
    }

    #[test]
    fn a_traceparent_is_read_as_it_is_written() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let span = parsed(text).expect("well-formed");
        assert!(span.is_valid() && span.is_remote() && span.is_sampled());
        assert_eq!(span.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(span.span_id().to_string(), "00f067aa0ba902b7");
        assert!(!parsed(&text.replace("-01", "-02")).expect("well-formed").is_sampled());
    }
}
