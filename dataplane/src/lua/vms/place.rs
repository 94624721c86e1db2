//! A scope's place among a worker's VMs: the one that requests get, and the earlier ones that still serve some.

use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use lua_vm::ScriptError;
use routing::Hash;
use routing::key::PluginKey;

use super::full::Fullness;
use super::{Bucket, ScopeVm};
use crate::table::ScopeSpec;

/// Retired VMs of a scope that may still serve requests; beyond, replacement waits: each may hold as much memory as the
/// scope may have.
pub(super) const RETIRED_MAX: usize = 4;

/// A VM that could not be made, and `init` code that failed, is not tried again before this: code that loops uses its
/// whole budget each time, outside of its namespace's share.
pub(super) const FAILED_FOR: Duration = Duration::from_secs(5);

/// VMs that nobody asks for are made at most this often: a storm of commits must not spend the worker's time on `init`
/// code. A request of the new table does not wait for it.
const EVERY: Duration = Duration::from_secs(1);

/// A namespace's VM that nobody has used for so long is dropped: 0.25 MiB and more, for what a request makes anew in
/// under a millisecond. Long enough that a page that is asked for every few minutes keeps its compiled code and caches.
pub(super) const IDLE_FOR: Duration = Duration::from_secs(600);

/// What could not be made, when and why.
struct Failed {
    hash: Hash,
    at: Instant,
    error: ScriptError,
}

/// Where a scope's VMs are.
#[derive(Default)]
pub(super) struct Place {
    /// What its VMs may use of the worker's time; none before the first one.
    bucket: Option<Rc<Bucket>>,
    current: Option<Rc<ScopeVm>>,
    retired: Vec<Weak<ScopeVm>>,
    /// As of this version of the table `current` is what it should be.
    seen: u64,
    /// `current` should be replaced, but too many earlier ones still serve requests.
    waits: bool,
    made: Option<Instant>,
    /// Nobody has used `current` since.
    idle: Option<Instant>,
    failed: Option<Failed>,
    pub(super) fullness: Fullness,
}

impl Place {
    /// The VM for requests of this version of the table, where nothing is to be looked at.
    pub(super) fn fresh(&self, version: u64) -> Option<Rc<ScopeVm>> {
        if self.seen == version && !self.waits { self.current.clone() } else { None }
    }

    /// The VM for requests, whatever its version.
    pub(super) fn current(&self) -> Option<&Rc<ScopeVm>> {
        self.current.as_ref()
    }

    /// Holds the VM against a version of the table. One that is not as it should be is retired, and returned for the
    /// caller to drop, or waits for that.
    pub(super) fn compare(&mut self, spec: &ScopeSpec, version: u64) -> Option<Rc<ScopeVm>> {
        let is_new = std::mem::replace(&mut self.seen, version) != version;
        let is_old = self.current.as_ref().is_some_and(|vm| vm.spec.hash != spec.hash);
        let waited = self.waits;
        self.waits = is_old && !self.has_room();
        let scope = &spec.scope;
        match (waited, self.waits) {
            (false, true) => {
                tracing::warn!(target: "lua", ?scope, "replacing the VM waits: {RETIRED_MAX} earlier ones still serve requests");
            }
            (true, false) => tracing::info!(target: "lua", ?scope, "replacing the VM does not wait any more"),
            _ => {}
        }
        if is_new && let Some(vm) = self.current.as_ref().filter(|_| self.waits) {
            vm.forget_versions();
        }
        if is_old && !self.waits { self.retire() } else { None }
    }

    /// The plugins whose code in this version waits. Scripts alone do not: they run in the VM that there is.
    pub(super) fn waiting(&self, spec: &ScopeSpec) -> Vec<PluginKey> {
        match &self.current {
            Some(vm) if self.waits && vm.spec.base != spec.base => spec.changed_since(&vm.spec),
            _ => Vec::new(),
        }
    }

    /// Whether replacing the VM waits for an earlier one's end.
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// Takes the VM away from requests to come. Whoever uses it keeps it; it is returned to be dropped where no place is
    /// borrowed.
    pub(super) fn retire(&mut self) -> Option<Rc<ScopeVm>> {
        let vm = self.current.take()?;
        vm.retire();
        self.retired.retain(|vm| vm.strong_count() > 0);
        self.retired.push(Rc::downgrade(&vm));
        Some(vm)
    }

    /// Retired VMs that are still in use.
    pub(super) fn retired(&self) -> usize {
        self.retired.iter().filter(|vm| vm.strong_count() > 0).count()
    }

    /// Whether the VM may be retired. One that nobody uses ends at once.
    pub(super) fn has_room(&self) -> bool {
        !self.is_in_use() || self.retired() < RETIRED_MAX
    }

    /// Takes away a VM that has been idle for long, and lost nothing but what the next request makes anew. Looked at
    /// once a second.
    pub(super) fn take_idle(&mut self, now: Instant) -> Option<Rc<ScopeVm>> {
        let vm = self.current.as_ref()?;
        if vm.was_used() || vm.must_stay() || self.is_in_use() {
            self.idle = None;
            return None;
        }
        let since = *self.idle.get_or_insert(now);
        if now.saturating_duration_since(since) < IDLE_FOR {
            return None;
        }
        self.idle = None;
        self.current.take()
    }

    /// By a request or a timer.
    fn is_in_use(&self) -> bool {
        self.current.as_ref().is_some_and(|vm| Rc::strong_count(vm) > 1)
    }

    /// A VM that no request asks for may be made now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.made.is_none_or(|at| now.saturating_duration_since(at) >= EVERY)
    }

    /// What the scope's VMs may use of the worker's time.
    pub(super) fn bucket(&self) -> Option<&Rc<Bucket>> {
        self.bucket.as_ref()
    }

    /// The same for a VM that is made.
    pub(super) fn bucket_of(&mut self, spec: &ScopeSpec) -> Rc<Bucket> {
        let percent = spec.limits.worker_share_percent;
        let bucket = self.bucket.get_or_insert_with(|| Rc::new(Bucket::new(super::user_of(&spec.scope), percent)));
        bucket.set_share(percent);
        bucket.clone()
    }

    /// Why the VM cannot be made.
    pub(super) fn refusal(&self, hash: Hash) -> Option<ScriptError> {
        let failed = self.failed.as_ref().filter(|f| f.hash == hash && f.at.elapsed() < FAILED_FOR);
        failed.map(|f| f.error.clone())
    }

    /// Takes the VM that was made.
    pub(super) fn take(&mut self, made: &Result<Rc<ScopeVm>, ScriptError>, hash: Hash) {
        let at = Instant::now();
        self.made = Some(at);
        match made {
            Ok(vm) => (self.current, self.failed) = (Some(vm.clone()), None),
            Err(error) => self.failed = Some(Failed { hash, at, error: error.clone() }),
        }
    }
}
