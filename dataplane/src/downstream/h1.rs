//! HTTP/1.1 towards clients. An idle connection is a socket and a small task: the buffer and the request's state
//! exist only while there is a request.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http1::{BodyDecoder, Event, Framing, Limits, Method, Version};
use tokio::net::TcpStream;

use super::{BodyEvent, Client};
use crate::error::{Error, Kind, Result};
use crate::exchange::{Conn, Exchange, Out};
use crate::io::{Buf, Deadline, Io};
use crate::worker::{Tick, Worker};

mod finish;
mod head;
mod tunnel;

pub use tunnel::tunnel;

/// A connection between requests: all that an idle one keeps.
pub struct Waiting {
    io: Io,
    conn: Rc<Conn>,
    /// How many there were, as far as this can count.
    requests: u32,
    /// When it will have waited for long enough. What is no request, such as empty lines or part of a TLS record, does
    /// not make it wait anew.
    until: Option<Tick>,
}

/// A client's connection while requests come.
pub struct Connection {
    /// The socket.
    pub io: Io,
    /// Bytes that came in and were not used yet.
    pub buf: Buf,
    decoder: BodyDecoder,
    deadline: Deadline,
    conn: Rc<Conn>,
    requests: u64,
    /// A write waits since this deadline was set.
    write_deadline: Deadline,
    write_waits: bool,
    read_waits: bool,
    /// TLS may hold bytes that the socket did not take.
    unflushed: bool,
    wants_continue: bool,
    closed: bool,
}

/// Serves a client's connection to its end; none is left of it then.
///
/// A block in a function, and by reference, since an async function keeps what it is given twice.
#[expect(
    clippy::manual_async_fn,
    reason = "an async function would keep its arguments twice, in every idle connection"
)]
pub fn serve(worker: &Rc<Worker>, connection: &mut Option<Waiting>) -> impl Future<Output = ()> {
    async move {
        while (Idle { connection: &mut *connection, worker, number: None }).await {
            // Boxed, so that the state of a request takes no room while there is none.
            *connection = match connection.take() {
                Some(waiting) => Box::pin(burst(worker, waiting)).await,
                None => None,
            };
        }
    }
}

impl Waiting {
    /// A connection that has carried nothing yet.
    pub fn new(io: Io, conn: Rc<Conn>) -> Self {
        Self { io, conn, requests: 0, until: None }
    }

    /// The socket.
    pub fn tcp(&self) -> &TcpStream {
        self.io.tcp()
    }

    /// The socket and its facts, for another protocol.
    pub fn into_parts(self) -> (Io, Rc<Conn>) {
        (self.io, self.conn)
    }

    /// Completes with the next request's first byte. False: the connection ends.
    ///
    /// It has no timer of its own: the worker wakes what has waited for too long, some time within the next second.
    fn poll_idle(&mut self, cx: &mut Context<'_>, worker: &Worker, number: &mut Option<usize>) -> Poll<bool> {
        if self.io.has_plaintext() || self.io.tcp().poll_read_ready(cx).is_ready() {
            return Poll::Ready(true);
        }
        let until = *self.until.get_or_insert_with(|| {
            let timeout = worker.snapshot(|s| {
                let http = &s.settings.http;
                if self.requests == 0 { http.client_header_timeout_ms } else { http.keepalive_timeout_ms }
            });
            worker.idle.after(Duration::from_millis(timeout))
        });
        if worker.is_draining() || worker.idle.is_over(until) {
            return Poll::Ready(false);
        }
        number.get_or_insert_with(|| worker.idle.insert(cx.waker().clone(), until));
        Poll::Pending
    }
}

/// Waits for the next request. By hand, since it is most of what an idle connection holds: a future of an async
/// function would be twice its size.
struct Idle<'a> {
    connection: &'a mut Option<Waiting>,
    worker: &'a Worker,
    /// Its number among those that wait.
    number: Option<usize>,
}

impl Future for Idle<'_> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let this = &mut *self;
        match this.connection {
            Some(waiting) => waiting.poll_idle(cx, this.worker, &mut this.number),
            None => Poll::Ready(false),
        }
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.worker.idle.remove(number);
        }
    }
}

