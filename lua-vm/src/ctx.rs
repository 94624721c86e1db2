//! The structs that Rust and the prelude both see, and what belongs to a VM beside them.
use crate::alloc::Account;
use crate::regex::ffi::ReCtx;
use crate::vm::Garbage;
use crate::watchdog::Slot;
use mlua_sys::lua_State;
use std::cell::{Cell, UnsafeCell};
use std::collections::{BTreeMap, HashSet};
use std::ffi::{c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A scratch buffer up to this size is kept, and is no script's to pay for.
pub(crate) const SCRATCH_KEPT: usize = 64 * 1024;

/// `VmCtx` and `SessionCtx` for the prelude. Kept beside the structs; a test compares the offsets.
pub(crate) const CDEF: &str = "
typedef struct { const char *p; int n; } mg_str;
typedef struct { int ctx_id; int ctx_used; } mg_session;
typedef struct {
  void *host;
  mg_session *session;
  int phase;
  int flat;
  mg_str out;
  mg_str err;
  const int *cut;
} mg_ctx;
";

/// Bytes that a trampoline hands to Lua, which copies them at once. Lengths are `int`: the interpreter would make a
/// cdata of a `size_t`.
#[repr(C)]
pub(crate) struct Out {
    pub(crate) p: Cell<*const u8>,
    pub(crate) n: Cell<i32>,
}

impl Out {
    const fn new() -> Self {
        Self { p: Cell::new(std::ptr::null()), n: Cell::new(0) }
    }

    pub(crate) fn set(&self, bytes: &[u8]) {
        self.p.set(bytes.as_ptr());
        // A string of 2 GiB or more cannot be in a VM; cut instead of lying about the length.
        self.n.set(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    }
}

/// Per request and VM; the prelude reads `ctx_id` to find `ngx.ctx`.
#[repr(C)]
pub(crate) struct SessionCtx {
    /// The key of this session's table in the prelude's `ctxs`.
    pub(crate) ctx_id: i32,
    /// Set by the prelude when it made that table.
    pub(crate) ctx_used: Cell<i32>,
}

/// Per VM, at a fixed address: a constant in compiled code.
#[repr(C)]
pub(crate) struct VmCtx {
    /// The `H` whose run this is; null outside of runs.
    pub(crate) host: Cell<*mut c_void>,
    pub(crate) session: Cell<*const SessionCtx>,
    pub(crate) phase: Cell<i32>,
    /// 1 while a coroutine of the host runs, 0 on the main state: coroutines are scheduled flat or natively.
    pub(crate) flat: Cell<i32>,
    pub(crate) out: Out,
    pub(crate) err: Out,
    /// `Account::cut`
    pub(crate) cut: Cell<*const i32>,
}

/// Why a coroutine gave control back to the scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum YieldKind {
    /// The request waits for the host.
    Host,
    /// `coroutine.yield` of a script.
    User,
    /// `coroutine.resume`: the target is the first value.
    Resume,
}

/// Everything of a VM that does not depend on the host's type. `ctx` is the first field: its address is the core's.
#[repr(C)]
pub(crate) struct Core {
    pub(crate) ctx: VmCtx,
    pub(crate) account: Account,
    /// Where the worker's thread publishes its runs.
    pub(crate) slot: Arc<Slot>,
    /// The registry's reference of the prelude's `P.touch`, 0 while there is none.
    pub(crate) touch: Cell<c_int>,
    /// And of `P.sealed`, the coroutines that scripts may not resume.
    pub(crate) sealed: Cell<c_int>,
    /// The hook is set.
    pub(crate) armed: AtomicBool,
    /// The main state.
    pub(crate) l: Cell<*mut lua_State>,
    /// The `Session<H>` of the current run.
    pub(crate) session: Cell<*const c_void>,
    /// The coroutine that the flat scheduler runs now.
    pub(crate) current: Cell<*mut lua_State>,
    /// Its chain of parents, the entry first. Null outside of flat runs.
    pub(crate) chain: Cell<*const Vec<*mut lua_State>>,
    pub(crate) yielded: Cell<YieldKind>,
    /// Coroutines of suspended requests: suspended for LuaJIT, but not for scripts.
    pub(crate) busy: UnsafeCell<HashSet<*mut lua_State>>,
    /// Runs of this VM that are on the C stack.
    pub(crate) depth: Cell<u32>,
    /// Native resumes on the C stack.
    pub(crate) native_depth: Cell<u32>,
    /// Raw functions gather their arguments here: a local would be dropped, or leak, when Lua raises.
    pub(crate) scratch: UnsafeCell<Vec<u8>>,
    /// What of `scratch` was charged to the account.
    pub(crate) scratch_charged: Cell<usize>,
    /// What `require` finds first.
    pub(crate) modules: BTreeMap<String, Arc<str>>,
    /// Regular expressions, which the prelude uses by FFI.
    pub(crate) regexes: UnsafeCell<Option<Box<ReCtx>>>,
    /// Registry references to drop once no Lua code runs.
    pub(crate) garbage: UnsafeCell<Vec<Garbage>>,
}

impl Core {
    pub(crate) fn new(account: Account, modules: BTreeMap<String, Arc<str>>, slot: Arc<Slot>) -> Self {
        Self {
            ctx: VmCtx {
                host: Cell::new(std::ptr::null_mut()),
                session: Cell::new(std::ptr::null()),
                phase: Cell::new(0),
                flat: Cell::new(0),
                out: Out::new(),
                err: Out::new(),
                cut: Cell::new(std::ptr::null()),
            },
            account,
            slot,
            touch: Cell::new(0),
            sealed: Cell::new(0),
            armed: AtomicBool::new(false),
            l: Cell::new(std::ptr::null_mut()),
            session: Cell::new(std::ptr::null()),
            current: Cell::new(std::ptr::null_mut()),
            chain: Cell::new(std::ptr::null()),
            yielded: Cell::new(YieldKind::Host),
            busy: UnsafeCell::default(),
            depth: Cell::new(0),
            native_depth: Cell::new(0),
            scratch: UnsafeCell::default(),
            scratch_charged: Cell::new(0),
            modules,
            regexes: UnsafeCell::default(),
            garbage: UnsafeCell::default(),
        }
    }

    /// Charges the scratch buffer's growth to so many bytes; false when there is no room for it.
    pub(crate) fn charge_scratch(&self, bytes: usize) -> bool {
        let charged = self.scratch_charged.get();
        let ok = self.account.charge(bytes.saturating_sub(charged));
        if ok {
            self.scratch_charged.set(bytes.max(charged));
        }
        ok
    }

    /// Empties the scratch buffer. A rare large one must not keep its memory.
    ///
    /// # Safety
    /// No reference to the buffer is held.
    pub(crate) unsafe fn clear_scratch(&self) {
        // SAFETY: as this function's contract says.
        let scratch = unsafe { &mut *self.scratch.get() };
        scratch.clear();
        if scratch.capacity() > SCRATCH_KEPT || self.scratch_charged.get() > 0 {
            *scratch = Vec::new();
            self.account.discharge(self.scratch_charged.replace(0));
        }
    }
}

#[cfg(test)]
mod tests;
