//! `ngx.say`, `ngx.print`, `ngx.log`: arguments gathered as bytes in the VM's scratch buffer, then handed to the host.
use super::{core, suspend};
use crate::ctx::{Core, SCRATCH_KEPT};
use crate::{Host, Outcome, Session};
use mlua_sys as lua;
use mlua_sys::lua_State;
use std::ffi::c_int;

/// Tables in tables that `say` follows; each level takes C stack.
const MAX_DEPTH: u32 = 50;

/// Adds to the scratch buffer. Raises when the VM has no room for it: a table can name one string many times.
unsafe fn add(l: *mut lua_State, core: &Core, bytes: &[u8]) {
    // SAFETY: one thread, and no reference to the buffer is held over a call. Nothing is dropped when it raises.
    unsafe {
        let scratch = &mut *core.scratch.get();
        // A `Vec` doubles when it grows.
        let grows = scratch.len() + bytes.len() > scratch.capacity().max(SCRATCH_KEPT);
        if grows && !core.charge_scratch((scratch.len() + bytes.len()).max(2 * scratch.capacity())) {
            core.clear_scratch();
            lua::luaL_error(l, c"not enough memory".as_ptr());
        }
        scratch.extend_from_slice(bytes);
    }
}

/// Adds a string or number as Lua writes it.
unsafe fn add_string(l: *mut lua_State, core: &Core, index: c_int) {
    // SAFETY: the value at `index` keeps the bytes; a number is converted in place.
    unsafe {
        let mut n = 0;
        let p = lua::lua_tolstring(l, index, &mut n);
        add(l, core, std::slice::from_raw_parts(p.cast(), n));
    }
}

/// Adds one argument as `ngx.say` writes it.
unsafe fn add_value(l: *mut lua_State, core: &Core, arg: c_int, index: c_int, depth: u32) {
    // SAFETY: `index` is absolute or at the top; tables are read raw, so no script runs.
    unsafe {
        match lua::lua_type(l, index) {
            lua::LUA_TSTRING | lua::LUA_TNUMBER => add_string(l, core, index),
            lua::LUA_TNIL => add(l, core, b"nil"),
            lua::LUA_TBOOLEAN if lua::lua_toboolean(l, index) != 0 => add(l, core, b"true"),
            lua::LUA_TBOOLEAN => add(l, core, b"false"),
            lua::LUA_TLIGHTUSERDATA if lua::lua_touserdata(l, index).is_null() => add(l, core, b"null"),
            lua::LUA_TTABLE if depth < MAX_DEPTH => add_array(l, core, arg, index, depth),
            other if depth == 0 => {
                let found = lua::lua_typename(l, other);
                let text = c"string, number, boolean, nil, ngx.null, or array table expected, but got %s";
                lua::luaL_argerror(l, arg, lua::lua_pushfstring(l, text.as_ptr(), found));
            }
            other => {
                let found = lua::lua_typename(l, other);
                lua::luaL_argerror(l, arg, lua::lua_pushfstring(l, c"bad data type %s found".as_ptr(), found));
            }
        }
    }
}

unsafe fn add_array(l: *mut lua_State, core: &Core, arg: c_int, index: c_int, depth: u32) {
    // SAFETY: room for the values of this level is checked; a key is never converted.
    unsafe {
        // Tables that hold one another many times over are visited as often, without end for all that matters.
        if core.slot.killed() {
            lua::luaL_error(l, c"CPU time limit exceeded".as_ptr());
        }
        lua::luaL_checkstack(l, 4, c"nested too deep".as_ptr());
        let mut max = 0.0;
        lua::lua_pushnil(l);
        while lua::lua_next(l, index) != 0 {
            let key = lua::lua_tonumber(l, -2);
            if lua::lua_type(l, -2) != lua::LUA_TNUMBER || key < 1.0 || key.fract() != 0.0 {
                lua::luaL_argerror(l, arg, c"non-array table found".as_ptr());
            }
            max = key.max(max);
            lua::lua_settop(l, -2);
        }
        // Holes are read as nil, as OpenResty does, but not a billion of them.
        let len = if max > f64::from(i32::MAX) { 0 } else { max as i64 };
        if len > lua::lua_objlen(l, index) as i64 + 1024 {
            lua::luaL_argerror(l, arg, c"sparse table found".as_ptr());
        }
        for i in 1..=len {
            lua::lua_rawgeti(l, index, i);
            let top = lua::lua_gettop(l);
            add_value(l, core, arg, top, depth + 1);
            lua::lua_settop(l, top - 1);
        }
    }
}

/// `ngx.print(...)`
pub(super) unsafe extern "C-unwind" fn print<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack.
    unsafe { output::<H>(l, false) }
}

