//! A worker's VMs: one per scope, made at first use (or at commit where there is `init` code), replaced when their
//! scripts change, retired until their last request ends.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lua_vm::{Arg, Chunk, Handle, Limits, Phase, ScriptError, Session, Vm, VmOptions};
use routing::Hash;
use routing::key::PluginKey;
use routing::value;

use crate::clock::FastHash;
use crate::exchange::Exchange;
use crate::table::{PluginUse, Scope, ScopeSpec, Script, Snapshot, Step};
use crate::worker::Worker;

mod fair;

pub use fair::Bucket;

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

/// One VM with what was loaded into it.
pub struct ScopeVm {
    /// What it was made of.
    pub spec: Arc<ScopeSpec>,
    /// The VM.
    pub vm: Vm<Exchange>,
    /// Its share of the worker's time.
    pub bucket: Bucket,
    /// Its timers.
    pub timers: super::timers::Timers,
    /// It is replaced: timers fire early, new ones are refused.
    pub retired: Cell<bool>,
    /// Plugins whose `init` or `initWorker` failed, and how: their scripts do not run.
    failed: RefCell<BTreeMap<PluginKey, (Instant, ScriptError)>>,
    chunks: RefCell<HashMap<u64, Chunk<Exchange>, FastHash>>,
    tables: RefCell<HashMap<u64, Table, FastHash>>,
}

/// A config's or a route's table.
pub type Table = Rc<Handle<Exchange>>;

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

impl ScopeVm {
    pub(super) fn new(worker: &Rc<Worker>, spec: Arc<ScopeSpec>) -> Result<Rc<Self>, ScriptError> {
        let limits = &spec.limits;
        let (name, trusted) = match &spec.scope {
            Scope::Operator => ("operator".to_owned(), true),
            Scope::Namespace(ns) => (format!("namespace {ns}"), false),
        };
        let vm = Vm::new(VmOptions {
            name,
            trusted,
            limits: Limits {
                memory_bytes: usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX),
                cpu_per_resume: Duration::from_millis(limits.cpu_per_resume_ms),
                cpu_per_request: Duration::from_millis(limits.cpu_per_request_ms),
                regex_match_limit: spec.regex_match_limit,
                regex_cache_entries: spec.regex_cache_entries,
            },
            modules: spec.modules.clone(),
            dicts: spec.dicts.keys().cloned().collect(),
            package_path: None,
            budget: Some(worker.shared.lua_budget.clone()),
        })
        .map_err(|e| ScriptError::runtime(e.to_string()))?;
        let made = Rc::new(Self {
            bucket: Bucket::new(limits.worker_share_percent),
            timers: super::timers::Timers::default(),
            retired: Cell::new(false),
            failed: RefCell::default(),
            chunks: RefCell::default(),
            tables: RefCell::default(),
            vm,
            spec,
        });
        made.init(worker);
        Ok(made)
    }

    /// `init` of every plugin, then `initWorker` of every plugin. One that fails is that plugin's alone: its scripts do
    /// not run in this VM, the others' do.
    fn init(self: &Rc<Self>, worker: &Rc<Worker>) {
        for wanted in [value::Phase::Init, value::Phase::InitWorker] {
            for (phase, used, script) in &self.spec.init {
                if *phase == wanted && !self.failed.borrow().contains_key(&used.plugin) {
                    self.run_init(worker, *phase, used, script);
                }
            }
        }
    }

    fn run_init(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        phase: value::Phase,
        used: &Arc<PluginUse>,
        script: &Arc<Script>,
    ) {
        let phase = if phase == value::Phase::Init { Phase::Init } else { Phase::InitWorker };
        let mut ex = Exchange::fake(worker.clone());
        let session = self.vm.session();
        ex.lua.sessions.push(RequestVm::new(self.clone(), session.clone()));
        (ex.lua.phase, ex.lua.running) = (Some(phase), Some(used.clone()));
        let mut run = || {
            let chunk = self.chunk(script)?;
            let (config, meta) = self.arguments(used)?;
            session.call(&mut ex, phase, &chunk, &[Arg::Handle(&config), Arg::Handle(&meta)])
        };
        if let Err(mut error) = run() {
            super::phases::report_init(&ex, &used.plugin, phase, &error);
            error.message = format!("{} of {} fails: {}", phase.name(), used.plugin, error.message);
            self.failed.borrow_mut().insert(used.plugin.clone(), (Instant::now(), error));
        }
    }

    /// Whether a plugin's scripts may run here. `init` code that failed is tried again after a while: what it lacked may
    /// be there by then.
    fn check_init(self: &Rc<Self>, worker: &Rc<Worker>, used: &PluginUse) -> Result<(), ScriptError> {
        let again = match self.failed.borrow().get(&used.plugin) {
            None => return Ok(()),
            Some((at, _)) => at.elapsed() >= FAILED_FOR,
        };
        if again {
            self.failed.borrow_mut().remove(&used.plugin);
            for (phase, of, script) in self.spec.init.iter().filter(|(_, of, _)| of.plugin == used.plugin) {
                if !self.failed.borrow().contains_key(&used.plugin) {
                    self.run_init(worker, *phase, of, script);
                }
            }
        }
        self.failed.borrow().get(&used.plugin).map_or(Ok(()), |(_, error)| Err(error.clone()))
    }

    fn chunk(&self, script: &Arc<Script>) -> Result<Chunk<Exchange>, ScriptError> {
        if let Some(chunk) = self.chunks.borrow().get(&script.id) {
            return Ok(chunk.clone());
        }
        let chunk = self.vm.load(script.chunk_name, &script.source)?;
        self.chunks.borrow_mut().insert(script.id, chunk.clone());
        Ok(chunk)
    }

    /// The two tables that a plugin's chunks get.
    fn arguments(&self, used: &PluginUse) -> Result<(Table, Table), ScriptError> {
        let config = self.table(used.config.id, || used.config.value.clone())?;
        let meta = self.table(used.id, || used.meta_json())?;
        Ok((config, meta))
    }

    fn table(&self, id: u64, json: impl FnOnce() -> serde_json::Value) -> Result<Table, ScriptError> {
        if let Some(table) = self.tables.borrow().get(&id) {
            return Ok(table.clone());
        }
        let table = Rc::new(self.vm.table(&json())?);
        self.tables.borrow_mut().insert(id, table.clone());
        Ok(table)
    }

    /// Drops what was loaded for scripts and uses that a later table no longer has. They are loaded again where an
    /// old request still needs one, so dropping all beyond a bound is enough.
    fn forget_dead(&self) {
        const LOADED_MAX: usize = 4096;
        if self.chunks.borrow().len() > LOADED_MAX {
            self.chunks.borrow_mut().clear();
        }
        if self.tables.borrow().len() > LOADED_MAX {
            self.tables.borrow_mut().clear();
        }
    }
}
