//! Reading a request's head.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::{Connection, limits};
use crate::error::{Error, Kind, Result};
use crate::exchange::Exchange;
use crate::worker::Worker;

/// What came of waiting for a head.
pub(super) enum Read {
    /// A whole head; the exchange has it.
    Request,
    /// Nothing has come yet.
    Idle,
    /// The client ended the connection between requests.
    End,
}

impl Connection {
    /// Reads the next head. An idle connection gives up its buffer instead of waiting here for a first byte.
    pub(super) async fn read_head(&mut self, worker: &Rc<Worker>, ex: &mut Exchange) -> Result<Read> {
        let limits = limits(worker);
        let (mut waits, mut seen) = (false, 0);
        loop {
            // A line end after the last request's body is nobody's request.
            if self.buf.bytes() == b"\r\n" {
                self.buf.consume(2);
            }
            let worth = self.buf.is_full() || http1::worth_parsing(self.buf.bytes(), seen);
            if !self.buf.is_empty() && worth {
                seen = self.buf.len();
                let parsed = http1::parse_request(self.buf.bytes(), &limits, &mut ex.req.head).map_err(refusal)?;
                if let Some(n) = parsed {
                    ex.keep_raw_head(&self.buf.bytes()[..n]);
                    self.buf.consume(n);
                    self.buf.rest();
                    return Ok(Read::Request);
                }
            }
            if !self.buf.is_empty() && !waits {
                let timeout = worker.snapshot(|s| s.settings.http.client_header_timeout_ms);
                self.deadline.set(Duration::from_millis(timeout));
                waits = true;
            }
            // Empty lines before the request do not count towards its limit.
            if !self.buf.make_room(limits.head_bytes + 8) {
                return Err(Error::new(Kind::HeadTooLarge, "the request's head does not fit"));
            }
            let waiting_for_first = self.buf.is_empty();
            // Not by `poll_read_now`: a read that was short then leaves the socket marked as readable, and who asks next
            // whether the client is still there makes a system call that finds nothing.
            let read = poll_fn(|cx| match self.io.poll_read(cx, &mut self.buf) {
                Poll::Ready(read) => Poll::Ready(Some(read)),
                // Nobody waits here for a first byte.
                Poll::Pending if waiting_for_first => Poll::Ready(None),
                Poll::Pending => self.deadline.poll(cx).map(|()| None),
            })
            .await;
            match read {
                None if waiting_for_first => return Ok(Read::Idle),
                None => return Err(Error::new(Kind::ClientTimeout, "the client sent no whole head in time")),
                Some(Ok(n)) if n > 0 => {}
                Some(_) if self.buf.is_empty() => return Ok(Read::End),
                Some(_) => return Err(Error::new(Kind::ClientClosed, "the client closed inside its request head")),
            }
        }
    }
}

/// A head that the codec refuses.
fn refusal(error: http1::RequestError) -> Error {
    let kind = match error.status() {
        413 => Kind::BodyTooLarge,
        414 => Kind::TargetTooLong,
        431 => Kind::HeadTooLarge,
        501 => Kind::NotImplemented,
        505 => Kind::Version,
        _ => Kind::BadRequest,
    };
    Error::new(kind, error.to_string())
}
