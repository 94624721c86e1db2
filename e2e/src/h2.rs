//! HTTP/2 frames written by hand: what no library would send.
//!
//! Header blocks are HPACK literals without an index, so that any bytes may stand in them. Of what comes back only
//! `:status` is decoded; the dynamic table is switched off for that.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use crate::DEADLINE;
use crate::certificates::Certificate;
use crate::client::stream::Stream;

/// Frame types of RFC 9113 section 6.
pub mod kind {
    /// DATA
    pub const DATA: u8 = 0;
    /// HEADERS
    pub const HEADERS: u8 = 1;
    /// RST_STREAM
    pub const RST_STREAM: u8 = 3;
    /// SETTINGS
    pub const SETTINGS: u8 = 4;
    /// PING
    pub const PING: u8 = 6;
    /// GOAWAY
    pub const GOAWAY: u8 = 7;
    /// WINDOW_UPDATE
    pub const WINDOW_UPDATE: u8 = 8;
    /// CONTINUATION
    pub const CONTINUATION: u8 = 9;
}

/// Frame flags.
pub mod flag {
    /// The stream's last frame of DATA or HEADERS.
    pub const END_STREAM: u8 = 1;
    /// An acknowledgement of SETTINGS or PING.
    pub const ACK: u8 = 1;
    /// The header block is whole.
    pub const END_HEADERS: u8 = 4;
}

/// Error codes of RFC 9113 section 7.
pub mod code {
    /// PROTOCOL_ERROR
    pub const PROTOCOL: u32 = 1;
    /// FLOW_CONTROL_ERROR
    pub const FLOW_CONTROL: u32 = 3;
    /// STREAM_CLOSED
    pub const STREAM_CLOSED: u32 = 5;
    /// REFUSED_STREAM
    pub const REFUSED: u32 = 7;
    /// CANCEL
    pub const CANCEL: u32 = 8;
    /// ENHANCE_YOUR_CALM
    pub const CALM: u32 = 11;
}

/// `SETTINGS_INITIAL_WINDOW_SIZE`
pub const INITIAL_WINDOW_SIZE: u16 = 4;
const HEADER_TABLE_SIZE: u16 = 1;

/// A frame as it came.
#[derive(Debug)]
pub struct Frame {
    /// See [`kind`].
    pub kind: u8,
    /// See [`flag`].
    pub flags: u8,
    /// 0: the connection's.
    pub stream: u32,
    /// What follows the frame's head.
    pub payload: Vec<u8>,
}

/// What became of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A whole response with this status.
    Status(u16),
    /// RST_STREAM with this code.
    Reset(u32),
    /// GOAWAY with this code (not 0).
    Goaway(u32),
    /// The connection ended without a word.
    Closed,
}

/// A connection whose frames the test writes. SETTINGS and PING are acknowledged while frames are read.
pub struct H2 {
    stream: Stream,
    buffer: Vec<u8>,
}

impl H2 {
    /// Connects by prior knowledge and says the preface.
    pub fn connect(address: SocketAddr) -> Self {
        Self::with_settings(address, &[])
    }

    /// The same with further settings.
    pub fn with_settings(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        Self::silent(address).greeting(settings)
    }

    /// Over TLS, if the server has this certificate for the name.
    pub fn secure(address: SocketAddr, name: &str, certificate: &Certificate) -> std::io::Result<Self> {
        let stream = Stream::secure(address, name, "h2", certificate)?;
        Ok(Self { stream, buffer: Vec::new() }.greeting(&[]))
    }

    /// Says the preface.
    fn greeting(mut self, settings: &[(u16, u32)]) -> Self {
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let all = [&[(HEADER_TABLE_SIZE, 0)], settings].concat();
        let payload: Vec<u8> =
            all.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        self.frame(kind::SETTINGS, 0, 0, &payload);
        self
    }

    /// A connection that has said nothing.
    pub fn silent(address: SocketAddr) -> Self {
        let stream = Stream::connect(address).unwrap_or_else(|e| panic!("{address}: {e}"));
        Self { stream, buffer: Vec::new() }
    }

    /// Sends bytes as they are. False: the other side has closed.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// From now on a send that would wait fails, after a moment that a reader does not need.
    pub fn never_wait(&mut self) {
        self.stream.tcp().set_write_timeout(Some(Duration::from_millis(300))).expect("a positive time");
    }

