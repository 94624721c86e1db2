//! Matching Lua patterns: the algorithm, results and errors of LuaJIT's string library, with a count of steps.
//!
//! Recursion is as deep as a pattern has items that repeat or capture, at most [`MAX_DEPTH`].

use std::ffi::CStr;

use crate::interrupt::Interrupt;

/// `LUA_MAXCAPTURES`
pub(super) const MAX_CAPTURES: usize = 32;
/// `LJ_MAX_XLEVEL`
const MAX_DEPTH: u32 = 200;
/// Steps between two questions whether to stop: some 50 us.
const ASK_EVERY: usize = 16 * 1024;

/// An error's text.
pub(super) type Error = &'static CStr;

/// A capture. Small, since a matcher has room for all of them: Lua's strings are shorter than 2 GiB.
#[derive(Clone, Copy)]
pub(super) struct Capture {
    start: u32,
    /// Or one of the two below.
    end: u32,
}

/// Begun, but not ended.
const OPEN: u32 = u32::MAX;
/// `()`
const POSITION: u32 = u32::MAX - 1;

/// What a capture is.
pub(super) enum Captured {
    /// Begun, but not ended.
    Open,
    /// `()`: where it is.
    Position(usize),
    /// A part of the subject.
    Text(usize, usize),
}

impl Capture {
    fn new(start: usize, end: u32) -> Self {
        Self { start: start as u32, end }
    }

    pub(super) fn get(self) -> Captured {
        let start = self.start as usize;
        match self.end {
            OPEN => Captured::Open,
            POSITION => Captured::Position(start),
            end => Captured::Text(start, end as usize),
        }
    }
}

/// A subject and a pattern.
pub(super) struct Matcher<'a> {
    subject: &'a [u8],
    pattern: &'a [u8],
    captures: [Capture; MAX_CAPTURES],
    level: usize,
    depth: u32,
    steps_left: usize,
    interrupt: Interrupt,
}

impl<'a> Matcher<'a> {
    pub(super) fn new(subject: &'a [u8], pattern: &'a [u8], interrupt: Interrupt) -> Self {
        let captures = [Capture { start: 0, end: 0 }; MAX_CAPTURES];
        Self { subject, pattern, captures, level: 0, depth: 0, steps_left: ASK_EVERY, interrupt }
    }

    /// Those of the last match.
    pub(super) fn captures(&self) -> &[Capture] {
        &self.captures[..self.level]
    }

    /// The end of a match that begins at `start`; the pattern's items from `from` on.
    pub(super) fn match_at(&mut self, start: usize, from: usize) -> Result<Option<usize>, Error> {
        self.level = 0;
        self.depth = 0;
        self.run(start, from)
    }

    /// Begin and end of the first match at or behind `start`.
    pub(super) fn search(&mut self, start: usize, from: usize) -> Result<Option<(usize, usize)>, Error> {
        let literal = self.first_literal(from);
        let mut at = start;
        while at <= self.subject.len() {
            if let Some(literal) = literal {
                let rest = &self.subject[at..];
                let Some(skipped) = memchr::memchr(literal, rest) else {
                    self.spend(rest.len() / 32)?;
                    return Ok(None);
                };
                self.spend(skipped / 32)?;
                at += skipped;
            }
            if let Some(end) = self.match_at(at, from)? {
                return Ok(Some((at, end)));
            }
            at += 1;
        }
        Ok(None)
    }

    /// The byte that every match begins with, if the pattern says so plainly. No error of the pattern can come before
    /// that byte matched, so that skipping to it hides none.
    fn first_literal(&self, from: usize) -> Option<u8> {
        let byte = self.item(from);
        let plain = !matches!(byte, 0 | b'(' | b')' | b'%' | b'.' | b'[' | b'$');
        (plain && !matches!(self.item(from + 1), b'?' | b'*' | b'-')).then_some(byte)
    }

    /// A byte of the pattern; 0, which ends it, beyond.
    #[inline]
    fn item(&self, at: usize) -> u8 {
        self.pattern.get(at).copied().unwrap_or(0)
    }

