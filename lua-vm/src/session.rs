//! Running: sessions, threads, and the flat scheduler of coroutines.
use crate::ctx::{Core, SessionCtx, YieldKind};
use crate::error::{ErrorKind, ScriptError};
use crate::vm::{Chunk, Garbage, Vm, VmInner, error_text};
use crate::{Arg, Host, Phase, Returned, Step, Value, limits};
use mlua_sys as lua;
use mlua_sys::lua_State;
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::rc::Rc;
use std::time::Duration;

/// Finished coroutines that a VM keeps. Beyond that they are garbage: enough for the suspended requests of a busy
/// worker at 0.5 to 1 KiB each.
const MAX_POOLED: usize = 256;

/// Coroutines that may resume one another. Native ones end near 200 by the C stack; flat ones take heap only.
pub(crate) const MAX_CHAIN: usize = 1000;

/// A coroutine that the registry keeps.
pub(crate) struct Coroutine {
    pub(crate) l: *mut lua_State,
    pub(crate) r: c_int,
    /// Who resumed whom: the entry first, the one that runs last. Kept here so that it is not allocated per request.
    chain: Vec<*mut lua_State>,
}

impl Coroutine {
    /// Makes a coroutine that scripts cannot resume.
    ///
    /// # Safety
    /// Host mode.
    unsafe fn new(core: &Core) -> Self {
        let l = core.l.get();
        // SAFETY: as this function's contract says; the new thread is taken off the stack into the registry.
        unsafe {
            let co = lua::lua_newthread(l);
            let r = lua::luaL_ref(l, lua::LUA_REGISTRYINDEX);
            seal(core, co);
            Self { l: co, r, chain: Vec::new() }
        }
    }

    /// Sees to it that no script goes on with what was left suspended: values that the prelude waits for come from the
    /// host only.
    ///
    /// # Safety
    /// Host mode; the registry still keeps the coroutine.
    pub(crate) unsafe fn abandon(&self, core: &Core) {
        for &l in &self.chain {
            // SAFETY: as this function's contract says; each is kept by the stack of the one before it.
            unsafe {
                (*core.busy.get()).remove(&l);
                seal(core, l);
            }
        }
    }
}

/// # Safety
/// Host mode; `co` is alive and at rest.
unsafe fn seal(core: &Core, co: *mut lua_State) {
    let l = core.l.get();
    // SAFETY: as this function's contract says. Both stacks have room; where one cannot have it, the coroutine is
    // beyond use anyway.
    unsafe {
        if lua::lua_checkstack(l, 4) == 0 || lua::lua_checkstack(co, 1) == 0 {
            return;
        }
        lua::lua_rawgeti(l, lua::LUA_REGISTRYINDEX, core.sealed.get().into());
        lua::lua_pushthread(co);
        lua::lua_xmove(co, l, 1);
        lua::lua_pushboolean(l, 1);
        lua::lua_rawset(l, -3);
        lua::lua_settop(l, -2);
    }
}

/// One request's (or timer's) use of one VM: its `ngx.ctx` and its CPU budget. A clone is the same session.
pub struct Session<H: Host>(Rc<SessionInner<H>>);

impl<H: Host> Clone for Session<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[repr(C)]
struct SessionInner<H: Host> {
    ctx: SessionCtx,
    vm: Vm<H>,
    /// CPU time charged to its runs.
    used: Cell<Duration>,
    /// What one run may use.
    per_resume: Cell<Duration>,
}

impl<H: Host> Drop for SessionInner<H> {
    fn drop(&mut self) {
        if self.ctx.ctx_used.get() != 0 {
            self.vm.0.discard(Garbage::Ctx(self.ctx.ctx_id));
        } else {
            self.vm.0.free_ctx_id(self.ctx.ctx_id);
        }
    }
}

/// A chunk on its way: not started, suspended, or at its end. Dropping a suspended one leaves it to the collector.
pub struct Thread<H: Host> {
    vm: Vm<H>,
    /// Taken by `drop` only.
    co: Option<Coroutine>,
    state: State,
    /// Arguments on the stack, before the start.
    args: c_int,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Suspended,
    Finished,
    Failed,
}

