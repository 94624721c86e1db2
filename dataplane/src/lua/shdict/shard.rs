//! One lock's part of a dict: a hash table with chains over a slab, and the order of use as a list through it.

use std::collections::VecDeque;

use super::entry::{ENTRY, Entry, Item, Key, List, Value};
use super::memory::{Account, Room};
use super::slab::{NONE, Slab};
use super::{DictError, End, Found, Got, Put, Store};

/// First size of the hash table.
const MIN_BUCKETS: usize = 64;
/// Entries whose time is over that each call drops from the old end, as OpenResty does.
const DROP: usize = 2;

pub(super) struct Shard {
    entries: Slab,
    /// First entry of each chain; a power of two of them.
    buckets: Vec<u32>,
    len: usize,
    newest: u32,
    oldest: u32,
    /// Counts `flush_all`.
    flushes: u32,
}

impl Default for Shard {
    fn default() -> Self {
        Self { entries: Slab::default(), buckets: Vec::new(), len: 0, newest: NONE, oldest: NONE, flushes: 0 }
    }
}

/// Whether an entry may take the memory it needs.
enum Acquired {
    Yes,
    No,
    /// Another shard has to evict.
    NotHere,
}

impl Shard {
    pub(super) fn get(
        &mut self,
        hash: u32,
        key: &[u8],
        now: u64,
        stale: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<Found>, DictError> {
        let Some(at) = self.find(hash, key) else { return Ok(None) };
        let live = self.is_live(at, now);
        if live {
            self.touch(at);
        } else if !stale {
            return Ok(None);
        }
        let entry = &self.entries[at];
        let value = entry.value.read(out).ok_or(DictError::ValueIsAList)?;
        Ok(Some(Found { value, flags: entry.flags, stale: !live }))
    }

    /// `None`: see [`super::Dict::with_room`].
    pub(super) fn store(
        &mut self,
        how: Store,
        hash: u32,
        key: &[u8],
        value: Put<'_>,
        expires: u64,
        flags: i32,
        now: u64,
        room: &mut Room<'_>,
    ) -> Option<Result<(), DictError>> {
        let found = self.find(hash, key);
        let live = found.is_some_and(|at| self.is_live(at, now));
        match how {
            Store::Add | Store::SafeAdd if live => {
                found.inspect(|&at| self.touch(at));
                return Some(Err(DictError::Exists));
            }
            Store::Replace if !live => return Some(Err(DictError::NotFound)),
            _ => {}
        }
        if value == Put::Nil {
            found.inspect(|&at| self.remove(at, room.account));
            return Some(Ok(()));
        }
        let need = ENTRY + Key::heap(key.len()) + Value::heap_of(value);
        match self.acquire(need, found, room, now) {
            Acquired::Yes => {}
            Acquired::NotHere => return None,
            Acquired::No => {
                // OpenResty frees the old entry before it finds out, so that it is gone.
                found.inspect(|&at| self.remove(at, room.account));
                return Some(Err(DictError::NoMemory));
            }
        }
        match found {
            Some(at) => {
                self.entries[at].value.assign(value);
                self.renew(at, expires, flags);
            }
            None => self.insert(hash, key, Value::new(value), expires, flags),
        }
        Some(Ok(()))
    }

    pub(super) fn delete(&mut self, hash: u32, key: &[u8], account: Account<'_>) {
        if let Some(at) = self.find(hash, key) {
            self.remove(at, account);
        }
    }

    /// `None`: see [`super::Dict::with_room`].
    pub(super) fn incr(
        &mut self,
        hash: u32,
        key: &[u8],
        by: f64,
        init: Option<f64>,
        expires: u64,
        now: u64,
        room: &mut Room<'_>,
    ) -> Option<Result<f64, DictError>> {
        let found = self.find(hash, key);
        if let Some(at) = found.filter(|&at| self.is_live(at, now)) {
            self.touch(at);
            let Value::Num(number) = &mut self.entries[at].value else { return Some(Err(DictError::NotANumber)) };
            *number += by;
            return Some(Ok(*number));
        }
        let Some(init) = init else { return Some(Err(DictError::NotFound)) };
        let value = init + by;
        match self.acquire(ENTRY + Key::heap(key.len()), found, room, now) {
            Acquired::Yes => {}
            Acquired::NotHere => return None,
            Acquired::No => {
                found.inspect(|&at| self.remove(at, room.account));
                return Some(Err(DictError::NoMemory));
            }
        }
        match found {
            Some(at) => {
                self.entries[at].value = Value::Num(value);
                self.renew(at, expires, 0);
            }
            None => self.insert(hash, key, Value::Num(value), expires, 0),
        }
        Some(Ok(value))
    }

    pub(super) fn push(
        &mut self,
        end: End,
        hash: u32,
        key: &[u8],
        item: Item,
        now: u64,
        account: Account<'_>,
    ) -> Result<usize, DictError> {
        let mut found = self.find(hash, key);
        if let Some(at) = found
            && !self.is_live(at, now)
        {
            self.remove(at, account);
            found = None;
        }
        let bytes = item.heap();
        let at = match found {
            Some(at) => {
                if !matches!(self.entries[at].value, Value::List(_)) {
                    self.touch(at);
                    return Err(DictError::ValueNotAList);
                }
                if !account.take(bytes) {
                    self.touch(at);
                    return Err(DictError::NoMemory);
                }
                at
            }
            None => {
                if !account.take(ENTRY + Key::heap(key.len()) + List::BYTES + bytes) {
                    return Err(DictError::NoMemory);
                }
                self.insert(hash, key, Value::List(Box::default()), 0, 0);
                self.newest
            }
        };
        self.touch(at);
        let Value::List(list) = &mut self.entries[at].value else { return Err(DictError::ValueNotAList) };
        list.heap += bytes;
        match end {
            End::Left => list.items.push_front(item),
            End::Right => list.items.push_back(item),
        }
        Ok(list.items.len())
    }

    pub(super) fn pop(
        &mut self,
        end: End,
        hash: u32,
        key: &[u8],
        now: u64,
        out: &mut Vec<u8>,
        account: Account<'_>,
    ) -> Result<Option<Got>, DictError> {
        let Some(at) = self.find(hash, key).filter(|&at| self.is_live(at, now)) else { return Ok(None) };
        self.touch(at);
        let Value::List(list) = &mut self.entries[at].value else { return Err(DictError::ValueNotAList) };
        let item = match end {
            End::Left => list.items.pop_front(),
            End::Right => list.items.pop_back(),
        };
        let got = item.map(|item| {
            list.heap -= item.heap();
            account.give_back(item.heap());
            item.read(out)
        });
        if list.items.is_empty() {
            self.remove(at, account);
        } else {
            shrink(&mut list.items);
        }
        Ok(got)
    }

    pub(super) fn llen(&mut self, hash: u32, key: &[u8], now: u64) -> Result<usize, DictError> {
        let Some(at) = self.find(hash, key).filter(|&at| self.is_live(at, now)) else { return Ok(0) };
        self.touch(at);
        match &self.entries[at].value {
            Value::List(list) => Ok(list.items.len()),
            _ => Err(DictError::ValueNotAList),
        }
    }

    pub(super) fn ttl(&self, hash: u32, key: &[u8], now: u64) -> Result<i64, DictError> {
        let at = self.find(hash, key).ok_or(DictError::NotFound)?;
        let entry = &self.entries[at];
        match (entry.flushes == self.flushes, entry.expires) {
            (true, 0) => Ok(0),
            (true, expires) => Ok(expires.cast_signed().wrapping_sub(now.cast_signed())),
            // As if it had ended at the epoch.
            (false, _) => Ok(1_i64.wrapping_sub(now.cast_signed())),
        }
    }

    pub(super) fn expire(&mut self, hash: u32, key: &[u8], expires: u64) -> Result<(), DictError> {
        let at = self.find(hash, key).ok_or(DictError::NotFound)?;
        let entry = &mut self.entries[at];
        entry.expires = expires;
        entry.flushes = self.flushes;
        Ok(())
    }

    pub(super) fn flush_all(&mut self, account: Account<'_>, now: u64) {
        self.flushes = self.flushes.wrapping_add(1);
        self.evict(account, now, None);
    }

    pub(super) fn flush_expired(&mut self, max: usize, account: Account<'_>, now: u64) -> usize {
        let mut freed = 0;
        let mut at = self.oldest;
        while at != NONE && freed < max {
            let newer = self.entries[at].newer;
            if !self.is_live(at, now) {
                self.remove(at, account);
                freed += 1;
            }
            at = newer;
        }
        freed
    }

    /// Keys whose time is not over, oldest first.
    pub(super) fn keys(&self, now: u64) -> impl Iterator<Item = &[u8]> {
        let first = Some(self.oldest).filter(|&at| at != NONE);
        std::iter::successors(first, |&at| Some(self.entries[at].newer).filter(|&at| at != NONE))
            .filter(move |&at| self.is_live(at, now))
            .map(|at| self.entries[at].key.bytes())
    }

    /// Drops the oldest entry, and the next ones if their time is over. False if there is none, or only `keep`.
    pub(super) fn evict(&mut self, account: Account<'_>, now: u64, keep: Option<u32>) -> bool {
        if self.oldest == NONE || Some(self.oldest) == keep {
            return false;
        }
        self.remove(self.oldest, account);
        self.drop_expired(account, now, keep);
        true
    }

    /// Drops the oldest entries if their time is over: a few, so that each call pays a little.
    pub(super) fn drop_expired(&mut self, account: Account<'_>, now: u64, keep: Option<u32>) {
        for _ in 0..DROP {
            if self.oldest == NONE || Some(self.oldest) == keep || self.is_live(self.oldest, now) {
                return;
            }
            self.remove(self.oldest, account);
        }
    }

    /// Takes `need` bytes for an entry that replaces `old`, evicting others as far as `room` allows.
    fn acquire(&mut self, need: usize, old: Option<u32>, room: &mut Room<'_>, now: u64) -> Acquired {
        let have = old.map_or(0, |at| self.entries[at].cost());
        if need <= have {
            room.account.give_back(have - need);
            return Acquired::Yes;
        }
        if room.account.take(need - have) {
            return Acquired::Yes;
        }
        old.inspect(|&at| self.touch(at));
        while room.may_evict() {
            if !room.is_own_turn(need - have) || !self.evict(room.account, now, old) {
                return Acquired::NotHere;
            }
            room.evicted();
            if room.account.take(need - have) {
                return Acquired::Yes;
            }
        }
        Acquired::No
    }

    fn is_live(&self, at: u32, now: u64) -> bool {
        let entry = &self.entries[at];
        entry.flushes == self.flushes && (entry.expires == 0 || entry.expires > now)
    }

    fn find(&self, hash: u32, key: &[u8]) -> Option<u32> {
        if self.buckets.is_empty() {
            return None;
        }
        let mut at = self.buckets[self.bucket(hash)];
        while at != NONE {
            let entry = &self.entries[at];
            if entry.hash == hash && entry.key.bytes() == key {
                return Some(at);
            }
            at = entry.chain;
        }
        None
    }

    fn bucket(&self, hash: u32) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }

