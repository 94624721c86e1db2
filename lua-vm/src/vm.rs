//! A VM: its making, chunks, tables and accounts.
mod open;
#[cfg(test)]
mod reach;

use crate::budget::Budget;
use crate::ctx::Core;
use crate::error::{ErrorKind, ScriptError, VmError};
use crate::loader::{ENTRY, ENTRY_NAME, load_text};
use crate::session::{CPU_EXCEEDED, Coroutine, Session};
use crate::{Host, limits};
use mlua_sys as lua;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What a VM's scripts may use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Lua heap and charged host memory together, in bytes; an allocation beyond fails.
    pub memory_bytes: usize,
    /// CPU time of the worker's thread from one resume (or call) to the next suspension.
    pub cpu_per_resume: Duration,
    /// The sum over a session.
    pub cpu_per_request: Duration,
    /// PCRE2's match limit for `ngx.re.*`.
    pub regex_match_limit: u32,
    /// Compiled patterns that the VM keeps; at least one.
    pub regex_cache_entries: usize,
}

/// How a VM is made.
#[derive(Clone, Debug)]
pub struct VmOptions {
    /// Names the VM in texts: `operator`, `namespace shop`.
    pub name: String,
    /// Full libraries; else the hardened environment for namespaces.
    pub trusted: bool,
    /// What its scripts may use.
    pub limits: Limits,
    /// Module sources by name; `require` finds these first.
    pub modules: BTreeMap<String, Arc<str>>,
    /// Names in `ngx.shared`.
    pub dicts: Vec<String>,
    /// `package.path` of a trusted VM.
    pub package_path: Option<String>,
    /// What all VMs of the process may hold together.
    pub budget: Option<Arc<Budget>>,
}

impl Default for VmOptions {
    /// A hardened VM with the limits of a namespace that nothing else is said about.
    fn default() -> Self {
        let limits = Limits {
            memory_bytes: 32 * 1024 * 1024,
            cpu_per_resume: Duration::from_millis(20),
            cpu_per_request: Duration::from_millis(100),
            regex_match_limit: 100_000,
            regex_cache_entries: 1024,
        };
        Self {
            name: "namespace".into(),
            trusted: false,
            limits,
            modules: BTreeMap::new(),
            dicts: Vec::new(),
            package_path: None,
            budget: None,
        }
    }
}

/// A LuaJIT VM of one worker thread. A clone is the same VM; the state is closed with the last of the clones, chunks,
/// handles, sessions and threads.
pub struct Vm<H: Host>(pub(crate) Rc<VmInner<H>>);

impl<H: Host> Clone for Vm<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

pub(crate) struct VmInner<H: Host> {
    core: NonNull<Core>,
    pub(crate) limits: Limits,
    /// Finished coroutines, to be used again.
    pub(crate) pool: RefCell<Vec<Coroutine>>,
    /// Free keys of the prelude's table of `ngx.ctx` tables, so that its array part stays dense.
    ids: RefCell<Vec<i32>>,
    next_id: Cell<i32>,
    pub(crate) refs: open::Refs,
    _host: PhantomData<fn(&mut H)>,
}

/// What to undo in the Lua state once no Lua code runs.
pub(crate) enum Garbage {
    /// A registry reference.
    Ref(c_int),
    /// A coroutine that is not run to its end, with those it waits for.
    Thread(Coroutine),
    /// A session's `ngx.ctx`.
    Ctx(i32),
}

impl<H: Host> VmInner<H> {
    pub(crate) fn core(&self) -> &Core {
        // SAFETY: made by `Vm::new`, freed by `drop`.
        unsafe { self.core.as_ref() }
    }

    /// Undoes it now, or after the runs that are on the C stack.
    pub(crate) fn discard(&self, garbage: Garbage) {
        let core = self.core();
        if core.depth.get() > 0 {
            // SAFETY: one thread, and no reference to the list is held over a call.
            unsafe { (*core.garbage.get()).push(garbage) };
        } else {
            self.undo(garbage);
        }
    }

