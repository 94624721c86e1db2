//! A worker: one OS thread with its own listeners, pools and VMs. Nothing here is shared with another worker but
//! through [`Shared`].

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use lua_vm::Budget;

use crate::exchange::pool::Exchanges;
use crate::lua::failures::Failures;
use crate::lua::shdict::Dicts;
use crate::lua::vms::Vms;
use crate::lua::waits::Waits;
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
    /// The last failure of each plugin.
    pub failures: Failures,
    /// Code that cannot run yet.
    pub waits: Waits,
    /// What all VMs may hold together.
    pub lua_budget: Arc<Budget>,
    /// How many workers there are.
    pub workers: usize,
    /// How far the process is on its way out.
    pub stage: tokio::sync::watch::Sender<Stage>,
    /// The version of the last commit that was applied.
    pub commits: tokio::sync::watch::Sender<u64>,
}

impl Shared {
    /// What so many workers share, with an empty table.
    pub fn new(workers: usize) -> Self {
        let shared = Self {
            snapshot: Arc::new(ArcSwap::from_pointee(Snapshot::empty())),
            workers,
            dicts: Dicts::default(),
            metrics: Metrics::default(),
            failures: Failures::default(),
            waits: Waits::default(),
            lua_budget: Budget::new(usize::MAX),
            stage: tokio::sync::watch::Sender::new(Stage::Serving),
            commits: tokio::sync::watch::Sender::new(0),
        };
        shared.apply_budget(&Snapshot::empty());
        shared
    }

    /// Sets the limit of all VMs together as a snapshot says: by default half of what the process may use.
    pub fn apply_budget(&self, snapshot: &Snapshot) {
        let bytes = snapshot.settings.lua.memory_budget_bytes.unwrap_or_else(|| crate::memory::available() / 2);
        self.lua_budget.set_limit(usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    /// Makes, resizes and drops shared dicts as a snapshot says.
    pub fn apply_dicts(&self, snapshot: &Snapshot) {
        for (scope, spec) in &snapshot.scopes {
            for refused in
                self.dicts.declare(scope, &spec.dicts, spec.limits.shared_dict_bytes, crate::clock::unix_ms())
            {
                tracing::error!(target: "table", ?scope, "the shared dict {} of {} bytes is refused: {} of the namespace's {} bytes are left", refused.name, refused.wanted, refused.left, refused.cap);
            }
        }
        self.dicts.retain(|scope| snapshot.scopes.contains_key(scope));
    }
}

/// How far the process is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It serves.
    Serving,
    /// Not ready any more; connections are still accepted, but end after their next response.
    Draining,
    /// Nothing is accepted any more.
    Closing,
}

/// One worker's state. Never leaves its thread.
pub struct Worker {
    /// From 0.
    pub id: usize,
    /// The process's.
    pub shared: Arc<Shared>,
    /// Idle connections to upstreams.
    pub pools: Pools,
    /// Lua.
    pub vms: Vms,
    /// The shared dicts that the VMs use, by number.
    pub dict_slots: crate::lua::host::Slots,
    /// Spare exchanges.
    pub exchanges: Exchanges,
    /// Connections that wait for a request.
    pub idle: Idle,
    stage: tokio::sync::watch::Receiver<Stage>,
    connections: Cell<usize>,
    table: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    random: Cell<u64>,
}

impl Worker {
    /// A worker for this thread.
    pub fn new(id: usize, shared: Arc<Shared>) -> Rc<Self> {
        let table = RefCell::new(Cache::new(shared.snapshot.clone()));
        let seed = crate::clock::random_seed();
        let stage = shared.stage.subscribe();
        Rc::new(Self {
            id,
            pools: Pools::default(),
            vms: Vms::default(),
            dict_slots: crate::lua::host::Slots::default(),
            exchanges: Exchanges::default(),
            idle: Idle::default(),
            stage,
            connections: Cell::default(),
            table,
            random: Cell::new(seed),
            shared,
        })
    }

    /// Connections end after their next response.
    pub fn is_draining(&self) -> bool {
        *self.stage.borrow() >= Stage::Draining
    }

    /// Completes when [`Self::is_draining`] becomes true.
    pub async fn drained(&self) {
        let mut stage = self.stage.clone();
        // The sender lives in `shared`, as long as this worker.
        let _ = stage.wait_for(|s| *s >= Stage::Draining).await;
    }

