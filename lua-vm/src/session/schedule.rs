//! The flat scheduler of coroutines.
use super::failure::kind_of;
use crate::ctx::{Core, YieldKind};
use crate::error::ErrorKind;
use mlua_sys as lua;
use mlua_sys::lua_State;
use std::ffi::c_int;

/// Coroutines that may resume one another. Native ones end near 200 by the C stack; flat ones take heap only.
pub(crate) const MAX_CHAIN: usize = 1000;

/// A coroutine that the registry keeps.
pub(crate) struct Coroutine {
    pub(crate) l: *mut lua_State,
    pub(crate) r: c_int,
    /// Who resumed whom: the entry first, the one that runs last. Kept here so that it is not allocated per request.
    pub(super) chain: Vec<*mut lua_State>,
}

impl Coroutine {
    /// Makes a coroutine that scripts cannot resume.
    ///
    /// # Safety
    /// Host mode.
    pub(super) unsafe fn new(core: &Core) -> Self {
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

/// How a drive ended.
pub(super) enum End {
    Done,
    Wait,
    Failed(ErrorKind),
}

/// Runs the last coroutine of the chain, and those it resumes, until the entry ends or the request must wait.
pub(super) fn drive(core: &Core, chain: &mut Vec<*mut lua_State>, mut args: c_int) -> End {
    loop {
        let Some(&co) = chain.last() else { return End::Done };
        core.current.set(co);
        core.chain.set(std::ptr::from_ref(chain));
        core.yielded.set(YieldKind::User);
        // SAFETY: `co` is kept by the registry or by the stack of the one before it, and has `args` values on top.
        let rc = enforced(core, || unsafe { lua::lua_resume_(co, args) });
        let parent = chain.len().checked_sub(2).map(|i| chain[i]);
        args = match (rc, parent) {
            (lua::LUA_YIELD, _) if core.yielded.get() == YieldKind::Host => return End::Wait,
            (lua::LUA_YIELD, _) if core.yielded.get() == YieldKind::Resume => {
                // SAFETY: host mode; `co_resume` checked the target, which is the first of the values.
                unsafe { descend(chain, co) }
            }
            (lua::LUA_OK, None) => return End::Done,
            // A native yield of the entry: nothing was noted to wait for, the host sees to it that the run goes on.
            (lua::LUA_YIELD, None) => return End::Wait,
            // A killed run ends, whichever of its coroutines the kill met.
            (rc, _) if kind_of(core, rc) == ErrorKind::Cpu => return End::Failed(ErrorKind::Cpu),
            (rc, None) => return End::Failed(kind_of(core, rc)),
            (rc, Some(parent)) => {
                chain.pop();
                // SAFETY: host mode; all coroutines of the chain are at rest.
                unsafe { hand_over(co, parent, rc == lua::LUA_OK || rc == lua::LUA_YIELD) }
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
pub(super) fn enforced(core: &Core, call: impl FnOnce() -> c_int) -> c_int {
    core.account.enforce.set(true);
    let rc = call();
    core.account.enforce.set(false);
    rc
}