/// Serves requests until none is waiting. None: the connection has ended.
async fn burst(worker: &Rc<Worker>, waiting: Waiting) -> Option<Waiting> {
    let (before, until) = (waiting.requests, waiting.until);
    let mut connection = Connection::new(waiting);
    let is_open = connection.requests(worker).await;
    let Connection { io, conn, requests, .. } = connection;
    let requests = u32::try_from(requests).unwrap_or(u32::MAX);
    is_open.then(|| Waiting { io, conn, requests, until: until.filter(|_| requests == before) })
}

impl Connection {
    fn new(waiting: Waiting) -> Self {
        let Waiting { io, conn, requests, .. } = waiting;
        Self {
            io,
            buf: Buf::default(),
            decoder: BodyDecoder::new(Framing::None),
            deadline: Deadline::default(),
            conn,
            requests: requests.into(),
            write_deadline: Deadline::default(),
            write_waits: false,
            read_waits: false,
            unflushed: false,
            wants_continue: false,
            closed: false,
        }
    }

    /// Serves requests until none is waiting. False: nothing more comes of this connection.
    async fn requests(&mut self, worker: &Rc<Worker>) -> bool {
        loop {
            let mut ex = worker.exchanges.take(worker, &self.conn);
            match self.read_head(worker, &mut ex).await {
                Ok(head::Read::Request) => {}
                Ok(head::Read::Idle) => {
                    worker.exchanges.give(ex);
                    return true;
                }
                Ok(head::Read::End) => return false,
                Err(error) => {
                    self.refuse(ex, error).await;
                    return false;
                }
            }
            self.requests += 1;
            self.begin(worker, &mut ex);
            let ended = crate::life::run(&mut ex, &mut Client::H1(self)).await;
            let keep = self.end(&mut ex, ended).await;
            worker.exchanges.give(ex);
            if !keep {
                return false;
            }
        }
    }

    /// The parsed head becomes the exchange's request.
    fn begin(&mut self, worker: &Worker, ex: &mut Exchange) {
        ex.req.serial = self.requests;
        let head = &ex.req.head;
        ex.req.head_only = head.method == Method::Head;
        self.decoder = BodyDecoder::new(head.framing);
        self.wants_continue = head.expect_continue;
        ex.req.body.present = head.framing != Framing::None;
        ex.req.body.complete = !ex.req.body.present;
        ex.req.body.declared = match head.framing {
            Framing::Length(n) => Some(n),
            Framing::None => Some(0),
            Framing::Chunked | Framing::UntilClose => None,
        };
        let limit = worker.snapshot(|s| s.settings.http.keepalive_requests);
        let keep_alive = head.keep_alive && self.requests < limit && !worker.is_draining();
        let version = head.version;
        if let Out::H1(out) = &mut ex.out {
            (out.version, out.keep_alive, out.chunked) = (version, keep_alive, false);
        }
    }

    /// Answers a head that is no request; its connection ends.
    async fn refuse(&mut self, mut ex: Box<Exchange>, error: Error) {
        ex.req.head.version = Version::Http11;
        if let Out::H1(out) = &mut ex.out {
            out.keep_alive = false;
        }
        if !matches!(error.kind, Kind::ClientClosed) {
            crate::life::refuse(&mut ex, &mut Client::H1(self), error).await;
        }
        self.linger().await;
    }

