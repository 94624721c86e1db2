//! HTTPS for admission reviews: small, and bounded in everything that a caller can make it hold.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request as HttpRequest, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Check;
use super::review::Request;

/// Where the ValidatingWebhookConfiguration sends reviews.
const PATH: &str = "/validate";
/// An object is at most 1.5 MiB (etcd's bound), and an update's review holds two; the API server takes 3 MiB a request,
/// and nothing of ours comes near that.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// What the API server waits, so nobody hears a later answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Bodies in memory at once: 64 MiB.
const REQUESTS_MAX: usize = 32;
/// Checks at once: they are CPU, of which the rest of the controller needs some too.
const CHECKS_MAX: usize = 4;
/// Far more than API servers have; others have no business here.
const CONNECTIONS_MAX: usize = 256;
/// Then a connection is closed once it is idle, so that those who only hold one lose it.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(300);
/// For the handshake, and for a request's head.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Streams of an HTTP/2 connection: all requests that are taken at once.
const STREAMS_MAX: u32 = REQUESTS_MAX as u32;
/// After accepting failed (no more descriptors), before it is tried again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What requests share.
struct Shared {
    check: Arc<dyn Check>,
    requests: Semaphore,
    checks: Semaphore,
}

/// Answers admission reviews until `shutdown` is ready, then finishes those that are under way. A new certificate holds
/// for new connections.
pub async fn serve(
    listener: TcpListener,
    tls: watch::Receiver<Arc<ServerConfig>>,
    check: Arc<dyn Check>,
    shutdown: impl Future<Output = ()>,
) {
    let shared = Arc::new(Shared { check, requests: Semaphore::new(REQUESTS_MAX), checks: Semaphore::new(CHECKS_MAX) });
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    let config = tls.borrow().clone();
                    connections.spawn(connection(stream, config, shared.clone(), stopped.clone()));
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

async fn connection(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) {
    let handshake = TlsAcceptor::from(config).accept(stream);
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await else { return };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(respond(request, shared).await) }
    });
    let end = async {
        // The sender outlives the connections.
        let stop = stopped.wait_for(|stop| *stop);
        let _ = tokio::time::timeout(CONNECTION_AGE_MAX, stop).await;
    };
    // An error is the peer's: it went away, or spoke something else.
    if is_http2 {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
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

async fn respond(request: HttpRequest<Incoming>, shared: Arc<Shared>) -> Response<Full<Bytes>> {
    if request.uri().path() != PATH {
        return text(StatusCode::NOT_FOUND, &format!("admission reviews go to {PATH}"));
    }
    if request.method() != Method::POST {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "admission reviews are POSTed");
        response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("POST"));
        return response;
    }
    match tokio::time::timeout(REQUEST_TIMEOUT, reviewed(request.into_body(), shared)).await {
        Ok(response) => response,
        Err(_) => text(StatusCode::GATEWAY_TIMEOUT, "the review was not done within 5 s"),
    }
}

async fn reviewed(body: Incoming, shared: Arc<Shared>) -> Response<Full<Bytes>> {
    // Nobody closes the semaphores.
    let Ok(_request) = shared.requests.acquire().await else { return text(StatusCode::SERVICE_UNAVAILABLE, "closing") };
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(e) if e.is::<LengthLimitError>() => {
            let message = format!("the review is larger than {} MiB", BODY_BYTES_MAX / 1024 / 1024);
            return text(StatusCode::PAYLOAD_TOO_LARGE, &message);
        }
        Err(e) => return text(StatusCode::BAD_REQUEST, &format!("the body could not be read: {e}")),
    };
    let Ok(_check) = shared.checks.acquire().await else { return text(StatusCode::SERVICE_UNAVAILABLE, "closing") };
    let check = shared.check.clone();
    match tokio::task::spawn_blocking(move || answer(&body, &*check)).await {
        Ok(response) => response,
        Err(e) => {
            tracing::error!(error = %e, "the check of an object failed; this is a bug of Moongate");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the check of the object failed; this is a bug of Moongate")
        }
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
