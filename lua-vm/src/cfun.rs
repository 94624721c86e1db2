//! C functions that the prelude hands out or wraps: what yields, re-enters Lua through the host, or needs the Lua
//! state. Their first upvalue is the VM's `Core`.
//!
//! Each may raise, so none has a local with a destructor alive across a call of the Lua API.
mod coroutine;
mod output;

use crate::ctx::{Core, YieldKind};
use crate::{Host, loader};
use mlua_sys as lua;
use mlua_sys::{lua_CFunction, lua_State};
use std::ffi::{CStr, c_char, c_int};

/// The functions and their names in `P.C`.
pub(crate) fn functions<H: Host>() -> Vec<(&'static CStr, lua_CFunction)> {
    let mut functions: Vec<(&'static CStr, lua_CFunction)> = vec![
        (c"host_yield", host_yield),
        (c"cjson_open", crate::cjson::open),
        (c"module_source", module_source),
        (c"load_source", loader::load_source),
        (c"co_resume", coroutine::resume),
        (c"co_yield", coroutine::yield_),
        (c"co_status", coroutine::status),
        (c"co_at_entry", coroutine::at_entry),
        (c"log", output::log::<H>),
        (c"raw_log", output::raw_log::<H>),
        (c"notice", output::notice::<H>),
        (c"print", output::print::<H>),
        (c"say", output::say::<H>),
        (c"send_headers", output::send_headers::<H>),
        (c"flush", output::flush::<H>),
        (c"eof", output::eof::<H>),
    ];
    functions.extend(crate::pattern::FUNCTIONS);
    functions
}

/// The VM of a C function.
///
/// # Safety
/// `l` runs a function of `functions`; the VM outlives its state.
pub(crate) unsafe fn core<'a>(l: *mut lua_State) -> &'a Core {
    // SAFETY: as this function's contract says.
    unsafe { &*lua::lua_touserdata(l, lua::lua_upvalueindex(1)).cast::<Core>() }
}

/// The last thing that happens: an error outside of any protected call. It would be a defect of ours.
pub(crate) unsafe extern "C-unwind" fn panic(l: *mut lua_State) -> c_int {
    // SAFETY: the error is on top.
    let text = unsafe { crate::vm::error_text(l) };
    eprintln!("moongate: unprotected error in a Lua VM: {text}");
    std::process::abort()
}

unsafe extern "C-unwind" {
    fn luaL_traceback(l: *mut lua_State, l1: *mut lua_State, msg: *const c_char, level: c_int);
}

/// The message handler of calls on the main state: the message and where it came from.
pub(crate) unsafe extern "C-unwind" fn traceback(l: *mut lua_State) -> c_int {
    // SAFETY: a message handler has one argument; with the limit lifted nothing here raises.
    unsafe {
        let account = &core(l).account;
        let enforce = account.enforce.replace(false);
        let message = lua::lua_tolstring(l, 1, std::ptr::null_mut());
        let message = if message.is_null() { c"unknown reason".as_ptr() } else { message };
        luaL_traceback(l, l, message, 1);
        account.enforce.set(enforce);
    }
    1
}

/// Suspends the request until the host resumes; returns the values that it resumes with.
unsafe extern "C-unwind" fn host_yield(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack.
    unsafe { suspend(l, core(l)) }
}

/// # Safety
/// `l` runs a C function, which returns what this returns.
unsafe fn suspend(l: *mut lua_State, core: &Core) -> c_int {
    // SAFETY: as this function's contract says. In a coroutine that was resumed natively (below a C function) a
    // yield would go to its resumer instead of the host.
    unsafe {
        if core.current.get() != l {
            lua::lua_pushstring(l, c"attempt to yield across C-call boundary".as_ptr());
            lua::lua_error(l);
        }
        core.yielded.set(YieldKind::Host);
        lua::lua_yield(l, 0)
    }
}

/// `module_source(name)`: the text of a module that came with the VM's options, or nil.
unsafe extern "C-unwind" fn module_source(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack; the borrowed name lives in argument 1.
    unsafe {
        let mut n = 0;
        let name = lua::luaL_checklstring(l, 1, &mut n);
        let name = std::str::from_utf8(std::slice::from_raw_parts(name.cast::<u8>(), n));
        let source = name.ok().and_then(|name| core(l).modules.get(name));
        match source {
            Some(source) => _ = lua::lua_pushlstring(l, source.as_ptr().cast(), source.len()),
            None => lua::lua_pushnil(l),
        }
        1
    }
}
