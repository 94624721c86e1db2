//! `string.find`, `match`, `gmatch` and `gsub` for the VMs of namespaces: what LuaJIT's do, to the letter, but in bounded
//! time between two questions whether the VM is to be stopped. LuaJIT's own cannot be interrupted and take exponential
//! time for patterns such as `('a?'):rep(40)`.
//!
//! Steps are counted: items tried, bytes looked at, sets walked through. Every [`matcher`]'s `ASK_EVERY` of them the VM
//! is asked; when its CPU time is used up, `pattern too complex (CPU time limit exceeded)` is raised, after which the
//! VM's hook stops the script, whatever it catches. There is no other limit of steps: what ends in time ends as in
//! LuaJIT. Plain searches are linear, by memmem.
//!
//! **Wiring**: `cfun::functions` has `pattern_find`, `pattern_match`, `pattern_gmatch_at` and `pattern_gsub`, their
//! first upvalue the VM's core. `prelude/pattern.lua` wraps `find`, whose plain form LuaJIT compiles, makes `gmatch`'s
//! iterators, and leaves the four functions in `P.bounded_string`, from where `harden.lua` puts them into the namespace's `string`.

mod matcher;

use std::ffi::{CStr, c_int};
use std::mem::MaybeUninit;

use mlua_sys as lua;
use mlua_sys::lua_State;

use crate::arena::Arena;
use crate::interrupt::Interrupt;
use matcher::{Capture, Captured, Error, Matcher};

/// The string or number at `arg`, as bytes.
///
/// # Safety
/// `l` runs a C function that leaves its argument where it is. May raise.
unsafe fn bytes<'a>(l: *mut lua_State, arg: c_int) -> &'a [u8] {
    // SAFETY: as this function's contract says.
    unsafe {
        let mut len = 0;
        let start = lua::luaL_checklstring(l, arg, &mut len);
        std::slice::from_raw_parts(start.cast(), len)
    }
}

/// An integer argument or its default, as LuaJIT converts it.
///
/// # Safety
/// `l` runs a C function. May raise.
unsafe fn integer(l: *mut lua_State, arg: c_int, default: i32) -> i32 {
    // SAFETY: as this function's contract says.
    unsafe {
        if lua::lua_type(l, arg) <= lua::LUA_TNIL {
            return default;
        }
        lua::luaL_checkinteger(l, arg) as i32
    }
}

/// # Safety
/// `l` runs a function of this module.
unsafe fn interrupt(l: *mut lua_State) -> Interrupt {
    // SAFETY: as this function's contract says.
    Interrupt::of(unsafe { crate::cfun::core(l) })
}

/// Raises, with the place of the caller that many levels up.
///
/// # Safety
/// `l` runs a C function with room for two values; the caller has nothing to drop and does not go on.
#[cold]
unsafe fn raise(l: *mut lua_State, level: c_int, error: Error) -> c_int {
    // SAFETY: as this function's contract says.
    unsafe {
        lua::luaL_where(l, level);
        lua::lua_pushstring_(l, error.as_ptr());
        lua::lua_concat(l, 2);
        lua::lua_error(l)
    }
}

pub(crate) unsafe extern "C-unwind" fn find(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack.
    unsafe { find_or_match(l, true) }
}

pub(crate) unsafe extern "C-unwind" fn match_(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack.
    unsafe { find_or_match(l, false) }
}

/// # Safety
/// `l` runs a function of this module, which returns what this returns.
unsafe fn find_or_match(l: *mut lua_State, find: bool) -> c_int {
    // SAFETY: as this function's contract says; no local has a destructor.
    unsafe {
        let subject = bytes(l, 1);
        let pattern = bytes(l, 2);
        let Some(start) = start(integer(l, 3, 1), subject.len()) else {
            lua::lua_pushnil(l);
            return 1;
        };
        if find && (lua::lua_toboolean(l, 4) != 0 || !has_specials(pattern)) {
            let Some(at) = memchr::memmem::find(&subject[start..], pattern) else {
                lua::lua_pushnil(l);
                return 1;
            };
            push_range(l, start + at, start + at + pattern.len());
            return 2;
        }
        let anchored = pattern.first() == Some(&b'^');
        let mut matcher = Matcher::new(subject, pattern, interrupt(l));
        let found = if anchored {
            matcher.match_at(start, 1).map(|end| end.map(|end| (start, end)))
        } else {
            matcher.search(start, 0)
        };
        match found {
            Ok(Some((from, to))) if find => {
                push_range(l, from, to);
                2 + push_captures(l, &matcher, subject, None, 1)
            }
            Ok(Some(range)) => push_captures(l, &matcher, subject, Some(range), 1),
            Ok(None) => {
                lua::lua_pushnil(l);
                1
            }
            Err(error) => raise(l, 1, error),
        }
    }
}

