//! An instance's settings, and the functions that read and change them.

use std::ffi::{CStr, c_char, c_int};

use mlua_sys as lua;
use mlua_sys::lua_State;

use super::{STATE, config, place};
use crate::interrupt::Interrupt;

/// The settings. Plain data in a userdata of the VM.
pub(super) struct Config {
    pub(super) interrupt: Interrupt,
    /// Of `cjson.safe`, for its `new`.
    pub(super) safe: bool,
    sparse_convert: c_int,
    sparse_ratio: c_int,
    sparse_safe: c_int,
    pub(super) encode_max_depth: c_int,
    pub(super) decode_max_depth: c_int,
    /// 0 is an error, 1 as JavaScript writes them, 2 `null`.
    pub(super) encode_invalid_numbers: c_int,
    decode_invalid_numbers: c_int,
    keep_buffer: c_int,
    pub(super) precision: c_int,
    empty_table_as_object: c_int,
    array_with_array_mt: c_int,
    allow_comment: c_int,
    escape_slash: c_int,
    skip_unsupported: c_int,
    /// A string that the state table keeps; null for none.
    indent: *const u8,
    indent_len: usize,
}

impl Config {
    pub(super) fn new(interrupt: Interrupt, safe: bool) -> Self {
        Self {
            interrupt,
            safe,
            sparse_convert: 0,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_max_depth: 1000,
            decode_max_depth: 1000,
            encode_invalid_numbers: 0,
            decode_invalid_numbers: 1,
            keep_buffer: 1,
            precision: 14,
            empty_table_as_object: 1,
            array_with_array_mt: 0,
            allow_comment: 0,
            escape_slash: 1,
            skip_unsupported: 0,
            indent: std::ptr::null(),
            indent_len: 0,
        }
    }

    /// Whether an array with this many items and this last index is sparse beyond measure.
    pub(super) fn is_too_sparse(&self, items: f64, last: f64) -> bool {
        self.sparse_ratio > 0 && last > items * f64::from(self.sparse_ratio) && last > f64::from(self.sparse_safe)
    }

    pub(super) fn converts_sparse(&self) -> bool {
        self.sparse_convert != 0
    }

    pub(super) fn keeps_buffer(&self) -> bool {
        self.keep_buffer != 0
    }

    pub(super) fn empty_is_object(&self) -> bool {
        self.empty_table_as_object != 0
    }

    pub(super) fn escapes_slash(&self) -> bool {
        self.escape_slash != 0
    }

    pub(super) fn skips_unsupported(&self) -> bool {
        self.skip_unsupported != 0
    }

    pub(super) fn marks_arrays(&self) -> bool {
        self.array_with_array_mt != 0
    }

    pub(super) fn allows_comments(&self) -> bool {
        self.allow_comment != 0
    }

    pub(super) fn allows_invalid_numbers(&self) -> bool {
        self.decode_invalid_numbers != 0
    }

    /// Empty for none.
    pub(super) fn indent(&self) -> &[u8] {
        if self.indent.is_null() {
            return &[];
        }
        // SAFETY: the state table keeps the string, which does not move; a new one replaces both at once.
        unsafe { std::slice::from_raw_parts(self.indent, self.indent_len) }
    }
}

/// As many arguments as the function takes, those not given being nil.
unsafe fn arguments(l: *mut lua_State, count: c_int) -> *mut Config {
    // SAFETY: in a function of the module.
    unsafe {
        if lua::lua_gettop(l) > count {
            lua::luaL_argerror(l, count + 1, c"found too many arguments".as_ptr());
        }
        lua::lua_settop(l, count);
        config(l)
    }
}

/// Sets an integer from an argument that is given, and pushes it. As in the fork, the error names argument 1 always.
unsafe fn integer(l: *mut lua_State, arg: c_int, setting: *mut c_int, least: c_int, most: c_int) {
    // SAFETY: in a function of the module; `setting` is a field of its configuration.
    unsafe {
        if lua::lua_type(l, arg) != lua::LUA_TNIL {
            let value = lua::luaL_checkinteger(l, arg) as i32;
            if value < least || value > most {
                let format = c"expected integer between %d and %d";
                let text = lua::lua_pushfstring(l, format.as_ptr(), least, most);
                lua::luaL_argerror(l, 1, text);
            }
            *setting = value;
        }
        lua::lua_pushnumber(l, f64::from(*setting));
    }
}