    #[inline]
    fn spend(&mut self, steps: usize) -> Result<(), Error> {
        if self.steps_left > steps {
            self.steps_left -= steps;
            return Ok(());
        }
        self.steps_left = ASK_EVERY;
        if self.interrupt.is_due() { Err(c"pattern too complex (CPU time limit exceeded)") } else { Ok(()) }
    }

    fn run(&mut self, at: usize, item: usize) -> Result<Option<usize>, Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(c"pattern too complex");
        }
        let end = self.items(at, item)?;
        self.depth -= 1;
        Ok(end)
    }

    /// Matches the items from `p` on at `s`.
    fn items(&mut self, mut s: usize, mut p: usize) -> Result<Option<usize>, Error> {
        loop {
            self.spend(1)?;
            match (self.item(p), self.item(p + 1)) {
                (b'(', b')') => return self.begin_capture(s, p + 2, Capture::new(s, POSITION)),
                (b'(', _) => return self.begin_capture(s, p + 1, Capture::new(s, OPEN)),
                (b')', _) => return self.end_capture(s, p + 1),
                (0, _) => return Ok(Some(s)),
                (b'$', 0) => return Ok((s == self.subject.len()).then_some(s)),
                (b'%', b'b') => {
                    let Some(end) = self.balance(s, p + 2)? else { return Ok(None) };
                    s = end;
                    p += 4;
                }
                (b'%', b'f') => {
                    let Some(next) = self.frontier(s, p + 2)? else { return Ok(None) };
                    p = next;
                }
                (b'%', digit @ b'0'..=b'9') => {
                    let Some(end) = self.back_reference(s, digit)? else { return Ok(None) };
                    s = end;
                    p += 2;
                }
                _ => {
                    let end = self.class_end(p)?;
                    match self.item(end) {
                        b'?' => {
                            if self.single(s, p, end)
                                && let Some(found) = self.run(s + 1, end + 1)?
                            {
                                return Ok(Some(found));
                            }
                            p = end + 1;
                        }
                        b'*' => return self.expand_most(s, p, end),
                        b'+' if self.single(s, p, end) => return self.expand_most(s + 1, p, end),
                        b'+' => return Ok(None),
                        b'-' => return self.expand_least(s, p, end),
                        _ if self.single(s, p, end) => {
                            s += 1;
                            p = end;
                        }
                        _ => return Ok(None),
                    }
                }
            }
        }
    }

    /// Where the single-character item at `p` ends.
    fn class_end(&mut self, p: usize) -> Result<usize, Error> {
        match self.item(p) {
            b'%' if self.item(p + 1) == 0 => Err(c"malformed pattern (ends with '%')"),
            b'%' => Ok(p + 2),
            b'[' => {
                let mut end = p + 1 + usize::from(self.item(p + 1) == b'^');
                loop {
                    let byte = self.item(end);
                    if byte == 0 {
                        return Err(c"malformed pattern (missing ']')");
                    }
                    end += 1;
                    if byte == b'%' && self.item(end) != 0 {
                        end += 1;
                    }
                    if self.item(end) == b']' {
                        break;
                    }
                }
                self.spend((end - p) / 8)?;
                Ok(end + 1)
            }
            _ => Ok(p + 1),
        }
    }

    /// Whether the byte at `s` is one of the item from `p` to `end`.
    fn single(&self, s: usize, p: usize, end: usize) -> bool {
        let Some(&byte) = self.subject.get(s) else { return false };
        match self.item(p) {
            b'.' => true,
            b'%' => is_in_class(byte, self.item(p + 1)),
            b'[' => self.is_in_set(byte, p, end - 1),
            literal => literal == byte,
        }
    }

    /// Of the set from `p`, which is its `[`, to `end`, which is its `]`.
    fn is_in_set(&self, byte: u8, mut p: usize, end: usize) -> bool {
        let negated = self.item(p + 1) == b'^';
        p += usize::from(negated);
        loop {
            p += 1;
            if p >= end {
                return negated;
            }
            let found = if self.item(p) == b'%' {
                p += 1;
                is_in_class(byte, self.item(p))
            } else if self.item(p + 1) == b'-' && p + 2 < end {
                p += 2;
                (self.item(p - 2)..=self.item(p)).contains(&byte)
            } else {
                self.item(p) == byte
            };
            if found {
                return !negated;
            }
        }
    }

    fn expand_most(&mut self, s: usize, p: usize, end: usize) -> Result<Option<usize>, Error> {
        let cost = 1 + (end - p) / 8;
        let mut most = s;
        while self.single(most, p, end) {
            self.spend(cost)?;
            most += 1;
        }
        for at in (s..=most).rev() {
            if let Some(found) = self.run(at, end + 1)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn expand_least(&mut self, mut s: usize, p: usize, end: usize) -> Result<Option<usize>, Error> {
        loop {
            if let Some(found) = self.run(s, end + 1)? {
                return Ok(Some(found));
            }
            if !self.single(s, p, end) {
                return Ok(None);
            }
            self.spend((end - p) / 8)?;
            s += 1;
        }
    }

    fn begin_capture(&mut self, s: usize, p: usize, capture: Capture) -> Result<Option<usize>, Error> {
        let place = self.captures.get_mut(self.level).ok_or(c"too many captures")?;
        *place = capture;
        self.level += 1;
        let end = self.run(s, p)?;
        if end.is_none() {
            self.level -= 1;
        }
        Ok(end)
    }

    fn end_capture(&mut self, s: usize, p: usize) -> Result<Option<usize>, Error> {
        let open = self.captures().iter().rposition(|capture| capture.end == OPEN);
        let open = open.ok_or(c"invalid pattern capture")?;
        self.captures[open].end = s as u32;
        let end = self.run(s, p)?;
        if end.is_none() {
            self.captures[open].end = OPEN;
        }
        Ok(end)
    }

    /// `%bxy`
    fn balance(&mut self, s: usize, p: usize) -> Result<Option<usize>, Error> {
        let (open, close) = (self.item(p), self.item(p + 1));
        if open == 0 || close == 0 {
            return Err(c"unbalanced pattern");
        }
        if self.subject_byte(s) != open {
            return Ok(None);
        }
        let mut depth = 1;
        for at in s + 1..self.subject.len() {
            self.spend(1)?;
            let byte = self.subject[at];
            if byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(at + 1));
                }
            } else if byte == open {
                depth += 1;
            }
        }
        Ok(None)
    }

    /// `%f[set]`: where the pattern goes on.
    fn frontier(&mut self, s: usize, p: usize) -> Result<Option<usize>, Error> {
        if self.item(p) != b'[' {
            return Err(c"missing '[' after '%f' in pattern");
        }
        let next = self.class_end(p)?;
        let before = if s == 0 { 0 } else { self.subject_byte(s - 1) };
        let here = self.subject_byte(s);
        let at_frontier = !self.is_in_set(before, p, next - 1) && self.is_in_set(here, p, next - 1);
        Ok(at_frontier.then_some(next))
    }

    /// `%1`: where what it captured ends, once more.
    fn back_reference(&mut self, s: usize, digit: u8) -> Result<Option<usize>, Error> {
        let index = usize::from(digit).checked_sub(usize::from(b'1'));
        match index.and_then(|index| self.captures().get(index)).map_or(Captured::Open, |capture| capture.get()) {
            Captured::Open => Err(c"invalid capture index"),
            Captured::Position(_) => Ok(None),
            Captured::Text(start, end) => {
                self.spend((end - start) / 32)?;
                Ok(self.subject[s..].starts_with(&self.subject[start..end]).then_some(s + (end - start)))
            }
        }
    }

    /// A byte of the subject; 0 beyond, as a Lua string ends.
    fn subject_byte(&self, s: usize) -> u8 {
        self.subject.get(s).copied().unwrap_or(0)
    }
}

/// `%a` and the like, for ASCII only.
fn is_in_class(byte: u8, class: u8) -> bool {
    let found = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'g' => byte.is_ascii_graphic(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => matches!(byte, b'\t'..=b'\r' | b' '),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    found != class.is_ascii_uppercase()
}
