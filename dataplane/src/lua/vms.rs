//! A worker's VMs: one per scope, made at first use (or after a commit where there is `init` code), retired when their
//! code changes, gone with their last request and timer.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use lua_vm::{Chunk, ScriptError, Session};

use crate::exchange::Exchange;
use crate::table::{Plan, Scope, ScopeSpec, Snapshot, Step};
use crate::worker::Worker;

mod fair;
mod full;
mod loaded;
mod place;
mod scope_vm;

pub use fair::{Bucket, may_filter_body, turn, turns_of_body_filters, turns_of_filters, turns_of_log, user_of};
use place::Place;
pub use scope_vm::{ScopeVm, Table};

/// A worker's VMs.
#[derive(Default)]
pub struct Vms {
    places: RefCell<HashMap<Scope, Place>>,
    /// What was there when they were looked after last.
    followed: RefCell<imbl::HashMap<Scope, Arc<ScopeSpec>>>,
    /// Then something was left to do.
    is_left: Cell<bool>,
    /// Who used the worker last; decides whether a namespace over its share must wait.
    pub usage: fair::Usage,
}

/// A VM as one request uses it.
pub struct RequestVm {
    /// The VM; kept to the request's end.
    pub vm: Rc<ScopeVm>,
    /// The request's `ngx.ctx` and CPU budget in it.
    pub session: Session<Exchange>,
    /// What its scripts left in the request, charged to the VM.
    pub kept: super::charge::Kept,
}

/// What a script needs to run.
pub struct Prepared {
    /// Its VM.
    pub vm: Rc<ScopeVm>,
    /// The request's session in it.
    pub session: Session<Exchange>,
    /// The compiled script.
    pub chunk: Chunk<Exchange>,
    /// Its first argument.
    pub config: Table,
    /// Its second argument.
    pub meta: Table,
    /// The place of VM and session in the request's.
    pub at: usize,
}

/// Finds or makes what a step needs.
pub fn prepare(ex: &mut Exchange, step: &Step) -> Result<Prepared, ScriptError> {
    let at = session_in(ex, &step.used.scope)?;
    let RequestVm { vm, session, .. } = &ex.lua.sessions[at];
    if !vm.failed.borrow().is_empty() {
        vm.check_init(&ex.worker, &step.used)?;
    }
    let chunk = vm.chunk_of(&ex.worker, step)?;
    let (config, meta) = vm.arguments(&step.used)?;
    // Each time, since the session may have run another plugin before.
    session.limit_resume(vm.cpu_per_resume(&step.used));
    Ok(Prepared { vm: vm.clone(), session: session.clone(), chunk, config, meta, at })
}

/// The request's session in a scope's VM, begun now if there is none; its place among the request's.
fn session_in(ex: &mut Exchange, scope: &Scope) -> Result<usize, ScriptError> {
    ex.lua.used = true;
    if let Some(at) = ex.lua.sessions.iter().position(|s| s.vm.spec.scope == *scope) {
        return Ok(at);
    }
    let worker = ex.worker.clone();
    let vm = worker.vms.get(&worker, scope)?;
    let session = vm.vm.session();
    ex.lua.sessions.push(RequestVm::new(vm, session));
    Ok(ex.lua.sessions.len() - 1)
}

/// Begins a request's sessions in the VMs that a route's scripts run in, before any of them runs. A commit may take a
/// namespace's last plugin, and with it the VM for requests to come, before the request comes to its next phase.
pub fn hold(ex: &mut Exchange, plan: &Plan) {
    for scope in &plan.scopes {
        // One that cannot be had is asked for again by the script that needs it, which tells why.
        let _ = session_in(ex, scope);
    }
}

/// The response's head is sent: gives back the VMs that no body filter and no log script of the request needs any more.
/// A tunnel of a week would keep a replaced VM alive, and after a few of them the next change would wait for the first.
pub fn release(ex: &mut Exchange) {
    let Exchange { route: Some(route), lua, .. } = ex else { return };
    if lua.sessions.is_empty() {
        return;
    }
    let rest = || route.plan.body_filter.iter().chain(&route.plan.log);
    lua.sessions.retain(|session| rest().any(|step| step.used.scope == session.vm.spec.scope));
    for charge in [&mut lua.output, &mut lua.body, &mut lua.arg_charge] {
        charge.forget_empty();
    }
}

impl RequestVm {
    /// A request's first use of a VM.
    pub fn new(vm: Rc<ScopeVm>, session: Session<Exchange>) -> Self {
        Self { vm, session, kept: super::charge::Kept::default() }
    }
}

impl Vms {
    /// The scope's VM for requests of the current table, made now if there is none.
    ///
    /// # Errors
    /// Why there is none.
    pub fn get(&self, worker: &Rc<Worker>, scope: &Scope) -> Result<Rc<ScopeVm>, ScriptError> {
        let version = worker.snapshot(|s| s.version);
        let fresh = self.places.borrow().get(scope).and_then(|place| place.fresh(version));
        let vm = fresh.map_or_else(|| self.get_anew(worker, scope, version), Ok)?;
        vm.note_use();
        Ok(vm)
    }

