//! A stream's head as an HTTP/1.1 head: what phases and variables work on, and what goes to an upstream that speaks
//! HTTP/1.1. So what HTTP/1.1 refuses is refused here too, as far as hyper has not refused it.

use http::header;
use http_body::Body as _;
use http1::{Framing, Method, Version};
use hyper::body::Incoming;

use crate::error::{Error, Kind, Result};
use crate::exchange::Exchange;

/// Takes the head over.
pub(super) fn fill(ex: &mut Exchange, parts: &http::request::Parts, body: &Incoming) {
    let head = &mut ex.req.head;
    // Every method that hyper lets pass is a token.
    head.method = Method::from_bytes(parts.method.as_str().as_bytes()).unwrap_or_default();
    ex.req.head_only = head.method == Method::Head;
    head.version = Version::Http11;
    head.target.clear();
    head.target.extend_from_slice(parts.uri.path_and_query().map_or("/", |p| p.as_str()).as_bytes());
    head.path_start = 0;
    head.authority = parts.uri.authority().map(|a| a.as_str().as_bytes().to_vec());
    head.headers.clear();
    if let Some(authority) = &head.authority {
        head.headers.push(b"host", authority);
    }
    for (name, value) in &parts.headers {
        if name != header::HOST || head.authority.is_none() {
            head.headers.push(name.as_str().as_bytes(), value.as_bytes());
        }
    }
    let length = body.size_hint().exact();
    let present = !body.is_end_stream();
    head.framing = match (present, length) {
        (false, _) => Framing::None,
        (true, Some(n)) => Framing::Length(n),
        (true, None) => Framing::Chunked,
    };
    head.keep_alive = true;
    (head.expect_continue, head.upgrade) = (false, false);
    ex.req.http2 = true;
    ex.req.head_bytes = ex.req.head.headers.bytes();
    ex.req.body.present = present;
    ex.req.body.complete = !present;
    ex.req.body.declared = if present { length } else { Some(0) };
}

/// What HTTP/1.1's codec refuses of a request.
///
/// # Errors
/// What the stream is answered.
pub(super) fn check(parts: &http::request::Parts, body: &Incoming, fields_max: usize) -> Result<()> {
    let bad = |what: &str| Err(Error::new(Kind::BadRequest, what));
    let target = parts.uri.path_and_query().map_or("", |p| p.as_str()).as_bytes();
    if parts.method == http::Method::CONNECT || (target == b"*" && parts.method == http::Method::OPTIONS) {
        return Err(Error::new(Kind::NotImplemented, "CONNECT and OPTIONS * are not served"));
    }
    if !target.starts_with(b"/") || !http1::is_target(target) {
        return bad("the :path is not an absolute path");
    }
    if parts.headers.len() > fields_max {
        return Err(Error::new(Kind::HeadTooLarge, "the request has too many header fields"));
    }
    // RFC 9113 section 8.3.1: a Host that names another entity makes the request malformed.
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    match parts.uri.authority().map(|a| a.as_str().as_bytes()) {
        Some(authority) if !http1::is_host(authority) => return bad("the :authority is not a host"),
        Some(authority) if !hosts.all(|h| h.as_bytes().eq_ignore_ascii_case(authority)) => {
            return bad("Host and :authority differ");
        }
        Some(_) => {}
        None => match (hosts.next(), hosts.next()) {
            (Some(host), None) if http1::is_host(host.as_bytes()) => {}
            _ => return bad("there is no :authority, and not one Host that is a host"),
        },
    }
    let mut lengths = parts.headers.get_all(header::CONTENT_LENGTH).iter();
    if let Some(first) = lengths.next()
        && (lengths.next().is_some() || body.is_end_stream() && first.as_bytes().iter().any(|b| *b != b'0'))
    {
        return bad("the content-length is not that of the body");
    }
    Ok(())
}
