//! The load generator: connections that stay open, on threads of their own, either as fast as it goes or at a rate.
//!
//! It shares the cores with what it measures, so it does as little as it can: requests are written out once, answers
//! are read as far as their length.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::http::Method;

use super::super::client::{Client, is_success};

/// What is sent, and how.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) server: SocketAddr,
    pub(super) token: Option<String>,
    pub(super) method: Method,
    pub(super) path: String,
    /// Taken in turn; empty: none is sent.
    pub(super) bodies: Arc<[String]>,
    pub(super) connections: usize,
    pub(super) seconds: u64,
    /// Requests a second over all connections; `None`: each as soon as the one before is answered.
    pub(super) rate: Option<f64>,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Measured {
    /// Answers a second.
    pub(super) rate: f64,
    /// Answers that were not 2xx, and connections that broke.
    pub(super) failed: u64,
    /// Times to answer, rising, in microseconds.
    times: Vec<u32>,
}

impl Measured {
    /// The time within which that share of the answers came, in milliseconds.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        quantile(&self.times, share)
    }
}

/// Of sorted microseconds, in milliseconds; 0 where there are none.
pub(super) fn quantile(times: &[u32], share: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
    let rank = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len().max(1)) - 1;
    times.get(rank).map_or(0.0, |micros| f64::from(*micros) / 1_000.0)
}

impl Load {
    /// Runs it. The threads are not those of the server's runtime, so that client and server meet in the kernel only.
    pub(super) fn run(&self) -> Result<Measured, String> {
        let threads =
            std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)).min(self.connections);
        let begun = Instant::now();
        let parts: Vec<Result<Measured, String>> = std::thread::scope(|scope| {
            let share = |thread| self.connections / threads + usize::from(thread < self.connections % threads);
            let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || self.thread(share(thread)))).collect();
            let fell = || Err("a thread of the load generator fell over".to_owned());
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| fell())).collect()
        });
        let mut all = Measured::default();
        for part in parts {
            let part = part?;
            all.failed += part.failed;
            all.times.extend(part.times);
        }
        all.times.sort_unstable();
        #[expect(clippy::cast_precision_loss, reason = "a count of answers")]
        let answers = all.times.len() as f64;
        all.rate = answers / begun.elapsed().as_secs_f64();
        Ok(all)
    }

    fn thread(&self, connections: usize) -> Result<Measured, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("no runtime for the load generator: {error}"))?;
        let until = Instant::now() + Duration::from_secs(self.seconds);
        runtime.block_on(async {
            let load = Arc::new(self.clone());
            let turn = Arc::new(AtomicU64::new(0));
            let running: Vec<_> = (0..connections)
                .map(|_| tokio::spawn(Arc::clone(&load).connection(Arc::clone(&turn), connections, until)))
                .collect();
            let mut all = Measured::default();
            for connection in running {
                let part = connection.await.map_err(|error| error.to_string())??;
                all.failed += part.failed;
                all.times.extend(part.times);
            }
            Ok(all)
        })
    }

    async fn connection(
        self: Arc<Self>,
        turn: Arc<AtomicU64>,
        connections: usize,
        until: Instant,
    ) -> Result<Measured, String> {
        let mut measured = Measured::default();
        let mut client = Client::connect(self.server, self.token.clone()).await?;
        let one = |body: &str| client.request(&self.method, &self.path, body);
        let requests: Vec<Vec<u8>> =
            if self.bodies.is_empty() { vec![one("")] } else { self.bodies.iter().map(|body| one(body)).collect() };
        let mut requests = requests.iter().cycle();
        #[expect(clippy::cast_precision_loss, reason = "a number of connections")]
        let pause = self.rate.map(|rate| Duration::from_secs_f64(self.connections as f64 / rate));
        // Connections take turns, or all of them would knock at once.
        #[expect(clippy::cast_possible_truncation, reason = "a number of connections")]
        let offset = turn.fetch_add(1, Ordering::Relaxed) as u32;
        let mut due = Instant::now() + pause.map_or(Duration::ZERO, |pause| pause * offset / connections.max(1) as u32);
        while Instant::now() < until {
            let mut start = Instant::now();
            if let Some(pause) = pause {
                if start < due {
                    tokio::time::sleep_until(due.into()).await;
                    start = Instant::now();
                } else {
                    // The answer before came late: whoever would have asked meanwhile has waited since then.
                    start = due;
                }
                due += pause;
            }
            let request = requests.next().map_or(&[][..], Vec::as_slice);
            match client.exchange(request).await.map(|(status, _)| status) {
                Ok(status) => {
                    measured.times.push(u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX));
                    measured.failed += u64::from(!is_success(status));
                }
                Err(_) => {
                    measured.failed += 1;
                    client = Client::connect(self.server, self.token.clone()).await?;
                }
            }
        }
        Ok(measured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_time_that_was_measured() {
        let times: Vec<u32> = (1..=1000).map(|milli| milli * 1_000).collect();
        assert!((quantile(&times, 0.5) - 500.0).abs() < f64::EPSILON);
        assert!((quantile(&times, 0.99) - 990.0).abs() < f64::EPSILON);
        assert!(quantile(&[], 0.5).abs() < f64::EPSILON);
        assert!((quantile(&[7_000], 0.01) - 7.0).abs() < f64::EPSILON);
    }

    #[tokio::test]
    async fn requests_are_answered_one_by_one_and_counted() {
        use axum::routing::{get, post};
        let (listener, server) = super::super::super::own_server::loopback().await.unwrap();
        let echo = axum::Router::new().route("/", get(|| async {}).post(|body: String| async { body }));
        let echo = echo.route("/no", post(|| async { axum::http::StatusCode::CONFLICT }));
        let serving = tokio::spawn(async move { axum::serve(listener, echo).await });
        let mut client = Client::connect(server, Some("t".to_owned())).await.unwrap();
        for number in 0..3 {
            assert_eq!(client.ask(&Method::POST, "/", &number.to_string()).await.unwrap(), number);
        }
        assert_eq!(client.ask(&Method::POST, "/no", "1").await.unwrap_err(), "POST /no: 409");
        let load = Load {
            server,
            token: None,
            method: Method::GET,
            path: "/".to_owned(),
            bodies: Arc::new([]),
            connections: 2,
            seconds: 1,
            rate: Some(100.0),
        };
        let measured = tokio::task::spawn_blocking(move || load.run()).await.unwrap().unwrap();
        assert_eq!(measured.failed, 0);
        assert!(measured.rate > 20.0 && measured.rate < 110.0, "{}", measured.rate);
        serving.abort();
    }
}
