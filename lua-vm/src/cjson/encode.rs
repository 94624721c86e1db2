//! `encode`: walks a Lua value with a stack of its own instead of recursion.

use std::ffi::{CStr, c_int};

use mlua_sys as lua;
use mlua_sys::lua_State;

use super::config::Config;
use super::number::{self, Text};
use super::{EMPTY_ARRAY, Patience, STATE, check_one_argument, config, place};
use crate::arena::{Arena, Frames};

/// A table that is being written. On the Lua stack are the table and, of an object, the key after it.
#[derive(Clone, Copy)]
struct Frame {
    /// Items of an array; negative: an object.
    len: i32,
    /// Items begun.
    index: i32,
    /// The array's items are read without metamethods.
    raw: bool,
    /// No comma before the next item.
    first: bool,
    /// There was an item, also one that was left out.
    any: bool,
    /// Where the item in progress begins, its comma included.
    item_start: usize,
}

/// What became of a value.
enum Written {
    Whole,
    /// It is a table: its items come next.
    Opened,
    /// Its type is left out.
    Skipped,
}

struct Encoder {
    l: *mut lua_State,
    config: *const Config,
    out: Arena,
    frames: Frames<Frame>,
    patience: Patience,
}

pub(super) unsafe extern "C-unwind" fn encode(l: *mut lua_State) -> c_int {
    // SAFETY: a function of the module, on its own stack: 1 value, 2 text, 3 frames, then what is being written. No
    // local has a destructor.
    unsafe {
        check_one_argument(l);
        lua::luaL_checkstack(l, 16, std::ptr::null());
        let config = config(l);
        let out = Arena::take(l, STATE, place::BUFFER);
        let frames = Frames::take(l, STATE, place::FRAMES);
        let patience = Patience::new((*config).interrupt);
        let mut encoder = Encoder { l, config, out, frames, patience };
        lua::lua_pushvalue(l, 1);
        encoder.run();
        let text = encoder.out.bytes();
        lua::lua_pushlstring_(l, text.as_ptr().cast(), text.len());
        if (*config).keeps_buffer() {
            encoder.out.keep(STATE, place::BUFFER);
            encoder.frames.keep(STATE, place::FRAMES);
        }
    }
    1
}

/// All methods: in a call of `encode`; they may raise.
impl Encoder {
    fn config(&self) -> &Config {
        // SAFETY: the configuration is an upvalue of the running function.
        unsafe { &*self.config }
    }

    unsafe fn run(&mut self) {
        // SAFETY: each step leaves the value that it is about on top.
        unsafe {
            let mut written = self.value();
            loop {
                if !matches!(written, Written::Opened) {
                    let Some(frame) = self.frames.top() else { return };
                    if matches!(written, Written::Skipped) {
                        let start = frame.item_start;
                        // Its comma goes too; the next one is without only if there was none before.
                        self.out.truncate(start);
                    } else {
                        frame.first = false;
                    }
                    lua::lua_settop(self.l, -2);
                }
                while !self.next_item() {
                    self.frames.pop();
                    let Some(frame) = self.frames.top() else { return };
                    frame.first = false;
                    lua::lua_settop(self.l, -2);
                }
                written = self.value();
            }
        }
    }

    /// Writes the value on top, or the begin of it.
    unsafe fn value(&mut self) -> Written {
        // SAFETY: see the impl's comment.
        unsafe {
            self.patience.spend(self.l);
            match lua::lua_type(self.l, -1) {
                lua::LUA_TSTRING => self.string(-1),
                lua::LUA_TNUMBER => self.number(-1),
                lua::LUA_TBOOLEAN => {
                    let text: &[u8] = if lua::lua_toboolean(self.l, -1) != 0 { b"true" } else { b"false" };
                    self.out.push(text);
                }
                lua::LUA_TTABLE => {
                    self.open_table();
                    return Written::Opened;
                }
                lua::LUA_TNIL => self.out.push(b"null"),
                lua::LUA_TLIGHTUSERDATA if lua::lua_touserdata(self.l, -1).is_null() => self.out.push(b"null"),
                lua::LUA_TLIGHTUSERDATA if lua::lua_touserdata(self.l, -1) == EMPTY_ARRAY => self.out.push(b"[]"),
                _ if self.config().skips_unsupported() => return Written::Skipped,
                _ => self.fail(-1, c"type not supported"),
            }
            Written::Whole
        }
    }

