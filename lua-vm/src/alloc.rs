//! The allocator under a VM: mimalloc with an account.
//!
//! LuaJIT collects no garbage when an allocation fails, so a hard limit alone would end programs whose live data is
//! small. Crossing the soft limit therefore arms a hook that collects (`limits.rs`). The hard limit acts only while Lua
//! code runs under a protected call: an error raised from a host call would end the process.
use std::cell::Cell;
use std::ffi::c_void;

/// What one VM holds and may hold, in bytes.
pub(crate) struct Account {
    /// Held by the Lua heap.
    pub(crate) used: Cell<usize>,
    /// Held by the host on behalf of the VM (`Vm::charge`).
    pub(crate) external: Cell<usize>,
    /// Crossing it calls `on_soft` once.
    pub(crate) soft: Cell<usize>,
    /// An allocation that would cross it fails while `enforce` is set; by a quarter more while a collection is due.
    pub(crate) hard: Cell<usize>,
    /// Lua code is running.
    pub(crate) enforce: Cell<bool>,
    /// The next growing allocation fails: how a kill is raised.
    pub(crate) fail_next: Cell<bool>,
    /// Failing-allocation tests: counts growing allocations down while `enforce` is set; the one that reaches zero fails.
    pub(crate) fail_in: Cell<u64>,
    /// The soft limit was crossed and the hook has not collected yet.
    pub(crate) soft_hit: Cell<bool>,
    /// Arms the hook; gets `on_soft_arg`.
    pub(crate) on_soft: Cell<Option<unsafe fn(*mut c_void)>>,
    pub(crate) on_soft_arg: Cell<*mut c_void>,
}

impl Account {
    pub(crate) fn new(hard: usize) -> Self {
        Self {
            used: Cell::new(0),
            external: Cell::new(0),
            soft: Cell::new(usize::MAX),
            hard: Cell::new(hard),
            enforce: Cell::new(false),
            fail_next: Cell::new(false),
            fail_in: Cell::new(0),
            soft_hit: Cell::new(false),
            on_soft: Cell::new(None),
            on_soft_arg: Cell::new(std::ptr::null_mut()),
        }
    }

    /// Lua heap and charged host memory.
    pub(crate) fn total(&self) -> usize {
        self.used.get().saturating_add(self.external.get())
    }

    /// May the account grow by `more` bytes? Called for growing allocations only.
    fn admit(&self, more: usize) -> bool {
        if self.fail_next.replace(false) {
            return false;
        }
        if !self.enforce.get() {
            return true;
        }
        match self.fail_in.get() {
            0 => {}
            n => {
                self.fail_in.set(n - 1);
                if n == 1 {
                    return false;
                }
            }
        }
        let total = self.total().saturating_add(more);
        if total > self.soft.get()
            && !self.soft_hit.replace(true)
            && let Some(arm) = self.on_soft.get()
        {
            // SAFETY: the VM set both together and outlives its account's use.
            unsafe { arm(self.on_soft_arg.get()) };
        }
        // A collection is due at the next instruction: what is there may be garbage, so it may go a little beyond.
        let slack = if self.soft_hit.get() { self.hard.get() / 4 } else { 0 };
        total <= self.hard.get().saturating_add(slack)
    }
}

#[cfg(feature = "system-malloc")]
use libc::{free as release, realloc as resize};
#[cfg(not(feature = "system-malloc"))]
use libmimalloc_sys::{mi_free as release, mi_realloc as resize};

/// `lua_Alloc` for a state whose `ud` is an `Account`.
///
/// # Safety
/// `ud` points at an `Account` that outlives the state; `ptr` came from here with size `osize`.
pub(crate) unsafe extern "C" fn allocate(ud: *mut c_void, ptr: *mut c_void, osize: usize, nsize: usize) -> *mut c_void {
    // SAFETY: as this function's contract says; all fields are cells, so a shared reference is enough.
    let account = unsafe { &*ud.cast::<Account>() };
    if nsize == 0 {
        // SAFETY: `ptr` is null or came from `resize`.
        unsafe { release(ptr) };
        account.used.set(account.used.get().wrapping_sub(osize));
        return std::ptr::null_mut();
    }
    let grows = nsize > osize;
    if grows && !account.admit(nsize - osize) {
        return std::ptr::null_mut();
    }
    // SAFETY: `ptr` is null or came from `resize`.
    let new = unsafe { resize(ptr, nsize) };
    if new.is_null() {
        // LuaJIT takes for granted that shrinking succeeds.
        return if grows { new } else { ptr };
    }
    account.used.set(account.used.get().wrapping_add(nsize).wrapping_sub(osize));
    new
}