    /// The same after a commit.
    fn get_anew(&self, worker: &Rc<Worker>, scope: &Scope, version: u64) -> Result<Rc<ScopeVm>, ScriptError> {
        // The commit has not come to the housekeeping yet: a new script must not run beside old modules.
        let spec = worker.snapshot(|s| s.scopes.get(scope).cloned());
        let spec = spec.ok_or_else(|| ScriptError::runtime(format!("no VM for {scope:?}: its plugins are gone")))?;
        match self.compare(worker, &spec, version) {
            Some(vm) => Ok(vm),
            None => self.make(worker, &spec),
        }
    }

    /// What is due without any request, once a second and after each commit.
    pub async fn look_after(&self, worker: &Rc<Worker>, now: Instant) {
        let snapshot = worker.snapshot(Arc::clone);
        if self.is_left.get() || !self.followed.borrow().ptr_eq(&snapshot.scopes) {
            self.is_left.set(true);
            self.is_left.set(self.follow(worker, &snapshot, now).await);
            *self.followed.borrow_mut() = snapshot.scopes.clone();
        }
        self.drop_idle(now);
    }

    /// Ends VMs that nobody has used for long, so many at a time that requests hardly wait for it.
    fn drop_idle(&self, now: Instant) {
        const BYTES_MAX: usize = 4 << 20;
        let (mut idle, mut bytes) = (Vec::new(), 0);
        for place in self.places.borrow_mut().values_mut() {
            if bytes > BYTES_MAX {
                break;
            }
            if let Some(vm) = place.take_idle(now) {
                bytes += vm.vm.memory_bytes();
                idle.push(vm);
            }
        }
    }

    /// VMs whose content a commit changed are retired, those with `init` code are made. Others come with the first
    /// request that needs one, so that many commits cost one VM. True: something is left to do later.
    async fn follow(&self, worker: &Rc<Worker>, snapshot: &Snapshot, now: Instant) -> bool {
        let mut is_left = self.retire_gone(worker, snapshot);
        for (scope, spec) in &snapshot.scopes {
            if spec.init.is_empty() && !self.places.borrow().contains_key(scope) {
                continue;
            }
            match self.compare(worker, spec, snapshot.version) {
                Some(_) => is_left |= self.is_place(scope, Place::waits),
                None if spec.init.is_empty() => {}
                None if self.is_place(scope, |place| place.is_due(now)) => {
                    // An error is logged there, and the next request tells it.
                    let _ = self.make(worker, spec);
                    // Requests have their turn between two of them.
                    tokio::task::yield_now().await;
                    if worker.snapshot(|s| s.version) != snapshot.version {
                        return true;
                    }
                }
                None => is_left = true,
            }
        }
        is_left
    }

    /// Retires the VMs of scopes that have no plugins any more, and forgets their places once nothing of them runs.
    /// True: something does.
    fn retire_gone(&self, worker: &Worker, snapshot: &Snapshot) -> bool {
        let is_gone = |scope: &Scope| !snapshot.scopes.contains_key(scope);
        let mut places = self.places.borrow_mut();
        let mut retired = Vec::new();
        for (scope, place) in places.iter_mut().filter(|(scope, _)| is_gone(scope)) {
            retired.extend(place.retire());
            worker.shared.waits.set(worker.id, scope, Vec::new());
        }
        drop(places);
        drop(retired);
        let mut places = self.places.borrow_mut();
        places.retain(|scope, place| !is_gone(scope) || place.retired() > 0);
        places.keys().any(is_gone)
    }

    fn is_place(&self, scope: &Scope, what: impl FnOnce(&Place) -> bool) -> bool {
        self.places.borrow().get(scope).is_some_and(what)
    }

    /// The VM for requests of this version, if there is one.
    fn compare(&self, worker: &Worker, spec: &ScopeSpec, version: u64) -> Option<Rc<ScopeVm>> {
        let mut places = self.places.borrow_mut();
        let place = places.entry(spec.scope.clone()).or_default();
        let waited = place.waits();
        let retired = place.compare(spec, version);
        let current = place.current().cloned();
        if waited || place.waits() {
            worker.shared.waits.set(worker.id, &spec.scope, place.waiting(spec));
        }
        drop(places);
        // Here, since it ends a Lua state when nobody else uses it.
        drop(retired);
        current
    }

    fn make(&self, worker: &Rc<Worker>, spec: &Arc<ScopeSpec>) -> Result<Rc<ScopeVm>, ScriptError> {
        let scope = &spec.scope;
        let mut places = self.places.borrow_mut();
        let place = places.entry(scope.clone()).or_default();
        if let Some(error) = place.refusal(spec.hash) {
            return Err(error);
        }
        let bucket = place.bucket_of(spec);
        // No place is borrowed while `init` code runs.
        drop(places);
        let made = ScopeVm::new(worker, spec.clone(), bucket);
        if let Err(error) = &made {
            tracing::error!(target: "lua", ?scope, "no VM could be made: {error}");
        }
        self.places.borrow_mut().entry(scope.clone()).or_default().take(&made, spec.hash);
        made
    }

    /// What a scope's VMs may use of the worker's time; none where there was no VM yet.
    fn bucket(&self, scope: &Scope) -> Option<Rc<Bucket>> {
        self.places.borrow().get(scope)?.bucket().cloned()
    }

    /// The worker ends: every VM is retired.
    pub fn close(&self) {
        let all: Vec<_> = self.places.borrow_mut().values_mut().filter_map(Place::retire).collect();
        drop(all);
    }
}

#[cfg(test)]
pub(super) mod tests;
