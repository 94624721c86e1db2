//! The two bodies of an exchange, both ways at once: the request's to the endpoint, the response's to the client.
//! One loop, whatever the protocols.

use std::future::poll_fn;
use std::task::{Context, Poll};

use http1::ResponseHead;

use super::body::Source;
use crate::downstream::{BodyEvent, Client, h1};
use crate::error::{Error, Kind, Result};
use crate::exchange::Exchange;
use crate::exchange::out::HIGH_WATER;
use crate::lua::vms;
use crate::respond;
use crate::upstream::{Connection, DataEvent};

/// The state of one try.
pub(super) struct Transfer<'a> {
    source: &'a mut Source,
    piece: Vec<u8>,
    request: RequestState,
    response_done: bool,
    interim: u32,
    /// The body filters have waited for the next piece's turn.
    has_turn: bool,
}

/// What stopped the response's body.
#[derive(PartialEq, Eq)]
enum Next {
    /// It has ended.
    Done,
    /// The filters of its next piece have to wait.
    Turn,
}

/// Interim responses of one try. They wait for a client that does not read, so an endpoint must not send them without
/// end; real ones send one or two.
const INTERIM_MAX: u32 = 32;

#[derive(Clone, Copy, PartialEq, Eq)]
enum RequestState {
    /// There is more to read from the source.
    Reading,
    /// The end is queued.
    Queued,
    /// All of it was written.
    Done,
    /// The endpoint takes no more (it may still answer).
    Refused,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(source: &'a mut Source) -> Self {
        Self {
            source,
            piece: Vec::new(),
            request: RequestState::Reading,
            response_done: false,
            interim: 0,
            has_turn: true,
        }
    }

    /// Whether the request went out whole, so that the connection can be used again.
    pub(super) fn request_done(&self) -> bool {
        self.request == RequestState::Done
    }

    /// Sends the request and reads the response's head; interim responses pass through.
    pub(super) async fn until_head(
        &mut self,
        ex: &mut Exchange,
        client: &mut Client<'_>,
        up: &mut Connection,
        head: &mut ResponseHead,
    ) -> Result<()> {
        poll_fn(|cx| self.poll_until_head(cx, ex, client, up, head)).await
    }

    fn poll_until_head(
        &mut self,
        cx: &mut Context<'_>,
        ex: &mut Exchange,
        client: &mut Client<'_>,
        up: &mut Connection,
        head: &mut ResponseHead,
    ) -> Poll<Result<()>> {
        if let Poll::Ready(Err(error)) = self.poll_request(cx, ex, client, up) {
            return Poll::Ready(Err(error));
        }
        loop {
            if ex.out.queued() > 0 && client.poll_flush(cx, ex)?.is_pending() {
                // Only `100 Continue` and interim heads wait here; they never keep the response from being read.
            }
            if matches!(self.request, RequestState::Reading | RequestState::Queued) {
                up.hold_read_deadline();
            }
            match up.poll_head(cx, &ex.req.head.method, head) {
                Poll::Ready(Ok(())) if head.status < 200 && head.status != 101 => {
                    self.interim += 1;
                    if self.interim > INTERIM_MAX {
                        let text = format!("the endpoint sent more than {INTERIM_MAX} interim responses");
                        return Poll::Ready(Err(Error::new(Kind::UpstreamProtocol, text)));
                    }
                    // 100 is ours to send; 103 and the like are passed on.
                    if head.status != 100 {
                        h1::Connection::send_interim(ex, head.status, &head.headers);
                    }
                }
                Poll::Ready(result) => return Poll::Ready(result),
                Poll::Pending => break,
            }
        }
        let body_awaited = self.request == RequestState::Reading;
        if !body_awaited && client.poll_closed(cx).is_ready() {
            return Poll::Ready(Err(Error::new(Kind::ClientClosed, "the client went away before the response")));
        }
        Poll::Pending
    }

