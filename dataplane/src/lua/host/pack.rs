//! Several strings in one result: what `get_headers`, `get_uri_args` and the like give to the prelude in one call.
//!
//! The layout, in native byte order, each entry starting on a multiple of 4:
//! `count: i32, truncated: i32`, then per entry `key length: i32, value length: i32 (-1: true), key, value`.
//! `prelude/ngx.lua` has the reader.

/// What an entry takes at most beside its key and its value: their lengths, and what is left free after it.
pub(super) const ENTRY_MAX: usize = 11;

/// Writes entries into a buffer that is lent to Lua.
pub(super) struct Packer<'a> {
    buf: &'a mut Vec<u8>,
    count: i32,
    max: i32,
}

impl<'a> Packer<'a> {
    /// Starts anew in `buf`. `max` entries are taken, any number when it is not positive.
    pub(super) fn new(buf: &'a mut Vec<u8>, max: i32) -> Self {
        buf.clear();
        buf.resize(8, 0);
        Self { buf, count: 0, max }
    }

    /// Adds an entry; without a value it stands for `true`. False, with the table marked truncated, when it is full.
    pub(super) fn push(&mut self, key: &[u8], value: Option<&[u8]>) -> bool {
        if self.max > 0 && self.count == self.max {
            self.truncate();
            return false;
        }
        // Lengths fit: everything here came in a request or a response whose size is bounded well below 2 GiB.
        let value_len = value.map_or(-1, |v| v.len() as i32);
        self.buf.extend_from_slice(&(key.len() as i32).to_ne_bytes());
        self.buf.extend_from_slice(&value_len.to_ne_bytes());
        self.buf.extend_from_slice(key);
        self.buf.extend_from_slice(value.unwrap_or_default());
        self.buf.resize(self.buf.len().next_multiple_of(4), 0);
        self.count += 1;
        true
    }

    /// Like [`Self::push`], the key in lower case.
    pub(super) fn push_lower(&mut self, key: &[u8], value: &[u8]) -> bool {
        let start = self.buf.len() + 8;
        let pushed = self.push(key, Some(value));
        if pushed {
            self.buf[start..start + key.len()].make_ascii_lowercase();
        }
        pushed
    }

    /// Entries so far.
    pub(super) fn count(&self) -> i32 {
        self.count
    }

    /// Says that more was there.
    pub(super) fn truncate(&mut self) {
        self.buf[4..8].copy_from_slice(&1i32.to_ne_bytes());
    }

    /// Ends the table.
    pub(super) fn finish(self) -> &'a [u8] {
        self.buf[..4].copy_from_slice(&self.count.to_ne_bytes());
        self.buf
    }
}

#[cfg(test)]
mod tests {
    use super::Packer;

    #[test]
    fn entries_start_on_multiples_of_four() {
        let mut buf = Vec::new();
        let mut packer = Packer::new(&mut buf, 2);
        assert!(packer.push_lower(b"AbC", b"x"));
        assert!(packer.push(b"k", None));
        assert!(!packer.push(b"over", None));
        let bytes = packer.finish();
        let int = |at: usize| i32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((int(0), int(4)), (2, 1), "count, truncated");
        assert_eq!((int(8), int(12), &bytes[16..20]), (3, 1, &b"abcx"[..]));
        assert_eq!((int(20), int(24), &bytes[28..29]), (1, -1, &b"k"[..]));
        assert_eq!(bytes.len(), 32);
    }
}
