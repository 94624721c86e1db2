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

/// For a request's head: who asks has it ready when it connects.
const HEAD_TIMEOUT: Duration = Duration::from_secs(3);
/// For the whole exchange: metrics may be megabytes, and whoever reads them slowly holds them here.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);
/// Keys of a dump.
const DUMP_MAX: usize = 100_000;

/// Serves until its runtime ends.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    serve_with(listener, move |request, ip| answer(request, ip, &shared)).await;
}

async fn serve_with<A>(listener: TcpListener, answer: A)
where
    A: Fn(&http::Request<Incoming>, IpAddr) -> http::Response<Full<Bytes>> + Clone + Send + Sync + 'static,
{
    let mut seats = Seats::admin();
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
        let seat = seats.take(ip);
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let response = answer(&request, ip);
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpSocket, TcpStream};
    use tokio::time::timeout;

    use super::{HEAD_TIMEOUT, serve_with, text};

    /// A connection from an address of loopback.
    async fn connect(from: [u8; 4], to: SocketAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((from, 0))).unwrap();
        socket.connect(to).await.unwrap()
    }

    #[tokio::test]
    async fn a_probe_is_answered_though_others_hold_every_place() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve_with(listener, |_, _| text(200, "live\n".into())));
        let mut silent = Vec::new();
        for n in 0..280_u16 {
            silent.push(connect([127, 0, 1, 1 + u8::try_from(n % 40).unwrap()], address).await);
        }
        // Sooner than any of them ends by itself.
        let exchange = async {
            let mut probe = connect([127, 0, 0, 2], address).await;
            probe.write_all(b"GET /live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            probe.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answer = timeout(HEAD_TIMEOUT / 2, exchange).await.expect("an answer in time");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("live\n"), "{answer}");
        // Who says nothing is not waited for until the end of a whole exchange.
        let last = silent.last_mut().unwrap();
        let end = timeout(3 * HEAD_TIMEOUT, last.read_to_end(&mut Vec::new())).await;
        end.expect("the end of a silent connection").unwrap();
    }
}
