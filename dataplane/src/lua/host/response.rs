//! `ngx.header`, `ngx.status`, `ngx.resp`.

use std::borrow::Cow;

use super::escape;
use super::pack::Packer;
use crate::exchange::{Exchange, Out};
use crate::lua::charge;

/// Fields that have one value: of several the last one stays (lua-nginx-module's builtin handlers).
const SINGLE: [&[u8]; 11] = [
    b"server",
    b"date",
    b"content-encoding",
    b"location",
    b"refresh",
    b"last-modified",
    b"content-range",
    b"accept-ranges",
    b"expires",
    b"etag",
    b"content-type",
];

/// A reason phrase is cut here: clients show a few words of it at most.
const REASON_MAX: usize = 512;

/// The most values that a read gives, as in lua-resty-core.
const MAX_VALUES: i32 = 100;

/// The field's name as scripts mean it: `_` stands for `-` unless the setting says otherwise.
fn name_of<'a>(ex: &Exchange, name: &'a [u8]) -> Cow<'a, [u8]> {
    let transform = || ex.worker.snapshot(|s| s.settings.lua.transform_underscores_in_response_headers);
    if !name.contains(&b'_') || !transform() {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.iter().map(|b| if *b == b'_' { b'-' } else { *b }).collect())
}

/// A field with exactly one value.
pub(super) fn get<'a>(ex: &'a mut Exchange, name: &[u8]) -> Option<&'a [u8]> {
    let name = name_of(ex, name);
    if name.eq_ignore_ascii_case(b"content-length") && !ex.resp.headers.contains(&name) {
        use std::io::Write;
        let length = ex.resp.content_length?;
        ex.lua.scratch.clear();
        write!(ex.lua.scratch, "{length}").ok()?;
        return Some(&ex.lua.scratch);
    }
    let mut values = ex.resp.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(&name)).map(|(_, v)| v);
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// The packed values of a field that has several.
pub(super) fn get_all<'a>(ex: &'a mut Exchange, name: &[u8]) -> Option<&'a [u8]> {
    let name = name_of(ex, name);
    let mut packer = Packer::new(&mut ex.lua.scratch, MAX_VALUES);
    for (_, value) in ex.resp.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(&name)) {
        if !packer.push(b"", Some(value)) {
            break;
        }
    }
    (packer.count() > 1).then(|| packer.finish())
}

/// Sets a field, or removes it; `add` keeps the values that are there.
///
/// # Errors
/// The text that the script gets.
pub(super) fn set(ex: &mut Exchange, name: &[u8], value: Option<&[u8]>, add: bool) -> Result<(), &'static str> {
    if ex.resp.head_sent {
        super::log::host_error(ex, "attempt to set ngx.header.HEADER after sending out response headers");
        return Ok(());
    }
    charge::keep(ex, value.map_or(0, |value| name.len() + value.len()))?;
    let name = name_of(ex, name);
    let name = escape::header_name(&name);
    if name.is_empty() {
        return Err("failed to set header");
    }
    let value = value.filter(|v| !v.is_empty()).map(escape::header_value);
    match name.len() {
        14 if name.eq_ignore_ascii_case(b"content-length") => return set_length(ex, value.as_deref()),
        17 if name.eq_ignore_ascii_case(b"transfer-encoding") => return Ok(()),
        10 if name.eq_ignore_ascii_case(b"connection") => {
            set_connection(ex, value.as_deref());
            return Ok(());
        }
        _ => {}
    }
    let headers = &mut ex.resp.headers;
    match value {
        None if add => {}
        None => _ = headers.remove(&name),
        Some(value) if add && !SINGLE.iter().any(|s| s.eq_ignore_ascii_case(&name)) => headers.push(&name, &value),
        Some(value) => headers.set(&name, &value),
    }
    Ok(())
}

/// Framing is written from `content_length`; the field is for scripts to read.
fn set_length(ex: &mut Exchange, value: Option<&[u8]>) -> Result<(), &'static str> {
    ex.resp.headers.remove(b"content-length");
    ex.resp.content_length = match value {
        None => None,
        Some(digits) => {
            let digits = std::str::from_utf8(digits).ok().filter(|s| s.bytes().all(|b| b.is_ascii_digit()));
            let length = digits.and_then(|s| s.parse().ok()).ok_or("failed to set header")?;
            Some(length)
        }
    };
    Ok(())
}

/// Whether the connection stays is ours to say; a script can end it.
fn set_connection(ex: &mut Exchange, value: Option<&[u8]>) {
    if let Out::H1(out) = &mut ex.out
        && value.is_some_and(|v| v.eq_ignore_ascii_case(b"close"))
    {
        out.keep_alive = false;
    }
}

/// `ngx.resp.get_headers`: the packed fields, with those that are written from other facts first, as nginx has them.
pub(super) fn headers(ex: &mut Exchange, max: i32, raw: bool) -> &[u8] {
    let upgraded = ex.resp.status == 101;
    let (keep, chunked) = match &ex.out {
        Out::H1(out) => (out.keep_alive, out.chunked),
        Out::H2(_) => (true, false),
    };
    let connection: &[u8] = match (upgraded, keep) {
        (true, _) => b"upgrade",
        (_, true) => b"keep-alive",
        _ => b"close",
    };
    let length = ex.resp.content_length.map(|n| n.to_string());
    let mut packer = Packer::new(&mut ex.lua.scratch, max);
    let listed_length = ex.resp.headers.contains(b"content-length");
    if let Some(length) = length.filter(|_| !listed_length) {
        packer.push(b"content-length", Some(length.as_bytes()));
    }
    packer.push(b"connection", Some(connection));
    if chunked {
        packer.push(b"transfer-encoding", Some(b"chunked"));
    }
    for (name, value) in ex.resp.headers.iter() {
        let pushed = if raw { packer.push(name, Some(value)) } else { packer.push_lower(name, value) };
        if !pushed {
            break;
        }
    }
    packer.finish()
}

/// `ngx.status = code`. Refusals are logged, not raised, as in OpenResty.
pub(super) fn set_status(ex: &mut Exchange, code: i32) {
    if ex.resp.head_sent {
        super::log::host_error(ex, "attempt to set ngx.status after sending out response headers");
        return;
    }
    let Some(status) = u16::try_from(code).ok().filter(|c| (100..=999).contains(c)) else {
        super::log::host_error(ex, &format!("invalid HTTP status code {code}"));
        return;
    };
    ex.resp.status = status;
    ex.resp.reason = None;
}

/// The reason of `set_status` of `ngx.resp`.
pub(super) fn set_reason(ex: &mut Exchange, reason: &[u8]) {
    if !ex.resp.head_sent && !reason.is_empty() {
        ex.resp.reason = Some(escape::header_value(&reason[..reason.len().min(REASON_MAX)]).into_owned());
    }
}