impl<H: Host> Drop for Thread<H> {
    fn drop(&mut self) {
        let Some(mut co) = self.co.take() else { return };
        let core = self.vm.core();
        let mut pool = self.vm.0.pool.borrow_mut();
        if matches!(self.state, State::Finished | State::New) && core.depth.get() == 0 && pool.len() < MAX_POOLED {
            // SAFETY: the coroutine has ended or never begun, so its stack is the host's.
            unsafe { lua::lua_settop(co.l, 0) };
            co.chain.clear();
            pool.push(co);
        } else {
            drop(pool);
            self.vm.0.discard(Garbage::Thread(co));
        }
    }
}

impl<H: Host> Session<H> {
    pub(crate) fn new(vm: &Vm<H>) -> Self {
        let ctx = SessionCtx { ctx_id: vm.0.new_ctx_id(), ctx_used: Cell::new(0) };
        let per_resume = Cell::new(vm.0.limits.cpu_per_resume);
        Self(Rc::new(SessionInner { ctx, vm: vm.clone(), used: Cell::default(), per_resume }))
    }

    /// The VM that this session is of.
    pub fn vm(&self) -> &Vm<H> {
        &self.0.vm
    }

    /// Lets the runs that follow use this much CPU time each, instead of the VM's `cpu_per_resume`.
    pub fn limit_resume(&self, cpu: Duration) {
        self.0.per_resume.set(cpu);
    }

    /// CPU time charged to this session so far, in steps of the watchdog's tick (5 ms).
    pub fn cpu_used(&self) -> Duration {
        self.0.used.get()
    }

    fn inner(&self) -> &VmInner<H> {
        &self.0.vm.0
    }

    fn core(&self) -> &Core {
        self.0.vm.core()
    }

