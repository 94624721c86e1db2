//! `cjson` and `cjson.safe` with the behaviour of OpenResty's fork of lua-cjson (2.1.0.11), as C functions over the
//! raw Lua API.
//!
//! **Memory.** Nothing here has a destructor: buffers are userdata of the VM ([`crate::arena`]), so that they count against its
//! limit, an error anywhere leaks nothing, and a document that grows without end ends at that limit.
//! **Time.** Both directions are linear, in loops rather than recursive, and ask every [`ASK_EVERY`] values whether the
//! VM is to be stopped ([`Interrupt`]); then they raise an error, after which the VM's hook stops the script.
//!
//! What differs from the fork, and why:
//! - Integers beyond 64 bits are decoded as numbers of that size; the fork answers 2^63 for all of them.
//! - A light userdata other than `null` and `empty_array` is an unsupported type; the fork writes nothing in its place.
//! - Lengths are cut to 2^31 - 1; the fork leaves the conversion to chance.
//! - `encode` called from a metamethod that `encode` runs does not write over the outer text.
//!
//! **Wiring**: `C.cjson_open(safe)` (in `cfun::functions`, its first upvalue the VM's core) answers a new module;
//! `prelude/libs.lua` registers both modules with `require`.

mod config;
mod decode;
mod encode;
mod number;

use std::ffi::{CStr, c_int, c_void};

use mlua_sys as lua;
use mlua_sys::{lua_CFunction, lua_State};

use crate::interrupt::Interrupt;
use config::Config;

/// Values between two questions whether to stop.
const ASK_EVERY: u32 = 256;

/// The light userdata `cjson.empty_array`. Not an address: scripts may print it.
const EMPTY_ARRAY: *mut c_void = 0x0063_6a73_6f6e as *mut c_void;

/// Where the metatables are in the registry, one of each for all instances of a VM.
const ARRAY_MT: &CStr = c"cjson.array_mt";
const EMPTY_ARRAY_MT: &CStr = c"cjson.empty_array_mt";

/// Upvalues of the functions: the configuration, and a table with what belongs to it.
const CONFIG: c_int = lua::lua_upvalueindex(1);
const STATE: c_int = lua::lua_upvalueindex(2);

/// Places in the state table: buffers kept between calls, the indentation's string, the metatables.
mod place {
    pub(super) const BUFFER: i32 = 1;
    pub(super) const FRAMES: i32 = 2;
    pub(super) const INDENT: i32 = 3;
    pub(super) const ARRAY_MT: i32 = 4;
    pub(super) const EMPTY_ARRAY_MT: i32 = 5;
}

/// `cjson_open(safe)`: a new module.
pub(crate) unsafe extern "C-unwind" fn open(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack; its upvalue is the core.
    unsafe {
        let safe = lua::lua_toboolean(l, 1) != 0;
        let interrupt = Interrupt::of(crate::cfun::core(l));
        lua::lua_settop(l, 0);
        push_module(l, interrupt, safe);
    }
    1
}

/// `new` of either module: an instance with a configuration of its own.
unsafe extern "C-unwind" fn new(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack; its upvalues are those of the module's functions.
    unsafe {
        let (interrupt, safe) = {
            let config = &*config(l);
            (config.interrupt, config.safe)
        };
        lua::lua_settop(l, 0);
        push_module(l, interrupt, safe);
    }
    1
}