/// `ngx.say(...)`
pub(super) unsafe extern "C-unwind" fn say<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack.
    unsafe { output::<H>(l, true) }
}

/// `ngx.send_headers()`
pub(super) unsafe extern "C-unwind" fn send_headers<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack; see `with_host` for the host.
    unsafe {
        let core = core(l);
        let answer = with_host::<H>(core, |host, session, _| host.send_headers(session));
        finish(l, core, answer)
    }
}

/// `ngx.flush(wait)`; the prelude has checked the argument.
pub(super) unsafe extern "C-unwind" fn flush<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack; see `with_host` for the host.
    unsafe {
        let core = core(l);
        let wait = lua::lua_toboolean(l, 1) != 0;
        let answer = with_host::<H>(core, |host, session, _| host.flush(session, wait));
        finish(l, core, answer)
    }
}

/// `ngx.eof()`
pub(super) unsafe extern "C-unwind" fn eof<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack; see `with_host` for the host.
    unsafe {
        let core = core(l);
        let answer = with_host::<H>(core, |host, session, _| host.eof(session));
        finish(l, core, answer)
    }
}

unsafe fn output<H: Host>(l: *mut lua_State, newline: bool) -> c_int {
    // SAFETY: a C function's own stack; see `with_host` for the host.
    unsafe {
        let core = core(l);
        core.clear_scratch();
        for arg in 1..=lua::lua_gettop(l) {
            add_value(l, core, arg, arg, 0);
        }
        if newline {
            add(l, core, b"\n");
        }
        let answer = with_host::<H>(core, |host, session, data| host.output(session, data));
        finish(l, core, answer)
    }
}

/// An outcome whose text, if any, is in the scratch buffer: plain data, since what follows may raise.
pub(super) enum Answer {
    Ok,
    Fail,
    Raise,
    Wait,
}

/// Calls the host with what was gathered. Nothing in here raises a Lua error: whatever Lua the host runs is protected.
///
/// # Safety
/// A run of a `Session<H>` is on the stack.
pub(super) unsafe fn with_host<H: Host>(
    core: &Core,
    call: impl FnOnce(&mut H, &Session<H>, &[u8]) -> Outcome,
) -> Answer {
    // SAFETY: `Session::run` set the host and the session, and they outlive the run. A nested use of the buffer finds
    // an empty one.
    unsafe {
        let data = std::mem::take(&mut *core.scratch.get());
        let charged = core.scratch_charged.replace(0);
        let host = &mut *core.ctx.host.get().cast::<H>();
        let session = &*core.session.get().cast::<Session<H>>();
        let enforce = core.account.enforce.replace(false);
        let run = std::panic::AssertUnwindSafe(|| call(host, session, &data));
        let outcome = std::panic::catch_unwind(run).unwrap_or(Outcome::Raise("internal error".into()));
        core.account.enforce.set(enforce);
        // What a nested use that raised has left, with its charge.
        core.clear_scratch();
        *core.scratch.get() = data;
        core.scratch_charged.set(charged);
        core.clear_scratch();
        let scratch = &mut *core.scratch.get();
        match outcome {
            Outcome::Ok => Answer::Ok,
            Outcome::Wait => Answer::Wait,
            Outcome::Fail(text) => {
                scratch.extend_from_slice(text.as_bytes());
                Answer::Fail
            }
            Outcome::Raise(text) => {
                scratch.extend_from_slice(text.as_bytes());
                Answer::Raise
            }
        }
    }
}

/// Gives an answer to the script.
///
/// # Safety
/// `l` runs a C function, which returns what this returns.
pub(super) unsafe fn finish(l: *mut lua_State, core: &Core, answer: Answer) -> c_int {
    // SAFETY: as this function's contract says; the text stays in the VM's buffer.
    unsafe {
        let text = &*core.scratch.get();
        match answer {
            Answer::Ok => {
                lua::lua_pushnumber(l, 1.0);
                1
            }
            Answer::Fail => {
                lua::lua_pushnil(l);
                lua::lua_pushlstring(l, text.as_ptr().cast(), text.len());
                2
            }
            Answer::Raise => {
                lua::luaL_where(l, 1);
                lua::lua_pushlstring(l, text.as_ptr().cast(), text.len());
                lua::lua_concat(l, 2);
                lua::lua_error(l)
            }
            Answer::Wait => suspend(l, core),
        }
    }
}

