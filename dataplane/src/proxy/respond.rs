//! The upstream's response as it goes to the client.

use std::time::Duration;

use http1::{Framing, ResponseHead};

use crate::downstream::{Client, h1};
use crate::error::{Error, Kind, Result};
use crate::exchange::out::decimal;
use crate::exchange::{Exchange, Out};
use crate::life::Ended;
use crate::upstream::Connection;

/// Headers of the upstream's hop.
fn is_hop(name: &[u8]) -> bool {
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    match name.len() {
        7 => is(b"upgrade"),
        10 => is(b"connection") || is(b"keep-alive"),
        14 => is(b"content-length"),
        16 => is(b"proxy-connection"),
        17 => is(b"transfer-encoding"),
        _ => false,
    }
}

/// Takes over the head, runs the header filters, queues it. True: the body passes as it is, no script saw the head. The
/// upstream's own head stays in the exchange, for `$upstream_http_NAME`.
pub(super) fn start(ex: &mut Exchange, mut head: ResponseHead) -> Result<bool> {
    ex.resp.from_upstream = true;
    ex.resp.status = head.status;
    let length = match head.framing {
        Framing::Length(n) => Some(n),
        Framing::None if ex.req.is_head() => declared(&head),
        Framing::None => Some(0),
        Framing::Chunked | Framing::UntilClose => None,
    };
    let unseen = ex.route.as_ref().is_some_and(|r| r.plan.is_empty());
    if unseen && matches!(ex.out, Out::H1(_)) {
        pass_head(ex, &head, length);
        ex.upstream_head = head;
        return Ok(true);
    }
    let resp = &mut ex.resp;
    resp.reason = Some(std::mem::take(&mut head.reason));
    {
        let is_named = super::forward::named_by_hop(&head.headers);
        for (name, value) in head.headers.iter() {
            if !is_hop(name) && !is_named(name) {
                resp.headers.push(name, value);
            }
        }
    }
    // Filters see the length as a header, and clear it to change the body.
    if let Some(n) = length.filter(|_| head.status != 204 && head.status != 304) {
        resp.headers.push(b"Content-Length", decimal(n, &mut [0; 20]));
    }
    ex.upstream_head = head;
    crate::respond::start(ex).map_err(|e| Error::new(Kind::Script, e.to_string()))?;
    // A header filter may have replaced the response or declared another length, so each piece is held to that.
    Ok(false)
}

/// The head of a response that no script sees, straight into the queue.
fn pass_head(ex: &mut Exchange, head: &ResponseHead, length: Option<u64>) {
    let Out::H1(out) = &mut ex.out else { return };
    let status = head.status;
    ex.resp.header_only = ex.req.is_head() || status == 204 || status == 304;
    ex.resp.head_sent = true;
    let before = out.bytes.len();
    out.status_line(status, &head.reason);
    let (mut server, mut date) = (false, false);
    let is_named = super::forward::named_by_hop(&head.headers);
    for (name, value) in head.headers.iter() {
        if is_named(name) {
            continue;
        }
        match name.len() {
            4 => date |= name.eq_ignore_ascii_case(b"date"),
            6 => server |= name.eq_ignore_ascii_case(b"server"),
            _ if is_hop(name) => continue,
            _ => {}
        }
        out.line(name, value);
    }
    if !server {
        ex.worker.snapshot(|s| {
            let name = s.settings.http.server_header.as_bytes();
            if !name.is_empty() {
                out.line(b"Server", name);
            }
        });
    }
    if !date {
        crate::respond::with_date(|date| out.line(b"Date", date));
    }
    let length = length.filter(|_| status != 304);
    ex.resp.content_length = length.filter(|_| !ex.resp.header_only);
    out.framing(status, length, ex.resp.header_only);
    out.bytes.extend_from_slice(b"\r\n");
    ex.resp.head_bytes = (out.bytes.len() - before) as u64;
}

/// A HEAD response's Content-Length, which no body follows.
fn declared(head: &ResponseHead) -> Option<u64> {
    head.headers.get(b"content-length").and_then(|v| std::str::from_utf8(v).ok()?.trim().parse().ok())
}

/// `101 Switching Protocols`: the head goes to the client as it is, then bytes go both ways.
pub(super) async fn tunnel(
    ex: &mut Exchange,
    client: &mut Client<'_>,
    up: Connection,
    head: ResponseHead,
    idle: Duration,
) -> Result<Ended> {
    let Client::H1(client) = client else {
        return Err(Error::new(Kind::UpstreamProtocol, "the endpoint switched protocols over HTTP/2"));
    };
    let Connection::H1(mut up) = up else {
        return Err(Error::new(Kind::UpstreamProtocol, "the endpoint switched protocols over HTTP/2"));
    };
    if super::forward::upgrade(ex).is_none() {
        return Err(Error::new(Kind::UpstreamProtocol, "the endpoint switched protocols unasked"));
    }
    ex.resp.status = 101;
    (ex.resp.head_sent, ex.resp.from_upstream) = (true, true);
    if let Out::H1(out) = &mut ex.out {
        http1::encode_response(&mut out.bytes, http1::Version::Http11, 101, None, &head.headers);
        out.keep_alive = false;
    }
    Client::H1(client).flush(ex).await?;
    crate::lua::vms::release(ex);
    ex.resp.body_bytes = h1::tunnel(client, &mut up.io, &mut up.buf, idle).await;
    ex.resp.ended = true;
    Ok(Ended::Tunnelled)
}
