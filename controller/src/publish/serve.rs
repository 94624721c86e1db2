//! Connections, and the one request that each carries.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use routing::seats::{Seat, Seats};
use routing::wire;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::{Authenticate, Inner, Publisher, Refused, stream};

/// A request's head: a token has a few kilobytes.
const HEAD_BYTES_MAX: u32 = 32 * 1024;

/// For TLS, and again for the request's head: a data plane sends both as soon as it can, and needs a moment more only
/// where a hundred of them come at once.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// What is received before it is read, per stream.
const WINDOW: u32 = 128 * 1024;

/// How long a connection may take to say that it ends.
pub(super) const GOODBYE: Duration = Duration::from_secs(1);

impl Publisher {
    /// Serves data planes until `shutdown` ends; then their streams are closed. Changes that wait for their time are
    /// pushed from here too.
    pub async fn serve(
        self,
        listener: TcpListener,
        tls: watch::Receiver<Arc<rustls::ServerConfig>>,
        authenticate: impl Authenticate,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        let (inner, authenticate) = (self.0, Arc::new(authenticate));
        // For those that are not authenticated: a data plane that is needs no place. One address may have them all while
        // nobody else wants one, as that of a NAT before a fleet of data planes.
        let mut seats = Seats::new(inner.options.handshakes_max, inner.options.handshakes_max);
        let mut connections = JoinSet::new();
        let (flush, mut shutdown) = (std::pin::pin!(flush(&inner)), std::pin::pin!(shutdown));
        let mut flush = flush;
        loop {
            let (tcp, ip) = tokio::select! {
                accepted = accept(&listener) => accepted,
                Some(_) = connections.join_next() => continue,
                () = flush.as_mut() => continue,
                () = shutdown.as_mut() => break,
            };
            let tls = TlsAcceptor::from(tls.borrow().clone());
            connections.spawn(connection(inner.clone(), authenticate.clone(), tls, tcp, seats.take(ip)));
        }
        // Ends every stream.
        connections.shutdown().await;
    }
}

/// The next connection, and whose it is.
async fn accept(listener: &TcpListener) -> (TcpStream, IpAddr) {
    loop {
        match listener.accept().await {
            Ok((tcp, peer)) => return (tcp, peer.ip().to_canonical()),
            Err(e) => {
                tracing::warn!(target: "push", "accept: {e}");
                // Out of descriptors: trying on at once would only burn time.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Brings in changes when they are due.
async fn flush(inner: &Inner) {
    loop {
        let due = inner.state().due();
        match due {
            None => inner.due.notified().await,
            Some(due) => {
                tokio::time::sleep_until(due.into()).await;
                let mut state = inner.state();
                state.flush(Instant::now());
                inner.metrics.table(state.table());
            }
        }
    }
}

/// What a connection's request and its connection share.
#[derive(Default)]
struct Progress {
    /// There is a request.
    asked: Notify,
    /// It has a stream.
    started: Notify,
    /// The stream has ended.
    ended: Notify,
}

async fn connection<A: Authenticate>(
    inner: Arc<Inner>,
    authenticate: Arc<A>,
    tls: TlsAcceptor,
    tcp: TcpStream,
    seat: Seat,
) {
    let patience = inner.options.handshake;
    let head = patience.min(HEAD_TIMEOUT);
    // Frames are small, and each is wanted at once.
    let _ = tcp.set_nodelay(true);
    let accepted = tokio::select! {
        accepted = tokio::time::timeout(head, tls.accept(tcp)) => accepted,
        () = seat.displaced() => return inner.metrics.refused("displaced"),
    };
    let tls = match accepted {
        Ok(Ok(tls)) => tls,
        Ok(Err(e)) => {
            inner.metrics.refused("tls");
            return tracing::debug!(target: "push", "TLS: {e}");
        }
        Err(_) => return inner.metrics.refused("timeout"),
    };
    let progress: Arc<Progress> = Arc::default();
    let shared = progress.clone();
    let of_service = inner.clone();
    let service = hyper::service::service_fn(move |request| {
        let (inner, authenticate, progress) = (of_service.clone(), authenticate.clone(), shared.clone());
        async move { Ok::<_, Infallible>(answer(inner, authenticate, progress, request).await) }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        // A connection is for one stream.
        .max_concurrent_streams(1)
        .max_header_list_size(HEAD_BYTES_MAX)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(super::cursor::PIECE);
    let mut http = std::pin::pin!(builder.serve_connection(TokioIo::new(tls), service));
    let late = async {
        if tokio::time::timeout(head, progress.asked.notified()).await.is_ok() {
            tokio::time::sleep(2 * patience).await;
        }
    };
    tokio::select! {
        // Looked at first: whoever has a stream has no place to lose.
        biased;
        () = progress.started.notified() => drop(seat),
        _ = http.as_mut() => return,
        () = seat.displaced() => return inner.metrics.refused("displaced"),
        () = late => return inner.metrics.refused("timeout"),
    }
    tokio::select! {
        _ = http.as_mut() => return,
        () = progress.ended.notified() => {}
    }
    http.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(GOODBYE, http).await;
}

/// Authenticates, and starts the stream.
async fn answer<A: Authenticate>(
    inner: Arc<Inner>,
    authenticate: Arc<A>,
    progress: Arc<Progress>,
    request: Request<Incoming>,
) -> Response<Frames> {
    progress.asked.notify_one();
    if request.uri().path() != wire::PATH || request.method() != Method::POST {
        return refuse(&inner, "path", StatusCode::NOT_FOUND, format!("there is only POST {}", wire::PATH));
    }
    let bearer = request.headers().get(http::header::AUTHORIZATION);
    let Some(token) = bearer.and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer ")) else {
        return refuse(&inner, "token", StatusCode::UNAUTHORIZED, "a bearer token is needed".into());
    };
    let late = || Err(Refused::Unavailable("no answer in time".into()));
    let answer = tokio::time::timeout(inner.options.handshake, authenticate.authenticate(token)).await;
    let who = match answer.unwrap_or_else(|_| late()) {
        Ok(who) => who,
        Err(denied @ Refused::Denied(_)) => {
            tracing::warn!(target: "push", "{denied}");
            return refuse(&inner, "token", StatusCode::UNAUTHORIZED, denied.to_string());
        }
        Err(unavailable @ Refused::Unavailable(_)) => {
            tracing::warn!(target: "push", "{unavailable}");
            return refuse(&inner, "unavailable", StatusCode::SERVICE_UNAVAILABLE, unavailable.to_string());
        }
    };
    if inner.state().streams() >= inner.options.streams_max {
        tracing::error!(target: "push", data_plane = %who.peer, "refused: there are {} streams", inner.options.streams_max);
        return refuse(&inner, "streams", StatusCode::SERVICE_UNAVAILABLE, "too many streams".into());
    }
    progress.started.notify_one();
    let (out, frames) = mpsc::channel(stream::PIECES);
    tokio::spawn(async move {
        stream::run(inner, authenticate, who, request.into_body(), out).await;
        progress.ended.notify_one();
    });
    Response::new(Frames { frames, first: None })
}

fn refuse(inner: &Inner, reason: &'static str, status: StatusCode, text: String) -> Response<Frames> {
    inner.metrics.refused(reason);
    let (_, frames) = mpsc::channel(1);
    let mut response = Response::new(Frames { frames, first: Some(text.into()) });
    *response.status_mut() = status;
    response
}

/// A response's body: what the stream sends.
struct Frames {
    first: Option<Bytes>,
    frames: mpsc::Receiver<Bytes>,
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        self.frames.poll_recv(cx).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}
