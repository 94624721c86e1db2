//! The table as it is sent: every key's line, by key and in the order of their last change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use routing::wire::{self, Keep, ToPlane, TooLarge};
use routing::{Hash, Key, Value};
use slab::Slab;

/// What a key says, encoded once for all data planes.
#[derive(Clone, Debug)]
pub(super) struct Content {
    /// Of what is said.
    pub(super) hash: Hash,
    /// The `set` or `keep` frame.
    pub(super) line: Bytes,
    /// Features that it needs; nearly always none.
    pub(super) needs: Arc<[String]>,
    /// Nothing is said but that what is there stays. Whoever cannot be told so must not have the key.
    pub(super) is_keep: bool,
}

impl Content {
    /// A value, or what stands in for one that cannot be told.
    ///
    /// # Errors
    /// The value is too large for a frame.
    pub(super) fn new(
        key: &Key,
        value: &Value,
        is_stand_in: bool,
        needs: fn(&Key, &Value) -> Vec<String>,
    ) -> Result<Self, TooLarge> {
        let needs = needs(key, value);
        let (hash, line) = wire::encode_set(key, value, &needs, is_stand_in)?;
        Ok(Self { hash, line: line.into(), needs: needs.into(), is_keep: false })
    }

    /// The value cannot be told, and nothing stands in for it.
    pub(super) fn keep(key: &Key) -> Self {
        // No value has it, and no stand-in.
        let hash = Hash::of_bytes(b"keep");
        let frame = ToPlane::Keep(Keep { key: key.clone(), hash });
        let line = wire::encode(&frame).expect("a key is an object's name, which is short");
        Self { hash, line: line.into(), needs: Arc::default(), is_keep: true }
    }

    /// Whether a data plane with these features can be told.
    pub(super) fn is_for(&self, features: &[String]) -> bool {
        !self.is_keep || features.iter().any(|feature| feature == wire::KEEP)
    }
}

/// A key, also for a while after it is gone.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Arc<Key>,
    /// None: it is gone.
    pub(super) content: Option<Content>,
    /// The sequence number of its last change.
    pub(super) sequence: u64,
    changed: Instant,
}

/// Whether a status tells where a key is in effect.
pub(super) fn is_code(key: &Key) -> bool {
    matches!(key, Key::Plugin(_) | Key::Binding(_) | Key::Settings)
}

/// Keys that are gone are remembered, so that data planes that lag are told. Beyond as many as there are keys, and this,
/// the oldest are forgotten; who lags further behind gets the whole table.
const GONE_MIN: usize = 1024;

/// Every key, with the order in which they changed.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Slab<Entry>,
    by_key: BTreeMap<Arc<Key>, usize>,
    /// Each slot once, by its last change.
    by_change: BTreeSet<(u64, usize)>,
    /// Of those, plugins, bindings and settings: few, and what statuses tell of.
    code_by_change: BTreeSet<(u64, usize)>,
    /// Of those, the ones that are gone.
    gone: BTreeSet<(u64, usize)>,
    sequence: u64,
    /// Keys that were gone at this sequence number or before are forgotten.
    forgotten: u64,
    bytes: usize,
}

