//! Bytes and frames of a response that wait to be written to the client.

use http1::{Headers, Version};

use super::frames::Frames;

/// What waits beyond this makes `say` suspend and stops reading from the upstream.
pub const HIGH_WATER: usize = 64 * 1024;

/// The queue towards the client, in the form that its protocol needs.
#[derive(Debug)]
pub enum Out {
    /// HTTP/1.1: bytes as they go on the wire.
    H1(H1Out),
    /// HTTP/2: what hyper pulls. Interim responses (103) are dropped: hyper's server cannot send them.
    H2(Frames),
}

/// HTTP/1.1's queue.
#[derive(Debug)]
pub struct H1Out {
    /// Encoded bytes; `written` of them are on the wire.
    pub bytes: Vec<u8>,
    /// How many of `bytes` were written.
    pub written: usize,
    /// The client's version: a 1.0 client gets no chunks.
    pub version: Version,
    /// The body is sent in chunks.
    pub chunked: bool,
    /// Whether the connection may carry another request after this one.
    pub keep_alive: bool,
}

impl Default for Out {
    fn default() -> Self {
        Self::H1(H1Out { bytes: Vec::new(), written: 0, version: Version::Http11, chunked: false, keep_alive: true })
    }
}

impl Out {
    /// Bytes that wait.
    pub fn queued(&self) -> usize {
        match self {
            Self::H1(out) => out.bytes.len() - out.written,
            Self::H2(out) => out.queued(),
        }
    }

    /// Queues the response's head. `length`: the body's declared length; none: chunked, or to the close for HTTP/1.0.
    /// `headers` must not have framing fields: they are written from `length` here.
    pub fn head(
        &mut self,
        status: u16,
        reason: Option<&[u8]>,
        headers: &mut Headers,
        length: Option<u64>,
        bodyless: bool,
    ) {
        match self {
            Self::H1(out) => out.head(status, reason, headers, length, bodyless),
            Self::H2(out) => {
                if let Some(length) = length.filter(|_| !no_length(status)) {
                    headers.set(b"content-length", length.to_string().as_bytes());
                }
                out.head(status, std::mem::take(headers));
            }
        }
    }

    /// Queues body bytes.
    pub fn data(&mut self, data: &[u8]) {
        match self {
            Self::H1(out) if out.chunked => http1::encode_chunk(&mut out.bytes, data),
            Self::H1(out) => out.bytes.extend_from_slice(data),
            Self::H2(out) => out.data(data),
        }
    }

    /// Queues the end of the body, with the upstream's trailers if it sent some.
    pub fn end(&mut self, trailers: Option<&Headers>) {
        match self {
            Self::H1(out) if out.chunked => http1::encode_last_chunk(&mut out.bytes, trailers),
            Self::H1(_) => {}
            Self::H2(out) => out.end(trailers),
        }
    }
}

/// 1xx and 204 never have a Content-Length (RFC 9110 8.6).
fn no_length(status: u16) -> bool {
    status < 200 || status == 204
}

impl H1Out {
    /// Drops what was written, when that is worth the move.
    pub fn compact(&mut self) {
        if self.written >= HIGH_WATER {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }

    /// All of it was written.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.written = 0;
    }

    fn head(&mut self, status: u16, reason: Option<&[u8]>, headers: &Headers, length: Option<u64>, bodyless: bool) {
        self.status_line(status, reason.unwrap_or_else(|| http1::reason_phrase(status)));
        for (name, value) in headers.iter() {
            self.line(name, value);
        }
        self.framing(status, length, bodyless);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// The first line of a response.
    pub fn status_line(&mut self, status: u16, reason: &[u8]) {
        self.bytes.extend_from_slice(b"HTTP/1.1 ");
        self.bytes.extend_from_slice(decimal(u64::from(status), &mut [0; 20]));
        self.bytes.push(b' ');
        // Scripts can set one; a line end in it would start a header.
        self.bytes.extend(reason.iter().filter(|b| !matches!(b, b'\r' | b'\n' | 0)));
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// A header. `Headers` holds nothing that would end the line.
    pub fn line(&mut self, name: &[u8], value: &[u8]) {
        self.bytes.reserve(name.len() + value.len() + 4);
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b": ");
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// How the body ends, and whether the connection lives on.
    pub fn framing(&mut self, status: u16, length: Option<u64>, bodyless: bool) {
        self.chunked = false;
        match length {
            Some(_) if no_length(status) => {}
            Some(length) => self.line(b"Content-Length", decimal(length, &mut [0; 20])),
            None if bodyless => {}
            None if self.version == Version::Http11 => {
                self.line(b"Transfer-Encoding", b"chunked");
                self.chunked = true;
            }
            None => self.keep_alive = false,
        }
        match (self.keep_alive, self.version) {
            (false, _) => self.line(b"Connection", b"close"),
            (true, Version::Http10) => self.line(b"Connection", b"keep-alive"),
            (true, Version::Http11) => {}
        }
    }
}

/// Writes `n` in decimal without allocating.
pub fn decimal(mut n: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            return &digits[at..];
        }
    }
}
