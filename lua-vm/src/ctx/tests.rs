use super::{CDEF, SessionCtx, VmCtx};
use crate::loader::load_text;
use crate::vm::error_text;
use mlua_sys as lua;
use std::mem::{offset_of, size_of};

/// LuaJIT's view of the structs is Rust's.
#[test]
fn cdef_agrees_with_the_structs() {
    let expected = [
        ("mg_session", "ctx_id", offset_of!(SessionCtx, ctx_id)),
        ("mg_session", "ctx_used", offset_of!(SessionCtx, ctx_used)),
        ("mg_ctx", "host", offset_of!(VmCtx, host)),
        ("mg_ctx", "session", offset_of!(VmCtx, session)),
        ("mg_ctx", "phase", offset_of!(VmCtx, phase)),
        ("mg_ctx", "flat", offset_of!(VmCtx, flat)),
        ("mg_ctx", "out", offset_of!(VmCtx, out)),
        ("mg_ctx", "err", offset_of!(VmCtx, err)),
        ("mg_ctx", "cut", offset_of!(VmCtx, cut)),
    ];
    let mut source = format!("local ffi = require 'ffi' ffi.cdef [==[{CDEF}]==]\n");
    for (name, field, offset) in expected {
        source += &format!("assert(ffi.offsetof('{name}', '{field}') == {offset}, '{name}.{field}')\n");
    }
    source += &format!("assert(ffi.sizeof 'mg_session' == {})\n", size_of::<SessionCtx>());
    // SAFETY: a state of its own, used here only.
    unsafe {
        let l = lua::luaL_newstate();
        lua::luaL_openlibs(l);
        let loaded = load_text(l, std::ptr::null(), "=test", source.as_bytes());
        let ok = loaded == lua::LUA_OK && lua::lua_pcall(l, 0, 0, 0) == lua::LUA_OK;
        let text = if ok { String::new() } else { error_text(l) };
        lua::lua_close(l);
        assert!(ok, "{text}");
    }
}