/// Where a search begins, from 0, of an `init` that counts from 1, or from the end when negative; none beyond the end.
fn start(init: i32, len: usize) -> Option<usize> {
    let init = i64::from(init);
    let start = if init < 0 { init + len as i64 } else { init - 1 };
    Some(start.max(0) as usize).filter(|start| *start <= len)
}

fn has_specials(pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| matches!(byte, b'^' | b'$' | b'*' | b'+' | b'?' | b'.' | b'(' | b'[' | b'%' | b'-'))
}

/// # Safety
/// `l` has room for two values.
unsafe fn push_range(l: *mut lua_State, from: usize, to: usize) {
    // SAFETY: as this function's contract says.
    unsafe {
        lua::lua_pushnumber(l, (from + 1) as f64);
        lua::lua_pushnumber(l, to as f64);
    }
}

/// Pushes the captures, or the whole match if there are none and it is given.
///
/// # Safety
/// `l` runs a C function that has nothing to drop. May raise.
unsafe fn push_captures(
    l: *mut lua_State,
    matcher: &Matcher<'_>,
    subject: &[u8],
    whole: Option<(usize, usize)>,
    level: c_int,
) -> c_int {
    // SAFETY: as this function's contract says.
    unsafe {
        let count = matcher.captures().len() as c_int;
        lua::luaL_checkstack_(l, count + 1, c"too many captures".as_ptr());
        match whole {
            Some((from, to)) if count == 0 => {
                push_text(l, &subject[from..to]);
                return 1;
            }
            _ => {}
        }
        for &capture in matcher.captures() {
            push_capture(l, capture, subject, level);
        }
        count
    }
}

/// # Safety
/// As for `push_captures`, with room for a value.
unsafe fn push_capture(l: *mut lua_State, capture: Capture, subject: &[u8], level: c_int) {
    // SAFETY: as this function's contract says.
    unsafe {
        match capture.get() {
            Captured::Text(start, end) => push_text(l, &subject[start..end]),
            Captured::Position(start) => lua::lua_pushnumber(l, (start + 1) as f64),
            Captured::Open => _ = raise(l, level, c"unfinished capture"),
        }
    }
}

/// # Safety
/// `l` has room for a value.
unsafe fn push_text(l: *mut lua_State, text: &[u8]) {
    // SAFETY: as this function's contract says.
    unsafe { lua::lua_pushlstring_(l, text.as_ptr().cast(), text.len()) };
}

/// `gmatch_at(s, pattern, from)` for the prelude's iterator: where to go on (from 0), then the captures; nothing at the
/// end. Errors name the place of the iterator's caller.
pub(crate) unsafe extern "C-unwind" fn gmatch_at(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack; no local has a destructor.
    unsafe {
        let subject = bytes(l, 1);
        let pattern = bytes(l, 2);
        let from = lua::lua_tonumber(l, 3) as usize;
        let mut matcher = Matcher::new(subject, pattern, interrupt(l));
        match matcher.search(from, 0) {
            Ok(Some((from, to))) => {
                // Behind an empty match it goes on with the next byte.
                lua::lua_pushnumber(l, (to + usize::from(to == from)) as f64);
                1 + push_captures(l, &matcher, subject, Some((from, to)), 2)
            }
            Ok(None) => 0,
            Err(error) => raise(l, 2, error),
        }
    }
}

/// Bytes of a result that needs no userdata.
const SHORT: usize = 512;

