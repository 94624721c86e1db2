//! Compiling text: never bytecode, and in pieces, so that a kill gets between them. LuaJIT's parser is not linear (a
//! name is looked up through every function around it, a label is held against every pending `goto`), so a source of
//! some hundred KiB can take seconds.
mod conditionals;

use crate::ctx::Core;
use mlua_sys as lua;
use mlua_sys::lua_State;
use std::ffi::{CString, c_char, c_int, c_void};

/// Bytes that the parser gets at once. Each reader call may end the run; a piece this small costs some milliseconds at
/// the worst, and next to nothing at best.
const PIECE: usize = 512;

unsafe extern "C-unwind" {
    /// LuaJIT's own, which knows the mode.
    fn lua_loadx(
        l: *mut lua_State,
        reader: lua::lua_Reader,
        data: *mut c_void,
        name: *const c_char,
        mode: *const c_char,
    ) -> c_int;
}

struct Source {
    at: *const u8,
    left: usize,
    core: *const Core,
}

unsafe extern "C-unwind" fn read(l: *mut lua_State, data: *mut c_void, size: *mut usize) -> *const c_char {
    // SAFETY: `data` is the `Source` of `load`, which outlives the call of `lua_loadx`; that call is protected.
    unsafe {
        let source = &mut *data.cast::<Source>();
        if let Some(core) = source.core.as_ref()
            && core.slot.killed()
        {
            core.account.fail_next.set(true);
            lua::lua_newuserdata(l, 64);
        }
        let n = source.left.min(PIECE);
        let piece = source.at;
        source.at = source.at.add(n);
        source.left -= n;
        *size = n;
        piece.cast()
    }
}

/// Compiles text. Leaves the function, or the error, on the stack and returns LuaJIT's status.
///
/// # Safety
/// `l` has room for two values, `source` stays valid, and `core` is null or the VM's. Nothing raises.
unsafe fn load(l: *mut lua_State, core: *const Core, name: *const c_char, source: &[u8]) -> c_int {
    if conditionals::too_many(source) {
        // SAFETY: there is room for a value; with the memory limit in force this raises, over nothing of ours.
        unsafe { lua::lua_pushlstring(l, conditionals::REFUSAL.as_ptr().cast(), conditionals::REFUSAL.len()) };
        return lua::LUA_ERRSYNTAX;
    }
    let mut source = Source { at: source.as_ptr(), left: source.len(), core };
    // SAFETY: the pointers are valid for the call, which is protected.
    unsafe { lua_loadx(l, read, (&raw mut source).cast(), name, c"t".as_ptr()) }
}

/// LuaJIT compiles no function with `...` by itself, and every chunk is one. Called by this, which it does compile, a
/// chunk is part of its trace. Chunks are called with two arguments, the config and where it is bound; those that are
/// not are called directly.
/// In a table, since called by a name it would no longer be a "main chunk" in tracebacks and log lines.
pub(crate) const ENTRY: &[u8] = b"local t = {...} return function(a, b) local r = t[1](a, b) return r end";

/// Its name, by which tracebacks leave it out.
pub(crate) const ENTRY_NAME: &str = "=entry";

/// For the host: compiles text under a name.
///
/// # Safety
/// As for `load`.
pub(crate) unsafe fn load_text(l: *mut lua_State, core: *const Core, name: &str, source: &[u8]) -> c_int {
    let name = CString::new(name.replace('\0', " ")).unwrap_or_default();
    // SAFETY: as this function's contract says.
    unsafe { load(l, core, name.as_ptr(), source) }
}

/// `load_source(text, name)`: the function, or nil and the error. Its environment is the globals.
pub(crate) unsafe extern "C-unwind" fn load_source(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack; both strings stay on it. Names of chunks end at a NUL, as in Lua.
    unsafe {
        let core = crate::cfun::core(l);
        let mut n = 0;
        let text = lua::luaL_checklstring(l, 1, &mut n);
        let name = lua::luaL_checklstring(l, 2, std::ptr::null_mut());
        if load(l, core, name, std::slice::from_raw_parts(text.cast(), n)) == lua::LUA_OK {
            return 1;
        }
        lua::lua_pushnil(l);
        lua::lua_insert(l, -2);
        2
    }
}
