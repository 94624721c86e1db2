//! The access log: one JSON object a request, on standard output. The fields are documented in
//! `docs/observability.md`; they only ever grow.

use std::cell::RefCell;
use std::io::Write;

use serde::Serialize;

use crate::exchange::Exchange;

/// Lines are written together, at the latest when this much is there or the worker has nothing else to do.
const BUFFER_BYTES: usize = 32 * 1024;

#[derive(Serialize)]
struct Line<'a> {
    time: f64,
    client: std::net::IpAddr,
    method: &'a str,
    host: &'a str,
    path: std::borrow::Cow<'a, str>,
    protocol: &'a str,
    scheme: &'a str,
    status: u16,
    request_bytes: u64,
    response_bytes: u64,
    duration: f64,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ingress: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<std::net::SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_time: Option<f64>,
    tries: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<std::borrow::Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<std::borrow::Cow<'a, str>>,
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes a request's line, if requests are logged.
pub fn write(ex: &mut Exchange) {
    if !ex.worker.snapshot(|s| s.settings.http.access_log) {
        return;
    }
    let line = serde_json::to_vec(&line(ex));
    BUFFER.with_borrow_mut(|buffer| {
        if let Ok(line) = line {
            buffer.extend_from_slice(&line);
            buffer.push(b'\n');
        }
        if buffer.len() >= BUFFER_BYTES {
            flush_into_stdout(buffer);
        }
    });
}

/// Writes out what waits; called when a worker has nothing else to do.
pub fn flush() {
    BUFFER.with_borrow_mut(|buffer| {
        if !buffer.is_empty() {
            flush_into_stdout(buffer);
        }
    });
}

fn flush_into_stdout(buffer: &mut Vec<u8>) {
    // Nobody reads the log any more: requests go on.
    let _ = std::io::stdout().lock().write_all(buffer);
    buffer.clear();
}

fn line(ex: &mut Exchange) -> Line<'_> {
    ex.request_id();
    let header = |name: &[u8]| ex.req.head.headers.get(name).map(String::from_utf8_lossy);
    let last = ex.tries.last();
    let route = ex.route.as_deref();
    let duration = crate::clock::now().saturating_duration_since(ex.started).as_secs_f64();
    Line {
        time: crate::clock::unix_seconds() - duration,
        client: ex.req.client.ip(),
        method: ex.req.head.method.as_str(),
        host: &ex.req.host,
        path: String::from_utf8_lossy(&ex.req.head.target),
        protocol: ex.req.protocol(),
        scheme: ex.req.scheme,
        status: ex.resp.status,
        request_bytes: ex.req.head_bytes as u64 + ex.req.body.received,
        response_bytes: ex.resp.body_bytes,
        duration,
        request_id: ex.req.id.as_deref().unwrap_or_default(),
        namespace: route.map(|r| r.ingress.namespace.as_str()),
        ingress: route.map(|r| r.ingress.name.as_str()),
        service: route.map(|r| r.service.as_str()).filter(|s| !s.is_empty()),
        upstream: last.map(|t| t.address),
        upstream_status: last.map(|t| t.status).filter(|s| *s > 0),
        upstream_time: last.and_then(|t| t.response_time),
        tries: ex.tries.len(),
        user_agent: header(b"user-agent"),
        referer: header(b"referer"),
    }
}
