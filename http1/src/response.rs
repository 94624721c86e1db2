//! Response heads: what an upstream sent, as the client side reads it.

use std::mem::MaybeUninit;

use crate::fields::Fields;
use crate::head::{Fault, Framing, Limits, MAX_HEADERS, Version, fault_of, has_bare_lf, is_other_version};
use crate::headers::Headers;
use crate::method::Method;

/// A response head, filled by [`parse_response`] and reused across the responses of a connection.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// The status, 100 to 999.
    pub status: u16,
    /// The reason phrase as sent; often empty.
    pub reason: Vec<u8>,
    /// The upstream's version.
    pub version: Version,
    /// The header fields.
    pub headers: Headers,
    /// How the body ends.
    pub framing: Framing,
    /// Whether the connection may carry another response after this one. Never with [`Framing::UntilClose`], nor after a
    /// response that must not have a body but declares one: a peer that is wrong about this may well send it.
    pub keep_alive: bool,
}

impl ResponseHead {
    /// An empty head, to be filled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether another head follows this one: 1xx but 101 (RFC 9110 section 15.2).
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }
}

/// Why a response head is refused. The client's answer is 502, and the connection to the upstream is of no more use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(transparent)]
pub struct ResponseError(Fault);

impl ResponseError {
    /// What was wrong.
    pub fn fault(&self) -> Fault {
        self.0
    }
}

/// Reads a response head from the start of `buf`.
///
/// `request_method` is the method that the response answers: HEAD has no body whatever the head says, and a CONNECT that
/// succeeded turns the connection into a tunnel. Interim responses (1xx) are returned like others, without a body; the
/// caller goes on reading. `Ok(None)`: more bytes are needed. `Ok(Some(n))`: the head took `n` bytes.
///
/// The framing rules are as strict as for requests: a response that two recipients could read differently poisons the
/// connection it came on and every cache behind it.
pub fn parse_response(
    buf: &[u8],
    limits: &Limits,
    request_method: &Method,
    head: &mut ResponseHead,
) -> Result<Option<usize>, ResponseError> {
    read(buf, limits, request_method, head).map_err(ResponseError)
}

fn read(buf: &[u8], limits: &Limits, asked: &Method, head: &mut ResponseHead) -> Result<Option<usize>, Fault> {
    if let [b'\r' | b'\n', ..] = buf {
        // Servers owe no tolerance for empty lines here; what precedes a status line is left over from another message.
        return Err(Fault::StatusLine);
    }
    let clipped = &buf[..buf.len().min(limits.head_bytes)];
    let mut fields = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let room = &mut fields[..limits.headers.min(MAX_HEADERS)];
    let size = match config.parse_response_with_uninit_headers(&mut parsed, clipped, room) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) => return incomplete(clipped, limits),
        Err(error) => return Err(refused(clipped, error, limits)),
    };
    let (Some(status), Some(minor)) = (parsed.code, parsed.version) else { return Err(Fault::StatusLine) };
    if status < 100 {
        return Err(Fault::StatusLine);
    }
    head.headers.take_parsed(&clipped[..size], parsed.headers).ok_or(Fault::BareLf)?;
    head.status = status;
    head.version = Version::from_minor(minor);
    take_reason(clipped, head);
    take_fields(parsed.headers, asked, head)?;
    Ok(Some(size))
}

#[cold]
fn incomplete(clipped: &[u8], limits: &Limits) -> Result<Option<usize>, Fault> {
    if has_bare_lf(clipped, usize::MAX) {
        return Err(Fault::BareLf);
    }
    if clipped.len() < limits.head_bytes { Ok(None) } else { Err(Fault::HeadTooLarge) }
}

#[cold]
fn refused(clipped: &[u8], error: httparse::Error, limits: &Limits) -> Fault {
    match fault_of(error, Fault::StatusLine) {
        Fault::Version if !is_other_version(clipped) => Fault::StatusLine,
        Fault::TooManyFields if has_bare_lf(clipped, limits.headers.min(MAX_HEADERS) + 2) => Fault::BareLf,
        fault => fault,
    }
}

/// Length of `HTTP/1.1 200 `.
const REASON_AT: usize = 13;

/// httparse hides reasons that are not ASCII, so they are taken from the bytes. It has seen to it that no control
/// character is among them.
fn take_reason(head_bytes: &[u8], head: &mut ResponseHead) {
    head.reason.clear();
    let line = memchr::memchr(b'\r', head_bytes).map_or(head_bytes, |end| &head_bytes[..end]);
    head.reason.extend_from_slice(line.get(REASON_AT..).unwrap_or_default());
}

/// RFC 9112 section 6.3, in its order.
fn take_fields(parsed: &[httparse::Header<'_>], asked: &Method, head: &mut ResponseHead) -> Result<(), Fault> {
    let fields = Fields::scan(parsed)?;
    let declared = fields.framing(head.version)?;
    let tunnel = *asked == Method::Connect && (200..300).contains(&head.status);
    let never = head.status < 200 || head.status == 204;
    let bodiless = tunnel || never || head.status == 304 || *asked == Method::Head;
    head.framing = if bodiless { Framing::None } else { declared.unwrap_or(Framing::UntilClose) };
    let lies = never && declared.is_some_and(|framing| !framing.is_empty());
    head.keep_alive = fields.persistent(head.version) && head.framing != Framing::UntilClose && !lies && !tunnel;
    Ok(())
}