/// `ngx.log(level, ...)`: `[lua] access:3: f(): message`
pub(super) unsafe extern "C-unwind" fn log<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack.
    unsafe {
        let core = core(l);
        let level = lua::luaL_checkinteger(l, 1);
        if !(0..=8).contains(&level) {
            let text = lua::lua_pushfstring(l, c"bad log level: %d".as_ptr(), level as c_int);
            return lua::luaL_argerror(l, 1, text);
        }
        // Off the stack, so that a wrong argument is counted from the first that is logged, as in OpenResty.
        lua::lua_remove(l, 1);
        core.clear_scratch();
        add_place(l, core);
        for arg in 1..=lua::lua_gettop(l) {
            add_log_value(l, core, arg, false);
        }
        send_log::<H>(core, level as i32);
    }
    0
}

/// `raw_log(level, message)` of `ngx.errlog`, without a place; the prelude has checked the arguments.
pub(super) unsafe extern "C-unwind" fn raw_log<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack.
    unsafe {
        let core = core(l);
        let level = lua::luaL_checkinteger(l, 1);
        lua::luaL_checklstring(l, 2, std::ptr::null_mut());
        core.clear_scratch();
        add_string(l, core, 2);
        send_log::<H>(core, level as i32);
    }
    0
}

unsafe fn send_log<H: Host>(core: &Core, level: i32) {
    // SAFETY: a run of a `Session<H>` is on the stack.
    unsafe {
        with_host::<H>(core, |host, _, message| {
            host.log(level, message);
            Outcome::Ok
        });
    }
}

/// The level of nginx that the standard `print` logs at.
const NOTICE: i32 = 6;

/// The standard `print`: to the log, any value as `tostring` shows it.
pub(super) unsafe extern "C-unwind" fn notice<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack. While a VM is made there is no host yet.
    unsafe {
        let core = core(l);
        if core.ctx.host.get().is_null() {
            return 0;
        }
        core.clear_scratch();
        add_place(l, core);
        for arg in 1..=lua::lua_gettop(l) {
            add_log_value(l, core, arg, true);
        }
        send_log::<H>(core, NOTICE);
    }
    0
}

/// Who called the function that runs.
unsafe fn add_place(l: *mut lua_State, core: &Core) {
    // SAFETY: `ar` is filled by `lua_getstack`; its strings live as long as the function on the stack.
    unsafe {
        add(l, core, b"[lua] ");
        let mut ar: lua::lua_Debug = std::mem::zeroed();
        if lua::lua_getstack(l, 1, &mut ar) == 0 || lua::lua_getinfo(l, c"nSl".as_ptr(), &mut ar) == 0 {
            return;
        }
        let source = std::ffi::CStr::from_ptr(ar.short_src.as_ptr()).to_bytes();
        add(l, core, source.rsplit(|b| *b == b'/').next().unwrap_or(source));
        add(l, core, b":");
        lua::lua_pushinteger(l, ar.currentline.max(0).into());
        add_string(l, core, -1);
        lua::lua_settop(l, -2);
        add(l, core, b": ");
        if !ar.name.is_null() {
            add(l, core, std::ffi::CStr::from_ptr(ar.name).to_bytes());
            add(l, core, b"(): ");
        }
    }
}

unsafe fn add_log_value(l: *mut lua_State, core: &Core, arg: c_int, any: bool) {
    // SAFETY: a C function's own stack; `__tostring` runs under the script's own protection.
    unsafe {
        match lua::lua_type(l, arg) {
            lua::LUA_TSTRING | lua::LUA_TNUMBER => add_string(l, core, arg),
            lua::LUA_TNIL => add(l, core, b"nil"),
            lua::LUA_TBOOLEAN if lua::lua_toboolean(l, arg) != 0 => add(l, core, b"true"),
            lua::LUA_TBOOLEAN => add(l, core, b"false"),
            lua::LUA_TLIGHTUSERDATA if lua::lua_touserdata(l, arg).is_null() => add(l, core, b"null"),
            lua::LUA_TTABLE if lua::luaL_callmeta(l, arg, c"__tostring".as_ptr()) != 0 => {
                if lua::lua_isstring(l, -1) == 0 {
                    lua::luaL_argerror(l, arg, c"'__tostring' must return a string".as_ptr());
                }
                add_string(l, core, -1);
                lua::lua_settop(l, -2);
            }
            lua::LUA_TTABLE if !any => {
                lua::luaL_argerror(l, arg, c"expected table to have __tostring metamethod".as_ptr());
            }
            other if any => {
                let found = lua::lua_typename(l, other);
                lua::lua_pushfstring(l, c"%s: %p".as_ptr(), found, lua::lua_topointer(l, arg));
                add_string(l, core, -1);
                lua::lua_settop(l, -2);
            }
            other => {
                let found = lua::lua_typename(l, other);
                let text = lua::lua_pushfstring(l, c"string, number, boolean, or nil expected, got %s".as_ptr(), found);
                lua::luaL_argerror(l, arg, text);
            }
        }
    }
}