    /// Undoes what was put off.
    pub(crate) fn sweep(&self) {
        let core = self.core();
        if core.depth.get() > 0 {
            return;
        }
        // SAFETY: as in `discard`.
        while let Some(garbage) = unsafe { (*core.garbage.get()).pop() } {
            self.undo(garbage);
        }
    }

    fn undo(&self, garbage: Garbage) {
        let core = self.core();
        let l = core.l.get();
        // SAFETY: no Lua code runs, and the limit does not act.
        unsafe {
            match garbage {
                Garbage::Ref(r) => lua::luaL_unref(l, lua::LUA_REGISTRYINDEX, r),
                Garbage::Thread(co) => {
                    co.abandon(core);
                    lua::luaL_unref(l, lua::LUA_REGISTRYINDEX, co.r);
                }
                Garbage::Ctx(id) => {
                    lua::lua_rawgeti(l, lua::LUA_REGISTRYINDEX, self.refs.ctxs.into());
                    lua::lua_pushnil(l);
                    lua::lua_rawseti(l, -2, id.into());
                    lua::lua_settop(l, -2);
                    self.ids.borrow_mut().push(id);
                }
            }
        }
    }

    pub(crate) fn new_ctx_id(&self) -> i32 {
        self.ids.borrow_mut().pop().unwrap_or_else(|| {
            let id = self.next_id.get();
            self.next_id.set(id + 1);
            id
        })
    }

    /// A key that no table was made for.
    pub(crate) fn free_ctx_id(&self, id: i32) {
        self.ids.borrow_mut().push(id);
    }
}

impl<H: Host> Drop for VmInner<H> {
    fn drop(&mut self) {
        // SAFETY: the last clone is gone, so nothing of this VM runs and nobody holds the core.
        unsafe {
            let l = self.core().l.get();
            if !l.is_null() {
                lua::lua_close(l);
            }
            drop(Box::from_raw(self.core.as_ptr()));
        }
    }
}

/// A compiled chunk.
pub struct Chunk<H: Host>(pub(crate) Rc<Reference<H>>);

impl<H: Host> Clone for Chunk<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// A Lua table that the host keeps, to pass it to chunks.
pub struct Handle<H: Host>(pub(crate) Rc<Reference<H>>);

impl<H: Host> Clone for Handle<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// A value in the registry.
pub(crate) struct Reference<H: Host> {
    pub(crate) vm: Vm<H>,
    pub(crate) r: c_int,
    /// Of a chunk: the function that calls it with two arguments (`loader::ENTRY`); else `LUA_NOREF`.
    pub(crate) entry: c_int,
}

impl<H: Host> Drop for Reference<H> {
    fn drop(&mut self) {
        self.vm.0.discard(Garbage::Ref(self.r));
        if self.entry != lua::LUA_NOREF {
            self.vm.0.discard(Garbage::Ref(self.entry));
        }
    }
}

/// The string on top of the stack, else OpenResty's text for errors that are not strings.
///
/// # Safety
/// `l` has a value on top, and an allocation would not raise (numbers are converted in place).
pub(crate) unsafe fn error_text(l: *mut lua::lua_State) -> String {
    let mut n = 0;
    // SAFETY: as this function's contract says; the bytes are copied before the value can go.
    unsafe {
        let p = lua::lua_tolstring(l, -1, &mut n);
        if p.is_null() {
            return "unknown reason".into();
        }
        String::from_utf8_lossy(std::slice::from_raw_parts(p.cast(), n)).into_owned()
    }
}

/// Nesting of a JSON value beyond which `Vm::table` refuses: each level takes Lua stack and C stack.
const MAX_JSON_DEPTH: usize = 100;

impl<H: Host> Vm<H> {
    /// Makes a VM and runs the prelude in it.
    ///
    /// # Errors
    /// When there is no memory, or a part of the prelude fails.
    pub fn new(options: VmOptions) -> Result<Self, VmError> {
        open::open(options)
    }

