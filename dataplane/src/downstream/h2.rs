//! HTTP/2 towards clients, by hyper. Each stream's exchange is a task of its own: a stream that is dropped ends its
//! I/O, not its `log`.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame};
use http1::{Framing, Headers, Method, Version};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::{BodyEvent, Client};
use crate::error::{Error, Kind, Result};
use crate::exchange::out::{H2Out, HIGH_WATER};
use crate::exchange::{Conn, Exchange, Out};
use crate::io::{Deadline, Local};
use crate::life::Ended;
use crate::worker::Worker;

/// Streams that a client resets before they are answered, beyond which its connection is closed (CVE-2023-44487).
const RESETS_MAX: usize = 20;

/// The client's part of a stream.
pub struct Stream {
    body: Incoming,
    trailers: Option<Headers>,
    shared: Rc<RefCell<Shared>>,
    deadline: Deadline,
    waits: bool,
    write_deadline: Deadline,
    write_waits: bool,
}

/// What the exchange's task and hyper's connection share.
#[derive(Default)]
struct Shared {
    out: H2Out,
    /// hyper waits for output.
    reader: Option<Waker>,
    /// The exchange waits for output to be taken.
    writer: Option<Waker>,
    /// The stream is gone.
    closed: bool,
    /// The response broke off: the stream is reset.
    cut: bool,
}

/// Whether the connection starts with HTTP/2's preface. None: it ended, or nothing came in time.
pub async fn has_preface(worker: &Rc<Worker>, tcp: &TcpStream) -> Option<bool> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0";
    let timeout = Duration::from_millis(worker.snapshot(|s| s.settings.http.client_header_timeout_ms));
    let mut first = [0; PREFACE.len()];
    let look = async {
        loop {
            let n = tcp.peek(&mut first).await.ok().filter(|n| *n > 0)?;
            // Any other method differs within its first bytes ("PR" + "I" is no method's beginning but PROPFIND's).
            if first[..n] != PREFACE[..n] {
                return Some(false);
            }
            if n == PREFACE.len() {
                return Some(true);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(timeout, look).await.ok().flatten()
}

/// Serves a client's connection to its end.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(worker: Rc<Worker>, socket: S, conn: Rc<Conn>) {
    let (streams, head_bytes) =
        worker.snapshot(|s| (s.settings.http.http2_streams_max, s.settings.http.request_head_bytes_max));
    let mut builder = hyper::server::conn::http2::Builder::new(Local);
    builder
        .max_concurrent_streams(streams)
        .max_header_list_size(head_bytes)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(Some(RESETS_MAX * 10))
        .max_send_buf_size(HIGH_WATER)
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(60)))
        .keep_alive_timeout(Duration::from_secs(20));
    let for_streams = worker.clone();
    let service = hyper::service::service_fn(move |request| respond(for_streams.clone(), conn.clone(), request));
    let connection = builder.serve_connection(TokioIo::new(socket), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = worker.drained() => {
            // GOAWAY; streams that are under way end first.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = result {
        tracing::debug!(target: "http", "HTTP/2 connection: {e}");
    }
}

/// One stream: starts its exchange and hands its response to hyper.
async fn respond(
    worker: Rc<Worker>,
    conn: Rc<Conn>,
    request: http::Request<Incoming>,
) -> std::result::Result<http::Response<Body>, Infallible> {
    let shared = Rc::new(RefCell::new(Shared::default()));
    let (parts, body) = request.into_parts();
    let task = exchange(worker, conn, parts, body, shared.clone());
    tokio::task::spawn_local(task);
    let mut guard = Body { shared: shared.clone() };
    let head = std::future::poll_fn(|cx| {
        let mut shared = shared.borrow_mut();
        if let Some(head) = shared.out.head.take() {
            return Poll::Ready(Some(head));
        }
        if shared.cut {
            return Poll::Ready(None);
        }
        shared.reader = Some(cx.waker().clone());
        Poll::Pending
    })
    .await;
    let mut response = http::Response::new(Body { shared: Rc::default() });
    let Some((status, headers)) = head else {
        // No response: the body's first poll resets the stream.
        shared.borrow_mut().cut = true;
        *response.body_mut() = std::mem::take(&mut guard);
        return Ok(response);
    };
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_GATEWAY);
    *response.headers_mut() = to_map(&headers);
    *response.body_mut() = std::mem::take(&mut guard);
    Ok(response)
}

async fn exchange(
    worker: Rc<Worker>,
    conn: Rc<Conn>,
    parts: http::request::Parts,
    body: Incoming,
    shared: Rc<RefCell<Shared>>,
) {
    let mut ex = worker.exchanges.take(&worker, &conn);
    ex.out = Out::H2(H2Out::default());
    fill(&mut ex, &parts, &body);
    let mut stream = Stream {
        body,
        trailers: None,
        shared: shared.clone(),
        deadline: Deadline::default(),
        waits: false,
        write_deadline: Deadline::default(),
        write_waits: false,
    };
    let ended = crate::life::run(&mut ex, &mut Client::H2(&mut stream)).await;
    if ended != Ended::Whole {
        let mut shared = shared.borrow_mut();
        shared.cut = true;
        shared.wake_reader();
    }
}

