//! HTTP/2 towards endpoints (h2c, gRPC), by hyper: requests share a connection per endpoint and worker.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http_body::Body as _;
use http1::{Framing, Headers, Method, ResponseHead, Version};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::DataEvent;
use super::connect::{open_tcp, within};
use crate::error::{Error, Kind, Result};
use crate::exchange::Exchange;
use crate::exchange::frames::{Body, Frames, Stall, from_map, to_map};
use crate::io::{Deadline, Local};

/// Connections to endpoints, each shared.
#[derive(Default)]
pub struct Pool(RefCell<HashMap<SocketAddr, Kept>>);

struct Kept {
    sender: SendRequest<Body>,
    /// When a stream was opened last.
    used: Instant,
}

/// Connections kept at once; endpoints come and go with deployments.
const CONNECTIONS_MAX: usize = 1024;

type Responding = Pin<Box<dyn Future<Output = hyper::Result<http::Response<Incoming>>>>>;

/// One request on a shared connection.
pub struct Stream {
    sender: SendRequest<Body>,
    frames: Frames,
    responding: Option<Responding>,
    body: Option<Incoming>,
    deadline: Deadline,
    timeout: Duration,
    waits: bool,
    stall: Stall,
    send_timeout: Duration,
    sent: bool,
    address: SocketAddr,
}

impl Pool {
    fn take(&self, address: SocketAddr) -> Option<SendRequest<Body>> {
        let mut pool = self.0.borrow_mut();
        let kept = pool.get_mut(&address).filter(|kept| !kept.sender.is_closed())?;
        kept.used = crate::clock::now();
        Some(kept.sender.clone())
    }

    fn keep(&self, address: SocketAddr, sender: &SendRequest<Body>) {
        let mut pool = self.0.borrow_mut();
        pool.retain(|_, kept| !kept.sender.is_closed());
        if pool.len() < CONNECTIONS_MAX {
            pool.insert(address, Kept { sender: sender.clone(), used: crate::clock::now() });
        }
    }

    /// Lets go of connections that no stream was opened on for `timeout`, and of those that have ended. hyper closes
    /// one when its last stream has ended.
    pub fn sweep(&self, timeout: Duration) {
        self.0.borrow_mut().retain(|_, kept| !kept.sender.is_closed() && kept.used.elapsed() < timeout);
    }
}

/// A stream on a shared connection; opens one where there is none. The bool: the connection was used before.
pub async fn open(ex: &Exchange, address: SocketAddr, timeout: Duration) -> Result<(Stream, bool)> {
    let kept = ex.worker.pools.h2.take(address);
    let reused = kept.is_some();
    let sender = match kept {
        Some(sender) => sender,
        None => {
            let head_bytes = ex.worker.snapshot(|s| s.settings.http.response_head_bytes_max);
            let sender = within(timeout, address, handshake(address, head_bytes)).await?;
            ex.worker.pools.h2.keep(address, &sender);
            sender
        }
    };
    let stream = Stream {
        sender,
        frames: Frames::default(),
        responding: None,
        body: None,
        deadline: Deadline::default(),
        timeout: Duration::ZERO,
        waits: false,
        stall: Stall::default(),
        send_timeout: Duration::ZERO,
        sent: false,
        address,
    };
    Ok((stream, reused))
}

async fn handshake(address: SocketAddr, head_bytes: u32) -> Result<SendRequest<Body>> {
    let tcp = open_tcp(address).await?;
    let (sender, connection) = http2::Builder::new(Local)
        .timer(TokioTimer::new())
        .max_header_list_size(head_bytes)
        .keep_alive_interval(Some(Duration::from_secs(60)))
        .keep_alive_timeout(Duration::from_secs(20))
        .handshake(TokioIo::new(tcp))
        .await
        .map_err(|e| Error::retriable(Kind::Connect, format!("HTTP/2 with {address}: {e}")))?;
    tokio::task::spawn_local(async move {
        if let Err(e) = connection.await {
            tracing::debug!(target: "http", %address, "HTTP/2 connection to an endpoint: {e}");
        }
    });
    Ok(sender)
}

impl Stream {
    /// Sets the time-outs between two reads and between two writes.
    pub fn begin(&mut self, read_timeout: Duration, send_timeout: Duration) {
        (self.timeout, self.send_timeout) = (read_timeout, send_timeout);
    }

