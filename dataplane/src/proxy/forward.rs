//! The request as it goes upstream: target, hop-by-hop headers dropped, X-Forwarded-* and the like as ingress-nginx
//! sends them.

use std::borrow::Cow;

use http1::{Framing, Headers};

use crate::exchange::out::decimal;
use crate::exchange::{AddressText, Exchange};
use crate::upstream::{h1, h2};

/// Headers of the client that are not passed on: they belong to its hop, or are written anew below.
fn is_ours(name: &[u8]) -> bool {
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    match name.len() {
        2 => is(b"te"),
        4 => is(b"host"),
        6 => is(b"expect"),
        7 => is(b"upgrade"),
        8 => is(b"x-scheme"),
        9 => is(b"x-real-ip"),
        10 => is(b"connection") || is(b"keep-alive"),
        12 => is(b"x-request-id"),
        14 => is(b"content-length") || is(b"http2-settings"),
        15 => is(b"x-forwarded-for"),
        16 => is(b"x-forwarded-host") || is(b"x-forwarded-port") || is(b"proxy-connection"),
        17 => is(b"x-forwarded-proto") || is(b"transfer-encoding"),
        18 => is(b"x-forwarded-scheme"),
        24 => is(b"x-original-forwarded-for"),
        _ => false,
    }
}

/// The target that goes upstream: as the client sent it, unless a script or normalisation changed it.
fn target(ex: &Exchange) -> Cow<'_, [u8]> {
    let req = &ex.req;
    let sent = &req.head.target[req.head.path_start..];
    if !req.path_changed && !req.args_changed && !req.normalised {
        return Cow::Borrowed(if sent.is_empty() { b"/" } else { sent });
    }
    let mut target = if req.path_changed { routing::path::encode(&req.path) } else { req.matched.clone() }.into_bytes();
    if let Some(args) = req.args.as_deref() {
        target.push(b'?');
        target.extend_from_slice(args);
    }
    Cow::Owned(target)
}

/// Hands every header of the upstream request to `emit`, but for framing and `Connection`.
fn headers(ex: &mut Exchange, mut emit: impl FnMut(&[u8], &[u8])) {
    ex.request_id();
    let req = &ex.req;
    let sent = &req.head.headers;
    let host = req.head.authority.as_deref().or_else(|| sent.get(b"host")).unwrap_or(req.host.as_bytes());
    emit(b"Host", host);
    emit(b"X-Request-ID", req.id.as_deref().unwrap_or_default().as_bytes());
    let other;
    let ip = if req.client == ex.conn.peer {
        ex.conn.peer_text.as_bytes()
    } else {
        other = AddressText::new(req.client.ip());
        other.as_bytes()
    };
    emit(b"X-Real-IP", ip);
    let forwarded = req.forwarded.as_deref();
    match joined(sent, b"x-forwarded-for") {
        Some(list) if forwarded.is_some() => {
            let mut both = list.into_owned();
            both.extend_from_slice(b", ");
            both.extend_from_slice(ex.conn.peer_text.as_bytes());
            emit(b"X-Forwarded-For", &both);
        }
        Some(list) => {
            emit(b"X-Forwarded-For", ip);
            // What an untrusted client claimed is passed on under a name that nothing trusts.
            emit(b"X-Original-Forwarded-For", &list);
        }
        None => emit(b"X-Forwarded-For", ip),
    }
    let asked = forwarded.and_then(|f| f.host.as_deref()).unwrap_or(host);
    emit(b"X-Forwarded-Host", asked);
    let port = forwarded.and_then(|f| f.port).unwrap_or_else(|| port_of(asked, req.scheme));
    emit(b"X-Forwarded-Port", decimal(u64::from(port), &mut [0; 20]));
    let scheme = req.scheme.as_bytes();
    emit(b"X-Forwarded-Proto", scheme);
    emit(b"X-Forwarded-Scheme", scheme);
    emit(b"X-Scheme", scheme);
    let is_of_hop = named_by_hop(sent);
    for (name, value) in sent.iter() {
        if !(is_ours(name) || is_of_hop(name)) {
            emit(name, value);
        }
    }
}

