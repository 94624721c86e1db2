//! The allocator under a VM: mimalloc with an account.
//!
//! LuaJIT collects no garbage when an allocation fails, so a hard limit alone would end programs whose live data is
//! small. Crossing the soft limit therefore arms a hook that collects (`limits.rs`). The hard limit acts only while Lua
//! code runs under a protected call: an error raised from a host call would end the process.
//!
//! What matters on the way to a limit is one comparison: with `watch`, the least of all marks at which something is to
//! be done (the soft and the hard limit, the next report to the process's budget).
use crate::budget::{BATCH, Share};
use std::cell::Cell;
use std::ffi::c_void;

/// What one VM holds and may hold, in bytes.
pub(crate) struct Account {
    /// Held by the Lua heap.
    pub(crate) used: Cell<usize>,
    /// Held by the host on behalf of the VM (`Vm::charge`).
    pub(crate) external: Cell<usize>,
    /// An allocation that goes beyond is looked at: the least of `soft`, `hard`, `cap` and `report_at`.
    watch: Cell<usize>,
    /// Crossing it calls `on_soft` once.
    soft: Cell<usize>,
    /// An allocation that would cross it fails while `enforce` is set; by a quarter more while a collection is due.
    pub(crate) hard: Cell<usize>,
    /// As `hard`, while the process is over its budget and this VM is one to be refused; else `usize::MAX`.
    cap: Cell<usize>,
    /// The process's budget hears of the account beyond this...
    report_at: Cell<usize>,
    /// ... and below this, at the next run. `usize::MAX` while `cap` is set, so that each run looks whether it still is.
    report_below: Cell<usize>,
    /// Lua code is running.
    pub(crate) enforce: Cell<bool>,
    /// The next growing allocation fails: how a kill is raised.
    pub(crate) fail_next: Cell<bool>,
    /// Failing-allocation tests: counts down growing allocations while `enforce` is set, and charges; the one that reaches
    /// zero fails.
    pub(crate) fail_in: Cell<u64>,
    /// Counts what may have ended code half-way: refusals, and coroutines that nobody resumes any more. The prelude reads
    /// it (`require.lua`).
    pub(crate) cut: Cell<i32>,
    /// The soft limit was crossed and the hook has not collected yet.
    pub(crate) soft_hit: Cell<bool>,
    /// Arms the hook; gets `on_soft_arg`.
    pub(crate) on_soft: Cell<Option<unsafe fn(*mut c_void)>>,
    pub(crate) on_soft_arg: Cell<*mut c_void>,
    /// The VM's place in the process's budget.
    share: Option<Share>,
}

impl Account {
    pub(crate) fn new(hard: usize, share: Option<Share>) -> Self {
        let report_at = if share.is_some() { BATCH } else { usize::MAX };
        Self {
            used: Cell::new(0),
            external: Cell::new(0),
            watch: Cell::new(hard.min(report_at)),
            soft: Cell::new(usize::MAX),
            hard: Cell::new(hard),
            cap: Cell::new(usize::MAX),
            report_at: Cell::new(report_at),
            report_below: Cell::new(0),
            enforce: Cell::new(false),
            fail_next: Cell::new(false),
            fail_in: Cell::new(0),
            cut: Cell::new(0),
            soft_hit: Cell::new(false),
            on_soft: Cell::new(None),
            on_soft_arg: Cell::new(std::ptr::null_mut()),
            share,
        }
    }

    /// Lua heap and charged host memory.
    pub(crate) fn total(&self) -> usize {
        self.used.get().saturating_add(self.external.get())
    }

    /// Beyond this nothing is to be had.
    pub(crate) fn limit(&self) -> usize {
        self.hard.get().min(self.cap.get())
    }

    /// What is left.
    pub(crate) fn room(&self) -> usize {
        self.limit().saturating_sub(self.total())
    }

    pub(crate) fn soft(&self) -> usize {
        self.soft.get()
    }

    pub(crate) fn set_soft(&self, bytes: usize) {
        self.soft.set(bytes);
        self.set_watch();
    }

    /// Is the VM held to less than its own limit, since the process is over its budget?
    pub(crate) fn is_capped(&self) -> bool {
        self.cap.get() != usize::MAX
    }

    /// Is it held to less than its own limit and nearly there?
    pub(crate) fn is_cramped(&self) -> bool {
        self.is_capped() && self.room() < self.slack()
    }

    /// Charges host memory; false, and nothing is charged, when there is no room for it.
    pub(crate) fn charge(&self, bytes: usize) -> bool {
        let has_room = self.try_charge(bytes);
        if !has_room {
            self.note_cut();
        }
        has_room
    }

