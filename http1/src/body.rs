//! Bodies: where a message ends (RFC 9112 sections 6 and 7).

use std::ops::Range;

use crate::head::Framing;
use crate::headers::Headers;

mod trailers;

/// Decodes one message's body.
///
/// ```
/// use http1::{BodyDecoder, Event, Framing};
/// let mut body = BodyDecoder::new(Framing::Chunked);
/// let mut unread: &[u8] = b"5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n";
/// let mut text = Vec::new();
/// while !body.is_done() {
///     let decoded = body.decode(unread).unwrap();
///     match decoded.event {
///         Event::Data(range) => text.extend_from_slice(&unread[range]),
///         Event::NeedMore => break, // read from the socket
///         Event::End => {}
///     }
///     unread = &unread[decoded.consumed..];
/// }
/// assert_eq!(text, b"hello");
/// assert_eq!(unread, b"GET / HTTP/1.1\r\n");
/// ```
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    /// Bytes of chunk extensions still allowed in this body.
    extensions_left: u32,
    /// The trailer section as far as it has come. No allocation without trailers.
    trailer_lines: Vec<u8>,
    trailers: Option<Headers>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Done,
    Length(u64),
    UntilClose,
    /// In a chunk's size, of which so many digits have come.
    Size {
        size: u64,
        digits: u8,
    },
    /// In white space after a size, which is only good before an extension.
    SizeSpace {
        size: u64,
    },
    /// In the extensions after a size.
    Extension {
        size: u64,
    },
    /// After the CR that ends the line of a size.
    SizeLf {
        size: u64,
    },
    Chunk {
        left: u64,
    },
    /// After a chunk's data.
    ChunkCr,
    ChunkLf,
    /// In the trailer section.
    Trailers,
    /// A body that was refused stays refused.
    Failed(BodyError),
}

/// What became of the bytes handed to [`BodyDecoder::decode`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decoded {
    /// So many bytes at the start are done with; hand in the rest again, with what follows it.
    pub consumed: usize,
    /// What they held.
    pub event: Event,
}

/// What the consumed bytes held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Nothing yet that can be passed on; all bytes were consumed.
    NeedMore,
    /// Bytes of the body: this range of the buffer, inside the consumed part, never empty.
    Data(Range<usize>),
    /// The body is complete. Bytes that were not consumed belong to the next message.
    End,
}

/// Why a body is refused, or cut short. Its connection cannot be read on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum BodyError {
    #[error("a chunk size is no hexadecimal number")]
    ChunkSize,
    #[error("a chunk is larger than 2^63 bytes, or its size has more than 16 digits")]
    ChunkTooLarge,
    #[error("control character in a chunk extension")]
    ChunkExtension,
    #[error("more than 16 KiB of chunk extensions")]
    ExtensionsTooLarge,
    #[error("a line of the chunked coding does not end in CR LF")]
    LineEnd,
    #[error("a chunk's data is longer than its size")]
    ChunkEnd,
    #[error("malformed trailer section")]
    Trailers,
    #[error("the trailer section is larger than allowed")]
    TrailersTooLarge,
    #[error("the connection was closed before the body was complete")]
    Incomplete,
}

/// Digits of a chunk size. 16 hold every u64; more are only leading zeros.
const SIZE_DIGITS: u8 = 16;
/// Extensions carry nothing that anybody uses, and a chunk of one byte may have some: a body of these is work without
/// progress. The bound is on the whole body.
const EXTENSION_BYTES: u32 = 16 * 1024;

