//! A worker's VMs: one per scope, made at first use (or at commit where there is `init` code), replaced when their
//! scripts change, retired until their last request ends.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lua_vm::{Chunk, ScriptError, Session};
use routing::Hash;

use crate::exchange::Exchange;
use crate::table::{Scope, ScopeSpec, Snapshot, Step};
use crate::worker::Worker;

mod fair;
mod scope_vm;

pub use fair::Bucket;
pub use scope_vm::{ScopeVm, Table};

/// Retired VMs of a scope that may still serve requests; beyond, replacement waits.
const RETIRED_MAX: usize = 4;

/// A VM that could not be made, and `init` code that failed, is not tried again before this: code that loops uses its
/// whole budget each time, outside of its namespace's share.
const FAILED_FOR: Duration = Duration::from_secs(5);

/// What could not be made, when and why.
type Failed = (Hash, Instant, ScriptError);

/// A worker's VMs.
#[derive(Default)]
pub struct Vms {
    current: RefCell<HashMap<Scope, Rc<ScopeVm>>>,
    retired: RefCell<Vec<Weak<ScopeVm>>>,
    failed: RefCell<HashMap<Scope, Failed>>,
    /// The table's version that the VMs are of.
    seen: Cell<u64>,
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
    ex.lua.used = true;
    let scope = &step.used.scope;
    let at = match ex.lua.sessions.iter().position(|s| s.vm.spec.scope == *scope) {
        Some(at) => at,
        None => {
            let worker = ex.worker.clone();
            let vm = worker.vms.get(&worker, scope)?;
            let session = vm.vm.session();
            ex.lua.sessions.push(RequestVm::new(vm, session));
            ex.lua.sessions.len() - 1
        }
    };
    let RequestVm { vm, session, .. } = &ex.lua.sessions[at];
    if !vm.failed.borrow().is_empty() {
        vm.check_init(&ex.worker, &step.used)?;
    }
    let chunk = vm.chunk(&step.script)?;
    let (config, meta) = vm.arguments(&step.used)?;
    // The plugin's own, else the VM's: the session may have run another plugin before.
    let cpu = step.used.cpu_per_resume_ms.unwrap_or(vm.spec.limits.cpu_per_resume_ms);
    session.limit_resume(Duration::from_millis(cpu));
    Ok(Prepared { vm: vm.clone(), session: session.clone(), chunk, config, meta, at })
}

impl RequestVm {
    /// A request's first use of a VM.
    pub fn new(vm: Rc<ScopeVm>, session: Session<Exchange>) -> Self {
        Self { vm, session, kept: super::charge::Kept::default() }
    }
}

impl Vms {
    /// The scope's current VM, made now if there is none.
    pub fn get(&self, worker: &Rc<Worker>, scope: &Scope) -> Result<Rc<ScopeVm>, ScriptError> {
        if worker.snapshot(|s| s.version) != self.seen.get() {
            // The commit has not come to the housekeeping yet: a new script must not run beside old modules.
            let snapshot = worker.snapshot(Arc::clone);
            self.refresh(worker, &snapshot);
        }
        if let Some(vm) = self.current.borrow().get(scope) {
            return Ok(vm.clone());
        }
        let spec = worker.snapshot(|s| s.scopes.get(scope).cloned());
        let spec = spec.ok_or_else(|| ScriptError::runtime(format!("no VM for {scope:?}: its plugins are gone")))?;
        if let Some((of, at, error)) = self.failed.borrow().get(scope)
            && *of == spec.hash
            && at.elapsed() < FAILED_FOR
        {
            return Err(error.clone());
        }
        let hash = spec.hash;
        let vm = ScopeVm::new(worker, spec).inspect_err(|error| {
            self.failed.borrow_mut().insert(scope.clone(), (hash, Instant::now(), error.clone()));
        })?;
        self.failed.borrow_mut().remove(scope);
        self.current.borrow_mut().insert(scope.clone(), vm.clone());
        Ok(vm)
    }

    /// After a commit: VMs whose content changed are replaced. True: something is left to do later.
    pub fn refresh(&self, worker: &Rc<Worker>, snapshot: &Snapshot) -> bool {
        let mut later = false;
        // First, since `init` code is a user of VMs, too.
        self.seen.set(snapshot.version);
        for (scope, spec) in &snapshot.scopes {
            let old = self.current.borrow().get(scope).cloned();
            match old {
                Some(old) if old.spec.hash == spec.hash => {}
                Some(old) if self.retired_of(scope) >= RETIRED_MAX => {
                    tracing::warn!(target: "lua", ?scope, "replacing the VM waits: {RETIRED_MAX} earlier ones still serve requests");
                    let _ = old;
                    later = true;
                }
                None if spec.init.is_empty() => {}
                old => self.replace(worker, scope, spec, old),
            }
        }
        let gone: Vec<_> =
            self.current.borrow().keys().filter(|s| !snapshot.scopes.contains_key(*s)).cloned().collect();
        for scope in gone {
            if let Some(vm) = self.current.borrow_mut().remove(&scope) {
                self.retire(vm);
            }
        }
        self.failed.borrow_mut().retain(|scope, _| snapshot.scopes.contains_key(scope));
        self.current.borrow().values().for_each(|vm| vm.forget_dead());
        later
    }

    fn replace(&self, worker: &Rc<Worker>, scope: &Scope, spec: &Arc<ScopeSpec>, old: Option<Rc<ScopeVm>>) {
        match ScopeVm::new(worker, spec.clone()) {
            Ok(vm) => {
                self.current.borrow_mut().insert(scope.clone(), vm);
                if let Some(old) = old {
                    self.retire(old);
                }
            }
            // The old one stays, with its modules and what its `init` made.
            Err(error) => tracing::error!(target: "lua", ?scope, "the VM is not replaced: {error}"),
        }
    }

    fn retire(&self, vm: Rc<ScopeVm>) {
        vm.retired.set(true);
        vm.timers.retire();
        let mut retired = self.retired.borrow_mut();
        retired.retain(|w| w.strong_count() > 0);
        retired.push(Rc::downgrade(&vm));
    }

    fn retired_of(&self, scope: &Scope) -> usize {
        self.retired.borrow().iter().filter_map(Weak::upgrade).filter(|vm| vm.spec.scope == *scope).count()
    }

    /// The worker ends: every VM is retired.
    pub fn close(&self) {
        let all: Vec<_> = self.current.borrow_mut().drain().map(|(_, vm)| vm).collect();
        all.into_iter().for_each(|vm| self.retire(vm));
    }

    /// Bytes held by the current VMs.
    pub fn memory_bytes(&self) -> usize {
        self.current.borrow().values().map(|vm| vm.vm.memory_bytes()).sum()
    }
}
