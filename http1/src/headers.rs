//! The header fields of a message: an ordered list over one byte arena.

use crate::chars::{is_field_value, is_token};

/// Where one field lies in the arena. A field lies there as it stands on the wire, `Name: value\r\n`, so a run of
/// neighbours is written by one copy; and its parts follow from three numbers.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    name: u32,
    value: u32,
}

impl Entry {
    /// Bytes of a line that are neither name nor value: colon, space, CR, LF.
    const EXTRA: usize = 4;

    fn name_end(self) -> usize {
        self.start as usize + self.name as usize
    }

    fn value_start(self) -> usize {
        self.name_end() + 2
    }

    fn value_end(self) -> usize {
        self.value_start() + self.value as usize
    }

    fn line_end(self) -> usize {
        self.value_end() + 2
    }

    fn line_len(self) -> usize {
        self.name as usize + self.value as usize + Self::EXTRA
    }
}

/// Header fields in their order, with names in their original case and duplicates kept.
///
/// Names compare without regard to ASCII case. [`clear`](Headers::clear) keeps the capacity, so a connection that
/// reuses its `Headers` allocates once. Fields that are replaced or removed leave holes in the arena, which are
/// squeezed out when they exceed half of it. All fields together stay below 4 GiB.
///
/// Nothing unsafe gets in: `push` and `set` drop a field whose name is no [token](is_token) or whose value has CR, LF
/// or NUL, and debug builds panic there, since the caller should have checked what a script or HTTP/2 handed it.
#[derive(Clone, Default, Debug)]
pub struct Headers {
    arena: Vec<u8>,
    entries: Vec<Entry>,
    /// Bytes of the arena that entries use.
    live: usize,
}

/// Holes smaller than this are not worth a copy of the rest.
const COMPACT_FROM: usize = 512;

impl Headers {
    /// No fields, no allocation.
    pub fn new() -> Self {
        Self::default()
    }

