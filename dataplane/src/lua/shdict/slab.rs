//! Entries by index, in chunks: growing moves nothing, so no call pays for copying the others' entries.

use super::entry::Entry;

/// No entry.
pub(super) const NONE: u32 = u32::MAX;
/// Entries of a chunk: a chunk is 22 KiB, the most that is allocated beyond what is in use.
const CHUNK: usize = 256;

enum Slot {
    Used(Entry),
    /// The next free slot.
    Free(u32),
}

/// Entries with stable indices.
#[derive(Default)]
pub(super) struct Slab {
    chunks: Vec<Vec<Slot>>,
    /// The first free slot plus one, 0 if there is none: then the last chunk grows.
    free: u32,
}

impl Slab {
    pub(super) fn insert(&mut self, entry: Entry) -> u32 {
        if let Some(index) = self.free.checked_sub(1) {
            let slot = &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK];
            if let Slot::Free(next) = *slot {
                self.free = next;
            }
            *slot = Slot::Used(entry);
            return index;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let at = self.chunks.len() - 1;
        self.chunks[at].push(Slot::Used(entry));
        // The account is full long before: 2^32 entries are 400 GB.
        u32::try_from(at * CHUNK + self.chunks[at].len() - 1).expect("fewer than 2^32 entries fit in memory")
    }

    pub(super) fn remove(&mut self, index: u32) -> Entry {
        let slot = &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK];
        match std::mem::replace(slot, Slot::Free(self.free)) {
            Slot::Used(entry) => {
                self.free = index + 1;
                entry
            }
            Slot::Free(_) => unreachable!("links lead to entries in use only"),
        }
    }

    /// Frees the memory; for a shard without entries.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl std::ops::Index<u32> for Slab {
    type Output = Entry;

    fn index(&self, index: u32) -> &Entry {
        match &self.chunks[index as usize / CHUNK][index as usize % CHUNK] {
            Slot::Used(entry) => entry,
            Slot::Free(_) => unreachable!("links lead to entries in use only"),
        }
    }
}

impl std::ops::IndexMut<u32> for Slab {
    fn index_mut(&mut self, index: u32) -> &mut Entry {
        match &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK] {
            Slot::Used(entry) => entry,
            Slot::Free(_) => unreachable!("links lead to entries in use only"),
        }
    }
}
