//! The controller's admin endpoint: `/live`, `/ready`, `/metrics` for probes and scrapers inside the cluster, `/debug/table`
//! for who may reach into the pod.

use std::convert::Infallible;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use routing::seats::Seats;
use tokio::net::TcpListener;

use super::Shared;

/// Keys of a dump.
const DUMP_MAX: usize = 100_000;

/// Serves until its runtime ends.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut seats = Seats::default();
    loop {
        let (tcp, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) => {
                tracing::warn!("the admin endpoint cannot accept: {e}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let ip = peer.ip().to_canonical();
        let Some(seat) = seats.take(ip) else { continue };
        let shared = shared.clone();
        tokio::spawn(async move {
            let _seat = seat;
            let service = hyper::service::service_fn(move |request| {
                let response = answer(&request, ip, &shared);
                async move { Ok::<_, Infallible>(response) }
            });
            let serving = hyper::server::conn::http1::Builder::new()
                .keep_alive(false)
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(tcp), service);
            let _ = tokio::time::timeout(Duration::from_secs(30), serving).await;
        });
    }
}

fn answer(request: &http::Request<Incoming>, peer: IpAddr, shared: &Shared) -> http::Response<Full<Bytes>> {
    match request.uri().path() {
        "/live" => text(200, "live\n".into()),
        "/ready" => match shared.unready() {
            None => text(200, "ready\n".into()),
            Some(why) => text(503, format!("not ready: {why}\n")),
        },
        "/metrics" => {
            let mut response = text(200, metrics(shared));
            let kind = http::HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
            response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
            response
        }
        // It has every namespace's scripts and configs in it.
        "/debug/table" if !peer.is_loopback() => {
            text(403, "only from within the pod: kubectl port-forward, then ask 127.0.0.1\n".into())
        }
        "/debug/table" => text(200, dump(shared, request.uri().query().unwrap_or_default())),
        _ => text(404, "there are /live, /ready, /metrics and /debug/table (?PART of a key)\n".into()),
    }
}

fn metrics(shared: &Shared) -> String {
    let table = shared.table.read().unwrap_or_else(PoisonError::into_inner);
    shared.metrics.table(&table);
    drop(table);
    let mut registry = Registry::default();
    shared.metrics.register(&shared.stats, &mut registry);
    shared.writes.register(&mut registry);
    shared.publisher.metrics().register(&mut registry);
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = prometheus_client::encoding::text::encode(&mut out, &registry);
    out
}

/// The table, one key a line, those that have a part in their name. `Debug` of what is secret shows its length only.
fn dump(shared: &Shared, part: &str) -> String {
    let table = shared.table.read().unwrap_or_else(PoisonError::into_inner).table();
    let mut out = String::new();
    let keys = table.0.iter().map(|(key, value)| (key.to_string(), value));
    for (key, value) in keys.filter(|(key, _)| key.contains(part)).take(DUMP_MAX) {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{key}: {value:?}");
    }
    out
}

fn text(status: u16, body: String) -> http::Response<Full<Bytes>> {
    let mut response = http::Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response
}
