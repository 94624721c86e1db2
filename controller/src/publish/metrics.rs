//! Counters of the push.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Peer;
use super::table::Table;

/// A data plane's pod. Series end with its stream, so there are at most as many as streams.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PlaneLabels {
    namespace: String,
    pod: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// What the push counts.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    streams: Gauge,
    refused: Family<ReasonLabels, Counter>,
    dropped: Family<ReasonLabels, Counter>,
    batches: Counter,
    bytes: Counter,
    keys: Gauge,
    table_bytes: Gauge,
    term: Family<PlaneLabels, Gauge<u64, AtomicU64>>,
    counter: Family<PlaneLabels, Gauge<u64, AtomicU64>>,
    failed: Family<PlaneLabels, Gauge<u64, AtomicU64>>,
}

impl Metrics {
    /// Adds them to a registry, under the prefix `moongate_push`.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("moongate_push");
        r.register("streams", "Data planes that are connected", self.streams.clone());
        r.register("refused", "Connections that got no stream", self.refused.clone());
        r.register("dropped", "Streams that were ended from here", self.dropped.clone());
        r.register("batches", "Commits sent, over all data planes", self.batches.clone());
        r.register("sent_bytes", "Bytes of frames, over all data planes", self.bytes.clone());
        r.register("table_keys", "Keys of the table", self.keys.clone());
        r.register("table_bytes", "Bytes of the table's frames", self.table_bytes.clone());
        r.register("term", "Term of the last commit that a data plane applied", self.term.clone());
        r.register("counter", "Counter of the last commit that a data plane applied", self.counter.clone());
        r.register("failed_keys", "Keys that a data plane could not apply", self.failed.clone());
    }

    pub(super) fn connected(&self) {
        self.streams.inc();
    }

    /// A stream ended. What is told of the pod stays while it has another one.
    pub(super) fn disconnected(&self, peer: &Peer, was_last: bool) {
        self.streams.dec();
        if !was_last {
            return;
        }
        let labels = labels(peer);
        self.term.remove(&labels);
        self.counter.remove(&labels);
        self.failed.remove(&labels);
    }

    pub(super) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabels { reason }).inc();
    }

    pub(super) fn dropped(&self, reason: &'static str) {
        self.dropped.get_or_create(&ReasonLabels { reason }).inc();
    }

    pub(super) fn sent(&self, bytes: usize, is_commit: bool) {
        self.bytes.inc_by(bytes as u64);
        if is_commit {
            self.batches.inc();
        }
    }

    pub(super) fn table(&self, table: &Table) {
        self.keys.set(i64::try_from(table.len()).unwrap_or(i64::MAX));
        self.table_bytes.set(i64::try_from(table.bytes()).unwrap_or(i64::MAX));
    }

    pub(super) fn applied(&self, peer: &Peer, term: u64, counter: u64, failed: u64) {
        let labels = labels(peer);
        self.term.get_or_create(&labels).set(term);
        self.counter.get_or_create(&labels).set(counter);
        self.failed.get_or_create(&labels).set(failed);
    }
}

fn labels(peer: &Peer) -> PlaneLabels {
    PlaneLabels { namespace: peer.namespace.clone(), pod: peer.pod.clone() }
}
