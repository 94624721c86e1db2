//! A namespace's share of a worker: a limit per run alone does not stop a storm of requests that each stay just below
//! it. Two rules hold it:
//!
//! - A namespace over its share waits, but only while others use the worker.
//! - Whatever its share, its runs go one by one, first come, first served, once they have taken some time: between two of
//!   them everything else that is ready goes on, what just came by a socket included. So a request stands behind one run
//!   of each namespace that storms, at each of its steps, not behind the whole storm.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::ScopeVm;
use crate::error::{Error, Kind, Result};
use crate::exchange::Exchange;
use crate::table::Scope;
use crate::worker::Worker;

/// Worker time that a namespace may use at once before its share counts: some runs at the full budget.
const BURST: Duration = Duration::from_millis(100);

/// Worker time that a namespace uses before its next run lets everything else go first. Looking at the sockets costs
/// about a microsecond, so cheap runs lose nothing by it.
const STRETCH: Duration = Duration::from_millis(2);

/// Others count as waiting when they used the worker within this.
const RECENT: Duration = Duration::from_millis(50);

/// A run that waited for this long, for others' sake, is answered 503.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Who used the worker last.
#[derive(Default)]
pub struct Usage(Cell<Last>);

#[derive(Clone, Copy, Default)]
struct Last {
    /// The user that was served last, and when.
    user: u64,
    at: Option<Instant>,
    /// When another than that one was.
    other_at: Option<Instant>,
    /// Since when more than one user wants the worker, without a pause.
    since: Option<Instant>,
}

impl Usage {
    /// The worker serves `user` now (0: requests without scripts).
    pub fn note(&self, user: u64) {
        // Requests of one user after the other need not read the clock.
        let is_same = self.0.get().user == user;
        self.note_at(user, if is_same { crate::clock::now() } else { Instant::now() });
    }

    fn note_at(&self, user: u64, now: Instant) {
        let mut last = self.0.get();
        let before = if last.user == user { last.at } else { last.other_at };
        if !is_recent(before, now) {
            last.since = Some(now);
        }
        if last.user != user {
            (last.user, last.other_at, last.at) = (user, last.at, None);
        }
        last.at = last.at.max(Some(now));
        self.0.set(last);
    }

    /// Since when another than `user` wants the worker too; none: nobody does.
    fn contended(&self, user: u64, now: Instant) -> Option<Instant> {
        let last = self.0.get();
        let other = if last.user == user { last.other_at } else { last.at };
        last.since.filter(|_| is_recent(other, now))
    }
}

fn is_recent(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| now.saturating_duration_since(at) < RECENT)
}

/// A scope's token bucket of worker time. Its VMs share it, so that a change of its scripts is no new burst.
pub struct Bucket {
    /// Tells its scope apart from other users of the worker.
    user: u64,
    share: Cell<f64>,
    /// Seconds of worker time; below 0: over the share.
    tokens: Cell<f64>,
    refilled: Cell<Instant>,
    /// Worker time since others could go first.
    stretch: Cell<Duration>,
    /// Held by the run whose turn it is next, while it waits.
    gate: tokio::sync::Mutex<()>,
}

impl Bucket {
    /// A full bucket that refills at so many percent of real time.
    pub fn new(share_percent: u8) -> Self {
        let new = Self {
            user: crate::table::unique(),
            share: Cell::new(1.0),
            tokens: Cell::new(BURST.as_secs_f64()),
            refilled: Cell::new(Instant::now()),
            stretch: Cell::default(),
            gate: tokio::sync::Mutex::default(),
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
        self.stretch.set(self.stretch.get() + spent);
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
        if self.may_go(worker) || Box::pin(self.wait(worker)).await {
            return Ok(());
        }
        worker.shared.metrics.starved();
        Err(Error::new(Kind::Unavailable, "the namespace's Lua is over its share of the worker"))
    }

    /// Whether a run need not wait at all.
    fn may_go(&self, worker: &Worker) -> bool {
        worker.vms.usage.note(self.user);
        self.share.get() >= 1.0 || (self.tokens.get() >= 0.0 && self.stretch.get() < STRETCH)
    }

    /// False: it waited for as long as a run may. To be boxed, since few runs wait and every request has room for the
    /// largest of its futures.
    async fn wait(&self, worker: &Worker) -> bool {
        let usage = &worker.vms.usage;
        let came = Instant::now();
        let _next = self.gate.lock().await;
        if self.stretch.get() >= STRETCH {
            // Completes after all that is ready, and after what is ready once the sockets were looked at.
            tokio::task::yield_now().await;
            self.stretch.set(Duration::ZERO);
        }
        loop {
            let now = Instant::now();
            let Some(debt) = self.debt(now) else { return true };
            let Some(since) = usage.contended(self.user, now) else {
                // What nobody else wants is not owed when somebody comes.
                self.tokens.set(0.0);
                return true;
            };
            // Time in the line while nobody else wanted the worker is no reason to refuse.
            let waited = now.saturating_duration_since(came.max(since));
            let Some(left) = WAIT_MAX.checked_sub(waited).filter(|left| !left.is_zero()) else {
                return false;
            };
            let pause = debt.clamp(Duration::from_millis(1), Duration::from_millis(20)).min(left);
            tokio::time::sleep(pause).await;
        }
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

/// Waits for the turns of the scripts that see a response from upstream. They run without a wait between them, and are
/// not refused, since the upstream has done its work: one that waited for long enough goes.
pub async fn turns_of_filters(ex: &Exchange) {
    let Some(plan) = ex.route.as_ref().map(|route| &route.plan) else { return };
    let filters = || plan.header_filter.iter().chain(&plan.body_filter).chain(&plan.log);
    for session in &ex.lua.sessions {
        let (bucket, scope) = (&session.vm.bucket, &session.vm.spec.scope);
        if filters().any(|step| step.used.scope == *scope) && !bucket.may_go(&ex.worker) {
            Box::pin(bucket.wait(&ex.worker)).await;
        }
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

#[cfg(test)]
mod tests;
