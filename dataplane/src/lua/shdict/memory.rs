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
    fn take(&self, bytes: usize) -> bool {
        let capacity = self.capacity();
        self.used.fetch_update(Relaxed, Relaxed, |used| (used + bytes <= capacity).then_some(used + bytes)).is_ok()
    }
}

/// What a shard's calls take from and give back to: the dict's account and the shard's part of it.
#[derive(Clone, Copy)]
pub(super) struct Account<'a> {
    pub(super) memory: &'a Memory,
    /// Changed under the shard's lock only; read by others to find the fullest shard.
    pub(super) own: &'a AtomicUsize,
    /// Number of shards.
    pub(super) shards: usize,
}

impl Account<'_> {
    /// False if there is not as much left.
    pub(super) fn take(self, bytes: usize) -> bool {
        let taken = self.memory.take(bytes);
        if taken {
            self.own.store(self.own.load(Relaxed) + bytes, Relaxed);
        }
        taken
    }

    pub(super) fn give_back(self, bytes: usize) {
        self.own.store(self.own.load(Relaxed) - bytes, Relaxed);
        self.memory.used.fetch_sub(bytes, Relaxed);
    }

    /// With as many bytes more, the shard still has no more than its share of the capacity. When there is no room
    /// then, another has more than its share: evictions there keep the shards about equally full, and with that the
    /// entry evicted about the least recently used of all.
    fn is_within_share(self, bytes: usize) -> bool {
        self.own.load(Relaxed) + bytes <= self.memory.capacity() / self.shards
    }
}

/// How one call may make room for what it stores.
pub(super) struct Room<'a> {
    pub(super) account: Account<'a>,
    evictions_left: u32,
    forced: bool,
}

impl<'a> Room<'a> {
    pub(super) fn new(account: Account<'a>, evictions: u32) -> Self {
        Self { account, evictions_left: evictions, forced: false }
    }

    /// Entries were evicted.
    pub(super) fn forced(&self) -> bool {
        self.forced
    }

    pub(super) fn may_evict(&self) -> bool {
        self.evictions_left > 0
    }

    /// For as many bytes more it is this shard's turn to evict.
    pub(super) fn is_own_turn(&self, bytes: usize) -> bool {
        !self.account.is_within_share(bytes)
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