    /// Compiles a chunk of text; bytecode is refused. `=access` as the name shows as `access:3:`.
    ///
    /// # Errors
    /// `Syntax`, or `Memory` or `Cpu` when compiling crosses the VM's limits.
    pub fn load(&self, chunk_name: &str, source: &str) -> Result<Chunk<H>, ScriptError> {
        let core = self.core();
        self.0.sweep();
        let l = core.l.get();
        // Compiling may take as long as a run may.
        if !core.slot.begin(core, self.0.limits.cpu_per_resume) {
            return Err(ScriptError::new(ErrorKind::Runtime, "too many nested runs"));
        }
        // SAFETY: compiling is protected, so the limit may act; the rest cannot raise.
        unsafe {
            if core.depth.get() == 0 {
                limits::make_room(core);
            }
            let enforce = core.account.enforce.replace(true);
            let rc = load_text(l, core, chunk_name, source.as_bytes());
            core.account.enforce.set(enforce);
            let killed = core.slot.killed();
            core.slot.end(core);
            if rc != lua::LUA_OK {
                let error = match rc {
                    lua::LUA_ERRMEM if killed => ScriptError::new(ErrorKind::Cpu, CPU_EXCEEDED),
                    lua::LUA_ERRMEM => ScriptError::new(ErrorKind::Memory, error_text(l)),
                    _ => ScriptError::new(ErrorKind::Syntax, error_text(l)),
                };
                lua::lua_settop(l, -2);
                return Err(error);
            }
            let entry = make_entry(l);
            let mut reference = self.reference();
            if let Some(reference) = Rc::get_mut(&mut reference) {
                reference.entry = entry;
            }
            Ok(Chunk(reference))
        }
    }

    /// Keeps a Lua table made from JSON; `null` becomes `ngx.null`.
    ///
    /// # Errors
    /// `Memory` when it does not fit, `Runtime` when it is nested too deep.
    pub fn table(&self, json: &serde_json::Value) -> Result<Handle<H>, ScriptError> {
        let core = self.core();
        self.0.sweep();
        let l = core.l.get();
        // SAFETY: host mode, so nothing raises; `push_json` keeps the stack in bounds.
        unsafe {
            let top = lua::lua_gettop(l);
            let enforce = core.account.enforce.replace(false);
            let pushed = push_json(l, json, 0);
            core.account.enforce.set(enforce);
            if let Err(error) = pushed {
                lua::lua_settop(l, top);
                return Err(error);
            }
            let handle = Handle(self.reference());
            if self.over_limit() {
                return Err(ScriptError::new(ErrorKind::Memory, "not enough memory"));
            }
            Ok(handle)
        }
    }

    /// A new request's use of this VM.
    pub fn session(&self) -> Session<H> {
        Session::new(self)
    }

    /// Bytes of the Lua heap and of what is charged to it.
    pub fn memory_bytes(&self) -> usize {
        self.core().account.total()
    }

    /// Charges host memory to this VM; false, and nothing is charged, when that would cross its limit.
    pub fn charge(&self, bytes: usize) -> bool {
        self.core().account.charge(bytes)
    }

    /// Bytes that are charged now.
    pub fn charged_bytes(&self) -> usize {
        self.core().account.external.get()
    }

    /// Bytes that can still be charged, if no Lua code takes them.
    pub fn room(&self) -> usize {
        self.core().account.room()
    }

    /// Gives back what was charged.
    pub fn discharge(&self, bytes: usize) {
        self.core().account.discharge(bytes);
    }

    /// The prelude's entry for timers: takes an id and whether the timer is premature.
    pub fn timer_chunk(&self) -> Chunk<H> {
        let l = self.core().l.get();
        self.0.sweep();
        // SAFETY: host mode; the registry holds the function since the VM was made.
        unsafe {
            lua::lua_rawgeti(l, lua::LUA_REGISTRYINDEX, self.0.refs.timer.into());
            Chunk(self.reference())
        }
    }

    /// Collects all garbage; for idle VMs and tests.
    pub fn collect(&self) {
        self.0.sweep();
        // SAFETY: on the VM's own thread, and the host has control.
        unsafe { limits::full_collection(self.core().l.get(), self.core()) };
        self.core().account.collected();
    }

