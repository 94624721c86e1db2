//! Request heads: what a client sent, as the server side reads it.

use std::mem::MaybeUninit;

use crate::chars::{is_host, is_target};
use crate::fields::Fields;
use crate::head::{Fault, Framing, Limits, MAX_HEADERS, Version, fault_of, has_bare_lf, is_other_version};
use crate::headers::Headers;
use crate::method::Method;

/// A request head, filled by [`parse_request`] and reused across the requests of a connection: once its buffers have
/// grown, parsing allocates nothing but for methods unknown to [`Method`] and for absolute-form targets.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// The method. Never CONNECT, which is refused: a gateway opens no tunnels for clients.
    pub method: Method,
    /// The target as sent, in origin-form (`/path?query`) or absolute-form (`http://host/path?query`). Only one thing
    /// is added: the `/` of an absolute-form with an empty path, so that an origin-form always starts at `path_start`.
    /// (`*` is refused with CONNECT.)
    pub target: Vec<u8>,
    /// The client's version.
    pub version: Version,
    /// The header fields.
    pub headers: Headers,
    /// How the body ends. `None` and `Length(0)` both mean that there is none; the second was declared.
    pub framing: Framing,
    /// Whether the client would send another request on this connection.
    pub keep_alive: bool,
    /// The client waits for 100 (Continue) before it sends the body that it declared. Never set for HTTP/1.0 or without a body.
    pub expect_continue: bool,
    /// `Connection: upgrade` with an Upgrade field, over HTTP/1.1. What follows the head is the request's body, if it has
    /// one, and then whatever the new protocol says: nothing of that is for [`parse_request`] until the upgrade was denied.
    pub upgrade: bool,
    /// Host and port of an absolute-form target. It wins over the Host field (RFC 9112 section 3.2.2).
    pub authority: Option<Vec<u8>>,
    /// Where the origin-form starts in `target`: 0 unless the target is in absolute-form.
    pub path_start: usize,
}

impl RequestHead {
    /// An empty head, to be filled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Path and query, whatever the target's form.
    pub fn path_and_query(&self) -> &[u8] {
        &self.target[self.path_start..]
    }

    /// The host that the request is for, with its port if it has one: the target's authority, or else the Host field.
    pub fn host(&self) -> Option<&[u8]> {
        self.authority.as_deref().or_else(|| self.headers.get(b"host"))
    }
}

/// Why a request head is refused. Its connection cannot be read on: where the next request starts is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(transparent)]
pub struct RequestError(Fault);

impl RequestError {
    /// What was wrong.
    pub fn fault(&self) -> Fault {
        self.0
    }

    /// The status of the answer that the client should get before the connection is closed.
    pub fn status(&self) -> u16 {
        match self.0 {
            Fault::TargetTooLong => 414,
            Fault::HeadTooLarge | Fault::TooManyFields => 431,
            Fault::NotServed | Fault::UnknownCoding => 501,
            Fault::Version => 505,
            _ => 400,
        }
    }
}

/// Empty lines before a request line that are skipped. RFC 9112 section 2.2 asks for at least one, for clients that
/// send an extra CRLF after a body; more than a few are a waste of our time.
const EMPTY_LINES: usize = 4;

/// Reads a request head from the start of `buf`.
///
/// `Ok(None)`: more bytes are needed, and `head` holds nothing of use. `Ok(Some(n))`: the head took `n` bytes, among
/// them empty lines before it. What is refused and with which status is listed in `tests/corpus`.
pub fn parse_request(buf: &[u8], limits: &Limits, head: &mut RequestHead) -> Result<Option<usize>, RequestError> {
    read(buf, limits, head).map_err(RequestError)
}

fn read(buf: &[u8], limits: &Limits, head: &mut RequestHead) -> Result<Option<usize>, Fault> {
    let skipped = empty_lines(buf)?;
    let buf = &buf[skipped..];
    let clipped = &buf[..buf.len().min(limits.head_bytes)];
    let mut fields = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut []);
    let size = match parsed.parse_with_uninit_headers(clipped, &mut fields[..limits.headers.min(MAX_HEADERS)]) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) => return incomplete(clipped, limits),
        Err(error) => return Err(refused(clipped, error, limits)),
    };
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(Fault::RequestLine);
    };
    head.headers.take_parsed(&clipped[..size], parsed.headers).ok_or(Fault::BareLf)?;
    head.method = Method::from_bytes(method.as_bytes()).ok_or(Fault::RequestLine)?;
    head.version = Version::from_minor(minor);
    take_target(target.as_bytes(), head)?;
    take_fields(parsed.headers, head)?;
    Ok(Some(skipped + size))
}

