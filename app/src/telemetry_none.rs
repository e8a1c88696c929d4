//! A build without the feature `otel` exports no spans; whoever asks for them is told.

use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Identity;

use crate::failure::Outcome;

/// What would export the spans of this process: there is none.
pub(crate) enum Telemetry {}

impl Telemetry {
    /// None.
    ///
    /// # Errors
    /// None.
    pub(crate) fn start(_: impl Fn(&str) -> Option<String>, _: &Handle) -> Outcome<Option<Self>> {
        Ok(None)
    }

    /// Nothing is asked of the environment.
    ///
    /// # Errors
    /// None.
    pub(crate) fn check(_: impl Fn(&str) -> Option<String>) -> Outcome {
        Ok(())
    }

    /// Says, once the log is there, what came of the environment's wish.
    pub(crate) fn say(_: Option<&Self>, env: impl Fn(&str) -> Option<String>) {
        if env("OTEL_EXPORTER_OTLP_ENDPOINT").is_some_and(|endpoint| !endpoint.is_empty()) {
            tracing::warn!(
                "OTEL_EXPORTER_OTLP_ENDPOINT is set, but this build exports no traces: build it with `--features otel`"
            );
        }
    }

    pub(crate) fn layer<S: Subscriber>(&self) -> impl Layer<S> + use<S> {
        match *self {}
        #[expect(unreachable_code, reason = "names the type")]
        Identity::new()
    }

    pub(crate) fn end(self) {
        match self {}
    }
}
