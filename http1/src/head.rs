//! What request and response heads share: versions, framing, limits, and what can be wrong with a head.

/// The version in a start line. HTTP/1.0 and HTTP/1.1 are all that this crate speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "the variants say it")]
pub enum Version {
    Http10,
    #[default]
    Http11,
}

impl Version {
    /// The version as it stands in a start line.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        }
    }

    pub(crate) fn from_minor(minor: u8) -> Self {
        if minor == 0 { Version::Http10 } else { Version::Http11 }
    }
}

/// How the end of a message's body is found (RFC 9112 section 6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// So many bytes, as Content-Length says. At most `i64::MAX`, which every peer can count to.
    Length(u64),
    /// Chunks, the last of which is empty, and perhaps trailer fields.
    Chunked,
    /// The body ends with the connection. Responses only.
    UntilClose,
}

impl Framing {
    /// Whether there is no byte of a body to come.
    pub fn is_empty(self) -> bool {
        matches!(self, Framing::None | Framing::Length(0))
    }
}

/// Bounds on a head. A peer that exceeds them gets 431, or 414 when the request line alone does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes from the first byte of the start line to the empty line, which is included.
    pub head_bytes: usize,
    /// Number of header fields, at most [`MAX_HEADERS`].
    pub headers: usize,
}

/// No head has more fields than this whatever the limits say: parsed fields first lie in an array on the stack
/// (8 KiB). Browsers send about 20, API gateways add about 20 more.
pub const MAX_HEADERS: usize = 256;

/// nginx's four buffers of 8 KiB, and more fields than any client needs.
impl Default for Limits {
    fn default() -> Self {
        Limits { head_bytes: 32 * 1024, headers: 128 }
    }
}

/// What is wrong with a head.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum Fault {
    #[error("the request line is no method, target and version separated by single spaces")]
    RequestLine,
    #[error("the status line is no version and three-digit status")]
    StatusLine,
    #[error("the protocol version is neither HTTP/1.0 nor HTTP/1.1")]
    Version,
    #[error("a line ends in LF without CR")]
    BareLf,
    #[error("CR without LF, or another character where a line must end")]
    LineEnd,
    #[error("too many empty lines before the start line")]
    EmptyLines,
    #[error("invalid byte in a field name, a space before its colon, or a folded line")]
    FieldName,
    #[error("control character in a field value")]
    FieldValue,
    #[error("more header fields than allowed")]
    TooManyFields,
    #[error("the header section is larger than allowed")]
    HeadTooLarge,
    #[error("the request target is longer than allowed")]
    TargetTooLong,
    #[error("the request target is no path and no http or https URI")]
    Target,
    #[error("a method or form of request target that no gateway serves (CONNECT, or OPTIONS *)")]
    NotServed,
    #[error("no Host field")]
    NoHost,
    #[error("more than one Host field")]
    ManyHosts,
    #[error("the Host field or the target's authority is no host with an optional port")]
    Host,
    #[error("Content-Length is no decimal number below 2^63")]
    Length,
    #[error("more than one Content-Length")]
    ManyLengths,
    #[error("both Content-Length and Transfer-Encoding")]
    LengthAndCoding,
    #[error("Transfer-Encoding in an HTTP/1.0 message")]
    CodingInHttp10,
    #[error("Transfer-Encoding that does not end in chunked, or is malformed")]
    Coding,
    #[error("a transfer coding other than chunked")]
    UnknownCoding,
}

/// Whether it is worth parsing a head again that was incomplete when `seen` bytes of it had arrived.
///
/// A parser without memory costs a whole pass at each call, so a peer that sends a head of 32 KiB byte by byte would
/// cost 512 MiB of parsing. Asking this first bounds the work by a few passes: it answers yes when the new bytes may
/// end the head, and now and then (when a quarter has been added) so that garbage is refused before the limit. `seen` is
/// what `buf` held when it was parsed last; a caller whose buffer is full parses in any case.
pub fn worth_parsing(buf: &[u8], seen: usize) -> bool {
    if seen == 0 || buf.len().saturating_sub(seen) >= seen / 4 {
        return true;
    }
    // The empty line is CR LF CR LF; its last LF is new, the rest may be old. An LF LF is refused, so worth it too.
    let new = buf.get(seen.saturating_sub(3)..).unwrap_or_default();
    memchr::memchr_iter(b'\n', new).any(|at| matches!(new[..at], [.., b'\n'] | [.., b'\n', b'\r']))
}

/// Whether one of the first `lines` lines of `buf` ends in LF without CR.
pub(crate) fn has_bare_lf(buf: &[u8], lines: usize) -> bool {
    memchr::memchr_iter(b'\n', buf).take(lines).any(|at| at == 0 || buf[at - 1] != b'\r')
}

/// The fault that httparse's error stands for. `line` is for tokens out of place in the start line.
pub(crate) fn fault_of(error: httparse::Error, line: Fault) -> Fault {
    match error {
        httparse::Error::HeaderName => Fault::FieldName,
        httparse::Error::HeaderValue => Fault::FieldValue,
        httparse::Error::NewLine => Fault::LineEnd,
        httparse::Error::Token | httparse::Error::Status => line,
        httparse::Error::TooManyHeaders => Fault::TooManyFields,
        httparse::Error::Version => Fault::Version,
    }
}

/// Whether what stands where a version belongs is a version of HTTP that is not spoken here. Everything else is garbage.
///
/// The answer depends on no byte beyond the one that makes the version wrong, so it does not depend on how much has arrived.
pub(crate) fn is_other_version(token: &[u8]) -> bool {
    match token.strip_prefix(b"HTTP/") {
        Some([b'1', b'.', minor, ..]) => minor.is_ascii_digit(),
        Some([b'1', ..]) => false,
        Some([major, ..]) => major.is_ascii_digit(),
        _ => false,
    }
}