    /// The memory has been taken.
    fn insert(&mut self, hash: u32, key: &[u8], value: Value, expires: u64, flags: i32) {
        if self.len >= self.buckets.len() {
            self.rehash((self.buckets.len() * 2).max(MIN_BUCKETS));
        }
        let bucket = self.bucket(hash);
        let at = self.entries.insert(Entry {
            expires,
            chain: self.buckets[bucket],
            newer: NONE,
            older: NONE,
            hash,
            flushes: self.flushes,
            flags,
            key: Key::new(key),
            value,
        });
        self.buckets[bucket] = at;
        self.link_newest(at);
        self.len += 1;
    }

    fn renew(&mut self, at: u32, expires: u64, flags: i32) {
        let flushes = self.flushes;
        let entry = &mut self.entries[at];
        entry.expires = expires;
        entry.flags = flags;
        entry.flushes = flushes;
        self.touch(at);
    }

    fn remove(&mut self, at: u32, account: Account<'_>) {
        self.unlink(at);
        let entry = self.entries.remove(at);
        let bucket = self.bucket(entry.hash);
        if self.buckets[bucket] == at {
            self.buckets[bucket] = entry.chain;
        } else {
            let mut before = self.buckets[bucket];
            while self.entries[before].chain != at {
                before = self.entries[before].chain;
            }
            self.entries[before].chain = entry.chain;
        }
        self.len -= 1;
        if self.len == 0 {
            // An emptied dict gives back what its largest size took.
            self.entries.clear();
            self.buckets = Vec::new();
        }
        account.give_back(entry.cost());
    }