    /// Whether code of this VM is on the C stack.
    pub fn is_running(&self) -> bool {
        self.core().depth.get() > 0
    }

    /// Whether less than a sixteenth of the VM's own limit is left once all garbage is collected, however little the process's
    /// budget lets it have for now. No code of it runs.
    pub fn is_full(&self) -> bool {
        self.collect();
        self.core().account.is_nearly_at_hard()
    }

    pub(crate) fn core(&self) -> &Core {
        self.0.core()
    }

    /// Takes the value on top of the main stack into the registry.
    ///
    /// # Safety
    /// There is one, and no allocation fails.
    unsafe fn reference(&self) -> Rc<Reference<H>> {
        // SAFETY: as this function's contract says.
        let r = unsafe { lua::luaL_ref(self.core().l.get(), lua::LUA_REGISTRYINDEX) };
        Rc::new(Reference { vm: self.clone(), r, entry: lua::LUA_NOREF })
    }

    /// For tests: the `n`th allocation of Lua code, or charge, from now on fails; 0 takes that back, and tells whether it
    /// was still to come.
    #[doc(hidden)]
    pub fn fail_allocation(&self, n: u64) -> bool {
        self.core().account.fail_in.replace(n) > 0
    }

    /// Is the VM beyond its limit even without its garbage?
    pub(crate) fn over_limit(&self) -> bool {
        let account = &self.core().account;
        if account.total() <= account.hard.get() {
            return false;
        }
        // SAFETY: on the VM's own thread, and the host has control.
        unsafe { limits::full_collection(self.core().l.get(), self.core()) };
        account.total() > account.hard.get()
    }
}

/// The entry of the chunk on top of the stack, or `LUA_NOREF`.
///
/// # Safety
/// `l` is the main state in host mode.
unsafe fn make_entry(l: *mut lua::lua_State) -> c_int {
    // SAFETY: as this function's contract says. Compiled anew for each chunk, so that each has its own traces.
    unsafe {
        if lua::lua_checkstack(l, 4) == 0 {
            return lua::LUA_NOREF;
        }
        if load_text(l, std::ptr::null(), ENTRY_NAME, ENTRY) == lua::LUA_OK {
            lua::lua_pushvalue(l, -2);
            if lua::lua_pcall(l, 1, 1, 0) == lua::LUA_OK {
                return lua::luaL_ref(l, lua::LUA_REGISTRYINDEX);
            }
        }
        lua::lua_settop(l, -2);
        lua::LUA_NOREF
    }
}

/// # Safety
/// `l` is the main state in host mode.
unsafe fn push_json(l: *mut lua::lua_State, json: &serde_json::Value, depth: usize) -> Result<(), ScriptError> {
    use serde_json::Value as Json;
    let size = |n: usize| c_int::try_from(n).unwrap_or(c_int::MAX);
    // SAFETY: as this function's contract says; each level needs three slots.
    unsafe {
        if depth > MAX_JSON_DEPTH || lua::lua_checkstack(l, 4) == 0 {
            return Err(ScriptError::new(ErrorKind::Runtime, "value is nested too deep"));
        }
        match json {
            Json::Null => lua::lua_pushlightuserdata(l, std::ptr::null_mut()),
            Json::Bool(b) => lua::lua_pushboolean(l, c_int::from(*b)),
            Json::Number(n) => lua::lua_pushnumber(l, n.as_f64().unwrap_or(f64::NAN)),
            Json::String(s) => {
                lua::lua_pushlstring(l, s.as_ptr().cast(), s.len());
            }
            Json::Array(items) => {
                lua::lua_createtable(l, size(items.len()), 0);
                for (i, item) in (1..).zip(items) {
                    push_json(l, item, depth + 1)?;
                    lua::lua_rawseti(l, -2, i);
                }
            }
            Json::Object(fields) => {
                lua::lua_createtable(l, 0, size(fields.len()));
                for (name, value) in fields {
                    lua::lua_pushlstring(l, name.as_ptr().cast(), name.len());
                    push_json(l, value, depth + 1)?;
                    lua::lua_rawset(l, -3);
                }
            }
        }
    }
    Ok(())
}