/// The port that a client asked for: what it names, else its scheme's. Not the listener's: a Service, a load balancer or
/// a mapped port stands between, and 443 is 8443 here.
fn port_of(authority: &[u8], scheme: &str) -> u16 {
    let named = authority.rsplit(|b| *b == b':').next().filter(|port| port.len() < authority.len());
    let named = named.and_then(|port| std::str::from_utf8(port).ok()?.parse().ok());
    named.unwrap_or(if scheme == "https" { 443 } else { 80 })
}

/// The values of a list that may stand in several fields; RFC 9110 section 5.3.
fn joined<'a>(headers: &'a Headers, name: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    let mut values = headers.get_all(name);
    let first = values.next()?;
    let mut all = Cow::Borrowed(first);
    for value in values {
        let all = all.to_mut();
        all.extend_from_slice(b", ");
        all.extend_from_slice(value);
    }
    Some(all)
}

/// Which headers the `Connection` fields, of which there may be several, name as those of their hop.
pub(super) fn named_by_hop(headers: &Headers) -> impl Fn(&[u8]) -> bool + '_ {
    let hop = || headers.get_all(b"connection");
    let any = hop().any(has_more_than_usual);
    move |name| any && hop().any(|list| lists(list, name))
}

/// `Connection` lists further headers of the hop beside the usual words.
fn has_more_than_usual(value: &[u8]) -> bool {
    !(value.eq_ignore_ascii_case(b"keep-alive")
        || value.eq_ignore_ascii_case(b"close")
        || value.eq_ignore_ascii_case(b"upgrade"))
}

fn lists(list: &[u8], name: &[u8]) -> bool {
    list.split(|b| *b == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(name))
}

/// Whether the client asks for another protocol, and which. Never for `h2c`: behind a tunnel of it further requests
/// would pass unseen by routes and plugins.
pub(super) fn upgrade(ex: &Exchange) -> Option<&[u8]> {
    let protocol = ex.req.head.upgrade.then(|| ex.req.head.headers.get(b"upgrade")).flatten()?;
    let h2c =
        protocol.split(|b| *b == b',').any(|p| p.trim_ascii().get(..3).is_some_and(|p| p.eq_ignore_ascii_case(b"h2c")));
    (!h2c).then_some(protocol)
}

/// Queues the head on an HTTP/1.1 connection.
pub(super) fn write_h1(ex: &mut Exchange, up: &mut h1::Connection, framing: Framing) {
    let mut out = std::mem::take(&mut up.out);
    out.extend_from_slice(ex.req.head.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(&target(ex));
    out.extend_from_slice(b" HTTP/1.1\r\n");
    headers(ex, |name, value| line(&mut out, name, value));
    match framing {
        Framing::Length(n) => line(&mut out, b"Content-Length", decimal(n, &mut [0; 20])),
        Framing::Chunked | Framing::UntilClose => {
            line(&mut out, b"Transfer-Encoding", b"chunked");
            up.chunked = true;
        }
        Framing::None => {}
    }
    if let Some(protocol) = upgrade(ex) {
        line(&mut out, b"Connection", b"upgrade");
        line(&mut out, b"Upgrade", protocol);
    }
    out.extend_from_slice(b"\r\n");
    up.out = out;
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Hands the head to an HTTP/2 stream.
pub(super) fn write_h2(ex: &mut Exchange, up: &mut h2::Stream, framing: Framing) {
    let target = target(ex).into_owned();
    let mut fields = Headers::new();
    headers(ex, |name, value| fields.push(name, value));
    if ex.req.head.headers.get(b"te").is_some_and(|te| lists(te, b"trailers")) {
        // gRPC needs it, and it is the one value that HTTP/2 allows.
        fields.push(b"te", b"trailers");
    }
    if let Framing::Length(n) = framing {
        fields.push(b"content-length", decimal(n, &mut [0; 20]));
    }
    up.head(&ex.req.head.method, &target, &fields, matches!(framing, Framing::None | Framing::Length(0)));
}