    fn try_charge(&self, bytes: usize) -> bool {
        let total = self.total().saturating_add(bytes);
        if total > self.limit() || self.is_to_fail() {
            return false;
        }
        self.external.set(self.external.get() + bytes);
        if total > self.report_at.get() {
            self.report(total, total - bytes);
            if total > self.limit() {
                self.external.set(self.external.get() - bytes);
                // What it holds now, since it did not come to that.
                self.report(total - bytes, total - bytes);
                return false;
            }
        }
        true
    }

    /// Gives back what was charged.
    pub(crate) fn discharge(&self, bytes: usize) {
        self.external.set(self.external.get().saturating_sub(bytes));
        self.note_shrunk();
    }

    /// Tells the process's budget when the account has shrunk, or whether it is still to be held to less.
    pub(crate) fn note_shrunk(&self) {
        let total = self.total();
        if total < self.report_below.get() {
            self.report(total, total);
        }
    }

    /// A full collection is done: what is left is live.
    pub(crate) fn collected(&self) {
        if self.share.is_none() {
            return;
        }
        self.report(self.total(), self.total());
        if self.is_capped() {
            self.cap.set(self.cap.get().min(self.total().saturating_add(self.slack())));
            let room = self.room();
            // Garbage is collected once more before the cap is met, unless there is hardly any room for it.
            self.soft.set(if room > BATCH { self.total() + room / 2 } else { usize::MAX });
            self.set_watch();
        }
    }

    fn set_watch(&self) {
        let limit = self.limit();
        self.watch.set(self.soft.get().min(limit).min(self.report_at.get()));
    }

    /// Room for what a run needs until its garbage is collected.
    pub(crate) fn slack(&self) -> usize {
        (self.hard.get() / 16).max(BATCH)
    }

    /// Whether its own limit is nearly reached, whatever the process's budget allows.
    pub(crate) fn is_nearly_at_hard(&self) -> bool {
        self.hard.get().saturating_sub(self.total()) < self.slack()
    }

    /// Tells the process's budget what the VM is to hold instead of what it holds now, and heeds its answer.
    #[cold]
    fn report(&self, wanted: usize, held: usize) {
        let Some(share) = &self.share else { return };
        share.tell(wanted);
        self.report_at.set(wanted.saturating_add(BATCH));
        self.report_below.set(wanted.saturating_sub(BATCH));
        if !share.is_refused() {
            self.cap.set(usize::MAX);
        } else {
            if !self.is_capped() {
                // What is there may be garbage: it is collected, and then looked at again. In a run by the hook, until
                // which there is some room; else when the next one begins, since it is beyond its limit then.
                let running = self.enforce.get();
                self.cap.set(if running { held.saturating_add(self.slack()) } else { held.saturating_sub(1) });
                self.hit_soft();
            }
            self.report_below.set(usize::MAX);
        }
        self.set_watch();
    }

    fn hit_soft(&self) {
        if self.enforce.get()
            && !self.soft_hit.replace(true)
            && let Some(arm) = self.on_soft.get()
        {
            // SAFETY: the VM set both together and outlives its account's use.
            unsafe { arm(self.on_soft_arg.get()) };
        }
    }

    /// Code may have ended half-way.
    pub(crate) fn note_cut(&self) {
        self.cut.set(self.cut.get().wrapping_add(1));
    }

    /// Is this the one that a test lets fail?
    fn is_to_fail(&self) -> bool {
        match self.fail_in.get() {
            0 => false,
            n => {
                self.fail_in.set(n - 1);
                n == 1
            }
        }
    }

    /// May the account grow by `more` bytes? Called for growing allocations only.
    fn admit(&self, more: usize) -> bool {
        if self.fail_next.replace(false) {
            return false;
        }
        if !self.enforce.get() {
            return true;
        }
        if self.is_to_fail() {
            return false;
        }
        let total = self.total().saturating_add(more);
        total <= self.watch.get() || self.admit_beyond(total, more)
    }

    #[cold]
    fn admit_beyond(&self, total: usize, more: usize) -> bool {
        if total > self.report_at.get() {
            self.report(total, total - more);
        }
        if total > self.soft.get() {
            self.hit_soft();
        }
        // A collection is due at the next instruction: what is there may be garbage, so it may go a little beyond.
        let slack = if self.soft_hit.get() { self.hard.get() / 4 } else { 0 };
        let admitted = total <= self.hard.get().saturating_add(slack) && total <= self.cap.get();
        if !admitted {
            self.report(total - more, total - more);
        }
        admitted
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
        account.note_cut();
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
