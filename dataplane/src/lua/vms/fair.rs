//! A namespace's share of a worker: a limit per run alone does not stop a storm of requests that each stay just below
//! it. Two rules hold it:
//!
//! - A namespace over its share waits, but only while others use the worker.
//! - Whatever its share, its runs go one by one, first come, first served, once they have taken some time: between two of
//!   them everything else that is ready goes on, what just came by a socket included. So a request stands behind one run
//!   of each namespace that storms, at each of its steps, not behind the whole storm. The platform's plugins are a user
//!   as well.

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use super::ScopeVm;
use crate::error::{Error, Kind, Result};
use crate::exchange::Exchange;
use crate::table::{Plan, Scope, Step};
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
    /// The worker serves `user` now, as [`user_of`] calls it.
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
    /// A full bucket of a user of the worker that refills at so many percent of real time.
    pub fn new(user: u64, share_percent: u8) -> Self {
        let new = Self {
            user,
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

    /// Since when a scope over its share has to let others go first; none: it need not. What nobody else wants is not
    /// owed when somebody comes.
    fn yields_since(&self, usage: &Usage, now: Instant) -> Option<Instant> {
        if self.tokens.get() >= 0.0 || self.share.get() >= 1.0 {
            return None;
        }
        let since = usage.contended(self.user, now);
        if since.is_none() {
            self.tokens.set(0.0);
        }
        since
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
    ///
    /// # Errors
    /// `Unavailable` when the scope is over its share for too long.
    pub async fn turn(&self, ex: &Exchange) -> Result<()> {
        if self.may_go(ex) || Box::pin(self.wait(&ex.worker)).await {
            return Ok(());
        }
        ex.worker.shared.metrics.starved();
        Err(Error::new(Kind::Unavailable, "the namespace's Lua is over its share of the worker"))
    }

    /// Who uses the worker by a run in a request: the platform's plugins do so for the namespace whose route it is, or
    /// a namespace that uses one beside its own would seem to be two users, who contend.
    fn user_in(&self, ex: &Exchange) -> u64 {
        match &ex.route {
            Some(route) if self.share.get() >= 1.0 => route.user,
            _ => self.user,
        }
    }

    /// Whether a run need not wait at all.
    fn may_go(&self, ex: &Exchange) -> bool {
        let usage = &ex.worker.vms.usage;
        usage.note(self.user_in(ex));
        self.stretch.get() < STRETCH && self.yields_since(usage, crate::clock::now()).is_none()
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
            let Some(since) = self.yields_since(usage, now) else { return true };
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

/// Who uses a worker by a scope's scripts, and by the requests of its namespace that run none.
pub fn user_of(scope: &Scope) -> u64 {
    let mut hasher = DefaultHasher::new();
    scope.hash(&mut hasher);
    hasher.finish()
}

/// Waits for the turn of a scope's scripts.
pub async fn turn(ex: &Exchange, scope: &Scope) -> Result<()> {
    let bucket = match ex.lua.sessions.iter().find(|s| s.vm.spec.scope == *scope) {
        Some(session) => Some(session.vm.bucket.clone()),
        None => ex.worker.vms.bucket(scope),
    };
    match bucket {
        Some(bucket) => bucket.turn(ex).await,
        None => Ok(()),
    }
}

/// Waits for the turns of the scripts that see a response's head, and its first piece. Filters run without a wait between
/// them, and are not refused, since the upstream has done its work: one that waited for long enough goes.
pub async fn turns_of_filters(ex: &Exchange) {
    turns_of(ex, |plan| [&plan.header_filter, &plan.body_filter]).await;
}

/// The same for the next piece of a body.
pub async fn turns_of_body_filters(ex: &Exchange) {
    turns_of(ex, |plan| [&plan.body_filter]).await;
}

/// The same for `log`.
pub async fn turns_of_log(ex: &Exchange) {
    turns_of(ex, |plan| [&plan.log]).await;
}

/// Whether the next piece of a body need not wait.
pub fn may_filter_body(ex: &Exchange) -> bool {
    let Some(route) = &ex.route else { return true };
    waiting(ex, &[&route.plan.body_filter]).next().is_none()
}

async fn turns_of<const N: usize>(ex: &Exchange, of: impl Fn(&Plan) -> [&[Step]; N]) {
    let Some(route) = &ex.route else { return };
    for bucket in waiting(ex, &of(&route.plan)) {
        Box::pin(bucket.wait(&ex.worker)).await;
    }
}

/// The scopes of these steps that have to wait.
fn waiting<'a>(ex: &'a Exchange, steps: &'a [&[Step]]) -> impl Iterator<Item = &'a Bucket> {
    let is_used = |scope: &Scope| steps.iter().copied().flatten().any(|step| step.used.scope == *scope);
    let used = ex.lua.sessions.iter().filter(move |session| is_used(&session.vm.spec.scope));
    used.map(|session| &*session.vm.bucket).filter(|bucket| !bucket.may_go(ex))
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
        let started = Instant::now();
        bucket.refill(started);
        let result = run();
        spend(bucket, started.elapsed());
        result
    }
}

#[cfg(test)]
mod tests;