    /// Removes all fields and keeps the memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
        self.live = 0;
    }

    /// How many fields there are, duplicates counted.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Size on the wire of all fields: names, values, `: ` and CRLF of each.
    pub fn bytes(&self) -> usize {
        self.live
    }

    /// Appends a field, whether or not there is one of that name.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        if let Some(entry) = self.append(name, value) {
            self.entries.push(entry);
        }
    }

    /// Makes `value` the only one of `name`: the first field of that name is replaced where it stands, spelled as
    /// `name` is now, and further ones are removed. Without one the field is appended.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        let Some(first) = self.position(name, 0) else { return self.push(name, value) };
        let Some(entry) = self.append(name, value) else { return };
        self.live -= self.entries[first].line_len();
        self.entries[first] = entry;
        self.remove_from(name, first + 1);
        self.compact();
    }

    /// Removes all fields of that name and says how many they were.
    pub fn remove(&mut self, name: &[u8]) -> usize {
        let removed = self.remove_from(name, 0);
        if removed > 0 {
            self.compact();
        }
        removed
    }

    /// The value of the first field of that name.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.position(name, 0).map(|at| self.value(self.entries[at]))
    }

    /// The values of all fields of that name, in their order.
    pub fn get_all<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.entries.iter().filter(move |entry| self.is_named(**entry, name)).map(|entry| self.value(*entry))
    }

    /// Names and values in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries.iter().map(|entry| (self.name(*entry), self.value(*entry)))
    }

    /// Whether there is a field of that name.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.position(name, 0).is_some()
    }

    /// Keeps the fields for which `keep(name, value)` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        let (arena, live) = (&self.arena, &mut self.live);
        self.entries.retain(|entry| {
            let name = &arena[entry.start as usize..entry.name_end()];
            let kept = keep(name, &arena[entry.value_start()..entry.value_end()]);
            if !kept {
                *live -= entry.line_len();
            }
            kept
        });
        self.compact();
    }

    /// Writes all fields as they stand on the wire, without the empty line that ends a head.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        let mut run = 0..0;
        for entry in &self.entries {
            if entry.start as usize != run.end {
                out.extend_from_slice(&self.arena[run]);
                run = entry.start as usize..0;
            }
            run.end = entry.line_end();
        }
        out.extend_from_slice(&self.arena[run]);
    }

    /// Takes over the fields of a head that httparse read from `head`, which ends with the head's empty line.
    /// `None`: a line of the head ends in LF without CR.
    pub(crate) fn take_parsed(&mut self, head: &[u8], fields: &[httparse::Header<'_>]) -> Option<()> {
        self.clear();
        let Some(first) = fields.first() else { return head.ends_with(b"\r\n\r\n").then_some(()) };
        let lines = first.name.as_ptr() as usize - head.as_ptr() as usize;
        let start_line_ends_well = lines >= 2 && head[lines - 2] == b'\r';
        if start_line_ends_well { self.take_section(&head[lines..], fields) } else { None }
    }

    /// The same for field lines without a start line: `section` starts with the first name and ends with an empty line.
    pub(crate) fn take_section(&mut self, section: &[u8], fields: &[httparse::Header<'_>]) -> Option<()> {
        self.clear();
        let lines = section.strip_suffix(b"\r\n")?;
        if !lines.is_empty() && !lines.ends_with(b"\r\n") {
            return None;
        }
        if self.take_lines(lines, fields).is_some() { Some(()) } else { self.take_odd_lines(lines, fields) }
    }

    /// The fast path: every line is `Name: value\r\n` to the byte, so the arena is one copy. `None`: some line is not.
    fn take_lines(&mut self, lines: &[u8], fields: &[httparse::Header<'_>]) -> Option<()> {
        let base = lines.as_ptr() as usize;
        let mut start = 0;
        self.entries.resize(fields.len(), Entry { start: 0, name: 0, value: 0 });
        for (field, entry) in fields.iter().zip(&mut self.entries) {
            let (name, value) = (field.name.len(), field.value.len());
            let value_start = start + name + 2;
            let end = value_start + value;
            let in_place =
                field.name.as_ptr() as usize == base + start && field.value.as_ptr() as usize == base + value_start;
            // Asked first, so that the compiler sees that the bytes below exist.
            if !in_place || end >= lines.len() || lines[value_start - 1] != b' ' || lines[end] != b'\r' {
                return None;
            }
            *entry = Entry { start: start as u32, name: name as u32, value: value as u32 };
            start = end + 2;
        }
        if start != lines.len() {
            return None;
        }
        self.arena.extend_from_slice(lines);
        self.live = start;
        Some(())
    }

    /// Lines with other white space around the value, which the copy here normalises, or with a bare LF.
    #[cold]
    fn take_odd_lines(&mut self, lines: &[u8], fields: &[httparse::Header<'_>]) -> Option<()> {
        self.clear();
        let base = lines.as_ptr() as usize;
        for field in fields {
            // The bytes before a name are the end of the line before it. The last line's end was checked by the caller.
            let start = field.name.as_ptr() as usize - base;
            if start > 0 && (start < 2 || lines[start - 2] != b'\r') {
                return None;
            }
            self.push(field.name.as_bytes(), field.value);
        }
        Some(())
    }

    fn append(&mut self, name: &[u8], value: &[u8]) -> Option<Entry> {
        let safe = is_token(name) && is_field_value(value);
        debug_assert!(safe, "a field that may not be written: {:?}", String::from_utf8_lossy(name));
        if !safe {
            return None;
        }
        let (start, line) = (self.arena.len(), name.len() + value.len() + Entry::EXTRA);
        assert!(start + line <= u32::MAX as usize, "callers bound what they put into a head far below 4 GiB");
        self.arena.reserve(line);
        for part in [name, b": ", value, b"\r\n"] {
            self.arena.extend_from_slice(part);
        }
        self.live += line;
        Some(Entry { start: start as u32, name: name.len() as u32, value: value.len() as u32 })
    }

    fn remove_from(&mut self, name: &[u8], from: usize) -> usize {
        let Some(first) = self.position(name, from) else { return 0 };
        let mut kept = first;
        for at in first..self.entries.len() {
            let entry = self.entries[at];
            if self.is_named(entry, name) {
                self.live -= entry.line_len();
            } else {
                self.entries[kept] = entry;
                kept += 1;
            }
        }
        let removed = self.entries.len() - kept;
        self.entries.truncate(kept);
        removed
    }

    fn compact(&mut self) {
        let holes = self.arena.len() - self.live;
        if holes < COMPACT_FROM || holes <= self.arena.len() / 2 {
            return;
        }
        let mut arena = Vec::with_capacity(self.live);
        for entry in &mut self.entries {
            let line = entry.start as usize..entry.line_end();
            entry.start = arena.len() as u32;
            arena.extend_from_slice(&self.arena[line]);
        }
        self.arena = arena;
    }

    fn position(&self, name: &[u8], from: usize) -> Option<usize> {
        let rest = self.entries.get(from..)?;
        rest.iter().position(|entry| self.is_named(*entry, name)).map(|at| at + from)
    }

    #[inline(always)]
    fn is_named(&self, entry: Entry, name: &[u8]) -> bool {
        // The length is in the entry, and tells most names apart without a look at the arena.
        entry.name as usize == name.len() && self.name(entry).eq_ignore_ascii_case(name)
    }

    fn name(&self, entry: Entry) -> &[u8] {
        &self.arena[entry.start as usize..entry.name_end()]
    }

    fn value(&self, entry: Entry) -> &[u8] {
        &self.arena[entry.value_start()..entry.value_end()]
    }
}

/// The same fields in the same order, names to the letter.
impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Self {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.push(name.as_ref(), value.as_ref());
        }
        headers
    }
}
