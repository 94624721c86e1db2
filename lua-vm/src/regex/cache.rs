//! Compiled patterns by pattern and options, and by number; the least recently used go first.

use std::collections::HashMap;

use super::options::Options;
use super::{Id, Regex};

/// Numbers are a slot's index times this plus its count of uses, so that one is stale once its regex was evicted.
const REUSES: i32 = 1 << 15;
/// Most slots: an [`Id`] is a positive `i32`.
const MAX_SLOTS: usize = 1 << 15;

struct Slot {
    regex: Option<Regex>,
    /// Counts the regexes that the slot held, around.
    reuse: i32,
    /// When it was used last.
    used: u64,
    /// What it was charged.
    bytes: usize,
}

#[derive(Default)]
pub(super) struct Cache {
    slots: Vec<Slot>,
    free: Vec<usize>,
    by_pattern: HashMap<(Box<[u8]>, Options), usize>,
    /// Counts uses.
    clock: u64,
    bytes: usize,
}

impl Cache {
    pub(super) fn find(&mut self, pattern: &[u8], options: Options) -> Option<Id> {
        // A look-up by what compiles: rare, since the prelude has a table of its own before this one.
        let &at = self.by_pattern.get(&(Box::from(pattern), options))?;
        Some(self.touch(at))
    }

    pub(super) fn get(&self, id: Id) -> Option<&Regex> {
        self.slots[self.place(id)?].regex.as_ref()
    }

    /// For a match: it is now the one used most recently.
    pub(super) fn use_mut(&mut self, id: Id) -> Option<&mut Regex> {
        let at = self.place(id)?;
        self.clock += 1;
        let slot = &mut self.slots[at];
        slot.used = self.clock;
        slot.regex.as_mut()
    }

    /// Evicts others beyond the limits, but never what it inserts.
    pub(super) fn insert(&mut self, regex: Regex, bytes: usize, max_entries: usize, max_bytes: usize) -> Id {
        let max_entries = max_entries.clamp(1, MAX_SLOTS);
        while self.len() >= max_entries || (self.len() > 0 && self.bytes + bytes > max_bytes) {
            self.evict();
        }
        let key = (regex.pattern.clone(), regex.options);
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.slots.push(Slot { regex: None, reuse: 0, used: 0, bytes: 0 });
                self.slots.len() - 1
            }
        };
        self.bytes += bytes;
        let slot = &mut self.slots[at];
        slot.regex = Some(regex);
        slot.bytes = bytes;
        slot.reuse = (slot.reuse + 1) % REUSES;
        self.by_pattern.insert(key, at);
        self.touch(at)
    }

    pub(super) fn len(&self) -> usize {
        self.by_pattern.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn place(&self, id: Id) -> Option<usize> {
        let at = usize::try_from(id.0 / REUSES).ok()?;
        let slot = self.slots.get(at)?;
        (slot.reuse == id.0 % REUSES && slot.regex.is_some()).then_some(at)
    }

    fn touch(&mut self, at: usize) -> Id {
        self.clock += 1;
        self.slots[at].used = self.clock;
        Id(at as i32 * REUSES + self.slots[at].reuse)
    }

    /// A walk over all: with every eviction comes a compilation, which costs as much as a thousand slots.
    pub(super) fn evict(&mut self) {
        let used = self.slots.iter().enumerate().filter(|(_, slot)| slot.regex.is_some());
        if let Some((at, _)) = used.min_by_key(|(_, slot)| slot.used) {
            self.evict_slot(at);
        }
    }

    /// This one.
    pub(super) fn evict_one(&mut self, id: Id) {
        if let Some(at) = self.place(id) {
            self.evict_slot(at);
        }
    }

    fn evict_slot(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        if let Some(regex) = slot.regex.take() {
            self.bytes -= slot.bytes;
            self.by_pattern.remove(&(regex.pattern.clone(), regex.options));
            self.free.push(at);
        }
    }
}
