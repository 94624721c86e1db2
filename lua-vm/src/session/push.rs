//! Values of the host on a coroutine's stack.
use crate::error::{ErrorKind, ScriptError};
use crate::vm::Chunk;
use crate::{Arg, Host, Value};
use mlua_sys as lua;
use mlua_sys::lua_State;
use std::ffi::c_int;

/// Bytes that pushing an argument may take.
pub(super) fn weight<H: Host>(arg: &Arg<'_, H>) -> usize {
    match arg {
        Arg::Str(s) => s.len(),
        _ => 0,
    }
}

/// Pushes a chunk and its arguments; returns their number.
///
/// # Safety
/// Host mode; `l`'s stack is the host's.
pub(super) unsafe fn push_call<H: Host>(
    l: *mut lua_State,
    chunk: &Chunk<H>,
    args: &[Arg<'_, H>],
) -> Result<c_int, ScriptError> {
    let n = c_int::try_from(args.len()).unwrap_or(c_int::MAX - 1);
    // SAFETY: as this function's contract says.
    unsafe {
        if lua::lua_checkstack(l, n.saturating_add(1)) == 0 {
            return Err(ScriptError::new(ErrorKind::Memory, "stack overflow"));
        }
        let function = if n == 2 && chunk.0.entry != lua::LUA_NOREF { chunk.0.entry } else { chunk.0.r };
        lua::lua_rawgeti(l, lua::LUA_REGISTRYINDEX, function.into());
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
pub(super) unsafe fn push_value(l: *mut lua_State, value: &Value) {
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