/// Sets one of these from an argument that is given (`true` is the second, `false` the first), and pushes it.
unsafe fn choice(l: *mut lua_State, arg: c_int, setting: *mut c_int, options: &[&CStr]) {
    // SAFETY: in a function of the module; `setting` is a field of its configuration.
    unsafe {
        match lua::lua_type(l, arg) {
            lua::LUA_TNIL => {}
            lua::LUA_TBOOLEAN => *setting = lua::lua_toboolean(l, arg),
            _ => {
                let mut list = [std::ptr::null::<c_char>(); 4];
                for (place, option) in list.iter_mut().zip(options) {
                    *place = option.as_ptr();
                }
                *setting = lua::luaL_checkoption(l, arg, std::ptr::null(), list.as_ptr());
            }
        }
        match *setting {
            0 | 1 => lua::lua_pushboolean(l, *setting),
            other => {
                lua::lua_pushstring_(l, options.get(other as usize).map_or(std::ptr::null(), |name| name.as_ptr()))
            }
        }
    }
}

const OFF_ON: &[&CStr] = &[c"off", c"on"];

/// A function with one argument that is off or on.
macro_rules! switch {
    ($name:ident, $field:ident) => {
        pub(super) unsafe extern "C-unwind" fn $name(l: *mut lua_State) -> c_int {
            // SAFETY: a function of the module, on its own stack.
            unsafe {
                let config = arguments(l, 1);
                choice(l, 1, &raw mut (*config).$field, OFF_ON);
            }
            1
        }
    };
}

switch!(encode_empty_table_as_object, empty_table_as_object);
switch!(decode_array_with_array_mt, array_with_array_mt);
switch!(decode_allow_comment, allow_comment);
switch!(decode_invalid_numbers, decode_invalid_numbers);
switch!(encode_escape_forward_slash, escape_slash);
switch!(encode_skip_unsupported_value_types, skip_unsupported);

pub(super) unsafe extern "C-unwind" fn encode_keep_buffer(l: *mut lua_State) -> c_int {
    // SAFETY: a function of the module, on its own stack.
    unsafe {
        let config = arguments(l, 1);
        choice(l, 1, &raw mut (*config).keep_buffer, OFF_ON);
        if !(*config).keeps_buffer() {
            lua::lua_pushnil(l);
            lua::lua_rawseti_(l, STATE, place::BUFFER);
        }
    }
    1
}

pub(super) unsafe extern "C-unwind" fn encode_invalid_numbers(l: *mut lua_State) -> c_int {
    // SAFETY: a function of the module, on its own stack.
    unsafe {
        let config = arguments(l, 1);
        choice(l, 1, &raw mut (*config).encode_invalid_numbers, &[c"off", c"on", c"null"]);
    }
    1
}

pub(super) unsafe extern "C-unwind" fn encode_sparse_array(l: *mut lua_State) -> c_int {
    // SAFETY: a function of the module, on its own stack.
    unsafe {
        let config = arguments(l, 3);
        choice(l, 1, &raw mut (*config).sparse_convert, OFF_ON);
        integer(l, 2, &raw mut (*config).sparse_ratio, 0, c_int::MAX);
        integer(l, 3, &raw mut (*config).sparse_safe, 0, c_int::MAX);
    }
    3
}

/// A function with one argument that is a positive integer.
macro_rules! count {
    ($name:ident, $field:ident, $most:expr) => {
        pub(super) unsafe extern "C-unwind" fn $name(l: *mut lua_State) -> c_int {
            // SAFETY: a function of the module, on its own stack.
            unsafe {
                let config = arguments(l, 1);
                integer(l, 1, &raw mut (*config).$field, 1, $most);
            }
            1
        }
    };
}

count!(encode_max_depth, encode_max_depth, c_int::MAX);
count!(decode_max_depth, decode_max_depth, c_int::MAX);
count!(encode_number_precision, precision, 16);

pub(super) unsafe extern "C-unwind" fn encode_indent(l: *mut lua_State) -> c_int {
    // SAFETY: a function of the module, on its own stack; the state table keeps the string that the pointer is into.
    unsafe {
        let config = arguments(l, 1);
        if lua::lua_type(l, 1) != lua::LUA_TNIL {
            let mut len = 0;
            let text = lua::luaL_checklstring(l, 1, &mut len);
            lua::lua_pushvalue(l, 1);
            lua::lua_rawseti_(l, STATE, place::INDENT);
            (*config).indent = if len == 0 { std::ptr::null() } else { text.cast() };
            (*config).indent_len = len;
        }
        let indent = (*config).indent();
        lua::lua_pushlstring_(l, indent.as_ptr().cast(), indent.len());
    }
    1
}
