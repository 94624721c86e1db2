//! A namespace's share of a worker: a limit per run alone does not stop a storm of requests that each stay just below
//! it. A namespace over its share waits, but only while others use the worker.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::ScopeVm;
use crate::error::{Error, Kind, Result};
use crate::exchange::Exchange;

/// Worker time that a namespace may use at once before its share counts: some runs at the full budget.
const BURST: Duration = Duration::from_millis(100);

/// Others count as waiting when they used the worker within this.
const RECENT: Duration = Duration::from_millis(50);

/// A run that waited for this long is answered 503.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Who used the worker last.
#[derive(Default)]
pub struct Usage {
    /// The user that was served last, and when another than that one was served last.
    last: Cell<(u64, Option<Instant>)>,
}

impl Usage {
    /// The worker serves `user` now (0: requests without scripts).
    pub fn note(&self, user: u64) {
        let (last, _) = self.last.get();
        if last != user {
            self.last.set((user, Some(Instant::now())));
        }
    }

    /// Whether another than one user was served lately.
    fn contended(&self) -> bool {
        self.last.get().1.is_some_and(|at| at.elapsed() < RECENT)
    }
}

/// A token bucket of worker time.
pub struct Bucket {
    share: f64,
    /// Seconds of worker time; below 0: over the share.
    tokens: Cell<f64>,
    refilled: Cell<Instant>,
}

impl Bucket {
    /// A full bucket that refills at so many percent of real time.
    pub fn new(share_percent: u8) -> Self {
        let share = f64::from(share_percent.clamp(1, 100)) / 100.0;
        Self { share, tokens: Cell::new(BURST.as_secs_f64()), refilled: Cell::new(Instant::now()) }
    }

    fn refill(&self, now: Instant) {
        let passed = now.saturating_duration_since(self.refilled.replace(now)).as_secs_f64();
        self.tokens.set((self.tokens.get() + passed * self.share).min(BURST.as_secs_f64()));
    }

    /// How long until the bucket is not in debt; none: it is not.
    fn debt(&self, now: Instant) -> Option<Duration> {
        self.refill(now);
        let tokens = self.tokens.get();
        (tokens < 0.0).then(|| Duration::from_secs_f64((-tokens / self.share).min(WAIT_MAX.as_secs_f64())))
    }

    fn spend(&self, spent: Duration) {
        self.tokens.set(self.tokens.get() - spent.as_secs_f64());
    }
}

impl ScopeVm {
    /// A number that tells this VM's user apart from others on the worker.
    fn user(&self) -> u64 {
        std::ptr::from_ref(self.spec.as_ref()).addr() as u64
    }

    /// Waits for this VM's turn.
    pub async fn turn(self: &Rc<Self>, ex: &Exchange) -> Result<()> {
        let usage = &ex.worker.vms.usage;
        usage.note(self.user());
        if self.bucket.share >= 1.0 || self.bucket.tokens.get() >= 0.0 {
            return Ok(());
        }
        let deadline = Instant::now() + WAIT_MAX;
        while let Some(wait) = self.bucket.debt(Instant::now()) {
            if !usage.contended() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                ex.worker.shared.metrics.starved();
                return Err(Error::new(Kind::Unavailable, "the namespace's Lua is over its share of the worker"));
            }
            tokio::time::sleep(wait.clamp(Duration::from_millis(1), Duration::from_millis(20))).await;
        }
        Ok(())
    }

    /// Runs something on the VM and takes its time from the bucket.
    pub fn timed<T>(&self, run: impl FnOnce() -> T) -> T {
        if self.bucket.share >= 1.0 {
            return run();
        }
        let started = Instant::now();
        self.bucket.refill(started);
        let result = run();
        self.bucket.spend(started.elapsed());
        result
    }
}