    /// Decides what the table on top is and writes its bracket.
    unsafe fn open_table(&mut self) {
        // SAFETY: see the impl's comment.
        unsafe {
            let depth = self.frames.depth() as c_int + 1;
            if depth > self.config().encode_max_depth || lua::lua_checkstack(self.l, 12) == 0 {
                lua::luaL_error(self.l, c"Cannot serialise, excessive nesting (%d)".as_ptr(), depth);
            }
            let (len, raw) = self.shape();
            self.out.push_byte(if len < 0 { b'{' } else { b'[' });
            let item_start = self.out.len();
            self.frames.push(Frame { len, index: 0, raw, first: true, any: false, item_start });
            if len < 0 {
                lua::lua_pushnil(self.l);
            }
        }
    }

    /// Items of the array that the table on top is, negative for an object, and whether to read them raw.
    unsafe fn shape(&mut self) -> (i32, bool) {
        // SAFETY: see the impl's comment.
        unsafe {
            let marked = lua::lua_getmetatable(self.l, -1) != 0;
            if marked {
                lua::lua_rawgeti_(self.l, STATE, place::ARRAY_MT);
                let array = lua::lua_rawequal(self.l, -1, -2) != 0;
                lua::lua_settop(self.l, -3);
                if array {
                    return (self.raw_len(), true);
                }
                if lua::luaL_getmetafield_(self.l, -1, c"__len".as_ptr()) != 0 {
                    lua::lua_pushvalue(self.l, -2);
                    lua::lua_call(self.l, 1, 1);
                    let len = lua::lua_tonumber(self.l, -1) as i32;
                    lua::lua_settop(self.l, -2);
                    return (len.max(0), false);
                }
            }
            let len = self.array_len();
            if len > 0 || (len == 0 && !self.config().empty_is_object()) {
                return (len, !marked);
            }
            if marked {
                lua::lua_getmetatable(self.l, -1);
                lua::lua_rawgeti_(self.l, STATE, place::EMPTY_ARRAY_MT);
                let array = lua::lua_rawequal(self.l, -1, -2) != 0;
                lua::lua_settop(self.l, -3);
                if array {
                    return (self.raw_len(), true);
                }
            }
            (-1, true)
        }
    }

    unsafe fn raw_len(&self) -> i32 {
        // SAFETY: a table is on top.
        i32::try_from(unsafe { lua::lua_objlen(self.l, -1) }).unwrap_or(i32::MAX)
    }

    /// The largest index of the table on top if all its keys are positive integers, else negative.
    unsafe fn array_len(&mut self) -> i32 {
        // SAFETY: see the impl's comment.
        unsafe {
            let (mut last, mut items) = (0.0_f64, 0.0_f64);
            lua::lua_pushnil(self.l);
            while lua::lua_next(self.l, -2) != 0 {
                self.patience.spend(self.l);
                let key =
                    if lua::lua_type(self.l, -2) == lua::LUA_TNUMBER { lua::lua_tonumber(self.l, -2) } else { 0.0 };
                if key < 1.0 || key.floor() != key {
                    lua::lua_settop(self.l, -3);
                    return -1;
                }
                last = last.max(key);
                items += 1.0;
                lua::lua_settop(self.l, -2);
            }
            if self.config().is_too_sparse(items, last) {
                if !self.config().converts_sparse() {
                    self.fail(-1, c"excessively sparse array");
                }
                return -1;
            }
            last as i32
        }
    }

    /// Pushes the next item of the innermost table and writes what stands before it; or closes the table, which is on
    /// top then, and answers false.
    unsafe fn next_item(&mut self) -> bool {
        // SAFETY: see the impl's comment.
        unsafe {
            let depth = self.frames.depth();
            let Some(frame) = self.frames.top() else { return false };
            let object = frame.len < 0;
            let more = if object { lua::lua_next(self.l, -2) != 0 } else { frame.index < frame.len };
            frame.item_start = self.out.len();
            let first = frame.first;
            let any = frame.any;
            if !more {
                if any {
                    self.new_line(depth - 1);
                }
                self.out.push_byte(if object { b'}' } else { b']' });
                return false;
            }
            frame.any = true;
            if !object {
                frame.index += 1;
                if frame.raw {
                    lua::lua_rawgeti_(self.l, -1, frame.index);
                } else {
                    lua::lua_pushnumber(self.l, f64::from(frame.index));
                    lua::lua_gettable_(self.l, -2);
                }
            }
            if !first {
                self.out.push_byte(b',');
            }
            self.new_line(depth);
            if object {
                self.key();
            }
            true
        }
    }

