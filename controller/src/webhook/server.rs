//! HTTPS for admission reviews: small, and bounded in everything that a caller can make it hold.
//!
//! Callers show no certificate, so whoever reaches the port may be an API server. What they can hold is shared out by
//! address instead: connections, bodies in memory, checks. One that does ill is in its own way only.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request as HttpRequest, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use routing::seats::{Seat, Seats};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Check;
use super::review::Request;

/// Where the ValidatingWebhookConfiguration sends reviews.
const PATH: &str = "/validate";
/// An object is at most 1.5 MiB (etcd's bound), and an update's review holds two; the API server takes 3 MiB a request,
/// and nothing of ours comes near that.
const BODY_BYTES_MAX: u32 = 2 * 1024 * 1024;
/// Bodies of an address in memory at once: one of the largest, or hundreds of the usual size. Others wait for their turn.
/// With [`CONNECTIONS_MAX`] addresses that is 256 MiB.
const CALLER_BYTES_MAX: u32 = BODY_BYTES_MAX;
/// What the API server waits, so nobody hears a later answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// For a body, of that: an API server has it ready, and those that never come must not hold up their address.
const BODY_TIMEOUT: Duration = Duration::from_secs(3);
/// Checks at once: they are CPU, of which the rest of the controller needs some too. An address may have them all, and
/// waits with no more than that in front of others.
const CHECKS_MAX: usize = 4;
/// Far more than API servers have; others have no business here.
const CONNECTIONS_MAX: usize = 128;
/// Those of one address: several API servers may share one, each with a few connections.
const CALLER_CONNECTIONS_MAX: usize = 16;
/// Then a connection is closed once it is idle, so that those who only hold one lose it.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(300);
/// For the handshake, and for the first request's head: who connects does so to ask.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Streams of an HTTP/2 connection: what Go's client, which is the API server's, takes for granted until it is told. With
/// less, a part of a burst over a new connection would be refused. An API server with more reviews opens another one.
const STREAMS_MAX: u32 = 100;
/// What is received of a stream before it is read: most reviews as a whole. The connection has it for every stream, so
/// that those which wait for their turn do not keep the body out for which they wait. All connections: 200 MiB.
const WINDOW: u32 = 16 * 1024;
/// After accepting failed (no more descriptors), before it is tried again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What requests share.
struct Shared {
    check: Arc<dyn Check>,
    checks: Arc<Semaphore>,
}

/// What the requests of an address share.
struct Caller {
    bytes: Arc<Semaphore>,
    checks: Arc<Semaphore>,
}

/// What the requests of a connection share.
struct Connection {
    shared: Arc<Shared>,
    caller: Arc<Caller>,
    seat: Seat,
    /// There was a request.
    asked: Notify,
}

/// Those who have connections.
#[derive(Default)]
struct Callers(HashMap<IpAddr, Weak<Caller>>);

impl Callers {
    fn of(&mut self, ip: IpAddr) -> Arc<Caller> {
        self.0.retain(|_, caller| caller.strong_count() > 0);
        if let Some(caller) = self.0.get(&ip).and_then(Weak::upgrade) {
            return caller;
        }
        let bytes = Arc::new(Semaphore::new(CALLER_BYTES_MAX as usize));
        let caller = Arc::new(Caller { bytes, checks: Arc::new(Semaphore::new(CHECKS_MAX)) });
        self.0.insert(ip, Arc::downgrade(&caller));
        caller
    }
}