    /// Completes when nothing is to be accepted any more.
    pub async fn accept_ends(&self) {
        let mut stage = self.stage.clone();
        let _ = stage.wait_for(|s| *s >= Stage::Closing).await;
    }

    /// Counts a client's connection until the guard is dropped.
    pub fn count_connection(self: Rc<Self>) -> Counted {
        self.connections.set(self.connections.get() + 1);
        self.shared.metrics.connection_opened();
        Counted { worker: self }
    }

    /// Clients' connections that are open.
    pub fn connections(&self) -> usize {
        self.connections.get()
    }

    /// The current table. Cheap: no shared count moves unless it changed.
    pub fn snapshot<R>(&self, read: impl FnOnce(&Arc<Snapshot>) -> R) -> R {
        read(self.table.borrow_mut().load())
    }

    /// The monotonic clock.
    pub fn now(&self) -> Instant {
        crate::clock::tick()
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
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut id = [0; 32];
        for half in id.chunks_exact_mut(16) {
            let bits = self.random().to_be_bytes();
            for (pair, byte) in half.chunks_exact_mut(2).zip(bits) {
                pair[0] = DIGITS[usize::from(byte >> 4)];
                pair[1] = DIGITS[usize::from(byte & 15)];
            }
        }
        String::from_utf8(id.to_vec()).expect("hexadecimal digits are ASCII")
    }
}

/// An open client connection.
pub struct Counted {
    /// The worker that serves it.
    pub worker: Rc<Worker>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Worker { connections, shared, .. } = &*self.worker;
        connections.set(connections.get() - 1);
        shared.metrics.connection_closed();
    }
}

/// Connections that wait for a request, so that they can be woken to end. A waker in a slab costs an idle connection
/// far less than a timer, or a future that waits for the end.
pub struct Idle {
    waiting: RefCell<slab::Slab<(std::task::Waker, Tick)>>,
    /// No connection will have waited for long enough before this.
    earliest: Cell<Tick>,
    began: Instant,
}

/// Tenths of a second since a worker began, from 1: small, and finer than what is waited for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(NonZeroU32);

impl Tick {
    const MAX: Self = Self(NonZeroU32::MAX);
}

impl Default for Idle {
    fn default() -> Self {
        Self { waiting: RefCell::default(), earliest: Cell::new(Tick::MAX), began: crate::clock::now() }
    }
}

impl Idle {
    /// The time so long from now.
    pub fn after(&self, at_most: Duration) -> Tick {
        // Rounded up, so that nobody ends early.
        Tick(self.at(crate::clock::now() + at_most).0.saturating_add(1))
    }

    /// Whether that time has come.
    pub fn is_over(&self, until: Tick) -> bool {
        until <= self.at(crate::clock::now())
    }

    /// Remembers a task that waits until then; the number is for [`Self::remove`].
    pub fn insert(&self, waker: std::task::Waker, until: Tick) -> usize {
        self.earliest.set(self.earliest.get().min(until));
        self.waiting.borrow_mut().insert((waker, until))
    }

    /// Forgets a task.
    pub fn remove(&self, number: usize) {
        self.waiting.borrow_mut().remove(number);
    }

    /// Wakes those whose time has come. Called every second, it looks at them only when one's has.
    pub fn expire(&self, now: Instant) {
        let now = self.at(now);
        if now < self.earliest.get() {
            return;
        }
        let mut earliest = Tick::MAX;
        for (_, (waker, until)) in self.waiting.borrow().iter() {
            if *until <= now {
                waker.wake_by_ref();
            } else {
                earliest = earliest.min(*until);
            }
        }
        self.earliest.set(earliest);
    }

    /// Wakes all.
    pub fn wake(&self) {
        self.waiting.borrow().iter().for_each(|(_, (waker, _))| waker.wake_by_ref());
    }

    fn at(&self, instant: Instant) -> Tick {
        let tenths = instant.saturating_duration_since(self.began).as_millis() / 100;
        u32::try_from(tenths).map_or(Tick::MAX, |tenths| Tick(NonZeroU32::MIN.saturating_add(tenths)))
    }
}