impl Table {
    /// The number of the last change.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Deletions up to this number are not told any more.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.gone.len()
    }

    /// Bytes of all lines.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A key's slot and entry, unless it is gone.
    pub(super) fn get(&self, key: &Key) -> Option<(usize, &Content)> {
        let slot = *self.by_key.get(key)?;
        Some((slot, self.slots[slot].content.as_ref()?))
    }

    /// When a key last changed.
    pub(super) fn changed(&self, key: &Key) -> Option<Instant> {
        self.by_key.get(key).map(|slot| self.slots[*slot].changed)
    }

    /// The entries from a slot on.
    pub(super) fn at_slot(&self, slot: usize) -> impl Iterator<Item = (usize, &Entry)> {
        (slot..self.slots.capacity()).filter_map(|slot| Some((slot, self.slots.get(slot)?)))
    }

    /// The entries that changed after `(sequence, slot)`.
    pub(super) fn after(&self, place: (u64, usize)) -> impl Iterator<Item = (usize, &Entry)> {
        let rest = (std::ops::Bound::Excluded(place), std::ops::Bound::Unbounded);
        self.by_change.range(rest).map(|(_, slot)| (*slot, &self.slots[*slot]))
    }

    /// The plugins, bindings and settings that changed after a step.
    pub(super) fn code_after(&self, sequence: u64) -> impl Iterator<Item = &Key> {
        self.code_by_change.range((sequence + 1, 0)..).map(|(_, slot)| self.slots[*slot].key.as_ref())
    }

    /// Whether these changes change anything.
    pub(super) fn differs(&self, key: &Key, content: Option<&Content>) -> bool {
        self.get(key).map(|(_, c)| c.hash) != content.map(|c| c.hash)
    }

    /// Brings in changes, as one step with a number of its own.
    pub(super) fn change(&mut self, changes: impl IntoIterator<Item = (Key, Option<Content>)>, now: Instant) {
        self.sequence += 1;
        for (key, content) in changes {
            if self.differs(&key, content.as_ref()) {
                self.set(key, content, now);
            }
        }
        self.forget();
    }

    fn set(&mut self, key: Key, content: Option<Content>, now: Instant) {
        let needs_before = self.get(&key).map(|(_, c)| c.needs.clone()).unwrap_or_default();
        let needs_now = content.as_ref().map(|c| c.needs.clone()).unwrap_or_default();
        self.bytes += content.as_ref().map_or(0, |c| c.line.len());
        let slot = match self.by_key.get(&key) {
            Some(slot) => *slot,
            None => {
                let key = Arc::new(key.clone());
                let entry = Entry { key: key.clone(), content: None, sequence: 0, changed: now };
                let slot = self.slots.insert(entry);
                self.by_key.insert(key, slot);
                slot
            }
        };
        let is_gone = content.is_none();
        let before = std::mem::replace(&mut self.slots[slot].content, content);
        self.bytes -= before.map_or(0, |c| c.line.len());
        self.renumber(slot, now, is_gone);
        if let (Key::Host(host), true) = (&key, needs_before != needs_now) {
            self.renumber_routes(host, now);
        }
    }

    fn renumber(&mut self, slot: usize, now: Instant, is_gone: bool) {
        let entry = &mut self.slots[slot];
        self.by_change.remove(&(entry.sequence, slot));
        self.code_by_change.remove(&(entry.sequence, slot));
        self.gone.remove(&(entry.sequence, slot));
        (entry.sequence, entry.changed) = (self.sequence, now);
        self.by_change.insert((self.sequence, slot));
        if is_code(&self.slots[slot].key) {
            self.code_by_change.insert((self.sequence, slot));
        }
        if is_gone {
            self.gone.insert((self.sequence, slot));
        }
    }

    /// What a host needs, its routes need too: they are sent again.
    fn renumber_routes(&mut self, host: &str, now: Instant) {
        let first = routing::RouteKey { host: host.to_owned(), kind: routing::PathKind::Exact, path: String::new() };
        let is_of_host = |key: &Key| matches!(key, Key::Route(route) if route.host == host);
        let routes = self.by_key.range::<Key, _>(&Key::Route(first)..).take_while(|(key, _)| is_of_host(key));
        let slots: Vec<usize> = routes.map(|(_, slot)| *slot).collect();
        for slot in slots.into_iter().filter(|slot| self.slots[*slot].content.is_some()).collect::<Vec<_>>() {
            self.renumber(slot, now, false);
        }
    }

    fn forget(&mut self) {
        while self.gone.len() > self.len().max(GONE_MIN) {
            let Some((sequence, slot)) = self.gone.pop_first() else { return };
            self.by_change.remove(&(sequence, slot));
            self.code_by_change.remove(&(sequence, slot));
            let entry = self.slots.remove(slot);
            self.by_key.remove(&entry.key);
            self.forgotten = sequence;
        }
    }
}

#[cfg(test)]
impl Table {
    /// Keys, also those that are gone and remembered.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Whether any key needs something.
    pub(super) fn has_needs(&self) -> bool {
        self.slots.iter().any(|(_, entry)| entry.content.as_ref().is_some_and(|content| !content.needs.is_empty()))
    }
}
