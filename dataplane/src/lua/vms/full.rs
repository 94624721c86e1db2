//! VMs that are full of what lives on. Such a VM fails every request to come: what a script has gathered in globals or
//! modules is never garbage. It is replaced by a fresh one, as operators do by hand; but a script that fills each one
//! again must not make of that a way to spend more than its limit says.

use std::rc::Rc;
use std::time::{Duration, Instant};

use lua_vm::{ErrorKind, ScriptError};
use routing::key::PluginKey;

use super::{ScopeVm, Vms};
use crate::worker::Worker;

/// A VM is looked at this often at most: that is a full collection.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// It is replaced when it is full each time it is looked at, so often: many requests at once may fill it for a while.
const LOOKS: u32 = 3;

/// Looks that are further apart are no row: requests went well in between.
const ROW: Duration = Duration::from_secs(10);

/// After a replacement the next is allowed after so long, then after twice that each time, ...
const WAIT_MIN: Duration = Duration::from_secs(10);

/// ... up to this. A VM that was good for longer is no part of a series.
const WAIT_MAX: Duration = Duration::from_secs(640);

/// What is known about how full a scope's VMs are.
#[derive(Default)]
pub(super) struct Fullness {
    looked: Option<Instant>,
    /// Looks in a row that found the VM full.
    full: u32,
    replaced: Option<Instant>,
    wait: Duration,
}

impl Fullness {
    fn is_due(&self, now: Instant) -> bool {
        self.looked.is_none_or(|at| now.saturating_duration_since(at) >= LOOK_EVERY)
    }

    /// Takes what a look has found; true: the VM is to be replaced.
    fn note(&mut self, is_full: bool, now: Instant) -> bool {
        let before = self.looked.replace(now);
        let is_row = before.is_some_and(|at| now.saturating_duration_since(at) <= ROW);
        self.full = if is_full { if is_row { self.full + 1 } else { 1 } } else { 0 };
        let since = self.replaced.map(|at| now.saturating_duration_since(at));
        self.full >= LOOKS && since.is_none_or(|since| since >= self.wait)
    }

    /// The VM is replaced.
    fn replaced(&mut self, now: Instant) {
        let in_a_row = self.replaced.is_some_and(|at| now.saturating_duration_since(at) < self.wait + WAIT_MAX);
        self.wait = if in_a_row { (self.wait * 2).min(WAIT_MAX) } else { WAIT_MIN };
        (self.replaced, self.full) = (Some(now), 0);
    }
}

impl Vms {
    /// A script has failed. When that is since its VM is full, requests to come get another one.
    pub fn note_failure(
        &self,
        worker: &Worker,
        vm: &Rc<ScopeVm>,
        plugin: &PluginKey,
        error: &ScriptError,
        now: Instant,
    ) {
        if error.kind != ErrorKind::Memory || vm.vm.is_running() || !self.is_look_due(vm, now) {
            return;
        }
        let is_full = vm.timed(|| vm.vm.is_full());
        let scope = &vm.spec.scope;
        let mut places = self.places.borrow_mut();
        let Some(place) = places.get_mut(scope) else { return };
        // Not while a replaced VM still runs: slow requests that fill one after the other would hold several limits' worth.
        if !place.fullness.note(is_full, now) || place.retired() > 0 {
            return;
        }
        place.fullness.replaced(now);
        let (bytes, next) = (vm.vm.memory_bytes(), place.fullness.wait);
        // The caller's keeps it alive until no place is borrowed.
        let _ = place.retire();
        self.is_left.set(true);
        drop(places);
        let text = format!("the VM was full: {bytes} bytes were no garbage. Requests get a fresh one now");
        tracing::error!(target: "lua", ?scope, "{text}; the next time in {} s at the soonest", next.as_secs());
        worker.shared.metrics.vms.full();
        worker.shared.failures.note(plugin, "memory", &ScriptError { message: text, ..error.clone() });
    }

    fn is_look_due(&self, vm: &Rc<ScopeVm>, now: Instant) -> bool {
        let places = self.places.borrow();
        places.get(&vm.spec.scope).is_some_and(|place| {
            place.current().is_some_and(|current| Rc::ptr_eq(current, vm)) && place.fullness.is_due(now)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Fullness;

    #[test]
    fn a_full_vm_is_replaced_ever_more_rarely() {
        let start = Instant::now();
        let mut fullness = Fullness::default();
        let mut replaced = Vec::new();
        for second in 0..2000 {
            let now = start + Duration::from_secs(second);
            assert!(fullness.is_due(now));
            // It fills at once, whatever is done; but in one second it had been emptied.
            if fullness.note(second != 1, now) {
                fullness.replaced(now);
                replaced.push(second);
            }
            assert!(!fullness.is_due(now + Duration::from_millis(999)), "not twice in a second");
        }
        assert_eq!(replaced, [4, 14, 34, 74, 154, 314, 634, 1274, 1914]);
        // One that was good for long begins a new series.
        let later = start + Duration::from_secs(10_000);
        for second in 0..20 {
            let now = later + Duration::from_secs(second);
            if fullness.note(true, now) {
                fullness.replaced(now);
                replaced.push(second);
            }
        }
        assert_eq!(replaced[9..], [2, 12]);
    }
}
