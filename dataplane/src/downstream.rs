//! Clients: HTTP/1.1 by our own codec, HTTP/2 by hyper. Both serve [`crate::exchange::Exchange`]s through [`Client`].

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::error::Result;
use crate::exchange::Exchange;

pub mod h1;
pub mod h2;

/// The client of one exchange: where its request body comes from and its response goes.
pub enum Client<'a> {
    /// HTTP/1.1
    H1(&'a mut h1::Connection),
    /// HTTP/2
    H2(&'a mut h2::Stream),
}

/// What came in of a request body.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyEvent {
    /// Bytes were appended.
    Data,
    /// The body is complete.
    End,
}

impl Client<'_> {
    /// Appends the next piece of the request's body to `into`. The time-out between two reads is `timeout`.
    pub fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<u8>,
        timeout: Duration,
    ) -> Poll<Result<BodyEvent>> {
        match self {
            Self::H1(c) => c.poll_body(cx, into, timeout),
            Self::H2(s) => s.poll_body(cx, into, timeout),
        }
    }

    /// What followed the body, once that has ended.
    pub fn trailers(&mut self) -> Option<http1::Headers> {
        match self {
            Self::H1(c) => c.trailers(),
            Self::H2(s) => s.trailers(),
        }
    }

    /// Writes what is queued; ready when all of it is written.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, ex: &mut Exchange) -> Poll<Result<()>> {
        match self {
            Self::H1(c) => c.poll_flush(cx, ex),
            Self::H2(s) => s.poll_flush(cx),
        }
    }

    /// Ready when the client went away while nothing was expected of it.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::H1(c) => c.poll_closed(cx),
            Self::H2(s) => s.poll_closed(cx),
        }
    }

    /// Writes what is queued.
    pub async fn flush(&mut self, ex: &mut Exchange) -> Result<()> {
        poll_fn(|cx| self.poll_flush(cx, ex)).await
    }

    /// The body is about to be read: sends `100 Continue` when the client waits for it.
    pub fn expect_body(&mut self, ex: &mut Exchange) {
        if let Self::H1(c) = self {
            c.send_continue(ex);
        }
    }
}
