//! The end of an exchange on its connection: whether another request may follow.

use std::future::poll_fn;
use std::task::Poll;

use super::{BodyEvent, Connection};
use crate::exchange::{Exchange, Out};
use crate::io::LINGER;
use crate::life::Ended;

/// An unread request body up to this size is read and dropped, so that its connection can be used again; more is
/// cheaper to answer by closing.
const DRAIN_MAX: usize = 64 * 1024;

impl Connection {
    /// True when the connection may carry another request.
    pub(super) async fn end(&mut self, ex: &mut Exchange, ended: Ended) -> bool {
        let keep_alive = matches!(&ex.out, Out::H1(out) if out.keep_alive);
        // What followed a refused upgrade may be the other protocol's bytes: they are not read as a request.
        let ambiguous = ex.req.head.upgrade && !self.buf.is_empty();
        match ended {
            Ended::Whole if !ambiguous && keep_alive && self.drain_body().await => true,
            Ended::Whole => {
                self.linger().await;
                false
            }
            Ended::Cut | Ended::Tunnelled => false,
        }
    }

    /// Reads what is left of a request's body. False: too much, or it did not come at once.
    async fn drain_body(&mut self) -> bool {
        if self.decoder.is_done() {
            return true;
        }
        if self.wants_continue {
            // The client was never told to send it; whether it still does is its choice, so the next bytes are
            // ambiguous.
            return false;
        }
        let mut dropped = Vec::new();
        let mut total = 0;
        while total <= DRAIN_MAX {
            dropped.clear();
            let event = poll_fn(|cx| match self.poll_body(cx, &mut dropped, LINGER) {
                Poll::Pending => Poll::Ready(None),
                Poll::Ready(event) => Poll::Ready(Some(event)),
            })
            .await;
            match event {
                Some(Ok(BodyEvent::End)) => return true,
                Some(Ok(BodyEvent::Data)) => total += dropped.len(),
                _ => return false,
            }
        }
        false
    }

    /// Closes in a way that lets the client read the response: our direction first, then what it still sends is
    /// dropped for a short while.
    pub(super) async fn linger(&mut self) {
        if self.closed {
            return;
        }
        self.io.shutdown().await;
        self.deadline.set(LINGER);
        let mut budget = 1024 * 1024usize;
        poll_fn(|cx| {
            loop {
                if self.deadline.poll(cx).is_ready() || budget == 0 {
                    return Poll::Ready(());
                }
                let unread = self.buf.len();
                self.buf.consume(unread);
                match self.io.poll_read(cx, &mut self.buf) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(n)) if n > 0 => budget = budget.saturating_sub(n),
                    Poll::Ready(_) => return Poll::Ready(()),
                }
            }
        })
        .await;
    }
}
