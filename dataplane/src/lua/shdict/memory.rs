//! The account of a dict's memory.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes that a dict's entries take, over all its shards. Only numbers: nothing is published by it, so `Relaxed`.
pub(super) struct Memory {
    used: AtomicUsize,
    capacity: AtomicUsize,
}

impl Memory {
    pub(super) fn new(capacity: usize) -> Self {
        Self { used: AtomicUsize::new(0), capacity: AtomicUsize::new(capacity) }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity.load(Relaxed)
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    pub(super) fn is_over(&self) -> bool {
        self.used() > self.capacity()
    }

    pub(super) fn set_capacity(&self, bytes: usize) {
        self.capacity.store(bytes, Relaxed);
    }

    /// False if there is not as much left.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let capacity = self.capacity();
        self.used.fetch_update(Relaxed, Relaxed, |used| (used + bytes <= capacity).then_some(used + bytes)).is_ok()
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
    }
}

/// How one call may make room for what it stores.
pub(super) struct Room<'a> {
    pub(super) memory: &'a Memory,
    evictions_left: u32,
    forced: bool,
}

impl<'a> Room<'a> {
    pub(super) fn new(memory: &'a Memory, evictions: u32) -> Self {
        Self { memory, evictions_left: evictions, forced: false }
    }

    /// Entries were evicted.
    pub(super) fn forced(&self) -> bool {
        self.forced
    }

    pub(super) fn may_evict(&self) -> bool {
        self.evictions_left > 0
    }

    pub(super) fn evicted(&mut self) {
        self.evictions_left -= 1;
        self.forced = true;
    }

    /// With nothing left to evict anywhere, there is no room.
    pub(super) fn evicted_elsewhere(&mut self, any: bool) {
        if any {
            self.evicted();
        } else {
            self.evictions_left = 0;
        }
    }
}