    /// The next piece of the request's body.
    pub fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<u8>,
        timeout: Duration,
    ) -> Poll<Result<BodyEvent>> {
        loop {
            let decoded =
                self.decoder.decode(self.buf.bytes()).map_err(|e| Error::new(Kind::BadRequest, e.to_string()))?;
            let event = match decoded.event {
                Event::Data(range) => {
                    into.extend_from_slice(&self.buf.bytes()[range]);
                    Some(BodyEvent::Data)
                }
                Event::End => Some(BodyEvent::End),
                Event::NeedMore => None,
            };
            self.buf.consume(decoded.consumed);
            if let Some(event) = event {
                self.read_waits = false;
                return Poll::Ready(Ok(event));
            }
            if !self.buf.make_room(crate::io::BUFFER_BYTES) {
                return Poll::Ready(Err(Error::new(Kind::BadRequest, "a chunk's head or trailer is too long")));
            }
            match self.io.poll_read(cx, &mut self.buf) {
                Poll::Ready(Ok(n)) if n > 0 => self.read_waits = false,
                Poll::Ready(_) => {
                    self.closed = true;
                    return Poll::Ready(Err(Error::new(
                        Kind::ClientClosed,
                        "the client closed inside its request body",
                    )));
                }
                Poll::Pending => {
                    if !self.read_waits {
                        self.deadline.set(timeout);
                        self.read_waits = true;
                    }
                    ready!(self.deadline.poll(cx));
                    return Poll::Ready(Err(Error::new(Kind::ClientTimeout, "the client sent no body in time")));
                }
            }
        }
    }

    /// The trailer section of a chunked body that has ended.
    pub fn trailers(&mut self) -> Option<http1::Headers> {
        self.decoder.trailers()
    }

    /// Writes what is queued.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, ex: &mut Exchange) -> Poll<Result<()>> {
        let Out::H1(out) = &mut ex.out else { return Poll::Ready(Ok(())) };
        let mut wrote = false;
        while out.written < out.bytes.len() {
            match self.io.poll_write(cx, &out.bytes[out.written..]) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    out.written += n;
                    (wrote, self.write_waits) = (true, false);
                }
                Poll::Ready(_) => {
                    self.closed = true;
                    return Poll::Ready(Err(Error::new(
                        Kind::ClientClosed,
                        "the client closed before its response ended",
                    )));
                }
                Poll::Pending => {
                    out.compact();
                    return self.poll_write_timeout(cx, &ex.worker);
                }
            }
        }
        out.clear();
        // TLS keeps what the socket did not take and sends it with the next write or flush.
        self.unflushed |= wrote;
        if self.unflushed {
            if self.io.poll_flush(cx)?.is_pending() {
                return self.poll_write_timeout(cx, &ex.worker);
            }
            (self.unflushed, self.write_waits) = (false, false);
        }
        Poll::Ready(Ok(()))
    }

    /// Pending until the client has read nothing for too long.
    fn poll_write_timeout(&mut self, cx: &mut Context<'_>, worker: &Worker) -> Poll<Result<()>> {
        if !self.write_waits {
            let timeout = worker.snapshot(|s| s.settings.http.send_timeout_ms);
            self.write_deadline.set(Duration::from_millis(timeout));
            self.write_waits = true;
        }
        ready!(self.write_deadline.poll(cx));
        self.closed = true;
        Poll::Ready(Err(Error::new(Kind::ClientClosed, "the client did not read its response in time")))
    }

    /// Ready when the client went away while nothing was expected of it. What it sends meanwhile (the next request
    /// of a pipeline) is kept, as far as the buffer goes.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.closed {
            return Poll::Ready(());
        }
        if self.buf.is_full() && !self.buf.make_room(crate::io::BUFFER_BYTES) {
            return Poll::Pending;
        }
        loop {
            match ready!(self.io.poll_read(cx, &mut self.buf)) {
                Ok(n) if n > 0 => {
                    if self.buf.is_full() {
                        return Poll::Pending;
                    }
                }
                _ => {
                    self.closed = true;
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Queues `100 Continue` when the client waits for it and nothing was answered yet.
    pub fn send_continue(&mut self, ex: &mut Exchange) {
        if std::mem::take(&mut self.wants_continue)
            && !ex.resp.head_sent
            && let Out::H1(out) = &mut ex.out
        {
            out.bytes.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    /// An interim response of the upstream (103), as it is. HTTP/1.0 clients get none.
    pub fn send_interim(ex: &mut Exchange, status: u16, headers: &http1::Headers) {
        if let Out::H1(out) = &mut ex.out
            && out.version == Version::Http11
        {
            http1::encode_response(&mut out.bytes, Version::Http11, status, None, headers);
        }
    }
}

/// The limits of a request's head, from the settings.
fn limits(worker: &Worker) -> Limits {
    worker.snapshot(|s| Limits {
        head_bytes: s.settings.http.request_head_bytes_max as usize,
        headers: s.settings.http.request_headers_max as usize,
    })
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        Self::new(Kind::ClientClosed, e.to_string())
    }
}
