//! Running: sessions and threads.
mod failure;
mod push;
mod schedule;

pub(crate) use failure::CPU_EXCEEDED;
pub(crate) use schedule::{Coroutine, MAX_CHAIN};

use crate::ctx::{Core, SessionCtx};
use crate::error::{ErrorKind, ScriptError};
use crate::vm::{Chunk, Garbage, Vm, VmInner, error_text};
use crate::{Arg, Host, Phase, Returned, Step, Value, limits};
use failure::{failure, kind_of, split_traceback};
use mlua_sys as lua;
use push::{push_call, push_value, weight};
use schedule::{End, drive, enforced};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::rc::Rc;
use std::time::Duration;

/// Finished coroutines that a VM keeps. Beyond that they are garbage: enough for the suspended requests of a busy
/// worker at 0.5 to 1 KiB each.
const MAX_POOLED: usize = 256;

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
            if self.state == State::Suspended {
                core.account.note_cut();
            }
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
            Ok(End::Failed(kind)) => (State::Failed, Step::Error(failure(self.core(), kind, &co.chain))),
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
        let room = |more: usize| account.total().saturating_add(more) <= account.limit();
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
}
