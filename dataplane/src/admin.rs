//! The admin endpoint: `/live`, `/ready`, `/serving`, `/metrics` for probes and scrapers inside the cluster, `/problems` for who may
//! reach into the pod.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use routing::seats::Seats;
use tokio::net::TcpListener;

use crate::server::State;

/// For a request's head: who asks has it ready when it connects.
const HEAD_TIMEOUT: Duration = Duration::from_secs(3);
/// For the whole exchange: metrics may be megabytes, and whoever reads them slowly holds them here.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves the admin endpoint until its runtime ends.
pub async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut seats = Seats::admin();
    loop {
        let (tcp, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) => {
                tracing::warn!(target: "admin", "accept: {e}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let ip = peer.ip().to_canonical();
        let seat = seats.take(ip);
        let state = state.clone();
        tokio::task::spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let response = answer(&request, ip, &state);
                async move { Ok::<_, Infallible>(response) }
            });
            let serving = hyper::server::conn::http1::Builder::new()
                .keep_alive(false)
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(tcp), service);
            tokio::select! {
                _ = tokio::time::timeout(EXCHANGE_TIMEOUT, serving) => {}
                () = seat.displaced() => {}
            }
        });
    }
}

fn answer(request: &http::Request<Incoming>, peer: IpAddr, state: &State) -> http::Response<Full<Bytes>> {
    match request.uri().path() {
        "/live" => text(200, "live\n"),
        "/ready" => match state.unready() {
            None => text(200, "ready\n"),
            Some(why) => text(503, &format!("not ready: {why}\n")),
        },
        "/serving" => match state.unserving() {
            None => text(200, "serving\n"),
            Some(why) => text(503, &format!("not serving: {why}\n")),
        },
        "/metrics" => {
            let mut response = text(200, &state.shared.metrics.text());
            let kind = http::HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
            response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
            response
        }
        // It has names and messages of every namespace.
        "/problems" if !peer.is_loopback() => {
            text(403, "only from within the pod: kubectl port-forward, then ask 127.0.0.1\n")
        }
        "/problems" => text(200, &state.problems()),
        _ => text(404, "there are /live, /ready, /serving, /metrics and /problems\n"),
    }
}

fn text(status: u16, body: &str) -> http::Response<Full<Bytes>> {
    let mut response = http::Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response
}
