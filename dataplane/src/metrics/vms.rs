//! How many Lua VMs there are.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The VMs of all workers.
#[derive(Clone, Debug, Default)]
pub struct VmMetrics {
    made: Counter,
    alive: Gauge,
    full: Counter,
}

impl VmMetrics {
    pub(super) fn register(&self, r: &mut Registry) {
        r.register("lua_vms", "Lua VMs, with the replaced ones that still serve requests", self.alive.clone());
        r.register("lua_vms_made", "Lua VMs made", self.made.clone());
        r.register("lua_vms_full", "Lua VMs replaced since they were full of live data", self.full.clone());
    }

    /// A full VM is replaced.
    pub fn full(&self) {
        self.full.inc();
    }

    /// How many were made.
    pub fn made(&self) -> u64 {
        self.made.get()
    }

    /// How many there are.
    pub fn alive(&self) -> i64 {
        self.alive.get()
    }
}

/// Counts a VM from its making to its end.
#[derive(Debug)]
pub struct CountedVm(VmMetrics);

impl CountedVm {
    /// A VM was made.
    pub fn new(metrics: &VmMetrics) -> Self {
        metrics.made.inc();
        metrics.alive.inc();
        Self(metrics.clone())
    }
}

impl Drop for CountedVm {
    fn drop(&mut self) {
        self.0.alive.dec();
    }
}