pub(crate) unsafe extern "C-unwind" fn gsub(l: *mut lua_State) -> c_int {
    // SAFETY: a C function's own stack: 1 to 4 arguments, 5 the result. The strings stay on it; no local has a
    // destructor.
    unsafe {
        let subject = bytes(l, 1);
        let pattern = bytes(l, 2);
        let most = integer(l, 4, i32::try_from(subject.len() + 1).unwrap_or(i32::MAX));
        let kind = lua::lua_type(l, 3);
        if !matches!(kind, lua::LUA_TNUMBER | lua::LUA_TSTRING | lua::LUA_TFUNCTION | lua::LUA_TTABLE) {
            lua::luaL_argerror(l, 3, c"string/function/table expected".as_ptr());
        }
        lua::lua_settop(l, 4);
        let mut short = [MaybeUninit::uninit(); SHORT];
        let mut out = Arena::on(l, &mut short);
        let anchored = pattern.first() == Some(&b'^');
        let mut matcher = Matcher::new(subject, pattern, interrupt(l));
        let (mut at, mut copied, mut count) = (0, 0, 0);
        while count < most {
            let found = match anchored {
                true => matcher.match_at(at, 1).map(|end| end.map(|end| (at, end))),
                false => matcher.search(at, 0),
            };
            let (from, to) = match found {
                Ok(Some(range)) => range,
                Ok(None) => break,
                Err(error) => return raise(l, 1, error),
            };
            count += 1;
            out.push(&subject[copied..from]);
            replacement(l, kind, &matcher, subject, (from, to), &mut out);
            copied = to;
            // Behind an empty match a byte is kept.
            at = to + usize::from(to == from);
            if anchored || at > subject.len() {
                break;
            }
        }
        out.push(&subject[copied..]);
        push_text(l, out.bytes());
        lua::lua_pushnumber(l, f64::from(count));
        2
    }
}

/// Appends what argument 3 has for a match.
///
/// # Safety
/// In `gsub`.
unsafe fn replacement(
    l: *mut lua_State,
    kind: c_int,
    matcher: &Matcher<'_>,
    subject: &[u8],
    (from, to): (usize, usize),
    out: &mut Arena,
) {
    // SAFETY: as this function's contract says.
    unsafe {
        match kind {
            lua::LUA_TFUNCTION => {
                lua::lua_pushvalue(l, 3);
                let count = push_captures(l, matcher, subject, Some((from, to)), 1);
                lua::lua_call(l, count, 1);
            }
            lua::LUA_TTABLE => {
                match matcher.captures().first() {
                    Some(&capture) => push_capture(l, capture, subject, 1),
                    None => push_text(l, &subject[from..to]),
                }
                lua::lua_gettable_(l, 3);
            }
            _ => return template(l, matcher, subject, (from, to), out),
        }
        if lua::lua_toboolean(l, -1) == 0 {
            out.push(&subject[from..to]);
        } else if lua::lua_isstring(l, -1) == 0 {
            let name = lua::lua_typename(l, lua::lua_type(l, -1));
            lua::luaL_error(l, c"invalid replacement value (a %s)".as_ptr(), name);
        } else {
            out.push(bytes(l, -1));
        }
        lua::lua_settop(l, 5);
    }
}

/// A replacement text: `%0` is the match, `%1` a capture.
///
/// # Safety
/// In `gsub`.
unsafe fn template(
    l: *mut lua_State,
    matcher: &Matcher<'_>,
    subject: &[u8],
    (from, to): (usize, usize),
    out: &mut Arena,
) {
    // SAFETY: as this function's contract says; the text stays at argument 3.
    unsafe {
        let mut rest = bytes(l, 3);
        while let Some(escape) = memchr::memchr(b'%', rest) {
            out.push(&rest[..escape]);
            // At its end it stands for the zero that ends a string, as in LuaJIT.
            let byte = rest.get(escape + 1).copied().unwrap_or(0);
            rest = rest.get(escape + 2..).unwrap_or_default();
            let index = usize::from(byte).wrapping_sub(usize::from(b'1'));
            match (byte, matcher.captures().get(index).map(|capture| capture.get())) {
                (b'0', _) => out.push(&subject[from..to]),
                (b'1', None) => out.push(&subject[from..to]),
                (b'1'..=b'9', Some(Captured::Text(start, end))) => out.push(&subject[start..end]),
                (b'1'..=b'9', Some(Captured::Position(start))) => {
                    lua::lua_pushnumber(l, (start + 1) as f64);
                    out.push(bytes(l, -1));
                    lua::lua_settop(l, 5);
                }
                (b'1'..=b'9', Some(Captured::Open)) => _ = raise(l, 1, c"unfinished capture"),
                (b'1'..=b'9', None) => _ = raise(l, 1, c"invalid capture index"),
                _ => out.push_byte(byte),
            }
        }
        out.push(rest);
    }
}

/// The functions and their names in `P.C`.
pub(crate) const FUNCTIONS: [(&CStr, lua::lua_CFunction); 4] =
    [(c"pattern_find", find), (c"pattern_match", match_), (c"pattern_gmatch_at", gmatch_at), (c"pattern_gsub", gsub)];
