//! HTTP/1.1 towards an endpoint: one request at a time over a connection that is kept.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use http1::{BodyDecoder, Event, Framing, Limits, Method, ResponseHead};

use super::DataEvent;
use crate::error::{Error, Kind, Result};
use crate::io::{Buf, Deadline, Io};

/// A connection to an endpoint.
pub struct Connection {
    /// The socket.
    pub io: Io,
    /// Bytes that came in and were not used yet.
    pub buf: Buf,
    /// The request as it goes on the wire.
    pub out: Vec<u8>,
    written: usize,
    /// The request's body goes in chunks.
    pub chunked: bool,
    decoder: BodyDecoder,
    read_deadline: Deadline,
    write_deadline: Deadline,
    read_waits: bool,
    write_waits: bool,
    sent: bool,
    got_byte: bool,
    keep: bool,
    limits: Limits,
    read_timeout: Duration,
    send_timeout: Duration,
    /// Requests that it has carried.
    pub requests: u64,
}

impl Connection {
    /// A connection that has carried nothing yet.
    pub fn new(io: Io) -> Self {
        Self {
            io,
            buf: Buf::default(),
            out: Vec::new(),
            written: 0,
            chunked: false,
            decoder: BodyDecoder::new(Framing::None),
            read_deadline: Deadline::default(),
            write_deadline: Deadline::default(),
            read_waits: false,
            write_waits: false,
            sent: false,
            got_byte: false,
            keep: false,
            limits: Limits { head_bytes: 0, headers: 0 },
            read_timeout: Duration::ZERO,
            send_timeout: Duration::ZERO,
            requests: 0,
        }
    }

    /// Makes it ready for one more request.
    pub fn begin(&mut self, limits: Limits, read_timeout: Duration, send_timeout: Duration) {
        self.out.clear();
        (self.written, self.chunked) = (0, false);
        (self.sent, self.got_byte, self.keep) = (false, false, false);
        (self.read_waits, self.write_waits) = (false, false);
        (self.limits, self.read_timeout, self.send_timeout) = (limits, read_timeout, send_timeout);
        self.requests += 1;
    }

    /// Whether it can carry another request: the response ended where it said, nothing is left over either way.
    pub fn reusable(&self) -> bool {
        self.keep && self.decoder.is_done() && self.buf.is_empty() && self.written == self.out.len()
    }

    /// Whether the endpoint closed it, or sent something that nobody asked for, while it was idle.
    pub fn poll_stale(&mut self, cx: &mut Context<'_>) -> bool {
        self.io.poll_read_now(cx, &mut self.buf).is_ready()
    }

    /// See [`super::Connection::queue_data`].
    pub fn queue_data(&mut self, data: &[u8]) {
        if self.chunked {
            http1::encode_chunk(&mut self.out, data);
        } else {
            self.out.extend_from_slice(data);
        }
    }

    /// See [`super::Connection::queue_end`].
    pub fn queue_end(&mut self, trailers: Option<&http1::Headers>) {
        if self.chunked {
            http1::encode_last_chunk(&mut self.out, trailers);
        }
    }

    /// See [`super::Connection::queued`].
    pub fn queued(&self) -> usize {
        self.out.len() - self.written
    }

    /// See [`super::Connection::sent_any`].
    pub fn sent_any(&self) -> bool {
        self.sent
    }

    /// Whether any byte of the response came.
    pub fn got_byte(&self) -> bool {
        self.got_byte
    }

    /// See [`super::Connection::hold_read_deadline`].
    pub fn hold_read_deadline(&mut self) {
        self.read_waits = false;
    }

