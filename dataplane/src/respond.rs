//! Responses: the one place where errors become them, and where heads and bodies pass the filters on their way out.

use std::cell::RefCell;
use std::time::SystemTime;

use crate::error::{Error, Kind, Source};
use crate::exchange::{Exchange, Out};
use crate::lua::phases;

/// Why output was refused; the texts are OpenResty's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// HEAD, 204, 304.
    #[error("header only")]
    HeaderOnly,
    /// After `ngx.eof`.
    #[error("seen eof")]
    SeenEof,
    /// A filter failed.
    #[error("nginx output filter error")]
    Filter,
}

/// Runs the header filters and queues the head, once.
pub fn start(ex: &mut Exchange) -> Result<(), OutputError> {
    if ex.resp.head_sent {
        return Ok(());
    }
    if ex.resp.status == 0 {
        ex.resp.status = 200;
    }
    add_own_headers(ex);
    if ex.resp.filter_failed || phases::header_filter(ex).is_err() {
        ex.resp.filter_failed = true;
        return Err(OutputError::Filter);
    }
    queue_head(ex);
    Ok(())
}

/// Writes body bytes of a response that is made here: head first, then through the body filters.
pub fn write(ex: &mut Exchange, data: &[u8]) -> Result<(), OutputError> {
    if ex.resp.ended {
        return Err(OutputError::SeenEof);
    }
    start(ex)?;
    if ex.resp.header_only {
        return Err(OutputError::HeaderOnly);
    }
    pass_body(ex, data, false)
}

/// Ends a response that is made here.
pub fn finish(ex: &mut Exchange) {
    if ex.resp.ended {
        return;
    }
    if let Some(held) = ex.lua.buffered.take()
        && !ex.resp.head_sent
    {
        ex.resp.content_length = ex.resp.content_length.or(Some(held.len() as u64));
        if !matches!(write(ex, &held), Ok(()) | Err(OutputError::HeaderOnly)) {
            return;
        }
    }
    if start(ex).is_err() {
        return;
    }
    if ex.resp.header_only || pass_body(ex, b"", true).is_ok() {
        end(ex, None);
    }
}

/// Body bytes, of whatever origin, through the body filters to the client.
pub fn pass_body(ex: &mut Exchange, data: &[u8], last: bool) -> Result<(), OutputError> {
    if ex.resp.filter_ended {
        return Ok(());
    }
    let filtered = ex.route.as_ref().is_some_and(|r| !r.plan.body_filter.is_empty());
    if !filtered {
        queue_body(ex, data);
        return Ok(());
    }
    if ex.resp.filter_failed {
        return Err(OutputError::Filter);
    }
    let Ok((bytes, ended)) = phases::body_filter(ex, data, last) else {
        // What was to come out of it is lost: the response must not look whole.
        ex.resp.filter_failed = true;
        return Err(OutputError::Filter);
    };
    queue_body(ex, &bytes);
    if ended && !last {
        ex.resp.filter_ended = true;
    }
    Ok(())
}

/// Body bytes that passed the filters. A declared length is kept: what is beyond it is cut and logged.
fn queue_body(ex: &mut Exchange, data: &[u8]) {
    let mut data = data;
    if let Some(length) = ex.resp.content_length {
        let left = length.saturating_sub(ex.resp.body_bytes);
        if (data.len() as u64) > left {
            if !std::mem::replace(&mut ex.resp.cut, true) {
                tracing::warn!(target: "http", "the response body is longer than its Content-Length of {length}; the rest is cut");
            }
            data = &data[..usize::try_from(left).unwrap_or(data.len())];
        }
    }
    ex.resp.body_bytes += data.len() as u64;
    ex.out.data(data);
}

/// Nothing follows. A body shorter than it was declared must not look whole: its connection breaks off.
pub fn end(ex: &mut Exchange, trailers: Option<&http1::Headers>) {
    let short = |length: u64| !ex.resp.header_only && ex.resp.body_bytes < length;
    if let Some(length) = ex.resp.content_length.filter(|n| short(*n)) {
        tracing::error!(target: "http", "the response body ended after {} of {length} bytes", ex.resp.body_bytes);
        return;
    }
    ex.out.end(trailers);
    ex.resp.ended = true;
}

fn queue_head(ex: &mut Exchange) {
    if ex.resp.status < 200 {
        // A script set it. The client would take what follows an interim head for another response.
        tracing::error!(target: "http", "the status {} is not one of a final response: 500 is sent", ex.resp.status);
        (ex.resp.status, ex.resp.reason) = (500, None);
    }
    let status = ex.resp.status;
    ex.resp.header_only = ex.req.is_head() || status == 204 || status == 304;
    let bodyless = ex.resp.header_only;
    let resp = &mut ex.resp;
    // Scripts may have set the length as a header; framing is ours.
    if let Some(value) = resp.headers.get(b"content-length") {
        resp.content_length = std::str::from_utf8(value).ok().and_then(|v| v.trim().parse().ok());
    }
    if resp.headers.iter().any(|(name, _)| is_framing(name)) {
        resp.headers.retain(|name, _| !is_framing(name));
    }
    let queued = ex.out.queued();
    let h2 = matches!(ex.out, Out::H2(_)).then(|| h2_head_bytes(&resp.headers, resp.content_length));
    ex.out.head(status, resp.reason.as_deref(), &mut resp.headers, resp.content_length, bodyless);
    resp.head_bytes = h2.unwrap_or((ex.out.queued() - queued) as u64);
    resp.head_sent = true;
}