    /// A coroutine that will run the chunk with these arguments.
    ///
    /// # Errors
    /// `Memory` when the VM is beyond its limit.
    pub fn thread(&self, chunk: &Chunk<H>, args: &[Arg<'_, H>]) -> Result<Thread<H>, ScriptError> {
        self.inner().sweep();
        self.check_memory(args.iter().map(weight).sum())?;
        let core = self.core();
        let enforce = core.account.enforce.replace(false);
        let co = self.inner().pool.borrow_mut().pop().unwrap_or_else(|| {
            // SAFETY: host mode.
            unsafe { Coroutine::new(core) }
        });
        let mut thread = Thread { vm: self.0.vm.clone(), co: Some(co), state: State::New, args: 0 };
        let co = thread.co.as_ref().map_or(std::ptr::null_mut(), |co| co.l);
        // SAFETY: host mode on a coroutine that has ended or never begun.
        let pushed = unsafe { push_call(co, chunk, args) };
        core.account.enforce.set(enforce);
        thread.args = pushed?;
        Ok(thread)
    }

    /// Runs until the script ends, fails, or waits for the host. `values` are what the pending operation returns to
    /// the script; they are ignored at the start.
    pub fn resume(&self, thread: &mut Thread<H>, host: &mut H, phase: Phase, values: &[Value]) -> Step {
        let (State::New | State::Suspended, Some(co)) = (thread.state, thread.co.as_mut()) else {
            return Step::Error(ScriptError::new(ErrorKind::Runtime, "cannot resume dead coroutine"));
        };
        self.inner().sweep();
        let mut args = thread.args;
        if thread.state == State::New {
            co.chain.push(co.l);
        } else {
            args = match self.push_values(co, values) {
                Ok(n) => n,
                Err(error) => {
                    thread.state = State::Failed;
                    return Step::Error(error);
                }
            };
        }
        let end = self.run(host, phase, true, |core| drive(core, &mut co.chain, args));
        let (state, step) = match end {
            Ok(End::Done) => (State::Finished, Step::Done),
            Ok(End::Wait) => (State::Suspended, Step::Yield),
            Ok(End::Failed(kind)) => (State::Failed, Step::Error(self.failure(kind, &co.chain))),
            Err(error) => (State::Failed, Step::Error(error)),
        };
        if state == State::Suspended && co.chain.len() > 1 {
            // SAFETY: one thread, and no reference to the set is held over a call.
            unsafe { (*self.core().busy.get()).extend(co.chain.iter().copied()) };
        }
        thread.state = state;
        step
    }

    /// Runs a chunk to its end on the main state, where nothing may wait: init, header_filter, body_filter, log,
    /// balancer.
    ///
    /// # Errors
    /// What the script raised, or the limit that it met.
    pub fn call(
        &self,
        host: &mut H,
        phase: Phase,
        chunk: &Chunk<H>,
        args: &[Arg<'_, H>],
    ) -> Result<Returned, ScriptError> {
        self.inner().sweep();
        self.check_memory(args.iter().map(weight).sum())?;
        let handler = self.inner().refs.handler;
        self.run(host, phase, false, |core| {
            let l = core.l.get();
            // SAFETY: host mode but for the protected call.
            unsafe {
                let top = lua::lua_gettop(l);
                if lua::lua_checkstack(l, 8) == 0 {
                    return Err(ScriptError::new(ErrorKind::Memory, "stack overflow"));
                }
                lua::lua_rawgeti(l, lua::LUA_REGISTRYINDEX, handler.into());
                let n = push_call(l, chunk, args)?;
                let rc = enforced(core, || lua::lua_pcall(l, n, 1, top + 1));
                let result = if rc == lua::LUA_OK {
                    let number = lua::lua_type(l, -1) == lua::LUA_TNUMBER;
                    Ok(number.then(|| lua::lua_tonumber(l, -1) as i64))
                } else {
                    Err(split_traceback(kind_of(core, rc), error_text(l)))
                };
                lua::lua_settop(l, top);
                result
            }
        })?
    }

    /// Makes this session's host, phase and mode the VM's current ones, with a CPU budget, while `body` runs.
    fn run<R>(&self, host: &mut H, phase: Phase, flat: bool, body: impl FnOnce(&Core) -> R) -> Result<R, ScriptError> {
        let core = self.core();
        let left = self.inner().limits.cpu_per_request.saturating_sub(self.0.used.get());
        if left.is_zero() {
            return Err(ScriptError::new(ErrorKind::Cpu, CPU_EXCEEDED));
        }
        if !core.slot.begin(core, self.0.per_resume.get().min(left)) {
            return Err(ScriptError::new(ErrorKind::Runtime, "too many nested runs"));
        }
        let result = self.with_current(host, phase, flat, body);
        self.0.used.set(self.0.used.get() + core.slot.end(core));
        Ok(result)
    }

    fn with_current<R>(&self, host: &mut H, phase: Phase, flat: bool, body: impl FnOnce(&Core) -> R) -> R {
        let core = self.core();
        let ctx = &core.ctx;
        let host = ctx.host.replace(std::ptr::from_mut(host).cast());
        let session_ctx = ctx.session.replace(&raw const self.0.ctx);
        let session = core.session.replace(std::ptr::from_ref(self).cast::<c_void>());
        let phase = ctx.phase.replace(phase as i32);
        let flat = ctx.flat.replace(c_int::from(flat));
        let current = core.current.replace(std::ptr::null_mut());
        let chain = core.chain.replace(std::ptr::null());
        let enforce = core.account.enforce.replace(false);
        core.depth.set(core.depth.get() + 1);
        // SAFETY: no Lua code of this VM runs, or it waits in a C function that called the host.
        unsafe { limits::make_room(core) };
        let result = body(core);
        core.depth.set(core.depth.get() - 1);
        core.account.enforce.set(enforce);
        core.chain.set(chain);
        core.current.set(current);
        ctx.flat.set(flat);
        ctx.phase.set(phase);
        core.session.set(session);
        ctx.session.set(session_ctx);
        ctx.host.set(host);
        result
    }

    /// Before host memory goes into the VM: is there room, if need be after a collection?
    fn check_memory(&self, more: usize) -> Result<(), ScriptError> {
        let account = &self.core().account;
        let room = |more: usize| account.total().saturating_add(more) <= account.hard.get();
        if room(more) {
            return Ok(());
        }
        if self.core().depth.get() == 0 {
            self.0.vm.collect();
            if room(more) {
                return Ok(());
            }
        }
        Err(ScriptError::new(ErrorKind::Memory, "not enough memory"))
    }

    /// Puts what a suspended coroutine gets on its stack.
    fn push_values(&self, co: &mut Coroutine, values: &[Value]) -> Result<c_int, ScriptError> {
        let Some(&l) = co.chain.last() else { return Ok(0) };
        if co.chain.len() > 1 {
            // SAFETY: one thread, and no reference to the set is held over a call.
            let busy = unsafe { &mut *self.core().busy.get() };
            co.chain.iter().for_each(|l| _ = busy.remove(l));
        }
        self.check_memory(values.iter().map(Value::weight).sum())?;
        let n = c_int::try_from(values.len()).unwrap_or(c_int::MAX);
        // SAFETY: host mode; the coroutine is suspended, so its stack is the host's.
        unsafe {
            if lua::lua_checkstack(l, n) == 0 {
                return Err(ScriptError::new(ErrorKind::Memory, "stack overflow"));
            }
            values.iter().for_each(|value| push_value(l, value));
        }
        Ok(n)
    }

    /// The error on top of the last coroutine of the chain.
    fn failure(&self, kind: ErrorKind, chain: &[*mut lua_State]) -> ScriptError {
        let Some(&last) = chain.last() else { return ScriptError::new(kind, "unknown reason") };
        // SAFETY: host mode; the failed coroutine's stack is as the error left it.
        unsafe {
            let message = if kind == ErrorKind::Cpu { CPU_EXCEEDED.into() } else { error_text(last) };
            let mut traceback = String::new();
            for (i, &l) in chain.iter().rev().enumerate().take(MAX_TRACED) {
                traceback.push_str(&format!("{}coroutine {i}:", if i > 0 { "\n" } else { "" }));
                traceback.push_str(&stack_of(self.core().l.get(), l));
            }
            ScriptError { kind, message, traceback }
        }
    }
}

/// Coroutines of a chain that a traceback shows.
const MAX_TRACED: usize = 5;

/// How a drive ended.
enum End {
    Done,
    Wait,
    Failed(ErrorKind),
}

/// Runs the last coroutine of the chain, and those it resumes, until the entry ends or the request must wait.
fn drive(core: &Core, chain: &mut Vec<*mut lua_State>, mut args: c_int) -> End {
    loop {
        let Some(&co) = chain.last() else { return End::Done };
        core.current.set(co);
        core.chain.set(std::ptr::from_ref(chain));
        core.yielded.set(YieldKind::User);
        // SAFETY: `co` is kept by the registry or by the stack of the one before it, and has `args` values on top.
        let rc = enforced(core, || unsafe { lua::lua_resume_(co, args) });
        let parent = chain.len().checked_sub(2).map(|i| chain[i]);
        // SAFETY: host mode; all coroutines of the chain are at rest.
        args = match (rc, parent) {
            (lua::LUA_YIELD, _) if core.yielded.get() == YieldKind::Host => return End::Wait,
            (lua::LUA_YIELD, _) if core.yielded.get() == YieldKind::Resume => unsafe { descend(chain, co) },
            (lua::LUA_OK, None) => return End::Done,
            // A native yield at the top: nothing was noted to wait for, the host sees to it that the run goes on.
            (lua::LUA_YIELD, None) => return End::Wait,
            (lua::LUA_OK | lua::LUA_YIELD, Some(parent)) => {
                chain.pop();
                unsafe { hand_over(co, parent, true) }
            }
            // A killed run ends, whichever of its coroutines the kill met.
            (rc, _) if kind_of(core, rc) == ErrorKind::Cpu => return End::Failed(ErrorKind::Cpu),
            (rc, None) => return End::Failed(kind_of(core, rc)),
            (_, Some(parent)) => {
                chain.pop();
                unsafe { hand_over(co, parent, false) }
            }
        };
    }
}

/// `co` yielded (target, args...): the target goes on with the arguments. It stays on `co`'s stack, which keeps it.
///
/// # Safety
/// Host mode; `co` is suspended in `co_resume`, which checked the target.
unsafe fn descend(chain: &mut Vec<*mut lua_State>, co: *mut lua_State) -> c_int {
    // SAFETY: as this function's contract says.
    unsafe {
        let target = lua::lua_tothread(co, 1);
        let n = lua::lua_gettop(co) - 1;
        lua::lua_xmove(co, target, n);
        chain.push(target);
        n
    }
}

/// Gives what `co` yielded, returned or raised to the one that resumed it, as `coroutine.resume` returns it.
///
/// # Safety
/// Host mode; both are at rest.
unsafe fn hand_over(co: *mut lua_State, parent: *mut lua_State, ok: bool) -> c_int {
    // SAFETY: as this function's contract says; the stack is checked before the values are moved.
    unsafe {
        let n = if ok { lua::lua_gettop(co) } else { 1 };
        if lua::lua_checkstack(parent, n + 1) == 0 {
            lua::lua_settop(co, 0);
            lua::lua_pushboolean(parent, 0);
            lua::lua_pushstring(parent, c"too many results to resume".as_ptr());
            return 2;
        }
        lua::lua_pushboolean(parent, c_int::from(ok));
        lua::lua_xmove(co, parent, n);
        n + 1
    }
}

/// Lua runs in `call`, which is protected: the memory limit acts.
fn enforced(core: &Core, call: impl FnOnce() -> c_int) -> c_int {
    core.account.enforce.set(true);
    let rc = call();
    core.account.enforce.set(false);
    rc
}

/// Of an error inside a run.
fn kind_of(core: &Core, rc: c_int) -> ErrorKind {
    match rc {
        lua::LUA_ERRMEM if core.slot.killed() => ErrorKind::Cpu,
        lua::LUA_ERRMEM => ErrorKind::Memory,
        _ => ErrorKind::Runtime,
    }
}

/// The message of a killed run.
pub(crate) const CPU_EXCEEDED: &str = "CPU time limit exceeded";

/// `luaL_traceback` of a coroutine at rest, without its first line.
///
/// # Safety
/// Host mode.
unsafe fn stack_of(l: *mut lua_State, co: *mut lua_State) -> String {
    unsafe extern "C-unwind" {
        fn luaL_traceback(l: *mut lua_State, l1: *mut lua_State, msg: *const std::ffi::c_char, level: c_int);
    }
    // SAFETY: as this function's contract says.
    unsafe {
        luaL_traceback(l, co, std::ptr::null(), 0);
        let text = error_text(l);
        lua::lua_settop(l, -2);
        text.strip_prefix("stack traceback:").unwrap_or(&text).to_owned()
    }
}

/// The message handler put the traceback behind the message.
fn split_traceback(kind: ErrorKind, text: String) -> ScriptError {
    if kind == ErrorKind::Cpu {
        return ScriptError::new(kind, CPU_EXCEEDED);
    }
    match text.rfind("\nstack traceback:\n") {
        Some(at) => ScriptError {
            kind,
            traceback: text[at + "\nstack traceback:\n".len()..].to_owned(),
            message: text[..at].to_owned(),
        },
        None => ScriptError::new(kind, text),
    }
}

fn weight<H: Host>(arg: &Arg<'_, H>) -> usize {
    match arg {
        Arg::Str(s) => s.len(),
        _ => 0,
    }
}

/// Pushes a chunk and its arguments; returns their number.
///
/// # Safety
/// Host mode; `l`'s stack is the host's.
unsafe fn push_call<H: Host>(l: *mut lua_State, chunk: &Chunk<H>, args: &[Arg<'_, H>]) -> Result<c_int, ScriptError> {
    let n = c_int::try_from(args.len()).unwrap_or(c_int::MAX - 1);
    // SAFETY: as this function's contract says.
    unsafe {
        if lua::lua_checkstack(l, n.saturating_add(1)) == 0 {
            return Err(ScriptError::new(ErrorKind::Memory, "stack overflow"));
        }
        lua::lua_rawgeti(l, lua::LUA_REGISTRYINDEX, chunk.0.r.into());
        for arg in args {
            match arg {
                Arg::Handle(handle) => _ = lua::lua_rawgeti(l, lua::LUA_REGISTRYINDEX, handle.0.r.into()),
                Arg::Int(i) => lua::lua_pushnumber(l, *i as f64),
                Arg::Num(n) => lua::lua_pushnumber(l, *n),
                Arg::Bool(b) => lua::lua_pushboolean(l, c_int::from(*b)),
                Arg::Str(s) => _ = lua::lua_pushlstring(l, s.as_ptr().cast(), s.len()),
                Arg::Nil => lua::lua_pushnil(l),
            }
        }
    }
    Ok(n)
}

/// # Safety
/// Host mode; there is room on the stack.
unsafe fn push_value(l: *mut lua_State, value: &Value) {
    // SAFETY: as this function's contract says.
    unsafe {
        match value {
            Value::Nil => lua::lua_pushnil(l),
            Value::Bool(b) => lua::lua_pushboolean(l, c_int::from(*b)),
            Value::Int(i) => lua::lua_pushnumber(l, *i as f64),
            Value::Num(n) => lua::lua_pushnumber(l, *n),
            Value::Str(s) => _ = lua::lua_pushlstring(l, s.as_ptr().cast(), s.len()),
        }
    }
}
