//! The header fields that decide about framing and about the connection, gathered in one pass.

use crate::chars::is_token_byte;
use crate::head::{Fault, Framing, Version};

/// What one pass over the fields of a head found.
#[derive(Default)]
pub(crate) struct Fields<'a> {
    length: Option<u64>,
    coding: Coding,
    pub(crate) host: Option<&'a [u8]>,
    close: bool,
    keep_alive: bool,
    connection_upgrade: bool,
    upgrade: bool,
    pub(crate) expect_continue: bool,
}

/// What the Transfer-Encoding fields say together.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Coding {
    #[default]
    Absent,
    /// Exactly one field whose value is `chunked`.
    Chunked,
    /// Codings before a final `chunked`: the end of the body would be clear, its content is not understood.
    Unknown,
    /// Anything else: where the body ends is a matter of opinion.
    Ambiguous,
}

impl<'a> Fields<'a> {
    /// Reads the fields. Duplicates and malformed values are refused here, combinations by [`Fields::framing`].
    pub(crate) fn scan(parsed: &[httparse::Header<'a>]) -> Result<Self, Fault> {
        let mut fields = Fields::default();
        for field in parsed {
            let (name, value) = (field.name.as_bytes(), field.value);
            match name.len() {
                4 if is(name, b"Host") => fields.host(value)?,
                6 if is(name, b"Expect") => fields.expect_continue = value.eq_ignore_ascii_case(b"100-continue"),
                7 if is(name, b"Upgrade") => fields.upgrade = true,
                10 if is(name, b"Connection") => fields.connection(value),
                14 if is(name, b"Content-Length") => fields.content_length(value)?,
                17 if is(name, b"Transfer-Encoding") => fields.coding = fields.coding.and(value),
                _ => {}
            }
        }
        Ok(fields)
    }

    /// What the framing fields say, for a message that may have a body. `None`: they are absent.
    pub(crate) fn framing(&self, version: Version) -> Result<Option<Framing>, Fault> {
        match (self.coding, self.length) {
            (Coding::Absent, length) => Ok(length.map(Framing::Length)),
            (_, Some(_)) => Err(Fault::LengthAndCoding),
            (_, None) if version == Version::Http10 => Err(Fault::CodingInHttp10),
            (Coding::Chunked, None) => Ok(Some(Framing::Chunked)),
            (Coding::Unknown, None) => Err(Fault::UnknownCoding),
            (Coding::Ambiguous, None) => Err(Fault::Coding),
        }
    }

    /// Whether the connection may carry another message after this one (RFC 9112 section 9.3).
    pub(crate) fn persistent(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    /// Whether the message asks for, or grants, another protocol (RFC 9110 section 7.8).
    pub(crate) fn upgrade(&self, version: Version) -> bool {
        self.upgrade && self.connection_upgrade && version == Version::Http11
    }

    fn host(&mut self, value: &'a [u8]) -> Result<(), Fault> {
        if self.host.replace(value).is_some() { Err(Fault::ManyHosts) } else { Ok(()) }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.length.replace(length(value)?).is_some() { Err(Fault::ManyLengths) } else { Ok(()) }
    }

    fn connection(&mut self, value: &[u8]) {
        if value == b"keep-alive" {
            self.keep_alive = true;
            return;
        }
        for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            match option.len() {
                5 => self.close |= is(option, b"close"),
                7 => self.connection_upgrade |= is(option, b"upgrade"),
                10 => self.keep_alive |= is(option, b"keep-alive"),
                _ => {}
            }
        }
    }
}

impl Coding {
    /// One more Transfer-Encoding field. A list that is split over several fields is refused whatever it says: the
    /// fields may have come from different senders.
    fn and(self, value: &[u8]) -> Coding {
        if self != Coding::Absent {
            return Coding::Ambiguous;
        }
        if is(value, b"chunked") {
            return Coding::Chunked;
        }
        let mut codings = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        let last_is_chunked = codings.next_back().is_some_and(|last| is(last, b"chunked"));
        let others_are_known_tokens = codings.all(|coding| {
            !coding.is_empty()
                && coding.iter().all(|&byte| is_token_byte(byte))
                && !is(coding, b"chunked")
                && !is(coding, b"identity")
        });
        if last_is_chunked && others_are_known_tokens { Coding::Unknown } else { Coding::Ambiguous }
    }
}

/// `1*DIGIT`, below 2^63. No sign, no list, no white space.
fn length(value: &[u8]) -> Result<u64, Fault> {
    if value.is_empty() {
        return Err(Fault::Length);
    }
    let mut length = 0u64;
    for &byte in value {
        if !byte.is_ascii_digit() {
            return Err(Fault::Length);
        }
        length = length.checked_mul(10).and_then(|n| n.checked_add(u64::from(byte - b'0'))).ok_or(Fault::Length)?;
    }
    if length > i64::MAX as u64 { Err(Fault::Length) } else { Ok(length) }
}

/// Whether `bytes` is `usual`, without regard to ASCII case. `usual` is the spelling that is looked for first: against a
/// constant that is one comparison.
#[inline(always)]
pub(crate) fn is<const N: usize>(bytes: &[u8], usual: &[u8; N]) -> bool {
    bytes == usual || (bytes.len() == N && bytes.eq_ignore_ascii_case(usual))
}
