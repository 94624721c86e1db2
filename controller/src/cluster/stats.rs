//! What the watches have done, for metrics and `/ready`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Counters of all watches, and what they still wait for.
#[derive(Debug, Default)]
pub struct Stats {
    events: AtomicU64,
    failures: AtomicU64,
    relists: AtomicU64,
    streamed: AtomicU64,
    paged: AtomicU64,
    fetches: AtomicU64,
    waits: Mutex<Vec<String>>,
}

impl Stats {
    /// Objects that were told: listed, changed or gone.
    pub fn events(&self) -> u64 {
        self.events.load(Relaxed)
    }

    /// Times that a list or a watch failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Times that everything of a watch had to be listed again.
    pub fn relists(&self) -> u64 {
        self.relists.load(Relaxed)
    }

    /// Lists that came as a stream.
    pub fn streamed(&self) -> u64 {
        self.streamed.load(Relaxed)
    }

    /// Lists that came in pages.
    pub fn paged(&self) -> u64 {
        self.paged.load(Relaxed)
    }

    /// Objects that were asked for by name.
    pub fn fetches(&self) -> u64 {
        self.fetches.load(Relaxed)
    }

    /// The watches that have not listed yet, each with what keeps it from that.
    pub fn waits(&self) -> Vec<String> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn event(&self) {
        self.events.fetch_add(1, Relaxed);
    }

    pub(super) fn failure(&self, is_relist: bool) {
        let counter = if is_relist { &self.relists } else { &self.failures };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn list(&self, is_streamed: bool) {
        let counter = if is_streamed { &self.streamed } else { &self.paged };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn fetch(&self) {
        self.fetches.fetch_add(1, Relaxed);
    }

    pub(super) fn set_waits(&self, waits: Vec<String>) {
        *self.waits.lock().unwrap_or_else(PoisonError::into_inner) = waits;
    }
}
