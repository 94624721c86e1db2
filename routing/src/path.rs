//! The form in which requests are matched: one spelling for each path and each host.
//!
//! **Normal form of a path.** Still percent-encoded, pure ASCII, starting with `/`:
//! - an escape of an unreserved character (RFC 3986, 2.3) is that character, every other escape stays, in upper case.
//!   So `%2F` is never a separator, `%25` never starts a second round of decoding, and `/a%26b` is not `/a&b`;
//! - a byte that may not stand in a path (a space in a rule, `"`, `|`, UTF-8, ...) is its escape;
//! - `.` and `..` are resolved, also when written `%2e`; a path that leaves the root is refused (RFC 3986 would clamp
//!   it, as some backends do and others do not);
//! - `//` is `/` when slashes are merged, which happens before dot segments are resolved, as in nginx.
//!
//! **What is forwarded is what was matched**: the normal form is itself a valid path, so it goes upstream as it is and
//! the plugins see the same one ([`Target::forwarded`]). A request that is in normal form already, as nearly all are,
//! is forwarded byte for byte. The query is never touched.
//!
//! **Refused, never repaired** (400): broken escapes, `%00`, control bytes, spaces, `#`, and the segment `..;x`, which
//! servlet containers read as `..` after we have read it as a name.

use std::borrow::Cow;

pub use host::{BadHost, is_ip_literal, normalize_host};

mod host;

/// A request target in origin form, taken apart and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// In normal form; borrowed when the client wrote it so.
    pub path: Cow<'a, str>,
    /// What follows the first `?`, as the client wrote it.
    pub query: Option<&'a [u8]>,
    raw: &'a [u8],
}

/// Why a path cannot be matched. The client's fault: 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// Neither an origin form nor the path of an absolute form (`*` and `host:port` are no paths).
    #[error("the path does not start with /")]
    NotAbsolute,
    /// `%` without two hexadecimal digits.
    #[error("the path has a % that is not followed by two hexadecimal digits")]
    Escape,
    /// `%00`.
    #[error("the path has an escaped NUL")]
    Nul,
    /// A byte that no part of a target may have: control bytes, space, DEL, and `#` (a fragment is never sent).
    #[error("the target has the byte {0:#04x}")]
    Byte(u8),
    /// More `..` than segments before them.
    #[error("the path leads above the root")]
    AboveRoot,
    /// `..;x`
    #[error("the path has a .. with parameters")]
    DotParameters,
}

impl<'a> Target<'a> {
    /// Takes `/path?query` apart. `merge_slashes`: `//` in the path is `/`.
    pub fn parse(raw: &'a [u8], merge_slashes: bool) -> Result<Self, BadPath> {
        let (path, query) = split_target(raw);
        let path = normalize(path, merge_slashes)?;
        if let Some(byte) = query.unwrap_or_default().iter().find(|b| CLASS[usize::from(**b)] == Class::Refused) {
            return Err(BadPath::Byte(*byte));
        }
        Ok(Self { path, query, raw })
    }

    /// The target for the upstream: the matched path and the client's query. Borrowed, and all the client's bytes,
    /// when the path was in normal form.
    pub fn forwarded(&self) -> Cow<'a, [u8]> {
        if matches!(self.path, Cow::Borrowed(_)) {
            return Cow::Borrowed(self.raw);
        }
        let mut out = self.path.as_bytes().to_vec();
        if let Some(query) = self.query {
            out.push(b'?');
            out.extend_from_slice(query);
        }
        Cow::Owned(out)
    }
}

/// Splits at the first `?`. A target that ends in `?` has an empty query, which is forwarded too.
pub fn split_target(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match target.iter().position(|b| *b == b'?') {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    }
}

/// The normal form of a request's path (without its query): see the module. Borrowed when it is in normal form.
pub fn normalize(raw_target_path: &[u8], merge_slashes: bool) -> Result<Cow<'_, str>, BadPath> {
    if is_normal(raw_target_path, merge_slashes)
        && let Ok(path) = std::str::from_utf8(raw_target_path)
    {
        return Ok(Cow::Borrowed(path));
    }
    rewrite(raw_target_path, merge_slashes).map(Cow::Owned)
}

/// The normal form of a rule's path, without which it could not be compared with a request's. An empty path is `/`.
///
/// Rules come from people, so nothing is refused: a `%` that starts no escape is a percent sign, a space is `%20`, and
/// so on. Dot segments and `//` stay: the API refuses them in Exact and Prefix, and elsewhere they match nothing, as
/// in nginx (but `//` does when slashes are not merged).
pub fn normalize_rule(path: &str) -> Cow<'_, str> {
    if path.is_empty() {
        return Cow::Borrowed("/");
    }
    let mut rest = path.as_bytes();
    if rest.iter().all(|b| matches!(CLASS[usize::from(*b)], Class::Plain | Class::Slash)) {
        return Cow::Borrowed(path);
    }
    let mut out = String::with_capacity(path.len() + 8);
    while let Some(&byte) = rest.first() {
        rest = match (CLASS[usize::from(byte)], escape(rest)) {
            (Class::Plain | Class::Slash, _) => {
                out.push(char::from(byte));
                &rest[1..]
            }
            (Class::Percent, Some(escaped)) => {
                push_escape(&mut out, escaped);
                &rest[3..]
            }
            _ => {
                push_encoded(&mut out, byte);
                &rest[1..]
            }
        };
    }
    Cow::Owned(out)
}

