//! [`Status`]: how far the relay is.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use domain::metric;

/// How far this process's relay is.
#[derive(Debug, Default)]
pub struct Status {
    leads: AtomicBool,
    published: AtomicU64,
    failed: AtomicU64,
}

impl Status {
    /// Whether this process publishes; the others stand by.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }

    /// Rows of the journal that this process has published.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Tries that the brokers did not confirm.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    pub(crate) fn set_leads(&self, leads: bool) {
        self.leads.store(leads, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, published: usize, failed: usize) {
        metrics::counter!(metric::RELAY_PUBLISHED).increment(published as u64);
        metrics::counter!(metric::RELAY_FAILED).increment(failed as u64);
        self.published.fetch_add(published as u64, Ordering::Relaxed);
        self.failed.fetch_add(failed as u64, Ordering::Relaxed);
    }
}
