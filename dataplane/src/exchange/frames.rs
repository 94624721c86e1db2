//! A message's way into hyper: what one side of an exchange queues, hyper pulls. Both sides of HTTP/2 use it, for the
//! response towards a client and for the request towards an endpoint.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use http1::Headers;

use super::out::HIGH_WATER;
use crate::io::Deadline;

/// A piece is not larger than a DATA frame: hyper hands each over whole, whatever the peer's window, so it is what a
/// peer that takes nothing more can hold.
const PIECE_MAX: usize = 16 * 1024;

/// The queue; clones are the same queue.
#[derive(Clone, Debug, Default)]
pub struct Frames(Rc<RefCell<State>>);

#[derive(Debug, Default)]
struct State {
    /// A response's head, until it is handed over.
    head: Option<(u16, Headers)>,
    data: VecDeque<Bytes>,
    /// Bytes in `data`.
    queued: usize,
    /// Sent after `data`.
    trailers: Option<HeaderMap>,
    /// Nothing follows.
    end: bool,
    /// Broken off: the stream is reset.
    cut: bool,
    /// hyper waits for more.
    reader: Option<Waker>,
    /// The exchange waits for room, or for the stream's end.
    writer: Option<Waker>,
    /// hyper dropped its side before the end: the stream is gone.
    closed: bool,
    /// Counts what hyper took.
    taken: u64,
    /// hyper waits for us; else, for the peer.
    asked: bool,
}

impl State {
    /// Everything was handed over, the end included.
    fn is_taken(&self) -> bool {
        self.end && self.data.is_empty() && self.trailers.is_none()
    }
}

impl Frames {
    /// Queues a response's head.
    pub fn head(&self, status: u16, headers: Headers) {
        let mut state = self.0.borrow_mut();
        state.head = Some((status, headers));
        wake(&mut state.reader);
    }

    /// Queues bytes of the body. Where nobody takes them any more they are dropped.
    pub fn data(&self, data: &[u8]) {
        let mut state = self.0.borrow_mut();
        if state.closed || data.is_empty() {
            return;
        }
        state.queued += data.len();
        state.data.extend(data.chunks(PIECE_MAX).map(Bytes::copy_from_slice));
        wake(&mut state.reader);
    }

    /// Queues the end, and what follows the body.
    pub fn end(&self, trailers: Option<&Headers>) {
        let mut state = self.0.borrow_mut();
        state.trailers = trailers.map(to_map);
        state.end = true;
        wake(&mut state.reader);
    }

    /// Breaks the stream off, unless its end is queued.
    pub fn cut(&self) {
        let mut state = self.0.borrow_mut();
        if !state.end {
            state.cut = true;
            wake(&mut state.reader);
        }
    }

    /// Bytes that wait.
    pub fn queued(&self) -> usize {
        self.0.borrow().queued
    }

    /// Whether the stream is gone before its end.
    pub fn is_closed(&self) -> bool {
        self.0.borrow().closed
    }

    /// Ready when less than [`HIGH_WATER`] waits, or the stream is gone.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_until(cx, |state| state.queued < HIGH_WATER)
    }

    /// Ready when nothing waits, or the stream is gone.
    pub fn poll_taken(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_until(cx, |state| state.queued == 0)
    }

    /// Ready when the stream is gone before its end.
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_until(cx, |_| false)
    }

    /// Ready when the queue is as wanted, or the stream is gone.
    fn poll_until(&self, cx: &mut Context<'_>, wanted: impl FnOnce(&State) -> bool) -> Poll<()> {
        let mut state = self.0.borrow_mut();
        if state.closed || wanted(&state) {
            return Poll::Ready(());
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// A response's head, once it is queued; none: it broke off before.
    pub fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Option<(u16, Headers)>> {
        let mut state = self.0.borrow_mut();
        if let Some(head) = state.head.take() {
            return Poll::Ready(Some(head));
        }
        if state.cut {
            return Poll::Ready(None);
        }
        state.asked = true;
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// hyper's side of the queue.
    pub fn body(&self) -> Body {
        Body(self.0.clone())
    }
}

/// How long a peer has taken nothing of what waits for it.
#[derive(Default)]
pub struct Stall {
    deadline: Deadline,
    since: Option<u64>,
}

impl Stall {
    /// Ready when the peer has not opened its window for `timeout` though something waits.
    pub fn poll(&mut self, cx: &mut Context<'_>, frames: &Frames, timeout: Duration) -> Poll<()> {
        let (asked, taken) = {
            let state = frames.0.borrow();
            (state.asked, state.taken)
        };
        if asked {
            self.since = None;
            return Poll::Pending;
        }
        if self.since != Some(taken) {
            self.since = Some(taken);
            self.deadline.set(timeout);
        }
        ready!(self.deadline.poll(cx));
        Poll::Ready(())
    }
}

/// What hyper pulls.
#[derive(Debug)]
pub struct Body(Rc<RefCell<State>>);

/// The message broke off.
#[derive(Debug, thiserror::Error)]
#[error("the message broke off")]
pub struct Cut;

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let mut state = self.0.borrow_mut();
        state.asked = false;
        if let Some(data) = state.data.pop_front() {
            state.taken += 1;
            state.queued -= data.len();
            wake(&mut state.writer);
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if state.end {
            return Poll::Ready(state.trailers.take().map(|map| Ok(Frame::trailers(map))));
        }
        if state.cut {
            return Poll::Ready(Some(Err(Cut)));
        }
        state.asked = true;
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.0.borrow().is_taken()
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let mut state = self.0.borrow_mut();
        if !state.is_taken() {
            state.closed = true;
            (state.queued, state.data) = (0, VecDeque::new());
        }
        wake(&mut state.writer);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// Headers as hyper wants them; what HTTP/2 forbids is left out.
pub fn to_map(headers: &Headers) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers.iter() {
        let hop = [&b"connection"[..], b"transfer-encoding", b"keep-alive", b"proxy-connection", b"upgrade"];
        if hop.iter().any(|h| name.eq_ignore_ascii_case(h)) {
            continue;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    map
}

/// Headers as hyper has them.
pub fn from_map(map: &HeaderMap) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in map {
        headers.push(name.as_str().as_bytes(), value.as_bytes());
    }
    headers
}
