//! Upstreams: which endpoint a request goes to, the connection it goes over, and HTTP on that connection.

use std::task::{Context, Poll};

use http1::{Headers, Method, ResponseHead};

use crate::error::Result;

pub mod balance;
pub mod connect;
pub mod h1;
pub mod h2;
pub mod pool;

pub use pool::Pools;

/// A connection that carries one exchange's request to an endpoint.
pub enum Connection {
    /// HTTP/1.1, plain or TLS.
    H1(Box<h1::Connection>),
    /// A stream of a shared HTTP/2 connection.
    H2(Box<h2::Stream>),
}

/// What came in of a response's body.
#[derive(Debug)]
pub enum DataEvent {
    /// Bytes went to the sink.
    Data,
    /// The body is complete; trailers if there were any.
    End(Option<Headers>),
}

impl Connection {
    /// Queues body bytes of the request.
    pub fn queue_data(&mut self, data: &[u8]) {
        match self {
            Self::H1(c) => c.queue_data(data),
            Self::H2(s) => s.queue_data(data),
        }
    }

    /// Queues the request's end, and what follows it.
    pub fn queue_end(&mut self, trailers: Option<&Headers>) {
        match self {
            Self::H1(c) => c.queue_end(trailers),
            Self::H2(s) => s.queue_end(trailers),
        }
    }

    /// Bytes that wait to be written.
    pub fn queued(&self) -> usize {
        match self {
            Self::H1(c) => c.queued(),
            Self::H2(s) => s.queued(),
        }
    }

    /// Writes what is queued; ready when all of it is written.
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self {
            Self::H1(c) => c.poll_write(cx),
            Self::H2(s) => s.poll_write(cx),
        }
    }

    /// Reads a response head (interim ones too).
    pub fn poll_head(&mut self, cx: &mut Context<'_>, method: &Method, head: &mut ResponseHead) -> Poll<Result<()>> {
        match self {
            Self::H1(c) => c.poll_head(cx, method, head),
            Self::H2(s) => s.poll_head(cx, head),
        }
    }

    /// The time until the response counts from now: the request is not out yet, and whoever is slow with that has a
    /// time-out of its own.
    pub fn hold_read_deadline(&mut self) {
        match self {
            Self::H1(c) => c.hold_read_deadline(),
            Self::H2(s) => s.hold_read_deadline(),
        }
    }

    /// Reads a piece of the response's body and lends it to `sink`.
    pub fn poll_data(&mut self, cx: &mut Context<'_>, sink: &mut impl FnMut(&[u8])) -> Poll<Result<DataEvent>> {
        match self {
            Self::H1(c) => c.poll_data(cx, sink),
            Self::H2(s) => s.poll_data(cx, sink),
        }
    }

    /// Whether any byte of the response came: then the endpoint has worked on the request.
    pub fn got_byte(&self) -> bool {
        match self {
            Self::H1(c) => c.got_byte(),
            // Part of a head is nothing that hyper shows.
            Self::H2(_) => false,
        }
    }

    /// Whether any byte of the request may have reached the endpoint.
    pub fn sent_any(&self) -> bool {
        match self {
            Self::H1(c) => c.sent_any(),
            Self::H2(s) => s.sent_any(),
        }
    }
}
