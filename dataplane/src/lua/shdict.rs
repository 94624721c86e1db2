//! `ngx.shared.DICT`: key-value stores shared by the workers of a process.
//!
//! Semantics and error texts are those of OpenResty's shared dicts (lua-nginx-module's `ngx_http_lua_shdict.c` and
//! lua-resty-core's `resty/core/shdict.lua`): each call is atomic, an entry lives until its time or until it is the
//! least recently used of a full dict, times are in milliseconds. What the Lua side checks before a call (`nil key`,
//! `empty key`, `bad value type`, a negative `exptime`) is [`check_key`], [`ttl_ms`] and the variants of [`DictError`].
//!
//! What differs, and why:
//! - A dict of 2 MiB or more has several locks, so that workers do not wait for each other; the entry
//!   evicted is then the least recently used of the fullest part. Smaller dicts have one lock and one exact order.
//! - Memory is taken as entries come, and counted per entry with its overhead, where nginx rounds up to slab sizes.
//!   `free_space` is therefore what is left, not the number of wholly free pages.
//!
//! The time is an argument of each call: the caller has it at hand, and tests need not wait.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;

mod entry;
mod memory;
mod registry;
mod shard;
mod slab;

#[cfg(test)]
mod tests;

use memory::{Account, Memory, Room};
use shard::Shard;

pub use registry::{Dicts, Refused};

/// Longest key in bytes, as in OpenResty.
pub const MAX_KEY: usize = 65_535;
/// Least size of a dict: what nginx refuses to go below.
pub const MIN_CAPACITY: usize = 8 * 1024;
/// Entries that one call may evict, as in OpenResty: it bounds the time that the lock is held.
const MAX_EVICTIONS: u32 = 30;
/// Bytes of capacity for each lock: less, and the shards' own fill levels would drift visibly apart.
const BYTES_PER_SHARD: usize = 1024 * 1024;
/// Most locks of a dict. With more, the calls that take them all (`flush_all`, `get_keys`) would gain nothing back.
const MAX_SHARDS: usize = 16;

/// Why a call failed; `Display` is the text that scripts get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DictError {
    /// The key is `nil`.
    #[error("nil key")]
    NilKey,
    /// The key is `""`.
    #[error("empty key")]
    EmptyKey,
    /// The key is longer than [`MAX_KEY`].
    #[error("key too long")]
    KeyTooLong,
    /// A value of a type that cannot be stored.
    #[error("bad value type")]
    BadValueType,
    /// `add` or `replace` with `nil`.
    #[error("attempt to add or replace nil values")]
    NilValue,
    /// No such key, or its time is over.
    #[error("not found")]
    NotFound,
    /// `add` of a key that is there.
    #[error("exists")]
    Exists,
    /// The dict is full, also after evictions where those are allowed.
    #[error("no memory")]
    NoMemory,
    /// `incr` of something else.
    #[error("not a number")]
    NotANumber,
    /// `get` of a list.
    #[error("value is a list")]
    ValueIsAList,
    /// A list operation on something else.
    #[error("value not a list")]
    ValueNotAList,
}

/// A value to store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Put<'a> {
    /// A string.
    Str(&'a [u8]),
    /// A number.
    Num(f64),
    /// A boolean.
    Bool(bool),
    /// `nil`: [`Store::Set`] deletes the key.
    Nil,
}

/// A value that was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Got {
    /// A string; its bytes are in the caller's buffer.
    Str,
    /// A number.
    Num(f64),
    /// A boolean.
    Bool(bool),
}

/// What `get` and `get_stale` found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// The value.
    pub value: Got,
    /// The user's flags; 0 if none.
    pub flags: i32,
    /// The entry's time is over (`get_stale` only).
    pub stale: bool,
}

/// Which of the five ways to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// `set`
    Set,
    /// `safe_set`: evicts nothing.
    SafeSet,
    /// `add`: only if the key is not there.
    Add,
    /// `safe_add`
    SafeAdd,
    /// `replace`: only if the key is there.
    Replace,
}