/// The stream's head as an HTTP/1.1 head: what phases and variables work on.
fn fill(ex: &mut Exchange, parts: &http::request::Parts, body: &Incoming) {
    let head = &mut ex.req.head;
    head.method = Method::from_bytes(parts.method.as_str().as_bytes()).unwrap_or(Method::Get);
    ex.req.head_only = head.method == Method::Head;
    head.version = Version::Http11;
    head.target.clear();
    head.target.extend_from_slice(parts.uri.path_and_query().map_or("/", |p| p.as_str()).as_bytes());
    head.path_start = 0;
    head.authority = parts.uri.authority().map(|a| a.as_str().as_bytes().to_vec());
    head.headers.clear();
    if let Some(authority) = &head.authority {
        head.headers.push(b"host", authority);
    }
    for (name, value) in &parts.headers {
        if name != http::header::HOST || head.authority.is_none() {
            head.headers.push(name.as_str().as_bytes(), value.as_bytes());
        }
    }
    let length = body.size_hint().exact();
    let present = !body.is_end_stream();
    head.framing = match (present, length) {
        (false, _) => Framing::None,
        (true, Some(n)) => Framing::Length(n),
        (true, None) => Framing::Chunked,
    };
    head.keep_alive = true;
    (head.expect_continue, head.upgrade) = (false, false);
    ex.req.http2 = true;
    ex.req.head_bytes = ex.req.head.headers.bytes();
    ex.req.body.present = present;
    ex.req.body.complete = !present;
    ex.req.body.declared = if present { length } else { Some(0) };
}

/// Headers as hyper wants them; what HTTP/2 forbids is left out.
pub fn to_map(headers: &Headers) -> http::HeaderMap {
    let mut map = http::HeaderMap::with_capacity(headers.len());
    for (name, value) in headers.iter() {
        let hop = [&b"connection"[..], b"transfer-encoding", b"keep-alive", b"proxy-connection", b"upgrade"];
        if hop.iter().any(|h| name.eq_ignore_ascii_case(h)) {
            continue;
        }
        if let (Ok(name), Ok(value)) = (http::HeaderName::from_bytes(name), http::HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    map
}

/// Headers as hyper has them.
pub fn from_map(map: &http::HeaderMap) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in map {
        headers.push(name.as_str().as_bytes(), value.as_bytes());
    }
    headers
}

impl Stream {
    /// The trailers of a body that has ended.
    pub fn trailers(&mut self) -> Option<Headers> {
        self.trailers.take()
    }

    /// See [`Client::poll_body`].
    pub fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<u8>,
        timeout: Duration,
    ) -> Poll<Result<BodyEvent>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(Ok(BodyEvent::End)),
                Poll::Ready(Some(Ok(frame))) => {
                    self.waits = false;
                    match frame.into_data() {
                        Ok(data) => {
                            into.extend_from_slice(&data);
                            return Poll::Ready(Ok(BodyEvent::Data));
                        }
                        Err(frame) => self.trailers = frame.into_trailers().ok().map(|map| from_map(&map)),
                    }
                }
                Poll::Ready(Some(Err(e))) => {
                    return Poll::Ready(Err(Error::new(Kind::ClientClosed, format!("the request body's stream: {e}"))));
                }
                Poll::Pending => {
                    if !self.waits {
                        self.deadline.set(timeout);
                        self.waits = true;
                    }
                    ready!(self.deadline.poll(cx));
                    return Poll::Ready(Err(Error::new(Kind::ClientTimeout, "the client sent no body in time")));
                }
            }
        }
    }

    /// See [`Client::poll_flush`].
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, ex: &mut Exchange) -> Poll<Result<()>> {
        let Out::H2(out) = &mut ex.out else { return Poll::Ready(Ok(())) };
        let mut shared = self.shared.borrow_mut();
        if shared.closed {
            return Poll::Ready(Err(Error::new(Kind::ClientClosed, "the client reset its stream")));
        }
        if shared.take(out) {
            shared.wake_reader();
        }
        if shared.out.queued <= HIGH_WATER {
            self.write_waits = false;
            return Poll::Ready(Ok(()));
        }
        shared.writer = Some(cx.waker().clone());
        if !self.write_waits {
            let timeout = ex.worker.snapshot(|s| s.settings.http.send_timeout_ms);
            self.write_deadline.set(Duration::from_millis(timeout));
            self.write_waits = true;
        }
        ready!(self.write_deadline.poll(cx));
        Poll::Ready(Err(Error::new(Kind::ClientClosed, "the client did not read its response in time")))
    }

    /// See [`Client::poll_closed`].
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.shared.borrow_mut();
        if shared.closed {
            return Poll::Ready(());
        }
        shared.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Shared {
    /// Takes what the exchange queued. True: there was something.
    fn take(&mut self, out: &mut H2Out) -> bool {
        let any = out.head.is_some() || !out.data.is_empty() || out.end;
        if out.head.is_some() {
            self.out.head = out.head.take();
        }
        self.out.queued += std::mem::take(&mut out.queued);
        self.out.data.append(&mut out.data);
        if out.trailers.is_some() {
            self.out.trailers = out.trailers.take();
        }
        self.out.end |= std::mem::take(&mut out.end);
        any
    }

    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }
}

/// A response's body, as hyper pulls it.
#[derive(Default)]
pub struct Body {
    shared: Rc<RefCell<Shared>>,
}

/// The response broke off.
#[derive(Debug, thiserror::Error)]
#[error("the response broke off")]
pub struct Cut;

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<std::result::Result<Frame<Bytes>, Cut>>> {
        let mut shared = self.shared.borrow_mut();
        if let Some(data) = shared.out.data.pop_front() {
            shared.out.queued -= data.len();
            if let Some(waker) = shared.writer.take() {
                waker.wake();
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(trailers) = shared.out.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(to_map(&trailers)))));
        }
        if shared.out.end {
            return Poll::Ready(None);
        }
        if shared.cut {
            return Poll::Ready(Some(Err(Cut)));
        }
        shared.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let out = &self.shared.borrow().out;
        out.end && out.data.is_empty() && out.trailers.is_none()
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let mut shared = self.shared.borrow_mut();
        shared.closed = true;
        if let Some(waker) = shared.writer.take() {
            waker.wake();
        }
    }
}