impl BodyDecoder {
    /// A decoder for the body of a message with this framing.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(left) => State::Length(left),
            Framing::Chunked => State::Size { size: 0, digits: 0 },
            Framing::UntilClose => State::UntilClose,
        };
        BodyDecoder { state, extensions_left: EXTENSION_BYTES, trailer_lines: Vec::new(), trailers: None }
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes the next piece from the unread bytes. Call it until it answers `NeedMore`, `End` or an error.
    ///
    /// Once the body is complete it answers `End` without consuming anything.
    pub fn decode(&mut self, buf: &[u8]) -> Result<Decoded, BodyError> {
        let result = self.advance(buf);
        if let Err(error) = result {
            self.state = State::Failed(error);
        }
        result
    }

    /// The peer has closed the connection: fine for a body that ends so and for one that is complete.
    pub fn eof(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Failed(error) => Err(error),
            _ => Err(BodyError::Incomplete),
        }
    }

    /// The trailer fields, once the body is complete. `None` without any. Fields that a trailer section must not have,
    /// because recipients act on them before the body, are left out (RFC 9110 section 6.5.1).
    pub fn trailers(&mut self) -> Option<Headers> {
        self.trailers.take()
    }

    fn advance(&mut self, buf: &[u8]) -> Result<Decoded, BodyError> {
        let mut at = 0;
        loop {
            match self.state {
                State::Done => return Ok(Decoded { consumed: at, event: Event::End }),
                State::Failed(error) => return Err(error),
                _ if at == buf.len() => return Ok(Decoded { consumed: at, event: Event::NeedMore }),
                State::UntilClose => return Ok(Decoded { consumed: buf.len(), event: Event::Data(at..buf.len()) }),
                State::Length(left) => {
                    let (range, left) = take(buf, at, left);
                    self.state = if left == 0 { State::Done } else { State::Length(left) };
                    return Ok(Decoded { consumed: range.end, event: Event::Data(range) });
                }
                State::Chunk { left } => {
                    let (range, left) = take(buf, at, left);
                    self.state = if left == 0 { State::ChunkCr } else { State::Chunk { left } };
                    return Ok(Decoded { consumed: range.end, event: Event::Data(range) });
                }
                State::Trailers => at += self.trailer_bytes(&buf[at..])?,
                _ => {
                    self.state = self.frame_byte(buf[at])?;
                    at += 1;
                }
            }
        }
    }

    /// One byte of the lines around chunks.
    fn frame_byte(&mut self, byte: u8) -> Result<State, BodyError> {
        Ok(match (self.state, byte) {
            (State::Size { digits: 0, .. }, b'\r' | b';' | b' ' | b'\t') => return Err(BodyError::ChunkSize),
            (State::Size { size, .. } | State::Extension { size }, b'\r') => State::SizeLf { size },
            (State::Size { size, .. } | State::SizeSpace { size }, b';') => State::Extension { size },
            (State::Size { size, .. } | State::SizeSpace { size }, b' ' | b'\t') => {
                self.count_extension_byte()?;
                State::SizeSpace { size }
            }
            (State::SizeSpace { .. }, _) => return Err(BodyError::ChunkSize),
            (State::Size { size, digits }, _) => {
                let digit = (byte as char).to_digit(16).ok_or(BodyError::ChunkSize)?;
                let size = size << 4 | u64::from(digit);
                if digits == SIZE_DIGITS || size > i64::MAX as u64 {
                    return Err(BodyError::ChunkTooLarge);
                }
                State::Size { size, digits: digits + 1 }
            }
            (State::Extension { size }, _) => {
                if byte == 0x7f || (byte < b' ' && byte != b'\t') {
                    return Err(BodyError::ChunkExtension);
                }
                self.count_extension_byte()?;
                State::Extension { size }
            }
            (State::SizeLf { size: 0 }, b'\n') => State::Trailers,
            (State::SizeLf { size }, b'\n') => State::Chunk { left: size },
            (State::ChunkCr, b'\r') => State::ChunkLf,
            (State::ChunkLf, b'\n') => State::Size { size: 0, digits: 0 },
            (State::ChunkCr, _) => return Err(BodyError::ChunkEnd),
            _ => return Err(BodyError::LineEnd),
        })
    }

    fn count_extension_byte(&mut self) -> Result<(), BodyError> {
        self.extensions_left = self.extensions_left.checked_sub(1).ok_or(BodyError::ExtensionsTooLarge)?;
        Ok(())
    }

    /// Takes bytes of the trailer section and says how many. What has come is kept, so that a caller's buffer need not
    /// hold a whole section.
    fn trailer_bytes(&mut self, buf: &[u8]) -> Result<usize, BodyError> {
        if self.trailer_lines.is_empty() && buf.starts_with(b"\r\n") {
            self.state = State::Done;
            return Ok(2);
        }
        let line = memchr::memchr(b'\n', buf).map_or(buf.len(), |lf| lf + 1);
        if self.trailer_lines.len() + line > trailers::BYTES {
            return Err(BodyError::TrailersTooLarge);
        }
        self.trailer_lines.extend_from_slice(&buf[..line]);
        let lines = &self.trailer_lines;
        if lines.ends_with(b"\n") && !lines.ends_with(b"\r\n") {
            return Err(BodyError::LineEnd);
        }
        if lines == b"\r\n" || lines.ends_with(b"\r\n\r\n") {
            self.trailers = trailers::parse(lines)?;
            self.trailer_lines = Vec::new();
            self.state = State::Done;
        }
        Ok(line)
    }
}

/// The bytes of `buf` from `at` that belong to a piece of which `left` bytes are missing, and what is missing then.
fn take(buf: &[u8], at: usize, left: u64) -> (Range<usize>, u64) {
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len() - at);
    (at..at + taken, left - taken as u64)
}
