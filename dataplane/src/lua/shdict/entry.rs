//! What a dict stores, and what each entry is charged.

use std::collections::VecDeque;

use super::{Got, Put};

/// What a heap block costs beyond its length: the allocator's header and rounding.
const BLOCK: usize = 16;
/// What an entry costs beyond its heap blocks: itself and its share of the buckets (4 bytes at a fill of a half to
/// one).
pub(super) const ENTRY: usize = size_of::<Entry>() + 8;

/// A key: short ones lie in the entry, which saves an allocation and a cache miss for most (counters by address).
pub(super) enum Key {
    Short(u8, [u8; Self::SHORT]),
    Long(Box<[u8]>),
}

impl Key {
    /// Fills 32 bytes together with the length and the enum's tag.
    const SHORT: usize = 30;

    pub(super) fn new(bytes: &[u8]) -> Self {
        if bytes.len() > Self::SHORT {
            return Self::Long(bytes.into());
        }
        let mut short = [0; Self::SHORT];
        short[..bytes.len()].copy_from_slice(bytes);
        Self::Short(bytes.len() as u8, short)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(len, bytes) => &bytes[..usize::from(*len)],
            Self::Long(bytes) => bytes,
        }
    }

    /// Heap bytes of a key of this length.
    pub(super) fn heap(len: usize) -> usize {
        if len > Self::SHORT { len + BLOCK } else { 0 }
    }
}

/// A value.
pub(super) enum Value {
    Num(f64),
    Bool(bool),
    Str(Box<[u8]>),
    List(Box<List>),
}

/// A list and the heap bytes of its items, so that its cost is known without walking it.
#[derive(Default)]
pub(super) struct List {
    pub(super) items: VecDeque<Item>,
    pub(super) heap: usize,
}

impl List {
    /// What the list itself costs.
    pub(super) const BYTES: usize = size_of::<Self>() + BLOCK;
}

/// An item of a list.
pub(super) enum Item {
    Num(f64),
    Str(Box<[u8]>),
}

impl Item {
    /// `None`: lists hold strings and numbers only.
    pub(super) fn new(value: Put<'_>) -> Option<Self> {
        match value {
            Put::Str(bytes) => Some(Self::Str(bytes.into())),
            Put::Num(number) => Some(Self::Num(number)),
            Put::Bool(_) | Put::Nil => None,
        }
    }

    /// Twice itself: the queue doubles as it grows.
    pub(super) fn heap(&self) -> usize {
        2 * size_of::<Self>()
            + match self {
                Self::Num(_) => 0,
                Self::Str(bytes) => bytes.len() + BLOCK,
            }
    }

    pub(super) fn read(&self, out: &mut Vec<u8>) -> Got {
        match self {
            Self::Num(number) => Got::Num(*number),
            Self::Str(bytes) => copy(bytes, out),
        }
    }
}

impl Value {
    /// `nil` is never stored.
    pub(super) fn new(value: Put<'_>) -> Self {
        match value {
            Put::Str(bytes) => Self::Str(bytes.into()),
            Put::Num(number) => Self::Num(number),
            Put::Bool(boolean) => Self::Bool(boolean),
            Put::Nil => Self::Bool(false),
        }
    }

    /// Heap bytes of what `put` will be.
    pub(super) fn heap_of(put: Put<'_>) -> usize {
        match put {
            Put::Str(bytes) => bytes.len() + BLOCK,
            Put::Num(_) | Put::Bool(_) | Put::Nil => 0,
        }
    }

    pub(super) fn heap(&self) -> usize {
        match self {
            Self::Num(_) | Self::Bool(_) => 0,
            Self::Str(bytes) => bytes.len() + BLOCK,
            Self::List(list) => List::BYTES + list.heap,
        }
    }

    /// `None` for a list.
    pub(super) fn read(&self, out: &mut Vec<u8>) -> Option<Got> {
        match self {
            Self::Num(number) => Some(Got::Num(*number)),
            Self::Bool(boolean) => Some(Got::Bool(*boolean)),
            Self::Str(bytes) => Some(copy(bytes, out)),
            Self::List(_) => None,
        }
    }

    /// Writes over the old value, in its memory where the sizes agree.
    pub(super) fn assign(&mut self, put: Put<'_>) {
        match (&mut *self, put) {
            (Self::Str(old), Put::Str(new)) if old.len() == new.len() => old.copy_from_slice(new),
            (old, put) => *old = Self::new(put),
        }
    }
}

fn copy(bytes: &[u8], out: &mut Vec<u8>) -> Got {
    out.clear();
    out.extend_from_slice(bytes);
    Got::Str
}

/// A key with its value, and its places in the bucket's chain and in the order of use. Links are indices into the
/// slab.
pub(super) struct Entry {
    /// When it ends, in milliseconds since the epoch; 0 is never.
    pub(super) expires: u64,
    /// The next in the bucket.
    pub(super) chain: u32,
    /// The neighbour that was used more recently.
    pub(super) newer: u32,
    /// The neighbour that was used less recently.
    pub(super) older: u32,
    pub(super) hash: u32,
    /// The shard's count of `flush_all` when this was stored: with a lower one, its time is over.
    pub(super) flushes: u32,
    pub(super) flags: i32,
    pub(super) key: Key,
    pub(super) value: Value,
}

impl Entry {
    /// Bytes that it is charged.
    pub(super) fn cost(&self) -> usize {
        ENTRY + Key::heap(self.key.bytes().len()) + self.value.heap()
    }
}
