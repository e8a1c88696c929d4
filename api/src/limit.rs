//! The rate limit: a token bucket per session and per anonymous source, in memory.
//!
//! It protects the machine; log-ins have limits of their own in the database ([`crate::auth::throttle`]).

use std::hash::Hash;
use std::net::IpAddr;
use std::time::Instant;

use dashmap::DashMap;

use crate::problem::{Outcome, Problem};

/// Buckets beyond this many are swept before another is made.
const MOST_BUCKETS: usize = 100_000;

/// How fast a bucket fills and how much it holds.
#[derive(Debug, Clone, Copy)]
struct Rate {
    per_second: f64,
    burst: f64,
}

const SESSION: Rate = Rate { per_second: 50.0, burst: 200.0 };
const ANONYMOUS: Rate = Rate { per_second: 10.0, burst: 50.0 };

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// The limits; `off` for load tests.
pub(crate) struct Limits {
    on: bool,
    sessions: DashMap<String, Bucket>,
    sources: DashMap<IpAddr, Bucket>,
}

impl Limits {
    /// Empty buckets.
    pub(crate) fn new(on: bool) -> Self {
        Self { on, sessions: DashMap::new(), sources: DashMap::new() }
    }

    /// One request of a session or an API key.
    pub(crate) fn session(&self, id: &str) -> Outcome<()> {
        if !self.on {
            return Ok(());
        }
        if let Some(mut bucket) = self.sessions.get_mut(id) {
            return take(&mut bucket, SESSION, Instant::now());
        }
        sweep(&self.sessions, SESSION);
        self.sessions.insert(id.to_owned(), Bucket { tokens: SESSION.burst - 1.0, at: Instant::now() });
        Ok(())
    }

    /// One request without a session.
    pub(crate) fn anonymous(&self, source: IpAddr) -> Outcome<()> {
        if !self.on {
            return Ok(());
        }
        if let Some(mut bucket) = self.sources.get_mut(&source) {
            return take(&mut bucket, ANONYMOUS, Instant::now());
        }
        sweep(&self.sources, ANONYMOUS);
        self.sources.insert(source, Bucket { tokens: ANONYMOUS.burst - 1.0, at: Instant::now() });
        Ok(())
    }
}

/// Drops full buckets (they say nothing), and all of them where spraying keys filled the map anyway.
fn sweep<K: Eq + Hash>(buckets: &DashMap<K, Bucket>, rate: Rate) {
    if buckets.len() < MOST_BUCKETS {
        return;
    }
    let now = Instant::now();
    buckets
        .retain(|_, bucket| bucket.tokens + now.duration_since(bucket.at).as_secs_f64() * rate.per_second < rate.burst);
    if buckets.len() >= MOST_BUCKETS {
        buckets.clear();
    }
}

fn take(bucket: &mut Bucket, rate: Rate, now: Instant) -> Outcome<()> {
    let gained = now.saturating_duration_since(bucket.at).as_secs_f64() * rate.per_second;
    bucket.tokens = (bucket.tokens + gained).min(rate.burst);
    bucket.at = now;
    if bucket.tokens < 1.0 {
        let mut problem = Problem::throttled(1);
        problem.error = "Too many requests. Slow down and try again in a second.".to_owned();
        return Err(problem);
    }
    bucket.tokens -= 1.0;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let start = Instant::now();
        let mut bucket = Bucket { tokens: ANONYMOUS.burst, at: start };
        for _ in 0..50 {
            take(&mut bucket, ANONYMOUS, start).unwrap();
        }
        assert_eq!(take(&mut bucket, ANONYMOUS, start).unwrap_err().retry_after_s, Some(1));
        take(&mut bucket, ANONYMOUS, start + Duration::from_millis(101)).unwrap();
    }
}
