//! [`drive`]: a task for every partition that is assigned, as long as it is.

use std::collections::HashMap;
use std::time::Duration;

use domain::Partition;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::group::{Group, GroupEvent};
use super::{BeginError, KafkaError, PartitionLog, Settings};
use crate::Backoff;

/// How long a task may take to end when its partition was taken away or the process stops.
const END: Duration = Duration::from_secs(6);

/// How the work on a partition ended.
#[derive(Debug)]
pub enum Ended {
    /// It was asked to.
    Asked,
    /// It is worth another try, from where the database says.
    Again(String),
    /// It cannot go on, and nothing that is tried again helps.
    Failed(String),
}

impl From<BeginError> for Ended {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Kafka(_) => Self::Again(error.to_string()),
            BeginError::Recreated { .. } => Self::Failed(error.to_string()),
        }
    }
}

/// Joins a group that shares a topic and runs `work` for every partition that is assigned, until it is taken away or the
/// process is to stop. What fails is begun anew, with growing pauses.
///
/// # Errors
/// The group cannot be a member's, or the work on a partition cannot go on.
pub async fn drive<F>(
    settings: &Settings,
    group: &str,
    topic: &'static str,
    instance: Option<&str>,
    stop: CancellationToken,
    work: impl Fn(PartitionLog, CancellationToken) -> F + Clone + Send + 'static,
) -> Result<(), KafkaError>
where
    F: Future<Output = Ended> + Send + 'static,
{
    let mut member = Group::join(settings, group, topic, instance)?;
    let mut running: HashMap<Partition, Running> = HashMap::new();
    let (failed, mut failures) = tokio::sync::mpsc::channel::<String>(1);
    let outcome = loop {
        let event = tokio::select! {
            () = stop.cancelled() => break Ok(()),
            Some(failure) = failures.recv() => break Err(KafkaError::Refused(failure)),
            event = member.next() => event,
        };
        match event {
            GroupEvent::Assigned(log) => {
                let partition = log.partition();
                let before = running.remove(&partition);
                let stop = CancellationToken::new();
                let (work, failed, token) = (work.clone(), failed.clone(), stop.clone());
                let task = tokio::spawn(async move {
                    // Two at once would only get in each other's way.
                    if let Some(before) = before {
                        before.end().await;
                    }
                    run(log, token, work, failed).await;
                });
                running.insert(partition, Running { stop, task });
            }
            GroupEvent::Revoked(partition) => {
                if let Some(running) = running.get(&partition) {
                    running.stop.cancel();
                }
            }
            GroupEvent::Failed(error) => break Err(error),
        }
    };
    for running in running.values() {
        running.stop.cancel();
    }
    for (_, running) in running {
        running.end().await;
    }
    member.leave().await;
    outcome
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Ends the work. Whoever does not obey is dropped: what it would store yet, the offset does not let it.
    async fn end(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(END, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

async fn run<F: Future<Output = Ended>>(
    log: PartitionLog,
    stop: CancellationToken,
    work: impl Fn(PartitionLog, CancellationToken) -> F,
    failed: tokio::sync::mpsc::Sender<String>,
) {
    let mut backoff = Backoff::default();
    loop {
        match work(log.clone(), stop.clone()).await {
            Ended::Asked => return,
            _ if stop.is_cancelled() || log.is_revoked() => return,
            Ended::Failed(why) => {
                // Whoever drives has ended already where nobody hears it.
                let _ = failed.send(why).await;
                return;
            }
            Ended::Again(why) => {
                let pause = backoff.failed();
                tracing::warn!(partition = %log.partition(), why, again_in_ms = pause.as_millis(), "the work on a partition begins anew");
                if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                    return;
                }
            }
        }
    }
}