/// How many bytes of empty lines there are before the request line.
fn empty_lines(buf: &[u8]) -> Result<usize, Fault> {
    let mut at = 0;
    loop {
        match &buf[at..] {
            [b'\r', b'\n', ..] if at < 2 * EMPTY_LINES => at += 2,
            [b'\r', b'\n', ..] => return Err(Fault::EmptyLines),
            [b'\r'] => return Ok(at),
            [b'\r', ..] => return Err(Fault::LineEnd),
            [b'\n', ..] => return Err(Fault::BareLf),
            _ => return Ok(at),
        }
    }
}

#[cold]
fn incomplete(clipped: &[u8], limits: &Limits) -> Result<Option<usize>, Fault> {
    if has_bare_lf(clipped, usize::MAX) {
        return Err(Fault::BareLf);
    }
    if clipped.len() < limits.head_bytes {
        return Ok(None);
    }
    // The request line alone is too long: whether target or method, 414 is what clients know.
    if memchr::memchr(b'\n', clipped).is_none() { Err(Fault::TargetTooLong) } else { Err(Fault::HeadTooLarge) }
}

#[cold]
fn refused(clipped: &[u8], error: httparse::Error, limits: &Limits) -> Fault {
    match fault_of(error, Fault::RequestLine) {
        Fault::Version => {
            let token = clipped.splitn(3, |&byte| byte == b' ').nth(2).unwrap_or_default();
            if is_other_version(token) { Fault::Version } else { Fault::RequestLine }
        }
        // A bare LF before the field that was one too many would have been refused first, had the bytes come singly.
        Fault::TooManyFields if has_bare_lf(clipped, limits.headers.min(MAX_HEADERS) + 2) => Fault::BareLf,
        fault => fault,
    }
}

/// The four forms of RFC 9112 section 3.2, of which a gateway serves two.
fn take_target(target: &[u8], head: &mut RequestHead) -> Result<(), Fault> {
    head.target.clear();
    head.target.extend_from_slice(target);
    head.authority = None;
    head.path_start = 0;
    if head.method == Method::Connect || (target == b"*" && head.method == Method::Options) {
        return Err(Fault::NotServed);
    }
    if !is_target(target) {
        return Err(Fault::Target);
    }
    if target[0] == b'/' { Ok(()) } else { take_absolute(target, head) }
}

#[cold]
fn take_absolute(target: &[u8], head: &mut RequestHead) -> Result<(), Fault> {
    let scheme = |name: &[u8]| target.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let authority_start = match () {
        () if scheme(b"http://") => 7,
        () if scheme(b"https://") => 8,
        () => return Err(Fault::Target),
    };
    let after = &target[authority_start..];
    let authority_end = authority_start + after.iter().position(|byte| b"/?".contains(byte)).unwrap_or(after.len());
    let authority = &target[authority_start..authority_end];
    if !is_host(authority) {
        return Err(Fault::Host);
    }
    head.authority = Some(authority.to_vec());
    head.path_start = authority_end;
    if target.get(authority_end) != Some(&b'/') {
        head.target.insert(authority_end, b'/');
    }
    Ok(())
}

fn take_fields(parsed: &[httparse::Header<'_>], head: &mut RequestHead) -> Result<(), Fault> {
    let fields = Fields::scan(parsed)?;
    match fields.host {
        Some(host) if !is_host(host) => return Err(Fault::Host),
        None if head.version == Version::Http11 => return Err(Fault::NoHost),
        _ => {}
    }
    head.framing = fields.framing(head.version)?.unwrap_or(Framing::None);
    head.keep_alive = fields.persistent(head.version);
    head.upgrade = fields.upgrade(head.version);
    head.expect_continue = fields.expect_continue && head.version == Version::Http11 && !head.framing.is_empty();
    Ok(())
}
