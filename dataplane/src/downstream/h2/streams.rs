//! The streams of a connection: how many there are, how long each may wait for its client, and when the connection
//! has to end. hyper knows none of that.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use routing::value::Http;

use crate::exchange::frames::{Frames, Stall};
use crate::io::Deadline;

/// How long a connection that was told to end may take for it while it carries nothing.
const CLOSING: Duration = Duration::from_secs(5);

/// hyper's executor for one connection's streams.
#[derive(Clone)]
pub(super) struct Streams(Rc<State>);

struct State {
    /// The stream whose request was handed out and whose task is to come: hyper does both at once.
    begun: RefCell<Option<Frames>>,
    /// Streams under way.
    open: Cell<usize>,
    /// Streams so far.
    served: Cell<u64>,
    /// The client was told that the connection ends.
    told: Cell<bool>,
    deadline: RefCell<Deadline>,
    /// Until when the connection may carry nothing was set when so many streams had been served.
    idle_since: Cell<Option<u64>>,
    /// The connection's task.
    task: RefCell<Option<Waker>>,
    limits: Limits,
}

struct Limits {
    /// Streams after which the client is told to use another connection.
    requests: u64,
    /// Streams that a client may still open before it has heard of that.
    late: u64,
    send_timeout: Duration,
    first_timeout: Duration,
    idle_timeout: Duration,
}

/// How a connection ends.
pub(super) enum End {
    /// With GOAWAY, after the streams that are under way.
    Gracefully,
    /// At once.
    Now,
}

impl Streams {
    pub(super) fn new(http: &Http) -> Self {
        let ms = Duration::from_millis;
        let limits = Limits {
            requests: http.keepalive_requests,
            late: 2 * u64::from(http.http2_streams_max),
            send_timeout: ms(http.send_timeout_ms),
            first_timeout: ms(http.client_header_timeout_ms),
            idle_timeout: ms(http.keepalive_timeout_ms),
        };
        Self(Rc::new(State {
            begun: RefCell::default(),
            open: Cell::new(0),
            served: Cell::new(0),
            told: Cell::new(false),
            deadline: RefCell::default(),
            idle_since: Cell::new(None),
            task: RefCell::default(),
            limits,
        }))
    }

    /// A stream begins; its task follows. Its queue, and how many there were with it.
    pub(super) fn begin(&self) -> (Frames, u64) {
        let frames = Frames::default();
        self.0.begun.replace(Some(frames.clone()));
        self.0.served.set(self.0.served.get() + 1);
        (frames, self.0.served.get())
    }

    /// Ready when the connection has to end: it is drained, has carried as many requests as it may, or nothing for
    /// too long. To be polled after the connection, until that has ended.
    pub(super) fn poll_end(&self, cx: &mut Context<'_>, draining: bool) -> Poll<End> {
        let state = &self.0;
        let (served, limits) = (state.served.get(), &state.limits);
        if served > limits.requests.saturating_add(limits.late) {
            // It was told, and goes on: hyper takes streams until the client acknowledges.
            return Poll::Ready(End::Now);
        }
        if !state.told.get() && (draining || served >= limits.requests) {
            return self.tell();
        }
        match &mut *state.task.borrow_mut() {
            Some(task) => task.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        if state.open.get() > 0 {
            state.idle_since.set(None);
            return Poll::Pending;
        }
        let mut deadline = state.deadline.borrow_mut();
        if state.idle_since.replace(Some(served)) != Some(served) {
            deadline.set(match (state.told.get(), served) {
                (true, _) => CLOSING,
                (false, 0) => limits.first_timeout,
                (false, _) => limits.idle_timeout,
            });
        }
        if deadline.poll(cx).is_pending() {
            return Poll::Pending;
        }
        drop(deadline);
        match state.told.get() {
            true => Poll::Ready(End::Now),
            false => self.tell(),
        }
    }

    fn tell(&self) -> Poll<End> {
        self.0.told.set(true);
        self.0.idle_since.set(None);
        Poll::Ready(End::Gracefully)
    }
}

impl<F: Future + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let frames = self.0.begun.take().unwrap_or_default();
        let open = Open::new(&self.0);
        let timeout = self.0.limits.send_timeout;
        tokio::task::spawn_local(async move {
            let _open = open;
            let mut stall = Stall::default();
            let mut stream = std::pin::pin!(stream);
            // Where the client opens no window hyper waits without end, and looks at nothing else. Dropping its future
            // resets the stream.
            std::future::poll_fn(|cx| match stream.as_mut().poll(cx) {
                Poll::Ready(_) => Poll::Ready(()),
                Poll::Pending => stall.poll(cx, &frames, timeout),
            })
            .await;
        });
    }
}

/// A stream under way.
struct Open(Rc<State>);

impl Open {
    fn new(state: &Rc<State>) -> Self {
        state.open.set(state.open.get() + 1);
        Self(state.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let open = self.0.open.get() - 1;
        self.0.open.set(open);
        if open == 0
            && let Some(task) = self.0.task.take()
        {
            task.wake();
        }
    }
}