    /// Moves request bytes; ready when there is nothing more to do.
    fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        ex: &mut Exchange,
        client: &mut Client<'_>,
        up: &mut Connection,
    ) -> Poll<Result<()>> {
        loop {
            let mut starved = false;
            if self.request == RequestState::Reading && up.queued() < HIGH_WATER {
                self.piece.clear();
                match self.source.poll_next(cx, ex, client, &mut self.piece)? {
                    Poll::Ready(BodyEvent::Data) => up.queue_data(&self.piece),
                    Poll::Ready(BodyEvent::End) => {
                        up.queue_end(ex.req.trailers.as_ref());
                        self.request = RequestState::Queued;
                    }
                    Poll::Pending => starved = true,
                }
            }
            match self.request {
                RequestState::Done | RequestState::Refused => return Poll::Ready(Ok(())),
                RequestState::Reading | RequestState::Queued => {}
            }
            match up.poll_write(cx) {
                Poll::Ready(Ok(())) if self.request == RequestState::Queued => {
                    self.request = RequestState::Done;
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(())) if starved => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                // It may have answered before it closed: the response's side tells.
                Poll::Ready(Err(error)) if up.sent_any() && error.kind != Kind::UpstreamTimeout => {
                    self.request = RequestState::Refused;
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Passes the response's body on to its end, with what is left of the request's.
    pub(super) async fn finish(
        &mut self,
        ex: &mut Exchange,
        client: &mut Client<'_>,
        up: &mut Connection,
        plain: bool,
    ) -> Result<()> {
        while poll_fn(|cx| self.poll_finish(cx, ex, client, up, plain)).await? == Next::Turn {
            vms::turns_of_body_filters(ex).await;
            self.has_turn = true;
        }
        Ok(())
    }

    fn poll_finish(
        &mut self,
        cx: &mut Context<'_>,
        ex: &mut Exchange,
        client: &mut Client<'_>,
        up: &mut Connection,
        plain: bool,
    ) -> Poll<Result<Next>> {
        if !self.response_done
            && !matches!(self.request, RequestState::Done | RequestState::Refused)
            && let Poll::Ready(Err(error)) = self.poll_request(cx, ex, client, up)
        {
            if error.kind != Kind::UpstreamTimeout {
                return Poll::Ready(Err(error));
            }
            // It answers without reading on, as it may.
            self.request = RequestState::Refused;
        }
        loop {
            let mut starved = false;
            let mut turn = false;
            while !self.response_done && !starved && ex.out.queued() < HIGH_WATER {
                turn = !plain && !self.has_turn && !vms::may_filter_body(ex);
                if turn {
                    break;
                }
                match self.poll_response(cx, ex, up, plain) {
                    Poll::Ready(result) => result?,
                    Poll::Pending => starved = true,
                }
                self.has_turn &= starved;
            }
            let flushed = client.poll_flush(cx, ex)?.is_ready();
            if turn {
                return Poll::Ready(Ok(Next::Turn));
            }
            if self.response_done && flushed {
                return Poll::Ready(Ok(Next::Done));
            }
            if !flushed {
                return Poll::Pending;
            }
            if starved {
                let watch = self.request != RequestState::Reading;
                if watch && client.poll_closed(cx).is_ready() {
                    return Poll::Ready(Err(Error::new(
                        Kind::ClientClosed,
                        "the client went away during the response",
                    )));
                }
                return Poll::Pending;
            }
        }
    }

    /// One piece of the response's body.
    fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        ex: &mut Exchange,
        up: &mut Connection,
        plain: bool,
    ) -> Poll<Result<()>> {
        let mut failed = None;
        let event = up.poll_data(cx, &mut |data| {
            if ex.resp.header_only {
                return;
            }
            if plain {
                ex.resp.body_bytes += data.len() as u64;
                ex.out.data(data);
            } else if let Err(e) = respond::pass_body(ex, data, false) {
                failed = Some(e);
            }
        });
        if let Some(e) = failed {
            return Poll::Ready(Err(Error::new(Kind::Script, e.to_string())));
        }
        match event {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(DataEvent::Data)) => Poll::Ready(Ok(())),
            Poll::Ready(Ok(DataEvent::End(trailers))) => {
                self.response_done = true;
                if !plain && !ex.resp.header_only {
                    respond::pass_body(ex, b"", true).map_err(|e| Error::new(Kind::Script, e.to_string()))?;
                }
                respond::end(ex, trailers.as_ref());
                Poll::Ready(Ok(()))
            }
        }
    }
}