/// A path as a script sets it, decoded, in the escapes of the normal form: whatever may not stand in a path is escaped,
/// and so is `%`, which stands for itself. Dot segments and `//` stay as the script wrote them.
pub fn encode(decoded: &[u8]) -> String {
    let mut out = String::with_capacity(decoded.len() + 8);
    for &byte in decoded {
        match CLASS[usize::from(byte)] {
            Class::Plain | Class::Slash => out.push(char::from(byte)),
            Class::Percent | Class::Encoded | Class::Refused => push_encoded(&mut out, byte),
        }
    }
    out
}

/// Appends a path in normal form with every escape decoded, `%2F` too: nginx's `$uri`.
pub fn decode(normal: &str, out: &mut Vec<u8>) {
    let mut rest = normal.as_bytes();
    while let Some(&byte) = rest.first() {
        match escape(rest).filter(|_| byte == b'%') {
            Some(decoded) => {
                out.push(decoded);
                rest = &rest[3..];
            }
            None => {
                out.push(byte);
                rest = &rest[1..];
            }
        }
    }
}

/// What a byte may do in a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Stands for itself: unreserved, sub-delims, `:` and `@` (RFC 3986, pchar).
    Plain,
    Slash,
    Percent,
    /// Not allowed in a path, but sent by browsers and harmless once escaped.
    Encoded,
    Refused,
}

const CLASS: [Class; 256] = {
    let mut table = [Class::Encoded; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = match i as u8 {
            b'/' => Class::Slash,
            b'%' => Class::Percent,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' => Class::Plain,
            b if is_unreserved(b) => Class::Plain,
            0..=b' ' | 0x7f | b'#' => Class::Refused,
            _ => Class::Encoded,
        };
        i += 1;
    }
    table
};

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The byte that `%XX` at the start of `bytes` stands for.
fn escape(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |b: u8| char::from(b).to_digit(16);
    u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
}

fn push_encoded(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

fn push_escape(out: &mut String, escaped: u8) {
    if is_unreserved(escaped) {
        out.push(char::from(escaped));
    } else {
        push_encoded(out, escaped);
    }
}

/// Whether [`rewrite`] would return its input. Written apart because it is on the path of every request.
fn is_normal(path: &[u8], merge_slashes: bool) -> bool {
    if path.first() != Some(&b'/') {
        return false;
    }
    let mut rest = path;
    while let Some(at) = rest.iter().position(|b| CLASS[usize::from(*b)] != Class::Plain) {
        rest = &rest[at..];
        rest = match CLASS[usize::from(rest[0])] {
            Class::Slash if is_segment_normal(&rest[1..], merge_slashes) => &rest[1..],
            Class::Percent if is_escape_normal(rest) => &rest[3..],
            _ => return false,
        };
    }
    true
}

/// Whether the segment that starts here neither vanishes nor is refused.
fn is_segment_normal(rest: &[u8], merge_slashes: bool) -> bool {
    match rest {
        [b'/', ..] => !merge_slashes,
        [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/' | b';', ..] => false,
        _ => true,
    }
}

fn is_escape_normal(rest: &[u8]) -> bool {
    let upper = |b: &u8| !b.is_ascii_lowercase();
    escape(rest).is_some_and(|byte| byte != 0 && !is_unreserved(byte)) && rest[1..3].iter().all(upper)
}

fn rewrite(path: &[u8], merge_slashes: bool) -> Result<String, BadPath> {
    let Some((b'/', segments)) = path.split_first() else { return Err(BadPath::NotAbsolute) };
    let mut out = String::with_capacity(path.len() + 8);
    let mut segments = segments.split(|b| *b == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let start = out.len();
        out.push('/');
        push_segment(&mut out, segment)?;
        // In all three cases the slash that ends a path stays: `/a/..` is the directory `/`.
        match &out[start + 1..] {
            "" if merge_slashes && !is_last => out.truncate(start),
            "." => out.truncate(start + usize::from(is_last)),
            ".." => {
                let parent = out[..start].rfind('/').ok_or(BadPath::AboveRoot)?;
                out.truncate(parent + usize::from(is_last));
            }
            s if s.starts_with("..;") => return Err(BadPath::DotParameters),
            _ => {}
        }
    }
    Ok(out)
}

fn push_segment(out: &mut String, mut rest: &[u8]) -> Result<(), BadPath> {
    while let Some(&byte) = rest.first() {
        match CLASS[usize::from(byte)] {
            Class::Plain | Class::Slash => out.push(char::from(byte)),
            Class::Encoded => push_encoded(out, byte),
            Class::Refused => return Err(BadPath::Byte(byte)),
            Class::Percent => {
                match escape(rest).ok_or(BadPath::Escape)? {
                    0 => return Err(BadPath::Nul),
                    escaped => push_escape(out, escaped),
                }
                rest = &rest[2..];
            }
        }
        rest = &rest[1..];
    }
    Ok(())
}
