//! The life of a serving process: its tasks, and its end in two stages.
//!
//! First the front: no new requests, those under way are finished. Then the back: workers stop after the batch they
//! are in. A task that ends before it was asked to is a fault, and ends the process: half a server that looks alive
//! is worse than one that is restarted.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::failure::{Failure, Outcome};

/// How long the front may take. Service managers give ten seconds for everything.
const FRONT: Duration = Duration::from_millis(8_300);
/// How long the back may take after it.
const BACK: Duration = Duration::from_millis(1_200);

/// In which stage of the end a task is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Serves requests.
    Front,
    /// Works on what requests left.
    Back,
}

type Named = (&'static str, Outcome);

/// The tasks of a process.
pub(crate) struct Tasks {
    front: JoinSet<Named>,
    back: JoinSet<Named>,
    stop_front: CancellationToken,
    stop_back: CancellationToken,
}

impl Tasks {
    /// None yet. Their end begins when `shutdown` is cancelled.
    pub(crate) fn new(shutdown: CancellationToken) -> Self {
        let stop_back = CancellationToken::new();
        Self { front: JoinSet::new(), back: JoinSet::new(), stop_front: shutdown, stop_back }
    }

    /// Starts a task. It gets the token that asks it to stop.
    pub(crate) fn spawn<F>(&mut self, name: &'static str, stage: Stage, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let (set, stop) = match stage {
            Stage::Front => (&mut self.front, &self.stop_front),
            Stage::Back => (&mut self.back, &self.stop_back),
        };
        let future = task(stop.clone());
        set.spawn(async move { (name, future.await) });
    }

    /// Waits for the end, and brings it about when a task ends by itself.
    ///
    /// # Errors
    /// The first failure of a task, or that one ended without being asked.
    pub(crate) async fn run(mut self) -> Outcome {
        let mut outcome = tokio::select! {
            // First, or a task that obeys at once would look as if it had not been asked.
            biased;
            () = self.stop_front.cancelled() => Ok(()),
            Some(ended) = self.front.join_next() => unasked(ended),
            Some(ended) = self.back.join_next() => unasked(ended),
        };
        if let Err(failure) = &outcome {
            tracing::error!("{failure}; the process ends");
        }
        let begun = Instant::now();
        self.stop_front.cancel();
        finish(&mut self.front, begun + FRONT, &mut outcome).await;
        self.stop_back.cancel();
        // What the front has left of its time is the back's.
        finish(&mut self.back, begun + FRONT + BACK, &mut outcome).await;
        outcome
    }
}

/// Waits for the tasks of one stage, but no longer than until `deadline`. The first failure of all is kept: what follows may be
/// its consequence.
async fn finish(set: &mut JoinSet<Named>, deadline: Instant, outcome: &mut Outcome) {
    loop {
        match timeout_at(deadline, set.join_next()).await {
            Ok(None) => return,
            Ok(Some(ended)) => {
                if let Err(failure) = judge(ended) {
                    tracing::error!("{failure}");
                    if outcome.is_ok() {
                        *outcome = Err(failure);
                    }
                }
            }
            Err(_) => {
                tracing::warn!("the grace period is over; what is under way is taken up at the next start");
                set.shutdown().await;
                return;
            }
        }
    }
}

fn judge(ended: Result<Named, JoinError>) -> Outcome<&'static str> {
    match ended {
        Ok((name, Ok(()))) => Ok(name),
        Ok((name, Err(failure))) => Err(Failure { message: format!("{name}: {failure}"), ..failure }),
        Err(error) => Err(Failure::internal(format!("a task failed: {error}"))),
    }
}

fn unasked(ended: Result<Named, JoinError>) -> Outcome {
    let name = judge(ended)?;
    Err(Failure::internal(format!("{name} ended without being asked to")))
}

/// Cancels `shutdown` at the first SIGTERM or SIGINT. A second one ends the process at once: whoever sends it does not
/// want to wait, and everything acknowledged is durable.
///
/// # Errors
/// The signals cannot be listened to.
pub(crate) fn listen_to_signals(shutdown: CancellationToken) -> Outcome {
    listen(shutdown, &[("SIGTERM", SignalKind::terminate()), ("SIGINT", SignalKind::interrupt())])
}