    /// Writes the key below the value on top.
    unsafe fn key(&mut self) {
        // SAFETY: see the impl's comment.
        unsafe {
            match lua::lua_type(self.l, -2) {
                lua::LUA_TNUMBER => {
                    self.out.push_byte(b'"');
                    self.number(-2);
                    self.out.push(b"\":");
                }
                lua::LUA_TSTRING => {
                    self.string(-2);
                    self.out.push_byte(b':');
                }
                _ => self.fail(-2, c"table key must be a number or string"),
            }
            if !self.config().indent().is_empty() {
                self.out.push_byte(b' ');
            }
        }
    }

    /// Only with an indentation.
    unsafe fn new_line(&mut self, depth: usize) {
        // SAFETY: see the impl's comment; the indentation's string is kept by the state table.
        unsafe {
            let indent = (*self.config).indent();
            if !indent.is_empty() {
                self.out.push_byte(b'\n');
                for _ in 0..depth {
                    self.out.push(indent);
                }
            }
        }
    }

    unsafe fn number(&mut self, index: c_int) {
        // SAFETY: see the impl's comment.
        unsafe {
            let number = lua::lua_tonumber(self.l, index);
            if number.is_finite() {
                let mut text = Text::new();
                number::format(number, self.config().precision as usize, &mut text);
                self.out.push(text.bytes());
                return;
            }
            let text: &[u8] = match self.config().encode_invalid_numbers {
                0 => return self.fail(index, c"must not be NaN or Infinity"),
                1 if number.is_nan() => b"NaN",
                1 if number < 0.0 => b"-Infinity",
                1 => b"Infinity",
                _ => b"null",
            };
            self.out.push(text);
        }
    }

    unsafe fn string(&mut self, index: c_int) {
        // SAFETY: see the impl's comment; the string stays where it is while it is on the stack.
        unsafe {
            let mut len = 0;
            let text = lua::lua_tolstring(self.l, index, &mut len).cast::<u8>();
            let mut rest = std::slice::from_raw_parts(text, len);
            let slash = self.config().escapes_slash();
            self.out.reserve(len + 2);
            self.out.push_byte(b'"');
            while let Some(at) = rest.iter().position(|byte| must_escape(*byte, slash)) {
                self.out.push(&rest[..at]);
                self.escape(rest[at]);
                rest = &rest[at + 1..];
            }
            self.out.push(rest);
            self.out.push_byte(b'"');
        }
    }

    unsafe fn escape(&mut self, byte: u8) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let short = match byte {
            b'"' | b'\\' | b'/' => byte,
            8 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            12 => b'f',
            b'\r' => b'r',
            _ => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                // SAFETY: see the impl's comment.
                unsafe {
                    self.out.push(b"\\u00");
                    self.out.push(&digits);
                }
                return;
            }
        };
        // SAFETY: see the impl's comment.
        unsafe { self.out.push(&[b'\\', short]) };
    }

    /// Raises.
    unsafe fn fail(&self, index: c_int, reason: &CStr) {
        // SAFETY: see the impl's comment.
        unsafe {
            let name = lua::lua_typename(self.l, lua::lua_type(self.l, index));
            lua::luaL_error(self.l, c"Cannot serialise %s: %s".as_ptr(), name, reason.as_ptr());
        }
    }
}

const ESCAPED: [bool; 256] = {
    let mut table = [false; 256];
    let mut at = 0;
    while at < 32 {
        table[at] = true;
        at += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[0x7f] = true;
    table
};

fn must_escape(byte: u8, slash: bool) -> bool {
    ESCAPED[usize::from(byte)] || (byte == b'/' && slash)
}