/// What became of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Done, or why not.
    pub result: Result<(), DictError>,
    /// Entries whose time was not over were evicted for it.
    pub forcible: bool,
}

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `lpush`, `lpop`
    Left,
    /// `rpush`, `rpop`
    Right,
}

/// Keys, one after the other in one buffer.
#[derive(Debug, Default)]
pub struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    /// The keys, those closest to eviction first.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(from, &to)| &self.bytes[from..to])
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// False if it does not fit below `max_bytes`.
    fn push(&mut self, key: &[u8], max_bytes: usize) -> bool {
        if self.bytes.len() + key.len() > max_bytes {
            return false;
        }
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
        true
    }
}

/// What the Lua side checks of each key before it calls.
pub fn check_key(key: &[u8]) -> Result<(), DictError> {
    match key.len() {
        0 => Err(DictError::EmptyKey),
        1..=MAX_KEY => Ok(()),
        _ => Err(DictError::KeyTooLong),
    }
}

/// Seconds as scripts write them, in milliseconds: cut, not rounded, so that less than one is 0, which is for ever.
pub fn ttl_ms(seconds: f64) -> i64 {
    (seconds * 1000.0) as i64
}

/// One lock's part of a dict, on cache lines of its own.
#[repr(align(128))]
#[derive(Default)]
struct Locked {
    shard: Mutex<Shard>,
    /// Bytes of its entries.
    used: AtomicUsize,
}

/// A dict. All times are milliseconds since the epoch.
pub struct Dict {
    shards: Box<[Locked]>,
    hasher: RandomState,
    memory: Memory,
}