/// The same for a command that has something to take back before it ends: SIGHUP counts as well, which comes when its
/// terminal goes away. Ask for it before there is anything to take back.
///
/// # Errors
/// The signals cannot be listened to.
pub(crate) fn asked_to_end() -> Outcome<CancellationToken> {
    let mut signals = vec![("SIGTERM", SignalKind::terminate()), ("SIGINT", SignalKind::interrupt())];
    // Whoever starts it with `nohup` wants it to go on.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if !ignores_hangup(&status) {
        signals.push(("SIGHUP", SignalKind::hangup()));
    }
    let asked = CancellationToken::new();
    listen(asked.clone(), &signals)?;
    Ok(asked)
}

/// Whether a process of this status (proc(5)) ignores SIGHUP, the first of the signals.
fn ignores_hangup(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

fn listen(asked: CancellationToken, to: &[(&'static str, SignalKind)]) -> Outcome {
    let mut signals = Vec::new();
    for (name, kind) in to {
        let failed = |error| Failure::unavailable(format!("signals cannot be received: {error}"));
        signals.push((*name, signal(*kind).map_err(failed)?));
    }
    tokio::spawn(async move {
        let name = any(&mut signals).await;
        tracing::info!("{name} received: finishing what is under way; a second one ends at once");
        asked.cancel();
        any(&mut signals).await;
        tracing::warn!("ended at once");
        std::process::exit(130);
    });
    Ok(())
}

async fn any(signals: &mut [(&'static str, Signal)]) -> &'static str {
    poll_fn(|context| {
        let came = signals.iter_mut().find_map(|(name, signal)| signal.poll_recv(context).is_ready().then_some(*name));
        came.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    type Log = Arc<Mutex<Vec<&'static str>>>;

    fn obedient(log: &Log, word: &'static str) -> impl FnOnce(CancellationToken) -> BoxedTask {
        let log = log.clone();
        move |stop| {
            Box::pin(async move {
                stop.cancelled().await;
                log.lock().unwrap().push(word);
                Ok(())
            })
        }
    }

    type BoxedTask = std::pin::Pin<Box<dyn Future<Output = Outcome> + Send>>;

    #[tokio::test(start_paused = true)]
    async fn the_front_ends_before_the_back() {
        let (shutdown, log) = (CancellationToken::new(), Log::default());
        let mut tasks = Tasks::new(shutdown.clone());
        tasks.spawn("worker", Stage::Back, obedient(&log, "back"));
        let late = log.clone();
        tasks.spawn("api", Stage::Front, |stop| async move {
            stop.cancelled().await;
            tokio::time::sleep(Duration::from_secs(5)).await;
            late.lock().unwrap().push("front");
            Ok(())
        });
        shutdown.cancel();
        assert!(tasks.run().await.is_ok());
        assert_eq!(*log.lock().unwrap(), ["front", "back"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_by_itself_ends_the_process_with_a_failure() {
        let log = Log::default();
        let mut tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("the API", Stage::Front, obedient(&log, "front"));
        tasks.spawn("ingest", Stage::Back, |_| async { Ok(()) });
        let failure = tasks.run().await.unwrap_err();
        assert_eq!((failure.code(), failure.message.as_str()), (70, "ingest ended without being asked to"));
        assert_eq!(*log.lock().unwrap(), ["front"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_keeps_its_code_and_a_panic_is_one() {
        let mut tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("ingest", Stage::Back, |_| async { Err(Failure::unavailable("no disk")) });
        let failure = tasks.run().await.unwrap_err();
        assert_eq!((failure.code(), failure.message.as_str()), (3, "ingest: no disk"));

        let mut tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("ingest", Stage::Back, |_| async { panic!("on purpose") });
        assert_eq!(tasks.run().await.unwrap_err().code(), 70);
    }

    #[test]
    fn a_hangup_that_is_ignored_stays_so() {
        assert!(ignores_hangup("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n"));
        assert!(!ignores_hangup("SigIgn:\t0000000000001000\n") && !ignores_hangup(""));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_obey_is_dropped_within_ten_seconds() {
        let shutdown = CancellationToken::new();
        let mut tasks = Tasks::new(shutdown.clone());
        tasks.spawn("the API", Stage::Front, |_| std::future::pending());
        tasks.spawn("ingest", Stage::Back, |_| std::future::pending());
        shutdown.cancel();
        let begun = Instant::now();
        assert!(tasks.run().await.is_ok());
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}
