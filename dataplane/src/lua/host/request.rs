//! `ngx.req`: method, target, arguments and headers.

use http1::{Method, is_token};

use super::escape;
use super::pack::{ENTRY_MAX, Packer};
use crate::exchange::Exchange;
use crate::lua::{charge, encoding, vars};

/// Methods by nginx's numbers: bits, as `ngx.HTTP_GET` and the like have them.
const METHODS: [(i32, &str); 15] = [
    (0x0002, "GET"),
    (0x0004, "HEAD"),
    (0x0008, "POST"),
    (0x0010, "PUT"),
    (0x0020, "DELETE"),
    (0x0040, "MKCOL"),
    (0x0080, "COPY"),
    (0x0100, "MOVE"),
    (0x0200, "OPTIONS"),
    (0x0400, "PROPFIND"),
    (0x0800, "PROPPATCH"),
    (0x1000, "LOCK"),
    (0x2000, "UNLOCK"),
    (0x4000, "PATCH"),
    (0x8000, "TRACE"),
];

/// Fields of a request that have one value only: a second value replaces the first, whoever adds it.
const SINGLE: [&[u8]; 5] = [b"host", b"content-length", b"content-type", b"user-agent", b"referer"];

/// Whether nginx knows a method by this number, and which it is.
pub(super) fn set_method(ex: &mut Exchange, id: i32) -> bool {
    let Some((_, name)) = METHODS.iter().find(|(number, _)| *number == id) else { return false };
    match Method::from_bytes(name.as_bytes()) {
        Some(method) => ex.req.head.method = method,
        None => return false,
    }
    true
}

/// The packed headers, in their order.
pub(super) fn headers(ex: &mut Exchange, max: i32, raw: bool) -> &[u8] {
    let mut packer = Packer::new(&mut ex.lua.scratch, max);
    for (name, value) in ex.req.head.headers.iter() {
        let pushed = if raw { packer.push(name, Some(value)) } else { packer.push_lower(name, value) };
        if !pushed {
            break;
        }
    }
    packer.finish()
}

/// `ngx.req.set_header`, `ngx.req.clear_header`, and with `add` `add_header` of `ngx.req`. Bytes that must not stand in
/// a field are escaped, as lua-nginx-module does.
///
/// # Errors
/// The VM has no room for it.
pub(super) fn set_header(ex: &mut Exchange, name: &[u8], value: Option<&[u8]>, add: bool) -> Result<(), &'static str> {
    let name = escape::header_name(name);
    // Framing is ours: the upstream's is made from the body that is sent, whatever a script says here.
    if name.is_empty() || !is_token(&name) {
        return Ok(());
    }
    charge::keep(ex, value.map_or(0, |value| name.len() + value.len()))?;
    let headers = &mut ex.req.head.headers;
    match value {
        None | Some(b"") if !add => _ = headers.remove(&name),
        None => {}
        Some(value) => {
            let value = escape::header_value(value);
            let single = SINGLE.iter().any(|s| s.eq_ignore_ascii_case(&name));
            if add && !single {
                headers.push(&name, &value);
            } else {
                headers.set(&name, &value);
            }
        }
    }
    if name.eq_ignore_ascii_case(b"host") {
        rename(ex);
    }
    Ok(())
}

/// `$host` follows the Host header; the route that was chosen stays.
fn rename(ex: &mut Exchange) {
    let Some(value) = ex.req.head.headers.get(b"host") else { return };
    let text = String::from_utf8_lossy(value).to_ascii_lowercase();
    let host = match text.strip_prefix('[').and_then(|rest| rest.find(']')) {
        Some(end) => &text[..end + 2],
        None => text.split(':').next().unwrap_or_default(),
    };
    ex.req.host = host.trim_end_matches('.').to_owned();
}

/// `ngx.req.set_uri`: `$uri` changes, and what is sent upstream.
///
/// # Errors
/// A byte that must not stand in a path, unless `binary`.
pub(super) fn set_uri(ex: &mut Exchange, uri: &[u8], binary: bool) -> Result<(), String> {
    if !binary && let Some(byte) = uri.iter().find(|b| b.is_ascii_control()) {
        let shown = escape::log(uri);
        return Err(format!(
            "unsafe byte \"0x{byte:02x}\" in uri \"{shown}\" (maybe you want to set the 'binary' argument?)"
        ));
    }
    charge::keep(ex, uri.len())?;
    ex.req.path = uri.to_vec();
    ex.req.path_changed = true;
    Ok(())
}

/// `ngx.req.set_uri_args`: control bytes and spaces are escaped, the rest is taken as it is.
///
/// # Errors
/// The VM has no room for it.
pub(super) fn set_args(ex: &mut Exchange, args: &[u8]) -> Result<(), &'static str> {
    // Each byte may become three.
    charge::keep(ex, 3 * args.len())?;
    ex.req.args = Some(escape::args(args));
    ex.req.args_changed = true;
    Ok(())
}

/// The packed arguments of the query string.
///
/// # Errors
/// The VM has no room for them.
pub(super) fn uri_args(ex: &mut Exchange, max: i32) -> Result<Option<&[u8]>, &'static str> {
    let Some(args) = ex.req.args.take() else { return Ok(None) };
    if !charge::has_room(ex, packed_size(&args)) {
        ex.req.args = Some(args);
        return Err(charge::NO_MEMORY);
    }
    pack_args(&mut ex.lua.scratch, &args, max);
    ex.req.args = Some(args);
    Ok(Some(&ex.lua.scratch))
}

/// What arguments may take when they are packed: lengths and padding for each.
pub(super) fn packed_size(text: &[u8]) -> usize {
    text.len() + ENTRY_MAX * (1 + memchr::memchr_iter(b'&', text).count())
}

/// Arguments as `ngx.decode_args` sees them: a key without `=` stands for `true`, an empty key is left out.
pub(super) fn pack_args(buf: &mut Vec<u8>, text: &[u8], max: i32) {
    let mut packer = Packer::new(buf, 0);
    let mut args = encoding::decode_args(text, usize::try_from(max).unwrap_or_default());
    for (key, value) in &mut args {
        packer.push(&key, value.as_deref());
    }
    if args.truncated() {
        packer.truncate();
    }
    packer.finish();
}

/// `ngx.req.raw_header`
///
/// # Errors
/// The text for requests that have none.
pub(super) fn raw_header(ex: &Exchange, no_request_line: bool) -> Result<&[u8], &'static str> {
    if ex.req.http2 {
        return Err("http2 requests not supported yet");
    }
    let raw = &ex.req.raw_head[..];
    if !no_request_line {
        return Ok(raw);
    }
    let line = raw.iter().position(|b| *b == b'\n').map_or(raw.len(), |at| at + 1);
    Ok(&raw[line..])
}

/// `ngx.req.start_time`, from the monotonic clock's distance to now.
pub(super) fn start_time(ex: &Exchange) -> f64 {
    let elapsed = ex.worker.now().saturating_duration_since(ex.started);
    let start = vars::time::now().saturating_sub(elapsed);
    start.as_millis() as f64 / 1000.0
}

/// `ngx.req.http_version`
pub(super) fn http_version(ex: &Exchange) -> f64 {
    match ex.req.protocol() {
        "HTTP/2.0" => 2.0,
        "HTTP/1.0" => 1.0,
        _ => 1.1,
    }
}
