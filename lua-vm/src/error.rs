//! What can go wrong in a VM and how it is told.
use std::fmt;

/// Why a run of a script ended without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The source does not parse (or is bytecode, which is refused).
    Syntax,
    /// An error that the script raised and did not catch.
    Runtime,
    /// The VM's memory limit.
    Memory,
    /// The CPU budget of a resume or of the request.
    Cpu,
}

/// An error of a script, with OpenResty's texts (`lua-nginx-module`: `ngx_http_lua_run_thread`, `ngx_http_lua_traceback`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// What kind of end it was.
    pub kind: ErrorKind,
    /// The error value when it is a string, else `unknown reason`.
    pub message: String,
    /// `coroutine 0:\n\t...` for coroutines, `\t...` for the main state; empty where nothing was running.
    pub traceback: String,
}

impl ErrorKind {
    /// As a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Runtime => "runtime",
            Self::Memory => "memory",
            Self::Cpu => "cpu",
        }
    }
}

impl ScriptError {
    /// An error that the host raises in a script's name.
    pub fn runtime(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Runtime, message)
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), traceback: String::new() }
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.traceback.is_empty() {
            write!(f, "\nstack traceback:\n{}", self.traceback)?;
        }
        Ok(())
    }
}

impl std::error::Error for ScriptError {}

/// Why a VM could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// The allocator or LuaJIT's start refused.
    #[error("no memory for a Lua VM")]
    Memory,
    /// The system gives no thread or no clock for the CPU limits.
    #[error("cannot start the watchdog of Lua runs: {0}")]
    Watchdog(#[source] std::io::Error),
    /// A part of the prelude failed: a defect of ours, or a memory limit too small to hold it.
    #[error("cannot start the Lua VM: {0}")]
    Prelude(#[source] ScriptError),
}