    fn rehash(&mut self, buckets: usize) {
        self.buckets.clear();
        self.buckets.resize(buckets, NONE);
        let mut at = self.oldest;
        while at != NONE {
            let bucket = self.bucket(self.entries[at].hash);
            let entry = &mut self.entries[at];
            entry.chain = self.buckets[bucket];
            self.buckets[bucket] = at;
            at = entry.newer;
        }
    }

    /// It is now the one used most recently.
    fn touch(&mut self, at: u32) {
        if self.newest != at {
            self.unlink(at);
            self.link_newest(at);
        }
    }

    fn unlink(&mut self, at: u32) {
        let (newer, older) = (self.entries[at].newer, self.entries[at].older);
        match newer {
            NONE => self.newest = older,
            _ => self.entries[newer].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            _ => self.entries[older].newer = newer,
        }
    }

    fn link_newest(&mut self, at: u32) {
        let older = std::mem::replace(&mut self.newest, at);
        let entry = &mut self.entries[at];
        entry.newer = NONE;
        entry.older = older;
        match older {
            NONE => self.oldest = at,
            _ => self.entries[older].newer = at,
        }
    }

    #[cfg(test)]
    pub(super) fn cost(&self) -> usize {
        let mut sum = 0;
        let mut at = self.oldest;
        while at != NONE {
            sum += self.entries[at].cost();
            at = self.entries[at].newer;
        }
        sum
    }
}

/// A list that was once long gives its memory back; the factor keeps pushes and pops amortized.
fn shrink(items: &mut VecDeque<Item>) {
    if items.capacity() > 64 && items.len() * 4 < items.capacity() {
        items.shrink_to(items.len() * 2);
    }
}