    /// See [`super::Connection::poll_write`].
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while self.written < self.out.len() {
            match self.io.poll_write(cx, &self.out[self.written..]) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.written += n;
                    (self.sent, self.write_waits) = (true, false);
                }
                Poll::Ready(_) => {
                    return Poll::Ready(Err(Error::retriable(
                        Kind::UpstreamClosed,
                        "the endpoint closed before the request was sent",
                    )));
                }
                Poll::Pending => return self.poll_write_timeout(cx),
            }
        }
        self.out.clear();
        self.written = 0;
        match self.io.poll_flush(cx) {
            // TLS still holds some of it.
            Poll::Pending => self.poll_write_timeout(cx),
            Poll::Ready(flushed) => {
                self.write_waits = false;
                Poll::Ready(flushed.map_err(|e| Error::retriable(Kind::UpstreamClosed, e.to_string())))
            }
        }
    }

    /// Pending until the endpoint took nothing for too long.
    fn poll_write_timeout(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if !self.write_waits {
            self.write_deadline.set(self.send_timeout);
            self.write_waits = true;
        }
        ready!(self.write_deadline.poll(cx));
        Poll::Ready(Err(Error::retriable(Kind::UpstreamTimeout, "the endpoint did not take the request in time")))
    }

    /// See [`super::Connection::poll_head`].
    pub fn poll_head(&mut self, cx: &mut Context<'_>, method: &Method, head: &mut ResponseHead) -> Poll<Result<()>> {
        loop {
            if !self.buf.is_empty() {
                let parsed = http1::parse_response(self.buf.bytes(), &self.limits, method, head)
                    .map_err(|e| Error::new(Kind::UpstreamProtocol, format!("the endpoint's response: {e}")))?;
                if let Some(n) = parsed {
                    self.buf.consume(n);
                    self.read_waits = false;
                    if head.status >= 200 || head.status == 101 {
                        self.decoder = BodyDecoder::new(head.framing);
                        self.keep = head.keep_alive;
                    }
                    return Poll::Ready(Ok(()));
                }
            }
            if !self.buf.make_room(self.limits.head_bytes + 1) {
                return Poll::Ready(Err(Error::new(
                    Kind::UpstreamProtocol,
                    "the endpoint's response head is too large",
                )));
            }
            if ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(Err(Error::retriable(
                    Kind::UpstreamClosed,
                    "the endpoint closed before it answered",
                )));
            }
        }
    }

    /// See [`super::Connection::poll_data`].
    pub fn poll_data(&mut self, cx: &mut Context<'_>, sink: &mut impl FnMut(&[u8])) -> Poll<Result<DataEvent>> {
        loop {
            let decoded = self
                .decoder
                .decode(self.buf.bytes())
                .map_err(|e| Error::new(Kind::UpstreamProtocol, format!("the endpoint's response body: {e}")))?;
            let event = match decoded.event {
                Event::Data(range) => {
                    sink(&self.buf.bytes()[range]);
                    Some(DataEvent::Data)
                }
                Event::End => Some(DataEvent::End(self.decoder.trailers())),
                Event::NeedMore => None,
            };
            self.buf.consume(decoded.consumed);
            if let Some(event) = event {
                return Poll::Ready(Ok(event));
            }
            if !self.buf.make_room(crate::io::BUFFER_BYTES) {
                return Poll::Ready(Err(Error::new(Kind::UpstreamProtocol, "the endpoint's chunk head is too long")));
            }
            if ready!(self.poll_fill(cx))? == 0 {
                self.keep = false;
                return Poll::Ready(match self.decoder.eof() {
                    Ok(()) => Ok(DataEvent::End(None)),
                    Err(e) => Err(Error::new(Kind::UpstreamClosed, format!("the endpoint's response body: {e}"))),
                });
            }
        }
    }

    /// Reads; 0 is the endpoint's end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        match self.io.poll_read(cx, &mut self.buf) {
            Poll::Ready(Ok(n)) => {
                self.got_byte |= n > 0;
                self.read_waits = false;
                Poll::Ready(Ok(n))
            }
            Poll::Ready(Err(e)) => Poll::Ready(Err(Error::retriable(Kind::UpstreamClosed, e.to_string()))),
            Poll::Pending => {
                if !self.read_waits {
                    self.read_deadline.set(self.read_timeout);
                    self.read_waits = true;
                }
                ready!(self.read_deadline.poll(cx));
                Poll::Ready(Err(Error::retriable(Kind::UpstreamTimeout, "the endpoint did not answer in time")))
            }
        }
    }
}