/// What a head takes over HTTP/2 at most, for `$bytes_sent`: a frame's head, `:status`, and each field without
/// compression. What hyper makes of it is not known here.
fn h2_head_bytes(headers: &http1::Headers, length: Option<u64>) -> u64 {
    let fields: usize = headers.iter().map(|(name, value)| 3 + name.len() + value.len()).sum();
    (9 + 5 + fields + if length.is_some() { 10 } else { 0 }) as u64
}

/// Headers that `Out` writes.
fn is_framing(name: &[u8]) -> bool {
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    match name.len() {
        10 => is(b"connection") || is(b"keep-alive"),
        14 => is(b"content-length"),
        17 => is(b"transfer-encoding"),
        _ => false,
    }
}

/// Server, Date, and a Content-Type for what is made here.
pub fn add_own_headers(ex: &mut Exchange) {
    let headers = &mut ex.resp.headers;
    if !headers.contains(b"server") {
        ex.worker.snapshot(|s| {
            let name = s.settings.http.server_header.as_bytes();
            if !name.is_empty() {
                headers.push(b"Server", name);
            }
        });
    }
    if !headers.contains(b"date") {
        with_date(|date| headers.push(b"Date", date));
    }
    let made_here = !ex.resp.from_upstream && ex.resp.status != 304 && ex.resp.status != 204;
    if made_here && !headers.contains(b"content-type") {
        headers.push(b"Content-Type", b"text/plain");
    }
}

thread_local! {
    static DATE: RefCell<(u64, Vec<u8>)> = const { RefCell::new((0, Vec::new())) };
}

/// The current date, formatted once a second.
pub fn with_date(use_it: impl FnOnce(&[u8])) {
    let now = SystemTime::now();
    let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    DATE.with_borrow_mut(|(at, text)| {
        if *at != second {
            *at = second;
            *text = httpdate::fmt_http_date(now).into_bytes();
        }
        use_it(text);
    });
}

/// A short response with a line of text, as for errors.
pub fn short(ex: &mut Exchange, status: u16) {
    // It takes the place of what was held back.
    ex.lua.buffered = None;
    ex.resp.status = status;
    let phrase = http1::reason_phrase(status);
    let mut body = format!("{status} ").into_bytes();
    body.extend_from_slice(if phrase.is_empty() { b"Error" } else { phrase });
    body.push(b'\n');
    ex.resp.headers.set(b"Content-Type", b"text/plain; charset=utf-8");
    ex.resp.content_length = Some(body.len() as u64);
    if status == 204 || status == 304 {
        ex.resp.headers.remove(b"content-type");
        ex.resp.content_length = None;
    }
    // A filter that changes the length clears Content-Length first, as in OpenResty.
    ex.resp.headers.remove(b"content-length");
    if let Some(length) = ex.resp.content_length {
        ex.resp.headers.push(b"Content-Length", length.to_string().as_bytes());
    }
    if start(ex).is_ok() && (ex.resp.header_only || pass_body(ex, &body, true).is_ok()) {
        end(ex, None);
    }
}

/// A redirect; the Location as it is.
pub fn redirect(ex: &mut Exchange, status: u16, location: &[u8]) {
    if http1::is_field_value(location) {
        ex.resp.headers.set(b"Location", location);
        short(ex, status);
    } else {
        short(ex, 500);
    }
}

/// An error's response. What scripts and upstreams had set for another response is dropped.
pub fn error(ex: &mut Exchange, error: &Error) {
    ex.resp.headers.clear();
    ex.resp.reason = None;
    ex.resp.content_length = None;
    ex.resp.from_upstream = false;
    if matches!(error.kind, Kind::BadRequest | Kind::BodyTooLarge | Kind::ClientTimeout | Kind::HeadTooLarge)
        && let Out::H1(out) = &mut ex.out
    {
        // What of the request is still to come is not worth reading, or cannot be told apart from the next.
        out.keep_alive = false;
    }
    short(ex, error.kind.status());
    if !ex.resp.ended && !ex.resp.head_sent {
        bare(ex, 500);
    }
}

/// A response that no filter sees: a filter is what failed.
fn bare(ex: &mut Exchange, status: u16) {
    ex.resp.status = status;
    ex.resp.headers.clear();
    ex.resp.headers.push(b"Content-Type", b"text/plain; charset=utf-8");
    let body = b"500 Internal Server Error\n";
    ex.resp.headers.push(b"Content-Length", body.len().to_string().as_bytes());
    queue_head(ex);
    if !ex.resp.header_only {
        ex.resp.body_bytes += body.len() as u64;
        ex.out.data(body);
    }
    end(ex, None);
}

/// Counts an error and says it where its cause is looked for.
pub fn note(ex: &mut Exchange, error: &Error) {
    ex.worker.shared.metrics.error(error.kind);
    let host = &ex.req.host;
    let path = String::from_utf8_lossy(&ex.req.path);
    let client = ex.req.client.ip();
    match error.kind.source() {
        // Clients cause these at will: they must not fill the log.
        Source::Downstream => tracing::debug!(target: "http", %client, host, %path, "{error}"),
        Source::Lua => tracing::debug!(target: "http", %client, host, %path, "{error}"),
        Source::Upstream => tracing::warn!(target: "http", %client, host, %path, "{error}"),
        Source::Internal => tracing::error!(target: "http", %client, host, %path, "{error}"),
    }
}
