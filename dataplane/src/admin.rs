//! The admin endpoint: `/live`, `/ready`, `/metrics`, `/problems`. For probes and scrapers inside the cluster.

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::server::State;

/// Serves the admin endpoint until its runtime ends.
pub async fn serve(listener: TcpListener, state: Arc<State>) {
    loop {
        let tcp = match listener.accept().await {
            Ok((tcp, _)) => tcp,
            Err(e) => {
                tracing::warn!(target: "admin", "accept: {e}");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        let state = state.clone();
        tokio::task::spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let response = answer(&request, &state);
                async move { Ok::<_, Infallible>(response) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(std::time::Duration::from_secs(10))
                .serve_connection(TokioIo::new(tcp), service)
                .await;
        });
    }
}

fn answer(request: &http::Request<Incoming>, state: &State) -> http::Response<Full<Bytes>> {
    match request.uri().path() {
        "/live" => text(200, "live\n"),
        "/ready" => match state.unready() {
            None => text(200, "ready\n"),
            Some(why) => text(503, &format!("not ready: {why}\n")),
        },
        "/metrics" => {
            let mut response = text(200, &state.shared.metrics.text());
            let kind = http::HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
            response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
            response
        }
        "/problems" => text(200, &state.problems()),
        _ => text(404, "there are /live, /ready, /metrics and /problems\n"),
    }
}

fn text(status: u16, body: &str) -> http::Response<Full<Bytes>> {
    let mut response = http::Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response
}
