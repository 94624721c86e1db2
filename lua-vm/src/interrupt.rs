//! The question whether a VM is to be stopped, for code that runs long without Lua's hooks seeing it.

use std::ffi::c_void;

use crate::ctx::Core;

/// A question that costs little and may be asked anywhere: the function and its argument.
#[derive(Clone, Copy)]
pub(crate) struct Interrupt {
    pub(crate) ask: unsafe fn(*const c_void) -> bool,
    pub(crate) arg: *const c_void,
}

impl Interrupt {
    /// Yes once the run in progress has used its CPU time. The core must outlive what holds this.
    pub(crate) fn of(core: *const Core) -> Self {
        unsafe fn killed(core: *const c_void) -> bool {
            // SAFETY: as `of` demands; the slot only reads atomics.
            unsafe { (*core.cast::<Core>()).slot.killed() }
        }
        Self { ask: killed, arg: core.cast() }
    }

    pub(crate) fn is_due(self) -> bool {
        // SAFETY: whoever made it keeps `arg` alive as long as what asks, and `ask` only reads.
        unsafe { (self.ask)(self.arg) }
    }
}