    /// Hands over the head; the request starts with the first poll.
    pub fn head(&mut self, method: &Method, target: &[u8], headers: &Headers, no_body: bool) {
        let authority = headers.get(b"host").unwrap_or_default();
        let uri = http::Uri::builder()
            .scheme("http")
            .authority(
                if authority.is_empty() { self.address.to_string().into_bytes() } else { authority.to_vec() }
                    .as_slice(),
            )
            .path_and_query(target)
            .build();
        let mut map = to_map(headers);
        map.remove(http::header::HOST);
        if no_body {
            self.frames.end(None);
        }
        let mut request = http::Request::new(self.frames.body());
        *request.method_mut() = http::Method::from_bytes(method.as_str().as_bytes()).unwrap_or(http::Method::GET);
        *request.headers_mut() = map;
        match uri {
            Ok(uri) => *request.uri_mut() = uri,
            Err(e) => {
                self.responding = None;
                tracing::debug!(target: "http", "a target that HTTP/2 cannot carry: {e}");
                return;
            }
        }
        let mut sender = self.sender.clone();
        self.responding = Some(Box::pin(async move {
            sender.ready().await?;
            sender.send_request(request).await
        }));
    }

    /// See [`super::Connection::queue_data`].
    pub fn queue_data(&mut self, data: &[u8]) {
        self.frames.data(data);
    }

    /// See [`super::Connection::queue_end`].
    pub fn queue_end(&mut self, trailers: Option<&Headers>) {
        self.frames.end(trailers);
    }

    /// See [`super::Connection::queued`].
    pub fn queued(&self) -> usize {
        self.frames.queued()
    }

    /// See [`super::Connection::sent_any`].
    pub fn sent_any(&self) -> bool {
        self.sent
    }

    /// See [`super::Connection::poll_write`].
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.frames.poll_taken(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.stall.poll(cx, &self.frames, self.send_timeout));
        Poll::Ready(Err(Error::retriable(Kind::UpstreamTimeout, "the endpoint did not take the request in time")))
    }

    /// See [`super::Connection::poll_head`].
    pub fn poll_head(&mut self, cx: &mut Context<'_>, head: &mut ResponseHead) -> Poll<Result<()>> {
        let Some(responding) = &mut self.responding else {
            return Poll::Ready(Err(Error::new(Kind::UpstreamProtocol, "the request cannot be sent over HTTP/2")));
        };
        let Poll::Ready(result) = responding.as_mut().poll(cx) else {
            self.sent = true;
            return self.poll_timeout(cx);
        };
        self.responding = None;
        self.waits = false;
        let response = result.map_err(|e| failure(&e))?;
        let (parts, body) = response.into_parts();
        head.status = parts.status.as_u16();
        head.reason.clear();
        head.version = Version::Http11;
        head.headers.clear();
        for (name, value) in &parts.headers {
            head.headers.push(name.as_str().as_bytes(), value.as_bytes());
        }
        head.framing = match (body.is_end_stream(), body.size_hint().exact()) {
            (true, _) => Framing::None,
            (false, Some(n)) => Framing::Length(n),
            (false, None) => Framing::Chunked,
        };
        self.body = Some(body);
        Poll::Ready(Ok(()))
    }

    /// See [`super::Connection::poll_data`].
    pub fn poll_data(&mut self, cx: &mut Context<'_>, sink: &mut impl FnMut(&[u8])) -> Poll<Result<DataEvent>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(DataEvent::End(None))) };
        match Pin::new(body).poll_frame(cx) {
            Poll::Pending => match ready!(self.poll_timeout(cx)) {
                Ok(()) => Poll::Pending,
                Err(e) => Poll::Ready(Err(e)),
            },
            Poll::Ready(None) => Poll::Ready(Ok(DataEvent::End(None))),
            Poll::Ready(Some(Err(e))) => Poll::Ready(Err(failure(&e))),
            Poll::Ready(Some(Ok(frame))) => {
                self.waits = false;
                match frame.into_data() {
                    Ok(data) => {
                        sink(&data);
                        Poll::Ready(Ok(DataEvent::Data))
                    }
                    Err(frame) => Poll::Ready(Ok(DataEvent::End(frame.into_trailers().ok().map(|map| from_map(&map))))),
                }
            }
        }
    }

    /// See [`super::Connection::hold_read_deadline`].
    pub fn hold_read_deadline(&mut self) {
        self.waits = false;
    }

    /// Pending until the endpoint was silent for too long.
    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if !self.waits {
            self.deadline.set(self.timeout);
            self.waits = true;
        }
        ready!(self.deadline.poll(cx));
        Poll::Ready(Err(Error::retriable(Kind::UpstreamTimeout, "the endpoint did not answer in time")))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.frames.cut();
    }
}

fn failure(e: &hyper::Error) -> Error {
    // A stream that the endpoint refused unprocessed (REFUSED_STREAM, GOAWAY) and a connection that broke alike:
    // whether another try is safe is decided by the method and the body.
    Error::retriable(Kind::UpstreamClosed, format!("HTTP/2 with the endpoint: {e}"))
}
