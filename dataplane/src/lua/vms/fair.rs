//! A namespace's share of a worker: a limit per run alone does not stop a storm of requests that each stay just below
//! it. A namespace over its share waits, but only while others use the worker.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::ScopeVm;
use crate::error::{Error, Kind, Result};
use crate::exchange::Exchange;
use crate::table::Scope;
use crate::worker::Worker;

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

/// A scope's token bucket of worker time. Its VMs share it, so that a change of its scripts is no new burst.
pub struct Bucket {
    /// Tells its scope apart from other users of the worker.
    user: u64,
    share: Cell<f64>,
    /// Seconds of worker time; below 0: over the share.
    tokens: Cell<f64>,
    refilled: Cell<Instant>,
}

impl Bucket {
    /// A full bucket that refills at so many percent of real time.
    pub fn new(share_percent: u8) -> Self {
        let new = Self {
            user: crate::table::unique(),
            share: Cell::new(1.0),
            tokens: Cell::new(BURST.as_secs_f64()),
            refilled: Cell::new(Instant::now()),
        };
        new.set_share(share_percent);
        new
    }

    /// Refills at so many percent of real time from now on.
    pub fn set_share(&self, percent: u8) {
        self.share.set(f64::from(percent.clamp(1, 100)) / 100.0);
    }

    fn refill(&self, now: Instant) {
        let passed = now.saturating_duration_since(self.refilled.replace(now)).as_secs_f64();
        self.tokens.set((self.tokens.get() + passed * self.share.get()).min(BURST.as_secs_f64()));
    }

    /// How long until the bucket is not in debt; none: it is not.
    pub(super) fn debt(&self, now: Instant) -> Option<Duration> {
        self.refill(now);
        let tokens = self.tokens.get();
        (tokens < 0.0).then(|| Duration::from_secs_f64((-tokens / self.share.get()).min(WAIT_MAX.as_secs_f64())))
    }

    pub(super) fn spend(&self, spent: Duration) {
        self.tokens.set(self.tokens.get() - spent.as_secs_f64());
    }

    /// Takes the time of `init` code. It may leave a debt that requests can wait for, not one that refuses them: code
    /// that loads much when a VM is made is nothing wrong.
    fn spend_on_init(&self, spent: Duration) {
        let least = -WAIT_MAX.as_secs_f64() / 2.0 * self.share.get();
        let tokens = self.tokens.get();
        self.tokens.set((tokens - spent.as_secs_f64()).max(least).min(tokens));
    }

    /// Waits for the turn of this bucket's scope.
    pub async fn turn(&self, worker: &Worker) -> Result<()> {
        let usage = &worker.vms.usage;
        usage.note(self.user);
        if self.share.get() >= 1.0 || self.tokens.get() >= 0.0 {
            return Ok(());
        }
        let deadline = Instant::now() + WAIT_MAX;
        while let Some(wait) = self.debt(Instant::now()) {
            if !usage.contended() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                worker.shared.metrics.starved();
                return Err(Error::new(Kind::Unavailable, "the namespace's Lua is over its share of the worker"));
            }
            tokio::time::sleep(wait.clamp(Duration::from_millis(1), Duration::from_millis(20))).await;
        }
        Ok(())
    }
}

/// Waits for the turn of a scope's scripts, before its VM is found or made.
pub async fn turn(ex: &Exchange, scope: &Scope) -> Result<()> {
    let bucket = match ex.lua.sessions.iter().find(|s| s.vm.spec.scope == *scope) {
        Some(session) => Some(session.vm.bucket.clone()),
        None => ex.worker.vms.bucket(scope),
    };
    match bucket {
        Some(bucket) => bucket.turn(&ex.worker).await,
        None => Ok(()),
    }
}

impl ScopeVm {
    /// Runs something on the VM and takes its time from the bucket.
    pub fn timed<T>(&self, run: impl FnOnce() -> T) -> T {
        self.timed_by(run, Bucket::spend)
    }

    /// The same for `init` code.
    pub(super) fn timed_init<T>(&self, run: impl FnOnce() -> T) -> T {
        self.timed_by(run, Bucket::spend_on_init)
    }

    fn timed_by<T>(&self, run: impl FnOnce() -> T, spend: impl FnOnce(&Bucket, Duration)) -> T {
        let bucket = &self.bucket;
        if bucket.share.get() >= 1.0 {
            return run();
        }
        let started = Instant::now();
        bucket.refill(started);
        let result = run();
        spend(bucket, started.elapsed());
        result
    }
}