fn functions() -> [(&'static CStr, lua_CFunction); 16] {
    [
        (c"encode", encode::encode),
        (c"decode", decode::decode),
        (c"encode_empty_table_as_object", config::encode_empty_table_as_object),
        (c"decode_array_with_array_mt", config::decode_array_with_array_mt),
        (c"decode_allow_comment", config::decode_allow_comment),
        (c"encode_sparse_array", config::encode_sparse_array),
        (c"encode_max_depth", config::encode_max_depth),
        (c"decode_max_depth", config::decode_max_depth),
        (c"encode_number_precision", config::encode_number_precision),
        (c"encode_keep_buffer", config::encode_keep_buffer),
        (c"encode_invalid_numbers", config::encode_invalid_numbers),
        (c"decode_invalid_numbers", config::decode_invalid_numbers),
        (c"encode_escape_forward_slash", config::encode_escape_forward_slash),
        (c"encode_skip_unsupported_value_types", config::encode_skip_unsupported_value_types),
        (c"encode_indent", config::encode_indent),
        (c"new", new),
    ]
}

/// # Safety
/// In a C function of `l` with an empty stack. `interrupt` outlives the state.
unsafe fn push_module(l: *mut lua_State, interrupt: Interrupt, safe: bool) {
    // SAFETY: as this function's contract says. The stack: 1 module, 2 config, 3 state.
    unsafe {
        lua::luaL_checkstack(l, 8, std::ptr::null());
        lua::lua_createtable(l, 0, 24);
        let config = lua::lua_newuserdata(l, size_of::<Config>()).cast::<Config>();
        config.write(Config::new(interrupt, safe));
        lua::lua_createtable(l, 5, 0);
        for (key, place, field) in
            [(ARRAY_MT, place::ARRAY_MT, c"array_mt"), (EMPTY_ARRAY_MT, place::EMPTY_ARRAY_MT, c"empty_array_mt")]
        {
            push_metatable(l, key);
            lua::lua_pushvalue(l, -1);
            lua::lua_setfield(l, 1, field.as_ptr());
            lua::lua_rawseti_(l, 3, place);
        }
        for (name, function) in functions() {
            lua::lua_pushvalue(l, 2);
            lua::lua_pushvalue(l, 3);
            lua::lua_pushcclosure(l, function, 2);
            if safe && (name == c"encode" || name == c"decode") {
                lua::lua_pushcclosure(l, protected, 1);
            }
            lua::lua_setfield(l, 1, name.as_ptr());
        }
        lua::lua_settop(l, 1);
        lua::lua_pushlightuserdata(l, std::ptr::null_mut());
        lua::lua_setfield(l, 1, c"null".as_ptr());
        lua::lua_pushlightuserdata(l, EMPTY_ARRAY);
        lua::lua_setfield(l, 1, c"empty_array".as_ptr());
        lua::lua_pushstring_(l, c"cjson".as_ptr());
        lua::lua_setfield(l, 1, c"_NAME".as_ptr());
        lua::lua_pushstring_(l, c"2.1.0.11".as_ptr());
        lua::lua_setfield(l, 1, c"_VERSION".as_ptr());
    }
}

/// # Safety
/// `l` has room for three values.
unsafe fn push_metatable(l: *mut lua_State, key: &CStr) {
    // SAFETY: as this function's contract says.
    unsafe {
        lua::lua_getfield_(l, lua::LUA_REGISTRYINDEX, key.as_ptr());
        if lua::lua_type(l, -1) != lua::LUA_TNIL {
            return;
        }
        lua::lua_settop(l, -2);
        lua::lua_createtable(l, 0, 0);
        lua::lua_pushvalue(l, -1);
        lua::lua_setfield(l, lua::LUA_REGISTRYINDEX, key.as_ptr());
    }
}

/// # Safety
/// `l` runs a function of the module.
unsafe fn config(l: *mut lua_State) -> *mut Config {
    // SAFETY: the first upvalue of each function is the configuration.
    unsafe { lua::lua_touserdata(l, CONFIG).cast() }
}

/// `cjson.safe`'s `encode` and `decode`: `nil` and the text instead of an error, but for wrong arguments.
unsafe extern "C-unwind" fn protected(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack; no local has a destructor.
    unsafe {
        check_one_argument(l);
        lua::lua_pushvalue(l, lua::lua_upvalueindex(1));
        lua::lua_insert(l, 1);
        match lua::lua_pcall(l, 1, 1, 0) {
            lua::LUA_OK => 1,
            lua::LUA_ERRRUN => {
                lua::lua_pushnil(l);
                lua::lua_insert(l, -2);
                2
            }
            _ => lua::luaL_error(l, c"Memory allocation error in CJSON protected call".as_ptr()),
        }
    }
}

/// # Safety
/// `l` runs a C function.
unsafe fn check_one_argument(l: *mut lua_State) {
    // SAFETY: as this function's contract says.
    unsafe {
        if lua::lua_gettop(l) != 1 {
            lua::luaL_argerror(l, 1, c"expected 1 argument".as_ptr());
        }
    }
}

/// Asks now and then; raises an error when the VM is to be stopped.
struct Patience {
    interrupt: Interrupt,
    left: u32,
}

impl Patience {
    const fn new(interrupt: Interrupt) -> Self {
        Self { interrupt, left: ASK_EVERY }
    }

    /// # Safety
    /// `l` runs a C function with room for a value.
    #[inline]
    unsafe fn spend(&mut self, l: *mut lua_State) {
        self.left -= 1;
        if self.left == 0 {
            self.left = ASK_EVERY;
            if self.interrupt.is_due() {
                // SAFETY: as this function's contract says.
                unsafe { lua::luaL_error(l, c"CPU time limit exceeded".as_ptr()) };
            }
        }
    }
}
