//! What an error of a run becomes.
use crate::ctx::Core;
use crate::error::{ErrorKind, ScriptError};
use crate::loader::ENTRY_NAME;
use crate::vm::error_text;
use mlua_sys as lua;
use mlua_sys::lua_State;
use std::ffi::c_int;

/// Coroutines of a chain that a traceback shows.
const MAX_TRACED: usize = 5;

/// The error on top of the last coroutine of the chain.
pub(super) fn failure(core: &Core, kind: ErrorKind, chain: &[*mut lua_State]) -> ScriptError {
    let Some(&last) = chain.last() else { return ScriptError::new(kind, "unknown reason") };
    // SAFETY: host mode; the failed coroutine's stack is as the error left it.
    unsafe {
        let message = if kind == ErrorKind::Cpu { CPU_EXCEEDED.into() } else { error_text(last) };
        let mut traceback = String::new();
        for (i, &l) in chain.iter().rev().enumerate().take(MAX_TRACED) {
            traceback.push_str(&format!("{}coroutine {i}:", if i > 0 { "\n" } else { "" }));
            traceback.push_str(&stack_of(core.l.get(), l));
        }
        ScriptError { kind, message, traceback }
    }
}

/// Of an error inside a run.
pub(super) fn kind_of(core: &Core, rc: c_int) -> ErrorKind {
    match rc {
        // Also when the kill was caught (in `load`, say) and what followed failed before the next instruction.
        _ if core.slot.killed() => ErrorKind::Cpu,
        lua::LUA_ERRMEM => ErrorKind::Memory,
        _ => ErrorKind::Runtime,
    }
}

/// The message of a killed run.
pub(crate) const CPU_EXCEEDED: &str = "CPU time limit exceeded";

/// `luaL_traceback` of a coroutine at rest, without its first line.
///
/// # Safety
/// Host mode.
unsafe fn stack_of(l: *mut lua_State, co: *mut lua_State) -> String {
    unsafe extern "C-unwind" {
        fn luaL_traceback(l: *mut lua_State, l1: *mut lua_State, msg: *const std::ffi::c_char, level: c_int);
    }
    // SAFETY: as this function's contract says.
    unsafe {
        luaL_traceback(l, co, std::ptr::null(), 0);
        let text = error_text(l);
        lua::lua_settop(l, -2);
        without_entry(text.strip_prefix("stack traceback:").unwrap_or(&text))
    }
}

/// A traceback without the function that calls the chunk (`loader::ENTRY`), which is ours.
fn without_entry(traceback: &str) -> String {
    let own = |line: &str| {
        line.strip_prefix("\t").is_some_and(|line| line.starts_with(entry_place()) && line.contains(" <entry:"))
    };
    traceback.split('\n').filter(|line| !own(line)).collect::<Vec<_>>().join("\n")
}

/// How LuaJIT begins a traceback's line of that function.
fn entry_place() -> &'static str {
    ENTRY_NAME.trim_start_matches('=')
}

/// The message handler put the traceback behind the message.
pub(super) fn split_traceback(kind: ErrorKind, text: String) -> ScriptError {
    if kind == ErrorKind::Cpu {
        return ScriptError::new(kind, CPU_EXCEEDED);
    }
    match text.rfind("\nstack traceback:\n") {
        Some(at) => ScriptError {
            kind,
            traceback: without_entry(&text[at + "\nstack traceback:\n".len()..]),
            message: text[..at].to_owned(),
        },
        None => ScriptError::new(kind, text),
    }
}
