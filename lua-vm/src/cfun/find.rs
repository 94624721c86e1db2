//! Plain search in long strings. LuaJIT's own is quadratic: 400 KB in 800 KB took 3.1 s.
use mlua_sys as lua;
use mlua_sys::lua_State;
use std::ffi::c_int;

/// `find_plain(s, what, from)`: the first and last position, counted from 1, or nil. `from` counts from 1.
pub(super) unsafe extern "C-unwind" fn find_plain(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack; the strings stay on it, and the search holds no memory.
    unsafe {
        let s = bytes(l, 1);
        let what = bytes(l, 2);
        let from = usize::try_from(lua::luaL_checkinteger(l, 3) - 1).unwrap_or(0);
        let found = s.get(from..).and_then(|rest| memchr::memmem::find(rest, what));
        match found {
            Some(at) => {
                lua::lua_pushnumber(l, (from + at + 1) as f64);
                lua::lua_pushnumber(l, (from + at + what.len()) as f64);
                2
            }
            None => {
                lua::lua_pushnil(l);
                1
            }
        }
    }
}

unsafe fn bytes<'a>(l: *mut lua_State, arg: c_int) -> &'a [u8] {
    // SAFETY: the string is at `arg` for as long as the C function runs.
    unsafe {
        let mut n = 0;
        let p = lua::luaL_checklstring(l, arg, &mut n);
        std::slice::from_raw_parts(p.cast(), n)
    }
}
