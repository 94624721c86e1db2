//! A worker: one OS thread with its own listeners, pools and VMs. Nothing here is shared with another worker but
//! through [`Shared`].

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;

use crate::lua::shdict::Dicts;
use crate::lua::vms::Vms;
use crate::metrics::Metrics;
use crate::table::Snapshot;
use crate::upstream::Pools;

/// What the workers of a process share.
pub struct Shared {
    /// The table that requests are served by.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// `ngx.shared`, by scope.
    pub dicts: Dicts,
    /// Counters.
    pub metrics: Metrics,
    /// No new connections: the process is on its way out.
    pub draining: std::sync::atomic::AtomicBool,
}

/// One worker's state. Never leaves its thread.
pub struct Worker {
    /// From 0.
    pub id: usize,
    /// The process's.
    pub shared: Arc<Shared>,
    /// Idle connections to upstreams, and round-robin state.
    pub pools: Pools,
    /// Lua.
    pub vms: Vms,
    table: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    random: Cell<u64>,
}

impl Worker {
    /// A worker for this thread.
    pub fn new(id: usize, shared: Arc<Shared>) -> Rc<Self> {
        let table = RefCell::new(Cache::new(shared.snapshot.clone()));
        let seed = crate::clock::random_seed();
        Rc::new(Self { id, pools: Pools::default(), vms: Vms::default(), table, random: Cell::new(seed), shared })
    }

    /// The current table. Cheap: no shared count moves unless it changed.
    pub fn snapshot<R>(&self, read: impl FnOnce(&Arc<Snapshot>) -> R) -> R {
        read(self.table.borrow_mut().load())
    }

    /// The monotonic clock.
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// Pseudo-random bits for balancing and ids (xorshift64*): not for secrets.
    pub fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// 32 hexadecimal digits, as nginx's `$request_id`.
    pub fn random_id(&self) -> String {
        format!("{:016x}{:016x}", self.random(), self.random())
    }
}
