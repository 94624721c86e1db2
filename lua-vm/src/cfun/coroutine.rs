//! Coroutines of scripts. While a coroutine of the host runs they are flat: resuming one yields to the scheduler
//! (`session.rs`), which runs the target itself, so that an operation in an inner coroutine suspends the request and
//! not only that coroutine. On the main state, and below C functions such as `table.sort`, they nest natively.
use super::core;
use crate::ctx::{Core, YieldKind};
use crate::session::MAX_CHAIN;
use mlua_sys as lua;
use mlua_sys::lua_State;
use std::ffi::{CStr, c_int};

/// Native resumes on the C stack; each takes some hundred bytes of it, and a worker's is 2 MiB at least.
const MAX_NATIVE: u32 = 150;

unsafe extern "C-unwind" {
    fn lua_isyieldable(l: *mut lua_State) -> c_int;
}

/// What a script sees of a coroutine.
unsafe fn status_of(l: *mut lua_State, core: &Core, co: *mut lua_State) -> &'static CStr {
    // SAFETY: one thread; the chain and the set are not changed while Lua runs.
    unsafe {
        if co == l {
            return c"running";
        }
        let chain = core.chain.get();
        if (!chain.is_null() && (*chain).contains(&co)) || (*core.busy.get()).contains(&co) {
            return c"normal";
        }
        if is_sealed(l, core, co) {
            return c"dead";
        }
        match lua::lua_status(co) {
            lua::LUA_YIELD => c"suspended",
            lua::LUA_OK => {
                let mut ar = std::mem::zeroed();
                if lua::lua_getstack(co, 0, &mut ar) > 0 {
                    c"normal"
                } else if lua::lua_gettop(co) == 0 {
                    c"dead"
                } else {
                    c"suspended"
                }
            }
            _ => c"dead",
        }
    }
}

/// Is it a coroutine of the host that does not run now, or one that its request left behind?
unsafe fn is_sealed(l: *mut lua_State, core: &Core, co: *mut lua_State) -> bool {
    // SAFETY: `l` runs a C function whose first argument is `co`.
    unsafe {
        debug_assert_eq!(lua::lua_tothread(l, 1), co);
        lua::lua_rawgeti(l, lua::LUA_REGISTRYINDEX, core.sealed.get().into());
        lua::lua_pushvalue(l, 1);
        lua::lua_rawget(l, -2);
        let sealed = lua::lua_toboolean(l, -1) != 0;
        lua::lua_settop(l, -3);
        sealed
    }
}

unsafe fn check_thread(l: *mut lua_State) -> *mut lua_State {
    // SAFETY: a C function's own stack.
    unsafe {
        lua::luaL_checktype(l, 1, lua::LUA_TTHREAD);
        lua::lua_tothread(l, 1)
    }
}

/// `co_status(co)`
pub(super) unsafe extern "C-unwind" fn status(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack.
    unsafe {
        let co = check_thread(l);
        lua::lua_pushstring(l, status_of(l, core(l), co).as_ptr());
    }
    1
}

/// `co_at_entry()`: is the caller the coroutine that the host started?
pub(super) unsafe extern "C-unwind" fn at_entry(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack; the chain outlives the run.
    unsafe {
        let core = core(l);
        let entry = core.current.get() == l && (*core.chain.get()).len() == 1;
        lua::lua_pushboolean(l, c_int::from(entry));
    }
    1
}

unsafe fn is_flat(l: *mut lua_State, core: &Core) -> bool {
    // SAFETY: `l` runs a C function.
    core.current.get() == l && unsafe { lua_isyieldable(l) } != 0
}

/// `co_resume(co, ...)`
pub(super) unsafe extern "C-unwind" fn resume(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack; the target is at rest when its status is `suspended`.
    unsafe {
        let core = core(l);
        let co = check_thread(l);
        let status = status_of(l, core, co);
        if status != c"suspended" {
            lua::lua_pushboolean(l, 0);
            lua::lua_pushfstring(l, c"cannot resume %s coroutine".as_ptr(), status.as_ptr());
            return 2;
        }
        let n = lua::lua_gettop(l);
        if lua::lua_checkstack(co, n) == 0 {
            return fail(l, c"too many arguments to resume");
        }
        if !is_flat(l, core) {
            return resume_natively(l, core, co, n - 1);
        }
        if (*core.chain.get()).len() >= MAX_CHAIN {
            return fail(l, c"too many nested coroutines");
        }
        core.yielded.set(YieldKind::Resume);
        lua::lua_yield(l, n)
    }
}

unsafe fn fail(l: *mut lua_State, text: &CStr) -> c_int {
    // SAFETY: `l` runs a C function.
    unsafe {
        lua::lua_pushboolean(l, 0);
        lua::lua_pushstring(l, text.as_ptr());
    }
    2
}

unsafe fn resume_natively(l: *mut lua_State, core: &Core, co: *mut lua_State, args: c_int) -> c_int {
    // SAFETY: `co` is suspended and has room for the arguments. `lua_resume` returns errors instead of raising them.
    unsafe {
        if core.native_depth.get() >= MAX_NATIVE {
            return fail(l, c"C stack overflow");
        }
        lua::lua_xmove(l, co, args);
        core.native_depth.set(core.native_depth.get() + 1);
        let rc = lua::lua_resume_(co, args);
        core.native_depth.set(core.native_depth.get() - 1);
        let ok = rc == lua::LUA_OK || rc == lua::LUA_YIELD;
        let n = if ok { lua::lua_gettop(co) } else { 1 };
        if lua::lua_checkstack(l, n + 1) == 0 {
            lua::lua_settop(co, 0);
            return fail(l, c"too many results to resume");
        }
        lua::lua_pushboolean(l, c_int::from(ok));
        lua::lua_xmove(co, l, n);
        n + 1
    }
}

/// `co_yield(...)` of a coroutine that a script made. The entry's own yield is `ngx.sleep(0)`'s business.
pub(super) unsafe extern "C-unwind" fn yield_(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack.
    unsafe {
        let core = core(l);
        core.yielded.set(YieldKind::User);
        lua::lua_yield(l, lua::lua_gettop(l))
    }
}
