//! Host memory that a request's scripts cause, charged to the VM of the script. What is charged is given back when the
//! request's [`LuaState`](super::LuaState) is dropped, at the latest.

use std::rc::Rc;

use super::vms::{RequestVm, ScopeVm};
use crate::exchange::Exchange;
use crate::exchange::body::Held;

/// What a script is told whose VM has no room for what it wants. As Lua's own text, so that whoever looks for one finds
/// both.
pub const NO_MEMORY: &str = "not enough memory";

/// What the scripts of a request may hold in headers, variables and the like without its being counted: less than the
/// request's own head may be.
const FREE: usize = 4096;

/// What is charged at once beyond that, so that few calls move the account.
const STEP: usize = 16 * 1024;

/// A scratch buffer beyond this is freed when its script suspends or ends.
const SCRATCH_KEPT: usize = 64 * 1024;

/// One kind of memory whose amount is known: the queue of the output, the body, `ngx.arg[1]`.
#[derive(Default)]
pub struct Charge {
    vm: Option<Rc<ScopeVm>>,
    bytes: usize,
}

impl Charge {
    /// Makes it so many bytes of this VM; false, and it stays as it was, when the VM has no room for them.
    pub fn set(&mut self, vm: &Rc<ScopeVm>, bytes: usize) -> bool {
        if self.vm.as_ref().is_none_or(|old| !Rc::ptr_eq(old, vm)) {
            if !vm.vm.charge(bytes) {
                return false;
            }
            self.clear();
            self.vm = Some(vm.clone());
        } else if bytes > self.bytes {
            if !vm.vm.charge(bytes - self.bytes) {
                return false;
            }
        } else {
            vm.vm.discharge(self.bytes - bytes);
        }
        self.bytes = bytes;
        true
    }

    /// Gives back what is beyond so many bytes.
    pub fn shrink(&mut self, bytes: usize) {
        if let Some(vm) = self.vm.as_ref().filter(|_| bytes < self.bytes) {
            vm.vm.discharge(self.bytes - bytes);
            self.bytes = bytes;
        }
    }

    /// Gives all back, and makes it so many bytes of `other` for the same VM; false when that has no room for them.
    pub fn hand_over(&mut self, other: &mut Self, bytes: usize) -> bool {
        let vm = self.vm.clone();
        self.clear();
        vm.is_none_or(|vm| other.set(&vm, bytes))
    }

    /// Keeps no VM for nothing.
    pub fn forget_empty(&mut self) {
        if self.bytes == 0 {
            self.vm = None;
        }
    }

    /// Gives all back.
    pub fn clear(&mut self) {
        self.shrink(0);
        self.vm = None;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What the scripts of one VM put into a request's headers, variables and the like. It only grows: an arena does not
/// shrink when a header is replaced.
#[derive(Default)]
pub struct Kept {
    bytes: usize,
    charged: usize,
}

impl RequestVm {
    /// Counts bytes that stay to the request's end; false when the VM has no room for them.
    fn keep(&mut self, bytes: usize) -> bool {
        self.kept.bytes += bytes;
        let over = self.kept.bytes.saturating_sub(FREE + self.kept.charged);
        if over == 0 {
            return true;
        }
        let more = over.max(STEP);
        let ok = self.vm.vm.charge(more);
        match ok {
            true => self.kept.charged += more,
            false => self.kept.bytes -= bytes,
        }
        ok
    }
}

impl Drop for RequestVm {
    fn drop(&mut self) {
        if self.kept.charged > 0 {
            self.vm.vm.discharge(self.kept.charged);
        }
    }
}

/// Counts bytes that the running script leaves in the request to its end.
///
/// # Errors
/// Its VM has no room for them.
pub fn keep(ex: &mut Exchange, bytes: usize) -> Result<(), &'static str> {
    let kept = ex.lua.sessions.get_mut(ex.lua.at).is_none_or(|session| session.keep(bytes));
    kept.then_some(()).ok_or(NO_MEMORY)
}

/// Whether the running script's VM has room for so many bytes that are only passed through.
pub fn has_room(ex: &Exchange, bytes: usize) -> bool {
    bytes <= SCRATCH_KEPT || ex.lua.sessions.get(ex.lua.at).is_none_or(|s| s.vm.vm.room() >= bytes)
}

/// Charges the queue towards the client, with so many bytes more, to the running script.
///
/// # Errors
/// Its VM has no room for them.
pub fn output(ex: &mut Exchange, more: usize) -> Result<(), &'static str> {
    let queued = queued(ex).saturating_add(more);
    match ex.lua.sessions.get(ex.lua.at) {
        Some(session) if !ex.lua.output.set(&session.vm, queued) => Err(NO_MEMORY),
        _ => Ok(()),
    }
}

/// What waits to be sent.
pub fn queued(ex: &Exchange) -> usize {
    ex.out.queued() + ex.lua.buffered.as_ref().map_or(0, Vec::len)
}

/// Charges a request body that is held in memory to the running script.
///
/// # Errors
/// Its VM has no room for it.
pub fn body(ex: &mut Exchange, bytes: usize) -> Result<(), &'static str> {
    match ex.lua.sessions.get(ex.lua.at) {
        Some(session) if !ex.lua.body.set(&session.vm, bytes) => Err(NO_MEMORY),
        _ => Ok(()),
    }
}

/// What of a held body is in memory.
pub fn in_memory(held: Option<&Held>) -> usize {
    match held {
        Some(Held::Memory(bytes)) => bytes.len(),
        _ => 0,
    }
}

/// Charges what a body filter leaves to the running script.
///
/// # Errors
/// Its VM has no room for it.
pub fn arg(ex: &mut Exchange, bytes: usize) -> Result<(), &'static str> {
    match ex.lua.sessions.get(ex.lua.at) {
        Some(session) if !ex.lua.arg_charge.set(&session.vm, bytes) => Err(NO_MEMORY),
        _ => Ok(()),
    }
}

/// A script suspends or has ended: what was lent to it is not kept when it is large.
pub fn settle(ex: &mut Exchange) {
    if ex.lua.scratch.capacity() > SCRATCH_KEPT {
        ex.lua.scratch = Vec::new();
    }
}

#[cfg(test)]
mod tests;
