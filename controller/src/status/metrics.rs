//! Counters of what is sent.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::ledger::Outcome;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    what: &'static str,
    outcome: &'static str,
}

/// What of statuses and Events was sent to the API server.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    writes: Family<Labels, Counter>,
}

impl Metrics {
    /// Adds them to a registry, under the prefix `moongate_controller`.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("moongate_controller");
        r.register("writes", "Statuses and Events that were sent to the API server", self.writes.clone());
    }

    pub(super) fn sent(&self, what: &'static str, outcome: &Outcome) {
        let outcome = match outcome {
            Outcome::Written(_) => "written",
            Outcome::Gone => "gone",
            Outcome::Failed => "failed",
        };
        self.writes.get_or_create(&Labels { what, outcome }).inc();
    }
}
