//! A LuaJIT VM with limits that a host can drive.
//!
//! One [`Vm`] serves one worker thread; requests run in it through a [`Session`], in pooled coroutines ([`Thread`],
//! resumed by the host) or to their end on the main state (`Session::call`). What scripts can ask of a request is the
//! trait [`Host`].
//!
//! In the order that things happen:
//! - `vm`: making a VM, loading chunks and tables; `prelude`: the trusted Lua that runs first
//! - `loader`: compiling text in pieces
//! - `session`: running: threads, the flat scheduler of coroutines, calls
//! - `host`: the API's signatures, once; `cfun`: the C functions that re-enter Lua, yield, or need the Lua state
//! - `alloc`, `budget`, `watchdog`, `limits`: memory and CPU limits, and the hook behind both
//!
//! **To add a function to the API**: a method in `host_api!` (`host.rs`, whose doc has the table of types), then its
//! accessor in `prelude/ngx*.lua`. An accessor checks the types of what it passes on, calls `F.name(ctx, ...)`, and
//! must not end in a tail call to a builtin or a cdata function: `local s = ffi_string(p, n) return s`. With the tail
//! call it cannot be a root trace of its own, and costs 353 ns instead of 29 from a caller that is not compiled.
//! Never hand a cdata (function or pointer) to a script. Say in `vm/bounds.tsv` what bounds it: between two instructions is
//! the only place where a limit acts, so a test holds the list of all C functions that a namespace's script can come to.
//!
//! **An operation that waits** is two-step: the method returns 0 (done) or 1 (pending; the host has noted what for);
//! on 1 the accessor calls `host_yield()`, whose results are the values that the host resumes with.
//!
//! All unsafe code of the workspace is in this crate; the invariants it rests on:
//! - Lua errors are raised only under a protected call. The host's own calls cannot fail: the memory limit is lifted.
//! - No panic crosses `extern "C"`; nothing with a destructor lives across a call that may raise.
//! - FFI functions do not touch the Lua state.
mod alloc;
mod arena;
mod budget;
mod cfun;
mod cjson;
mod ctx;
mod error;
mod host;
mod interrupt;
mod limits;
mod loader;
mod pattern;
mod prelude;
mod process;
mod regex;
mod session;
mod value;
mod vm;
mod watchdog;

// Only its library is used: it is what mlua-sys declares.
use luajit as _;

pub use budget::Budget;
pub use error::{ErrorKind, ScriptError, VmError};
#[doc(hidden)]
pub use host::host_methods;
pub use host::{Host, Outcome};
pub use process::avoid_huge_pages;
pub use session::{Session, Thread};
pub use value::{Arg, Phase, Returned, Step, Value};
pub use vm::{Chunk, Handle, Limits, Vm, VmOptions};
pub use watchdog::Watchdog;
