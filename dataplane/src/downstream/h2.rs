//! HTTP/2 towards clients, by hyper. Each stream's exchange is a task of its own: a stream that is dropped ends its
//! I/O, not its `log`.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::Body as _;
use http1::Headers;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::{BodyEvent, Client};
use crate::error::{Error, Kind, Result};
use crate::exchange::frames::{Body, Cut, Frames, from_map};
use crate::exchange::out::HIGH_WATER;
use crate::exchange::{Conn, Out};
use crate::io::Deadline;
use crate::life::Ended;
use crate::worker::Worker;

mod head;
mod streams;

use streams::Streams;

/// Streams that a client resets before they are accepted, beyond which its connection is closed (CVE-2023-44487).
const RESETS_MAX: usize = 20;

/// The client's part of a stream.
pub struct Stream {
    body: Incoming,
    trailers: Option<Headers>,
    frames: Frames,
    deadline: Deadline,
    waits: bool,
}

/// Whether the connection starts with HTTP/2's preface. None: it ended, or nothing came in time.
pub async fn has_preface(worker: &Rc<Worker>, tcp: &TcpStream) -> Option<bool> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0";
    let timeout = Duration::from_millis(worker.snapshot(|s| s.settings.http.client_header_timeout_ms));
    let mut first = [0; PREFACE.len()];
    let mut pause = Duration::from_millis(1);
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
            // The socket stays readable, so its readiness says nothing. A client that stops here must cost nothing.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    };
    tokio::time::timeout(timeout, look).await.ok().flatten()
}

/// Serves a client's connection to its end.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(worker: Rc<Worker>, socket: S, conn: Rc<Conn>) {
    let http = worker.snapshot(|s| s.settings.http.clone());
    let streams = Streams::new(&http);
    let mut builder = hyper::server::conn::http2::Builder::new(streams.clone());
    builder
        .max_concurrent_streams(http.http2_streams_max)
        .max_header_list_size(http.request_head_bytes_max)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(Some(RESETS_MAX * 10))
        .max_send_buf_size(HIGH_WATER)
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(60)))
        .keep_alive_timeout(Duration::from_secs(20));
    let (for_service, for_streams) = (streams.clone(), worker.clone());
    let service = hyper::service::service_fn(move |request| {
        let (frames, serial) = for_service.begin();
        respond(for_streams.clone(), conn.clone(), request, frames, serial)
    });
    let connection = builder.serve_connection(TokioIo::new(socket), service);
    tokio::pin!(connection);
    let drained = worker.drained();
    tokio::pin!(drained);
    let mut draining = false;
    let result = poll_fn(|cx| {
        if let Poll::Ready(result) = connection.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        draining = draining || drained.as_mut().poll(cx).is_ready();
        match ready!(streams.poll_end(cx, draining)) {
            streams::End::Gracefully => {
                // GOAWAY; streams that are under way end first.
                connection.as_mut().graceful_shutdown();
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            streams::End::Now => Poll::Ready(Ok(())),
        }
    })
    .await;
    if let Err(e) = result {
        tracing::debug!(target: "http", "HTTP/2 connection: {e}");
    }
}

/// One stream: starts its exchange and hands its response to hyper.
async fn respond(
    worker: Rc<Worker>,
    conn: Rc<Conn>,
    request: http::Request<Incoming>,
    frames: Frames,
    serial: u64,
) -> std::result::Result<http::Response<Body>, Cut> {
    let (parts, body) = request.into_parts();
    tokio::task::spawn_local(exchange(worker, conn, (parts, body), frames.clone(), serial));
    // Dropped with this future, when the client resets the stream before there is a response.
    let body = frames.body();
    // An error resets the stream: there is no response.
    let (status, headers) = poll_fn(|cx| frames.poll_head(cx)).await.ok_or(Cut)?;
    let mut response = http::Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_GATEWAY);
    *response.headers_mut() = crate::exchange::frames::to_map(&headers);
    Ok(response)
}

async fn exchange(
    worker: Rc<Worker>,
    conn: Rc<Conn>,
    (parts, body): (http::request::Parts, Incoming),
    frames: Frames,
    serial: u64,
) {
    let mut ex = worker.exchanges.take(&worker, &conn);
    ex.req.serial = serial;
    ex.out = Out::H2(frames.clone());
    head::fill(&mut ex, &parts, &body);
    let limit = worker.snapshot(|s| s.settings.http.request_headers_max);
    let refused = head::check(&parts, &body, limit as usize).err();
    let mut stream =
        Stream { body, trailers: None, frames: frames.clone(), deadline: Deadline::default(), waits: false };
    let mut client = Client::H2(&mut stream);
    let ended = match refused {
        None => crate::life::run(&mut ex, &mut client).await,
        Some(error) => crate::life::refuse(&mut ex, &mut client, error).await,
    };
    if ended != Ended::Whole {
        frames.cut();
    }
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

    /// See [`Client::poll_flush`]. How long it may take is told by the stream's task, which ends then.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.frames.poll_room(cx));
        if self.frames.is_closed() {
            return Poll::Ready(Err(Error::new(
                Kind::ClientClosed,
                "the client reset its stream, or did not read its response in time",
            )));
        }
        Poll::Ready(Ok(()))
    }

    /// See [`Client::poll_closed`].
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.frames.poll_closed(cx)
    }
}