impl Dict {
    /// An empty dict of `capacity` bytes, at least [`MIN_CAPACITY`].
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(MIN_CAPACITY);
        let shards = (capacity / BYTES_PER_SHARD).clamp(1, MAX_SHARDS);
        // A power of two, rounded down: a shard is chosen by the hash's upper bits.
        Self::with_shards(capacity, 1 << shards.ilog2())
    }

    fn with_shards(capacity: usize, shards: usize) -> Self {
        let shards = (0..shards).map(|_| Locked::default()).collect();
        Self { shards, hasher: RandomState::default(), memory: Memory::new(capacity) }
    }

    /// `get`: the value of a key whose time is not over. The bytes of a string replace what is in `out`.
    ///
    /// # Errors
    /// [`DictError::ValueIsAList`]
    pub fn get(&self, key: &[u8], now: u64, out: &mut Vec<u8>) -> Result<Option<Found>, DictError> {
        let (mut shard, hash, account) = self.lock(key);
        shard.drop_expired(account, now, None);
        shard.get(hash, key, now, false, out)
    }

    /// `get_stale`: as `get`, also when the key's time is over and its entry is still there.
    ///
    /// # Errors
    /// [`DictError::ValueIsAList`]
    pub fn get_stale(&self, key: &[u8], now: u64, out: &mut Vec<u8>) -> Result<Option<Found>, DictError> {
        let (mut shard, hash, _) = self.lock(key);
        shard.get(hash, key, now, true, out)
    }

    /// `set`, `add`, `replace` and the safe ones. `ttl` in milliseconds; 0 or less is for ever.
    pub fn store(&self, how: Store, key: &[u8], value: Put<'_>, ttl: i64, flags: i32, now: u64) -> Stored {
        if key.len() > MAX_KEY {
            return Stored { result: Err(DictError::KeyTooLong), forcible: false };
        }
        if value == Put::Nil && matches!(how, Store::Add | Store::SafeAdd | Store::Replace) {
            return Stored { result: Err(DictError::NilValue), forcible: false };
        }
        let evictions = if matches!(how, Store::SafeSet | Store::SafeAdd) { 0 } else { MAX_EVICTIONS };
        let expires = expiry(ttl, now);
        let (result, forcible) = self.with_room(key, now, evictions, |shard, hash, room| {
            shard.store(how, hash, key, value, expires, flags, now, room)
        });
        Stored { result, forcible }
    }

    /// `delete`
    pub fn delete(&self, key: &[u8], now: u64) {
        let (mut shard, hash, account) = self.lock(key);
        shard.drop_expired(account, now, None);
        shard.delete(hash, key, account);
    }

    /// `incr`: the new value, and whether entries were evicted. A key that is not there gets `init + by` and
    /// `init_ttl` (milliseconds; 0 or less is for ever); one that is keeps its time.
    ///
    /// # Errors
    /// [`DictError::NotFound`] without `init`, [`DictError::NotANumber`], [`DictError::NoMemory`],
    /// [`DictError::KeyTooLong`]
    pub fn incr(
        &self,
        key: &[u8],
        by: f64,
        init: Option<f64>,
        init_ttl: i64,
        now: u64,
    ) -> Result<(f64, bool), DictError> {
        if key.len() > MAX_KEY {
            return Err(DictError::KeyTooLong);
        }
        let (result, forcible) = self.with_room(key, now, MAX_EVICTIONS, |shard, hash, room| {
            shard.incr(hash, key, by, init, expiry(init_ttl, now), now, room)
        });
        result.map(|value| (value, forcible))
    }

    /// `lpush`, `rpush`: the new length. Makes the list if there is none; evicts nothing.
    ///
    /// # Errors
    /// [`DictError::ValueNotAList`], [`DictError::NoMemory`], [`DictError::BadValueType`] unless a string or number
    pub fn push(&self, end: End, key: &[u8], value: Put<'_>, now: u64) -> Result<usize, DictError> {
        check_key(key)?;
        let item = entry::Item::new(value).ok_or(DictError::BadValueType)?;
        let (mut shard, hash, account) = self.lock(key);
        shard.drop_expired(account, now, None);
        shard.push(end, hash, key, item, now, account)
    }

    /// `lpop`, `rpop`: the value taken off. The bytes of a string replace what is in `out`.
    ///
    /// # Errors
    /// [`DictError::ValueNotAList`]
    pub fn pop(&self, end: End, key: &[u8], now: u64, out: &mut Vec<u8>) -> Result<Option<Got>, DictError> {
        let (mut shard, hash, account) = self.lock(key);
        shard.drop_expired(account, now, None);
        shard.pop(end, hash, key, now, out, account)
    }

    /// `llen`: 0 if there is no list.
    ///
    /// # Errors
    /// [`DictError::ValueNotAList`]
    pub fn llen(&self, key: &[u8], now: u64) -> Result<usize, DictError> {
        let (mut shard, hash, account) = self.lock(key);
        shard.drop_expired(account, now, None);
        shard.llen(hash, key, now)
    }

    /// `ttl`: milliseconds left; 0 is for ever, less than 0 when the time is over and the entry still there (as in
    /// OpenResty, whose manual says otherwise).
    ///
    /// # Errors
    /// [`DictError::NotFound`]
    pub fn ttl(&self, key: &[u8], now: u64) -> Result<i64, DictError> {
        let (shard, hash, _) = self.lock(key);
        shard.ttl(hash, key, now)
    }

    /// `expire`: the key's time is now `ttl` milliseconds; 0 or less is for ever. An entry whose time is over but which
    /// is still there lives again, as in OpenResty.
    ///
    /// # Errors
    /// [`DictError::NotFound`]
    pub fn expire(&self, key: &[u8], ttl: i64, now: u64) -> Result<(), DictError> {
        let (mut shard, hash, _) = self.lock(key);
        shard.expire(hash, key, expiry(ttl, now))
    }

    /// `flush_all`: everything's time is over; the memory is freed as room is needed, or by `flush_expired`. Costs the
    /// same whatever the dict holds.
    pub fn flush_all(&self, now: u64) {
        for (index, shard) in self.lock_all().iter_mut().enumerate() {
            shard.flush_all(self.account(index), now);
        }
    }

    /// `flush_expired`: frees up to `max` entries whose time is over (0: all); how many.
    pub fn flush_expired(&self, max: usize, now: u64) -> usize {
        let max = if max == 0 { usize::MAX } else { max };
        let mut freed = 0;
        for (index, shard) in self.lock_all().iter_mut().enumerate() {
            freed += shard.flush_expired(max - freed, self.account(index), now);
            if freed == max {
                break;
            }
        }
        freed
    }

    /// `get_keys`: up to `max` keys (0: all) whose time is not over, together at most `max_bytes` long, so that a
    /// caller with a memory limit gets no more than it may hold. The dict is locked meanwhile.
    pub fn get_keys(&self, max: usize, max_bytes: usize, now: u64) -> Keys {
        let max = if max == 0 { usize::MAX } else { max };
        let mut keys = Keys::default();
        for shard in &self.lock_all() {
            for key in shard.keys(now) {
                if keys.len() == max || !keys.push(key, max_bytes) {
                    return keys;
                }
            }
        }
        keys
    }

    /// `capacity`: bytes.
    pub fn capacity(&self) -> usize {
        self.memory.capacity()
    }

    /// `free_space`: bytes.
    pub fn free_space(&self) -> usize {
        self.memory.capacity().saturating_sub(self.memory.used())
    }

    /// Changes the capacity. Entries stay, but those used least recently if they do not fit.
    pub fn resize(&self, capacity: usize, now: u64) {
        self.memory.set_capacity(capacity.max(MIN_CAPACITY));
        while self.memory.is_over() && self.evict_from_fullest(None, now) {}
    }

    fn lock(&self, key: &[u8]) -> (MutexGuard<'_, Shard>, u32, Account<'_>) {
        let hash = self.hasher.hash_one(key);
        let index = self.index(hash);
        (self.lock_shard(index), hash as u32, self.account(index))
    }

    fn account(&self, index: usize) -> Account<'_> {
        Account { memory: &self.memory, own: &self.shards[index].used, shards: self.shards.len() }
    }

    /// The shard is chosen by the upper half of the hash, the bucket in it by the lower.
    fn index(&self, hash: u64) -> usize {
        (hash >> 32) as usize & (self.shards.len() - 1)
    }

    fn lock_shard(&self, index: usize) -> MutexGuard<'_, Shard> {
        // Nothing here panics between two changes that belong together, so a poisoned shard is whole.
        self.shards[index].shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All locks, always in the same order: no other call holds more than one.
    fn lock_all(&self) -> Vec<MutexGuard<'_, Shard>> {
        (0..self.shards.len()).map(|at| self.lock_shard(at)).collect()
    }

    /// Runs `attempt` on the key's shard until it has the memory it needs or may evict no more. An attempt that
    /// answers `None` has changed nothing (it may have evicted others): another shard gives room, without the lock of
    /// this one, and the attempt starts anew.
    fn with_room<R>(
        &self,
        key: &[u8],
        now: u64,
        evictions: u32,
        attempt: impl Fn(&mut Shard, u32, &mut Room<'_>) -> Option<R>,
    ) -> (R, bool) {
        let hash = self.hasher.hash_one(key);
        let index = self.index(hash);
        let account = self.account(index);
        let mut room = Room::new(account, evictions);
        loop {
            let mut shard = self.lock_shard(index);
            shard.drop_expired(account, now, None);
            if let Some(result) = attempt(&mut shard, hash as u32, &mut room) {
                return (result, room.forced());
            }
            drop(shard);
            room.evicted_elsewhere(self.evict_from_fullest(Some(index), now));
        }
    }

    /// Evicts an entry from the shard, other than `except`, that holds the most.
    fn evict_from_fullest(&self, except: Option<usize>, now: u64) -> bool {
        let others = (0..self.shards.len()).filter(|&index| Some(index) != except);
        others
            .max_by_key(|&index| self.shards[index].used.load(Relaxed))
            .is_some_and(|index| self.lock_shard(index).evict(self.account(index), now, None))
    }
}

/// When an entry with this time to live ends; 0 is never.
fn expiry(ttl: i64, now: u64) -> u64 {
    u64::try_from(ttl).map_or(0, |ttl| if ttl == 0 { 0 } else { now.saturating_add(ttl) })
}