    /// Sends a frame.
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.send(&frame(kind, flags, stream, payload))
    }

    /// Sends a request's HEADERS.
    pub fn headers(&mut self, stream: u32, fields: &[(&str, &str)], flags: u8) -> bool {
        self.frame(kind::HEADERS, flag::END_HEADERS | flags, stream, &block(fields))
    }

    /// Sends DATA.
    pub fn data(&mut self, stream: u32, bytes: &[u8], flags: u8) -> bool {
        self.frame(kind::DATA, flags, stream, bytes)
    }

    /// A GET on a stream, and what becomes of it.
    pub fn get(&mut self, stream: u32, host: &str, path: &str) -> Verdict {
        self.headers(stream, &request("GET", host, path), flag::END_STREAM);
        self.verdict(stream)
    }

    /// Reads until a stream has ended, or the connection.
    pub fn verdict(&mut self, stream: u32) -> Verdict {
        let mut status = 0;
        loop {
            let Some(frame) = self.read() else { return Verdict::Closed };
            match frame.kind {
                kind::GOAWAY if number(&frame.payload[4..]) != 0 => {
                    return Verdict::Goaway(number(&frame.payload[4..]));
                }
                kind::RST_STREAM if frame.stream == stream && status == 0 => {
                    return Verdict::Reset(number(&frame.payload));
                }
                // After a whole response NO_ERROR only says that the rest of the request is not wanted.
                kind::RST_STREAM if frame.stream == stream => return Verdict::Reset(number(&frame.payload)),
                kind::HEADERS if frame.stream == stream && status == 0 => status = decode_status(&frame.payload),
                _ => {}
            }
            let ends = matches!(frame.kind, kind::HEADERS | kind::DATA) && frame.flags & flag::END_STREAM != 0;
            if frame.stream == stream && ends {
                return Verdict::Status(status);
            }
        }
    }

    /// The next frame; none at the connection's end.
    pub fn read(&mut self) -> Option<Frame> {
        let head = self.take(9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let payload = self.take(length)?;
        let frame = Frame { kind: head[3], flags: head[4], stream: number(&head[5..]) & 0x7fff_ffff, payload };
        if matches!(frame.kind, kind::SETTINGS | kind::PING) && frame.flags & flag::ACK == 0 {
            let echo = if frame.kind == kind::PING { frame.payload.clone() } else { Vec::new() };
            self.frame(frame.kind, flag::ACK, 0, &echo);
        }
        Some(frame)
    }

    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut piece = [0; 16 * 1024];
        while self.buffer.len() < count {
            match self.stream.read(&mut piece) {
                Ok(n) if n > 0 => self.buffer.extend_from_slice(&piece[..n]),
                Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                    panic!("nothing came within {DEADLINE:?}")
                }
                _ => return None,
            }
        }
        Some(self.buffer.drain(..count).collect())
    }
}

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a test's frame is small").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header block of literals. Nothing is checked.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            integer(text.len(), &mut bytes);
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

/// HPACK's integer with a prefix of 7 bits.
fn integer(n: usize, into: &mut Vec<u8>) {
    let Some(mut rest) = n.checked_sub(127) else {
        into.push(n as u8);
        return;
    };
    into.push(127);
    while rest >= 128 {
        into.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    into.push(rest as u8);
}

/// The pseudo headers of a request.
pub fn request<'a>(method: &'a str, host: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![(":method", method), (":scheme", "http"), (":authority", host), (":path", path)]
}

fn number(bytes: &[u8]) -> u32 {
    bytes[..4].iter().fold(0, |n, byte| n << 8 | u32::from(*byte))
}

/// `:status`, which stands first: an index of the static table, or three digits as they are or by Huffman's code.
fn decode_status(block: &[u8]) -> u16 {
    // The sizes of the dynamic table may be told first.
    let start = block.iter().position(|b| b & 0xe0 != 0x20).unwrap_or(block.len());
    let block = &block[start..];
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    if let Some(status) = (block[0] & 0x80 != 0).then(|| INDEXED[usize::from(block[0] & 0x7f) - 8]) {
        return status;
    }
    let text = &block[2..2 + usize::from(block[1] & 0x7f)];
    if block[1] & 0x80 == 0 {
        return std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()).unwrap_or(0);
    }
    let bits: String = text.iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut status, mut rest) = (0, bits.as_str());
    for _ in 0..3 {
        // 0 to 2 have five bits, 3 to 9 six.
        let short = u16::from_str_radix(&rest[..5], 2).unwrap_or(99);
        let (digit, used) =
            if short < 3 { (short, 5) } else { (u16::from_str_radix(&rest[..6], 2).unwrap_or(0) - 22, 6) };
        (status, rest) = (status * 10 + digit, &rest[used..]);
    }
    status
}
