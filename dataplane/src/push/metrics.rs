//! Counters of the push.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WhatLabels {
    what: &'static str,
}

/// What the push counts.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(super) controllers: Gauge,
    pub(super) followed: Gauge,
    pub(super) term: Gauge<u64, AtomicU64>,
    pub(super) counter: Gauge<u64, AtomicU64>,
    pub(super) batches: Counter,
    pub(super) keys: Gauge,
    pub(super) from_disk: Gauge,
    pub(super) disk_failures: Counter,
    failed: Family<WhatLabels, Counter>,
    skipped: Counter,
}

impl Metrics {
    /// Adds them to a registry, under the prefix `moongate_push`.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("moongate_push");
        r.register("controllers", "Controllers that are connected", self.controllers.clone());
        r.register("leaders", "Controllers that are followed: 1, or 0", self.followed.clone());
        r.register("term", "Term of the last commit", self.term.clone());
        r.register("counter", "Counter of the last commit", self.counter.clone());
        r.register("batches", "Commits received", self.batches.clone());
        r.register("keys", "Keys that are held", self.keys.clone());
        r.register("table_from_disk", "1 while the table is the last run's", self.from_disk.clone());
        r.register(
            "table_write_failures",
            "Times that the table could not be written or read",
            self.disk_failures.clone(),
        );
        r.register("stream_failures", "Streams that failed, by what failed", self.failed.clone());
        r.register("skipped_frames", "Frames of a newer version, which were skipped", self.skipped.clone());
    }

    pub(super) fn failed(&self, what: &'static str) {
        self.failed.get_or_create(&WhatLabels { what }).inc();
    }

    pub(super) fn skipped(&self) {
        self.skipped.inc();
    }
}