/// Answers admission reviews until `shutdown` is ready, then finishes those that are under way. A new certificate holds
/// for new connections.
pub async fn serve(
    listener: TcpListener,
    tls: watch::Receiver<Arc<ServerConfig>>,
    check: Arc<dyn Check>,
    shutdown: impl Future<Output = ()>,
) {
    let shared = Arc::new(Shared { check, checks: Arc::new(Semaphore::new(CHECKS_MAX)) });
    let (mut seats, mut callers) = (Seats::new(CONNECTIONS_MAX, CALLER_CONNECTIONS_MAX), Callers::default());
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let ip = peer.ip().to_canonical();
                    let (caller, seat) = (callers.of(ip), seats.take(ip));
                    let connection = Connection { shared: shared.clone(), caller, seat, asked: Notify::new() };
                    connections.spawn(hold(stream, tls.borrow().clone(), connection, stopped.clone()));
                }
                Err(e) => {
                    tracing::warn!(error = %e, "the webhook cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    stop.send_replace(true);
    // Each request ends within its time, and so does this.
    while connections.join_next().await.is_some() {}
}

/// Serves a connection to its end, or until it makes way for another one.
async fn hold(stream: TcpStream, config: Arc<ServerConfig>, connection: Connection, stopped: watch::Receiver<bool>) {
    let connection = Arc::new(connection);
    tokio::select! {
        () = converse(stream, config, connection.clone(), stopped) => {}
        () = connection.seat.displaced() => {}
    }
}

async fn converse(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    connection: Arc<Connection>,
    mut stopped: watch::Receiver<bool>,
) {
    let handshake = TlsAcceptor::from(config).accept(stream);
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await else { return };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let of_requests = connection.clone();
    let service = service_fn(move |request| {
        let connection = of_requests.clone();
        async move { Ok::<_, Infallible>(respond(request, &connection).await) }
    });
    let expired = async {
        if tokio::time::timeout(HANDSHAKE_TIMEOUT, connection.asked.notified()).await.is_ok() {
            tokio::time::sleep(CONNECTION_AGE_MAX).await;
        }
    };
    let end = async {
        tokio::select! {
            // The sender outlives the connections.
            _ = stopped.wait_for(|stop| *stop) => {}
            () = expired => {}
        }
    };
    // An error is the peer's: it went away, or spoke something else.
    if is_http2 {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(STREAMS_MAX * WINDOW)
            .keep_alive_interval(Duration::from_secs(30));
        let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            _ = serving.as_mut() => return,
            () = end => serving.as_mut().graceful_shutdown(),
        }
        let _ = tokio::time::timeout(2 * REQUEST_TIMEOUT, serving).await;
    } else {
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(CONNECTION_AGE_MAX);
        let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            _ = serving.as_mut() => return,
            () = end => serving.as_mut().graceful_shutdown(),
        }
        let _ = tokio::time::timeout(2 * REQUEST_TIMEOUT, serving).await;
    }
}

async fn respond(request: HttpRequest<Incoming>, connection: &Connection) -> Response<Full<Bytes>> {
    connection.asked.notify_one();
    connection.seat.used();
    if request.uri().path() != PATH {
        return text(StatusCode::NOT_FOUND, &format!("admission reviews go to {PATH}"));
    }
    if request.method() != Method::POST {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "admission reviews are POSTed");
        response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("POST"));
        return response;
    }
    match tokio::time::timeout(REQUEST_TIMEOUT, reviewed(request.into_body(), connection)).await {
        Ok(response) => response,
        Err(_) => text(StatusCode::GATEWAY_TIMEOUT, "the review was not done within 5 s"),
    }
}

async fn reviewed(body: Incoming, connection: &Connection) -> Response<Full<Bytes>> {
    let Connection { shared, caller, .. } = connection;
    let closing = || text(StatusCode::SERVICE_UNAVAILABLE, "closing");
    // Without a length it may be as long as any.
    let length = body.size_hint().upper().unwrap_or(u64::MAX);
    let length = u32::try_from(length).unwrap_or(u32::MAX).min(BODY_BYTES_MAX);
    // Nobody closes the semaphores.
    let Ok(bytes) = caller.bytes.clone().acquire_many_owned(length).await else { return closing() };
    let body = match tokio::time::timeout(BODY_TIMEOUT, read(body)).await {
        Ok(Ok(body)) => body,
        Ok(Err(response)) => return response,
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the body did not come within 3 s"),
    };
    // Its address's turn first: who has many reviews must not fill the queue of all.
    let Ok(turn) = caller.checks.clone().acquire_owned().await else { return closing() };
    let Ok(permit) = shared.checks.clone().acquire_owned().await else { return closing() };
    let check = shared.check.clone();
    let checked = tokio::task::spawn_blocking(move || {
        // It runs to its end whatever becomes of the request, and counts until then.
        let _held = (bytes, turn, permit);
        answer(&body, &*check)
    });
    match checked.await {
        Ok(response) => response,
        Err(e) => {
            tracing::error!(error = %e, "the check of an object failed; this is a bug of Moongate");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the check of the object failed; this is a bug of Moongate")
        }
    }
}

/// The whole body; or what is said of one that cannot be had.
async fn read(body: Incoming) -> Result<Bytes, Response<Full<Bytes>>> {
    match Limited::new(body, BODY_BYTES_MAX as usize).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(e) if e.is::<LengthLimitError>() => {
            let message = format!("the review is larger than {} MiB", BODY_BYTES_MAX / 1024 / 1024);
            Err(text(StatusCode::PAYLOAD_TOO_LARGE, &message))
        }
        Err(e) => Err(text(StatusCode::BAD_REQUEST, &format!("the body could not be read: {e}"))),
    }
}

fn answer(body: &[u8], check: &dyn Check) -> Response<Full<Bytes>> {
    match Request::read(body) {
        Ok(request) => {
            let answer = check.check(&request).answer(&request.uid).to_string();
            let mut response = Response::new(Full::from(answer));
            response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
            response
        }
        Err(e) => text(StatusCode::BAD_REQUEST, &e.to_string()),
    }
}

fn text(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{message}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
