//! One VM with what was loaded into it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lua_vm::{Arg, Chunk, Handle, Limits, Phase, ScriptError, Vm, VmOptions};
use routing::key::PluginKey;
use routing::value;

use super::loaded::Loaded;
use super::place::FAILED_FOR;
use super::{Bucket, RequestVm};
use crate::exchange::Exchange;
use crate::lua::{phases, timers, waits};
use crate::metrics::CountedVm;
use crate::table::{PluginUse, Scope, ScopeSpec, Script, Step};
use crate::worker::Worker;

/// One VM with what was loaded into it.
pub struct ScopeVm {
    /// What it was made of.
    pub spec: Arc<ScopeSpec>,
    /// The VM.
    pub vm: Vm<Exchange>,
    /// Its share of the worker's time.
    pub bucket: Rc<Bucket>,
    /// Its timers.
    pub timers: timers::Timers,
    /// A request has taken it since it was looked at last.
    used: Cell<bool>,
    /// Plugins whose `init` or `initWorker` failed, and how: their scripts do not run.
    pub(super) failed: RefCell<BTreeMap<PluginKey, (Instant, ScriptError)>>,
    chunks: RefCell<Loaded<Chunk<Exchange>>>,
    tables: RefCell<Loaded<Table>>,
    _counted: CountedVm,
}

/// A config's or a route's table.
pub type Table = Rc<Handle<Exchange>>;

impl ScopeVm {
    pub(in crate::lua) fn new(
        worker: &Rc<Worker>,
        spec: Arc<ScopeSpec>,
        bucket: Rc<Bucket>,
    ) -> Result<Rc<Self>, ScriptError> {
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
            bucket,
            timers: timers::Timers::default(),
            used: Cell::new(false),
            failed: RefCell::default(),
            chunks: RefCell::default(),
            tables: RefCell::default(),
            _counted: CountedVm::new(&worker.shared.metrics.vms),
            vm,
            spec,
        });
        made.init(worker);
        Ok(made)
    }

    /// No request to come gets it: timers fire early, new ones are refused.
    pub(super) fn retire(&self) {
        self.timers.retire();
    }

    /// Whether it is on its way out.
    pub fn is_retired(&self) -> bool {
        self.timers.are_retired()
    }

    /// A request takes it.
    pub(super) fn note_use(&self) {
        self.used.set(true);
    }

    /// Whether a request has taken it since this was asked last.
    pub(super) fn was_used(&self) -> bool {
        self.used.take()
    }

    /// Whether it stays when nobody uses it: for what its `init` code made, and the operator's is but one.
    pub(super) fn must_stay(&self) -> bool {
        !self.spec.init.is_empty() || self.spec.scope == Scope::Operator
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
        session.limit_resume(self.cpu_per_resume(used));
        ex.lua.sessions.push(RequestVm::new(self.clone(), session.clone()));
        (ex.lua.phase, ex.lua.running) = (Some(phase), Some(used.clone()));
        let mut run = || {
            let chunk = self.load(script, script)?;
            let (config, meta) = self.arguments(used)?;
            self.timed_init(|| session.call(&mut ex, phase, &chunk, &[Arg::Handle(&config), Arg::Handle(&meta)]))
        };
        if let Err(mut error) = run() {
            phases::report_init(&ex, &used.plugin, phase, &error);
            error.message = format!("{} of {} fails: {}", phase.name(), used.plugin, error.message);
            self.failed.borrow_mut().insert(used.plugin.clone(), (Instant::now(), error));
        }
    }

    /// What one run of a plugin's script may take: the plugin's own limit, else the VM's.
    pub(in crate::lua) fn cpu_per_resume(&self, used: &PluginUse) -> Duration {
        Duration::from_millis(used.cpu_per_resume_ms.unwrap_or(self.spec.limits.cpu_per_resume_ms))
    }

    /// Whether a plugin's scripts may run here. `init` code that failed is tried again after a while: what it lacked may
    /// be there by then.
    pub(super) fn check_init(self: &Rc<Self>, worker: &Rc<Worker>, used: &PluginUse) -> Result<(), ScriptError> {
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

    /// What a step runs here.
    pub(super) fn chunk_of(&self, worker: &Worker, step: &Step) -> Result<Chunk<Exchange>, ScriptError> {
        if let Some(chunk) = self.chunks.borrow().get(step.script.id) {
            return Ok(chunk);
        }
        let script = self.version_of(worker, step)?;
        self.load(&step.script, &script)
    }

    /// The script that runs here for a step: its own, unless the VM's modules and `init` code may be of another version
    /// than it. Then it is the VM's version: old code or new code, never one beside the other.
    fn version_of(&self, worker: &Worker, step: &Step) -> Result<Arc<Script>, ScriptError> {
        let (plugin, script) = (&step.used.plugin, &step.script);
        let own = self.spec.version_of(plugin, script);
        if let Some(own) = own.filter(|own| own.hash == script.hash) {
            return Ok(own.clone());
        }
        let newest = worker.snapshot(|s| s.scopes.get(&self.spec.scope).cloned());
        // Replacing it waits. Requests of the newest table come here.
        let waits = newest.filter(|newest| newest.hash != self.spec.hash && !self.is_retired());
        match (waits, own) {
            (Some(newest), _) if newest.base == self.spec.base => Ok(script.clone()),
            (_, Some(own)) => Ok(own.clone()),
            (Some(_), None) => Err(ScriptError::runtime(format!("{plugin}: {}", waits::WAITS))),
            (None, None) => Ok(script.clone()),
        }
    }

    /// Which script runs for a step is looked at again.
    pub(super) fn forget_versions(&self) {
        self.chunks.borrow_mut().clear();
    }

    /// The chunk of a script, which runs for another one or for itself.
    fn load(&self, of: &Arc<Script>, script: &Script) -> Result<Chunk<Exchange>, ScriptError> {
        let chunk = self.vm.load(script.chunk_name, &script.source)?;
        self.chunks.borrow_mut().keep(of.id, of, chunk.clone());
        Ok(chunk)
    }

    /// The two tables that a plugin's chunks get.
    pub(super) fn arguments(&self, used: &Arc<PluginUse>) -> Result<(Table, Table), ScriptError> {
        let config = self.table(used.config.id, &used.config, || used.config.value.clone())?;
        let meta = self.table(used.id, used, || used.meta_json())?;
        Ok((config, meta))
    }

    fn table<O: Send + Sync + 'static>(
        &self,
        id: u64,
        of: &Arc<O>,
        json: impl FnOnce() -> serde_json::Value,
    ) -> Result<Table, ScriptError> {
        if let Some(table) = self.tables.borrow().get(id) {
            return Ok(table);
        }
        let table = Rc::new(self.vm.table(&json())?);
        self.tables.borrow_mut().keep(id, of, table.clone());
        Ok(table)
    }
}
